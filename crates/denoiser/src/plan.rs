//! The layers of a network: names, channels and resolutions. Everything that must agree about them (parameters,
//! costs, the network itself) reads this list.

use crate::pickle::short;
use crate::{DenoiserError, NetworkConfig};
use std::collections::BTreeMap;

/// What a residual block does to the resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    Keep,
    Halve,
    Double,
}

/// A residual block.
#[derive(Clone, Debug)]
pub(crate) struct ResidualPlan {
    pub(crate) name: String,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) resample: Resample,
    /// Cells of the patch per cell of the block's output, along a side.
    coarseness: usize,
}

/// The layers of a network, with the reference's names.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) downward: Vec<ResidualPlan>,
    pub(crate) middle: [ResidualPlan; 2],
    /// Each stage first takes the output of the matching downward block as more channels.
    pub(crate) upward: Vec<Vec<ResidualPlan>>,
    input_channels: usize,
    fields: usize,
    first_channels: usize,
    base_channels: usize,
    embedding_channels: usize,
    bottleneck_channels: usize,
    bottleneck_coarseness: usize,
}

/// First values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fill {
    Zeros,
    Ones,
    /// Uniform in ±bound.
    Uniform {
        bound: f64,
    },
}

/// Shape and first values of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParameterPlan {
    pub(crate) shape: Vec<usize>,
    pub(crate) fill: Fill,
}

impl Plan {
    pub(crate) const FIRST: &str = "input_blocks.0.0";
    pub(crate) const ATTENTION: &str = "middle_block.1";
    pub(crate) const EMBEDDING: [&str; 2] = ["cond_embed.0", "cond_embed.2"];
    pub(crate) const OUT: [&str; 2] = ["out.0", "out.2"];

    /// The layers of a valid configuration.
    ///
    /// # Source
    /// Dhariwal & Nichol 2021, arXiv:2105.05233, with residual up- and down-sampling.
    pub(crate) fn new(config: &NetworkConfig) -> Self {
        let levels = config.channel_multipliers.len();
        let mut channels = config.level_channels(0);
        let mut skips = vec![channels];
        let mut downward = Vec::new();
        for level in 0..levels {
            let halve = (level + 1 < levels).then_some(Resample::Halve);
            for resample in (0..config.residual_blocks).map(|_| Resample::Keep).chain(halve) {
                let name = format!("input_blocks.{}.0", downward.len() + 1);
                let coarseness = 1 << (level + usize::from(resample == Resample::Halve));
                let outputs = config.level_channels(level);
                downward.push(ResidualPlan { name, inputs: channels, outputs, resample, coarseness });
                channels = outputs;
                skips.push(channels);
            }
        }
        let bottleneck_coarseness = 1 << (levels - 1);
        let middle = ["middle_block.0", "middle_block.2"].map(|name| ResidualPlan {
            name: name.to_owned(),
            inputs: channels,
            outputs: channels,
            resample: Resample::Keep,
            coarseness: bottleneck_coarseness,
        });
        Self {
            upward: upward(config, channels, skips),
            downward,
            middle,
            input_channels: config.input_channels(),
            fields: config.fields,
            first_channels: config.level_channels(0),
            base_channels: config.base_channels,
            embedding_channels: config.embedding_channels(),
            bottleneck_channels: channels,
            bottleneck_coarseness,
        }
    }

    /// Every residual block in the order of evaluation.
    fn residuals(&self) -> impl Iterator<Item = &ResidualPlan> {
        self.downward.iter().chain(&self.middle).chain(self.upward.iter().flatten())
    }

    /// Every parameter by name.
    pub(crate) fn parameters(&self) -> BTreeMap<String, ParameterPlan> {
        let mut list = ParameterList::default();
        let (base, wide) = (self.base_channels, self.embedding_channels);
        list.map(Self::EMBEDDING[0], &[wide, base], Start::Random);
        list.map(Self::EMBEDDING[1], &[wide, wide], Start::Random);
        list.map(Self::FIRST, &[self.first_channels, self.input_channels, 3, 3, 3], Start::Random);
        for block in self.residuals() {
            let at = |part: &str| format!("{}.{part}", block.name);
            list.norm(&at("in_layers.0"), block.inputs);
            list.map(&at("in_layers.2"), &[block.outputs, block.inputs, 3, 3, 3], Start::Random);
            list.map(&at("emb_layers.1"), &[2 * block.outputs, wide], Start::Random);
            list.norm(&at("out_layers.0"), block.outputs);
            list.map(&at("out_layers.3"), &[block.outputs, block.outputs, 3, 3, 3], Start::Zero);
            if block.inputs != block.outputs {
                list.map(&at("skip_connection"), &[block.outputs, block.inputs, 1, 1, 1], Start::Random);
            }
        }
        let (attention, channels) = (Self::ATTENTION, self.bottleneck_channels);
        list.norm(&format!("{attention}.norm"), channels);
        list.map(&format!("{attention}.qkv"), &[3 * channels, channels, 1], Start::Random);
        list.map(&format!("{attention}.proj_out"), &[channels, channels, 1], Start::Zero);
        list.norm(Self::OUT[0], self.first_channels);
        list.map(Self::OUT[1], &[self.fields, self.first_channels, 3, 3, 3], Start::Zero);
        list.parameters
    }

    /// Number of parameters that are trained.
    pub(crate) fn parameter_count(&self) -> usize {
        self.parameters().values().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    }

    /// Products of one evaluation on a cubic patch, or the most that 64 bits hold.
    pub(crate) fn products(&self, patch_cells: usize) -> u64 {
        let product = |numbers: &[u128]| numbers.iter().fold(1u128, |product, &n| product.saturating_mul(n));
        let cells = |coarseness: usize| product(&[(patch_cells / coarseness) as u128; 3]);
        let [base, wide, first, channels] =
            [self.base_channels, self.embedding_channels, self.first_channels, self.bottleneck_channels]
                .map(|count| count as u128);
        let at_faces = (self.input_channels + self.fields) as u128;
        let tokens = cells(self.bottleneck_coarseness);
        let mut parts = vec![product(&[base, wide]), product(&[wide, wide])];
        parts.push(product(&[27, first, at_faces, cells(1)]));
        for block in self.residuals() {
            let [inputs, outputs] = [block.inputs, block.outputs].map(|count| count as u128);
            let skip = if inputs == outputs { 0 } else { inputs * outputs };
            parts.push(product(&[27 * outputs * (inputs + outputs) + skip, cells(block.coarseness)]));
            parts.push(product(&[wide, 2, outputs]));
        }
        parts.push(product(&[4, channels, channels, tokens]));
        parts.push(product(&[2, tokens, tokens, channels]));
        let total = parts.into_iter().fold(0u128, u128::saturating_add);
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

/// Axes of a foreign tensor that an error repeats.
const MOST_AXES_SHOWN: usize = 8;
/// Most trained numbers, a thousand times those of the paper: 128 GB.
const MOST_PARAMETERS: usize = 32_000_000_000;

impl NetworkConfig {
    /// Checks every setting. A network that passes can be planned and counted, whatever file it comes from.
    ///
    /// # Errors
    /// [`DenoiserError::Setting`] or [`DenoiserError::Channels`], naming the JSON key.
    pub fn validate(&self) -> Result<(), DenoiserError> {
        self.validate_settings()?;
        let (setting, expected) = ("channel_multipliers", "a network of at most 3.2e10 parameters");
        match Plan::new(self).parameter_count() {
            count if count <= MOST_PARAMETERS => Ok(()),
            count => Err(DenoiserError::Setting { setting, expected, found: count.to_string() }),
        }
    }

    /// Checks that names and shapes are exactly those of the parameters, before any value is read.
    ///
    /// # Errors
    /// As [`validate`](Self::validate) and [`Parameters::from_tensors`](crate::Parameters::from_tensors).
    pub fn check_shapes<'a>(
        &self,
        shapes: impl Iterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<(), DenoiserError> {
        self.validate()?;
        let mut shapes: BTreeMap<&str, &[usize]> = shapes.collect();
        for (name, ParameterPlan { shape: expected, .. }) in Plan::new(self).parameters() {
            match shapes.remove(name.as_str()) {
                None => return Err(DenoiserError::MissingParameter { name }),
                Some(found) if found != expected => {
                    let found = found.iter().copied().take(MOST_AXES_SHOWN).collect();
                    return Err(DenoiserError::ParameterShape { name, expected, found });
                }
                Some(_) => {}
            }
        }
        match shapes.pop_first() {
            Some((name, _)) => Err(DenoiserError::ExtraParameter { name: short(name) }),
            None => Ok(()),
        }
    }

    /// Number of parameters that are trained.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn parameter_count(&self) -> Result<usize, DenoiserError> {
        self.validate()?;
        Ok(Plan::new(self).parameter_count())
    }

    /// Floating-point operations of one evaluation on one cubic patch: two for each product of the direct
    /// sums of convolutions, linear layers and attention; norms and activations are not counted. What does not fit
    /// into 64 bits is the most that does.
    ///
    /// # Errors
    /// As [`validate`](Self::validate) and [`validate_patch`](Self::validate_patch).
    pub fn flop_per_evaluation(&self, patch_cells: usize) -> Result<u64, DenoiserError> {
        self.validate()?;
        self.validate_patch(patch_cells)?;
        Ok(Plan::new(self).products(patch_cells).saturating_mul(2))
    }
}

fn upward(config: &NetworkConfig, mut channels: usize, mut skips: Vec<usize>) -> Vec<Vec<ResidualPlan>> {
    let mut stages = Vec::new();
    for level in (0..config.channel_multipliers.len()).rev() {
        for block in 0..=config.residual_blocks {
            let at = |part: usize| format!("output_blocks.{}.{part}", stages.len());
            let outputs = config.level_channels(level);
            let inputs = channels + skips.pop().expect("as many skips were pushed on the way down");
            let (resample, coarseness) = (Resample::Keep, 1 << level);
            let mut stage = vec![ResidualPlan { name: at(0), inputs, outputs, resample, coarseness }];
            channels = outputs;
            if level > 0 && block == config.residual_blocks {
                let (resample, coarseness) = (Resample::Double, 1 << (level - 1));
                stage.push(ResidualPlan { name: at(1), inputs: outputs, outputs, resample, coarseness });
            }
            stages.push(stage);
        }
    }
    stages
}

/// How a linear map starts: at random, or as nothing, so that a block starts as the identity.
#[derive(Clone, Copy)]
enum Start {
    Random,
    Zero,
}

#[derive(Default)]
struct ParameterList {
    parameters: BTreeMap<String, ParameterPlan>,
}

impl ParameterList {
    /// A convolution or linear layer, weight and bias uniform in ±1/√fan_in.
    ///
    /// # Source
    /// He et al. 2015, arXiv:1502.01852, with PyTorch's a = √5: bound = √(6 / ((1 + a²) fan_in)).
    fn map(&mut self, name: &str, shape: &[usize], start: Start) {
        let fan_in = shape[1..].iter().product::<usize>() as f64;
        let fill = match start {
            Start::Random => Fill::Uniform { bound: 1.0 / fan_in.sqrt() },
            Start::Zero => Fill::Zeros,
        };
        self.insert(name, "weight", shape, fill);
        self.insert(name, "bias", &shape[..1], fill);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.insert(name, "weight", &[channels], Fill::Ones);
        self.insert(name, "bias", &[channels], Fill::Zeros);
    }

    fn insert(&mut self, name: &str, part: &str, shape: &[usize], fill: Fill) {
        self.parameters.insert(format!("{name}.{part}"), ParameterPlan { shape: shape.to_vec(), fill });
    }
}
