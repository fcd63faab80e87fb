//! Doubling and halving of the resolution.

use super::Extents;
use rayon::prelude::*;

/// Sums 2^3 blocks of each channel and multiplies by `factor`: extents are those of `x`, all even.
pub(crate) fn sum_blocks(x: &[f32], extents: Extents, factor: f32) -> Vec<f32> {
    let [nx, ny, nz] = extents;
    let (hy, hz) = (ny / 2, nz / 2);
    let mut output = vec![0f32; x.len() / 8];
    // One task a coarse plane of a channel; planes of all channels lie one after another.
    output.par_chunks_exact_mut(hy * hz).zip(x.par_chunks_exact(2 * ny * nz)).for_each(|(coarse, fine)| {
        for y in 0..hy {
            let row = |dx: usize, dy: usize| &fine[(dx * ny + 2 * y + dy) * nz..][..nz];
            let rows = [row(0, 0), row(0, 1), row(1, 0), row(1, 1)];
            for (z, value) in coarse[y * hz..][..hz].iter_mut().enumerate() {
                let pair = |r: &[f32]| r[2 * z] + r[2 * z + 1];
                *value = factor * ((pair(rows[0]) + pair(rows[1])) + (pair(rows[2]) + pair(rows[3])));
            }
        }
    });
    debug_assert_eq!(nx % 2, 0);
    output
}

/// Repeats each voxel over a 2^3 block and multiplies by `factor`: extents are those of `x`.
pub(crate) fn repeat_blocks(x: &[f32], extents: Extents, factor: f32) -> Vec<f32> {
    let [_, ny, nz] = extents;
    let (fy, fz) = (2 * ny, 2 * nz);
    let mut output = vec![0f32; x.len() * 8];
    output.par_chunks_exact_mut(2 * fy * fz).zip(x.par_chunks_exact(ny * nz)).for_each(|(fine, coarse)| {
        for y in 0..ny {
            let (first, _) = fine.split_at_mut(fy * fz);
            let row = &mut first[2 * y * fz..][..fz];
            for (pair, &value) in row.chunks_exact_mut(2).zip(&coarse[y * nz..][..nz]) {
                pair.fill(factor * value);
            }
            first.copy_within(2 * y * fz..(2 * y + 1) * fz, (2 * y + 1) * fz);
        }
        fine.copy_within(..fy * fz, fy * fz);
    });
    output
}
