//! The seam between networks and samplers.

use crate::{DiffusionError, KeyedNoise};
use candle_core::{DType, Device, Tensor};

/// Estimates the clean patches behind a batch of noisy ones.
pub trait Denoise {
    /// noisy (b, 1, n, n, n), condition (b, c, n, n, n), noise_level (b,) -> clean estimate (b, 1, n, n, n).
    /// `noise_level` is ᾱ, f32. An estimate within the range of the data (static thresholding) is the denoiser's own
    /// business: solvers take it as it is.
    ///
    /// # Errors
    /// Whatever the tensor operations report.
    fn predict_clean(
        &self,
        noisy: &Tensor,
        condition: &Tensor,
        noise_level: &Tensor,
    ) -> candle_core::Result<Tensor>;

    /// Whether the condition must carry two more channels, `1 - mask` and `(1 - mask) * values` of the known
    /// voxels. [`WithKnown`](crate::WithKnown) appends them.
    fn takes_known_channels(&self) -> bool {
        false
    }
}

/// A sampler as a list of network evaluations, each at its noise level, with an update of the state after each.
///
/// States may have any size: a window, a whole volume, or a slab of it, since every update is voxel by voxel. A
/// solver keeps nothing between updates: what it must remember travels as a tensor beside the state, so that both
/// can be stored and a sample resumed at any evaluation.
pub trait Solver: Send + Sync {
    /// ᾱ at which the network is evaluated, in order: one for each evaluation. Levels may come twice, for a second
    /// look, and rise again, where a solver adds noise.
    fn noise_levels(&self) -> &[f64];

    /// The state for the next evaluation, given the `clean` estimate for the present one. Evaluations count from 0;
    /// the update after the last one returns a clean state. `memory` is what the update before returned, `None` at
    /// the first.
    ///
    /// # Shapes
    /// `state`, `clean`, `memory` and the noise: the same shape, which is also the result's.
    /// # Errors
    /// [`DiffusionError::Step`] if there is no such evaluation, and whatever the noise or the tensor operations
    /// report.
    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        memory: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError>;

    /// The state at the first level, √ᾱ · clean + √(1 − ᾱ) · noise, of the unit `noise` that sampling starts from and
    /// the network's estimate for it. Noise alone lacks the mean: a deterministic solver would carry a loss of
    /// sigma_data / sigma_max of it to the end, which dense voxels cannot spare.
    ///
    /// # Shapes
    /// Both the same, which is also the result's.
    /// # Errors
    /// Whatever the tensor operations report.
    fn start(&self, noise: &Tensor, clean: &Tensor) -> Result<Tensor, DiffusionError> {
        let alpha_bar = self.noise_levels()[0];
        Ok((clean.affine(alpha_bar.sqrt(), 0.0)? + noise.affine((1.0 - alpha_bar).sqrt(), 0.0)?)?)
    }

    /// ᾱ of an evaluation for a batch, shape (`batch`,), f32: what a [`Denoise`] is told.
    ///
    /// # Errors
    /// [`DiffusionError::Step`] if there is no such evaluation.
    fn noise_level(
        &self,
        evaluation: usize,
        batch: usize,
        device: &Device,
    ) -> Result<Tensor, DiffusionError> {
        let levels = self.noise_levels();
        let beyond = DiffusionError::Step { step: evaluation, levels: levels.len() };
        let &alpha_bar = levels.get(evaluation).ok_or(beyond)?;
        Ok(Tensor::full(alpha_bar, batch, device)?.to_dtype(DType::F32)?)
    }
}

/// What follows an evaluation.
#[derive(Clone, Debug)]
pub struct Next {
    /// The state for the next evaluation; after the last one, the sample.
    pub state: Tensor,
    /// What the solver needs to remember for the next update.
    pub memory: Option<Tensor>,
}

impl Next {
    /// A state without a past.
    #[must_use]
    pub fn new(state: Tensor) -> Self {
        Self { state, memory: None }
    }
}
