//! What networks promise whatever their weights: shapes, reproducible bits, learning, refusals.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use candle_core::{Device, Tensor, Var};
use finescale_denoiser::{
    Denoiser, DenoiserError, Mode, NetworkConfig, Parameters, Prediction, UNet, import_reference,
};
use finescale_diffusion::{Denoise, WithKnown};
use finescale_seed::{KeyedStream, Purpose};
use std::path::Path;

fn tiny(prediction: Prediction) -> NetworkConfig {
    NetworkConfig {
        base_channels: 4,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        head_channels: 4,
        norm_groups: 2,
        dropout: 0.5,
        fields: 1,
        condition_channels: 1,
        known_channels: false,
        baseline: false,
        prediction,
    }
}

fn edm() -> NetworkConfig {
    tiny(Prediction::Edm { sigma_data: 0.5 })
}

/// Parameters without zeros, so that every layer matters.
fn parameters(config: &NetworkConfig) -> Parameters {
    let parameters = Parameters::init(config, 3, &Device::Cpu).unwrap();
    for (number, (_, var)) in parameters.vars().enumerate() {
        var.set(&(var.as_tensor() + noise(var.dims(), number as u32 + 100) * 0.1).unwrap()).unwrap();
    }
    parameters
}

fn noise(shape: &[usize], step: u32) -> Tensor {
    let mut values = vec![0f32; shape.iter().product()];
    KeyedStream::new(1, Purpose::Points).fill_normal(step, 0, &mut values);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn train(step: u32) -> Mode {
    Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step }
}

#[test]
fn a_fresh_network_answers_zero_and_an_edm_denoiser_the_scaled_input() {
    let config = edm();
    let parameters = Parameters::init(&config, 1, &Device::Cpu).unwrap();
    let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
    let noisy = noise(&[2, 1, 4, 8, 2], 0);
    let level = Tensor::new(&[0.5f32, 0.2], &Device::Cpu).unwrap();
    let clean = denoiser.predict_clean(&noisy, &noise(&[2, 1, 4, 8, 2], 1), &level).unwrap();
    assert_eq!(clean.dims(), noisy.dims());
    // The best linear estimate for data of variance 1/4: sd² √ᾱ / (1 - ᾱ + sd² ᾱ) times the noisy field.
    for (sample, a) in [0.5f32, 0.2].into_iter().enumerate() {
        let factor = 0.25 * a.sqrt() / (1.0 - a + 0.25 * a);
        let pairs = values(&clean.get(sample).unwrap()).into_iter().zip(values(&noisy.get(sample).unwrap()));
        assert!(pairs.into_iter().all(|(clean, noisy)| (clean - factor * noisy).abs() < 1e-6));
    }
}

#[test]
fn estimates_stay_in_their_range() {
    let config = edm();
    let parameters = parameters(&config);
    let denoiser = Denoiser::new(&config, &parameters, &[(-0.1, 0.2)]).unwrap();
    let level = Tensor::new(&[0.9f32], &Device::Cpu).unwrap();
    let (noisy, condition) = (noise(&[1, 1, 4, 4, 4], 0), noise(&[1, 1, 4, 4, 4], 1));
    let clean = values(&denoiser.predict_clean(&noisy, &condition, &level).unwrap());
    assert!(clean.iter().all(|v| (-0.1..=0.2).contains(v)) && clean.contains(&0.2) && clean.contains(&-0.1));
    let empty = Denoiser::new(&config, &parameters, &[(0.2, 0.2)]).unwrap_err();
    assert!(matches!(empty, DenoiserError::Setting { setting: "the clean ranges", .. }));
}

#[test]
fn a_sample_does_not_depend_on_its_batch() {
    let config = edm();
    let network = UNet::frozen(&config, &parameters(&config)).unwrap();
    let (input, level) = (noise(&[3, 2, 8, 4, 4], 0), noise(&[3], 1));
    let together = network.forward(&input, &level, Mode::Evaluate).unwrap();
    for sample in 0..3 {
        let (input, level) = (input.narrow(0, sample, 1).unwrap(), level.narrow(0, sample, 1).unwrap());
        let alone = values(&network.forward(&input, &level, Mode::Evaluate).unwrap());
        assert!(alone == values(&together.get(sample).unwrap()), "sample {sample}");
    }
}

#[test]
fn evaluation_has_the_same_bits_again_and_training_drops_by_step() {
    let config = edm();
    let network = UNet::new(&config, &parameters(&config)).unwrap();
    let (input, level) = (noise(&[1, 2, 4, 4, 4], 0), noise(&[1], 1));
    let output = |mode| values(&network.forward(&input, &level, mode).unwrap());
    assert_eq!(output(Mode::Evaluate), output(Mode::Evaluate));
    assert_eq!(output(train(1)), output(train(1)));
    assert_ne!(output(train(1)), output(train(2)));
    assert_ne!(output(train(1)), output(Mode::Evaluate));
}

#[test]
fn gradients_follow_finite_differences() {
    // f32 noise of the loss over the step, and the step squared.
    const TOLERANCE: f32 = 2e-2;
    for prediction in [Prediction::Epsilon, Prediction::Edm { sigma_data: 0.5 }] {
        let config = tiny(prediction);
        let parameters = parameters(&config);
        let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
        let shape = [2, 1, 4, 4, 4];
        let [clean, noisy, condition, eps] = [0, 1, 2, 3].map(|step| noise(&shape, step));
        let level = Tensor::new(&[0.5f32, 0.2], &Device::Cpu).unwrap();
        let loss = || {
            let residual = denoiser.residual(&clean, &noisy, &condition, &eps, &level, train(7)).unwrap();
            (residual.values().unwrap().sqr().unwrap().mean_all().unwrap(), residual)
        };
        let (value, residual) = loss();
        let gradients = residual.backward(&value).unwrap();
        let along = |var: &Var| -> f32 {
            // Along the gradient itself the slope is its norm.
            let gradient = gradients.get(var).expect("every parameter matters");
            let norm = gradient.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
            let start = var.as_tensor().copy().unwrap();
            let step = 1e-2 / norm.max(1e-3);
            let at = |sign: f32| {
                let moved = (&start + gradient.affine(f64::from(sign * step), 0.0).unwrap()).unwrap();
                var.set(&moved).unwrap();
                loss().0.to_scalar::<f32>().unwrap()
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * step * norm.max(1e-12));
            var.set(&start).unwrap();
            slope - norm
        };
        for (name, var) in parameters.vars() {
            let error = along(var);
            assert!(error.abs() < TOLERANCE, "{prediction:?}, {name}: slope off by {error}");
        }
    }
}

#[test]
fn checkpointing_changes_no_gradient() {
    let config = edm();
    let parameters = parameters(&config);
    let gradients = |checkpointing| {
        let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
        let denoiser = denoiser.with_checkpointing(checkpointing);
        let [clean, noisy, condition, eps] = [0, 1, 2, 3].map(|step| noise(&[2, 1, 4, 4, 4], step));
        let level = Tensor::new(&[0.5f32, 0.2], &Device::Cpu).unwrap();
        let residual = denoiser.residual(&clean, &noisy, &condition, &eps, &level, train(7)).unwrap();
        let loss = residual.values().unwrap().sqr().unwrap().mean_all().unwrap();
        let store = residual.backward(&loss).unwrap();
        parameters.vars().flat_map(|(_, var)| values(store.get(var).unwrap())).collect::<Vec<f32>>()
    };
    let (kept, again) = (gradients(false), gradients(true));
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
    let difference = norm(&mut kept.iter().zip(&again).map(|(a, b)| a - b));
    // Gradients that meet in one place add up in another order.
    assert!(difference < 1e-6 * norm(&mut kept.iter().copied()), "{difference}");
}

#[test]
fn a_denoiser_follows_its_parameters() {
    let config = edm();
    let parameters = parameters(&config);
    let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
    let (noisy, level) = (noise(&[1, 1, 4, 4, 4], 0), Tensor::new(&[0.5f32], &Device::Cpu).unwrap());
    let estimate = || values(&denoiser.predict_clean(&noisy, &noisy, &level).unwrap());
    let before = estimate();
    let bias = parameters.get("out.2.bias").unwrap();
    bias.set(&(bias.as_tensor() + 0.1).unwrap()).unwrap();
    assert_ne!(before, estimate());
}

#[test]
fn known_voxels_reach_the_network_as_two_channels() {
    let config = NetworkConfig { known_channels: true, ..edm() };
    let parameters = parameters(&config);
    let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
    let shape = [1, 1, 4, 4, 4];
    let (noisy, condition) = (noise(&shape, 0), noise(&shape, 1));
    let level = Tensor::new(&[0.5f32], &Device::Cpu).unwrap();
    let error = denoiser.predict_clean(&noisy, &condition, &level).unwrap_err();
    assert!(error.to_string().contains("the condition has 1 channels, this network takes 3"), "{error}");
    let mask = Tensor::ones(&shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let known = WithKnown::new(&denoiser, &mask, &noisy).unwrap();
    assert_eq!(known.predict_clean(&noisy, &condition, &level).unwrap().dims(), shape);
}

#[test]
fn several_fields_have_their_ranges_known_values_and_baselines() {
    // A fresh network returns the baseline and a share of what is left of the noisy field, each field its own.
    let config =
        NetworkConfig { fields: 2, known_channels: true, baseline: true, condition_channels: 3, ..edm() };
    let parameters = Parameters::init(&config, 1, &Device::Cpu).unwrap();
    let denoiser = Denoiser::new(&config, &parameters, &[(-9.0, 9.0), (-0.1, 0.2)]).unwrap();
    let one_range = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap_err();
    assert!(matches!(one_range, DenoiserError::Setting { setting: "the clean ranges", .. }));
    let (shape, a) = ([1, 2, 4, 4, 4], 0.5f32);
    let [noisy, baseline] = [0, 1].map(|i| noise(&shape, i));
    let condition = Tensor::cat(&[&noise(&[1, 1, 4, 4, 4], 2), &baseline], 1).unwrap();
    let mask = Tensor::ones(&[1, 1, 4, 4, 4], candle_core::DType::F32, &Device::Cpu).unwrap();
    let known = WithKnown::new(&denoiser, &mask, &noisy).unwrap();
    let clean = known.predict_clean(&noisy, &condition, &Tensor::new(&[a], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(clean.dims(), shape);
    let factor = 0.25 * a.sqrt() / (1.0 - a + 0.25 * a);
    let (clean, noisy, baseline) = (values(&clean), values(&noisy), values(&baseline));
    for (i, clean) in clean.iter().enumerate() {
        let expected = baseline[i] + factor * (noisy[i] - a.sqrt() * baseline[i]);
        let expected = if i < 64 { expected } else { expected.clamp(-0.1, 0.2) };
        assert!((clean - expected).abs() < 1e-5, "{i}: {clean} instead of {expected}");
    }
}

#[test]
fn a_baseline_is_taken_off_and_put_back() {
    // What a network without a baseline makes of fields from which the last condition channel was taken.
    let config = NetworkConfig { known_channels: true, condition_channels: 2, ..edm() };
    let parameters = parameters(&config);
    let alone = Denoiser::new(&config, &parameters, &[(-9.0, 9.0)]).unwrap();
    let relative = NetworkConfig { baseline: true, ..config };
    let relative = Denoiser::new(&relative, &parameters, &[(-9.0, 9.0)]).unwrap();

    let a = 0.3f32;
    let level = Tensor::new(&[a], &Device::Cpu).unwrap();
    let [clean, noisy, density, baseline, held] = [0, 1, 2, 3, 4].map(|i| noise(&[1, 1, 4, 4, 4], i));
    let known = noise(&[1, 1, 4, 4, 4], 5).ge(0.5).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let off = |field: &Tensor, share: f32| (field - (&baseline * f64::from(share)).unwrap()).unwrap();
    let condition =
        |held: &Tensor| Tensor::cat(&[&density, &baseline, &known, &(held * &known).unwrap()], 1).unwrap();
    let found = relative.predict_clean(&noisy, &condition(&held), &level).unwrap();
    let expected = alone.predict_clean(&off(&noisy, a.sqrt()), &condition(&off(&held, 1.0)), &level).unwrap();
    for (found, expected) in values(&off(&found, 1.0)).iter().zip(values(&expected)) {
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }

    // The estimate's error is the residual times the noise's share of it (Karras et al., table 1).
    let epsilon = noise(&[1, 1, 4, 4, 4], 6);
    let noisy = ((&clean * f64::from(a.sqrt())).unwrap() + (&epsilon * f64::from((1.0 - a).sqrt())).unwrap())
        .unwrap();
    let alpha_bar = level.to_dtype(candle_core::DType::F64).unwrap();
    let condition = condition(&held);
    let residual =
        relative.residual(&clean, &noisy, &condition, &epsilon, &alpha_bar, Mode::Evaluate).unwrap();
    let estimate = relative.predict_clean(&noisy, &condition, &level).unwrap();
    let output = (1.0 - a).sqrt() * 0.5 / (1.0 - a + 0.25 * a).sqrt();
    let claimed = values(&relative.clean_error(&residual.values().unwrap(), &alpha_bar).unwrap());
    let residual = values(&residual.values().unwrap());
    for ((residual, claimed), error) in residual.iter().zip(claimed).zip(values(&(estimate - clean).unwrap()))
    {
        assert!((residual * output - error).abs() < 1e-5, "{residual} {error}");
        assert!((claimed - error).abs() < 1e-5, "{claimed} {error}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let config = edm();
    let network = UNet::frozen(&config, &parameters(&config)).unwrap();
    let level = Tensor::new(&[0.5f32], &Device::Cpu).unwrap();
    let refused =
        |shape: &[usize]| network.forward(&noise(shape, 0), &level, Mode::Evaluate).unwrap_err().to_string();
    assert!(refused(&[1, 3, 4, 4, 4]).contains("network input has 3 channels"));
    assert!(
        refused(&[1, 2, 4, 3, 4])
            .contains("a patch of 3 cells does not fit this U-Net: need a multiple of 2")
    );
    let denoiser = Denoiser::new(&config, &parameters(&config), &[(-1.0, 1.0)]).unwrap();
    let patch = noise(&[1, 1, 4, 4, 4], 0);
    for found in [0f32, 1.0, f32::NAN] {
        let level = Tensor::new(&[found], &Device::Cpu).unwrap();
        let error = denoiser.predict_clean(&patch, &patch, &level).unwrap_err();
        assert!(error.to_string().contains("alpha-bar must lie between 0 and 1"), "{error}");
    }
}

#[test]
fn another_networks_parameters_are_refused() {
    let small = parameters(&NetworkConfig { channel_multipliers: vec![1], ..edm() });
    let error = UNet::new(&edm(), &small).unwrap_err();
    assert!(matches!(error, DenoiserError::MissingParameter { .. }), "{error}");
}

#[test]
fn files_that_hold_no_such_network_are_named() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/palette_small.pth");
    let folder = tempfile::tempdir().unwrap();
    let config =
        NetworkConfig { base_channels: 32, head_channels: 32, norm_groups: 32, ..tiny(Prediction::Epsilon) };
    let refused = |path: &Path, config: &NetworkConfig| match import_reference(path, config, &Device::Cpu) {
        Err(error @ DenoiserError::File { .. }) => {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            match error {
                DenoiserError::File { source, .. } => *source,
                other => other,
            }
        }
        other => panic!("{other:?}"),
    };

    // Another network than the file's.
    let deeper = NetworkConfig { residual_blocks: 2, ..config.clone() };
    assert!(matches!(refused(&golden, &deeper), DenoiserError::ParameterShape { .. }));
    let shallower = NetworkConfig { channel_multipliers: vec![1], ..config.clone() };
    assert!(matches!(
        refused(&golden, &shallower),
        DenoiserError::ParameterShape { .. } | DenoiserError::ExtraParameter { .. }
    ));
    let wider = NetworkConfig { base_channels: 64, ..config.clone() };
    assert!(matches!(refused(&golden, &wider), DenoiserError::ParameterShape { .. }));

    // A zip file without a network.
    let zip = folder.path().join("zip.pth");
    Tensor::write_npz(&[("field", noise(&[2], 0))], &zip).unwrap();
    assert!(matches!(refused(&zip, &config), DenoiserError::NotAReference));

    // Cut short, another thing, or nothing at all.
    let bytes = std::fs::read(&golden).unwrap();
    let (cut, text) = (folder.path().join("cut.pth"), folder.path().join("text.pth"));
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(&text, "not a network").unwrap();
    for path in [&cut, &text] {
        assert!(matches!(refused(path, &config), DenoiserError::Checkpoint { .. }));
    }
    assert!(matches!(refused(&folder.path().join("missing.pth"), &config), DenoiserError::Io(_)));
}
