//! The seam between networks and samplers.

use candle_core::Tensor;

/// Estimates the clean patches behind a batch of noisy ones.
pub trait Denoise {
    /// noisy (b, fields, n, n, n), condition (b, c, n, n, n), noise_level (b,) -> clean estimate (b, fields, n, n, n).
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

    /// The mean of the clean field as far as the condition says it without an evaluation, of the shape of the clean field:
    /// what the first evaluation is given to see in its noise. None is zero.
    ///
    /// # Errors
    /// Whatever the tensor operations report.
    fn first_guess(&self, condition: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let _ = condition;
        Ok(None)
    }

    /// Whether the condition must carry more channels, `1 - mask` and, of each field, `(1 - mask) * values` of the
    /// known voxels. [`WithKnown`](crate::WithKnown) appends them.
    fn takes_known_channels(&self) -> bool {
        false
    }
}
