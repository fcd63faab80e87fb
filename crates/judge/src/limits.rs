//! What is good enough, and what is measured with which settings. Goals, shaded ranges and captions are all
//! made of these constants.

pub use finescale_spectra::{EXPECTED_PERCENT, FLOOR_DENSITY};

/// How far a ratio may be from 1, and up to which wavenumber.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Largest distance of the ratio from 1.
    pub off_by: f64,
    /// Bands whose mean k is larger are not judged, in h/Mpc.
    pub up_to_h_mpc: f64,
}

/// P / P_truth of the means over samples and boxes: on large scales, and on all that is judged.
pub const POWER: [Limit; 2] =
    [Limit { off_by: 0.03, up_to_h_mpc: 1.0 }, Limit { off_by: 0.06, up_to_h_mpc: 4.0 }];
/// P(SR_i × SR_j) / P(SR × HR).
pub const PAIRS: Limit = Limit { off_by: 0.05, up_to_h_mpc: 2.0 };
/// B / B_truth of equilateral triangles.
pub const BISPECTRUM: Limit = Limit { off_by: 0.10, up_to_h_mpc: 2.0 };
/// [`DENSE_PERCENT`] percentile of the density over the truth's: distance from 1.
pub const DENSE: f64 = 0.05;
/// Mass over the truth's: distance from 1.
pub const MASS: f64 = 0.005;
/// Part of seamless fields that lie outside of the range of seam scores by chance.
pub const SEAMS: f64 = (100.0 - EXPECTED_PERCENT) / 100.0;
/// Samples that agree with the truth less than this r² are not judged by their pairs.
pub const LEAST_R2: f64 = 0.05;

/// The percentile that stands for the densest voxels.
pub const DENSE_PERCENT: f64 = 99.9;
/// Percentiles of the densities, [`DENSE_PERCENT`] last.
pub const PERCENTS: [f64; 7] = [0.1, 1.0, 16.0, 50.0, 84.0, 99.0, DENSE_PERCENT];
/// Range and number of the bins of the density distribution, in log10(1 + δ).
pub const PDF_RANGE: (f64, f64, usize) = (-3.0, 4.0, 70);
/// Voxels per axis of the blocks whose densities are counted; the voxels themselves first.
pub const DENSITY_BLOCKS: [usize; 3] = [1, 2, 4];
/// Voxels per axis of the blocks whose scores and ranks are taken.
pub const SCORE_BLOCKS: [usize; 2] = [1, 4];
/// Spheres below this mean contrast are voids.
pub const VOID_CONTRAST: f64 = -0.7;
/// Radius of the Gaussian before Minkowski functionals, in voxels.
pub const MINKOWSKI_VOXELS: f64 = 2.0;
