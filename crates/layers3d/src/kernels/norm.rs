//! Group norm with an affine map per sample and channel and SiLU, and its backward pass. Channels last; the channels
//! may lie in several parts, as after a concatenation.
//!
//! # Source
//! Wu & He 2018, arXiv:1803.08494, eqs. 1-7; the gradient by differentiating them.
#![allow(unsafe_code, reason = "vectors of strided rows; extents are asserted")]

use super::simd::{Simd, dispatch, sigmoid};
use crate::arithmetic::NormShape;
use rayon::prelude::*;

/// Voxels of a task, summed in f32 before the partial sum goes into f64.
const BLOCK: usize = 256;

/// Added to the variance before the root, as the reference's (and PyTorch's) group norm does.
const EPSILON: f64 = 1e-5;

/// Some channels of a batch: values (b, voxels, channels).
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) channels: usize,
}

/// How each channel of each sample is normalised, (b, c).
pub(crate) struct Moments {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
}

fn all_channels(parts: &[Part<'_>]) -> usize {
    parts.iter().map(|part| part.channels).sum()
}

/// Mean and 1 / sqrt(variance + epsilon) of every group.
pub(crate) fn moments(shape: &NormShape, parts: &[Part<'_>]) -> Moments {
    let channels = all_channels(parts);
    let batch = parts[0].values.len() / (shape.voxels * parts[0].channels).max(1);
    let (mut mean, mut inverse_deviation) = (vec![0f32; batch * channels], vec![0f32; batch * channels]);
    for sample in 0..batch {
        let mut of_channels = Vec::with_capacity(channels);
        for part in parts {
            let len = shape.voxels * part.channels;
            of_channels.extend(channel_moments(&part.values[sample * len..][..len], part.channels));
        }
        let in_group = channels / shape.groups;
        for group in 0..shape.groups {
            let range = group * in_group..(group + 1) * in_group;
            let group_mean = of_channels[range.clone()].iter().map(|m| m.0).sum::<f64>() / in_group as f64;
            let variance = |&(mean, variance): &(f64, f64)| variance + (mean - group_mean).powi(2);
            let variance = of_channels[range.clone()].iter().map(variance).sum::<f64>() / in_group as f64;
            let at = sample * channels + range.start..sample * channels + range.end;
            mean[at.clone()].fill(group_mean as f32);
            inverse_deviation[at].fill((1.0 / (variance + EPSILON).sqrt()) as f32);
        }
    }
    Moments { mean, inverse_deviation }
}

/// Mean and variance of each channel of one sample, by sums about the first voxel.
fn channel_moments(x: &[f32], channels: usize) -> Vec<(f64, f64)> {
    let centre = &x[..channels];
    let voxels = (x.len() / channels) as f64;
    let add = |block: &[f32], sums: &mut [f32]| sums_about(block, channels, centre, sums);
    let sums = block_sums(x, channels, 2 * channels, add);
    (0..channels)
        .map(|c| {
            let (first, second) = (sums[c] / voxels, sums[channels + c] / voxels);
            (f64::from(centre[c]) + first, (second - first * first).max(0.0))
        })
        .collect()
}

/// Sums in f64 over blocks of rows, in order, of `count` sums of each block.
fn block_sums(x: &[f32], channels: usize, count: usize, add: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f64> {
    let blocks: Vec<Vec<f32>> = x
        .par_chunks(BLOCK * channels)
        .map(|block| {
            let mut sums = vec![0f32; count];
            add(block, &mut sums);
            sums
        })
        .collect();
    total(&blocks, count)
}

fn total(blocks: &[Vec<f32>], count: usize) -> Vec<f64> {
    let mut total = vec![0f64; count];
    for block in blocks {
        total.iter_mut().zip(block).for_each(|(total, &sum)| *total += f64::from(sum));
    }
    total
}

dispatch!(fn sums_about(x: &[f32], channels: usize, centre: &[f32], sums: &mut [f32]) => sums_about_generic);

/// sums = (sum of x - centre, sum of its square) by channel.
#[inline(always)]
fn sums_about_generic<S: Simd>(simd: S, x: &[f32], channels: usize, centre: &[f32], sums: &mut [f32]) {
    let rows = x.len() / channels;
    assert!(sums.len() == 2 * channels && centre.len() == channels);
    for c in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - c);
        // SAFETY: `count` values from `c` on lie within each row, within centre, and within each half of sums, as
        // asserted; `count` is at most the lanes.
        unsafe {
            let centre = simd.load_first(centre.as_ptr().add(c), count);
            // Two chains each, so that additions overlap.
            let mut first = [simd.zero(); 2];
            let mut second = [simd.zero(); 2];
            for row in 0..rows {
                let d = simd.subtract(simd.load_first(x.as_ptr().add(row * channels + c), count), centre);
                first[row % 2] = simd.add(first[row % 2], d);
                second[row % 2] = simd.multiply_add(d, d, second[row % 2]);
            }
            simd.store_first(sums.as_mut_ptr().add(c), simd.add(first[0], first[1]), count);
            simd.store_first(sums.as_mut_ptr().add(channels + c), simd.add(second[0], second[1]), count);
        }
    }
}

/// activation(normalised x * scale + shift) of all parts side by side; scale and shift are (b, c), output
/// (b, voxels, c).
pub(crate) fn normalize(
    shape: &NormShape,
    parts: &[Part<'_>],
    moments: &Moments,
    scale: &[f32],
    shift: &[f32],
    output: &mut [f32],
) {
    let channels = all_channels(parts);
    assert_eq!(output.len(), parts.iter().map(|part| part.values.len()).sum::<usize>());
    output.par_chunks_mut(shape.voxels * channels).enumerate().for_each(|(sample, output)| {
        let lines = Lines::new(moments, scale, shift, sample * channels..(sample + 1) * channels);
        output.par_chunks_mut(BLOCK * channels).enumerate().for_each(|(block, output)| {
            let rows = output.len() / channels;
            let mut first = 0;
            for part in parts {
                let start = (sample * shape.voxels + block * BLOCK) * part.channels;
                let x = Part { values: &part.values[start..][..rows * part.channels], ..*part };
                map_rows(x, &lines, first, shape.silu, output, channels);
                first += part.channels;
            }
        });
    });
}

/// The straight line per channel that normalises and maps it.
struct Lines {
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl Lines {
    fn new(moments: &Moments, scale: &[f32], shift: &[f32], channels: std::ops::Range<usize>) -> Self {
        let slope: Vec<f32> = channels.clone().map(|c| moments.inverse_deviation[c] * scale[c]).collect();
        let offset = channels.zip(&slope).map(|(c, slope)| shift[c] - moments.mean[c] * slope).collect();
        Self { slope, offset }
    }

    /// The number of channels, of which both have a value.
    fn count(&self) -> usize {
        assert_eq!(self.slope.len(), self.offset.len());
        self.slope.len()
    }
}

dispatch!(fn map_rows(x: Part<'_>, lines: &Lines, first: usize, silu: bool, output: &mut [f32], stride: usize) => map_rows_generic);

/// output (row, first + c) = activation(x (row, c) slope + offset).
#[inline(always)]
fn map_rows_generic<S: Simd>(
    simd: S,
    x: Part<'_>,
    lines: &Lines,
    first: usize,
    silu: bool,
    output: &mut [f32],
    stride: usize,
) {
    let Part { values: x, channels } = x;
    let rows = x.len() / channels;
    assert!(output.len() == rows * stride && first + channels <= stride && lines.count() == stride);
    for c in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - c);
        // SAFETY: `count` values, at most the lanes, lie within each row of x from `c` on, within those of the output and
        // within the lines from first + c on, as asserted.
        unsafe {
            let slope = simd.load_first(lines.slope.as_ptr().add(first + c), count);
            let offset = simd.load_first(lines.offset.as_ptr().add(first + c), count);
            for row in 0..rows {
                let x = simd.load_first(x.as_ptr().add(row * channels + c), count);
                let z = simd.multiply_add(x, slope, offset);
                let value = if silu { simd.multiply(z, sigmoid(simd, z)) } else { z };
                simd.store_first(output.as_mut_ptr().add(row * stride + first + c), value, count);
            }
        }
    }
}

/// Where the gradient by a part goes.
pub(crate) struct PartGradient<'a> {
    pub(crate) values: &'a mut [f32],
    /// Whether it is added to what is there.
    pub(crate) add: bool,
}

/// From the gradient by the output (b, voxels, c): gradients by the parts, and by scale and shift (b, c).
pub(crate) fn normalize_backward(
    shape: &NormShape,
    parts: &[Part<'_>],
    moments: &Moments,
    [scale, shift]: [&[f32]; 2],
    gradient: &[f32],
    by_parts: Vec<PartGradient<'_>>,
    [by_scale, by_shift]: [&mut [f32]; 2],
) {
    let channels = all_channels(parts);
    let batch = gradient.len() / (shape.voxels * channels).max(1);
    let mut chains: Vec<Chain> = Vec::with_capacity(batch);
    for sample in 0..batch {
        let range = sample * channels..(sample + 1) * channels;
        let lines = Lines::new(moments, scale, shift, range.clone());
        let gradient = &gradient[range.start * shape.voxels..range.end * shape.voxels];
        let mut first = 0;
        for part in parts {
            let len = shape.voxels * part.channels;
            let x = &part.values[sample * len..][..len];
            let at = range.start + first..range.start + first + part.channels;
            let centre = &moments.mean[at.clone()];
            let blocks: Vec<Vec<f32>> = x
                .par_chunks(BLOCK * part.channels)
                .zip(gradient.par_chunks(BLOCK * channels))
                .map(|(x, gradient)| {
                    let mut sums = vec![0f32; 2 * part.channels];
                    let rows = Rows {
                        x,
                        channels: part.channels,
                        gradient,
                        stride: channels,
                        first,
                        silu: shape.silu,
                    };
                    gradient_sums(&rows, &lines, centre, &mut sums);
                    sums
                })
                .collect();
            for (c, sums) in total(&blocks, 2 * part.channels).chunks(part.channels).enumerate() {
                for (i, &sum) in sums.iter().enumerate() {
                    let channel = at.start + i;
                    if c == 0 {
                        by_shift[channel] = sum as f32;
                    } else {
                        by_scale[channel] = (sum * f64::from(moments.inverse_deviation[channel])) as f32;
                    }
                }
            }
            first += part.channels;
        }
        chains.push(chain_rule(shape, moments, lines, range, scale, [&*by_scale, &*by_shift]));
    }
    let mut first = 0;
    for (part, by) in parts.iter().zip(by_parts) {
        let (len, add) = (shape.voxels * part.channels, by.add);
        by.values.par_chunks_mut(len).enumerate().for_each(|(sample, by)| {
            let gradient = &gradient[sample * shape.voxels * channels..][..shape.voxels * channels];
            let x = &part.values[sample * len..][..len];
            let blocks = by.par_chunks_mut(BLOCK * part.channels).zip(x.par_chunks(BLOCK * part.channels));
            blocks.zip(gradient.par_chunks(BLOCK * channels)).for_each(|((by, x), gradient)| {
                let rows =
                    Rows { x, channels: part.channels, gradient, stride: channels, first, silu: shape.silu };
                gradient_rows(&rows, &chains[sample], add, by);
            });
        });
        first += part.channels;
    }
}

/// The gradient by the input of one sample, whose channels are `range`:
/// dx = i (scale dz - mean(scale dz) - n mean(scale dz n)) with n = (x - m) i, a line in dz and x.
fn chain_rule(
    shape: &NormShape,
    moments: &Moments,
    lines: Lines,
    range: std::ops::Range<usize>,
    scale: &[f32],
    [by_scale, by_shift]: [&[f32]; 2],
) -> Chain {
    let channels = range.len();
    let in_group = channels / shape.groups;
    let count = (in_group * shape.voxels) as f64;
    let [by_inner, by_x, constant] = [0; 3].map(|_| vec![0.0; channels]);
    let mut chain = Chain { lines, by_inner, by_x, constant };
    for group in 0..shape.groups {
        let at = range.start + group * in_group..range.start + (group + 1) * in_group;
        let mean_of = |by: &[f32]| -> f64 {
            at.clone().map(|c| f64::from(scale[c]) * f64::from(by[c])).sum::<f64>() / count
        };
        let (mean_by, mean_by_x) = (mean_of(by_shift), mean_of(by_scale));
        for c in at.clone() {
            let (m, i) = (f64::from(moments.mean[c]), f64::from(moments.inverse_deviation[c]));
            let local = c - range.start;
            chain.by_inner[local] = (i * f64::from(scale[c])) as f32;
            chain.by_x[local] = (-i * i * mean_by_x) as f32;
            chain.constant[local] = (i * i * m * mean_by_x - i * mean_by) as f32;
        }
    }
    chain
}

/// Some voxels of one part, and the gradient by the output there, whose rows hold all `stride` channels: those of the
/// part from `first` on.
struct Rows<'a> {
    x: &'a [f32],
    channels: usize,
    gradient: &'a [f32],
    stride: usize,
    first: usize,
    silu: bool,
}

impl Rows<'_> {
    fn count(&self) -> usize {
        let rows = self.x.len() / self.channels;
        assert!(self.gradient.len() == rows * self.stride && self.first + self.channels <= self.stride);
        rows
    }
}

/// dx = by_inner dz + by_x x + constant, per channel of a sample.
struct Chain {
    lines: Lines,
    by_inner: Vec<f32>,
    by_x: Vec<f32>,
    constant: Vec<f32>,
}

impl Chain {
    /// The number of channels, of which all have a value.
    fn count(&self) -> usize {
        let count = self.lines.count();
        assert!([&self.by_inner, &self.by_x, &self.constant].iter().all(|by| by.len() == count));
        count
    }
}

/// The gradient through the activation at z.
#[inline(always)]
fn inner<S: Simd>(simd: S, gradient: S::Vector, z: S::Vector, silu: bool) -> S::Vector {
    if !silu {
        return gradient;
    }
    let s = sigmoid(simd, z);
    // s (1 + z (1 - s))
    let slope = simd.multiply_add(simd.multiply(s, z), simd.subtract(simd.splat(1.0), s), s);
    simd.multiply(gradient, slope)
}

dispatch!(fn gradient_sums(rows: &Rows<'_>, lines: &Lines, centre: &[f32], sums: &mut [f32]) => gradient_sums_generic);

/// sums = (sum of dz, sum of dz (x - centre)) by channel.
#[inline(always)]
fn gradient_sums_generic<S: Simd>(simd: S, rows: &Rows<'_>, lines: &Lines, centre: &[f32], sums: &mut [f32]) {
    let &Rows { x, channels, gradient, stride, first, silu } = rows;
    let rows = rows.count();
    assert!(lines.count() == stride && sums.len() == 2 * channels && centre.len() == channels);
    for c in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - c);
        // SAFETY: `count` values, at most the lanes, lie within each row of x, centre and each half of sums from `c` on,
        // within those of the gradient and within the lines from first + c on, as asserted.
        unsafe {
            let slope = simd.load_first(lines.slope.as_ptr().add(first + c), count);
            let offset = simd.load_first(lines.offset.as_ptr().add(first + c), count);
            let centre = simd.load_first(centre.as_ptr().add(c), count);
            let (mut by_shift, mut by_scale) = (simd.zero(), simd.zero());
            for row in 0..rows {
                let x = simd.load_first(x.as_ptr().add(row * channels + c), count);
                let gradient = simd.load_first(gradient.as_ptr().add(row * stride + first + c), count);
                let dz = inner(simd, gradient, simd.multiply_add(x, slope, offset), silu);
                by_shift = simd.add(by_shift, dz);
                by_scale = simd.multiply_add(dz, simd.subtract(x, centre), by_scale);
            }
            simd.store_first(sums.as_mut_ptr().add(c), by_shift, count);
            simd.store_first(sums.as_mut_ptr().add(channels + c), by_scale, count);
        }
    }
}

dispatch!(fn gradient_rows(rows: &Rows<'_>, chain: &Chain, add: bool, by: &mut [f32]) => gradient_rows_generic);

/// by (row, c) = by_inner dz + by_x x + constant, plus what is there if `add`.
#[inline(always)]
fn gradient_rows_generic<S: Simd>(simd: S, rows: &Rows<'_>, chain: &Chain, add: bool, by: &mut [f32]) {
    let &Rows { x, channels, gradient, stride, first, silu } = rows;
    let rows = rows.count();
    assert!(by.len() == x.len() && chain.count() == stride);
    for c in (0..channels).step_by(S::LANES) {
        let (count, at) = (S::LANES.min(channels - c), first + c);
        // SAFETY: `count` values, at most the lanes, lie within each row of x and `by` from `c` on, within those of the
        // gradient and within the chain from first + c on, as asserted.
        unsafe {
            let slope = simd.load_first(chain.lines.slope.as_ptr().add(at), count);
            let offset = simd.load_first(chain.lines.offset.as_ptr().add(at), count);
            let by_inner = simd.load_first(chain.by_inner.as_ptr().add(at), count);
            let by_x = simd.load_first(chain.by_x.as_ptr().add(at), count);
            let constant = simd.load_first(chain.constant.as_ptr().add(at), count);
            for row in 0..rows {
                let to = by.as_mut_ptr().add(row * channels + c);
                let x = simd.load_first(x.as_ptr().add(row * channels + c), count);
                let gradient = simd.load_first(gradient.as_ptr().add(row * stride + at), count);
                let dz = inner(simd, gradient, simd.multiply_add(x, slope, offset), silu);
                let mut value = simd.multiply_add(by_inner, dz, simd.multiply_add(by_x, x, constant));
                if add {
                    value = simd.add(value, simd.load_first(to, count));
                }
                simd.store_first(to, value, count);
            }
        }
    }
}
