//! Simulation snapshots and grid files on disk: the only crate that knows HDF5 and npy.
//!
//! - [`Snapshot`] reads snapshots of AREPO, GADGET (HDF5 and binary), IllustrisTNG, EAGLE, GIZMO and SWIFT batch by batch,
//!   [`SnapshotWriter`] writes them; [`Source`] says what a path is.
//! - [`write_initial_conditions`] writes what GADGET, AREPO and SWIFT begin with, [`read_ic_particles`] reads it.
//! - [`read_grid`], [`write_grid`], [`GridReader`] and [`GridWriter`] hold our grid files, whole or window by window.
//! - [`read_npy`] and [`write_npy`] exchange cubes with numpy.
//!
//! Nothing half-written is left under its final name: files are written through [`finescale_durable`], and grids are read
//! back before they take their names.
//!
//! # Examples
//! ```
//! use finescale_field::Region;
//! use finescale_snapshot::{GridReader, Snapshot, SnapshotError, Species, Wanted};
//!
//! // A grid file is read window by window; this one lies around the corner of a periodic box.
//! let grid = GridReader::open("../../data/demo/condition.hdf5".as_ref())?;
//! assert_eq!((grid.meta().quantity.as_str(), grid.grid().cells()), ("dm", [64; 3]));
//! let corner = grid.read(&Region::cube([-4; 3], 8))?; // 1 + δ
//! assert_eq!(corner.dim(), (8, 8, 8));
//!
//! // A snapshot is read some particles at a time: here a thousand.
//! let snapshot = Snapshot::open("../../data/demo/gadget4_dm_64/snapdir_003".as_ref())?;
//! let mut particles = 0;
//! snapshot.for_each_batch(&Species::DarkMatter.into(), &Wanted::default(), 1000, 0, |batch| {
//!     particles += batch.positions_mpc_h.len();
//!     Ok::<(), SnapshotError>(())
//! })?;
//! assert_eq!(particles, 64 * 64 * 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::integer_division, clippy::cast_possible_truncation)]

mod attributes;
mod batch;
mod chunk;
mod chunk_files;
mod columns;
mod cube;
mod digest;
mod error;
#[cfg(test)]
mod fixtures;
mod gadget;
mod grid_file;
mod grid_meta;
mod grid_reader;
mod grid_writer;
mod header;
mod ic_reader;
mod ic_writer;
mod native;
mod new_file;
mod npy;
mod npy_header;
mod objects;
mod open;
mod particles;
mod path_kind;
mod reading;
mod snapshot;
mod snapshot_writer;
mod source;
mod species;
mod units;
mod zstd;

pub use batch::{Batch, DatasetColumn, SizeOf, Wanted};
pub use chunk_files::snapshot_of_run;
pub use cube::{CubeReader, CubeValues};
pub use error::SnapshotError;
pub use grid_file::{GridFile, read_grid, write_grid, write_grids};
pub use grid_meta::GridMeta;
pub use grid_reader::GridReader;
pub use grid_writer::{ClosedGrid, GridWriter, read_back};
pub use header::Header;
pub use ic_reader::{IcParticles, read_ic_particles};
pub use ic_writer::{IcFile, IcFormat, IcSpecies, write_initial_conditions};
pub use npy::{NpyReader, read_npy, write_npy, write_npy_to};
pub use objects::follow_links;
pub use particles::Particles;
pub use reading::end_with_unreadable_files;
pub use snapshot::Snapshot;
pub use snapshot_writer::{Mass, SnapshotWriter, SpeciesData};
pub use source::Source;
pub use species::Species;
pub use units::{GivenUnit, GivenUnits};
