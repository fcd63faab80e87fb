//! Large volumes from windows: tilings, known voxels, the resumable store.
//!
//! A volume is generated window by window. Each window is conditioned on the voxels that earlier windows filled:
//! they enter as known values, and only the others are new. Which voxels are known follows from the windows that
//! are finished, never from a table of faces, edges and corners. This crate sees a network only as
//! [`finescale_diffusion::Denoise`].

mod config;
mod error;
mod generate;
mod identity;
mod journal;
mod masks;
mod plan;
mod store;
mod tiling;
mod values;

pub use config::{GenerationConfig, Strategy};
pub use error::OutpaintError;
pub use generate::{Job, Progress, generate};
pub use masks::MaskDistribution;
pub use plan::Plan;
pub use store::{Existing, Store};
pub use tiling::{Boundary, Tiling};
