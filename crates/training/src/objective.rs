//! The loss of one batch.

use crate::TrainingError;
use crate::draws::Draws;
use candle_core::Tensor;
use finescale_denoiser::{Denoiser, Mode};
use finescale_diffusion::{Denoise, LossNormalization, masked_loss, noising};

/// Mean squared error of the network's output over the voxels to generate; known voxels enter clean.
pub(crate) fn loss(
    denoiser: &Denoiser,
    draws: &Draws,
    normalization: LossNormalization,
    mode: Mode,
) -> Result<Tensor, TrainingError> {
    let Draws { condition, clean, noise, mask, alpha_bars } = draws;
    let known = mask.affine(-1.0, 1.0)?;
    let known_values = (clean * &known)?;
    let noisy = ((noising(clean, noise, alpha_bars)? * mask)? + &known_values)?;
    let condition = if denoiser.takes_known_channels() {
        Tensor::cat(&[condition, &known, &known_values], 1)? // (b, 3, n, n, n)
    } else {
        condition.clone()
    };
    // Levels in f64: in f32 those of little noise round to 1.
    let levels = Tensor::new(alpha_bars.as_slice(), clean.device())?;
    let residual = denoiser.residual(clean, &noisy, &condition, noise, &levels, mode)?;
    Ok(masked_loss(&residual, &residual.zeros_like()?, mask, normalization)?)
}
