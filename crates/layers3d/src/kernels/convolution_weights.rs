//! Gradient of a 3^3 convolution by its weights: for every tap the correlation of input and output gradient.
//!
//! Both are copied with zero borders into the same padded flat layout, where a tap is a constant offset; a
//! register tile of output x input channels is then a bundle of dot products over long contiguous runs.
#![allow(
    unsafe_code,
    reason = "register tiles over padded buffers; bounds are asserted per tile in debug builds"
)]

use super::simd::{Simd, dispatch};
use super::{ConvolutionShape, pad_planes};
use rayon::prelude::*;
use std::cell::RefCell;

/// Channels of a register tile.
const TILE_OUTPUTS: usize = 4;
const TILE_INPUTS: usize = 6;
/// Channels of a task.
const TASK_OUTPUTS: usize = 12;
const TASK_INPUTS: usize = 12;
/// Padded voxels of the planes copied at a time.
const CHUNK_VOXELS: usize = 3072;
/// Voxels of a run: the channels of a tile stay in the first-level cache over the taps. A multiple of any LANES.
const RUN_VOXELS: usize = 768;
/// Room for the lanes of any instruction set.
const MAX_LANES: usize = 16;
/// Slack behind padded buffers for the last vector.
const SLACK: usize = 16;

thread_local! {
    static BUFFERS: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Gradient (outputs, inputs, 3, 3, 3) from `input` (batch, inputs, x, y, z) and `gradient` (batch, outputs, x, y, z).
pub(crate) fn weight_gradient(shape: &ConvolutionShape, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    let input_blocks = shape.inputs.div_ceil(TASK_INPUTS);
    let tasks = shape.outputs.div_ceil(TASK_OUTPUTS) * input_blocks;
    let blocks: Vec<Vec<f32>> = (0..tasks)
        .into_par_iter()
        .map(|task| {
            let (first_output, first_input) =
                (task / input_blocks * TASK_OUTPUTS, task % input_blocks * TASK_INPUTS);
            BUFFERS.with_borrow_mut(|(x, g)| {
                block_gradient(shape, input, gradient, first_output, first_input, x, g)
            })
        })
        .collect();
    let mut weights = vec![0f32; shape.outputs * shape.inputs * 27];
    for (task, block) in blocks.iter().enumerate() {
        let (first_output, first_input) =
            (task / input_blocks * TASK_OUTPUTS, task % input_blocks * TASK_INPUTS);
        for o in first_output..shape.outputs.min(first_output + TASK_OUTPUTS) {
            let inputs = TASK_INPUTS.min(shape.inputs - first_input);
            let from = &block[(o - first_output) * TASK_INPUTS * 27..][..inputs * 27];
            weights[(o * shape.inputs + first_input) * 27..][..inputs * 27].copy_from_slice(from);
        }
    }
    weights
}

/// Gradient (outputs) by the bias from `gradient` (batch, outputs, x, y, z): sums in f64.
pub(crate) fn bias_gradient(shape: &ConvolutionShape, gradient: &[f32]) -> Vec<f32> {
    let channel_sum = |channel: &[f32]| channel.iter().map(|&g| f64::from(g)).sum::<f64>();
    let sums: Vec<f64> = gradient.par_chunks_exact(shape.voxels()).map(channel_sum).collect();
    (0..shape.outputs).map(|o| sums.iter().skip(o).step_by(shape.outputs).sum::<f64>() as f32).collect()
}

/// The sums of one tile and tap, lane by lane.
type TileSums = [f32; TILE_OUTPUTS * TILE_INPUTS * MAX_LANES];

/// Gradient (TASK_OUTPUTS, TASK_INPUTS, 27) of one block of channels, summed over runs and samples in order.
fn block_gradient(
    shape: &ConvolutionShape,
    input: &[f32],
    gradient: &[f32],
    first_output: usize,
    first_input: usize,
    padded_input: &mut Vec<f32>,
    padded_gradient: &mut Vec<f32>,
) -> Vec<f32> {
    let (plane_stride, row_stride, voxels) = (shape.plane_stride(), shape.row_stride(), shape.voxels());
    let chunk_planes = (CHUNK_VOXELS / plane_stride).clamp(1, shape.extents[0]);
    let outputs = TASK_OUTPUTS.min(shape.outputs - first_output);
    let inputs = TASK_INPUTS.min(shape.inputs - first_input);
    let (x_stride, g_stride) =
        ((chunk_planes + 2) * plane_stride + SLACK, chunk_planes * plane_stride + SLACK);
    // Channels beyond the last stay zero, so that tiles are always whole.
    padded_input.clear();
    padded_input.resize(TASK_INPUTS * x_stride, 0.0);
    padded_gradient.clear();
    padded_gradient.resize(TASK_OUTPUTS * g_stride, 0.0);
    let taps = shape.tap_offsets();
    let mut sums = vec![0f64; TASK_OUTPUTS * TASK_INPUTS * 27];
    const INPUT_TILES: usize = TASK_INPUTS / TILE_INPUTS;
    let mut lanes: Vec<TileSums> = vec![[0.0; _]; (TASK_OUTPUTS / TILE_OUTPUTS) * INPUT_TILES * 27];
    for sample in 0..shape.batch {
        lanes.fill([0.0; _]);
        for first_plane in (0..shape.extents[0]).step_by(chunk_planes) {
            let planes = chunk_planes.min(shape.extents[0] - first_plane);
            for (i, padded) in padded_input.chunks_exact_mut(x_stride).take(inputs).enumerate() {
                let channel = &input[(sample * shape.inputs + first_input + i) * voxels..][..voxels];
                pad_planes(channel, shape.extents, first_plane as i64 - 1, planes + 2, padded);
            }
            for (o, padded) in padded_gradient.chunks_exact_mut(g_stride).take(outputs).enumerate() {
                let channel = &gradient[(sample * shape.outputs + first_output + o) * voxels..][..voxels];
                // The border sits after each row and plane here: position p pairs with the input's p + tap.
                pad_planes(channel, shape.extents, first_plane as i64, planes, padded);
                padded.copy_within(row_stride + 1.., 0);
            }
            let chunk = (planes - 1) * plane_stride + (shape.extents[1] - 1) * row_stride + shape.extents[2];
            for (tile, lanes) in lanes.chunks_exact_mut(27).enumerate() {
                let (o, i) = (tile / INPUT_TILES * TILE_OUTPUTS, tile % INPUT_TILES * TILE_INPUTS);
                if o >= outputs || i >= inputs {
                    continue;
                }
                for start in (0..chunk).step_by(RUN_VOXELS) {
                    let run = RUN_VOXELS.min(chunk - start);
                    let g = &padded_gradient[o * g_stride + start..];
                    for (&offset, lanes) in taps.iter().zip(lanes.iter_mut()) {
                        let x = &padded_input[i * x_stride + start + offset..];
                        correlate_tile(x, x_stride, g, g_stride, run, lanes);
                    }
                }
            }
        }
        for (tile, lanes) in lanes.chunks_exact(27).enumerate() {
            let (o, i) = (tile / INPUT_TILES * TILE_OUTPUTS, tile % INPUT_TILES * TILE_INPUTS);
            for (tap, lanes) in lanes.iter().enumerate() {
                for (pair, lanes) in lanes.chunks_exact(MAX_LANES).enumerate() {
                    let (o, i) = (o + pair / TILE_INPUTS, i + pair % TILE_INPUTS);
                    sums[(o * TASK_INPUTS + i) * 27 + tap] +=
                        lanes.iter().map(|&l| f64::from(l)).sum::<f64>();
                }
            }
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

dispatch!(fn correlate_tile(
    x: &[f32],
    x_stride: usize,
    g: &[f32],
    g_stride: usize,
    run: usize,
    lanes: &mut TileSums,
) => correlate_tile_generic);

#[allow(clippy::needless_range_loop, reason = "o and i index registers of a tile as in the equation")]
/// `lanes[o][i] += g[o][v] x[i][v]` over v < run; g is zero from `run` up to the end of the last vector.
#[inline(always)]
unsafe fn correlate_tile_generic<S: Simd>(
    x: &[f32],
    x_stride: usize,
    g: &[f32],
    g_stride: usize,
    run: usize,
    lanes: &mut TileSums,
) {
    let end = run.next_multiple_of(S::LANES);
    debug_assert!(x.len() >= (TILE_INPUTS - 1) * x_stride + end);
    debug_assert!(g.len() >= (TILE_OUTPUTS - 1) * g_stride + end);
    // SAFETY: the two assertions above cover the furthest load of either slice; every pair owns MAX_LANES values.
    unsafe {
        let lanes = lanes.as_mut_ptr();
        let mut sums: [[S::Vector; TILE_INPUTS]; TILE_OUTPUTS] = std::array::from_fn(|o| {
            std::array::from_fn(|i| S::load(lanes.add((o * TILE_INPUTS + i) * MAX_LANES)))
        });
        let mut v = 0;
        while v < end {
            let gradients: [S::Vector; TILE_OUTPUTS] =
                std::array::from_fn(|o| S::load(g.as_ptr().add(o * g_stride + v)));
            for i in 0..TILE_INPUTS {
                let voxel = S::load(x.as_ptr().add(i * x_stride + v));
                for o in 0..TILE_OUTPUTS {
                    sums[o][i] = S::multiply_add(gradients[o], voxel, sums[o][i]);
                }
            }
            v += S::LANES;
        }
        for (o, sums) in sums.iter().enumerate() {
            for (i, &sum) in sums.iter().enumerate() {
                S::store(lanes.add((o * TILE_INPUTS + i) * MAX_LANES), sum);
            }
        }
    }
}
