//! The layers on NVIDIA cards, in f32, with products in TF32 on tensor cores, or with volumes in bfloat16: our kernels, compiled for the
//! card when it is opened.
//!
//! The driver and NVRTC are looked for when a [`Card`] is opened, not when the program starts: a program with this feature
//! runs on machines without either, and building it needs none of NVIDIA's tools.

mod blocks;
mod card;
mod error;
mod kind;
mod layers;
mod memory;
mod norms;
mod optimizer;
mod parameters;
mod products;
mod program;
mod staging;
mod weights;

pub use card::Card;
pub use error::CardError;
pub use kind::{CardProperties, Precision};
pub use memory::CardMemory;
pub use optimizer::{AdamStep, CardLearner, CardOptimizer, Moved, Part};
pub use program::{KERNELS, TENSOR_KERNELS, source};
