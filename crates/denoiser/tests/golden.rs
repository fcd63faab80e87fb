//! Parity with the reference's network, loss, gradients and sampler, computed by its own PyTorch code (f32, CPU)
//! with formula-made weights; tests/golden/README.md tells what the files hold.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use candle_core::{DType, Device, Tensor, npy::NpzTensors};
use finescale_denoiser::{Denoiser, Mode, NetworkConfig, Parameters, Prediction, UNet, import_reference};
use finescale_diffusion::{Denoise, KeyedNoise, Known, Levels, LinearBetas, Sampler, Schedule, masked_loss};
use finescale_seed::{KeyedStream, Purpose};
use std::path::{Path, PathBuf};

/// Two f32 implementations that sum in different orders through twelve layers, or fifty steps.
const RELATIVE: f64 = 1e-4;
/// Some bias gradients are zero up to rounding: they are measured against the whole gradient.
const OF_WHOLE_GRADIENT: f64 = 1e-6;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(file)
}

fn config() -> NetworkConfig {
    NetworkConfig {
        base_channels: 32,
        channel_multipliers: vec![1, 2],
        residual_blocks: 1,
        head_channels: 32,
        norm_groups: 32,
        dropout: 0.0,
        fields: 1,
        condition_channels: 1,
        known_channels: false,
        baseline: false,
        prediction: Prediction::Epsilon,
    }
}

fn parameters() -> Parameters {
    import_reference(&golden("palette_small.pth"), &config(), &Device::Cpu).unwrap()
}

struct Arrays(NpzTensors);

impl Arrays {
    fn open() -> Self {
        Self(NpzTensors::new(golden("palette_small.npz")).unwrap())
    }

    fn get(&self, name: &str) -> Tensor {
        self.0.get(name).unwrap().unwrap_or_else(|| panic!("no array {name}"))
    }
}

fn norm(x: &Tensor) -> f64 {
    x.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    let error = norm(&(found - expected).unwrap()) / norm(expected);
    assert!(error < RELATIVE, "{what}: relative difference {error:.1e}");
}

#[test]
fn the_networks_output() {
    let (arrays, network) = (Arrays::open(), UNet::frozen(&config(), &parameters()).unwrap());
    let input = Tensor::cat(&[arrays.get("lr"), arrays.get("y0")], 1).unwrap();
    let output = network.forward(&input, &arrays.get("gamma"), Mode::Evaluate).unwrap();
    assert_close("output", &output, &arrays.get("denoiser_output"));
}

#[test]
fn loss_and_gradients() {
    let (arrays, parameters) = (Arrays::open(), parameters());
    let denoiser = Denoiser::new(&config(), &parameters, &[(-1.0, 1.0)]).unwrap();
    let [condition, clean, noise, alpha_bar, mask] =
        ["lr", "y0", "eps", "gamma", "mask"].map(|name| arrays.get(name));
    let column = alpha_bar.reshape((2, 1, 1, 1, 1)).unwrap();
    let signal = clean.broadcast_mul(&column.sqrt().unwrap()).unwrap();
    let noisy = (signal + noise.broadcast_mul(&(1.0 - column).unwrap().sqrt().unwrap()).unwrap()).unwrap();
    let noisy = Known::new(&mask, &clean).unwrap().hold(&noisy).unwrap();

    let mode = Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step: 0 };
    let residual = denoiser.residual(&clean, &noisy, &condition, &noise, &alpha_bar, mode).unwrap();
    let values = residual.values().unwrap();
    let zero = values.zeros_like().unwrap();
    // The reference divides by all voxels, ours by those to generate.
    let fractions = mask.mean_keepdim((1, 2, 3, 4)).unwrap();
    let weight = mask.ones_like().unwrap().broadcast_mul(&fractions).unwrap();
    let loss = masked_loss(&values, &zero, &mask, &weight).unwrap();
    let expected = arrays.get("loss").to_scalar::<f64>().unwrap();
    let found = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((found / expected - 1.0).abs() < RELATIVE, "loss {found} instead of {expected}");

    let json = std::fs::read_to_string(golden("palette_small.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let norms = json["grad_l2_norms"].as_object().unwrap();
    let whole = norms.values().map(|n| n.as_f64().unwrap().powi(2)).sum::<f64>().sqrt();
    assert_eq!(norms.len(), parameters.vars().count());
    let gradients = residual.backward(&loss).unwrap();
    let mut compared = 0;
    for (name, var) in parameters.vars() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("no gradient of {name}"));
        let expected_norm = norms[name].as_f64().unwrap();
        let allowed = RELATIVE * expected_norm + OF_WHOLE_GRADIENT * whole;
        let difference = match arrays.0.get(&format!("grad.{name}")).unwrap() {
            Some(expected) => {
                compared += 1;
                norm(&(gradient - expected).unwrap())
            }
            None => (norm(gradient) - expected_norm).abs(),
        };
        assert!(
            difference <= allowed,
            "gradient of {name}: differs by {difference:.1e}, allowed {allowed:.1e}"
        );
    }
    assert_eq!(compared, arrays.0.names().iter().filter(|name| name.starts_with("grad.")).count());
}

#[test]
fn ancestral_sampling() {
    const STEPS: usize = 50;
    let (arrays, parameters) = (Arrays::open(), parameters());
    let denoiser = Denoiser::new(&config(), &parameters, &[(-1.0, 1.0)]).unwrap();
    let betas = LinearBetas { beta_start: 1e-6, beta_end: 1e-2, steps: STEPS };
    let levels = Levels::from_schedule(&Schedule::linear(&betas).unwrap());
    // The reference counts its steps down: noise[t] belongs to our step 49 - t.
    let noise = arrays.get("noise");
    let noise = (0..STEPS).rev().map(|t| noise.get(t).unwrap()).collect();
    let noise = KeyedNoise::prescribed(noise);

    let known = Known::new(&arrays.get("mask"), &arrays.get("y0")).unwrap();
    let solver = Sampler::Ddpm.solver(levels);
    let mut state = arrays.get("y_T");
    for step in 0..STEPS {
        let level = solver.noise_level(step, 2, &Device::Cpu).unwrap();
        // Not through `known`: the reference's first evaluation sees y_T in the known voxels too.
        let clean = denoiser.predict_clean(&state, &arrays.get("lr"), &level).unwrap();
        state = known.hold(&solver.step(&state, &clean, None, step, &noise).unwrap().state).unwrap();
        let t = STEPS - 1 - step;
        if [49, 25, 0].contains(&t) {
            let name = format!("sample_after_t{t}");
            assert_close(&name, &state, &arrays.get(&name));
        }
    }
}
