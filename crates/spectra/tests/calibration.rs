//! Samples whose exact conditional distribution is known: a truth 1 + c + n, c the condition and n noise
//! independent of it, and samples 1 + c + α n' with noise of their own. α = 1 draws from the truth's own
//! distribution.

mod support;

use finescale_field::{Field3, Grid};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{Bands, Calibration, EnsemblePower, Modes, RankHistogram, fair_crps, rank_histogram};
use std::f64::consts::PI;
use support::{gaussian, white};

const SAMPLES: usize = 8;
/// Standard deviations of the condition and of the noise.
const CONDITION: f32 = 0.12;
const NOISE: f32 = 0.3;
const UNDER: f32 = 0.7;
const OVER: f32 = 1.4;
/// χ² of 8 degrees of freedom that one in 10,000 exceeds.
const CHI2_LIMIT: f64 = 31.8;

fn grid() -> Grid {
    Grid::cube(40, 60.0).expect("cells and a size")
}

/// Noise that is white, or correlates over a voxel (1.5 Mpc/h).
#[derive(Clone, Copy)]
enum Colour {
    White,
    Red,
}

fn noise(colour: Colour, seed: u64) -> Field3 {
    match colour {
        Colour::White => white(grid(), seed),
        Colour::Red => gaussian(grid(), 1.5, seed),
    }
}

fn sum(parts: &[(f32, &Field3)]) -> Field3 {
    let mut total = Field3::zeros(grid()).map(|_| 1.0);
    for (weight, part) in parts {
        total
            .as_slice_mut()
            .iter_mut()
            .zip(part.as_slice())
            .for_each(|(total, part)| *total += weight * part);
    }
    total
}

struct Sandbox {
    condition: Field3,
    truth: Field3,
    noises: Vec<Field3>,
}

impl Sandbox {
    fn new(colour: Colour, seed: u64) -> Self {
        let condition = gaussian(grid(), 4.0, 100 * seed);
        let truth = sum(&[(CONDITION, &condition), (NOISE, &noise(colour, 100 * seed + 1))]);
        let noises = (0..SAMPLES as u64).map(|i| noise(colour, 100 * seed + 2 + i)).collect();
        Self { condition, truth, noises }
    }

    fn draws(&self, dispersion: f32) -> Vec<Field3> {
        let draw = |noise| sum(&[(CONDITION, &self.condition), (dispersion * NOISE, noise)]);
        self.noises.iter().map(draw).collect()
    }

    fn calibration(&self, samples: &[Field3]) -> Calibration {
        // Up to 0.6 h/Mpc the condition has at least a fourth of the power.
        let bands = Bands::logarithmic(0.13, 0.6, 3).expect("a rising interval");
        let modes = |field| Modes::new(field, None).expect("a sound field");
        let samples: Vec<_> = samples.iter().map(modes).collect();
        let samples: Vec<_> = samples.iter().collect();
        EnsemblePower::new(&modes(&self.truth), &samples, &bands).expect("one grid").calibration()
    }

    fn ranks(&self, samples: &[Field3], stride: usize) -> RankHistogram {
        let samples: Vec<_> = samples.iter().collect();
        rank_histogram(&self.truth, &samples, 1, stride, KeyedStream::new(9, Purpose::Validation))
            .expect("sound fields")
    }
}

#[test]
fn exact_draws_have_the_cross_power_of_the_truth() {
    for seed in 1..=6 {
        let sandbox = Sandbox::new(Colour::White, seed);
        let found = sandbox.calibration(&sandbox.draws(1.0));
        for (ratio, error) in found.pair_ratio.iter().zip(&found.pair_ratio_error) {
            assert!((ratio - 1.0).abs() < 4.0 * error && *error < 0.2, "{ratio} ± {error}");
        }
    }
}

#[test]
fn samples_that_share_an_error_or_damp_the_condition_have_not() {
    for seed in 1..=3 {
        let sandbox = Sandbox::new(Colour::White, seed);
        let shared = noise(Colour::White, 7000 + seed);
        // Nine tenths of each sample's noise variance are common to all and unknown to the truth.
        let (common, own) = (NOISE * 0.9f32.sqrt(), NOISE * 0.1f32.sqrt());
        let overconfident: Vec<_> = (sandbox.noises.iter())
            .map(|noise| sum(&[(CONDITION, &sandbox.condition), (common, &shared), (own, noise)]))
            .collect();
        let damped: Vec<_> = (sandbox.noises.iter())
            .map(|noise| sum(&[(0.8 * CONDITION, &sandbox.condition), (NOISE, noise)]))
            .collect();
        let (high, low) = (sandbox.calibration(&overconfident), sandbox.calibration(&damped));
        let last = high.pair_ratio.len() - 1;
        assert!(high.pair_ratio[last] > 1.0 + 5.0 * high.pair_ratio_error[last], "{high:?}");
        // 0.64 P over 0.8 P.
        for (ratio, error) in low.pair_ratio.iter().zip(&low.pair_ratio_error) {
            assert!((ratio - 0.8).abs() < 4.0 * error, "{ratio} ± {error}");
        }
        assert!(low.pair_ratio[0] < 1.0 - 4.0 * low.pair_ratio_error[0], "{low:?}");
    }
}

#[test]
fn spread_over_error_is_one_only_for_the_right_dispersion() {
    for (colour, seed) in [(Colour::White, 1), (Colour::Red, 2), (Colour::Red, 3)] {
        let sandbox = Sandbox::new(colour, seed);
        for dispersion in [1.0, UNDER, OVER] {
            let found = sandbox.calibration(&sandbox.draws(dispersion));
            // Spread² = α² σ², error² = σ² (1 + α²/M).
            let (alpha2, count) = (f64::from(dispersion).powi(2), SAMPLES as f64);
            let expected = ((count + 1.0) / count * alpha2 / (1.0 + alpha2 / count)).sqrt();
            for (ratio, &modes) in found.spread_over_error.iter().zip(&found.modes) {
                // The error of m modes scatters by 1/√m in the square, the spread by 1/√((M − 1) m).
                let scatter = 0.5 * ((1.0 + 1.0 / (count - 1.0)) / modes as f64).sqrt();
                assert!((ratio / expected - 1.0).abs() < 4.0 * scatter, "{ratio} for {expected}");
                let passes = (ratio - 1.0).abs() < 4.0 * scatter;
                assert!(passes == (dispersion == 1.0) || modes < 100, "{dispersion}: {ratio}");
            }
        }
    }
}

#[test]
fn ranks_are_flat_only_for_the_right_dispersion() {
    // Red noise correlates by exp(−r²/4) of r voxels: at 4 it is independent.
    for (colour, stride, seed) in
        [(Colour::White, 1, 1), (Colour::White, 2, 2), (Colour::Red, 4, 3), (Colour::Red, 4, 4)]
    {
        let sandbox = Sandbox::new(colour, seed);
        let [exact, under, over] =
            [1.0, UNDER, OVER].map(|alpha| sandbox.ranks(&sandbox.draws(alpha), stride));
        assert_eq!(exact.degrees_of_freedom(), SAMPLES);
        assert_eq!(exact.counts.iter().sum::<u64>() as usize, (40 / stride).pow(3));
        assert!(exact.chi_square() < CHI2_LIMIT, "{exact:?}");
        assert!(under.chi_square() > CHI2_LIMIT && over.chi_square() > CHI2_LIMIT, "{under:?} {over:?}");
        // Too narrow: the truth lies outside of them all; too wide: in their middle.
        assert!(under.counts[0] > under.counts[4] && under.counts[8] > under.counts[4], "{under:?}");
        assert!(over.counts[0] < over.counts[4] && over.counts[8] < over.counts[4], "{over:?}");
    }
}

#[test]
fn the_fair_score_is_that_of_normal_variables_and_lowest_for_exact_draws() {
    let sandbox = Sandbox::new(Colour::White, 1);
    for block in [1, 4] {
        let deviation = f64::from(NOISE) / (block as f64).powf(1.5);
        let blocks = (40.0 / block as f64).powi(3);
        let mut exact = 0.0;
        for dispersion in [1.0, UNDER, OVER] {
            let samples = sandbox.draws(dispersion);
            let samples: Vec<_> = samples.iter().collect();
            let found = fair_crps(&sandbox.truth, &samples, block).unwrap();
            // E|x − y| − E|x − x'| / 2 of normal variables of deviations α and 1.
            let alpha = f64::from(dispersion);
            let expected = deviation * ((2.0 / PI * (1.0 + alpha * alpha)).sqrt() - alpha / PI.sqrt());
            assert!((found / expected - 1.0).abs() < 4.0 / blocks.sqrt(), "{found} for {expected}");
            if dispersion == 1.0 {
                exact = found;
            }
            assert!(dispersion == 1.0 || found > exact || block > 1, "{found} against {exact}");
            // M does not matter.
            let fewer = fair_crps(&sandbox.truth, &samples[..3], block).unwrap();
            assert!((fewer / expected - 1.0).abs() < 4.0 / blocks.sqrt(), "{fewer} for {expected}");
        }
    }
}

#[test]
fn calibration_does_not_depend_on_threads() {
    let sandbox = Sandbox::new(Colour::Red, 5);
    let samples = sandbox.draws(1.0);
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let references: Vec<_> = samples.iter().collect();
        pool.install(|| (sandbox.calibration(&samples), fair_crps(&sandbox.truth, &references, 2).unwrap()))
    };
    assert_eq!(with_threads(1), with_threads(4));
}
