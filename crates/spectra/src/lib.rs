//! Fourier transforms and statistics of fields.
//!
//! k in h/Mpc, P in (Mpc/h)³: P = V⟨|δ_k|²⟩ with δ_k = (1/N) Σ δ e^(−ik·x) over N cells, k = 0 left out. Fields
//! are densities in units of the cosmic mean, 1 + δ. All sums are made in f64 and in a fixed order.

mod bands;
mod binning;
mod error;
pub mod fft;
mod modes;
mod one_point;
mod spectrum;

pub use bands::Bands;
pub use error::SpectraError;
pub use fft::{Complex32, Fft3};
pub use modes::{Modes, fundamental_h_mpc, nyquist_h_mpc};
pub use one_point::{Pdf, mean_density, pdf, percentile};
pub use spectrum::{Spectrum, correlation, correlation_of, cross_power, power_spectrum};
