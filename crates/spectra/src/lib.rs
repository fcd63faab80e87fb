//! Fourier transforms and statistics of fields.
//!
//! k in h/Mpc, P in (Mpc/h)³: P = V⟨|δ_k|²⟩ with δ_k = (1/N) Σ δ e^(−ik·x) over N cells, k = 0 left out. Fields
//! are densities in units of the cosmic mean, 1 + δ. All sums are made in f64 and in a fixed order.
//!
//! # Examples
//! Particles without any order have the power of their shot noise, box / number, at every k.
//! ```
//! use finescale_field::{Depositor, Grid, Scheme};
//! use finescale_seed::{KeyedStream, Purpose};
//! use finescale_spectra::{Bands, Modes};
//!
//! let (grid, particles) = (Grid::cube(32, 100.0)?, 20_000);
//! let stream = KeyedStream::new(1, Purpose::Points);
//! let place = |index: u64| [0, 1, 2].map(|axis| 100.0 * stream.uniform(axis, index)); // Mpc/h
//! let positions: Vec<[f64; 3]> = (0..particles).map(place).collect();
//! let mut mesh = Depositor::new(grid, Scheme::Tsc)?;
//! mesh.add(&positions, None)?;
//!
//! // The window of the scheme is divided out; below half of Nyquist its aliases are small.
//! let modes = Modes::new(&mesh.finish_overdensity()?, Some(Scheme::Tsc))?;
//! let spectrum = modes.power_in(&Bands::logarithmic(0.1, 0.5, 3)?);
//! let shot_noise = 100.0_f64.powi(3) / particles as f64; // (Mpc/h)³
//! assert!(spectrum.power.iter().all(|power| (power / shot_noise - 1.0).abs() < 0.2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod slabs;
mod smoothing;
mod spectrum;
mod taper;
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
pub use seams::{EXPECTED_PERCENT, PlaneGradients, SeamScore, Seams, seams};
pub use shot_noise::ShotNoise;
pub use slabs::{CrossSpectra, ModeSlabs, Workspace};
pub use smoothing::{Kernel, Smoother};
pub use spectrum::{Spectrum, correlation_of};
pub use triangles::{TriangleBins, equilateral, isosceles, squeezed, triangles_by_angle};
pub use voids::{Void, VoidSizeFunction, Voids, find_voids};
pub use wasserstein::wasserstein;
pub use wavenumbers::{fundamental_h_mpc, nyquist_h_mpc};
