//! The seam between networks and samplers.

use crate::{DiffusionError, KeyedNoise};
use candle_core::Tensor;

/// Estimates the clean patches behind a batch of noisy ones.
pub trait Denoise {
    /// noisy (b, 1, n, n, n), condition (b, c, n, n, n), noise_level (b,) -> clean estimate (b, 1, n, n, n).
    /// `noise_level` is ᾱ, f32.
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

/// One reverse step of a state of any size: a window, or a whole volume.
pub trait Solver {
    /// The state after `step`, given the `clean` estimate for the state before it. Steps count from 0 (the
    /// noisiest level) to the number of levels; the step after the last level returns a clean state.
    ///
    /// # Shapes
    /// `state`, `clean` and the noise: the same shape, which is also the result's.
    /// # Errors
    /// [`DiffusionError::Step`] if the step is outside the levels, and whatever the noise or the tensor
    /// operations report.
    fn step(
        &mut self,
        state: &Tensor,
        clean: &Tensor,
        step: usize,
        noise: &KeyedNoise,
    ) -> Result<Tensor, DiffusionError>;
}
