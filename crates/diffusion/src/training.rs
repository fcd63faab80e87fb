//! What a training step needs: noisy patches and the loss over the voxels to generate.

use crate::DiffusionError;
use candle_core::{DType, Tensor};

/// Noisy version of `clean`: √ᾱ · clean + √(1 − ᾱ) · ε, each sample of the batch at its own level.
///
/// # Shapes
/// `clean`, `epsilon`: (b, ...); `alpha_bars`: b levels. Returns the shape of `clean`.
/// # Errors
/// [`DiffusionError::Shape`] if shapes differ.
/// # Source
/// Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 4.
pub fn noising(clean: &Tensor, epsilon: &Tensor, alpha_bars: &[f64]) -> Result<Tensor, DiffusionError> {
    check_shape("the noise", clean, epsilon)?;
    if clean.dims().first() != Some(&alpha_bars.len()) {
        let (expected, found) = (clean.dims()[..1.min(clean.rank())].to_vec(), vec![alpha_bars.len()]);
        return Err(DiffusionError::Shape { what: "the list of noise levels", expected, found });
    }
    let mut per_sample = vec![1; clean.rank()];
    per_sample[0] = alpha_bars.len();
    let factor = |of: fn(f64) -> f64| -> candle_core::Result<Tensor> {
        let factors: Vec<f64> = alpha_bars.iter().map(|&alpha_bar| of(alpha_bar).sqrt()).collect();
        Tensor::from_vec(factors, per_sample.as_slice(), clean.device())?.to_dtype(clean.dtype())
    };
    let signal = clean.broadcast_mul(&factor(|alpha_bar| alpha_bar)?)?;
    let noise = epsilon.broadcast_mul(&factor(|alpha_bar| 1.0 - alpha_bar)?)?;
    Ok((signal + noise)?)
}

/// Mean squared error over the voxels to generate (`mask` = 1) of all fields, each times its `weight`, a scalar.
///
/// Each sample's sum is divided by its number of voxels to generate, and the samples are averaged: all masks weigh the
/// same. (The reference divides by all voxels of the batch, so that a patch weighs by the fraction it generates.)
///
/// # Shapes
/// `prediction`, `target`: (b, fields, n, n, n); `mask`, `weight`: (b, 1, n, n, n).
/// # Errors
/// [`DiffusionError::Shape`] if shapes do not fit.
pub fn masked_loss(
    prediction: &Tensor,
    target: &Tensor,
    mask: &Tensor,
    weight: &Tensor,
) -> Result<Tensor, DiffusionError> {
    check_shape("the target", prediction, target)?;
    check_mask("the mask", mask, prediction)?;
    check_mask("the weight", weight, prediction)?;
    let squares = (prediction - target)?.broadcast_mul(mask)?.sqr()?.broadcast_mul(weight)?;
    let per_sample = squares.flatten_from(1)?.sum(1)?; // (b,)
    // A sample with nothing to generate adds nothing.
    let fields = prediction.dim(1)? as f64;
    let values = mask.flatten_from(1)?.sum(1)?.affine(fields, 0.0)?.maximum(1.0)?; // (b,)
    Ok((per_sample / values)?.mean_all()?.to_dtype(DType::F32)?)
}

/// What the square of each voxel of each field weighs in [`masked_loss`], (b, 1, n, n, n).
///
/// # Errors
/// [`DiffusionError::Shape`] if the shapes of `mask` and `weight`, (b, 1, n, n, n), differ.
pub fn loss_weights(mask: &Tensor, weight: &Tensor, fields: usize) -> Result<Tensor, DiffusionError> {
    check_shape("the weight", mask, weight)?;
    let samples = mask.dim(0)?;
    let values = mask.flatten_from(1)?.sum(1)?.affine(fields as f64, 0.0)?.maximum(1.0)?; // (b,)
    let shares = values.recip()?.affine(1.0 / samples as f64, 0.0)?.reshape((samples, 1, 1, 1, 1))?;
    Ok((mask.sqr()? * weight)?.broadcast_mul(&shares)?)
}

/// Checks that a mask (b, 1, ...) fits fields (b, fields, ...).
pub(crate) fn check_mask(what: &'static str, mask: &Tensor, fields: &Tensor) -> Result<(), DiffusionError> {
    let mut expected = fields.dims().to_vec();
    if let Some(channels) = expected.get_mut(1) {
        *channels = 1;
    }
    if mask.dims() == expected {
        return Ok(());
    }
    Err(DiffusionError::Shape { what, expected, found: mask.dims().to_vec() })
}

fn check_shape(what: &'static str, expected: &Tensor, found: &Tensor) -> Result<(), DiffusionError> {
    if expected.dims() == found.dims() {
        return Ok(());
    }
    Err(DiffusionError::Shape { what, expected: expected.dims().to_vec(), found: found.dims().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn patches(values: &[f32], batch: usize) -> Tensor {
        Tensor::from_slice(values, (batch, 1, 1, 1, values.len() / batch), &Device::Cpu).unwrap()
    }

    #[test]
    fn noising_by_hand_for_each_sample() {
        let noisy = noising(&patches(&[2.0, 3.0], 2), &patches(&[10.0, 5.0], 2), &[0.25, 0.64]).unwrap();
        let noisy: Vec<f32> = noisy.flatten_all().unwrap().to_vec1().unwrap();
        let expected = [0.5 * 2.0 + 0.75f32.sqrt() * 10.0, 0.8 * 3.0 + 0.6 * 5.0];
        for (found, expected) in noisy.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected); // f32, two products
        }
    }

    #[test]
    fn losses_by_hand() {
        let (prediction, target) = (patches(&[1.0, 2.0, 3.0, 4.0], 2), patches(&[0.0, 0.0, 1.0, 1.0], 2));
        let mask = patches(&[1.0, 0.0, 1.0, 1.0], 2);
        let even = patches(&[1.0; 4], 2);
        let loss = |prediction: &Tensor, target: &Tensor, mask: &Tensor, weight: &Tensor| {
            let loss = masked_loss(prediction, target, mask, weight).unwrap();
            let weights = loss_weights(mask, weight, prediction.dim(1).unwrap()).unwrap();
            let squares = (prediction - target).unwrap().sqr().unwrap();
            let weighted = squares.broadcast_mul(&weights).unwrap().sum_all().unwrap();
            let [loss, weighted] = [loss, weighted].map(|sum| sum.to_scalar::<f32>().unwrap());
            assert!((weighted - loss).abs() <= 1e-6 * loss, "{weighted} {loss}");
            loss
        };
        assert_eq!(loss(&prediction, &target, &mask, &even), (1.0 + 13.0 / 2.0) / 2.0);
        let uneven = patches(&[3.0, 7.0, 0.5, 2.0], 2);
        let expected = (3.0 + (0.5 * 4.0 + 2.0 * 9.0) / 2.0) / 2.0;
        assert_eq!(loss(&prediction, &target, &mask, &uneven), expected);
        // Of two fields, one is hit: the mean is over both.
        let two = |a: &Tensor, b: &Tensor| Tensor::cat(&[a, b], 1).unwrap();
        let (found, wanted) = (two(&prediction, &target), two(&target, &target));
        assert_eq!(loss(&found, &wanted, &mask, &uneven), expected / 2.0);
        let nothing = patches(&[0.0; 4], 2);
        assert_eq!(loss(&prediction, &target, &nothing, &even), 0.0);
    }

    #[test]
    fn shapes_must_agree() {
        let (two, three) = (patches(&[0.0; 2], 1), patches(&[0.0; 3], 1));
        let what = |error| match error {
            DiffusionError::Shape { what, .. } => what,
            other => panic!("{other}"),
        };
        assert_eq!(what(noising(&two, &three, &[0.5]).unwrap_err()), "the noise");
        assert_eq!(what(noising(&two, &two, &[0.5; 2]).unwrap_err()), "the list of noise levels");
        let loss = |target, mask, weight| masked_loss(&two, target, mask, weight);
        assert_eq!(what(loss(&three, &two, &two).unwrap_err()), "the target");
        assert_eq!(what(loss(&two, &three, &two).unwrap_err()), "the mask");
        assert_eq!(what(loss(&two, &two, &three).unwrap_err()), "the weight");
    }
}
