//! Second order from two evaluations per step.

use super::Update;
use crate::{DiffusionError, KeyedNoise, Levels, Next, Solver, sigma_of_alpha_bar};
use candle_core::Tensor;
use std::f64::consts::SQRT_2;

/// Most by which churn raises sigma in one step, as a share of it: it doubles the variance of the noise.
const MOST_CHURN: f64 = SQRT_2 - 1.0;

/// Heun's trapezoidal step of the probability-flow ODE, dy / dσ = (y − D) / σ with y = x / √ᾱ: a first-order step
/// from σ̂ to σ', and a second evaluation there that corrects it. With D and D' the two estimates,
/// y' = y₁ + (σ̂ − σ') / 2σ' · (D' − D), where y₁ is the state of the first-order step: the only memory is D. The
/// last step, to the clean state, returns its first estimate, so that N steps take 2N − 1 evaluations.
///
/// Churn raises the noise of a state from σ to σ̂ = (1 + γ) σ before a step, γ = min(S_churn / N, √2 − 1), for all
/// levels (S_tmin = 0, S_tmax = ∞) and with S_noise = 1. Here it ends the update before, so that each evaluation
/// finds the state at its noise level. The first level has none: its state is noise alone, and stays within the
/// levels that were asked for.
///
/// # Source
/// Karras et al. 2022, arXiv:2206.00364, algorithm 1 (without churn, σ(t) = t, s(t) = 1) and 2.
pub(crate) struct Heun {
    /// ᾱ of σ̂ of the first step, then σ' of each step and σ̂ of the next one.
    evaluations: Vec<f64>,
}

impl Heun {
    pub(crate) fn new(levels: &Levels, churn: f64) -> Self {
        let alpha_bars = levels.alpha_bars();
        let gamma = (churn / alpha_bars.len() as f64).min(MOST_CHURN);
        let mut evaluations = vec![alpha_bars[0]];
        for &alpha_bar in &alpha_bars[1..] {
            evaluations.extend([alpha_bar, churned(alpha_bar, gamma)]);
        }
        Self { evaluations }
    }
}

/// ᾱ of (1 + `gamma`) sigma; of no churn, to the bit.
fn churned(alpha_bar: f64, gamma: f64) -> f64 {
    if gamma == 0.0 {
        return alpha_bar;
    }
    alpha_bar / (alpha_bar + (1.0 + gamma).powi(2) * (1.0 - alpha_bar))
}

impl Update {
    /// Corrects a first-order step from ᾱ = `a` to ᾱ' = `b`, then raises the noise to ᾱ'' = `c` <= `b`. Its clean
    /// estimate is the difference D' − D.
    fn trapezoidal(a: f64, b: f64, c: f64) -> Self {
        let share = (c / b).sqrt();
        let weight = 0.5 * (sigma_of_alpha_bar(a) / sigma_of_alpha_bar(b) - 1.0);
        Self { clean: share * b.sqrt() * weight, state: share, noise: (1.0 - c / b).sqrt() }
    }
}

impl Solver for Heun {
    fn noise_levels(&self) -> &[f64] {
        &self.evaluations
    }

    /// The memory is the first estimate of a step.
    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        memory: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        let levels = &self.evaluations;
        match (evaluation % 2, levels.get(evaluation), levels.get(evaluation + 1)) {
            (_, None, _) => Err(DiffusionError::Step { step: evaluation, levels: levels.len() }),
            (_, Some(_), None) => Ok(Next::new(clean.clone())),
            (0, Some(&a), Some(&b)) => {
                let state = Update::implicit(a, b, 0.0).apply(state, clean, evaluation, noise)?;
                Ok(Next { state, memory: Some(clean.clone()) })
            }
            (_, Some(&b), Some(&c)) => {
                let first = memory.ok_or(DiffusionError::Memory { evaluation })?;
                let update = Update::trapezoidal(levels[evaluation - 1], b, c);
                Ok(Next::new(update.apply(state, &(clean - first)?, evaluation, noise)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alpha_bar_of_sigma;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_stages_are_a_step_of_the_paper(
            sigma_hat in 1e-2f64..90.0, share in 0.05f64..0.95, gamma in 0f64..MOST_CHURN,
            y in -3f64..3.0, first in -3f64..3.0, second in -3f64..3.0, z in -3f64..3.0,
        ) {
            // Algorithm 2, lines 7-11, then lines 5-6 of the next step.
            let sigma = share * sigma_hat;
            let slope = (y - first) / sigma_hat;
            let euler = y + (sigma - sigma_hat) * slope;
            let slopes = 0.5 * slope + 0.5 * (euler - second) / sigma;
            let churn = (((1.0 + gamma) * sigma).powi(2) - sigma.powi(2)).sqrt();
            let literal = y + (sigma - sigma_hat) * slopes + churn * z;

            let (a, b) = (alpha_bar_of_sigma(sigma_hat), alpha_bar_of_sigma(sigma));
            let c = churned(b, gamma);
            let predict = Update::implicit(a, b, 0.0);
            let state = predict.clean * first + predict.state * a.sqrt() * y;
            let correct = Update::trapezoidal(a, b, c);
            let state = correct.clean * (second - first) + correct.state * state + correct.noise * z;
            prop_assert!((state / c.sqrt() - literal).abs() < 1e-9 * (1.0 + literal.abs()));
        }

        #[test]
        fn a_perfect_estimate_keeps_signal_and_noise_at_their_level(
            a in 1e-5f64..0.9, gap in 1e-3f64..0.999, gamma in 0f64..MOST_CHURN,
        ) {
            // The first stage is an implicit step, and D' − D = 0 in the second one.
            let b = a + (1.0 - a) * gap;
            let c = churned(b, gamma);
            prop_assert!((((1.0 - c) / c / ((1.0 - b) / b)).sqrt() - 1.0 - gamma).abs() < 1e-6);
            let update = Update::trapezoidal(a, b, c);
            prop_assert!((update.state * b.sqrt() - c.sqrt()).abs() < 1e-12);
            let variance = update.state.powi(2) * (1.0 - b) + update.noise.powi(2);
            prop_assert!((variance - (1.0 - c)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_evaluations_by_hand() {
        let levels = Levels::log_uniform(3, 0.01, 1.0).unwrap();
        let sigmas = |churn| -> Vec<f64> {
            Heun::new(&levels, churn).noise_levels().iter().map(|a| sigma_of_alpha_bar(*a)).collect()
        };
        // 0.6 / 3 steps is a fifth; 30 / 3 is too much.
        for (churn, raised) in [(0.0, 1.0), (0.6, 1.2), (30.0, SQRT_2)] {
            let expected = [1.0, 0.1, 0.1 * raised, 0.01, 0.01 * raised];
            for (found, expected) in sigmas(churn).iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-9, "{churn}: {found}");
            }
        }
        let plain = Heun::new(&levels, 0.0);
        assert_eq!(plain.evaluations[1].to_bits(), plain.evaluations[2].to_bits());
        assert_eq!(Heun::new(&Levels::new(vec![0.5]).unwrap(), 1.0).evaluations, [0.5]);
    }
}
