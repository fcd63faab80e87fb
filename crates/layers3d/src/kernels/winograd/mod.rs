//! 3^3 convolution by Winograd's minimal filtering, F(4^3, 3^3) or F(2^3, 3^3): 8 or 3.4 times fewer products than the
//! direct sum.
//!
//! A chunk of tiles goes through three parallel stages that meet in buffers of the size of a cache: inputs are
//! transformed tile by tile, multiplied with the transformed weights point by point (one matrix product each), and
//! transformed back tile by tile. Weights are transformed in every call: that is cheap, and nothing can go stale.
//!
//! # Source
//! Lavin & Gray 2016, arXiv:1509.09308; Jia, Zlateski, Durand & Li 2018 (PPoPP), "Optimizing N-dimensional,
//! Winograd-based convolution for manycore CPUs".
#![allow(unsafe_code, reason = "buffers that several threads write at different places")]

mod tile;
mod transforms;

use super::product::{Left, Right, Target, product};
use super::simd::{Simd, dispatch, lanes};
use crate::buffer::Buffer;
use rayon::prelude::*;
use std::marker::PhantomData;
use tile::{Four, Tile, Two};
use transforms::{
    OutputVolume, Sample, Weights, transform_input, transform_output, transform_output_gradient,
    transform_weights, weights_from_points,
};

/// Shape of a 3^3 convolution on one batch of volumes (b, x, y, z, c).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionShape {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) extents: [usize; 3],
}

impl ConvolutionShape {
    pub(crate) fn voxels(&self) -> usize {
        self.extents.iter().product()
    }

    /// The convolution that carries gradients back to the input.
    pub(crate) fn backward(&self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..*self }
    }

    /// Whether tiles of four outputs pay: on small volumes the weights' many points cost more than the products save.
    fn prefers_four(&self) -> bool {
        self.extents.iter().all(|&n| n >= 12)
    }
}

/// Floats in the buffers of a chunk of tiles.
const CHUNK_FLOATS: usize = 3 << 18;
/// Columns of a panel: what a register tile takes at most.
const PANEL: usize = 64;
/// Floats between two points' matrices, so that the same place in each does not fall into the same cache set.
const SKEW: usize = 16;

/// The lowest voxel of a tile's outputs.
type TilePlace = [usize; 3];

/// Places of tiles, sample after sample.
struct Tiles {
    size: usize,
    counts: [usize; 3],
    total: usize,
}

impl Tiles {
    fn new<T: Tile>(shape: &ConvolutionShape) -> Self {
        let counts = shape.extents.map(|n| n.div_ceil(T::OUTPUTS));
        Self { size: T::OUTPUTS, counts, total: shape.batch * counts.iter().product::<usize>() }
    }

    /// Sample and place of tile `index`.
    fn place(&self, index: usize) -> (usize, TilePlace) {
        let [nx, ny, nz] = self.counts;
        let (z, rest) = (index % nz, index / nz);
        let (y, rest) = (rest % ny, rest / ny);
        (rest / nx, [rest % nx, y, z].map(|i| i * self.size))
    }
}

/// One matrix per point: rows x columns, cut into panels of columns, row after row within a panel.
struct Matrices<'a> {
    at: *mut f32,
    rows: usize,
    columns: usize,
    panel: usize,
    points: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: threads write different rows, or different points, and read only after all have written.
unsafe impl Sync for Matrices<'_> {}

impl<'a> Matrices<'a> {
    fn len(points: usize, rows: usize, columns: usize) -> usize {
        points * (rows * columns + SKEW)
    }

    fn new(buffer: &'a mut Buffer, points: usize, rows: usize, columns: usize, panel: usize) -> Self {
        assert!(buffer.len() >= Self::len(points, rows, columns));
        Self {
            at: buffer.as_mut_ptr(),
            rows,
            columns,
            panel: panel.min(columns),
            points,
            memory: PhantomData,
        }
    }

    /// The place of a row's vector at `column` in the matrix of `point`.
    #[inline(always)]
    fn at(&self, point: usize, row: usize, column: usize) -> *mut f32 {
        debug_assert!(point < self.points && row < self.rows && column < self.columns);
        let width = self.panel.min(self.columns - column / self.panel * self.panel);
        let place = column / self.panel * self.panel * self.rows + row * width + column % self.panel;
        // SAFETY: the place is below rows * columns.
        unsafe { self.at.add(point * (self.rows * self.columns + SKEW) + place) }
    }
}

/// Channels, filled up to whole vectors.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(lanes())
}

/// Convolution of `input` (batch, x, y, z, inputs) with `weight` (outputs, inputs, 27), plus `bias` (outputs) and
/// `plus` (of the output's shape), into `output` (batch, x, y, z, outputs). With `reversed`, `weight` is that of the
/// forward convolution, (inputs, outputs, 27), and gradients are carried back through it.
pub(crate) fn convolve(
    shape: &ConvolutionShape,
    input: &[f32],
    weight: &[f32],
    reversed: bool,
    bias: Option<&[f32]>,
    plus: Option<&[f32]>,
    output: &mut [f32],
) {
    let weights = Weights { values: weight, inputs: shape.inputs, outputs: shape.outputs, reversed };
    if shape.prefers_four() {
        convolve_by::<Four>(shape, input, weights, bias, plus, output);
    } else {
        convolve_by::<Two>(shape, input, weights, bias, plus, output);
    }
}

fn convolve_by<T: Tile>(
    shape: &ConvolutionShape,
    input: &[f32],
    weights: Weights<'_>,
    bias: Option<&[f32]>,
    plus: Option<&[f32]>,
    output: &mut [f32],
) {
    let (points, voxels) = (T::ALL_POINTS, shape.voxels());
    assert_eq!(input.len(), shape.batch * voxels * shape.inputs);
    assert_eq!(output.len(), shape.batch * voxels * shape.outputs);
    assert_eq!(weights.values.len(), shape.inputs * shape.outputs * 27);
    assert!(
        plus.is_none_or(|plus| plus.len() == output.len()) && bias.is_none_or(|b| b.len() == shape.outputs)
    );
    let (inputs, outputs) = (padded(shape.inputs), padded(shape.outputs));

    let mut buffer = Buffer::new(Matrices::len(points, shape.inputs, outputs));
    let by_point = Matrices::new(&mut buffer, points, shape.inputs, outputs, PANEL);
    (0..shape.inputs).into_par_iter().for_each(|i| transform_weights::<T>(weights, i, &by_point));

    let tiles = Tiles::new::<T>(shape);
    let chunk = chunk_tiles(points, inputs + outputs).min(tiles.total);
    let mut input_buffer = Buffer::new(Matrices::len(points, chunk, inputs));
    let transformed = Matrices::new(&mut input_buffer, points, chunk, inputs, inputs);
    let mut output_buffer = Buffer::new(Matrices::len(points, chunk, outputs));
    let products = Matrices::new(&mut output_buffer, points, chunk, outputs, outputs);
    let output = SharedOutput(output.as_mut_ptr());
    for first in (0..tiles.total).step_by(chunk) {
        let count = chunk.min(tiles.total - first);
        (0..count).into_par_iter().for_each(|row| {
            let (sample, place) = tiles.place(first + row);
            let sample = Sample::of_batch(input, shape.extents, shape.inputs, sample);
            transform_input::<T>(sample, place, &transformed, row);
        });
        (0..points).into_par_iter().for_each(|point| {
            multiply(point, count, &transformed, &by_point, &products);
        });
        (0..count).into_par_iter().for_each(|row| {
            let (sample, place) = tiles.place(first + row);
            let start = sample * voxels * shape.outputs;
            let volume = OutputVolume {
                // SAFETY: the sample lies within the output.
                values: unsafe { output.at(start) },
                extents: shape.extents,
                channels: shape.outputs,
                bias,
                plus: plus.map(|plus| &plus[start..][..voxels * shape.outputs]),
            };
            transform_output::<T>(&products, row, place, volume);
        });
    }
}

/// Tiles of a chunk: whole register tiles of six or twelve rows.
fn chunk_tiles(points: usize, columns: usize) -> usize {
    (CHUNK_FLOATS / (points * columns) / 12).max(1) * 12
}

struct SharedOutput(*mut f32);

// SAFETY: threads write the voxels of different tiles.
unsafe impl Sync for SharedOutput {}

impl SharedOutput {
    unsafe fn at(&self, place: usize) -> *mut f32 {
        unsafe { self.0.add(place) }
    }
}

dispatch!(fn multiply(point: usize, rows: usize, a: &Matrices<'_>, b: &Matrices<'_>, c: &Matrices<'_>) => multiply_generic);

/// c = a b for the matrices of one point; b in panels, a and c in one.
#[inline(always)]
unsafe fn multiply_generic<S: Simd>(
    point: usize,
    rows: usize,
    a: &Matrices<'_>,
    b: &Matrices<'_>,
    c: &Matrices<'_>,
) {
    debug_assert!(rows <= a.rows && b.rows <= a.columns && rows <= c.rows && b.columns == c.columns);
    for column in (0..b.columns).step_by(b.panel) {
        let width = b.panel.min(b.columns - column);
        let left = Left { at: a.at(point, 0, 0), row: a.columns, depth: 1 };
        let right = Right { at: b.at(point, 0, column), depth: width };
        let target = Target { at: c.at(point, 0, column), row: c.columns, add: false };
        // SAFETY: the extents are those of the matrices; this thread alone has the point.
        unsafe { product::<S>([rows, b.rows, width], left, right, target) };
    }
}

dispatch!(fn multiply_transposed(point: usize, depth: usize, add: bool, a: &Matrices<'_>, b: &Matrices<'_>, c: &Matrices<'_>) => multiply_transposed_generic);

/// c = a^T b, or c += a^T b, over the first `depth` rows of both; b in panels.
#[inline(always)]
unsafe fn multiply_transposed_generic<S: Simd>(
    point: usize,
    depth: usize,
    add: bool,
    a: &Matrices<'_>,
    b: &Matrices<'_>,
    c: &Matrices<'_>,
) {
    debug_assert!(depth <= a.rows && depth <= b.rows && c.rows <= a.columns && b.columns == c.columns);
    for column in (0..b.columns).step_by(b.panel) {
        let width = b.panel.min(b.columns - column);
        let left = Left { at: a.at(point, 0, 0), row: 1, depth: a.columns };
        let right = Right { at: b.at(point, 0, column), depth: width };
        let target = Target { at: c.at(point, 0, column), row: c.columns, add };
        // SAFETY: the extents are those of the matrices; this thread alone has the point.
        unsafe { product::<S>([c.rows, depth, width], left, right, target) };
    }
}

/// Gradient by the weights (outputs, inputs, 27) from `input` (batch, x, y, z, inputs) and the gradient by the output
/// (batch, x, y, z, outputs).
pub(crate) fn weight_gradient(
    shape: &ConvolutionShape,
    input: &[f32],
    gradient: &[f32],
    by_weight: &mut [f32],
) {
    if shape.prefers_four() {
        weight_gradient_by::<Four>(shape, input, gradient, by_weight);
    } else {
        weight_gradient_by::<Two>(shape, input, gradient, by_weight);
    }
}

fn weight_gradient_by<T: Tile>(
    shape: &ConvolutionShape,
    input: &[f32],
    gradient: &[f32],
    by_weight: &mut [f32],
) {
    let (points, voxels) = (T::ALL_POINTS, shape.voxels());
    assert_eq!(input.len(), shape.batch * voxels * shape.inputs);
    assert_eq!(gradient.len(), shape.batch * voxels * shape.outputs);
    assert_eq!(by_weight.len(), shape.inputs * shape.outputs * 27);
    let (inputs, outputs) = (padded(shape.inputs), padded(shape.outputs));
    let tiles = Tiles::new::<T>(shape);
    let chunk = chunk_tiles(points, inputs + outputs).min(tiles.total);
    let mut input_buffer = Buffer::new(Matrices::len(points, chunk, inputs));
    let transformed = Matrices::new(&mut input_buffer, points, chunk, inputs, PANEL);
    let mut gradient_buffer = Buffer::new(Matrices::len(points, chunk, outputs));
    let gradients = Matrices::new(&mut gradient_buffer, points, chunk, outputs, outputs);
    let mut buffer = Buffer::new(Matrices::len(points, shape.outputs, inputs));
    let by_point = Matrices::new(&mut buffer, points, shape.outputs, inputs, inputs);
    for first in (0..tiles.total).step_by(chunk) {
        let count = chunk.min(tiles.total - first);
        (0..2 * count).into_par_iter().for_each(|task| {
            let row = task / 2;
            let (sample, place) = tiles.place(first + row);
            if task % 2 == 0 {
                let sample = Sample::of_batch(input, shape.extents, shape.inputs, sample);
                transform_input::<T>(sample, place, &transformed, row);
            } else {
                let sample = Sample::of_batch(gradient, shape.extents, shape.outputs, sample);
                transform_output_gradient::<T>(sample, place, &gradients, row);
            }
        });
        (0..points).into_par_iter().for_each(|point| {
            multiply_transposed(point, count, first > 0, &gradients, &transformed, &by_point);
        });
    }
    by_weight.par_chunks_exact_mut(shape.inputs * 27).enumerate().for_each(|(output, weights)| {
        weights_from_points::<T>(&by_point, output, weights);
    });
}

#[cfg(test)]
mod tests;
