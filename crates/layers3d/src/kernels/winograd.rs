//! 3^3 convolution by Winograd's minimal filtering, F(4^3, 3^3) or F(2^3, 3^3): 8 or 3.4 times fewer products than the
//! direct sum.
//!
//! A chunk of tiles goes through three stages that meet in buffers of the size of a cache: inputs are transformed tile
//! by tile, multiplied with the transformed weights point by point (one matrix product each), and transformed back tile
//! by tile. Where the transformed weights fit beside a small chunk in a core's own cache, a thread takes a chunk through
//! all stages alone; where they do not, all threads work on one large chunk, stage by stage, so that weights are read
//! seldom. Weights are transformed in every call: that is cheap, and nothing can go stale.
//!
//! # Source
//! Lavin & Gray 2016, arXiv:1509.09308; Jia, Zlateski, Durand & Li 2018 (PPoPP), "Optimizing N-dimensional,
//! Winograd-based convolution for manycore CPUs".
mod matrices;
mod tile;
mod tiles;
mod transforms;

use super::elementwise::add;
use super::product::{Left, Right, Target, product};
use super::simd::{Simd, dispatch, lanes};
use crate::arithmetic::ConvolutionShape;
use matrices::{Matrices, Matrix, MatrixMut, Row, RowMut};
use rayon::prelude::*;
use tile::{Four, Tile, Two};
use tiles::{OutputTile, OutputTiles, Tiles};
use transforms::{
    Added, Sample, Weights, transform_input, transform_output, transform_output_gradient, transform_weights,
    weights_from_points,
};

/// Whether tiles of four outputs pay: on small volumes the weights' many points cost more than the products save.
fn prefers_four(shape: &ConvolutionShape) -> bool {
    shape.extents.iter().all(|&n| n >= 16)
}

/// Floats of transformed weights that fit into a core's own cache.
const OWN_WEIGHT_FLOATS: usize = 3 << 18;
/// Floats in the buffers of a chunk of tiles that one thread works on.
const OWN_CHUNK_FLOATS: usize = 3 << 17;
/// Floats in the buffers of a chunk of tiles that all threads work on.
const CHUNK_FLOATS: usize = 3 << 20;
/// The same for weight gradients: every chunk adds to matrices of all points, so it must be worth it.
const SUMMED_CHUNK_FLOATS: usize = 1 << 22;
/// The most blocks of tiles whose weight gradients are summed apart.
const SUMMED_BLOCKS: usize = 16;
/// Columns of a panel: what a register tile takes at most.
const PANEL: usize = 64;
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
    if prefers_four(shape) {
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

    let mut by_point = Matrices::new(points, shape.inputs, outputs, PANEL);
    let rows = by_point.par_rows_mut(shape.inputs);
    rows.enumerate().for_each(|(input, row)| transform_weights::<T>(weights, input, row));
    let by_point = by_point;

    let tiles = Tiles::new::<T>(shape);
    let mut output = OutputTiles::new::<T>(output, shape);
    let read = |tile: usize, to: RowMut<'_>| {
        let (sample, place) = tiles.place(tile);
        transform_input::<T>(Sample::from_batch(input, shape.extents, shape.inputs, sample), place, to);
    };
    let write = |tile: usize, from: Row<'_>, to: OutputTile<'_>| {
        let (sample, _) = tiles.place(tile);
        let len = voxels * shape.outputs;
        let plus = plus.map(|plus| &plus[sample * len..][..len]);
        transform_output::<T>(from, Added { bias, plus }, to);
    };
    if points * shape.inputs * outputs <= OWN_WEIGHT_FLOATS {
        let chunk = chunk_tiles(OWN_CHUNK_FLOATS, points, inputs + outputs);
        output.par_chunks(chunk).enumerate().for_each(|(index, mut output)| {
            let first = index * chunk;
            let count = chunk.min(tiles.total - first);
            let mut transformed = Matrices::new(points, chunk, inputs, inputs);
            let mut products = Matrices::new(points, chunk, outputs, outputs);
            (0..count).for_each(|row| read(first + row, transformed.row_mut(row)));
            products.points_mut().enumerate().for_each(|(point, products)| {
                multiply(count, transformed.point(point), by_point.point(point), products);
            });
            (0..count).for_each(|row| write(first + row, products.row(row), output.tile(first + row)));
        });
    } else {
        let chunk = chunk_tiles(CHUNK_FLOATS, points, inputs + outputs).min(tiles.total);
        let mut transformed = Matrices::new(points, chunk, inputs, inputs);
        let mut products = Matrices::new(points, chunk, outputs, outputs);
        for first in (0..tiles.total).step_by(chunk) {
            let count = chunk.min(tiles.total - first);
            let rows = transformed.par_rows_mut(count);
            rows.enumerate().for_each(|(row, to)| read(first + row, to));
            products.par_points_mut().enumerate().for_each(|(point, products)| {
                multiply(count, transformed.point(point), by_point.point(point), products);
            });
            let output = output.among(first..first + count).par_chunks(1);
            output.enumerate().for_each(|(row, mut output)| {
                write(first + row, products.row(row), output.tile(first + row));
            });
        }
    }
}

/// Tiles of a chunk: whole register tiles of six or twelve rows.
fn chunk_tiles(floats: usize, points: usize, columns: usize) -> usize {
    (floats / (points * columns) / 12).max(1) * 12
}

dispatch!(fn multiply(rows: usize, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>) => multiply_generic);

/// c = a b for the first `rows` rows of a and c; b in panels, a and c in one.
#[inline(always)]
fn multiply_generic<S: Simd>(simd: S, rows: usize, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>) {
    let depth = b.layout.rows;
    assert!(rows <= a.layout.rows && depth <= a.layout.columns && a.layout.panel == a.layout.columns);
    assert!(rows <= c.layout.rows && b.layout.columns == c.layout.columns);
    let left = Left { values: a.values, row: a.layout.columns, depth: 1 };
    by_panels(simd, [rows, depth], left, b, c, false);
}

dispatch!(fn multiply_transposed(depth: usize, add: bool, a: Matrix<'_>, b: Matrix<'_>, c: MatrixMut<'_>) => multiply_transposed_generic);

/// c = a^T b, or c += a^T b, over the first `depth` rows of both; b in panels, a and c in one.
#[inline(always)]
fn multiply_transposed_generic<S: Simd>(
    simd: S,
    depth: usize,
    add: bool,
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: MatrixMut<'_>,
) {
    let rows = c.layout.rows;
    assert!(depth <= a.layout.rows && rows <= a.layout.columns && a.layout.panel == a.layout.columns);
    assert!(depth <= b.layout.rows && b.layout.columns == c.layout.columns);
    let left = Left { values: a.values, row: 1, depth: a.layout.columns };
    by_panels(simd, [rows, depth], left, b, c, add);
}

/// c = a b, or c += a b, over the first `depth` rows of b, panel after panel of them; c in one.
#[inline(always)]
fn by_panels<S: Simd>(
    simd: S,
    [rows, depth]: [usize; 2],
    a: Left<'_>,
    b: Matrix<'_>,
    c: MatrixMut<'_>,
    add: bool,
) {
    let matrices::Layout { rows: stride, columns, panel, .. } = b.layout;
    assert!(c.layout.panel == columns);
    for column in (0..columns).step_by(panel) {
        let width = panel.min(columns - column);
        let right = Right { values: &b.values[column * stride..], depth: width };
        let target = Target { values: &mut c.values[column..], row: columns, add };
        product(simd, [rows, depth, width], a, right, target);
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
    if prefers_four(shape) {
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
    let read_input = |tile: usize, to: RowMut<'_>| {
        let (sample, place) = tiles.place(tile);
        transform_input::<T>(Sample::from_batch(input, shape.extents, shape.inputs, sample), place, to);
    };
    let read_gradient = |tile: usize, to: RowMut<'_>| {
        let (sample, place) = tiles.place(tile);
        let sample = Sample::from_batch(gradient, shape.extents, shape.outputs, sample);
        transform_output_gradient::<T>(sample, place, to);
    };
    let mut sums;
    if Matrices::len(points, shape.outputs, inputs) <= OWN_WEIGHT_FLOATS {
        // Blocks of tiles, a number that does not depend on the threads, each with its own sums, added up in order.
        let chunk = chunk_tiles(OWN_CHUNK_FLOATS, points, inputs + outputs).min(tiles.total);
        let block = tiles.total.div_ceil(SUMMED_BLOCKS).next_multiple_of(chunk);
        let blocks: Vec<Matrices> = (0..tiles.total.div_ceil(block))
            .into_par_iter()
            .map(|index| {
                let mut transformed = Matrices::new(points, chunk, inputs, PANEL);
                let mut gradients = Matrices::new(points, chunk, outputs, outputs);
                let mut sums = Matrices::zeros(points, shape.outputs, inputs, inputs);
                let end = tiles.total.min((index + 1) * block);
                for first in (index * block..end).step_by(chunk) {
                    let count = chunk.min(end - first);
                    for row in 0..count {
                        read_input(first + row, transformed.row_mut(row));
                        read_gradient(first + row, gradients.row_mut(row));
                    }
                    for (point, sums) in sums.points_mut().enumerate() {
                        multiply_transposed(
                            count,
                            true,
                            gradients.point(point),
                            transformed.point(point),
                            sums,
                        );
                    }
                }
                sums
            })
            .collect();
        sums = Matrices::zeros(points, shape.outputs, inputs, inputs);
        blocks.iter().for_each(|block| add(sums.values_mut(), block.values()));
    } else {
        let chunk = chunk_tiles(SUMMED_CHUNK_FLOATS, points, inputs + outputs).min(tiles.total);
        let mut transformed = Matrices::new(points, chunk, inputs, PANEL);
        let mut gradients = Matrices::new(points, chunk, outputs, outputs);
        sums = Matrices::new(points, shape.outputs, inputs, inputs);
        for first in (0..tiles.total).step_by(chunk) {
            let count = chunk.min(tiles.total - first);
            let rows = transformed.par_rows_mut(count).zip(gradients.par_rows_mut(count));
            rows.enumerate().for_each(|(row, (transformed, gradients))| {
                read_input(first + row, transformed);
                read_gradient(first + row, gradients);
            });
            sums.par_points_mut().enumerate().for_each(|(point, sums)| {
                let (gradients, transformed) = (gradients.point(point), transformed.point(point));
                multiply_transposed(count, first > 0, gradients, transformed, sums);
            });
        }
    }
    by_weight.par_chunks_exact_mut(shape.inputs * 27).enumerate().for_each(|(output, weights)| {
        weights_from_points::<T>(sums.row(output), weights);
    });
}

#[cfg(test)]
mod tests;
