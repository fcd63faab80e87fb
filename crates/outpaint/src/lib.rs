//! Large volumes from windows: tilings, orders, known voxels, fusion, the resumable store.
//!
//! A volume is larger than a network's window. Joint sampling lets all windows take each step of the sampler together,
//! on one noisy volume. Outpainting generates one window after another: each is conditioned on the voxels that earlier
//! windows filled, which enter as known values, and only the others are new. Which voxels are known follows from the
//! windows that are finished, never from a table of faces, edges and corners. This crate sees a network only as
//! [`finescale_diffusion::Denoise`].
//!
//! # Examples
//! A network that takes the condition for the truth copies it, in windows of 8 cells.
//! ```
//! use candle_core::{Device, Tensor};
//! use finescale_diffusion::Denoise;
//! use finescale_field::{Boundary, Field3, Grid, Normalizer, Region, Transform};
//! use finescale_ranks::Ranks;
//! use finescale_outpaint::{GenerationConfig, Job, Store, Strategy, StrategyName, generate};
//! use ndarray::Array3;
//! use serde_json::Value;
//! use std::sync::atomic::AtomicBool;
//!
//! struct Copying;
//!
//! impl Denoise for Copying {
//!     fn predict_clean(&self, _noisy: &Tensor, condition: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
//!         Ok(condition.clone())
//!     }
//! }
//!
//! // The condition is in network units; the result is a density again.
//! let normalizer =
//!     Normalizer { mean_count: 1.0, transform: Transform::Linear { mu: 0.7, s: 0.5, low: -2.0, high: 4.0 } };
//! let wave = |(x, _, _): (usize, usize, usize)| 1.0 + 0.5 * (x as f32).sin();
//! let density = Field3::new(Grid::cube(16, 8.0)?, Array3::from_shape_fn([16; 3], wave))?;
//! let condition = vec![normalizer.normalize_field(&density)];
//! let job = Job {
//!     denoiser: &Copying,
//!     model_hash: "copying",
//!     window_cells: 8,
//!     condition: &condition,
//!     boundary: Boundary::Periodic,
//!     truth_normalizers: &[normalizer],
//!     region: Region::cube([0; 3], 16),
//!     given: None,
//!     config: GenerationConfig { strategy: Strategy::new(StrategyName::Joint, 4), ..GenerationConfig::default() },
//!     batch: 4,
//!     device: &Device::Cpu,
//!     ranks: &Ranks::alone(),
//!     program: &Value::Null,
//! };
//! let generated = generate(&job, &Store::Memory, &mut |_| (), &AtomicBool::new(false))?;
//! let copy = generated.in_memory()?.remove(0);
//! assert!(copy.as_slice().iter().zip(density.as_slice()).all(|(copy, wave)| (copy - wave).abs() < 1e-4));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checks;
mod condition;
mod config;
mod error;
mod generate;
mod generated;
mod given;
mod guidance;
mod hash;
mod identity;
mod job;
mod joint;
mod journal;
mod masks;
mod mass;
mod moving_lattice;
mod order;
mod outpainting;
mod place;
mod plan;
mod progress;
mod ranks_plan;
mod shares;
mod slabs;
mod store;
mod sums;
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
pub use generate::generate;
pub use generated::{Generated, GeneratedField};
pub use given::Given;
pub use guidance::MassGuidance;
pub use hash::hash_of_density;
pub use identity::{Difference, difference, sample_difference};
pub use job::{Job, identity};
pub use masks::MaskDistribution;
pub use order::Order;
pub use place::{Boundaries, Place};
pub use plan::Plan;
pub use progress::Progress;
pub use ranks_plan::RanksPlan;
pub use store::{Existing, Store};
pub use tiling::Tiling;
