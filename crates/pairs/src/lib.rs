//! Training pairs: patches of the same place, symmetries, splits, batches.
//!
//! [`PairSet`] holds the pairs of a run in memory, normalised. Its batches are pure functions of (seed, step):
//! a run that was stopped goes on with the patches it would have seen.

mod config;
mod crops;
mod data_kind;
mod error;
mod load;
pub mod one_or_many;
mod pair;
mod patch_batch;
mod set;
mod symmetry;

pub use config::{DataConfig, GridFiles, Normalization, NormalizationKind, Normalizers, PairFiles};
pub use data_kind::DataKind;
pub use error::PairError;
pub use finescale_snapshot::{GridFile, GridMeta};
pub use pair::Pair;
pub use patch_batch::PatchBatch;
pub use set::{PairSet, Part};
pub use symmetry::Symmetry;
