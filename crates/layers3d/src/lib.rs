//! The 3-D layers that candle lacks, each with its backward pass.
//!
//! Tensors are (b, c, x, y, z). On the CPU in f32 the layers run our own kernels; elsewhere (f64, CUDA) they are
//! compositions of candle operations ([`composed`]), which the tests use as oracles too.

pub mod composed;
mod kernels;
mod ops;

pub use composed::{Activation, attention, conv1, linear, silu};

use candle_core::{Result, Tensor, bail};
use ops::{Convolution, GroupNorm, Resample, has_kernels};

/// 3^3 convolution, stride 1, zero padding 1.
///
/// # Shapes
/// `x` (b, ci, nx, ny, nz), `weight` (co, ci, 3, 3, 3), `bias` (co,). Returns (b, co, nx, ny, nz).
/// # Errors
/// If shapes, types or devices do not fit together.
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !has_kernels(x) {
        return composed::conv3d(x, weight, bias);
    }
    let bias =
        bias.map_or_else(|| Tensor::zeros(weight.dim(0)?, x.dtype(), x.device()), |b| b.contiguous())?;
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias, Convolution)
}

/// Group norm with its affine map, an optional scale and shift per sample and channel, and an activation:
/// act((normalised * weight + bias) * (1 + scale) + shift).
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
    if !has_kernels(x) {
        return composed::group_norm(x, groups, weight, bias, scale_shift, activation);
    }
    // The two affine maps are one: (weight * (1 + scale), bias * (1 + scale) + shift) per sample and channel.
    let rows = (x.dim(0)?, x.dim(1)?);
    let (scale, shift) = match scale_shift {
        None => (weight.broadcast_as(rows)?, bias.broadcast_as(rows)?),
        Some((scale, shift)) => {
            let factor = (scale + 1.0)?;
            (factor.broadcast_mul(weight)?, factor.broadcast_mul(bias)?.add(shift)?)
        }
    };
    let operation = GroupNorm { groups, silu: activation == Activation::Silu };
    x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, operation)
}

/// Means of 2^3 blocks.
///
/// # Shapes
/// `x` (b, c, nx, ny, nz) with even n. Returns (b, c, nx/2, ny/2, nz/2).
/// # Errors
/// If a side is odd.
pub fn average_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, nx, ny, nz) = x.dims5()?;
    if !has_kernels(x) {
        return composed::average_pool(x);
    }
    if [nx, ny, nz].iter().any(|n| n % 2 != 0) {
        bail!("average_pool: sides {:?} must be even", [nx, ny, nz]);
    }
    x.contiguous()?.apply_op1(Resample::Halve)
}

/// Each voxel repeated into a 2^3 block.
///
/// # Shapes
/// `x` (b, c, nx, ny, nz). Returns (b, c, 2 nx, 2 ny, 2 nz).
/// # Errors
/// If `x` is not of rank 5.
pub fn upsample_nearest(x: &Tensor) -> Result<Tensor> {
    x.dims5()?;
    if has_kernels(x) { x.contiguous()?.apply_op1(Resample::Double) } else { composed::upsample_nearest(x) }
}
