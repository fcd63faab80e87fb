//! What computes networks.

#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::Card;

/// What computes networks. Tensors and parameters stay on the host whatever it is.
#[derive(Clone, Debug, Default)]
pub enum Processor {
    /// The CPU, by our own kernels in f32 and by candle's in other types.
    #[default]
    Cpu,
    /// An NVIDIA card, in f32.
    #[cfg(feature = "cuda")]
    Card(Card),
}
