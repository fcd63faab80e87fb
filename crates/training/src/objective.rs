//! The loss of one batch, and what it asks of the network.

use crate::TrainingError;
use crate::noised_batch::NoisedBatch;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use finescale_denoiser::{Denoiser, Mode, Question, Residual};
use finescale_diffusion::{Known, masked_loss, noising};

/// A batch as the network meets it: all that is made without the network. Known voxels enter clean.
pub(crate) struct Exercise {
    question: Question,
    mask: Tensor,
    weight: Tensor,
    alpha_bars: Vec<f64>,
    /// What the square of each voxel weighs in the loss of all parts together.
    #[cfg(feature = "cuda")]
    pub(crate) loss_weights: Tensor,
}

impl Exercise {
    /// What `denoiser` is shown of a batch, which is one of `parts` of a larger one.
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only cards weigh parts beforehand"))]
    pub(crate) fn new(denoiser: &Denoiser, batch: &NoisedBatch, parts: usize) -> Result<Self, TrainingError> {
        let NoisedBatch { condition, clean, noise, mask, weight, alpha_bars } = batch;
        let known = Known::new(mask, clean)?;
        let noisy = known.hold(&noising(clean, noise, alpha_bars)?)?;
        let condition = known.join(condition, denoiser)?;
        // Levels in f64: in f32 those of little noise round to 1.
        let levels = Tensor::new(alpha_bars.as_slice(), clean.device())?;
        Ok(Self {
            question: denoiser.question(clean, &noisy, &condition, noise, &levels)?,
            #[cfg(feature = "cuda")]
            loss_weights: finescale_diffusion::loss_weights(mask, weight, clean.dim(1)?)?
                .affine(1.0 / parts as f64, 0.0)?,
            mask: mask.clone(),
            weight: weight.clone(),
            alpha_bars: alpha_bars.clone(),
        })
    }

    /// What the loss is made of: the network's output minus what it should be.
    pub(crate) fn residual(&self, denoiser: &Denoiser, mode: Mode) -> Result<Residual, TrainingError> {
        Ok(denoiser.residual_of(&self.question, mode)?)
    }
}

/// Mean squared error of the network's output over the voxels to generate.
pub(crate) fn loss(denoiser: &Denoiser, exercise: &Exercise, mode: Mode) -> Result<Loss, TrainingError> {
    let residual = exercise.residual(denoiser, mode)?;
    let values = residual.values()?;
    let value = masked_loss(&values, &values.zeros_like()?, &exercise.mask, &exercise.weight)?;
    Ok(Loss { value, residual })
}

/// Mean of clean estimate minus clean field over the voxels to generate, weighted as the loss weights them. The
/// best estimate has none at any level of noise; what a network has, samples inherit.
pub(crate) fn bias(denoiser: &Denoiser, exercise: &Exercise, loss: &Loss) -> Result<f64, TrainingError> {
    let levels = Tensor::new(exercise.alpha_bars.as_slice(), exercise.mask.device())?;
    let error = denoiser.clean_error(&loss.residual.values()?, &levels)?;
    let weight = (&exercise.mask * &exercise.weight)?.broadcast_as(error.shape())?;
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
