//! The kernels against the compositions of candle operations in f64, values and gradients.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::{DType, Device, Result, Tensor, Var};
use finescale_layers3d::{self as layers, Activation, composed};

/// f32 sums of up to 27 * 40 products, or of some thousand voxels in weight gradients.
const F32_REL: f64 = 3e-6;

/// Numbers in (-1, 1) that differ from element to element: the golden-ratio sequence.
fn numbers(shape: impl Into<candle_core::Shape>, start: f64) -> Tensor {
    let shape = shape.into();
    let values: Vec<f64> = (0..shape.elem_count())
        .map(|i| 2.0 * ((start + i as f64) * 0.618_033_988_749_895 + (i as f64 * 0.1).sin()).fract() - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn relative_error(found: &Tensor, exact: &Tensor) -> f64 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(found.to_dtype(DType::F64).unwrap() - exact).unwrap()) / norm(exact)
}

/// Applies `layer` to `arguments` in `dtype`; returns the output and the gradients of sum(output * numbers).
fn output_and_gradients(
    layer: impl Fn(&[Tensor]) -> Result<Tensor>,
    arguments: &[Tensor],
    dtype: DType,
) -> Result<Vec<Tensor>> {
    let vars = arguments.iter().map(|a| Var::from_tensor(&a.to_dtype(dtype)?)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let output = layer(&tensors)?;
    let weights = numbers(output.shape().clone(), 0.3).to_dtype(dtype)?;
    let gradients = (&output * weights)?.sum_all()?.backward()?;
    let by_argument = vars.iter().map(|v| gradients.get(v).expect("every argument has a gradient").clone());
    Ok(std::iter::once(output).chain(by_argument).collect())
}

fn check(
    fast: impl Fn(&[Tensor]) -> Result<Tensor>,
    exact: impl Fn(&[Tensor]) -> Result<Tensor>,
    arguments: &[Tensor],
    what: &str,
) {
    let found = output_and_gradients(fast, arguments, DType::F32).unwrap();
    let expected = output_and_gradients(exact, arguments, DType::F64).unwrap();
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = relative_error(found, expected);
        assert!(
            error < F32_REL,
            "{what}: {} off by {error:.1e}",
            if i == 0 { "output" } else { "a gradient" }
        );
    }
}

#[test]
fn convolution_at_odd_and_usual_shapes() {
    for (b, ci, co, n) in [
        (1, 1, 1, [1, 1, 1]),
        (2, 3, 5, [3, 5, 7]),
        (1, 13, 9, [2, 17, 4]),
        (3, 4, 24, [8, 8, 8]),
        (1, 40, 17, [5, 6, 33]),
        (2, 24, 24, [16, 4, 18]),
        (1, 8, 16, [4, 48, 48]),
    ] {
        let x = numbers((b, ci, n[0], n[1], n[2]), 0.1);
        let (weight, bias) = (numbers((co, ci, 3, 3, 3), 0.2), numbers(co, 0.7));
        check(
            |a| layers::conv3d(&a[0], &a[1], Some(&a[2])),
            |a| composed::conv3d(&a[0], &a[1], Some(&a[2])),
            &[x, weight, bias],
            &format!("conv3d {b} x {ci} -> {co} at {n:?}"),
        );
    }
}

#[test]
fn a_convolution_on_paper() {
    // One at the corner of a 2^3 volume, weights 0..27: output (x, y, z) takes the tap at (1 - x, 1 - y, 1 - z).
    let mut x = [0f32; 8];
    x[0] = 1.0;
    let x = Tensor::from_slice(&x, (1, 1, 2, 2, 2), &Device::Cpu).unwrap();
    let weight = Tensor::arange(0f32, 27.0, &Device::Cpu).unwrap().reshape((1, 1, 3, 3, 3)).unwrap();
    let output = layers::conv3d(&x, &weight, None).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(output, [13.0, 12.0, 10.0, 9.0, 4.0, 3.0, 1.0, 0.0]);
}

#[test]
fn group_norm_with_and_without_its_extras() {
    for (b, c, groups, n) in
        [(1, 4, 2, [2, 3, 5]), (2, 24, 8, [8, 8, 9]), (3, 6, 1, [4, 4, 4]), (2, 8, 8, [1, 7, 3])]
    {
        let x = numbers((b, c, n[0], n[1], n[2]), 0.1);
        let affine = [numbers(c, 0.5), numbers(c, 0.9), numbers((b, c), 0.3), numbers((b, c), 0.8)];
        let arguments = [std::slice::from_ref(&x), &affine].concat();
        for activation in [Activation::Identity, Activation::Silu] {
            check(
                |a| layers::group_norm(&a[0], groups, &a[1], &a[2], Some((&a[3], &a[4])), activation),
                |a| composed::group_norm(&a[0], groups, &a[1], &a[2], Some((&a[3], &a[4])), activation),
                &arguments,
                "scaled and shifted group norm",
            );
            check(
                |a| layers::group_norm(&a[0], groups, &a[1], &a[2], None, activation),
                |a| composed::group_norm(&a[0], groups, &a[1], &a[2], None, activation),
                &arguments[..3],
                "group norm",
            );
        }
    }
}

#[test]
fn changes_of_resolution() {
    let x = numbers((2, 3, 4, 6, 10), 0.4);
    check(
        |a| layers::average_pool(&a[0]),
        |a| composed::average_pool(&a[0]),
        std::slice::from_ref(&x),
        "pool",
    );
    check(|a| layers::upsample_nearest(&a[0]), |a| composed::upsample_nearest(&a[0]), &[x], "upsample");
}

#[test]
fn results_do_not_depend_on_threads_or_batch() {
    let run = |threads: usize, samples: std::ops::Range<usize>| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = numbers((3, 7, 9, 10, 11), 0.1).to_dtype(DType::F32).unwrap();
            let x = x.narrow(0, samples.start, samples.len()).unwrap();
            let (weight, bias) = (numbers((18, 7, 3, 3, 3), 0.2), numbers(18, 0.7));
            let layer = |a: &[Tensor]| {
                let y = layers::conv3d(&a[0], &a[1], Some(&a[2]))?;
                layers::group_norm(&y, 3, &a[2], &a[2], None, Activation::Silu)
            };
            let all = output_and_gradients(layer, &[x, weight, bias], DType::F32).unwrap();
            let bits = |t: &Tensor| {
                let values = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            all.iter().map(bits).collect()
        })
    };
    let one = run(1, 0..3);
    assert!(one == run(2, 0..3) && one == run(5, 0..3), "threads change bits");
    let voxels = 18 * 9 * 10 * 11;
    for sample in 0..3 {
        assert!(
            run(2, sample..sample + 1)[0] == one[0][sample * voxels..(sample + 1) * voxels],
            "batch changes bits"
        );
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = Tensor::zeros((1, 3, 4, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let weight = Tensor::zeros((2, 4, 3, 3, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(layers::conv3d(&x, &weight, None).unwrap_err().to_string().contains("3 input channels"));
    let ones = Tensor::ones(3, DType::F32, &Device::Cpu).unwrap();
    let error = layers::group_norm(&x, 2, &ones, &ones, None, Activation::Identity).unwrap_err();
    assert!(error.to_string().contains("3 channels do not divide into 2 groups"));
    assert!(
        layers::average_pool(&x.narrow(2, 0, 3).unwrap()).unwrap_err().to_string().contains("must be even")
    );
}
