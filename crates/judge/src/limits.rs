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
/// P / P_truth of ln(1 + δ).
pub const LOG_POWER: Limit = Limit { off_by: 0.05, up_to_h_mpc: 2.0 };
/// P(SR_i × SR_j) / P(SR × HR).
pub const PAIRS: Limit = Limit { off_by: 0.05, up_to_h_mpc: 2.0 };
/// r(sample, truth) / r(sample, other sample) of ln(1 + δ).
pub const LOG_AGREEMENT: Limit = Limit { off_by: 0.05, up_to_h_mpc: 2.0 };
/// B / B_truth of equilateral triangles; of the field alone, and of it with the condition.
pub const BISPECTRUM: Limit = Limit { off_by: 0.10, up_to_h_mpc: 2.0 };
/// Cross power of two fields that were drawn together over the truth's.
pub const COMPANION_POWER: Limit = Limit { off_by: 0.05, up_to_h_mpc: 2.0 };
/// The same of r.
pub const COMPANION_CORRELATION: Limit = Limit { off_by: 0.02, up_to_h_mpc: 2.0 };
/// [`DENSE_PERCENT`] percentile of the density over the truth's: distance from 1.
pub const DENSE: f64 = 0.05;
/// [`LOW_PERCENTS`] percentiles of the density over the truth's: distance from 1.
pub const LOW_DENSITIES: f64 = 0.10;
/// Share of voxels below [`NEARLY_EMPTY`] over the truth's: distance from 1.
pub const EMPTINESS: f64 = 0.10;
/// Number of voids of a radius and more over the truth's: distance from 1.
pub const VOIDS: f64 = 0.10;
/// Mass over the truth's: distance from 1.
pub const MASS: f64 = 0.005;
/// The same by environment.
pub const ENVIRONMENT_MASS: f64 = 0.02;
/// Mean step of ln(1 + δ) between neighbours over the truth's, by environment: distance from 1.
pub const ENVIRONMENT_STEPS: f64 = 0.05;
/// Spread over error by environment: distance from 1.
pub const ENVIRONMENT_SPREAD: f64 = 0.05;
/// Part of the truth's voxels that have a rank below some number by environment, less what it should be.
pub const ENVIRONMENT_RANKS: f64 = 0.03;
/// The same of summaries of sub-volumes, by their distance from a sample's.
pub const COVERAGE: f64 = 0.10;
/// Gradient at the faces of windows over the truth's: distance from 1.
pub const SEAMS: f64 = 0.01;
/// Samples that agree with the truth less than this r² are not judged by their pairs.
pub const LEAST_R2: f64 = 0.05;
/// Radii of which a box has fewer voids of that size and more are not judged.
pub const FEWEST_VOIDS: f64 = 20.0;
/// A truth of which a smaller share of voxels is nearly empty is not judged by it.
pub const LEAST_EMPTY: f64 = 1e-3;

/// Standard deviation of the Gaussian that makes an environment of the condition, in voxels.
pub const ENVIRONMENT_VOXELS: f64 = 2.0;
/// Densities of the smoothed condition between environments.
pub const ENVIRONMENT_EDGES: [f64; 5] = [0.2, 0.5, 1.0, 3.0, 10.0];
/// Voxels below this density, in units of the cosmic mean, are nearly empty.
pub const NEARLY_EMPTY: f64 = 0.05;
/// The percentile that stands for the densest voxels.
pub const DENSE_PERCENT: f64 = 99.9;
/// Those that stand for the others.
pub const LOW_PERCENTS: [f64; 4] = [0.1, 1.0, 16.0, 50.0];
/// Percentiles of the densities, [`LOW_PERCENTS`] first, [`DENSE_PERCENT`] last.
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
