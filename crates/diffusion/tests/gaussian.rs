//! Samplers against data whose best denoiser has a closed form: independent voxels, each N(mean, deviation²).

#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

use candle_core::{DType, Device, Result, Tensor};
use finescale_diffusion::{
    Denoise, DiffusionError, KeyedNoise, Levels, LinearBetas, Next, Sampler, SamplingConfig, Schedule,
    Solver, WithKnown, distilled_clean, sigma_of_alpha_bar,
};

const MEAN: f64 = 0.3;
const DEVIATION: f64 = 0.5;
const CELLS: [usize; 3] = [32, 24, 40];

/// E[clean | noisy] of Gaussian data.
struct Gaussian {
    /// Of each voxel, or of all: it broadcasts.
    mean: Tensor,
}

impl Gaussian {
    fn data() -> Self {
        Self { mean: Tensor::full(MEAN as f32, (1, 1, 1, 1, 1), &Device::Cpu).unwrap() }
    }
}

impl Denoise for Gaussian {
    fn predict_clean(&self, noisy: &Tensor, _: &Tensor, noise_level: &Tensor) -> Result<Tensor> {
        let alpha_bar = f64::from(noise_level.to_vec1::<f32>()?[0]);
        let variance = DEVIATION * DEVIATION;
        let gain = alpha_bar.sqrt() * variance / (alpha_bar * variance + 1.0 - alpha_bar);
        noisy.affine(gain, 0.0)?.broadcast_add(&self.mean.affine(1.0 - gain * alpha_bar.sqrt(), 0.0)?)
    }
}

/// Remembers what it was first given to see; guesses 2 everywhere.
struct Watching(std::cell::RefCell<Vec<Tensor>>);

impl Denoise for Watching {
    fn predict_clean(&self, noisy: &Tensor, _: &Tensor, _: &Tensor) -> Result<Tensor> {
        self.0.borrow_mut().push(noisy.clone());
        noisy.zeros_like()
    }

    fn first_guess(&self, condition: &Tensor) -> Result<Option<Tensor>> {
        condition.ones_like()?.affine(2.0, 0.0).map(Some)
    }
}

#[test]
fn the_first_evaluation_sees_a_state_of_the_right_mean_and_variance() {
    let levels = Levels::log_uniform(3, 0.01, 1.5).unwrap();
    let alpha_bar = levels.alpha_bars()[0];
    let solver = Sampler::Ddim.solver(levels);
    let noise = KeyedNoise::new(5, CELLS, vec![[0; 3]], CELLS, &Device::Cpu).unwrap();
    let watching = Watching(std::cell::RefCell::default());
    let start = noise.start().unwrap();
    let condition = start.zeros_like().unwrap();
    let all = || Ok::<_, DiffusionError>(());
    solver.integrate(&watching, Next::noise(start), &condition, solver.steps(), &noise, all).unwrap();
    let (mean, variance) = moments(&watching.0.borrow()[0]);
    let (expected, error) = (1.0 - alpha_bar, 5.0 / (CELLS.iter().product::<usize>() as f64).sqrt());
    assert!((mean - 2.0 * alpha_bar.sqrt()).abs() < error * expected.sqrt(), "{mean}");
    assert!((variance / expected - 1.0).abs() < 2f64.sqrt() * error, "{variance} for {expected}");
}

/// One update after the network's estimate.
fn advance(solver: &Solver, denoiser: &dyn Denoise, at: &Next, step: usize, noise: &KeyedNoise) -> Next {
    let level = solver.noise_level(step, 1, &Device::Cpu).unwrap();
    let condition = at.state.zeros_like().unwrap();
    let clean = denoiser.predict_clean(&at.state, &condition, &level).unwrap();
    solver.step(&at.state, &clean, at.memory.as_ref(), step, noise).unwrap()
}

fn run(denoiser: &dyn Denoise, solver: &Solver, start: Tensor, noise: &KeyedNoise) -> Tensor {
    let condition = start.zeros_like().unwrap();
    let all = || Ok::<(), DiffusionError>(());
    solver.integrate(denoiser, Next::new(start), &condition, solver.steps(), noise, all).unwrap()
}

fn whole(seed: u64) -> KeyedNoise {
    KeyedNoise::new(seed, CELLS, vec![[0; 3]], CELLS, &Device::Cpu).unwrap()
}

fn sample(denoiser: &dyn Denoise, sampler: Sampler, levels: &Levels, seed: u64) -> Tensor {
    let noise = whole(seed);
    run(denoiser, &sampler.solver(levels.clone()), noise.start().unwrap(), &noise)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    flat(tensor).iter().map(|value| value.to_bits()).collect()
}

fn moments(state: &Tensor) -> (f64, f64) {
    let values = flat(state);
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

/// What a sample is made of, without sampling noise: its share of the data's mean, of the start, and of the noise of
/// each evaluation. All updates are linear for Gaussian data, so that "voxels" can hold the shares.
fn shares(sampler: Sampler, levels: &Levels) -> Vec<f64> {
    let solver = sampler.solver(levels.clone());
    let length = 2 + solver.steps();
    let unit = |index: usize| {
        let values: Vec<f32> = (0..length).map(|i| if i == index { 1.0 } else { 0.0 }).collect();
        Tensor::from_vec(values, (1, 1, 1, 1, length), &Device::Cpu).unwrap()
    };
    let noise = KeyedNoise::prescribed((2..length).map(unit).collect());
    let end = run(&Gaussian { mean: unit(0) }, &solver, unit(1), &noise);
    flat(&end).into_iter().map(f64::from).collect()
}

/// Share of the data's mean, and variance relative to the data's.
fn exact_moments(sampler: Sampler, levels: &Levels) -> (f64, f64) {
    let shares = shares(sampler, levels);
    (shares[0], shares[1..].iter().map(|share| share * share).sum::<f64>() / (DEVIATION * DEVIATION))
}

#[test]
fn the_start_has_the_mean_that_noise_alone_lacks() {
    // Noise of zero leaves the mean alone: sampling is linear.
    let solver = Sampler::DpmSolverPlusPlus2M.solver(Levels::log_uniform(40, 0.01, 5.0).unwrap());
    let noise = KeyedNoise::new(1, [2; 3], vec![[0; 3]], [2; 3], &Device::Cpu).unwrap();
    let zero = noise.start().unwrap().zeros_like().unwrap();
    let level = solver.noise_level(0, 1, &Device::Cpu).unwrap();
    let clean = Gaussian::data().predict_clean(&zero, &zero, &level).unwrap();
    let share = |start: Tensor| moments(&run(&Gaussian::data(), &solver, start, &noise)).0 / MEAN;
    // The loss is s / sqrt(sigma_max^2 + s^2) of the mean, and of the start's mean s^2 / (sigma_max^2 + s^2) are missing.
    let loss = DEVIATION / (25.0 + DEVIATION * DEVIATION).sqrt();
    let alone = share(zero.clone());
    assert!((alone - (1.0 - loss)).abs() < 0.1 * loss, "{alone}");
    let started = share(solver.start(&zero, &clean).unwrap());
    assert!((started - 1.0).abs() < 0.02 * loss, "{started}");
}

#[test]
fn every_sampler_has_the_mean_and_variance_of_its_equations() {
    // From the formulas of the papers as they stand there (DPM-Solver++ in lambda and h), propagated in f64 outside of
    // this crate.
    const F32: f64 = 3e-5; // hundreds of updates of order one
    let expected = [
        (Sampler::Ddpm, 200, 0.999961, -0.044198),
        (Sampler::Ddim, 200, 0.993821, -0.022595),
        (Sampler::DpmSolverPlusPlus2M, 20, 0.993672, 0.025342),
        (Sampler::DpmSolverPlusPlus2M, 60, 0.993742, 0.002590),
        (Sampler::SdeDpmSolverPlusPlus2M, 20, 0.999961, 0.060581),
        (Sampler::SdeDpmSolverPlusPlus2M, 60, 0.999961, 0.007206),
    ];
    for (sampler, steps, mean, error) in expected {
        let levels = Levels::log_uniform(steps, 0.01, 80.0).unwrap();
        let (found, variance) = exact_moments(sampler, &levels);
        assert!((found - mean).abs() < F32, "{sampler}: mean {found}, expected {mean}");
        assert!((variance - 1.0 - error).abs() < F32, "{sampler}: variance {variance}, error {error}");
    }
}

#[test]
fn the_default_comes_nearest_to_the_data() {
    let SamplingConfig { sampler, levels } = SamplingConfig::default();
    let error = |sampler| (exact_moments(sampler, &levels.levels().unwrap()).1 - 1.0).abs();
    assert!(Sampler::ALL.into_iter().all(|other| other == sampler || error(other) > error(sampler)));
}

#[test]
fn what_the_ends_of_the_levels_cost() {
    // Many steps: only the ends are left. The tolerances are a tenth of the effects and what 600 steps miss.
    let (deterministic, stochastic) = (Sampler::DpmSolverPlusPlus2M, Sampler::SdeDpmSolverPlusPlus2M);
    let levels = |least, most| Levels::log_uniform(600, least, most).unwrap();
    let (_, variance) = exact_moments(deterministic, &levels(0.05, 80.0));
    let lost = (0.05 / DEVIATION).powi(2);
    assert!((1.0 - variance - lost).abs() < 0.1 * lost, "{variance}");
    let (share, _) = exact_moments(deterministic, &levels(0.001, 20.0));
    let lost = DEVIATION / 20.0;
    assert!((1.0 - share - lost).abs() < 0.1 * lost, "{share}");
    let (share, _) = exact_moments(stochastic, &levels(0.001, 20.0));
    assert!((1.0 - share).abs() < 0.1 * lost, "{share}");
}

#[test]
fn samples_have_those_moments() {
    // Five standard errors of 30,720 voxels. What the samplers themselves miss in 100 steps is below `bias`.
    let n = CELLS.iter().product::<usize>() as f64;
    let check = |sampler, levels: &Levels, bias: f64| {
        let (share, variance) = exact_moments(sampler, levels);
        assert!(
            (share - 1.0).abs() < bias && (variance - 1.0).abs() < bias,
            "{sampler}: {share}, {variance}"
        );
        let (mean, sampled) = moments(&sample(&Gaussian::data(), sampler, levels, 1));
        assert!((mean - share * MEAN).abs() < 5.0 * DEVIATION / n.sqrt(), "{sampler}: mean {mean}");
        let ratio = sampled / (DEVIATION * DEVIATION) / variance;
        assert!((ratio - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{sampler}: variance ratio {ratio}");
    };
    let levels = Levels::log_uniform(100, 0.01, 80.0).unwrap();
    for sampler in Sampler::ALL {
        let first_order = matches!(sampler, Sampler::Ddpm | Sampler::Ddim);
        check(sampler, &levels, if first_order { 0.09 } else { 0.02 });
    }
    let schedule = Schedule::linear(&LinearBetas::default()).unwrap();
    check(Sampler::Ddpm, &Levels::from_schedule(&schedule), 0.008);
}

#[test]
fn orders_of_convergence() {
    // Within 2^(order ± 0.5) per halving of the step; sigma_max, sigma_min and f32 leave less than 2e-4.
    let error = |sampler, steps| {
        let levels = Levels::log_uniform(steps, 0.002, 80.0).unwrap();
        (exact_moments(sampler, &levels).1.sqrt() - 1.0).abs()
    };
    for (sampler, order) in [
        (Sampler::Ddpm, 1.0),
        (Sampler::Ddim, 1.0),
        (Sampler::DpmSolverPlusPlus2M, 2.0),
        (Sampler::SdeDpmSolverPlusPlus2M, 2.0),
    ] {
        for steps in [20, 40] {
            let found = (error(sampler, steps) / error(sampler, 2 * steps)).log2();
            assert!((found - order).abs() < 0.5, "{sampler}: order {found} from {steps} steps");
        }
    }
}

#[test]
fn a_distilled_estimate_takes_one_step_along_the_whole_path() {
    // The ODE of Gaussian data has a solution: y - mean goes as the root of deviation^2 + sigma^2.
    let levels = Levels::log_uniform(4, 0.02, 12.0).unwrap();
    let solver = Sampler::Ddim.solver(levels.clone());
    let spread = |sigma: f64| (DEVIATION * DEVIATION + sigma * sigma).sqrt();
    let noise = KeyedNoise::prescribed(Vec::new());
    let of = |y: f64, alpha_bar: f64| {
        Tensor::full((y * alpha_bar.sqrt()) as f32, (1, 1, 1, 1, 1), &Device::Cpu).unwrap()
    };
    for step in 0..3 {
        let [from, to] = [0, 1].map(|next| levels.alpha_bars()[step + next]);
        let y = MEAN + 1.3 * spread(sigma_of_alpha_bar(from));
        let expected = MEAN + 1.3 * spread(sigma_of_alpha_bar(to));
        let state = of(y, from);
        let reached = |clean: &Tensor| {
            let next = solver.step(&state, clean, None, step, &noise).unwrap().state;
            f64::from(flat(&next)[0]) / to.sqrt()
        };
        let level = solver.noise_level(step, 1, &Device::Cpu).unwrap();
        let plain = reached(&Gaussian::data().predict_clean(&state, &state, &level).unwrap());
        let lesson = reached(&distilled_clean(&Gaussian::data(), &state, &state, &levels, step).unwrap());
        let (lesson, plain) = ((lesson / expected - 1.0).abs(), (plain / expected - 1.0).abs());
        // Six evaluations of the teacher miss the path by less than 0.5 %, one by 3 to 27 %.
        assert!(lesson < 0.005 && plain > 0.02, "step {step}: {lesson} instead of {plain}");
    }
    // The last step is the teacher's own.
    let state = of(0.5, levels.alpha_bars()[3]);
    let level = solver.noise_level(3, 1, &Device::Cpu).unwrap();
    let own = Gaussian::data().predict_clean(&state, &state, &level).unwrap();
    let lesson = distilled_clean(&Gaussian::data(), &state, &state, &levels, 3).unwrap();
    assert_eq!(bits(&lesson), bits(&own));
    let beyond = distilled_clean(&Gaussian::data(), &state, &state, &levels, 4).unwrap_err();
    assert!(matches!(beyond, DiffusionError::Step { step: 4, levels: 4 }));
}

#[test]
fn only_stochastic_samplers_add_noise() {
    let levels = Levels::log_uniform(5, 0.01, 50.0).unwrap();
    // Steps that add noise; the last one never does.
    let noisy = |sampler| -> Vec<usize> {
        let shares = shares(sampler, &levels);
        (0..shares.len() - 2).filter(|step| shares[2 + step] != 0.0).collect()
    };
    for sampler in [Sampler::Ddim, Sampler::DpmSolverPlusPlus2M] {
        assert_eq!(noisy(sampler), [0; 0], "{sampler}");
    }
    for sampler in [Sampler::Ddpm, Sampler::SdeDpmSolverPlusPlus2M] {
        assert_eq!(noisy(sampler), [0, 1, 2, 3], "{sampler}");
    }
}

#[test]
fn a_seed_gives_the_same_sample_and_another_seed_another() {
    let levels = Levels::log_uniform(4, 0.01, 50.0).unwrap();
    for sampler in Sampler::ALL {
        let drawn = |seed| bits(&sample(&Gaussian::data(), sampler, &levels, seed));
        assert_eq!(drawn(3), drawn(3), "{sampler}");
        assert_ne!(drawn(3), drawn(4), "{sampler}");
    }
}

#[test]
fn slabs_make_the_whole_to_the_bit() {
    let levels = Levels::log_uniform(6, 0.01, 50.0).unwrap();
    let denoiser = Gaussian::data();
    for sampler in Sampler::ALL {
        let all = bits(&sample(&denoiser, sampler, &levels, 5));
        let mut parts = Vec::new();
        // Two slabs of unequal thickness, contiguous in the whole.
        for (start, thickness) in [(0, 20), (20, CELLS[0] - 20)] {
            let shape = [thickness, CELLS[1], CELLS[2]];
            let slab = vec![[start, 0, 0]];
            let noise = KeyedNoise::new(5, CELLS, slab, shape, &Device::Cpu).unwrap();
            let solver = sampler.solver(levels.clone());
            parts.extend(bits(&run(&denoiser, &solver, noise.start().unwrap(), &noise)));
        }
        assert!(parts == all, "{sampler}");
    }
}

#[test]
fn a_sample_stored_after_any_step_goes_on_with_the_same_bits() {
    let stored = |tensor: &Tensor| -> Tensor {
        let bytes: Vec<u8> = flat(tensor).iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::from_raw_buffer(&bytes, DType::F32, tensor.dims(), &Device::Cpu).unwrap()
    };
    let levels = Levels::log_uniform(5, 0.01, 50.0).unwrap();
    let denoiser = Gaussian::data();
    for sampler in Sampler::ALL {
        let mut at = Next::new(whole(8).start().unwrap());
        for step in 0..sampler.solver(levels.clone()).steps() {
            at = match &at.memory {
                Some(memory) => Next::after(stored(&at.state), stored(memory)),
                None => Next::new(stored(&at.state)),
            };
            // A new process: another solver, other noise of the same seed.
            at = advance(&sampler.solver(levels.clone()), &denoiser, &at, step, &whole(8));
        }
        assert!(bits(&at.state) == bits(&sample(&denoiser, sampler, &levels, 8)), "{sampler}");
    }
}

#[test]
fn a_second_order_step_needs_its_memory() {
    let levels = Levels::log_uniform(3, 0.1, 10.0).unwrap();
    let noise = whole(0);
    let state = noise.start().unwrap();
    let error =
        Sampler::DpmSolverPlusPlus2M.solver(levels).step(&state, &state, None, 1, &noise).unwrap_err();
    assert!(matches!(error, DiffusionError::Memory { step: 1 }));
}

#[test]
fn known_voxels_end_to_the_bit_and_the_others_do_not_see_the_hidden_truth() {
    let shape = (1, 1, CELLS[0], CELLS[1], CELLS[2]);
    let voxels = CELLS.iter().product::<usize>();
    let mask: Vec<f32> = (0..voxels).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let values: Vec<f32> =
        (0..voxels).map(|i| if i % 3 == 0 { (i as f32).sin() } else { f32::NAN }).collect();
    let mask_tensor = Tensor::from_slice(&mask, shape, &Device::Cpu).unwrap();
    let values_tensor = Tensor::from_slice(&values, shape, &Device::Cpu).unwrap();
    let denoiser = Gaussian::data();
    let known = WithKnown::new(&denoiser, &mask_tensor, &values_tensor).unwrap();
    let levels = Levels::log_uniform(8, 0.002, 80.0).unwrap();
    for sampler in Sampler::ALL {
        let end = flat(&sample(&known, sampler, &levels, 2));
        let free = flat(&sample(&denoiser, sampler, &levels, 2));
        for i in 0..voxels {
            let expected = if mask[i] == 0.0 { values[i] } else { free[i] };
            assert_eq!(end[i].to_bits(), expected.to_bits(), "{sampler}, voxel {i}");
        }
    }
}

#[test]
fn a_step_beyond_the_levels_is_an_error() {
    let levels = Levels::log_uniform(3, 0.1, 10.0).unwrap();
    let noise = KeyedNoise::new(0, [2; 3], vec![[0; 3]], [2; 3], &Device::Cpu).unwrap();
    let state = noise.start().unwrap();
    for sampler in Sampler::ALL {
        let solver = sampler.solver(levels.clone());
        let count = solver.steps();
        let beyond = |error| matches!(error, DiffusionError::Step { step, levels } if step == count && levels == count);
        assert!(beyond(solver.step(&state, &state, Some(&state), count, &noise).unwrap_err()), "{sampler}");
        assert!(beyond(solver.noise_level(count, 1, &Device::Cpu).unwrap_err()), "{sampler}");
        let told = solver.noise_level(1, 3, &Device::Cpu).unwrap();
        assert_eq!(told.to_vec1::<f32>().unwrap(), [levels.alpha_bars()[1] as f32; 3]);
    }
}
