//! Tiles between volumes and the matrices of the products: one task each.
//!
//! The matrices of point p hold (tile, channel) for inputs, (input, output) for weights: channels fill up whole
//! vectors, the padding is zero.
#![allow(
    unsafe_code,
    reason = "vectors gathered from and scattered to strided memory; places are checked in debug builds"
)]

use super::tile::{
    Input, LineMap, MOST, MOST_POINTS, Output, OutputAdjoint, STRIDES, Tile, Weight, WeightAdjoint, along,
    read_line, write_line,
};
use super::{Matrices, TilePlace};
use crate::kernels::simd::{Simd, dispatch};
use std::mem::MaybeUninit;

/// A volume (x, y, z, c) of one sample.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub(super) values: &'a [f32],
    pub(super) extents: [usize; 3],
    pub(super) channels: usize,
}

impl<'a> Sample<'a> {
    /// Sample `index` of a batch (b, x, y, z, c).
    pub(super) fn of_batch(values: &'a [f32], extents: [usize; 3], channels: usize, index: usize) -> Self {
        let len = extents.iter().product::<usize>() * channels;
        Self { values: &values[index * len..][..len], extents, channels }
    }
}

dispatch!(pub(super) fn transform_input<T: Tile>(sample: Sample<'_>, place: TilePlace, to: &Matrices<'_>, row: usize) => input_generic);

/// B^T d B of the tile's inputs (one voxel more than the outputs on either side), into row `row` of the matrices.
#[inline(always)]
unsafe fn input_generic<S: Simd, T: Tile>(
    sample: Sample<'_>,
    place: TilePlace,
    to: &Matrices<'_>,
    row: usize,
) {
    let window = Window::new(sample.extents, place.map(|at| at as isize - 1), T::POINTS);
    for channel in (0..sample.channels).step_by(S::LANES) {
        // SAFETY: as `forward` demands; transforms only touch the cube's first POINTS places.
        unsafe {
            forward::<S, Input<T>>(&sample, &window, channel, to, row);
        }
    }
}

dispatch!(pub(super) fn transform_output_gradient<T: Tile>(sample: Sample<'_>, place: TilePlace, to: &Matrices<'_>, row: usize) => output_gradient_generic);

/// A dy A^T of the tile's outputs, into row `row` of the matrices.
#[inline(always)]
unsafe fn output_gradient_generic<S: Simd, T: Tile>(
    sample: Sample<'_>,
    place: TilePlace,
    to: &Matrices<'_>,
    row: usize,
) {
    let window = Window::new(sample.extents, place.map(|at| at as isize), T::OUTPUTS);
    for channel in (0..sample.channels).step_by(S::LANES) {
        // SAFETY: as `forward` demands; transforms only touch the cube's first POINTS places.
        unsafe {
            forward::<S, OutputAdjoint<T>>(&sample, &window, channel, to, row);
        }
    }
}

/// Reads FROM^3 voxels of a block of channels, maps them along each axis, and writes TO^3 points.
#[inline(always)]
unsafe fn forward<S: Simd, M: LineMap>(
    sample: &Sample<'_>,
    window: &Window,
    channel: usize,
    matrices: &Matrices<'_>,
    row: usize,
) {
    let (from, to) = (M::FROM, M::TO);
    let count = S::LANES.min(sample.channels - channel);
    let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
    let cube = cube.as_mut_ptr().cast::<S::Vector>();
    // SAFETY: only voxels of the volume are loaded; every place of the cube is written before it is read;
    // `Matrices::at` checks the row.
    unsafe {
        for x in 0..from {
            for y in 0..from {
                let mut values = [S::zero(); MOST];
                if window.axes[0][x] && window.axes[1][y] {
                    let start = window.offset(x, y);
                    for (z, value) in values.iter_mut().enumerate().take(from) {
                        if window.axes[2][z] {
                            let voxel = (start + z as isize) as usize * sample.channels + channel;
                            debug_assert!(voxel + count <= sample.values.len());
                            *value = S::load_first(sample.values.as_ptr().add(voxel), count);
                        }
                    }
                }
                write_line::<S>(cube.add(x * STRIDES[0] + y * STRIDES[1]), 1, to, M::apply::<S>(values));
            }
        }
        along::<S, M>(cube, 1, [from, to]);
        for y in 0..to {
            for z in 0..to {
                let line = read_line::<S>(cube.add(y * STRIDES[1] + z), STRIDES[0], from);
                for (x, &value) in M::apply::<S>(line).iter().enumerate().take(to) {
                    S::store(matrices.at((x * to + y) * to + z, row, channel), value);
                }
            }
        }
    }
}

/// Which places of a cube of voxels lie in the volume.
struct Window {
    axes: [[bool; MOST]; 3],
    corner: [isize; 3],
    extents: [usize; 3],
}

impl Window {
    fn new(extents: [usize; 3], corner: [isize; 3], size: usize) -> Self {
        let inside = |axis: usize, i: usize| {
            let at = corner[axis] + i as isize;
            i < size && at >= 0 && at < extents[axis] as isize
        };
        let axes = std::array::from_fn(|axis| std::array::from_fn(|i| inside(axis, i)));
        Self { axes, corner, extents }
    }

    /// Index of the voxel (x, y, 0) of the window, which is in the volume in x and y.
    #[inline(always)]
    fn offset(&self, x: usize, y: usize) -> isize {
        let [_, ny, nz] = self.extents.map(|n| n as isize);
        ((self.corner[0] + x as isize) * ny + self.corner[1] + y as isize) * nz + self.corner[2]
    }
}

/// Where outputs go: a volume of one sample, written by several threads at different voxels.
#[derive(Clone, Copy)]
pub(super) struct OutputVolume<'a> {
    pub(super) values: *mut f32,
    pub(super) extents: [usize; 3],
    pub(super) channels: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// A volume of the same shape that is added.
    pub(super) plus: Option<&'a [f32]>,
}

dispatch!(pub(super) fn transform_output<T: Tile>(from: &Matrices<'_>, row: usize, place: TilePlace, to: OutputVolume<'_>) => output_generic);

/// A^T m A: the tile's outputs from row `row` of the matrices, plus bias and what else is added.
#[inline(always)]
unsafe fn output_generic<S: Simd, T: Tile>(
    from: &Matrices<'_>,
    row: usize,
    place: TilePlace,
    to: OutputVolume<'_>,
) {
    let points = T::POINTS;
    let [nx, ny, nz]: [usize; 3] = std::array::from_fn(|axis| T::OUTPUTS.min(to.extents[axis] - place[axis]));
    for channel in (0..to.channels).step_by(S::LANES) {
        let count = S::LANES.min(to.channels - channel);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        // SAFETY: rows are checked by `Matrices::at`; voxels lie within the extents, bias and `plus` have as many
        // values; no other thread has this tile; every place of the cube is written before it is read.
        unsafe {
            for y in 0..points {
                for z in 0..points {
                    let mut values = [S::zero(); MOST];
                    for (x, value) in values.iter_mut().enumerate().take(points) {
                        *value = S::load(from.at((x * points + y) * points + z, row, channel));
                    }
                    let values = T::output::<S>(values);
                    write_line::<S>(cube.add(y * STRIDES[1] + z), STRIDES[0], T::OUTPUTS, values);
                }
            }
            along::<S, Output<T>>(cube, 1, [T::OUTPUTS, points]);
            let bias = match to.bias {
                Some(bias) => S::load_first(bias[channel..].as_ptr(), count),
                None => S::zero(),
            };
            for x in 0..nx {
                for y in 0..ny {
                    let line = read_line::<S>(cube.add(x * STRIDES[0] + y * STRIDES[1]), 1, points);
                    let values = T::output::<S>(line);
                    let start = ((place[0] + x) * to.extents[1] + place[1] + y) * to.extents[2] + place[2];
                    for (z, &value) in values.iter().enumerate().take(nz) {
                        let at = (start + z) * to.channels + channel;
                        let mut value = S::add(value, bias);
                        if let Some(plus) = to.plus {
                            debug_assert!(at + count <= plus.len());
                            value = S::add(value, S::load_first(plus.as_ptr().add(at), count));
                        }
                        S::store_first(to.values.add(at), value, count);
                    }
                }
            }
        }
    }
}

/// The weights of a convolution: (outputs, inputs, 27), or those that carry gradients back, (inputs, outputs, 27)
/// with the taps in reverse.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) values: &'a [f32],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) reversed: bool,
}

impl Weights<'_> {
    #[inline(always)]
    fn get(&self, input: usize, output: usize, tap: usize) -> f32 {
        if self.reversed {
            self.values[(input * self.outputs + output) * 27 + 26 - tap]
        } else {
            self.values[(output * self.inputs + input) * 27 + tap]
        }
    }
}

dispatch!(pub(super) fn transform_weights<T: Tile>(weights: Weights<'_>, input: usize, to: &Matrices<'_>) => weights_generic);

/// G g G^T of all filters of one input, into row `input` of the matrices.
#[inline(always)]
unsafe fn weights_generic<S: Simd, T: Tile>(weights: Weights<'_>, input: usize, to: &Matrices<'_>) {
    let points = T::POINTS;
    for first in (0..weights.outputs).step_by(S::LANES) {
        let count = S::LANES.min(weights.outputs - first);
        let mut taps = [[0f32; 16]; 27];
        for lane in 0..count {
            for (tap, values) in taps.iter_mut().enumerate() {
                values[lane] = weights.get(input, first + lane, tap);
            }
        }
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        // SAFETY: rows are checked by `Matrices::at`; every place of the cube is written before it is read.
        unsafe {
            for (tap, values) in taps.iter().enumerate() {
                *cube.add((tap / 9 * MOST + tap / 3 % 3) * MOST + tap % 3) = S::load(values.as_ptr());
            }
            along::<S, Weight<T>>(cube, 2, [3, 3]);
            along::<S, Weight<T>>(cube, 1, [3, points]);
            along::<S, Weight<T>>(cube, 0, [points, points]);
            for p in 0..T::ALL_POINTS {
                let place = (p / (points * points) * MOST + p / points % points) * MOST + p % points;
                S::store(to.at(p, input, first), *cube.add(place));
            }
        }
    }
}

dispatch!(pub(super) fn weights_from_points<T: Tile>(from: &Matrices<'_>, output: usize, lanes_of_inputs: &mut [f32]) => weights_adjoint_generic);

/// G^T p G for all inputs of one output, from row `output` of matrices (output, input): (inputs, 27) weights.
#[inline(always)]
unsafe fn weights_adjoint_generic<S: Simd, T: Tile>(from: &Matrices<'_>, output: usize, weights: &mut [f32]) {
    let points = T::POINTS;
    let inputs = weights.len() / 27;
    for first in (0..inputs).step_by(S::LANES) {
        let count = S::LANES.min(inputs - first);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        let mut taps = [[0f32; 16]; 27];
        // SAFETY: rows are checked by `Matrices::at`; every place of the cube is written before it is read.
        unsafe {
            for p in 0..T::ALL_POINTS {
                let place = (p / (points * points) * MOST + p / points % points) * MOST + p % points;
                *cube.add(place) = S::load(from.at(p, output, first));
            }
            along::<S, WeightAdjoint<T>>(cube, 0, [points, points]);
            along::<S, WeightAdjoint<T>>(cube, 1, [3, points]);
            along::<S, WeightAdjoint<T>>(cube, 2, [3, 3]);
            for (tap, values) in taps.iter_mut().enumerate() {
                S::store(values.as_mut_ptr(), *cube.add((tap / 9 * MOST + tap / 3 % 3) * MOST + tap % 3));
            }
        }
        for lane in 0..count {
            for (tap, values) in taps.iter().enumerate() {
                weights[(first + lane) * 27 + tap] = values[lane];
            }
        }
    }
}
