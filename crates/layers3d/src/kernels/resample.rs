//! Changes of resolution by two, channels last; each is the adjoint of the other up to a factor.

use super::simd::{Simd, dispatch};
use rayon::prelude::*;

/// output (b, x/2, y/2, z/2, c) (+)= factor * sums of 2^3 blocks of x (b, x, y, z, c).
pub(crate) fn sum_blocks(
    x: &[f32],
    [_, ny, nz]: [usize; 3],
    channels: usize,
    factor: f32,
    add: bool,
    output: &mut [f32],
) {
    let row = nz * channels;
    assert_eq!(x.len(), 8 * output.len());
    // Rows (b, x/2, y/2) of the output; sides are even, so a plane index counts over samples as well.
    output.par_chunks_mut(row / 2).enumerate().for_each(|(index, output)| {
        let (plane, y) = (index / (ny / 2), index % (ny / 2));
        let input = |i: usize, j: usize| &x[((2 * plane + i) * ny + 2 * y + j) * row..][..row];
        let rows = [input(0, 0), input(0, 1), input(1, 0), input(1, 1)];
        sum_rows(rows, channels, factor, add, output);
    });
}

dispatch!(fn sum_rows(rows: [&[f32]; 4], channels: usize, factor: f32, add: bool, output: &mut [f32]) => sum_rows_generic);

/// One row of the output from four of the input.
#[inline(always)]
fn sum_rows_generic<S: Simd>(
    _: S,
    rows: [&[f32]; 4],
    channels: usize,
    factor: f32,
    add: bool,
    output: &mut [f32],
) {
    for (z, output) in output.chunks_exact_mut(channels).enumerate() {
        let [a, b, c, d] = rows.map(|row| &row[2 * z * channels..][..2 * channels]);
        let ([a0, a1], [b0, b1]) = ([&a[..channels], &a[channels..]], [&b[..channels], &b[channels..]]);
        let ([c0, c1], [d0, d1]) = ([&c[..channels], &c[channels..]], [&d[..channels], &d[channels..]]);
        for (i, output) in output.iter_mut().enumerate() {
            let sum = factor * (((a0[i] + a1[i]) + (b0[i] + b1[i])) + ((c0[i] + c1[i]) + (d0[i] + d1[i])));
            *output = if add { *output + sum } else { sum };
        }
    }
}

/// output (b, 2x, 2y, 2z, c) (+)= factor * x (b, x, y, z, c), each voxel in 2^3 places.
pub(crate) fn repeat_blocks(
    x: &[f32],
    [_, ny, nz]: [usize; 3],
    channels: usize,
    factor: f32,
    add: bool,
    output: &mut [f32],
) {
    let row = nz * channels;
    assert_eq!(output.len(), 8 * x.len());
    output.par_chunks_mut(2 * row).enumerate().for_each(|(index, output)| {
        let (plane, y) = (index / (2 * ny), index % (2 * ny));
        let input = &x[(plane / 2 * ny + y / 2) * row..][..row];
        repeat_row(input, channels, factor, add, output);
    });
}

dispatch!(fn repeat_row(input: &[f32], channels: usize, factor: f32, add: bool, output: &mut [f32]) => repeat_row_generic);

#[inline(always)]
fn repeat_row_generic<S: Simd>(
    _: S,
    input: &[f32],
    channels: usize,
    factor: f32,
    add: bool,
    output: &mut [f32],
) {
    for (input, output) in input.chunks_exact(channels).zip(output.chunks_exact_mut(2 * channels)) {
        for output in output.chunks_exact_mut(channels) {
            for (output, &x) in output.iter_mut().zip(input) {
                *output = if add { *output + factor * x } else { factor * x };
            }
        }
    }
}
