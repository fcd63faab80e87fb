//! The training loop, averaged weights, checkpoints, metrics.
//!
//! A [`Run`] follows a [`RunConfig`]: [`Origin::find`] finds the weights that it starts with, [`Run::new`]
//! makes it ready with its pairs, [`Run::plan`] measures what it will take, and [`Run::go`] trains. What the
//! network is shown in step n (patches, symmetries, noise, levels, masks of known voxels, dropout) is a pure
//! function of the seed and n, so a run that was stopped continues with the bits of one that never stopped. A
//! [`Model`] is one file with the averaged weights and all that sampling needs.
//!
//! # Examples
//! `examples/train_a_toy.rs` trains from the first to the last step. What is left is a [`Model`]:
//! ```
//! use candle_core::Device;
//! use finescale_diffusion::Denoise;
//! use finescale_training::{Model, RunConfig};
//!
//! let model = Model::load("../../data/demo/model.safetensors".as_ref(), &Device::Cpu)?;
//! let description = &model.description;
//! assert_eq!((description.condition.quantity.as_str(), description.truth[0].quantity.as_str()), ("dm", "gas"));
//! assert!((description.voxel_mpc_h[0] - 100.0 / 128.0).abs() < 1e-12); // the size of voxel that it knows
//! assert!(model.denoiser()?.takes_known_channels());
//!
//! // The configuration that it was made with is in it; one in a file is checked when it is read.
//! let config = RunConfig::load("../../configs/demo.json".as_ref())?;
//! assert_eq!(config.network, description.configuration.network);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod average;
mod changes;
mod checks;
mod config;
mod description;
mod error;
mod event;
mod export;
#[cfg(test)]
mod fixtures;
mod folder;
mod learner;
mod learning_rate;
mod levels;
mod lineage;
mod memory;
mod metrics;
mod model;
mod noised_batch;
mod objective;
mod optimizer;
mod origin;
mod parts;
mod patch_source;
mod patient_log;
mod plan;
mod prefetch;
mod rehearsal;
mod run;
mod running;
mod spectrum;
mod start;
mod state;
mod step;
mod teacher;
mod tensor_file;
mod tensor_header;
mod tensorboard;
mod training_config;
mod validation;
mod values;
mod warnings;
mod window_statistics;

pub use config::RunConfig;
pub use description::{FieldDescription, ModelDescription};
pub use error::TrainingError;
pub use event::{Event, LevelLoss, SpectrumMetrics, StepMetrics, Summary, ValidationMetrics};
pub use export::export_draws;
pub use folder::is_resumable;
pub use learning_rate::Decay;
pub use lineage::{Lineage, Parent, Role};
pub use memory::peak_memory_bytes;
pub use model::{Model, ModelSummary};
pub use origin::Origin;
pub use plan::Plan;
pub use rehearsal::rehearsal;
pub use run::Run;
pub use start::Start;
pub use tensor_file::{NamedTensors, Precision};
pub use training_config::{SpectrumConfig, TrainingConfig};
pub use window_statistics::{Moments, WindowStatistics};

/// The commit that the program was built from, or "unknown" outside a checkout.
pub const COMMIT: &str = env!("FINESCALE_COMMIT");
