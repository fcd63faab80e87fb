//! Large volumes from windows: tilings, orders, known voxels, fusion, the resumable store.
//!
//! A volume is larger than a network's window. Joint sampling lets all windows take each step of the sampler together,
//! on one noisy volume. Outpainting generates one window after another: each is conditioned on the voxels that earlier
//! windows filled, which enter as known values, and only the others are new. Which voxels are known follows from the
//! windows that are finished, never from a table of faces, edges and corners. This crate sees a network only as
//! [`finescale_diffusion::Denoise`].

mod checks;
mod condition;
mod config;
mod error;
mod generate;
mod given;
mod hash;
mod identity;
mod job;
mod joint;
mod journal;
mod masks;
mod moving_lattice;
mod order;
mod outpainting;
mod plan;
mod progress;
mod store;
mod tiling;
mod updates;
mod values;
mod volume;

pub use condition::{Condition, PreparedCondition};
pub use config::{
    GenerationConfig, GenerationSettings, Joint, Overlap, Sequential, Strategy, StrategyName, WindowOrder,
};
pub use error::OutpaintError;
pub use finescale_field::Boundary;
pub use generate::{Generated, GeneratedField, generate};
pub use given::Given;
pub use identity::{Difference, difference, sample_difference};
pub use job::{Job, identity};
pub use masks::MaskDistribution;
pub use order::Order;
pub use plan::Plan;
pub use progress::Progress;
pub use store::{Existing, Store};
pub use tiling::Tiling;
