//! The continuous ranked probability score of an ensemble.

use crate::ranks::check_ensemble;
use crate::{SpectraError, blocks::block_means};
use finescale_field::Field3;
use rayon::prelude::*;

/// Fair CRPS of `samples` about `truth`, the mean over blocks of `block`³ voxels (1: over voxels), in the units
/// of the fields: ⟨ (1/M) Σ |x_i − y| − 1/(M (M − 1)) Σ_{i<j} |x_i − x_j| ⟩. Its expectation does not depend on
/// M, and is the lowest for samples drawn from the truth's own distribution. Where one distribution is wide and
/// another is narrow the wide one rules the mean: give [`log_density`](crate::log_density) for a score that
/// voids count in.
///
/// # Errors
/// [`SpectraError::Samples`] for fewer than two samples; [`SpectraError::Grids`] if they are not on the truth's
/// grid; [`SpectraError::Blocks`] if a block does not divide the grid; [`SpectraError::NotADensity`] if a value
/// is not finite.
/// # Source
/// Ferro 2014, Q. J. R. Meteorol. Soc. 140, 1917, on fair scores.
pub fn fair_crps(truth: &Field3, samples: &[&Field3], block: usize) -> Result<f64, SpectraError> {
    check_ensemble(truth, samples)?;
    let truth = block_means(truth, block)?;
    let samples = samples.iter().map(|sample| block_means(sample, block)).collect::<Result<Vec<_>, _>>()?;
    let [nx, ny, nz] = truth.grid().cells();
    let of_plane = |x: usize| {
        let mut drawn = vec![0f64; samples.len()];
        let of_voxel = |at: usize| {
            drawn
                .iter_mut()
                .zip(&samples)
                .for_each(|(drawn, sample)| *drawn = f64::from(sample.as_slice()[at]));
            of_values(f64::from(truth.as_slice()[at]), &mut drawn)
        };
        (x * ny * nz..(x + 1) * ny * nz).map(of_voxel).sum::<f64>()
    };
    let planes: Vec<f64> = (0..nx).into_par_iter().map(of_plane).collect();
    Ok(planes.iter().sum::<f64>() / truth.grid().voxels() as f64)
}

/// Fair CRPS of values, which it sorts.
fn of_values(truth: f64, drawn: &mut [f64]) -> f64 {
    let count = drawn.len() as f64;
    let error = drawn.iter().map(|value| (value - truth).abs()).sum::<f64>() / count;
    // Σ_{i<j} |x_i − x_j| of rising values: the i-th is the larger of i pairs and the smaller of M − 1 − i.
    drawn.sort_unstable_by(f64::total_cmp);
    let pairs: f64 =
        drawn.iter().enumerate().map(|(i, value)| (2.0 * i as f64 - (count - 1.0)) * value).sum();
    error - pairs / (count * (count - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    #[test]
    fn scores_by_hand() {
        // Errors 1, 1, 4; pairs 2, 5, 3.
        assert_eq!(of_values(1.0, &mut [5.0, 0.0, 2.0]), 2.0 - 10.0 / 6.0);
        assert_eq!(of_values(3.0, &mut [1.0, 1.0]), 2.0);
        assert_eq!(of_values(0.5, &mut [0.0, 1.0]), 0.0);
    }

    #[test]
    fn blocks_are_scored_by_their_means() {
        let grid = Grid::new([2, 2, 4], [1.0; 3]).unwrap();
        let constant = |low: f32, high: f32| {
            let value = |(i, j, k): (usize, usize, usize)| {
                (if k < 2 { low } else { high }) + if (i + j + k) % 2 == 0 { 7.0 } else { -7.0 }
            };
            Field3::new(grid, Array3::from_shape_fn((2, 2, 4), value)).unwrap()
        };
        let (truth, samples) =
            (constant(1.0, 3.0), [constant(0.0, 1.0), constant(2.0, 1.0), constant(5.0, 1.0)]);
        let samples: Vec<_> = samples.iter().collect();
        let expected = 0.5 * (2.0 - 10.0 / 6.0) + 0.5 * 2.0;
        assert!((fair_crps(&truth, &samples, 2).unwrap() - expected).abs() < 1e-12);
        assert_eq!(fair_crps(&truth, &samples, 4), Err(SpectraError::Blocks { block: 4, cells: [2, 2, 4] }));
        let one = fair_crps(&truth, &samples[..1], 2);
        assert_eq!(one, Err(SpectraError::Samples { needed: 2, found: 1 }));
    }
}
