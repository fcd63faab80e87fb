//! The distance of two distributions of densities.

use crate::{SpectraError, log_density};
use finescale_field::Field3;
use rayon::prelude::*;

/// Wasserstein-1 distance of the distributions of [`ln(1 + δ)`](crate::log_density) over the voxels of two
/// fields, in units of that natural logarithm: ∫ |F⁻¹(q) − G⁻¹(q)| dq. The fields may have different grids.
///
/// # Errors
/// [`SpectraError::NotADensity`] if a value is not finite.
/// # Source
/// Vallender 1974, Theory Probab. Appl. 18, 784: in one dimension the distance is that of the quantile
/// functions.
pub fn wasserstein(a: &Field3, b: &Field3) -> Result<f64, SpectraError> {
    let [a, b] = [sorted(log_density(a)?), sorted(log_density(b)?)];
    Ok(of_sorted(a.as_slice(), b.as_slice()))
}

/// The values of a field in rising order, wherever they lay.
fn sorted(mut field: Field3) -> Field3 {
    field.as_slice_mut().par_sort_unstable_by(f32::total_cmp);
    field
}

/// The same of two rising, non-empty lists.
fn of_sorted(a: &[f32], b: &[f32]) -> f64 {
    // The quantile q in units of 1 / (|a| |b|), so that steps are compared exactly.
    let (count_a, count_b) = (a.len() as u128, b.len() as u128);
    let (mut i, mut j, mut q, mut sum) = (0, 0, 0u128, 0.0);
    while i < a.len() && j < b.len() {
        let (end_a, end_b) = ((i as u128 + 1) * count_b, (j as u128 + 1) * count_a);
        let end = end_a.min(end_b);
        sum += (f64::from(a[i]) - f64::from(b[j])).abs() * (end - q) as f64;
        q = end;
        i += usize::from(end == end_a);
        j += usize::from(end == end_b);
    }
    sum / (count_a * count_b) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    #[test]
    fn distances_by_hand() {
        assert_eq!(of_sorted(&[0.0, 1.0], &[0.0, 1.0]), 0.0);
        assert_eq!(of_sorted(&[0.0, 1.0], &[0.5, 3.5]), 1.5);
        // Quantiles over sixths: a = 0 0 0 1 1 1, b = 0 0 2 2 4 4.
        assert_eq!(of_sorted(&[0.0, 1.0], &[0.0, 2.0, 4.0]), (2.0 + 1.0 + 3.0 + 3.0) / 6.0);
        assert_eq!(of_sorted(&[0.0, 2.0, 4.0], &[0.0, 1.0]), 1.5);
    }

    #[test]
    fn a_factor_in_density_is_its_logarithm() {
        let grid = Grid::new([4, 5, 6], [1.0; 3]).unwrap();
        let values = Array3::from_shape_fn(grid.cells(), |(i, j, k)| 0.1 + ((i * 7 + j * 3 + k) % 11) as f32);
        let field = Field3::new(grid, values).unwrap();
        let distance = wasserstein(&field, &field.map(|v| 1.5 * v)).unwrap();
        assert!((distance - 1.5f64.ln()).abs() < 1e-6, "{distance}");
        // Where a voxel lies does not matter.
        let mut moved = field.clone();
        moved.as_slice_mut().reverse();
        assert_eq!(wasserstein(&field, &moved).unwrap(), 0.0);
        // Empty voxels stand at the floor.
        let empty = wasserstein(&field.map(|_| 0.0), &field.map(|_| 1.0)).unwrap();
        assert!((empty - 1000f64.ln()).abs() < 1e-6, "{empty}");
    }
}
