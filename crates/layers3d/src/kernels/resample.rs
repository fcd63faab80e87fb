//! Changes of resolution by two, channels last; each is the adjoint of the other up to a factor.

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
        for (z, output) in output.chunks_exact_mut(channels).enumerate() {
            let [a, b, c, d] = rows.map(|row| &row[2 * z * channels..][..2 * channels]);
            for (i, output) in output.iter_mut().enumerate() {
                let pair = |row: &[f32]| row[i] + row[channels + i];
                let sum = factor * ((pair(a) + pair(b)) + (pair(c) + pair(d)));
                *output = if add { *output + sum } else { sum };
            }
        }
    });
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
        for (input, output) in input.chunks_exact(channels).zip(output.chunks_exact_mut(2 * channels)) {
            for output in output.chunks_exact_mut(channels) {
                for (output, &x) in output.iter_mut().zip(input) {
                    *output = if add { *output + factor * x } else { factor * x };
                }
            }
        }
    });
}
