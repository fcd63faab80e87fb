//! The U-Net.

use crate::blocks::{AttentionBlock, Gradients, Layer, ResidualBlock};
use crate::dropout::Mode;
use crate::embedding::level_embedding;
use crate::plan::Plan;
use crate::{DenoiserError, NetworkConfig, Parameters};
use candle_core::{Result, Tensor};
use finescale_layers3d::{Activation, silu};

/// The reference's network: guided-diffusion's U-Net in three dimensions, with residual up- and down-sampling,
/// the noise level as scale and shift of norms, and attention in the bottleneck.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; as in Saharia et al. 2021, arXiv:2111.05826 (Palette), and
/// arXiv:2311.05217.
#[derive(Clone, Debug)]
pub struct UNet {
    config: NetworkConfig,
    embedding: [Layer; 2],
    first: Layer,
    downward: Vec<ResidualBlock>,
    middle: [ResidualBlock; 2],
    attention: AttentionBlock,
    upward: Vec<Vec<ResidualBlock>>,
    last_norm: Layer,
    last: Layer,
}

impl UNet {
    /// A network whose gradients reach `parameters`.
    ///
    /// # Errors
    /// As [`NetworkConfig::validate`]; [`DenoiserError::MissingParameter`] if the parameters are another network's.
    pub fn new(config: &NetworkConfig, parameters: &Parameters) -> std::result::Result<Self, DenoiserError> {
        Self::load(config, parameters, Gradients::Tracked)
    }

    /// A network that only computes: it keeps nothing for gradients, and follows the values of `parameters`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn frozen(
        config: &NetworkConfig,
        parameters: &Parameters,
    ) -> std::result::Result<Self, DenoiserError> {
        Self::load(config, parameters, Gradients::Untracked)
    }

    fn load(
        config: &NetworkConfig,
        parameters: &Parameters,
        gradients: Gradients,
    ) -> std::result::Result<Self, DenoiserError> {
        config.validate()?;
        let plan = Plan::new(config);
        let mut numbers = 0u64..;
        let mut block = |plan| {
            let number = numbers.next().expect("a network has fewer blocks");
            ResidualBlock::load(plan, number, config, parameters, gradients)
        };
        let layer = |name: &str| Layer::load(parameters, name, gradients);
        Ok(Self {
            config: config.clone(),
            embedding: [layer(Plan::EMBEDDING[0])?, layer(Plan::EMBEDDING[1])?],
            first: layer(Plan::FIRST)?,
            downward: plan.downward.iter().map(&mut block).collect::<std::result::Result<_, _>>()?,
            middle: [block(&plan.middle[0])?, block(&plan.middle[1])?],
            attention: AttentionBlock::load(Plan::ATTENTION, config, parameters, gradients)?,
            upward: plan
                .upward
                .iter()
                .map(|stage| stage.iter().map(&mut block).collect())
                .collect::<std::result::Result<_, _>>()?,
            last_norm: layer(Plan::OUT[0])?,
            last: layer(Plan::OUT[1])?,
        })
    }

    /// The network's output.
    ///
    /// # Shapes
    /// `input` (b, condition + noisy channels, n0, n1, n2), sides multiples of [`NetworkConfig::patch_multiple`];
    /// `level` (b,), what the prediction type makes of ᾱ. Returns (b, 1, n0, n1, n2).
    /// # Errors
    /// If the shapes do not fit the configuration.
    pub fn forward(&self, input: &Tensor, level: &Tensor, mode: Mode) -> Result<Tensor> {
        self.check(input).map_err(DenoiserError::into_candle)?;
        let waves = level_embedding(level, self.config.base_channels)?; // (b, base)
        let embedding = self.embedding[1].linear(&silu(&self.embedding[0].linear(&waves)?)?)?;
        let embedding = silu(&embedding)?; // (b, 4 base), as every block wants it

        let mut x = self.first.conv3d(input)?;
        let mut skips = vec![x.clone()];
        for block in &self.downward {
            x = block.forward(&x, &embedding, mode)?;
            skips.push(x.clone());
        }
        x = self.middle[0].forward(&x, &embedding, mode)?;
        x = self.attention.forward(&x)?;
        x = self.middle[1].forward(&x, &embedding, mode)?;
        for stage in &self.upward {
            let skip = skips.pop().expect("the plan makes as many skips as upward stages");
            x = Tensor::cat(&[x, skip], 1)?;
            for block in stage {
                x = block.forward(&x, &embedding, mode)?;
            }
        }
        self.last.conv3d(&self.last_norm.norm(&x, self.config.norm_groups, Activation::Silu)?)
    }

    fn check(&self, input: &Tensor) -> std::result::Result<(), DenoiserError> {
        let (_, found, n0, n1, n2) = input.dims5()?;
        let expected = self.config.input_channels();
        if found != expected {
            return Err(DenoiserError::InputChannels { what: "network input", expected, found });
        }
        [n0, n1, n2].into_iter().try_for_each(|side| self.config.validate_patch(side))
    }
}
