//! Training pairs: patches of the same place, symmetries, splits, batches.
//!
//! [`PairSet`] holds the pairs of a run in memory, normalised. Its batches are pure functions of (seed, step): a
//! run that was stopped goes on with the patches it would have seen.

mod batch;
mod config;
mod crops;
mod error;
mod load;
pub mod one_or_many;
mod pair;
mod set;
mod symmetry;

pub use batch::Batch;
pub use config::{DataConfig, GridFiles, Normalization, NormalizationKind, Normalizers, PairFiles};
pub use error::PairError;
pub use finescale_snapshot::{GridFile, GridMeta};
pub use pair::Pair;
pub use set::{PairSet, Part};
pub use symmetry::Symmetry;
