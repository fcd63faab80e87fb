//! The layers of a 3-D U-Net, each with its backward pass.
//!
//! [`Layers`] lists them. [`Engine`] computes them with a tape of its own, on CPUs in f32 with our own kernels, or with whatever else
//! is an [`Arithmetic`](arithmetic::Arithmetic); [`Composed`] by candle
//! operations, on every device and in every float type; the tests use it as oracle.
//!
//! # Examples
//! A network is written once, over [`Layers`].
//! ```
//! use candle_core::{DType, Device, Result, Tensor};
//! use finescale_layers3d::{Composed, Engine, Layers};
//!
//! /// The mean over each voxel and its neighbours; beyond the faces there are zeros.
//! fn blurred<L: Layers>(layers: &L, x: &Tensor) -> Result<L::Volume> {
//!     let weight = Tensor::full(1f32 / 27.0, (1, 1, 3, 3, 3), &Device::Cpu)?;
//!     let bias = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
//!     layers.conv3(&layers.input(x)?, &weight, &bias, None)
//! }
//!
//! let ones = Tensor::ones((1, 1, 4, 4, 4), DType::F32, &Device::Cpu)?; // (b, c, x, y, z)
//! let engine = Engine::new();
//! let fast = engine.output(&blurred(&engine, &ones)?)?;
//! let plain = blurred(&Composed, &ones)?;
//! for y in [fast, plain] {
//!     let line = y.squeeze(0)?.squeeze(0)?.get(1)?.get(1)?.to_vec1::<f32>()?;
//!     assert!((line[0] - 18.0 / 27.0).abs() < 1e-6 && (line[1] - 1.0).abs() < 1e-6);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::undocumented_unsafe_blocks)]

pub mod arithmetic;
mod buffer;
pub mod composed;
pub mod counting;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dropout;
mod engine;
mod kernels;
mod layers;

pub use composed::Composed;
pub use cpu::Cpu;
pub use dropout::Dropout;
pub use engine::{Engine, Volume};
pub use kernels::{check_instruction_set_wish, instruction_set_name};
pub use layers::{Activation, Layers};
