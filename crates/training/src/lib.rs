//! The training loop, averaged weights, checkpoints, metrics.
//!
//! [`train`] follows a [`RunConfig`]. What the network is shown in step n (patches, symmetries, noise, levels, masks
//! of known voxels, dropout) is a pure function of the seed and n, so a run that was stopped continues with the
//! bits of one that never stopped. A [`Model`] is one file with the averaged weights and all that sampling needs.

mod average;
mod config;
mod description;
mod draws;
mod error;
mod event;
mod export;
#[cfg(test)]
mod fixtures;
mod learner;
mod learning_rate;
mod levels;
mod metrics;
mod model;
mod objective;
mod optimizer;
mod patient_log;
mod prefetch;
mod rehearsal;
mod run;
mod spectrum;
mod state;
mod teacher;
mod tensor_file;
mod tensor_header;
mod tensorboard;
mod validation;

pub use config::{RunConfig, SpectrumConfig, TrainingConfig};
pub use description::{FieldDescription, ModelDescription};
pub use error::TrainingError;
pub use event::{Event, LevelLoss, SpectrumMetrics, StepMetrics, Summary, ValidationMetrics};
pub use export::export_draws;
pub use learning_rate::Decay;
pub use model::{Model, ModelSummary};
pub use rehearsal::Rehearsal;
pub use run::{Start, is_resumable, train};
pub use tensor_file::{NamedTensors, Precision};

/// The commit that the program was built from, or "unknown" outside a checkout.
pub const COMMIT: &str = env!("FINESCALE_COMMIT");
