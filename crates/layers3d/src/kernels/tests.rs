//! Kernels against plain loops in f64, at small odd shapes that an interpreter and memory checkers get through as well.

use super::norm::Moments;
use super::*;
use crate::arithmetic::{AttentionShape, ConvolutionShape, NormShape};

/// f32 sums of some tens of products.
const F32_REL: f64 = 1e-6;
/// f32 gradients of softmax and norm, differences of larger numbers.
const GRADIENT_REL: f64 = 1e-5;
/// Steps of central differences in f64: their errors are some 1e-10 of the gradients here.
const STEP: f64 = 1e-5;

/// Numbers in (-1, 1) that differ from element to element: the golden-ratio sequence.
fn numbers(count: usize, start: f64) -> Vec<f32> {
    (0..count)
        .map(|i| (2.0 * ((start + i as f64) * 0.618_033_988_749_895 + (i as f64 * 0.1).sin()).fract()) - 1.0)
        .map(|v| v as f32)
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn assert_close(found: &[f32], exact: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), exact.len(), "{what}");
    let difference: f64 = found.iter().zip(exact).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum();
    let error = (difference / exact.iter().map(|e| e * e).sum::<f64>()).sqrt();
    assert!(error < tolerance, "{what} off by {error:.1e}");
}

/// The gradient of sum(function(x) * factors) by central differences.
fn gradient(x: &[f32], factors: &[f32], function: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let dot = |x: &[f64]| function(x).iter().zip(factors).map(|(y, &f)| y * f64::from(f)).sum::<f64>();
    let mut x = wide(x);
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + STEP;
            let above = dot(&x);
            x[i] = at - STEP;
            let below = dot(&x);
            x[i] = at;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

#[test]
fn linear_maps_of_channels() {
    // Channels of a concatenation: the weights' columns from the second on.
    let (points, channels, outputs, inputs, first) = (7, 5, 19, 8, 2);
    let (x, w) = (numbers(points * channels, 0.1), numbers(outputs * inputs, 0.2));
    let (bias, plus) = (numbers(outputs, 0.3), numbers(points * outputs, 0.4));
    let weights = Weights { values: &w, inputs, first_input: first };
    let weight = |o: usize, i: usize| f64::from(w[o * inputs + first + i]);
    let exact: Vec<f64> = (0..points * outputs)
        .map(|at| {
            let (point, o) = (at / outputs, at % outputs);
            let sum: f64 = (0..channels).map(|i| f64::from(x[point * channels + i]) * weight(o, i)).sum();
            sum + f64::from(bias[o]) + f64::from(plus[at])
        })
        .collect();
    let mut output = vec![f32::NAN; points * outputs];
    let extra = Extra { bias: Some(&bias), plus: Some(&plus), add: false };
    pointwise(&x, channels, weights, outputs, extra, &mut output);
    assert_close(&output, &exact, F32_REL, "outputs");

    let g = numbers(points * outputs, 0.5);
    let by_x: Vec<f64> = (0..points * channels)
        .map(|at| {
            let (point, i) = (at / channels, at % channels);
            1.0 + (0..outputs).map(|o| f64::from(g[point * outputs + o]) * weight(o, i)).sum::<f64>()
        })
        .collect();
    let mut found = vec![1f32; x.len()];
    pointwise_input_gradient(&g, outputs, weights, channels, true, &mut found);
    assert_close(&found, &by_x, F32_REL, "gradient by the input");

    let by_w: Vec<f64> = (0..outputs * inputs)
        .map(|at| match (at / inputs, at % inputs) {
            (o, i) if (first..first + channels).contains(&i) => (0..points)
                .map(|p| f64::from(g[p * outputs + o]) * f64::from(x[p * channels + i - first]))
                .sum(),
            _ => 3.0,
        })
        .collect();
    let mut found = vec![3f32; w.len()];
    pointwise_weight_gradient(&x, channels, &g, outputs, inputs, first, &mut found);
    assert_close(&found, &by_w, F32_REL, "gradient by the weights");

    let by_bias: Vec<f64> =
        (0..outputs).map(|o| (0..points).map(|p| f64::from(g[p * outputs + o])).sum()).collect();
    let mut found = vec![f32::NAN; outputs];
    bias_gradient(&g, outputs, &mut found);
    assert_close(&found, &by_bias, F32_REL, "gradient by the biases");
}

/// Softmax(q k^T / sqrt(dim)) v by its definition.
fn plain_attention(shape: AttentionShape, qkv: &[f64]) -> Vec<f64> {
    let AttentionShape { points, heads, dim, .. } = shape;
    let batch = qkv.len() / (points * 3 * heads * dim);
    let at = |sample: usize, point: usize, head: usize, part: usize, i: usize| {
        qkv[((sample * points + point) * heads + head) * 3 * dim + part * dim + i]
    };
    let mut output = Vec::new();
    for (sample, query) in (0..batch * points).map(|row| (row / points, row % points)) {
        for head in 0..heads {
            let score = |key: usize| -> f64 {
                let sum: f64 =
                    (0..dim).map(|i| at(sample, query, head, 0, i) * at(sample, key, head, 1, i)).sum();
                (sum / (dim as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..points).map(score).collect();
            let total: f64 = weights.iter().sum();
            output.extend((0..dim).map(|i| {
                (0..points).map(|key| weights[key] * at(sample, key, head, 2, i)).sum::<f64>() / total
            }));
        }
    }
    output
}

#[test]
fn attention_and_its_gradient() {
    for (points, heads, dim) in [(5, 2, 3), (1, 1, 1), (9, 1, 17)] {
        let shape = AttentionShape { batch: 2, points, heads, dim };
        let qkv = numbers(2 * points * 3 * heads * dim, 0.1);
        let mut output = vec![f32::NAN; qkv.len() / 3];
        let denominators = attention(shape, &qkv, &mut output);
        assert_close(&output, &plain_attention(shape, &wide(&qkv)), F32_REL, "attention");

        let g = numbers(output.len(), 0.6);
        let exact = gradient(&qkv, &g, |qkv| plain_attention(shape, qkv));
        let mut found = vec![f32::NAN; qkv.len()];
        attention_backward(shape, &qkv, &output, &denominators, &g, &mut found);
        assert_close(&found, &exact, GRADIENT_REL, "gradient of attention");
    }
}

/// SiLU(group norm(x) scale + shift) of two samples by its definition; x (2, voxels, c), scale and shift (2, c).
fn plain_norm(shape: &NormShape, x: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let channels = scale.len() / 2;
    let (in_group, mut output) = (channels / shape.groups, vec![0.0; x.len()]);
    for (sample, group) in (0..2 * shape.groups).map(|i| (i / shape.groups, i % shape.groups)) {
        let places: Vec<usize> = (0..shape.voxels * in_group)
            .map(|i| (sample * shape.voxels + i / in_group) * channels + group * in_group + i % in_group)
            .collect();
        let mean = places.iter().map(|&at| x[at]).sum::<f64>() / places.len() as f64;
        let variance = places.iter().map(|&at| (x[at] - mean).powi(2)).sum::<f64>() / places.len() as f64;
        for at in places {
            let c = sample * channels + at % channels;
            let z = (x[at] - mean) / (variance + 1e-5).sqrt() * scale[c] + shift[c];
            output[at] = z / (1.0 + (-z).exp());
        }
    }
    output
}

/// Channels `range` of (rows, c).
fn columns(values: &[f32], channels: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    values.chunks_exact(channels).flat_map(|row| row[range.clone()].iter().copied()).collect()
}

#[test]
fn group_norm_of_two_parts_and_its_gradient() {
    let (channels, seam) = (6, 1);
    let shape = NormShape { batch: 2, voxels: 5, groups: 2, silu: true };
    let x = numbers(2 * shape.voxels * channels, 0.1);
    let (scale, shift) = (numbers(2 * channels, 0.2), numbers(2 * channels, 0.3));
    let (first, second) = (columns(&x, channels, 0..seam), columns(&x, channels, seam..channels));
    let parts =
        [Part { values: &first, channels: seam }, Part { values: &second, channels: channels - seam }];
    let moments: Moments = moments(&shape, &parts);
    let mut output = vec![f32::NAN; x.len()];
    normalize(&shape, &parts, &moments, &scale, &shift, &mut output);
    let exact = plain_norm(&shape, &wide(&x), &wide(&scale), &wide(&shift));
    assert_close(&output, &exact, F32_REL, "norm");

    let g = numbers(x.len(), 0.6);
    let (mut by_first, mut by_second) = (vec![0f32; first.len()], vec![f32::NAN; second.len()]);
    let (mut by_scale, mut by_shift) = (vec![f32::NAN; 2 * channels], vec![f32::NAN; 2 * channels]);
    let by_parts = vec![
        PartGradient { values: &mut by_first, add: true },
        PartGradient { values: &mut by_second, add: false },
    ];
    let by_affine = [&mut by_scale[..], &mut by_shift[..]];
    normalize_backward(&shape, &parts, &moments, [&scale, &shift], &g, by_parts, by_affine);
    let exact = gradient(&x, &g, |x| plain_norm(&shape, x, &wide(&scale), &wide(&shift)));
    let exact: Vec<f32> = exact.iter().map(|&v| v as f32).collect();
    assert_close(&by_first, &wide(&columns(&exact, channels, 0..seam)), GRADIENT_REL, "by the first part");
    let exact = wide(&columns(&exact, channels, seam..channels));
    assert_close(&by_second, &exact, GRADIENT_REL, "by the second part");
    let exact = gradient(&scale, &g, |scale| plain_norm(&shape, &wide(&x), scale, &wide(&shift)));
    assert_close(&by_scale, &exact, GRADIENT_REL, "by the scale");
    let exact = gradient(&shift, &g, |shift| plain_norm(&shape, &wide(&x), &wide(&scale), shift));
    assert_close(&by_shift, &exact, GRADIENT_REL, "by the shift");
}

#[test]
fn blocks_summed_and_repeated() {
    let ([nx, ny, nz], c) = ([2, 4, 6], 3);
    let x: Vec<f32> = (0..nx * ny * nz * c).map(|i| (i % 31) as f32).collect();
    let place = |x: usize, y: usize, z: usize, i: usize| ((x * ny + y) * nz + z) * c + i;
    let small = x.len() / 8;
    let coarse = |at: usize| {
        let (voxel, i) = (at / c, at % c);
        (2 * (voxel / (ny / 2 * nz / 2)), 2 * (voxel / (nz / 2) % (ny / 2)), 2 * (voxel % (nz / 2)), i)
    };
    let mut sums = vec![1f32; small];
    sum_blocks(&x, [nx, ny, nz], c, 0.5, true, &mut sums);
    for (at, &sum) in sums.iter().enumerate() {
        let (i, j, k, channel) = coarse(at);
        let of = |n: usize| x[place(i + n / 4, j + n / 2 % 2, k + n % 2, channel)];
        // Halves of small whole numbers.
        assert_eq!(sum, 1.0 + 0.5 * (0..8).map(of).sum::<f32>());
    }
    let mut repeated = vec![f32::NAN; x.len()];
    repeat_blocks(&sums, [nx / 2, ny / 2, nz / 2], c, 2.0, false, &mut repeated);
    for (at, &sum) in sums.iter().enumerate() {
        let (i, j, k, channel) = coarse(at);
        let of = |n: usize| repeated[place(i + n / 4, j + n / 2 % 2, k + n % 2, channel)];
        assert!((0..8).all(|n| of(n) == 2.0 * sum));
    }
}

#[test]
fn values_kept_and_added() {
    let x: Vec<f32> = (0..37).map(|i| i as f32).collect();
    let bits = [0x8000_0005, 0b10001];
    let mut kept = vec![f32::NAN; x.len()];
    keep(&x, &bits, 0.5, &mut kept);
    for (i, &value) in kept.iter().enumerate() {
        assert_eq!(value, if [0, 2, 31, 32, 36].contains(&i) { 0.5 * i as f32 } else { 0.0 });
    }
    add(&mut kept, &x);
    assert_eq!((kept[36], kept[35]), (54.0, 35.0));
}

/// All kernels on a pool that this thread works in itself, so that each hand-over between threads is rayon's own:
/// ThreadSanitizer does not follow those through the standard library's locks, unless that is built for it.
#[test]
#[cfg_attr(miri, ignore = "too large for an interpreter")]
fn kernels_in_a_pool_of_their_own() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).use_current_thread().build();
    pool.expect("a pool").install(|| {
        linear_maps_of_channels();
        attention_and_its_gradient();
        group_norm_of_two_parts_and_its_gradient();
        blocks_summed_and_repeated();
        values_kept_and_added();
        // The weights are too many for a core's own cache: all threads work on one chunk.
        for (inputs, outputs, extents) in [(5, 7, [3, 5, 4]), (65, 63, [16, 16, 17])] {
            let shape = ConvolutionShape { batch: 1, inputs, outputs, extents };
            let (x, g) = (numbers(shape.voxels() * inputs, 0.1), numbers(shape.voxels() * outputs, 0.2));
            let w = numbers(inputs * outputs * 27, 0.3);
            let (mut output, mut by_x) = (vec![f32::NAN; g.len()], vec![f32::NAN; x.len()]);
            let mut by_w = vec![f32::NAN; w.len()];
            convolve(&shape, &x, &w, false, None, Some(&g), &mut output);
            convolve(&shape.backward(), &g, &w, true, None, None, &mut by_x);
            weight_gradient(&shape, &x, &g, &mut by_w);
            // The layer is linear in the input, and in the weights: <y - g, g> = <x, dx> = <w, dw>.
            let dot = |a: &[f32], b: &[f32]| wide(a).iter().zip(wide(b)).map(|(a, b)| a * b).sum::<f64>();
            let exact = dot(&output, &g) - dot(&g, &g);
            let scale = dot(&output, &output).sqrt() * dot(&g, &g).sqrt();
            for (by, name) in [(dot(&x, &by_x), "input"), (dot(&w, &by_w), "weights")] {
                let error = (by - exact).abs() / scale;
                assert!(error < GRADIENT_REL, "by the {name} of {inputs} channels off by {error:.1e}");
            }
        }
    });
}
