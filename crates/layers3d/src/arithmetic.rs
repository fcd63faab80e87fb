//! What an engine computes with.

use crate::Dropout;
use candle_core::{Result, Tensor};

/// Memory on one device, and the arithmetic of layers on it.
///
/// Volumes are (b, x, y, z, c), channels last, and a batch may have its channels in several parts. Weights are tensors of the host
/// in PyTorch's order. Shapes have been checked by the engine. All methods fail if the device has no room or does not answer.
pub trait Arithmetic: Clone + 'static {
    /// f32 values on the device.
    type Memory: 'static;
    /// What a group norm keeps for its way back.
    type Norm: 'static;
    /// What an attention keeps for its way back, beside its input and output.
    type Attention: 'static;
    /// Bits that say which units are kept.
    type Bits: 'static;

    /// The values of a tensor (b, c, x, y, z), channels last.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn read(&self, x: &Tensor) -> Result<Self::Memory>;

    /// The tensor (b, c, x, y, z) of values that are channels last.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn write(&self, values: &Self::Memory, shape: [usize; 5]) -> Result<Tensor>;

    /// The gradient by a parameter, in the parameter's order, as a tensor of the host.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn gradient(&self, values: &Self::Memory, parameter: &Tensor) -> Result<Tensor>;

    /// Adds `x` to `sum`.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn add(&self, sum: &mut Self::Memory, x: &Self::Memory) -> Result<()>;

    /// 3^3 convolution with zeros beyond the faces; `reversed`: of the weights of a layer the other way around, as on the way
    /// back.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn convolve(
        &self,
        shape: &ConvolutionShape,
        x: &Self::Memory,
        weight: &Tensor,
        reversed: bool,
        bias: Option<&Tensor>,
        plus: Option<&Self::Memory>,
    ) -> Result<Self::Memory>;

    /// The gradient by the weights of [`Self::convolve`].
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn weight_gradient(
        &self,
        shape: &ConvolutionShape,
        x: &Self::Memory,
        gradient: &Self::Memory,
    ) -> Result<Self::Memory>;

    /// The gradient by a bias: sums over rows of so many channels.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn bias_gradient(&self, gradient: &Self::Memory, channels: usize) -> Result<Self::Memory>;

    /// x (n, inputs) W^T + bias + plus, of inputs in parts.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn pointwise(
        &self,
        x: &[Side<'_, Self::Memory>],
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Self::Memory>,
    ) -> Result<Self::Memory>;

    /// The gradient by the weights of [`Self::pointwise`].
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn pointwise_weight_gradient(
        &self,
        x: &[Side<'_, Self::Memory>],
        gradient: &Self::Memory,
        weight: &Tensor,
    ) -> Result<Self::Memory>;

    /// The gradient by so many `channels` of its inputs from `first` on, added to what there is `so_far`.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn pointwise_input_gradient(
        &self,
        gradient: &Self::Memory,
        weight: &Tensor,
        first: usize,
        channels: usize,
        so_far: Option<Self::Memory>,
    ) -> Result<Self::Memory>;

    /// Group norm, the affine map, scale and shift if there are some, and SiLU if `shape` says so.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn group_norm(
        &self,
        shape: &NormShape,
        x: &NormInput<'_, Self::Memory>,
    ) -> Result<(Self::Memory, Self::Norm)>;

    /// The gradients by what [`Self::group_norm`] took; those by its sides are added to what there is of each `so_far`.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn group_norm_backward(
        &self,
        shape: &NormShape,
        x: &NormInput<'_, Self::Memory>,
        norm: &Self::Norm,
        gradient: &Self::Memory,
        so_far: Vec<Option<Self::Memory>>,
    ) -> Result<NormGradients<Self::Memory>>;

    /// SiLU.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn silu(&self, x: &Self::Memory) -> Result<Self::Memory>;

    /// The gradient by the input `x` of [`Self::silu`].
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn silu_backward(&self, x: &Self::Memory, gradient: Self::Memory) -> Result<Self::Memory>;

    /// `factor` times the sums over blocks of 2^3 voxels of volumes of so many extents, added to what there is `so_far`.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn sum_blocks(
        &self,
        x: &Self::Memory,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<Self::Memory>,
    ) -> Result<Self::Memory>;

    /// `factor` times each voxel of volumes of so many extents, repeated into blocks of 2^3, added to what there is `so_far`.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn repeat_blocks(
        &self,
        x: &Self::Memory,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<Self::Memory>,
    ) -> Result<Self::Memory>;

    /// Multi-head self-attention of queries, keys and values that lie side by side in each row.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn attention(&self, shape: AttentionShape, qkv: &Self::Memory)
    -> Result<(Self::Memory, Self::Attention)>;

    /// The gradient by its input.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn attention_backward(
        &self,
        shape: AttentionShape,
        qkv: &Self::Memory,
        output: &Self::Memory,
        kept: &Self::Attention,
        gradient: &Self::Memory,
    ) -> Result<Self::Memory>;

    /// Those of [`Dropout::bits`].
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn bits(&self, dropout: &Dropout, units: usize) -> Result<Self::Bits>;

    /// `factor` times the units whose bits are set, and zero for the others.
    ///
    /// # Errors
    /// If the device has no room, or does not answer.
    fn keep(&self, x: &Self::Memory, bits: &Self::Bits, factor: f32) -> Result<Self::Memory>;
}

/// Some channels of a batch: values (b, voxels, channels).
#[derive(Debug)]
pub struct Side<'a, M> {
    /// The values.
    pub values: &'a M,
    /// Channels of each voxel.
    pub channels: usize,
}

/// What a group norm takes.
#[derive(Debug)]
pub struct NormInput<'a, M> {
    /// What is normalised.
    pub sides: Vec<Side<'a, M>>,
    /// Weight of each channel.
    pub weight: &'a Tensor,
    /// Bias of each channel.
    pub bias: &'a Tensor,
    /// Scales of each sample and channel, then shifts: (b, 2 c).
    pub scale_shift: Option<&'a M>,
}

/// The gradients by what a group norm takes.
#[derive(Debug)]
pub struct NormGradients<M> {
    /// By each of its sides.
    pub by_sides: Vec<M>,
    /// By its weight and bias.
    pub by_affine: [M; 2],
    /// By scale and shift, (b, 2 c), if there are some.
    pub by_scale_shift: Option<M>,
}

/// Shape of a 3^3 convolution on one batch of volumes (b, x, y, z, c).
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionShape {
    /// Samples.
    pub batch: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Voxels along each axis.
    pub extents: [usize; 3],
}

impl ConvolutionShape {
    /// Voxels of a sample.
    #[must_use]
    pub fn voxels(&self) -> usize {
        self.extents.iter().product()
    }

    /// That of the way back, from the gradient by the output to that by the input.
    #[must_use]
    pub fn backward(&self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..*self }
    }
}

/// Samples of `voxels` voxels, normalised over `groups` groups of channels.
#[derive(Clone, Copy, Debug)]
pub struct NormShape {
    /// Samples.
    pub batch: usize,
    /// Voxels of a sample.
    pub voxels: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// Shape of an attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Samples.
    pub batch: usize,
    /// Voxels of a sample.
    pub points: usize,
    /// Heads side by side.
    pub heads: usize,
    /// Channels of each query, key and value.
    pub dim: usize,
}

impl AttentionShape {
    /// What scores are multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Values of a row of queries, keys and values.
    #[must_use]
    pub fn width(&self) -> usize {
        3 * self.heads * self.dim
    }
}
