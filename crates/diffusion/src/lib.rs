//! Noise schedules, losses, samplers and keyed noise; knows no file and no network.
//!
//! One convention everywhere: a noisy state is `x = √ᾱ · clean + √(1 − ᾱ) · ε`, and a noise level *is* ᾱ
//! (`alpha_bar`, the reference's gamma). The noise-to-signal ratio is `sigma = √((1 − ᾱ) / ᾱ)`. Everything about
//! ᾱ is computed in f64; only states are f32.
//!
//! # Examples
//! Whoever can guess clean patches can be sampled from. This one knows that they are 0.5 everywhere.
//! ```
//! use candle_core::{DType, Device, Result, Tensor};
//! use finescale_diffusion::{Denoise, DiffusionError, KeyedNoise, Levels, Next, Sampler};
//!
//! struct AlwaysHalf;
//!
//! impl Denoise for AlwaysHalf {
//!     fn predict_clean(&self, noisy: &Tensor, _condition: &Tensor, _alpha_bar: &Tensor) -> Result<Tensor> {
//!         Tensor::full(0.5f32, noisy.shape(), noisy.device())
//!     }
//! }
//!
//! let solver = Sampler::DpmSolverPlusPlus2M.solver(Levels::log_uniform(10, 0.02, 12.0)?);
//! let noise = KeyedNoise::new(1, [8; 3], vec![[0; 3]], [8; 3], &Device::Cpu)?; // of one window of 8³ voxels
//! let condition = Tensor::zeros((1, 1, 8, 8, 8), DType::F32, &Device::Cpu)?;
//! let start = Next::noise(noise.start()?);
//! let go_on = || Ok::<(), DiffusionError>(()); // an error would stop it
//! let sample = solver.integrate(&AlwaysHalf, start, &condition, solver.steps(), &noise, go_on)?;
//! assert!(sample.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| (value - 0.5).abs() < 1e-6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// 1 / 2 == 0 broke a well-known cosine schedule. Tests count voxels, where integers divide.
#![cfg_attr(not(test), warn(clippy::integer_division, clippy::cast_possible_truncation))]

mod config;
mod denoise;
mod distillation;
mod error;
mod known;
mod levels;
mod noise;
mod sampler;
mod schedule;
mod solver;
mod training;

pub use config::{DiffusionConfig, LevelDraw, LossWeight, TrainingLevels};
pub use denoise::Denoise;
pub use distillation::distilled_clean;
pub use error::DiffusionError;
pub use known::{Known, WithKnown};
pub use levels::{Levels, SamplingLevels, alpha_bar_of_sigma, sigma_of_alpha_bar};
pub use noise::KeyedNoise;
pub use sampler::{Sampler, SamplingConfig};
pub use schedule::{LinearBetas, Schedule};
pub use solver::{Next, Solver};
pub use training::{loss_weights, masked_loss, noising};
