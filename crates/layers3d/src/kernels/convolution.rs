//! Direct 3^3 convolution, stride 1, zero padding 1.
//!
//! A task owns a slab of x-planes of one sample. It copies the slab's input planes with a border of zeros into
//! a buffer that stays in the second-level cache; there each tap is a constant offset, so a tile of output
//! channels x consecutive (padded) voxels stays in registers over all input channels and taps.
#![allow(
    unsafe_code,
    reason = "register tiles over padded buffers; bounds are asserted per tile in debug builds"
)]

use super::simd::{Simd, dispatch, instruction_set};
use super::{ConvolutionShape, pad_planes};
use rayon::prelude::*;
use std::cell::RefCell;

/// Vectors of consecutive voxels in a register tile.
const TILE_VECTORS: usize = 3;
/// The most lanes of any instruction set: slack behind padded buffers.
const MAX_TILE_VOXELS: usize = 16 * TILE_VECTORS;
/// A padded slab should stay within about half of a second-level cache.
const SLAB_FLOATS: usize = 1 << 18;
/// Enough tasks to keep any CPU's cores evenly busy on small volumes.
const MIN_TASKS: usize = 16;

thread_local! {
    static SLAB: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Weights (inputs, outputs, 27) with taps reversed, from (outputs, inputs, 27): the convolution that carries
/// gradients back to the input.
pub(crate) fn transpose_weights(weight: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut transposed = vec![0f32; weight.len()];
    transposed.par_chunks_exact_mut(outputs * 27).enumerate().for_each(|(i, row)| {
        for (o, taps) in row.chunks_exact_mut(27).enumerate() {
            let from = &weight[(o * inputs + i) * 27..][..27];
            taps.iter_mut().zip(from.iter().rev()).for_each(|(to, &w)| *to = w);
        }
    });
    transposed
}

/// Convolution of `input` (batch, inputs, x, y, z) with `weight` (outputs, inputs, 3, 3, 3) plus `bias` (outputs).
pub(crate) fn convolve(
    shape: &ConvolutionShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let voxels = shape.voxels();
    let packed = PackedWeights::new(weight, shape);
    let slab = Slab::plan(shape);
    let mut output = vec![0f32; shape.batch * shape.outputs * voxels];
    // (sample, output channels of a tile, slab) own disjoint parts of the output.
    let plane = shape.extents[1] * shape.extents[2];
    let mut tasks: Vec<Task> = Vec::new();
    let mut rest = output.as_mut_slice();
    let mut channels: Vec<Vec<&mut [f32]>> = Vec::with_capacity(shape.batch * shape.outputs);
    for _ in 0..shape.batch * shape.outputs {
        let (channel, tail) = rest.split_at_mut(voxels);
        channels.push(channel.chunks_mut(slab.planes * plane).collect());
        rest = tail;
    }
    let slabs = shape.extents[0].div_ceil(slab.planes);
    let group_channels = slab.tiles_per_task * packed.tile_outputs;
    for sample in 0..shape.batch {
        for index in (0..slabs).rev() {
            for first in (0..shape.outputs).step_by(group_channels) {
                let end_exclusive = (first + group_channels).min(shape.outputs);
                let parts = (first..end_exclusive)
                    .map(|o| channels[sample * shape.outputs + o].pop().expect("one part a slab"))
                    .collect();
                tasks.push(Task { sample, first_plane: index * slab.planes, first_output: first, parts });
            }
        }
    }
    tasks.into_par_iter().for_each(|mut task| {
        SLAB.with_borrow_mut(|buffer| run_task(shape, input, &packed, bias, &mut task, buffer));
    });
    output
}

/// How the work is cut: planes of a slab and channel tiles of a task. Values do not depend on it.
struct Slab {
    planes: usize,
    tiles_per_task: usize,
}

impl Slab {
    fn plan(shape: &ConvolutionShape) -> Self {
        let per_plane = shape.inputs * shape.plane_stride();
        let most = (SLAB_FLOATS / per_plane).saturating_sub(2).clamp(1, shape.extents[0]);
        let wanted = MIN_TASKS.div_ceil(shape.batch);
        let planes = most.min(shape.extents[0].div_ceil(wanted)).max(2.min(shape.extents[0]));
        let tiles = shape.outputs.div_ceil(tile_outputs());
        let tasks = shape.batch * shape.extents[0].div_ceil(planes);
        let groups = MIN_TASKS.div_ceil(tasks).min(tiles);
        Self { planes, tiles_per_task: tiles.div_ceil(groups) }
    }
}

struct Task<'a> {
    sample: usize,
    first_plane: usize,
    first_output: usize,
    /// The task's planes of each of its output channels.
    parts: Vec<&'a mut [f32]>,
}

/// Weights as (tile of outputs, input, tap, output in the tile); outputs are filled up with zeros.
struct PackedWeights {
    values: Vec<f32>,
    tile_outputs: usize,
    tile_len: usize,
}

fn tile_outputs() -> usize {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        super::simd::InstructionSet::Avx512 => super::simd::Avx512::TILE_OUTPUTS,
        #[cfg(target_arch = "x86_64")]
        super::simd::InstructionSet::Avx2 => super::simd::Avx2::TILE_OUTPUTS,
        super::simd::InstructionSet::Portable => super::simd::Portable::TILE_OUTPUTS,
    }
}

impl PackedWeights {
    fn new(weight: &[f32], shape: &ConvolutionShape) -> Self {
        let tile_outputs = tile_outputs();
        let tile_len = shape.inputs * 27 * tile_outputs;
        let mut values = vec![0f32; shape.outputs.div_ceil(tile_outputs) * tile_len];
        values.par_chunks_exact_mut(tile_len).enumerate().for_each(|(tile, packed)| {
            let first = tile * tile_outputs;
            for (lane, o) in (first..shape.outputs.min(first + tile_outputs)).enumerate() {
                for (k, &w) in weight[o * shape.inputs * 27..][..shape.inputs * 27].iter().enumerate() {
                    packed[k * tile_outputs + lane] = w;
                }
            }
        });
        Self { values, tile_outputs, tile_len }
    }

    fn tile(&self, index: usize) -> &[f32] {
        &self.values[index * self.tile_len..][..self.tile_len]
    }
}

fn run_task(
    shape: &ConvolutionShape,
    input: &[f32],
    packed: &PackedWeights,
    bias: Option<&[f32]>,
    task: &mut Task<'_>,
    buffer: &mut Vec<f32>,
) {
    let [_, ny, nz] = shape.extents;
    let (row, plane_stride, voxels) = (shape.row_stride(), shape.plane_stride(), shape.voxels());
    let planes = task.parts[0].len() / (ny * nz);
    // The slab's input planes with one more on either side, zero borders, and slack for the last tile.
    let channel_stride = (planes + 2) * plane_stride + MAX_TILE_VOXELS;
    buffer.resize(shape.inputs * channel_stride, 0.0);
    for (i, padded) in buffer.chunks_exact_mut(channel_stride).enumerate() {
        let channel = &input[(task.sample * shape.inputs + i) * voxels..][..voxels];
        pad_planes(channel, shape.extents, task.first_plane as i64 - 1, planes + 2, padded);
    }
    // Tiles of channels x flat padded positions; the two cells after each row are computed and dropped.
    let flat_end = ny * row - 2;
    let mut tile = [0f32; 8 * MAX_TILE_VOXELS];
    let mut tile_voxels = 0;
    let taps = shape.tap_offsets();
    // Tiles outermost: a tile's weights are read once a task, while the slab stays in cache.
    for (group, parts) in task.parts.chunks_mut(packed.tile_outputs).enumerate() {
        let first_output = task.first_output + group * packed.tile_outputs;
        let weights = packed.tile(first_output / packed.tile_outputs);
        for plane in 0..planes {
            let mut flat = 0;
            while flat < flat_end {
                let source = &buffer[plane * plane_stride + flat..];
                convolve_tile(
                    source,
                    channel_stride,
                    shape.inputs,
                    &taps,
                    weights,
                    &mut tile,
                    &mut tile_voxels,
                );
                for (lane, part) in parts.iter_mut().enumerate() {
                    let shift = bias.map_or(0.0, |b| b[first_output + lane]);
                    let values = &tile[lane * tile_voxels..][..tile_voxels];
                    scatter_rows(values, flat, row, &mut part[plane * ny * nz..][..ny * nz], nz, shift);
                }
                flat += tile_voxels;
            }
        }
    }
}

/// Writes the values at flat padded positions `flat..` into rows of `nz`, dropping the two cells between rows.
fn scatter_rows(values: &[f32], flat: usize, row: usize, target: &mut [f32], nz: usize, shift: f32) {
    let mut taken = 0;
    while taken < values.len() {
        let (y, z) = ((flat + taken) / row, (flat + taken) % row);
        let until_row_end = (row - z).min(values.len() - taken);
        if y * nz >= target.len() {
            break;
        }
        if z < nz {
            let count = (nz - z).min(until_row_end);
            let to = &mut target[y * nz + z..][..count];
            to.iter_mut().zip(&values[taken..]).for_each(|(t, &v)| *t = v + shift);
        }
        taken += until_row_end;
    }
}

dispatch!(fn convolve_tile(
    source: &[f32],
    channel_stride: usize,
    inputs: usize,
    taps: &[usize; 27],
    weights: &[f32],
    tile: &mut [f32; 8 * MAX_TILE_VOXELS],
    tile_voxels: &mut usize,
) => convolve_tile_generic);

/// `tile[o][v]` = sum over inputs i and taps t of `weights[i][t][o] source[i][v + taps[t]]`.
#[inline(always)]
unsafe fn convolve_tile_generic<S: Simd>(
    source: &[f32],
    channel_stride: usize,
    inputs: usize,
    taps: &[usize; 27],
    weights: &[f32],
    tile: &mut [f32; 8 * MAX_TILE_VOXELS],
    tile_voxels: &mut usize,
) {
    match S::TILE_OUTPUTS {
        8 => unsafe { convolve_tile_sized::<S, 8>(source, channel_stride, inputs, taps, weights, tile) },
        4 => unsafe { convolve_tile_sized::<S, 4>(source, channel_stride, inputs, taps, weights, tile) },
        _ => unsafe { convolve_tile_sized::<S, 2>(source, channel_stride, inputs, taps, weights, tile) },
    }
    *tile_voxels = TILE_VECTORS * S::LANES;
}

#[inline(always)]
unsafe fn convolve_tile_sized<S: Simd, const OUTPUTS: usize>(
    source: &[f32],
    channel_stride: usize,
    inputs: usize,
    taps: &[usize; 27],
    weights: &[f32],
    tile: &mut [f32; 8 * MAX_TILE_VOXELS],
) {
    debug_assert!(weights.len() >= inputs * 27 * OUTPUTS);
    debug_assert!(source.len() >= (inputs - 1) * channel_stride + taps[26] + TILE_VECTORS * S::LANES);
    // SAFETY: the two assertions above cover the furthest load of either slice, and the tile holds 8 x 48 values.
    unsafe {
        let mut sums = [[S::zero(); TILE_VECTORS]; OUTPUTS];
        let mut weight = weights.as_ptr();
        for i in 0..inputs {
            let channel = source.as_ptr().add(i * channel_stride);
            for &offset in taps {
                let at = channel.add(offset);
                let voxels: [S::Vector; TILE_VECTORS] =
                    [S::load(at), S::load(at.add(S::LANES)), S::load(at.add(2 * S::LANES))];
                for (o, sums) in sums.iter_mut().enumerate() {
                    let w = S::splat(*weight.add(o));
                    for v in 0..TILE_VECTORS {
                        sums[v] = S::multiply_add(voxels[v], w, sums[v]);
                    }
                }
                weight = weight.add(OUTPUTS);
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                S::store(tile.as_mut_ptr().add((o * TILE_VECTORS + v) * S::LANES), sum);
            }
        }
    }
}
