//! Local maxima.

use crate::minkowski::check_thresholds;
use crate::values::mean;
use crate::{Kernel, Smoother, SpectraError, log_density};
use finescale_field::Field3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Radius of the Gaussian that [`peak_counts`] smooths with, in voxels.
const RADIUS_VOXELS: f64 = 1.0;

/// Number of peaks above thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeakCounts {
    /// Thresholds in standard deviations above the mean.
    pub nu: Vec<f64>,
    /// Number of peaks at or above each threshold.
    pub counts: Vec<u64>,
    /// The same per volume, in (h/Mpc)³.
    pub density_h_mpc3: Vec<f64>,
}

/// Peaks of the [`log_density`] of a density field, smoothed with a Gaussian of one voxel (of the coarsest
/// axis): the [`local_maxima`] at or above the mean plus each of `nu` standard deviations of that smoothed
/// field.
///
/// # Errors
/// [`SpectraError::Thresholds`] if `nu` does not rise; [`SpectraError::NotADensity`] if a value is not finite.
pub fn peak_counts(field: &Field3, nu: &[f64]) -> Result<PeakCounts, SpectraError> {
    check_thresholds(nu)?;
    let voxel_mpc_h = field.grid().voxel_mpc_h().into_iter().fold(0.0, f64::max);
    let smoothed =
        Smoother::new(&log_density(field)?)?.smooth(Kernel::Gaussian, RADIUS_VOXELS * voxel_mpc_h)?;
    let (mean, deviation) = mean_and_deviation(&smoothed);
    let values = smoothed.as_slice();
    let heights: Vec<f64> = local_maxima(&smoothed).into_iter().map(|at| f64::from(values[at])).collect();
    let above = |nu: &f64| heights.iter().filter(|&&height| height >= mean + nu * deviation).count() as u64;
    let counts: Vec<u64> = nu.iter().map(above).collect();
    let volume = field.grid().volume_mpc_h3();
    let density_h_mpc3 = counts.iter().map(|&count| count as f64 / volume).collect();
    Ok(PeakCounts { nu: nu.to_vec(), counts, density_h_mpc3 })
}

/// Flat indices (x slowest) of the voxels that are greater than each of their 26 neighbours, periodic. A voxel
/// that is equal to a neighbour is none.
#[must_use]
pub fn local_maxima(field: &Field3) -> Vec<usize> {
    let [nx, ny, nz] = field.grid().cells();
    let values = field.as_slice();
    let around = |i: usize, n: usize| [(i + n - 1) % n, i, (i + 1) % n];
    let of_plane = |x: usize| {
        let mut found = Vec::new();
        for y in 0..ny {
            let rows: [usize; 9] =
                std::array::from_fn(|r| (around(x, nx)[r / 3] * ny + around(y, ny)[r % 3]) * nz);
            for z in 0..nz {
                let here = (x * ny + y) * nz + z;
                let mut neighbours = rows.iter().flat_map(|row| around(z, nz).map(|z| row + z));
                // On an axis of one cell a voxel is its own neighbour.
                if neighbours.all(|there| there == here || values[there] < values[here]) {
                    found.push(here);
                }
            }
        }
        found
    };
    let planes: Vec<Vec<usize>> = (0..nx).into_par_iter().map(of_plane).collect();
    planes.concat()
}

/// Mean and standard deviation over the voxels: planes in parallel, then in the order of x.
pub(crate) fn mean_and_deviation(field: &Field3) -> (f64, f64) {
    let mean = mean(field);
    let [_, ny, nz] = field.grid().cells();
    let planes: Vec<f64> = field
        .as_slice()
        .par_chunks(ny * nz)
        .map(|plane| plane.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>())
        .collect();
    (mean, (planes.iter().sum::<f64>() / field.grid().voxels() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;
    use std::f64::consts::TAU;

    /// Voxels of 1.5 Mpc/h.
    fn from_formula(cells: [usize; 3], value: impl Fn([usize; 3]) -> f64) -> Field3 {
        let values = Array3::from_shape_fn(cells, |(i, j, k)| value([i, j, k]) as f32);
        Field3::new(Grid::new(cells, cells.map(|n| 1.5 * n as f64)).unwrap(), values).unwrap()
    }

    #[test]
    fn maxima_by_hand_with_corners_wraps_and_plateaus() {
        let mut field = from_formula([4, 5, 6], |_| 0.0);
        assert!(local_maxima(&field).is_empty());
        let at = |i: usize, j: usize, k: usize| (i * 5 + j) * 6 + k;
        let values = field.as_slice_mut();
        // Two corners of the box are neighbours through its faces: the higher one is the peak.
        (values[at(0, 0, 0)], values[at(3, 4, 5)]) = (2.0, 3.0);
        // Two equal neighbours are no peak.
        (values[at(1, 2, 2)], values[at(2, 3, 3)]) = (1.0, 1.0);
        assert_eq!(local_maxima(&field), [at(3, 4, 5)]);
        field.as_slice_mut()[at(2, 3, 3)] = 1.5;
        assert_eq!(local_maxima(&field), [at(2, 3, 3), at(3, 4, 5)]);
    }

    #[test]
    fn waves_have_a_peak_per_crest() {
        // exp of cosines of 2, 3 and 1 waves, crests off the voxels' centres by a little: 6 crests.
        let cells = [16, 18, 14];
        let field = from_formula(cells, |at| {
            let waves = [2.0, 3.0, 1.0];
            (0..3).map(|a| (TAU * waves[a] * (at[a] as f64 - 0.3) / cells[a] as f64).cos()).sum::<f64>().exp()
        });
        // Smoothed by exp(-k²/2) to amplitudes of 0.735, 0.578 and 0.904, the highest voxels are at 2.16 /
        // 0.919.
        let found = peak_counts(&field, &[-3.0, 2.3, 2.4]).unwrap();
        assert_eq!(found.counts, [6, 6, 0]);
        assert_eq!(found.density_h_mpc3[0], 6.0 / (24.0 * 27.0 * 21.0));
        assert!(matches!(peak_counts(&field, &[1.0, 1.0]), Err(SpectraError::Thresholds { .. })));
    }
}
