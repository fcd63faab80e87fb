//! Both tile sizes against plain loops in f64.

use super::*;

/// Relative L2 error of f32 Winograd convolutions.
const WINOGRAD_REL: f64 = 1e-5;

/// What an interpreter gets through in minutes.
#[cfg(miri)]
const SHAPES: [(usize, usize, usize, [usize; 3]); 2] = [(1, 1, 1, [1, 1, 1]), (2, 3, 5, [3, 5, 7])];
#[cfg(not(miri))]
const SHAPES: [(usize, usize, usize, [usize; 3]); 9] = [
    (1, 1, 1, [1, 1, 1]),
    (2, 3, 5, [3, 5, 7]),
    (1, 13, 9, [2, 17, 4]),
    (3, 4, 24, [8, 8, 8]),
    (1, 40, 17, [5, 6, 13]),
    (2, 24, 24, [16, 4, 18]),
    (1, 2, 64, [12, 12, 12]),
    (1, 130, 66, [4, 5, 6]),
    (2, 64, 1, [12, 13, 15]),
];

fn numbers(count: usize, start: f64) -> Vec<f32> {
    (0..count)
        .map(|i| ((start + i as f64) * 0.618_033_988_749_895 + (i as f64 * 0.1).sin()).fract() * 2.0 - 1.0)
        .map(|v| v as f32)
        .collect()
}

/// Calls `add` with (output voxel, input voxel, tap) of every product of the direct sum.
fn each_product(n: [usize; 3], mut add: impl FnMut(usize, usize, usize)) {
    let [nx, ny, nz] = n.map(|n| n as isize);
    for (x, y, z) in (0..nx * ny * nz).map(|v| (v / (ny * nz), v / nz % ny, v % nz)) {
        for tap in 0..27isize {
            let (i, j, k) = (x + tap / 9 - 1, y + tap / 3 % 3 - 1, z + tap % 3 - 1);
            if (0..nx).contains(&i) && (0..ny).contains(&j) && (0..nz).contains(&k) {
                add(((x * ny + y) * nz + z) as usize, ((i * ny + j) * nz + k) as usize, tap as usize);
            }
        }
    }
}

fn relative_error(found: &[f32], exact: &[f64]) -> f64 {
    let difference: f64 = found.iter().zip(exact).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum();
    (difference / exact.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

fn check<T: Tile>(b: usize, ci: usize, co: usize, n: [usize; 3]) {
    let shape = ConvolutionShape { batch: b, inputs: ci, outputs: co, extents: n };
    let voxels = shape.voxels();
    let (x, w, bias) = (numbers(b * voxels * ci, 0.1), numbers(co * ci * 27, 0.2), numbers(co, 0.7));
    let (plus, g) = (numbers(b * voxels * co, 0.5), numbers(b * voxels * co, 0.4));
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let mut exact: Vec<f64> =
        (0..b * voxels * co).map(|i| f64::from(bias[i % co]) + f64::from(plus[i])).collect();
    let (mut by_x, mut by_w) = (vec![0f64; x.len()], vec![0f64; w.len()]);
    let (wide_x, wide_w, wide_g) = (wide(&x), wide(&w), wide(&g));
    each_product(n, |to, from, tap| {
        for sample in 0..b {
            for o in 0..co {
                let out = (sample * voxels + to) * co + o;
                for i in 0..ci {
                    let (at, weight) = ((sample * voxels + from) * ci + i, (o * ci + i) * 27 + tap);
                    exact[out] += wide_x[at] * wide_w[weight];
                    by_x[at] += wide_g[out] * wide_w[weight];
                    by_w[weight] += wide_g[out] * wide_x[at];
                }
            }
        }
    });

    let what = format!("F({}): {b} x {ci} -> {co} at {n:?}", T::OUTPUTS);
    let weights = Weights { values: &w, inputs: ci, outputs: co, reversed: false };
    let mut found = vec![f32::NAN; exact.len()];
    convolve_by::<T>(&shape, &x, weights, Some(&bias), Some(&plus), &mut found);
    let error = relative_error(&found, &exact);
    assert!(error < WINOGRAD_REL, "{what}: output off by {error:.1e}");

    let weights = Weights { values: &w, inputs: co, outputs: ci, reversed: true };
    let mut found = vec![f32::NAN; x.len()];
    convolve_by::<T>(&shape.backward(), &g, weights, None, None, &mut found);
    let error = relative_error(&found, &by_x);
    assert!(error < WINOGRAD_REL, "{what}: gradient by the input off by {error:.1e}");

    let mut found = vec![f32::NAN; w.len()];
    weight_gradient_by::<T>(&shape, &x, &g, &mut found);
    let error = relative_error(&found, &by_w);
    assert!(error < WINOGRAD_REL, "{what}: gradient by the weights off by {error:.1e}");
}

#[test]
fn tiles_of_two_match_the_direct_sum() {
    SHAPES.into_iter().for_each(|(b, ci, co, n)| check::<Two>(b, ci, co, n));
}

#[test]
fn tiles_of_four_match_the_direct_sum() {
    SHAPES.into_iter().for_each(|(b, ci, co, n)| check::<Four>(b, ci, co, n));
}

#[test]
#[cfg_attr(miri, ignore = "too large for an interpreter")]
fn a_sample_has_the_same_bits_in_any_batch() {
    let shape = ConvolutionShape { batch: 5, inputs: 7, outputs: 20, extents: [13, 12, 14] };
    let (x, w) = (numbers(5 * shape.voxels() * 7, 0.1), numbers(20 * 7 * 27, 0.2));
    let mut all = vec![0f32; 5 * shape.voxels() * 20];
    convolve(&shape, &x, &w, false, None, None, &mut all);
    let alone = ConvolutionShape { batch: 1, ..shape };
    for sample in 0..5 {
        let mut one = vec![0f32; shape.voxels() * 20];
        convolve(
            &alone,
            &x[sample * shape.voxels() * 7..][..shape.voxels() * 7],
            &w,
            false,
            None,
            None,
            &mut one,
        );
        assert!(one.iter().zip(&all[sample * one.len()..]).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

/// More tiles than a chunk of all threads holds, so that weight gradients add up over chunks; tiles of two have few
/// enough points for the other way through the stages.
#[test]
#[cfg_attr(miri, ignore = "too large for an interpreter")]
fn chunks_of_all_threads_match_those_of_one() {
    let shape = ConvolutionShape { batch: 2, inputs: 64, outputs: 64, extents: [20, 20, 12] };
    let tiles = Tiles::new::<Four>(&shape).total;
    const { assert!(Four::ALL_POINTS * 64 * 64 > OWN_WEIGHT_FLOATS) };
    const { assert!(Two::ALL_POINTS * 64 * 64 <= OWN_WEIGHT_FLOATS) };
    assert!(tiles > chunk_tiles(SUMMED_CHUNK_FLOATS, Four::ALL_POINTS, 128));
    let values = shape.batch * shape.voxels() * 64;
    let (x, w, g) = (numbers(values, 0.1), numbers(64 * 64 * 27, 0.2), numbers(values, 0.4));
    let weights = Weights { values: &w, inputs: 64, outputs: 64, reversed: false };
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();

    let (mut by_four, mut by_two) = (vec![f32::NAN; values], vec![f32::NAN; values]);
    convolve_by::<Four>(&shape, &x, weights, None, None, &mut by_four);
    convolve_by::<Two>(&shape, &x, weights, None, None, &mut by_two);
    assert!(relative_error(&by_four, &wide(by_two)) < WINOGRAD_REL);
    let (mut by_four, mut by_two) = (vec![f32::NAN; w.len()], vec![f32::NAN; w.len()]);
    weight_gradient_by::<Four>(&shape, &x, &g, &mut by_four);
    weight_gradient_by::<Two>(&shape, &x, &g, &mut by_two);
    assert!(relative_error(&by_four, &wide(by_two)) < WINOGRAD_REL);
}
