//! Tiles between volumes and the matrices of the products: one task each.
//!
//! The matrices of point p hold (tile, channel) for inputs, (input, output) for weights: channels fill up whole
//! vectors, the padding is zero.
#![allow(
    unsafe_code,
    reason = "vectors gathered from and scattered to strided memory, whose extents are asserted"
)]

use super::matrices::{Row, RowMut};
use super::tile::{
    Input, LineMap, MOST, MOST_POINTS, Output, OutputAdjoint, STRIDES, Tile, Weight, WeightAdjoint, along,
    read_line, write_line,
};
use super::tiles::{OutputTile, TilePlace};
use crate::kernels::simd::{Simd, dispatch};
use std::mem::MaybeUninit;

/// A volume (x, y, z, c) of one sample.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    /// As many as the extents and channels say.
    values: &'a [f32],
    extents: [usize; 3],
    channels: usize,
}

impl<'a> Sample<'a> {
    /// Sample `index` of a batch (b, x, y, z, c).
    pub(super) fn from_batch(values: &'a [f32], extents: [usize; 3], channels: usize, index: usize) -> Self {
        let len = extents.iter().product::<usize>() * channels;
        Self { values: &values[index * len..][..len], extents, channels }
    }
}

dispatch!(pub(super) fn transform_input<T: Tile>(sample: Sample<'_>, place: TilePlace, to: RowMut<'_>) => input_generic);

/// B^T d B of the tile's inputs (one voxel more than the outputs on either side), into a row of the matrices.
#[inline(always)]
fn input_generic<S: Simd, T: Tile>(simd: S, sample: Sample<'_>, place: TilePlace, to: RowMut<'_>) {
    let window = Window::new(sample.extents, place.map(|at| at as isize - 1), T::POINTS);
    forward::<S, Input<T>>(simd, &sample, &window, to);
}

dispatch!(pub(super) fn transform_output_gradient<T: Tile>(sample: Sample<'_>, place: TilePlace, to: RowMut<'_>) => output_gradient_generic);

/// A dy A^T of the tile's outputs, into a row of the matrices.
#[inline(always)]
fn output_gradient_generic<S: Simd, T: Tile>(simd: S, sample: Sample<'_>, place: TilePlace, to: RowMut<'_>) {
    let window = Window::new(sample.extents, place.map(|at| at as isize), T::OUTPUTS);
    forward::<S, OutputAdjoint<T>>(simd, &sample, &window, to);
}

/// Reads FROM^3 voxels of all channels, maps them along each axis, and writes TO^3 points.
#[inline(always)]
fn forward<S: Simd, M: LineMap>(simd: S, sample: &Sample<'_>, window: &Window, mut matrices: RowMut<'_>) {
    let (from, to) = (M::FROM, M::TO);
    assert!(window.extents == sample.extents && from <= MOST && to <= MOST);
    matrices.check::<S>(to * to * to, sample.channels);
    for channel in (0..sample.channels).step_by(S::LANES) {
        let count = S::LANES.min(sample.channels - channel);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        // SAFETY: only voxels that the window has in the volume are loaded, of which the sample has all channels; every
        // place of the cube is written before it is read, `from` and `to` being asserted; the row holds all points.
        unsafe {
            for x in 0..from {
                for y in 0..from {
                    let mut values = [simd.zero(); MOST];
                    if window.axes[0][x] && window.axes[1][y] {
                        let start = window.offset(x, y);
                        for (z, value) in values.iter_mut().enumerate().take(from) {
                            if window.axes[2][z] {
                                let voxel = (start + z as isize) as usize * sample.channels + channel;
                                debug_assert!(voxel + count <= sample.values.len());
                                *value = simd.load_first(sample.values.as_ptr().add(voxel), count);
                            }
                        }
                    }
                    let values = M::apply(simd, values);
                    write_line::<S>(cube.add(x * STRIDES[0] + y * STRIDES[1]), 1, to, values);
                }
            }
            along::<S, M>(simd, cube, 1, [from, to]);
            for y in 0..to {
                for z in 0..to {
                    let line = read_line(simd, cube.add(y * STRIDES[1] + z), STRIDES[0], from);
                    for (x, &value) in M::apply(simd, line).iter().enumerate().take(to) {
                        simd.store_at(matrices.at((x * to + y) * to + z, channel), value);
                    }
                }
            }
        }
    }
}

/// Which places of a cube of voxels lie in the volume.
struct Window {
    /// In the volume, and below the size of the cube.
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

/// What outputs are beside the convolution.
#[derive(Clone, Copy)]
pub(super) struct Added<'a> {
    /// A number for each channel.
    pub(super) bias: Option<&'a [f32]>,
    /// A volume of the sample's shape.
    pub(super) plus: Option<&'a [f32]>,
}

dispatch!(pub(super) fn transform_output<T: Tile>(from: Row<'_>, added: Added<'_>, to: OutputTile<'_>) => output_generic);

/// A^T m A: the tile's outputs from a row of the matrices, plus bias and what else is added.
#[inline(always)]
fn output_generic<S: Simd, T: Tile>(simd: S, from: Row<'_>, added: Added<'_>, mut to: OutputTile<'_>) {
    let (points, channels, [nx, ny, nz]) = (T::POINTS, to.channels(), to.counts());
    assert!(points <= MOST && [nx, ny, nz].iter().all(|&n| n <= T::OUTPUTS));
    assert!(added.bias.is_none_or(|bias| bias.len() == channels));
    assert!(added.plus.is_none_or(|plus| plus.len() == to.sample_len()));
    from.check::<S>(T::ALL_POINTS, channels);
    for channel in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - channel);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        // SAFETY: the row holds all points; every place of the cube is written before it is read, the counts being
        // asserted; bias, `plus` and the tile have the `count` values from `channel` on at each of the tile's voxels.
        unsafe {
            for y in 0..points {
                for z in 0..points {
                    let mut values = [simd.zero(); MOST];
                    for (x, value) in values.iter_mut().enumerate().take(points) {
                        *value = simd.load_at(from.at((x * points + y) * points + z, channel));
                    }
                    let values = T::output(simd, values);
                    write_line::<S>(cube.add(y * STRIDES[1] + z), STRIDES[0], T::OUTPUTS, values);
                }
            }
            along::<S, Output<T>>(simd, cube, 1, [T::OUTPUTS, points]);
            let bias = match added.bias {
                Some(bias) => simd.load_first(bias.as_ptr().add(channel), count),
                None => simd.zero(),
            };
            for x in 0..nx {
                for y in 0..ny {
                    let line = read_line(simd, cube.add(x * STRIDES[0] + y * STRIDES[1]), 1, points);
                    let values = T::output(simd, line);
                    let start = to.line(x, y) + channel;
                    for (z, &value) in values.iter().enumerate().take(nz) {
                        let at = start + z * channels;
                        let mut value = simd.add(value, bias);
                        if let Some(plus) = added.plus {
                            value = simd.add(value, simd.load_first(plus.as_ptr().add(at), count));
                        }
                        simd.store_first(to.at(at), value, count);
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
    /// The taps of `count` filters of one input, from output `first` on: (tap, output).
    #[inline(always)]
    fn taps(&self, input: usize, first: usize, count: usize) -> [[f32; 16]; 27] {
        let mut taps = [[0f32; 16]; 27];
        for (lane, output) in (first..first + count).enumerate() {
            let (outer, inner, length) = match self.reversed {
                true => (input, output, self.outputs),
                false => (output, input, self.inputs),
            };
            let filter = &self.values[(outer * length + inner) * 27..][..27];
            for (tap, &value) in filter.iter().enumerate() {
                taps[if self.reversed { 26 - tap } else { tap }][lane] = value;
            }
        }
        taps
    }
}

dispatch!(pub(super) fn transform_weights<T: Tile>(weights: Weights<'_>, input: usize, to: RowMut<'_>) => weights_generic);

/// G g G^T of all filters of one input, into a row of the matrices.
#[inline(always)]
fn weights_generic<S: Simd, T: Tile>(simd: S, weights: Weights<'_>, input: usize, mut to: RowMut<'_>) {
    let points = T::POINTS;
    assert!(points <= MOST);
    to.check::<S>(T::ALL_POINTS, weights.outputs);
    for first in (0..weights.outputs).step_by(S::LANES) {
        let count = S::LANES.min(weights.outputs - first);
        let taps = weights.taps(input, first, count);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        // SAFETY: every place of the cube is written before it is read; the row holds all points.
        unsafe {
            for (tap, values) in taps.iter().enumerate() {
                *cube.add((tap / 9 * MOST + tap / 3 % 3) * MOST + tap % 3) = simd.load(values);
            }
            along::<S, Weight<T>>(simd, cube, 2, [3, 3]);
            along::<S, Weight<T>>(simd, cube, 1, [3, points]);
            along::<S, Weight<T>>(simd, cube, 0, [points, points]);
            for p in 0..T::ALL_POINTS {
                let place = (p / (points * points) * MOST + p / points % points) * MOST + p % points;
                simd.store_at(to.at(p, first), *cube.add(place));
            }
        }
    }
}

dispatch!(pub(super) fn weights_from_points<T: Tile>(from: Row<'_>, weights: &mut [f32]) => weights_adjoint_generic);

/// G^T p G for all inputs of one output, from its row of matrices (output, input): (inputs, 27) weights.
#[inline(always)]
fn weights_adjoint_generic<S: Simd, T: Tile>(simd: S, from: Row<'_>, weights: &mut [f32]) {
    let (points, inputs) = (T::POINTS, weights.len() / 27);
    assert!(points <= MOST);
    from.check::<S>(T::ALL_POINTS, inputs);
    for first in (0..inputs).step_by(S::LANES) {
        let count = S::LANES.min(inputs - first);
        let mut cube = MaybeUninit::<[S::Vector; MOST_POINTS]>::uninit();
        let cube = cube.as_mut_ptr().cast::<S::Vector>();
        let mut taps = [[0f32; 16]; 27];
        // SAFETY: the row holds all points; every place of the cube is written before it is read.
        unsafe {
            for p in 0..T::ALL_POINTS {
                let place = (p / (points * points) * MOST + p / points % points) * MOST + p % points;
                *cube.add(place) = simd.load_at(from.at(p, first));
            }
            along::<S, WeightAdjoint<T>>(simd, cube, 0, [points, points]);
            along::<S, WeightAdjoint<T>>(simd, cube, 1, [3, points]);
            along::<S, WeightAdjoint<T>>(simd, cube, 2, [3, 3]);
            for (tap, values) in taps.iter_mut().enumerate() {
                simd.store(values, *cube.add((tap / 9 * MOST + tap / 3 % 3) * MOST + tap % 3));
            }
        }
        for lane in 0..count {
            for (tap, values) in taps.iter().enumerate() {
                weights[(first + lane) * 27 + tap] = values[lane];
            }
        }
    }
}
