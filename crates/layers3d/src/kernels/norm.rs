//! Group norm, affine map and SiLU in one pass over memory, and its backward pass.
#![allow(unsafe_code, reason = "plain loops compiled for the CPU's instruction set by `dispatch`")]

use super::simd::{Simd, dispatch};
use rayon::prelude::*;

/// Lanes of the explicit partial sums: a fixed order of summation that every instruction set can vectorise.
const LANES: usize = 16;
/// Values summed in f32 before the partial sum goes into f64.
const BLOCK: usize = 4096;

/// Samples of `channels` channels of `voxels` voxels, normalized over `groups` groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupNormShape {
    pub(crate) channels: usize,
    pub(crate) voxels: usize,
    pub(crate) groups: usize,
    pub(crate) silu: bool,
}

impl GroupNormShape {
    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }

    fn group_len(&self) -> usize {
        self.group_channels() * self.voxels
    }
}

const EPSILON: f64 = 1e-5;

/// activation(normalized x * scale + shift); scale and shift are (batch, channels).
pub(crate) fn group_norm_forward(
    shape: &GroupNormShape,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
) -> Vec<f32> {
    let mut output = vec![0f32; x.len()];
    let chunks = output.par_chunks_exact_mut(shape.group_len()).zip(x.par_chunks_exact(shape.group_len()));
    chunks.enumerate().for_each(|(group, (output, x))| {
        let (mean, inverse_deviation) = moments(x);
        for (c, (output, x)) in
            output.chunks_exact_mut(shape.voxels).zip(x.chunks_exact(shape.voxels)).enumerate()
        {
            let channel = group * shape.group_channels() + c;
            // normalized * scale + shift as one multiply-add per voxel.
            let slope = inverse_deviation * scale[channel];
            let offset = shift[channel] - mean * slope;
            affine_activation(x, slope, offset, shape.silu, output);
        }
    });
    output
}

/// Gradients by x, scale and shift.
pub(crate) fn group_norm_backward(
    shape: &GroupNormShape,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut by_x = vec![0f32; x.len()];
    let (group_len, group_channels) = (shape.group_len(), shape.group_channels());
    let by_affine: Vec<Vec<(f32, f32)>> = by_x
        .par_chunks_exact_mut(group_len)
        .enumerate()
        .map(|(group, by_x)| {
            let x = &x[group * group_len..][..group_len];
            let gradient = &gradient[group * group_len..][..group_len];
            let (mean, inverse_deviation) = moments(x);
            let (mut mean_by, mut mean_by_x) = (0f64, 0f64);
            let mut by_affine = Vec::with_capacity(group_channels);
            for c in 0..group_channels {
                let (range, channel) = (c * shape.voxels..(c + 1) * shape.voxels, group * group_channels + c);
                let affine = Affine {
                    mean,
                    inverse_deviation,
                    scale: scale[channel],
                    shift: shift[channel],
                    silu: shape.silu,
                };
                let mut sums = (0f64, 0f64);
                for start in range.clone().step_by(BLOCK) {
                    let block = start..range.end.min(start + BLOCK);
                    let mut partial = (0f32, 0f32);
                    inner_gradient(
                        &affine,
                        &x[block.clone()],
                        &gradient[block.clone()],
                        &mut by_x[block],
                        &mut partial,
                    );
                    sums = (sums.0 + f64::from(partial.0), sums.1 + f64::from(partial.1));
                }
                mean_by += f64::from(affine.scale) * sums.1;
                mean_by_x += f64::from(affine.scale) * sums.0;
                by_affine.push((sums.0 as f32, sums.1 as f32));
            }
            let means = ((mean_by / group_len as f64) as f32, (mean_by_x / group_len as f64) as f32);
            for c in 0..group_channels {
                let (range, channel) = (c * shape.voxels..(c + 1) * shape.voxels, group * group_channels + c);
                let affine = Affine {
                    mean,
                    inverse_deviation,
                    scale: scale[channel],
                    shift: shift[channel],
                    silu: shape.silu,
                };
                outer_gradient(&affine, means, &x[range.clone()], &mut by_x[range]);
            }
            by_affine
        })
        .collect();
    let (by_scale, by_shift) = by_affine.into_iter().flatten().unzip();
    (by_x, by_scale, by_shift)
}

/// How a channel is normalized and mapped.
struct Affine {
    mean: f32,
    inverse_deviation: f32,
    scale: f32,
    shift: f32,
    silu: bool,
}

/// Mean and 1 / sqrt(variance + epsilon), f32 sums of deviations in blocks, blocks in f64.
fn moments(x: &[f32]) -> (f32, f32) {
    let blocks_of = |centre: f32, power: i32| -> f64 {
        x.chunks(BLOCK)
            .map(|block| {
                let mut sum = 0f32;
                if power == 1 {
                    block_sum(block, &mut sum)
                } else {
                    block_squares(block, centre, &mut sum)
                };
                f64::from(sum)
            })
            .sum::<f64>()
            / x.len() as f64
    };
    let mean = blocks_of(0.0, 1) as f32;
    let variance = blocks_of(mean, 2);
    (mean, (1.0 / (variance + EPSILON).sqrt()) as f32)
}

dispatch!(fn block_sum(x: &[f32], sum: &mut f32) => block_sum_generic);

#[inline(always)]
unsafe fn block_sum_generic<S: Simd>(x: &[f32], sum: &mut f32) {
    *sum = lane_sum(x, |v| v);
}

dispatch!(fn block_squares(x: &[f32], centre: f32, sum: &mut f32) => block_squares_generic);

#[inline(always)]
unsafe fn block_squares_generic<S: Simd>(x: &[f32], centre: f32, sum: &mut f32) {
    *sum = lane_sum(x, |v| (v - centre) * (v - centre));
}

#[inline(always)]
fn lane_sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = x.chunks_exact(LANES);
    let rest: f32 = whole.remainder().iter().map(|&v| term(v)).sum();
    for chunk in whole {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += term(v);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

dispatch!(fn affine_activation(x: &[f32], slope: f32, offset: f32, silu: bool, output: &mut [f32]) => affine_activation_generic);

#[inline(always)]
unsafe fn affine_activation_generic<S: Simd>(
    x: &[f32],
    slope: f32,
    offset: f32,
    silu: bool,
    output: &mut [f32],
) {
    if silu {
        for (out, &v) in output.iter_mut().zip(x) {
            let z = v * slope + offset;
            *out = z * sigmoid(z);
        }
    } else {
        for (out, &v) in output.iter_mut().zip(x) {
            *out = v * slope + offset;
        }
    }
}

dispatch!(fn inner_gradient(affine: &Affine, x: &[f32], gradient: &[f32], inner: &mut [f32], sums: &mut (f32, f32)) => inner_gradient_generic);

/// inner = gradient through the activation; sums = (sum inner * normalized, sum inner).
#[inline(always)]
unsafe fn inner_gradient_generic<S: Simd>(
    affine: &Affine,
    x: &[f32],
    gradient: &[f32],
    inner: &mut [f32],
    sums: &mut (f32, f32),
) {
    if affine.silu {
        inner_gradient_loop(affine, x, gradient, inner, sums, |z| {
            let s = sigmoid(z);
            s * (1.0 + z * (1.0 - s))
        });
    } else {
        inner_gradient_loop(affine, x, gradient, inner, sums, |_| 1.0);
    }
}

#[inline(always)]
fn inner_gradient_loop(
    affine: &Affine,
    x: &[f32],
    gradient: &[f32],
    inner: &mut [f32],
    sums: &mut (f32, f32),
    slope: impl Fn(f32) -> f32,
) {
    let (mut by_scale, mut by_shift) = ([0f32; LANES], [0f32; LANES]);
    let mut voxel = |inner: &mut f32, x: f32, gradient: f32, lane: usize| {
        let normalized = (x - affine.mean) * affine.inverse_deviation;
        *inner = gradient * slope(normalized * affine.scale + affine.shift);
        by_scale[lane] += *inner * normalized;
        by_shift[lane] += *inner;
    };
    let whole = inner.len() / LANES * LANES;
    let (inner, inner_rest) = inner.split_at_mut(whole);
    let vectors = inner.as_chunks_mut::<LANES>().0.iter_mut().zip(x.as_chunks::<LANES>().0);
    for ((inner, x), gradient) in vectors.zip(gradient.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            voxel(&mut inner[lane], x[lane], gradient[lane], lane);
        }
    }
    for (lane, inner) in inner_rest.iter_mut().enumerate() {
        voxel(inner, x[whole + lane], gradient[whole + lane], lane);
    }
    *sums = (by_scale.iter().sum(), by_shift.iter().sum());
}

dispatch!(fn outer_gradient(affine: &Affine, means: (f32, f32), x: &[f32], by_x: &mut [f32]) => outer_gradient_generic);

/// Turns the inner gradient into the gradient by x (Wu & He 2018, arXiv:1803.08494, differentiated).
#[inline(always)]
unsafe fn outer_gradient_generic<S: Simd>(affine: &Affine, means: (f32, f32), x: &[f32], by_x: &mut [f32]) {
    let Affine { mean, inverse_deviation, scale, .. } = *affine;
    for (by, &v) in by_x.iter_mut().zip(x) {
        let normalized = (v - mean) * inverse_deviation;
        *by = inverse_deviation * (*by * scale - means.0 - normalized * means.1);
    }
}

/// 1 / (1 + e^-z), to 2e-7.
#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// e^x to 2e-7 relative, in operations that vectorise: 2^n times a polynomial on |r| <= ln 2 / 2 (Cephes expf).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer in the low bits
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = p * r + c;
    }
    let power = f32::from_bits(((shifted.to_bits() as i32 - ROUND.to_bits() as i32 + 127) << 23) as u32);
    (p * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_exponential_is_accurate_over_its_range() {
        for i in -8700..=8700 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(super::exp(x)) / exact - 1.0).abs() < 3e-7, "exp({x})");
        }
        assert!(super::sigmoid(-200.0) < 1e-37 && super::sigmoid(200.0) == 1.0);
        assert!(super::sigmoid(f32::NAN).is_nan());
    }
}
