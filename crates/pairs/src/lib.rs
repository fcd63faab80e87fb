//! Training pairs: patches of the same place, symmetries, splits, batches.
//!
//! [`PairSet`] holds the pairs of a run, normalised, or reads windows of them where they are. Its batches are pure functions of (seed, step):
//! a run that was stopped goes on with the patches it would have seen.
//!
//! # Examples
//! ```
//! use finescale_field::{Channels, Field3, Grid};
//! use finescale_pairs::{Normalization, Pair, PairSet};
//! use ndarray::Array3;
//!
//! // Waves of two amplitudes stand for a coarse and a fine field of one box, 1 + δ.
//! let grid = Grid::cube(16, 12.5)?;
//! let field = |amplitude: f32| {
//!     let wave = |(x, y, z): (usize, usize, usize)| 1.0 + amplitude * ((x + 2 * y + 4 * z) as f32).sin();
//!     Field3::new(grid, Array3::from_shape_fn(grid.cells(), wave))
//! };
//! let pair = Pair::new(field(0.3)?, vec![field(0.8)?]);
//! let pairs = PairSet::new(vec![pair], vec![], None, Normalization::default(), Channels::default())?;
//!
//! // Four patches of 8³ voxels for update 3 under seed 1, in network units.
//! let batch = pairs.training_batch(1, 3, 4, 8)?;
//! assert_eq!(batch.condition.len(), 4 * 8 * 8 * 8);
//! assert_eq!(batch, pairs.training_batch(1, 3, 4, 8)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod crops;
mod data_kind;
mod error;
mod normalised;
pub mod one_or_many;
mod open;
mod pair;
mod patch_batch;
mod set;
mod source;
mod symmetry;

pub use config::{
    Cubes, DataConfig, GridFiles, LineOfSight, Normalization, NormalizationKind, Normalizers, PairFiles,
    Scale, Truth,
};
pub use data_kind::DataKind;
pub use error::PairError;
pub use finescale_snapshot::{CubeValues, GridMeta};
pub use pair::Pair;
pub use patch_batch::PatchBatch;
pub use set::{PairSet, Part};
pub use source::Density;
pub use symmetry::Symmetry;
