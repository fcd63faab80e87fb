//! The layers of a 3-D U-Net, each with its backward pass.
//!
//! [`Layers`] lists them. [`Engine`] computes them on CPUs in f32 with our own kernels; [`Composed`] by candle
//! operations, on every device and in every float type; the tests use it as oracle.

#![warn(clippy::undocumented_unsafe_blocks)]

mod buffer;
pub mod composed;
mod engine;
mod kernels;
mod layers;

pub use composed::Composed;
pub use engine::{Engine, Volume};
pub use kernels::{check_instruction_set_wish, instruction_set_name};
pub use layers::{Activation, Layers};
