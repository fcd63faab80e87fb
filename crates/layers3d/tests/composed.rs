//! The composed layers against hand-made numbers, plain loops and finite differences.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{DType, Device, Result, Tensor, Var};
use finescale_layers3d::Activation;
use finescale_layers3d::composed::{
    self, attention, average_pool, conv1, conv3d, group_norm, silu, upsample_nearest,
};

/// f64 central differences with h = 1e-5: truncation ~1e-10, cancellation ~1e-11, both times |f'''| of order 10.
const FINITE_DIFFERENCE_ABS: f64 = 1e-7;
const H: f64 = 1e-5;

/// Smooth numbers of order one that repeat nowhere.
fn wave(shape: &[usize], phase: f64) -> Tensor {
    let n = shape.iter().product::<usize>();
    let values: Vec<f64> =
        (0..n).map(|i| (0.7 * i as f64 + phase).sin() + 0.3 * (i as f64 * 1.9).cos()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Checks every gradient of sum(w · layer(inputs)) against central differences.
fn check_gradients(name: &str, shapes: &[&[usize]], layer: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = shapes
        .iter()
        .enumerate()
        .map(|(i, shape)| Var::from_tensor(&wave(shape, 1.3 * i as f64)).unwrap())
        .collect();
    let inputs: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let objective = |inputs: &[Tensor]| -> Result<Tensor> {
        let out = layer(inputs)?;
        (&out * wave(out.dims(), 0.4))?.sum_all()
    };
    let gradients = objective(&inputs).unwrap().backward().unwrap();
    for (i, input) in inputs.iter().enumerate() {
        let gradient = gradients.get(input).unwrap_or_else(|| panic!("{name}: input {i} has no gradient"));
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let values = input.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for element in (0..values.len()).step_by(values.len().div_ceil(23)) {
            let shifted = |h: f64| {
                let mut moved = values.clone();
                moved[element] += h;
                let mut inputs = inputs.clone();
                inputs[i] = Tensor::from_vec(moved, input.dims(), &Device::Cpu).unwrap();
                objective(&inputs).unwrap().to_scalar::<f64>().unwrap()
            };
            let expected = (shifted(H) - shifted(-H)) / (2.0 * H);
            let found = gradient[element];
            assert!(
                (found - expected).abs() < FINITE_DIFFERENCE_ABS * (1.0 + expected.abs()),
                "{name}: d/d input {i}[{element}] is {found}, finite differences say {expected}"
            );
        }
    }
}

#[test]
fn gradients_follow_finite_differences() {
    check_gradients("conv3d", &[&[2, 3, 3, 4, 5], &[2, 3, 3, 3, 3], &[2]], |t| {
        conv3d(&t[0], &t[1], Some(&t[2]))
    });
    check_gradients("conv1", &[&[2, 3, 2, 3, 2], &[4, 3, 1, 1, 1], &[4]], |t| {
        conv1(&t[0], &t[1], Some(&t[2]))
    });
    check_gradients("average_pool", &[&[2, 2, 4, 2, 6]], |t| average_pool(&t[0]));
    check_gradients("upsample_nearest", &[&[2, 2, 2, 1, 3]], |t| upsample_nearest(&t[0]));
    check_gradients("silu", &[&[2, 3, 4]], |t| silu(&t[0]));
    check_gradients("attention", &[&[2, 12, 5]], |t| attention(&t[0], 2));
    let shapes: &[&[usize]] = &[&[2, 6, 2, 2, 3], &[6], &[6], &[2, 6], &[2, 6]];
    for activation in [Activation::Identity, Activation::Silu] {
        check_gradients("group_norm", &shapes[..3], |t| group_norm(&t[0], 3, &t[1], &t[2], None, activation));
        check_gradients("group_norm with scale and shift", shapes, |t| {
            group_norm(&t[0], 3, &t[1], &t[2], Some((&t[3], &t[4])), activation)
        });
    }
}

/// A layer whose input is used elsewhere too: gradients must add, not overwrite.
#[test]
fn gradients_add_where_an_input_is_shared() {
    check_gradients("shared", &[&[1, 2, 2, 2, 2]], |t| {
        let up = upsample_nearest(&t[0])?;
        let down = average_pool(&up)?;
        silu(&(up + upsample_nearest(&(down + &t[0])?)?)?)
    });
}

#[test]
fn conv3d_on_paper() -> Result<()> {
    // A single one at the corner (0, 0, 0) of 2³: output v sees it through tap (1, 1, 1) - v.
    let mut cube = vec![0f32; 8];
    cube[0] = 1.0;
    let x = Tensor::from_vec(cube, (1, 1, 2, 2, 2), &Device::Cpu)?;
    let taps = Tensor::arange(0f32, 27.0, &Device::Cpu)?.reshape((1, 1, 3, 3, 3))?;
    let bias = Tensor::new(&[100f32], &Device::Cpu)?;
    let out = conv3d(&x, &taps, Some(&bias))?.flatten_all()?.to_vec1::<f32>()?;
    assert_eq!(out, [113.0, 112.0, 110.0, 109.0, 104.0, 103.0, 101.0, 100.0]);
    Ok(())
}

#[test]
fn conv3d_equals_plain_loops() -> Result<()> {
    let (b, ci, co, n) = (2, 3, 2, [3, 4, 5]);
    let (x, w, bias) =
        (wave(&[b, ci, n[0], n[1], n[2]], 0.0), wave(&[co, ci, 3, 3, 3], 1.0), wave(&[co], 2.0));
    let out = conv3d(&x, &w, Some(&bias))?.flatten_all()?.to_vec1::<f64>()?;
    let (x, w) = (x.flatten_all()?.to_vec1::<f64>()?, w.flatten_all()?.to_vec1::<f64>()?);
    let bias = bias.to_vec1::<f64>()?;
    let at = |b: usize, c: usize, p: [usize; 3]| {
        // p counts from one cell outside the volume.
        let inside = (0..3).all(|a| (1..=n[a]).contains(&p[a]));
        if inside { x[(((b * ci + c) * n[0] + p[0] - 1) * n[1] + p[1] - 1) * n[2] + p[2] - 1] } else { 0.0 }
    };
    for (index, found) in out.iter().enumerate() {
        let v = [index / (n[1] * n[2]) % n[0], index / n[2] % n[1], index % n[2]];
        let (o, sample) = (index / (n[0] * n[1] * n[2]) % co, index / (n[0] * n[1] * n[2] * co));
        let mut expected = bias[o];
        for c in 0..ci {
            for t in 0..27 {
                let p = [v[0] + t / 9, v[1] + t / 3 % 3, v[2] + t % 3];
                expected += w[(o * ci + c) * 27 + t] * at(sample, c, p);
            }
        }
        assert!((found - expected).abs() < 1e-12, "voxel {index}: {found} instead of {expected}");
    }
    Ok(())
}

#[test]
#[allow(clippy::needless_range_loop, reason = "points are indexed as in the equation")]
fn attention_equals_plain_loops() -> Result<()> {
    let (b, heads, dim, points) = (2, 2, 3, 4);
    let qkv = wave(&[b, 3 * heads * dim, points], 0.0);
    let out = attention(&qkv, heads)?.to_vec3::<f64>()?;
    let qkv = qkv.to_vec3::<f64>()?;
    for (sample, head) in (0..b).flat_map(|s| (0..heads).map(move |h| (s, h))) {
        let row = |part: usize, c: usize| &qkv[sample][head * 3 * dim + part * dim + c];
        for t in 0..points {
            let score =
                |s: usize| (0..dim).map(|c| row(0, c)[t] * row(1, c)[s]).sum::<f64>() / (dim as f64).sqrt();
            let weights: Vec<f64> = (0..points).map(|s| score(s).exp()).collect();
            let total: f64 = weights.iter().sum();
            for c in 0..dim {
                let expected = (0..points).map(|s| weights[s] / total * row(2, c)[s]).sum::<f64>();
                assert!((out[sample][head * dim + c][t] - expected).abs() < 1e-12);
            }
        }
    }
    Ok(())
}

#[test]
fn group_norm_has_zero_mean_and_unit_variance_in_each_group() -> Result<()> {
    let x = (wave(&[2, 4, 3, 3, 3], 0.0) * 5.0)?.to_dtype(DType::F32)?;
    let (one, zero) =
        (Tensor::ones(4, DType::F32, &Device::Cpu)?, Tensor::zeros(4, DType::F32, &Device::Cpu)?);
    let out = group_norm(&x, 2, &one, &zero, None, Activation::Identity)?.reshape((4, 54))?;
    for group in out.to_vec2::<f32>()? {
        let mean = group.iter().sum::<f32>() / 54.0;
        let variance = group.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 54.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "mean {mean}, variance {variance}");
    }
    Ok(())
}

#[test]
fn pooling_undoes_upsampling() -> Result<()> {
    let x = wave(&[2, 3, 1, 2, 3], 0.0);
    let back = average_pool(&upsample_nearest(&x)?)?;
    let largest = (back - x)?.abs()?.max_all()?.to_scalar::<f64>()?;
    assert!(largest < 1e-14, "off by {largest}"); // a sum of eight equal numbers rounds
    Ok(())
}

#[test]
fn wrong_shapes_are_errors() {
    let x = wave(&[1, 2, 3, 4, 4], 0.0);
    assert!(average_pool(&x).is_err());
    assert!(conv3d(&x, &wave(&[1, 3, 3, 3, 3], 0.0), None).is_err());
    assert!(conv3d(&x, &wave(&[1, 2, 1, 1, 1], 0.0), None).is_err());
    assert!(conv1(&x, &wave(&[1, 3, 1, 1, 1], 0.0), None).is_err());
    let channel = wave(&[2], 0.0);
    assert!(group_norm(&x, 3, &channel, &channel, None, Activation::Identity).is_err());
    assert!(composed::attention(&wave(&[1, 8, 3], 0.0), 2).is_err());
}
