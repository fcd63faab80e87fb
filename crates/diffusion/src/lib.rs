//! Noise schedules, losses, samplers and keyed noise; knows no file and no network.
//!
//! One convention everywhere: a noisy state is `x = √ᾱ · clean + √(1 − ᾱ) · ε`, and a noise level *is* ᾱ
//! (`alpha_bar`, the reference's gamma). The noise-to-signal ratio is `sigma = √((1 − ᾱ) / ᾱ)`. Everything about
//! ᾱ is computed in f64; only states are f32.

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
pub use training::{masked_loss, noising};
