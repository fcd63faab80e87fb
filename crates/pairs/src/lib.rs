//! Training pairs: patches of the same place, symmetries, splits, batches.
//!
//! [`PairSet`] holds the pairs of a run in memory, normalised. Its batches are pure functions of (seed, step): a
//! run that was stopped goes on with the patches it would have seen.

mod batch;
mod config;
mod crops;
mod error;
mod load;
mod pair;
mod set;
mod symmetry;

pub use batch::Batch;
pub use config::{DataConfig, Normalization, NormalizationKind, Normalizers, PairFiles, TwoFiles};
pub use error::PairError;
pub use finescale_snapshot::{GridFile, GridMeta};
pub use pair::Pair;
pub use set::{PairSet, Part};
pub use symmetry::Symmetry;
