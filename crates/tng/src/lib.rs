//! Snapshots of IllustrisTNG over its web API, for machines whose disk holds no snapshot.
//!
//! [`Address`] is what a user writes (`tng:TNG300-1/99`), [`Key`] what TNG gave that user, [`Client::simulation`] asks how
//! many chunks there are, [`Remote::fetch`] brings the wanted fields of one, and [`Prefetch`] hands out chunk after chunk
//! while the next ones come in, and deletes each after use. What lies in a chunk is not looked into: the caller's check
//! does, before the file gets its name.
//!
//! The key goes to hosts of tng-project.org over https and to nobody else, and into no file, log or error
//! (`origin.rs` says who may have it).
//!
//! # Examples
//! ```no_run
//! use finescale_tng::{Address, Client, Fields, Key, Options, Prefetch};
//! use std::sync::atomic::AtomicBool;
//!
//! # fn main() -> Result<(), finescale_tng::TngError> {
//! let Some(address) = Address::parse("tng:TNG300-1/99")? else { return Ok(()) };
//! let (stop, check) = (AtomicBool::new(false), |_chunk: usize, _path: &std::path::Path| Ok(()));
//! let client = Client::new(Key::from_environment()?, Options::from_environment()?)?;
//! let remote = client.simulation(&address, &stop)?;
//! let wanted = [Fields::new("gas", ["Coordinates", "Masses"])];
//! let folder = std::path::Path::new("chunks");
//! let prefetch = Prefetch { remote: &remote, wanted: &wanted, folder, first: 0, check: &check, stop: &stop };
//! prefetch.run(|chunks| {
//!     while let Some(chunk) = chunks.next_chunk()? {
//!         println!("{} of {}: {}", chunk.number(), remote.chunks(), chunk.path().display());
//!     }
//!     Ok(())
//! })
//! # }
//! ```

mod address;
mod attempts;
mod client;
mod download;
mod error;
mod key;
mod leftovers;
mod options;
mod origin;
mod prefetch;
mod remote;
mod request;
mod variables;

pub use address::{Address, Fields};
pub use client::{Client, Event};
pub use error::TngError;
pub use key::Key;
pub use options::Options;
pub use prefetch::{Chunk, Chunks, Prefetch};
pub use remote::Remote;
