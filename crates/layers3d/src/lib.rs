//! The 3-D layers that candle lacks, each with its backward pass.
//!
//! Tensors are contiguous (b, c, x, y, z). On the CPU in f32 the layers run our own kernels; elsewhere (f64,
//! CUDA) they are compositions of candle operations, which the tests use as oracles too.

pub mod composed;
