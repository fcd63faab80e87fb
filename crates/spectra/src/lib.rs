//! Fourier transforms and statistics of fields.

pub mod fft;

pub use fft::{Complex32, Fft3};
