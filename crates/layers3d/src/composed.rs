//! Compositions of candle operations.
//!
//! They run on every device and in every float type that candle knows, and are the oracle of the fast kernels.
//! Every operation here is one whose gradient candle computes rightly (its `softmax_last_dim`, `LayerNorm` and
//! nearest upsampling do not, or not always); the tests hold each layer against finite differences.

use crate::{Activation, Dropout, Layers};
use candle_core::{D, DType, Result, Tensor, bail};

/// Added to the variance before the root, as the reference's (and PyTorch's) group norm does.
pub const GROUP_NORM_EPSILON: f64 = 1e-5;

/// 3³ convolution with stride 1 and one cell of zeros around the volume (a cross-correlation, as in PyTorch).
///
/// # Shapes
/// `x` (b, ci, n0, n1, n2), `weight` (co, ci, 3, 3, 3), `bias` (co,). Returns (b, co, n0, n1, n2).
/// # Errors
/// If shapes, types or devices do not fit together.
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (b, ci, n0, n1, n2) = x.dims5()?;
    let (co, weight_ci, k0, k1, k2) = weight.dims5()?;
    if weight_ci != ci || (k0, k1, k2) != (3, 3, 3) {
        bail!(
            "conv3d: input has {ci} channels, weight is {:?}: expected ({co}, {ci}, 3, 3, 3)",
            weight.dims()
        );
    }
    let padded = x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?.pad_with_zeros(4, 1, 1)?;
    let mut shifted = Vec::with_capacity(27);
    for tap in 0..27 {
        let view = padded.narrow(2, tap / 9, n0)?.narrow(3, tap / 3 % 3, n1)?.narrow(4, tap % 3, n2)?;
        shifted.push(view.reshape((b, ci, 1, n0 * n1 * n2))?);
    }
    let columns = Tensor::cat(&shifted, 2)?.reshape((b, ci * 27, n0 * n1 * n2))?;
    let out = left_product(&weight.reshape((co, ci * 27))?, &columns)?;
    add_channelwise(&out, bias)?.reshape((b, co, n0, n1, n2))
}

/// 1³ convolution: one linear map of the channels at every point.
///
/// # Shapes
/// `x` (b, ci, ...) of rank 3 or more, `weight` (co, ci, 1, ...) or (co, ci), `bias` (co,). Returns (b, co, ...).
/// # Errors
/// If shapes, types or devices do not fit together.
pub fn conv1(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    if dims.len() < 3 || weight.rank() < 2 || weight.elem_count() != weight.dim(0)? * dims[1] {
        bail!("conv1: input {dims:?} does not fit weight {:?}", weight.dims());
    }
    let (b, ci, co) = (dims[0], dims[1], weight.dim(0)?);
    let points = dims[2..].iter().product::<usize>();
    let out = left_product(&weight.reshape((co, ci))?, &x.reshape((b, ci, points))?)?;
    dims[1] = co;
    add_channelwise(&out, bias)?.reshape(dims)
}

/// Group norm with its affine map, an optional scale and shift per sample and channel, and an activation:
/// act((normalised · weight + bias) · (1 + scale) + shift). Computed in f32 at least.
///
/// # Shapes
/// `x` (b, c, ...), `weight` and `bias` (c,), `scale_shift` a pair of (b, c). Returns the shape of `x`.
/// # Errors
/// If `c` is not a multiple of `groups`, or shapes, types or devices do not fit together.
/// # Source
/// Wu & He 2018, arXiv:1803.08494; scale and shift as in Dhariwal & Nichol 2021, arXiv:2105.05233, section 3.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    scale_shift: Option<(&Tensor, &Tensor)>,
    activation: Activation,
) -> Result<Tensor> {
    let (b, c) = (x.dim(0)?, x.dim(1)?);
    if groups == 0 || !c.is_multiple_of(groups) {
        bail!("group_norm: {c} channels do not split into {groups} groups");
    }
    let points = x.elem_count() / (b * c).max(1);
    let wide = x.to_dtype(compute_type(x.dtype()))?.reshape((b, groups, c / groups * points))?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normalised = centred.broadcast_div(&(variance + GROUP_NORM_EPSILON)?.sqrt()?)?;
    let channelwise = |t: &Tensor, rows: usize| t.to_dtype(wide.dtype())?.reshape((rows, c, 1));
    let mut out = normalised
        .reshape((b, c, points))?
        .broadcast_mul(&channelwise(weight, 1)?)?
        .broadcast_add(&channelwise(bias, 1)?)?;
    if let Some((scale, shift)) = scale_shift {
        out = out.broadcast_mul(&(channelwise(scale, b)? + 1.0)?)?.broadcast_add(&channelwise(shift, b)?)?;
    }
    let out = match activation {
        Activation::Identity => out,
        Activation::Silu => silu(&out)?,
    };
    out.to_dtype(x.dtype())?.reshape(x.shape())
}

/// Means of 2³ blocks.
///
/// # Shapes
/// `x` (b, c, n0, n1, n2) with even n. Returns (b, c, n0/2, n1/2, n2/2).
/// # Errors
/// If a side of `x` is odd.
pub fn average_pool(x: &Tensor) -> Result<Tensor> {
    let (b, c, n0, n1, n2) = x.dims5()?;
    if [n0, n1, n2].iter().any(|n| !n.is_multiple_of(2)) {
        bail!("average_pool: sides {:?} must be even", [n0, n1, n2]);
    }
    let blocks = x.reshape(&[b * c, n0 / 2, 2, n1 / 2, 2, n2 / 2, 2][..])?;
    (blocks.sum(&[2, 4, 6][..])? / 8.0)?.reshape((b, c, n0 / 2, n1 / 2, n2 / 2))
}

/// Each voxel repeated into a 2³ block.
///
/// # Shapes
/// `x` (b, c, n0, n1, n2). Returns (b, c, 2 n0, 2 n1, 2 n2).
/// # Errors
/// If `x` is not of rank 5.
pub fn upsample_nearest(x: &Tensor) -> Result<Tensor> {
    let (b, c, n0, n1, n2) = x.dims5()?;
    x.reshape(&[b * c, n0, 1, n1, 1, n2, 1][..])?
        .broadcast_as(&[b * c, n0, 2, n1, 2, n2, 2][..])?
        .contiguous()?
        .reshape((b, c, 2 * n0, 2 * n1, 2 * n2))
}

/// SiLU: x · sigmoid(x).
///
/// # Errors
/// If the device does not know the operation.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.silu()
}

/// Multi-head self-attention over the points of a volume. Heads are split first, then query, key and value
/// (guided-diffusion's "legacy" order); queries and keys are each scaled by head_channels^(-1/4).
///
/// # Shapes
/// `qkv` (b, 3 · heads · dim, t). Returns (b, heads · dim, t).
/// # Errors
/// If the channels are not a multiple of 3 · heads.
/// # Source
/// Vaswani et al. 2017, arXiv:1706.03762, eq. 1.
pub fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, width, points) = qkv.dims3()?;
    if heads == 0 || !width.is_multiple_of(3 * heads) {
        bail!("attention: {width} channels do not split into q, k and v of {heads} heads");
    }
    let dim = width / (3 * heads);
    let by_head = qkv.reshape((b * heads, 3 * dim, points))?;
    let part = |i: usize| by_head.narrow(1, i * dim, dim)?.contiguous();
    let scale = (dim as f64).powf(-0.25);
    let (query, key, value) = ((part(0)? * scale)?, (part(1)? * scale)?, part(2)?);
    let scores = query.t()?.contiguous()?.matmul(&key)?; // (b heads, t, t)
    let weights = softmax_last(&scores)?;
    value.matmul(&weights.t()?.contiguous()?)?.reshape((b, heads * dim, points))
}

/// Softmax over the last axis, in f32 at least.
fn softmax_last(scores: &Tensor) -> Result<Tensor> {
    let wide = scores.to_dtype(compute_type(scores.dtype()))?;
    // The result does not depend on the subtracted maximum, so no gradient flows through it.
    let exponentials = wide.broadcast_sub(&wide.max_keepdim(D::Minus1)?.detach())?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?.to_dtype(scores.dtype())
}

/// weight (o, i) times each sample of columns (b, i, t): (b, o, t).
fn left_product(weight: &Tensor, columns: &Tensor) -> Result<Tensor> {
    weight.broadcast_left(columns.dim(0)?)?.contiguous()?.matmul(columns)
}

/// Adds bias (c,) to x (b, c, t).
fn add_channelwise(x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    bias.map_or_else(|| Ok(x.clone()), |bias| x.broadcast_add(&bias.reshape((1, bias.elem_count(), 1))?))
}

/// The layers as compositions of candle operations, in candle's own graph.
#[derive(Clone, Copy, Debug, Default)]
pub struct Composed;

impl Layers for Composed {
    type Volume = Tensor;

    fn input(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn conv3(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, plus: Option<&Tensor>) -> Result<Tensor> {
        let y = conv3d(x, weight, Some(bias))?;
        plus.map_or(Ok(y.clone()), |plus| plus + y)
    }

    fn conv1(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, plus: Option<&Tensor>) -> Result<Tensor> {
        let y = conv1(x, weight, Some(bias))?;
        plus.map_or(Ok(y.clone()), |plus| plus + y)
    }

    fn group_norm(
        &self,
        x: &Tensor,
        groups: usize,
        weight: &Tensor,
        bias: &Tensor,
        scale_shift: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let Some(both) = scale_shift else { return group_norm(x, groups, weight, bias, None, activation) };
        let both = both.flatten_from(1)?; // (b, 2 c)
        let channels = x.dim(1)?;
        let (scale, shift) = (both.narrow(1, 0, channels)?, both.narrow(1, channels, channels)?);
        group_norm(x, groups, weight, bias, Some((&scale, &shift)), activation)
    }

    fn silu(&self, x: &Tensor) -> Result<Tensor> {
        silu(x)
    }

    fn average_pool(&self, x: &Tensor) -> Result<Tensor> {
        average_pool(x)
    }

    fn upsample_nearest(&self, x: &Tensor) -> Result<Tensor> {
        upsample_nearest(x)
    }

    fn concatenate(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Tensor::cat(&[a, b], 1)
    }

    fn attention(&self, qkv: &Tensor, heads: usize) -> Result<Tensor> {
        let (b, width, n0, n1, n2) = qkv.dims5()?;
        attention(&qkv.flatten_from(2)?, heads)?.reshape((b, width / 3, n0, n1, n2))
    }

    fn dropout(&self, x: &Tensor, dropout: Dropout) -> Result<Tensor> {
        let (b, c, n0, n1, n2) = x.dims5()?;
        let (bits, factor) = (dropout.bits(x.elem_count()), dropout.factor());
        let value = |i: usize| if bits[i / 32] >> (i % 32) & 1 == 1 { factor } else { 0.0 };
        let mask: Vec<f32> = (0..x.elem_count()).map(value).collect();
        let mask = Tensor::from_vec(mask, (b, n0, n1, n2, c), x.device())?.to_dtype(x.dtype())?;
        x * mask.permute((0, 4, 1, 2, 3))?.contiguous()?
    }

    /// candle's graph keeps what is in between all the same.
    fn checkpoint(
        &self,
        inputs: Vec<Tensor>,
        run: impl Fn(&Self, &[Tensor]) -> Result<Tensor> + 'static,
    ) -> Result<Tensor> {
        run(self, &inputs)
    }
}

/// f64 stays, everything narrower is computed in f32.
fn compute_type(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}
