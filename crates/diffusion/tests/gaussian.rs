//! Samplers against data whose best denoiser has a closed form: independent voxels, each N(mean, deviation²).

#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

use candle_core::{Device, Result, Tensor};
use finescale_diffusion::{
    Denoise, DiffusionError, KeyedNoise, Levels, LinearBetas, Next, Sampler, Schedule, WithKnown,
};

const MEAN: f64 = 0.3;
const DEVIATION: f64 = 0.5;
const CELLS: [usize; 3] = [32, 24, 40];

/// E[clean | noisy] of Gaussian data.
struct Gaussian;

impl Denoise for Gaussian {
    fn predict_clean(&self, noisy: &Tensor, _: &Tensor, noise_level: &Tensor) -> Result<Tensor> {
        let alpha_bar = f64::from(noise_level.to_vec1::<f32>()?[0]);
        let variance = DEVIATION * DEVIATION;
        let gain = alpha_bar.sqrt() * variance / (alpha_bar * variance + 1.0 - alpha_bar);
        noisy.affine(gain, MEAN - gain * alpha_bar.sqrt() * MEAN)
    }
}

fn sample(denoiser: &dyn Denoise, sampler: Sampler, levels: &Levels, seed: u64) -> Tensor {
    let noise = KeyedNoise::new(seed, CELLS, vec![[0; 3]], CELLS, &Device::Cpu).unwrap();
    let solver = sampler.solver(levels.clone());
    let mut at = Next::new(noise.start().unwrap());
    let condition = at.state.zeros_like().unwrap();
    for evaluation in 0..solver.noise_levels().len() {
        let level = solver.noise_level(evaluation, 1, &Device::Cpu).unwrap();
        let clean = denoiser.predict_clean(&at.state, &condition, &level).unwrap();
        at = solver.step(&at.state, &clean, at.memory.as_ref(), evaluation, &noise).unwrap();
    }
    at.state
}

fn moments(state: &Tensor) -> (f64, f64) {
    let values: Vec<f32> = state.flatten_all().unwrap().to_vec1().unwrap();
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

/// Checks mean and variance: five standard errors of 30,720 voxels, and `bias`, the sampler's own error.
fn check(sampler: Sampler, levels: &Levels, bias: f64) {
    let (mean, variance) = moments(&sample(&Gaussian, sampler, levels, 1));
    let n = CELLS.iter().product::<usize>() as f64;
    let ratio = variance / (DEVIATION * DEVIATION);
    assert!((mean - MEAN).abs() < 5.0 * DEVIATION / n.sqrt() + bias, "{sampler}: mean {mean}");
    assert!((ratio - 1.0).abs() < 5.0 * (2.0 / n).sqrt() + bias, "{sampler}: variance ratio {ratio}");
}

#[test]
fn every_sampler_has_the_mean_and_variance_of_the_data() {
    // The errors of the samplers themselves, from the closed form of the variance after each step: 2.5 % and 0.3 %
    // for the second-order solver in 20 and 60 steps; -2.3, -2.8 and -4.4 % for the others in 200; -0.8 % in 2000.
    let levels = |steps| Levels::log_uniform(steps, 0.01, 80.0).unwrap();
    check(Sampler::DpmSolverPlusPlus2M, &levels(20), 0.026);
    check(Sampler::DpmSolverPlusPlus2M, &levels(60), 0.003);
    check(Sampler::Ddim { eta: 0.0 }, &levels(200), 0.023);
    check(Sampler::Ddim { eta: 0.5 }, &levels(200), 0.028);
    check(Sampler::Ddpm, &levels(200), 0.045);
    check(Sampler::Ddpm, &Levels::of_schedule(&Schedule::linear(&LinearBetas::default()).unwrap()), 0.008);
}

/// Distance of the sampled deviation from the data's, without sampling noise: the deterministic samplers scale
/// their start, so the factor is that of a single start value.
fn deviation_error(sampler: Sampler, steps: usize) -> f64 {
    let (_, start) =
        moments(&KeyedNoise::new(1, CELLS, vec![[0; 3]], CELLS, &Device::Cpu).unwrap().start().unwrap());
    let levels = Levels::karras(steps, 0.002, 80.0).unwrap();
    let (_, variance) = moments(&sample(&Gaussian, sampler, &levels, 1));
    ((variance / start).sqrt() / DEVIATION - 1.0).abs()
}

#[test]
fn the_multistep_solver_is_of_second_order_and_ddim_of_first() {
    // Between 2^1.5 and 2^2.5 per halving of the step; sigma_max and f32 leave less than 1e-4.
    let multistep = |steps| deviation_error(Sampler::DpmSolverPlusPlus2M, steps);
    let ratio = multistep(20) / multistep(40);
    assert!((2.8..5.7).contains(&ratio), "{ratio}");
    let implicit = |steps| deviation_error(Sampler::Ddim { eta: 0.0 }, steps);
    let ratio = implicit(20) / implicit(40);
    assert!((1.7..2.4).contains(&ratio), "{ratio}");
}

#[test]
fn implicit_sampling_of_eta_one_is_ancestral_sampling() {
    let levels = Levels::karras(12, 0.01, 50.0).unwrap();
    let values = |sampler| -> Vec<f32> {
        sample(&Gaussian, sampler, &levels, 4).flatten_all().unwrap().to_vec1().unwrap()
    };
    for (a, b) in values(Sampler::Ddpm).iter().zip(values(Sampler::Ddim { eta: 1.0 })) {
        assert!((a - b).abs() < 1e-5); // f32, twelve steps of order one
    }
}

#[test]
fn known_voxels_end_to_the_bit_and_the_others_do_not_see_the_hidden_truth() {
    let flat = |t: &Tensor| -> Vec<f32> { t.flatten_all().unwrap().to_vec1().unwrap() };
    let shape = (1, 1, CELLS[0], CELLS[1], CELLS[2]);
    let voxels = CELLS.iter().product::<usize>();
    let mask: Vec<f32> = (0..voxels).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let values: Vec<f32> =
        (0..voxels).map(|i| if i % 3 == 0 { (i as f32).sin() } else { f32::NAN }).collect();
    let mask_tensor = Tensor::from_slice(&mask, shape, &Device::Cpu).unwrap();
    let values_tensor = Tensor::from_slice(&values, shape, &Device::Cpu).unwrap();
    let known = WithKnown::new(&Gaussian, &mask_tensor, &values_tensor).unwrap();
    let levels = Levels::karras(8, 0.002, 80.0).unwrap();
    for sampler in [Sampler::Ddpm, Sampler::Ddim { eta: 0.3 }, Sampler::DpmSolverPlusPlus2M] {
        let end = flat(&sample(&known, sampler, &levels, 2));
        let free = flat(&sample(&Gaussian, sampler, &levels, 2));
        for i in 0..voxels {
            let expected = if mask[i] == 0.0 { values[i] } else { free[i] };
            assert_eq!(end[i].to_bits(), expected.to_bits(), "{sampler}, voxel {i}");
        }
    }
}

#[test]
fn a_step_beyond_the_levels_is_an_error() {
    let levels = Levels::karras(3, 0.1, 10.0).unwrap();
    let noise = KeyedNoise::new(0, [2; 3], vec![[0; 3]], [2; 3], &Device::Cpu).unwrap();
    let state = noise.start().unwrap();
    for sampler in [Sampler::Ddpm, Sampler::Ddim { eta: 0.0 }, Sampler::DpmSolverPlusPlus2M] {
        let error = sampler.solver(levels.clone()).step(&state, &state, None, 3, &noise).unwrap_err();
        assert!(matches!(error, DiffusionError::Step { step: 3, levels: 3 }));
        let solver = sampler.solver(levels.clone());
        let told = solver.noise_level(1, 3, &Device::Cpu).unwrap();
        assert_eq!(told.to_vec1::<f32>().unwrap(), [levels.alpha_bars()[1] as f32; 3]);
        let error = solver.noise_level(3, 1, &Device::Cpu).unwrap_err();
        assert!(matches!(error, DiffusionError::Step { step: 3, levels: 3 }));
    }
}
