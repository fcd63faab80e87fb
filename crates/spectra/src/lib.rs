//! Fourier transforms and statistics of fields.
//!
//! k in h/Mpc, P in (Mpc/h)³: P = V⟨|δ_k|²⟩ with δ_k = (1/N) Σ δ e^(−ik·x) over N cells, k = 0 left out. Fields
//! are densities in units of the cosmic mean, 1 + δ. All sums are made in f64 and in a fixed order.

mod bands;
mod binning;
mod bispectrum;
mod blocks;
mod bootstrap;
mod crps;
mod ensemble;
mod error;
mod even;
pub mod fft;
mod interlaced;
mod logarithm;
mod minkowski;
mod modes;
mod multipoles;
mod one_point;
mod peaks;
mod ranks;
mod scattering;
mod seams;
mod shot_noise;
mod smoothing;
mod spectrum;
mod triangles;
mod values;
mod voids;
mod wasserstein;
mod wavenumbers;

pub use bands::Bands;
pub use bispectrum::{Bispectrum, bispectrum};
pub use bootstrap::{bootstrap_errors, power_in_blocks};
pub use crps::fair_crps;
pub use ensemble::{Calibration, EnsemblePower};
pub use error::SpectraError;
pub use fft::{Complex32, Fft3};
pub use finescale_field::TileFaces;
pub use interlaced::InterlacedDepositor;
pub use logarithm::{FLOOR_DENSITY, log_density};
pub use minkowski::{Minkowski, minkowski};
pub use modes::{Modes, power_spectrum};
pub use multipoles::{LineOfSight, Multipoles};
pub use one_point::{Pdf, mean_density, pdf, percentile, percentiles};
pub use peaks::{PeakCounts, local_maxima, peak_counts};
pub use ranks::{RankHistogram, rank_histogram};
pub use scattering::{Scattering, scattering};
pub use seams::{EXPECTED_PERCENT, SeamScore, Seams, seams};
pub use shot_noise::ShotNoise;
pub use smoothing::{Kernel, Smoother};
pub use spectrum::{Spectrum, correlation_of};
pub use triangles::{TriangleBins, equilateral, isosceles, squeezed, triangles_by_angle};
pub use voids::{Void, VoidSizeFunction, Voids, find_voids};
pub use wasserstein::wasserstein;
pub use wavenumbers::{fundamental_h_mpc, nyquist_h_mpc};
