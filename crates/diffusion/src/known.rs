//! Voxels that are known already.

use crate::training::check_mask;
use crate::{Denoise, DiffusionError};
use candle_core::{DType, Tensor};

/// Voxels whose clean values are known: they enter the network as they are, and come out so.
///
/// This is the one place that knows how: training and sampling hold known voxels by [`hold`](Self::hold), and a network
/// that takes known channels sees, after its condition's channels, 1 where a voxel is known, and the values there.
#[derive(Clone, Debug)]
pub struct Known {
    generate: Tensor,
    values: Tensor,
    channels: Tensor,
}

impl Known {
    /// `mask` is 1 where a voxel is to be generated and 0 where `values` holds it.
    ///
    /// # Shapes
    /// `mask`: (b, 1, n, n, n); `values`: (b, fields, n, n, n), f32.
    /// # Errors
    /// [`DiffusionError::Shape`] if the shapes do not fit.
    pub fn new(mask: &Tensor, values: &Tensor) -> Result<Self, DiffusionError> {
        check_mask("the mask", mask, values)?;
        let generate = mask.to_dtype(DType::U8)?.broadcast_as(values.shape())?.contiguous()?;
        // Chosen, not multiplied: the values of unknown voxels may be anything, also NaN.
        let values = generate.where_cond(&values.zeros_like()?, values)?;
        let channels = Tensor::cat(&[&mask.affine(-1.0, 1.0)?, &values], 1)?; // (b, 1 + fields, n, n, n)
        Ok(Self { generate, values, channels })
    }

    /// `tensor` with the known voxels set to their values.
    ///
    /// # Errors
    /// Whatever the tensor operations report, for another shape.
    pub fn hold(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        self.generate.where_cond(&tensor.contiguous()?, &self.values)
    }

    /// The condition as `denoiser` takes it: followed by the known channels, if it takes those.
    ///
    /// # Shapes
    /// `condition`: (b, c, n, n, n); the result has c or c + 1 + fields channels.
    /// # Errors
    /// Whatever the tensor operations report, for another shape.
    pub fn join(&self, condition: &Tensor, denoiser: &dyn Denoise) -> candle_core::Result<Tensor> {
        match denoiser.takes_known_channels() {
            true => Tensor::cat(&[condition, &self.channels], 1),
            false => Ok(condition.clone()),
        }
    }

    /// Takes apart what [`join`](Self::join) put together: the `channels` of the condition, where voxels are known, and
    /// their values.
    ///
    /// # Shapes
    /// (b, channels, n, n, n), (b, 1, n, n, n) and (b, fields, n, n, n).
    /// # Errors
    /// Whatever the tensor operations report, for another shape.
    pub fn split(joined: &Tensor, channels: usize) -> candle_core::Result<[Tensor; 3]> {
        let fields = joined.dim(1)? - channels - 1;
        let part = |start, length| joined.narrow(1, start, length);
        Ok([part(0, channels)?, part(channels, 1)?, part(channels + 1, fields)?])
    }
}

/// A denoiser that is told which voxels are known: it sees their clean values in the noisy input, and its estimate holds
/// them to the bit. No solver knows of masks.
pub struct WithKnown<'a> {
    denoiser: &'a dyn Denoise,
    known: Known,
}

impl<'a> WithKnown<'a> {
    /// Wraps `denoiser`. Mask and values are those of [`Known::new`].
    ///
    /// # Errors
    /// [`DiffusionError::Shape`] if the shapes do not fit.
    pub fn new(denoiser: &'a dyn Denoise, mask: &Tensor, values: &Tensor) -> Result<Self, DiffusionError> {
        Ok(Self { denoiser, known: Known::new(mask, values)? })
    }
}

impl Denoise for WithKnown<'_> {
    fn predict_clean(
        &self,
        noisy: &Tensor,
        condition: &Tensor,
        noise_level: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let (noisy, condition) = (self.known.hold(noisy)?, self.known.join(condition, self.denoiser)?);
        self.known.hold(&self.denoiser.predict_clean(&noisy, &condition, noise_level)?)
    }

    fn first_guess(&self, condition: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.denoiser.first_guess(condition)
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
        let known = Known::new(&row([1.0, 0.0, 1.0]), &row([5.0, 0.25, 5.0])).unwrap();
        let channels: Vec<f32> = known.channels.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(channels, [0.0, 1.0, 0.0, 0.0, 0.25, 0.0]);
        let joined = known.join(&row([10.0; 3]), &Sum { known_channels: true }).unwrap();
        let parts = Known::split(&joined, 1)
            .unwrap()
            .map(|part| part.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert_eq!(parts, [vec![10.0f32; 3], vec![0.0, 1.0, 0.0], vec![0.0, 0.25, 0.0]]);
    }

    #[test]
    fn a_voxel_is_known_in_all_fields_or_in_none() {
        let values = Tensor::cat(&[row([5.0, 0.25, 5.0]), row([5.0, 0.75, 5.0])], 1).unwrap();
        let known = Known::new(&row([1.0, 0.0, 1.0]), &values).unwrap();
        let channels: Vec<f32> = known.channels.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(channels, [0.0, 1.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.75, 0.0]);
        let held = known.hold(&values.affine(0.0, 9.0).unwrap()).unwrap();
        assert_eq!(held.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [9.0, 0.25, 9.0, 9.0, 0.75, 9.0]);
    }

    #[test]
    fn a_mask_of_another_shape_is_refused() {
        let mask = Tensor::ones((1, 1, 1, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let error = Known::new(&mask, &row([0.0; 3])).unwrap_err();
        assert!(matches!(error, DiffusionError::Shape { what: "the mask", .. }));
    }
}
