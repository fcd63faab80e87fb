//! Pure grids: cells and box size, periodic windows, fields, mass assignment, coarsening and normalization.
//!
//! Lengths are comoving Mpc/h; axis order is (x, y, z) with x slowest; voxel (i, j, k) covers [i, i + 1) cells
//! in each axis and is centred at i + 1/2.
//!
//! # Examples
//! Particles become a density, which is read by windows that wrap around the box.
//! ```
//! use finescale_field::{Depositor, Grid, Region, Scheme};
//!
//! let grid = Grid::cube(8, 16.0)?; // 8³ voxels of 2 Mpc/h
//! let mut mesh = Depositor::new(grid, Scheme::Cic)?;
//! mesh.add(&[[1.0, 1.0, 1.0], [15.0, 1.0, 1.0]], None)?; // two particles, in Mpc/h, at the centres of voxels
//! let density = mesh.finish_overdensity()?; // 1 + δ, of mean 1
//! assert_eq!(density.values()[[0, 0, 0]], 256.0); // all of a particle, where the mean is 2 in 512 voxels
//!
//! let window = density.extract(&Region { start: [-1, 0, 0], shape: [2, 1, 1] })?;
//! assert_eq!(window.as_slice(), Some(&[256.0, 256.0][..])); // the last voxel along x, and the first
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod local_density;
mod memory;
mod normalizer;
mod region;
mod scheme;
mod smoothing;
mod sums;
mod tile_faces;
mod tiles;
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
pub use foreign::{is_plain_name, looks_like, shown};
pub use grid::{Grid, position};
pub use local_density::LocalDensity;
pub use memory::{available_memory_bytes, check_memory};
pub use normalizer::{Normalizer, Transform, check_density, density_mean, is_density};
pub use region::Region;
pub use scheme::Scheme;
pub use tile_faces::TileFaces;
pub use tiles::wrapped;
pub use windows::{Constant, FILE_BLOCK, WindowError, Windows, blocks, for_each_slab};
