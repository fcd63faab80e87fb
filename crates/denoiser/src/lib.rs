//! The conditional 3-D U-Net, its configuration, and import of reference checkpoints.
//!
//! The network is the one of guided-diffusion in three dimensions, as the reference (arXiv:2311.05217, code
//! 3D-Diffusion) uses it, with the reference's parameter names. [`Denoiser`] makes it a
//! [`Denoise`](finescale_diffusion::Denoise) by one of two [`Prediction`] types.
//!
//! The `network` section of a configuration file:
//!
//! ```
//! # let text = r#"
//! {
//!   "base_channels": 64,
//!   "channel_multipliers": [1, 2, 4],
//!   "residual_blocks": 1,
//!   "head_channels": 32,
//!   "norm_groups": 32,
//!   "dropout": 0.2,
//!   "condition_channels": 1,
//!   "known_channels": false,
//!   "prediction": "epsilon"
//! }
//! # "#;
//! # let config: finescale_denoiser::NetworkConfig = serde_json::from_str(text).unwrap();
//! # assert_eq!(config.parameter_count().unwrap(), 31_511_425);
//! ```
//!
//! with `"prediction": {"edm": {"sigma_data": 0.5}}` as the other choice; `dropout` (0), `fields` (1),
//! `condition_channels` (1), `known_channels` (false) and `baseline` (false) may be left out.
//!
//! A network of such a configuration, with the weights that it begins with, estimates clean patches:
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use finescale_denoiser::{Denoiser, NetworkConfig, Parameters};
//! use finescale_diffusion::Denoise;
//!
//! let config: NetworkConfig = serde_json::from_str(
//!     r#"{"base_channels": 4, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 4,
//!         "norm_groups": 2, "prediction": {"edm": {"sigma_data": 0.5}}}"#,
//! )?;
//! let parameters = Parameters::init(&config, 1, &Device::Cpu)?; // seed 1
//! let denoiser = Denoiser::new(&config, &parameters, &[(-2.0, 5.0)])?; // estimates stay in this range
//!
//! let patches = Tensor::zeros((2, 1, 8, 8, 8), DType::F32, &Device::Cpu)?; // (b, fields, n, n, n)
//! let condition = Tensor::zeros((2, 1, 8, 8, 8), DType::F32, &Device::Cpu)?;
//! let alpha_bar = Tensor::new(&[0.5f32, 0.9], &Device::Cpu)?; // how noisy each patch is
//! let clean = denoiser.predict_clean(&patches, &condition, &alpha_bar)?;
//! assert_eq!(clean.dims(), patches.dims());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod config;
mod denoiser;
mod dropout;
mod embedding;
mod error;
#[cfg(test)]
mod fixtures;
mod import;
mod parameters;
mod pickle;
mod plan;
mod processor;
mod unet;

pub use config::{NetworkConfig, Prediction};
pub use denoiser::{Denoiser, Question, Residual};
pub use dropout::Mode;
pub use error::DenoiserError;
#[cfg(feature = "cuda")]
pub use finescale_layers3d::cuda::{AdamStep, CardLearner, CardOptimizer, Moved, Part};
pub use import::import_reference;
pub use parameters::Parameters;
#[cfg(feature = "cuda")]
pub use processor::Cards;
pub use processor::Processor;
pub use unet::{Recorded, UNet};
