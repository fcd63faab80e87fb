//! The layers of a U-Net, whoever computes them.

use crate::Dropout;
use candle_core::{Result, Tensor};

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing is known beyond the faces.
    Identity,
    /// SiLU: x · sigmoid(x).
    Silu,
}

/// The layers of a 3-D U-Net, so that a network is written once: [`Composed`](crate::Composed) runs on every device
/// and in every float type, [`Engine`](crate::Engine) is fast on CPUs.
///
/// Shapes are written (b, c, x, y, z), whatever the order in memory. Weights are tensors in PyTorch's order. Every
/// method fails if shapes, types or devices do not fit together.
pub trait Layers {
    /// A batch of volumes on its way through the network.
    type Volume: Clone;

    /// Takes a tensor (b, c, x, y, z) in.
    ///
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn input(&self, x: &Tensor) -> Result<Self::Volume>;

    /// 3^3 convolution, stride 1, zero padding 1, plus `plus`.
    ///
    /// # Shapes
    /// `x` (b, ci, x, y, z), `weight` (co, ci, 3, 3, 3), `bias` (co,), `plus` (b, co, x, y, z), as the result.
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn conv3(
        &self,
        x: &Self::Volume,
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Self::Volume>,
    ) -> Result<Self::Volume>;

    /// 1^3 convolution, or a linear layer on volumes of one voxel, plus `plus`.
    ///
    /// # Shapes
    /// `x` (b, ci, x, y, z), `weight` (co, ci, ...) with as many values as co ci, `bias` (co,), `plus` as the result,
    /// (b, co, x, y, z).
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn conv1(
        &self,
        x: &Self::Volume,
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Self::Volume>,
    ) -> Result<Self::Volume>;

    /// Group norm with its affine map, an optional scale and shift per sample and channel, and an activation:
    /// act((normalised * weight + bias) * (1 + scale) + shift).
    ///
    /// # Shapes
    /// `x` (b, c, x, y, z), `weight` and `bias` (c,), `scale_shift` (b, 2 c, 1, 1, 1), the scales first. Returns the
    /// shape of `x`.
    /// # Errors
    /// If shapes, types or devices do not fit together, or `c` is not a multiple of `groups`.
    /// # Source
    /// Wu & He 2018, arXiv:1803.08494; scale and shift as in Dhariwal & Nichol 2021, arXiv:2105.05233, section 3.
    fn group_norm(
        &self,
        x: &Self::Volume,
        groups: usize,
        weight: &Tensor,
        bias: &Tensor,
        scale_shift: Option<&Self::Volume>,
        activation: Activation,
    ) -> Result<Self::Volume>;

    /// SiLU: x · sigmoid(x).
    ///
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn silu(&self, x: &Self::Volume) -> Result<Self::Volume>;

    /// Means of 2^3 blocks: (b, c, x, y, z) with even sides becomes (b, c, x/2, y/2, z/2).
    ///
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn average_pool(&self, x: &Self::Volume) -> Result<Self::Volume>;

    /// Each voxel repeated into a 2^3 block: (b, c, x, y, z) becomes (b, c, 2x, 2y, 2z).
    ///
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn upsample_nearest(&self, x: &Self::Volume) -> Result<Self::Volume>;

    /// The channels of `a`, then those of `b`.
    ///
    /// # Errors
    /// If shapes, types or devices do not fit together.
    fn concatenate(&self, a: &Self::Volume, b: &Self::Volume) -> Result<Self::Volume>;

    /// Multi-head self-attention over the voxels of each sample. Heads are split first, then query, key and value
    /// (guided-diffusion's "legacy" order).
    ///
    /// # Shapes
    /// `qkv` (b, 3 heads dim, x, y, z). Returns (b, heads dim, x, y, z).
    /// # Errors
    /// If shapes, types or devices do not fit together.
    /// # Source
    /// Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
    fn attention(&self, qkv: &Self::Volume, heads: usize) -> Result<Self::Volume>;

    /// Sets some units to zero and multiplies the others by a factor.
    ///
    /// # Errors
    /// If the device has no room.
    fn dropout(&self, x: &Self::Volume, dropout: Dropout) -> Result<Self::Volume>;

    /// What `run` makes of `inputs`, at the price of another evaluation where gradients are wanted: nothing in between
    /// is kept, but computed again, with the same bits, on the way back.
    ///
    /// # Errors
    /// Whatever `run` reports.
    /// # Source
    /// Chen et al. 2016, arXiv:1604.06174.
    fn checkpoint(
        &self,
        inputs: Vec<Self::Volume>,
        run: impl Fn(&Self, &[Self::Volume]) -> Result<Self::Volume> + 'static,
    ) -> Result<Self::Volume>;
}
