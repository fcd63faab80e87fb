//! Pure grids: cells and box size, periodic windows, fields, mass assignment, coarsening and normalization.
//!
//! Lengths are comoving Mpc/h; axis order is (x, y, z) with x slowest; voxel (i, j, k) covers [i, i + 1) cells
//! in each axis and is centred at i + 1/2.

mod boundary;
mod bytes;
mod centring;
mod coarsen;
mod conditioning;
mod cosmology;
mod deposit;
mod error;
mod field3;
mod foreign;
mod grid;
mod memory;
mod normalizer;
mod region;
mod scheme;
mod slabs;
mod smoothing;
mod tile_faces;
mod windows;

pub use boundary::Boundary;
pub use bytes::readable_bytes;
pub use centring::Centring;
pub use coarsen::coarsen;
pub use conditioning::{Channels, Conditioning, Scalar, ScalarName};
pub use cosmology::Cosmology;
pub use deposit::Depositor;
pub use error::FieldError;
pub use field3::Field3;
pub use foreign::{is_plain_name, shown};
pub use grid::{Grid, position};
pub use memory::{available_memory_bytes, check_memory};
pub use normalizer::{Normalizer, Transform, check_density};
pub use region::Region;
pub use scheme::Scheme;
pub use tile_faces::TileFaces;
pub use windows::{Constant, FILE_BLOCK, WindowError, Windows, blocks};
