//! Voxels that are known already.

use crate::training::check_mask;
use crate::{Denoise, DiffusionError};
use candle_core::{DType, Tensor};

/// A denoiser that is told which voxels are known: it sees their clean values in the noisy input, and its
/// estimate holds them to the bit. No solver knows of masks.
pub struct WithKnown<'a> {
    denoiser: &'a dyn Denoise,
    generate: Tensor,
    values: Tensor,
    channels: Tensor,
}

impl<'a> WithKnown<'a> {
    /// Wraps `denoiser`. `mask` is 1 where a voxel is to be generated and 0 where `values` holds it.
    ///
    /// # Shapes
    /// `mask`: (b, 1, n, n, n); `values`: (b, fields, n, n, n), f32.
    /// # Errors
    /// [`DiffusionError::Shape`] if the shapes do not fit.
    pub fn new(denoiser: &'a dyn Denoise, mask: &Tensor, values: &Tensor) -> Result<Self, DiffusionError> {
        check_mask("the mask", mask, values)?;
        let generate = mask.to_dtype(DType::U8)?.broadcast_as(values.shape())?.contiguous()?;
        // Chosen, not multiplied: the values of unknown voxels may be anything, also NaN.
        let known_values = generate.where_cond(&values.zeros_like()?, values)?;
        let channels = Tensor::cat(&[&mask.affine(-1.0, 1.0)?, &known_values], 1)?; // (b, 1 + fields, n, n, n)
        Ok(Self { denoiser, generate, values: known_values, channels })
    }

    /// `tensor` with the known voxels set to their values.
    ///
    /// # Errors
    /// Whatever the tensor operations report, for another shape.
    pub fn hold(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        self.generate.where_cond(&tensor.contiguous()?, &self.values)
    }
}

impl Denoise for WithKnown<'_> {
    fn predict_clean(
        &self,
        noisy: &Tensor,
        condition: &Tensor,
        noise_level: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let noisy = self.hold(noisy)?;
        let clean = if self.denoiser.takes_known_channels() {
            let condition = Tensor::cat(&[condition, &self.channels], 1)?; // (b, c + 1 + fields, n, n, n)
            self.denoiser.predict_clean(&noisy, &condition, noise_level)?
        } else {
            self.denoiser.predict_clean(&noisy, condition, noise_level)?
        };
        self.hold(&clean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Adds up its input channels, so that a test sees what it was given.
    struct Sum {
        known_channels: bool,
    }

    impl Denoise for Sum {
        fn predict_clean(
            &self,
            noisy: &Tensor,
            condition: &Tensor,
            _: &Tensor,
        ) -> candle_core::Result<Tensor> {
            noisy + condition.sum_keepdim(1)?
        }
        fn takes_known_channels(&self) -> bool {
            self.known_channels
        }
    }

    fn row(values: [f32; 3]) -> Tensor {
        Tensor::from_slice(&values, (1, 1, 1, 1, 3), &Device::Cpu).unwrap()
    }

    fn estimate(known_channels: bool) -> Vec<f32> {
        let denoiser = Sum { known_channels };
        let known = WithKnown::new(&denoiser, &row([1.0, 0.0, 1.0]), &row([f32::NAN, 0.1, 9.0])).unwrap();
        let level = Tensor::new(&[0.5f32], &Device::Cpu).unwrap();
        let clean = known.predict_clean(&row([1.0, 2.0, 3.0]), &row([10.0; 3]), &level).unwrap();
        clean.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn known_voxels_stay_to_the_bit_and_the_rest_is_estimated() {
        assert_eq!(estimate(false), [11.0, 0.1, 13.0]);
    }

    #[test]
    fn known_channels_are_appended_on_request() {
        // Unknown voxels: both channels are zero there.
        assert_eq!(estimate(true), [11.0, 0.1, 13.0]);
        let denoiser = Sum { known_channels: true };
        let known = WithKnown::new(&denoiser, &row([1.0, 0.0, 1.0]), &row([5.0, 0.25, 5.0])).unwrap();
        let channels: Vec<f32> = known.channels.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(channels, [0.0, 1.0, 0.0, 0.0, 0.25, 0.0]);
    }

    #[test]
    fn a_voxel_is_known_in_all_fields_or_in_none() {
        let values = Tensor::cat(&[row([5.0, 0.25, 5.0]), row([5.0, 0.75, 5.0])], 1).unwrap();
        let known = WithKnown::new(&Sum { known_channels: true }, &row([1.0, 0.0, 1.0]), &values).unwrap();
        let channels: Vec<f32> = known.channels.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(channels, [0.0, 1.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.75, 0.0]);
        let held = known.hold(&values.affine(0.0, 9.0).unwrap()).unwrap();
        assert_eq!(held.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [9.0, 0.25, 9.0, 9.0, 0.75, 9.0]);
    }

    #[test]
    fn a_mask_of_another_shape_is_refused() {
        let mask = Tensor::ones((1, 1, 1, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let error = WithKnown::new(&Sum { known_channels: false }, &mask, &row([0.0; 3])).err().unwrap();
        assert!(matches!(error, DiffusionError::Shape { what: "the mask", .. }));
    }
}
