//! The loss of one batch.

use crate::TrainingError;
use crate::noised_batch::NoisedBatch;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use finescale_denoiser::{Denoiser, Mode, Residual};
use finescale_diffusion::{Known, masked_loss, noising};

/// Mean squared error of the network's output over the voxels to generate; known voxels enter clean.
pub(crate) fn loss(denoiser: &Denoiser, batch: &NoisedBatch, mode: Mode) -> Result<Loss, TrainingError> {
    let residual = residual(denoiser, batch, mode)?;
    let values = residual.values()?;
    let value = masked_loss(&values, &values.zeros_like()?, &batch.mask, &batch.weight)?;
    Ok(Loss { value, residual })
}

/// What the loss is made of: the network's output minus what it should be.
pub(crate) fn residual(
    denoiser: &Denoiser,
    batch: &NoisedBatch,
    mode: Mode,
) -> Result<Residual, TrainingError> {
    let NoisedBatch { condition, clean, noise, mask, alpha_bars, .. } = batch;
    let known = Known::new(mask, clean)?;
    let noisy = known.hold(&noising(clean, noise, alpha_bars)?)?;
    let condition = known.join(condition, denoiser)?;
    // Levels in f64: in f32 those of little noise round to 1.
    let levels = Tensor::new(alpha_bars.as_slice(), clean.device())?;
    Ok(denoiser.residual(clean, &noisy, &condition, noise, &levels, mode)?)
}

/// Mean of clean estimate minus clean field over the voxels to generate, weighted as the loss weights them. The
/// best estimate has none at any level of noise; what a network has, samples inherit.
pub(crate) fn bias(denoiser: &Denoiser, batch: &NoisedBatch, loss: &Loss) -> Result<f64, TrainingError> {
    let levels = Tensor::new(batch.alpha_bars.as_slice(), batch.clean.device())?;
    let error = denoiser.clean_error(&loss.residual.values()?, &levels)?;
    let weight = (&batch.mask * &batch.weight)?.broadcast_as(error.shape())?;
    let sum = |tensor: &Tensor| -> Result<f64, TrainingError> {
        Ok(tensor.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?)
    };
    // With nothing to generate there is no error.
    Ok(sum(&(error * &weight)?)? / sum(&weight)?.max(f64::MIN_POSITIVE))
}

/// A loss and the way back from it.
pub(crate) struct Loss {
    value: Tensor,
    residual: Residual,
}

impl Loss {
    pub(crate) fn value(&self) -> Result<f64, TrainingError> {
        Ok(f64::from(self.value.to_scalar::<f32>()?))
    }

    /// `share` times its gradients by all parameters, if it was made in [`Mode::Train`].
    pub(crate) fn backward(self, share: f64) -> Result<GradStore, TrainingError> {
        Ok(self.residual.backward(&self.value.affine(share, 0.0)?)?)
    }
}
