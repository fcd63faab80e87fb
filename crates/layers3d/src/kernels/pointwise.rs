//! One linear map of the channels at every point: 1^3 convolutions and linear layers, channels last.

use super::product::{Left, Right, Target, product};
use super::simd::{Simd, dispatch, lanes};
use crate::buffer::Buffer;
use rayon::prelude::*;

/// Points of a task.
const ROWS: usize = 96;
/// Points of a task when gradients are summed over points: each task keeps a matrix of its own.
const SUMMED_ROWS: usize = 1024;
/// Columns of a panel of the packed matrix.
const PANEL: usize = 64;

/// A matrix (rows x columns), columns filled up to whole vectors and cut into panels.
pub(super) struct Packed {
    values: Buffer,
    rows: usize,
    columns: usize,
}

impl Packed {
    /// Packs the matrix whose elements `get` gives.
    pub(super) fn new(rows: usize, columns: usize, get: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let padded = columns.next_multiple_of(lanes());
        let mut values = Buffer::new(rows * padded);
        values.par_chunks_mut((rows * PANEL).max(1)).enumerate().for_each(|(panel, values)| {
            let width = PANEL.min(padded - panel * PANEL);
            for (row, values) in values.chunks_exact_mut(width).enumerate() {
                for (column, value) in (panel * PANEL..).zip(values) {
                    *value = if column < columns { get(row, column) } else { 0.0 };
                }
            }
        });
        Self { values, rows, columns: padded }
    }

    /// `output` (rows of `a` x columns) = a self; `a` has its rows `stride` apart.
    #[inline(always)]
    pub(super) fn left_product<S: Simd>(
        &self,
        simd: S,
        a: &[f32],
        stride: usize,
        rows: usize,
        output: &mut [f32],
    ) {
        for column in (0..self.columns).step_by(PANEL) {
            let width = PANEL.min(self.columns - column);
            let left = Left { values: a, row: stride, depth: 1 };
            // The panel starts after `column` whole columns.
            let right = Right { values: &self.values[column * self.rows..], depth: width };
            let target = Target { values: &mut output[column..], row: self.columns, add: false };
            product(simd, [rows, self.rows, width], left, right, target);
        }
    }
}

/// What is added to a product: a bias per column, a matrix of its shape, and what is in its place already.
#[derive(Clone, Copy)]
pub(crate) struct Extra<'a> {
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) plus: Option<&'a [f32]>,
    pub(crate) add: bool,
}

/// Weights (outputs, inputs) and the columns of them that meet the input.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) inputs: usize,
    pub(crate) first_input: usize,
}

/// output (n, outputs) = x (n, channels) W^T with the columns of the weights from `first_input` on, and extras.
pub(crate) fn pointwise(
    x: &[f32],
    channels: usize,
    weights: Weights<'_>,
    outputs: usize,
    extra: Extra<'_>,
    output: &mut [f32],
) {
    let matrix =
        Packed::new(channels, outputs, |i, o| weights.values[o * weights.inputs + weights.first_input + i]);
    multiply_rows(x, channels, &matrix, outputs, extra, output);
}

/// by_x (n, channels) (+)= gradient (n, outputs) W, for the columns of the weights from `first_input` on.
pub(crate) fn pointwise_input_gradient(
    gradient: &[f32],
    outputs: usize,
    weights: Weights<'_>,
    channels: usize,
    add: bool,
    by_x: &mut [f32],
) {
    let matrix =
        Packed::new(outputs, channels, |o, i| weights.values[o * weights.inputs + weights.first_input + i]);
    multiply_rows(gradient, outputs, &matrix, channels, Extra { bias: None, plus: None, add }, by_x);
}

fn multiply_rows(
    x: &[f32],
    depth: usize,
    matrix: &Packed,
    columns: usize,
    extra: Extra<'_>,
    output: &mut [f32],
) {
    let rows = x.len() / depth;
    assert!(output.len() == rows * columns && extra.plus.is_none_or(|plus| plus.len() == output.len()));
    assert!(extra.bias.is_none_or(|bias| bias.len() == columns));
    output.par_chunks_mut(ROWS * columns).enumerate().for_each(|(block, output)| {
        let rows = output.len() / columns;
        let x = &x[block * ROWS * depth..][..rows * depth];
        let plus = extra.plus.map(|plus| &plus[block * ROWS * columns..][..output.len()]);
        let mut scratch = Buffer::new(rows * matrix.columns);
        multiply_block(x, depth, matrix, Extra { plus, ..extra }, &mut scratch, output);
    });
}

dispatch!(fn multiply_block(x: &[f32], depth: usize, matrix: &Packed, extra: Extra<'_>, scratch: &mut [f32], output: &mut [f32]) => multiply_block_generic);

#[inline(always)]
fn multiply_block_generic<S: Simd>(
    simd: S,
    x: &[f32],
    depth: usize,
    matrix: &Packed,
    extra: Extra<'_>,
    scratch: &mut [f32],
    output: &mut [f32],
) {
    let rows = x.len() / depth;
    let columns = output.len() / rows;
    matrix.left_product(simd, x, depth, rows, scratch);
    for (row, output) in output.chunks_exact_mut(columns).enumerate() {
        let values = &mut scratch[row * matrix.columns..][..columns];
        if let Some(bias) = extra.bias {
            values.iter_mut().zip(bias).for_each(|(value, &bias)| *value += bias);
        }
        if let Some(plus) = extra.plus {
            values.iter_mut().zip(&plus[row * columns..]).for_each(|(value, &plus)| *value += plus);
        }
        if extra.add {
            output.iter_mut().zip(values).for_each(|(output, value)| *output += *value);
        } else {
            output.copy_from_slice(values);
        }
    }
}

/// Gradient by the weights (outputs, inputs): their columns `first_input` on, from x (n, channels) and the gradient
/// (n, outputs). Other columns are left alone.
pub(crate) fn pointwise_weight_gradient(
    x: &[f32],
    channels: usize,
    gradient: &[f32],
    outputs: usize,
    inputs: usize,
    first_input: usize,
    by_weight: &mut [f32],
) {
    assert_eq!(x.len() / channels, gradient.len() / outputs);
    let padded = channels.next_multiple_of(lanes());
    let partial: Vec<Buffer> = x
        .par_chunks(SUMMED_ROWS * channels)
        .zip(gradient.par_chunks(SUMMED_ROWS * outputs))
        .map(|(x, gradient)| {
            let rows = x.len() / channels;
            let mut sums = Buffer::new(outputs * padded);
            let mut scratch = Buffer::new(rows * padded);
            for (row, padded) in scratch.chunks_exact_mut(padded).enumerate() {
                padded[..channels].copy_from_slice(&x[row * channels..][..channels]);
                padded[channels..].fill(0.0);
            }
            outer_product(gradient, outputs, &scratch, padded, &mut sums);
            sums
        })
        .collect();
    by_weight.par_chunks_exact_mut(inputs).enumerate().for_each(|(o, weights)| {
        let weights = &mut weights[first_input..first_input + channels];
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = partial.iter().map(|sums| f64::from(sums[o * padded + i])).sum::<f64>() as f32;
        }
    });
}

dispatch!(fn outer_product(gradient: &[f32], outputs: usize, x: &[f32], columns: usize, sums: &mut [f32]) => outer_product_generic);

/// sums (outputs x columns) = gradient^T x.
#[inline(always)]
fn outer_product_generic<S: Simd>(
    simd: S,
    gradient: &[f32],
    outputs: usize,
    x: &[f32],
    columns: usize,
    sums: &mut [f32],
) {
    let depth = x.len() / columns;
    assert!(gradient.len() == depth * outputs && sums.len() == outputs * columns);
    let left = Left { values: gradient, row: 1, depth: outputs };
    let right = Right { values: x, depth: columns };
    let target = Target { values: sums, row: columns, add: false };
    product(simd, [outputs, depth, columns], left, right, target);
}

/// Sums over all points of the gradient (n, channels), in blocks of f32 and f64 across them.
pub(crate) fn bias_gradient(gradient: &[f32], channels: usize, by_bias: &mut [f32]) {
    let partial: Vec<Vec<f32>> = gradient
        .par_chunks(SUMMED_ROWS * channels)
        .map(|block| {
            let mut sums = vec![0f32; channels];
            sum_rows(block, &mut sums);
            sums
        })
        .collect();
    for (c, by_bias) in by_bias.iter_mut().enumerate() {
        *by_bias = partial.iter().map(|sums| f64::from(sums[c])).sum::<f64>() as f32;
    }
}

dispatch!(fn sum_rows(rows: &[f32], sums: &mut [f32]) => sum_rows_generic);

#[inline(always)]
fn sum_rows_generic<S: Simd>(_: S, rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
}
