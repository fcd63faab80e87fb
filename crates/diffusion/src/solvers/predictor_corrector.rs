//! A step along the probability flow, then one of Langevin dynamics where it arrives.

use super::Update;
use crate::{DiffusionError, KeyedNoise, Levels, Next, Solver};
use candle_core::Tensor;

/// Predictor-corrector sampling: the predictor is the deterministic first-order step to the next level, the
/// corrector a step x ← x + ε s + √(2ε) z of Langevin dynamics at that level, with the score
/// s = (√ᾱ x̂₀ − x) / (1 − ᾱ) of a second evaluation. The last step, to the clean state, is not corrected, so that N
/// steps take 2N − 1 evaluations.
///
/// The paper's ε = 2 α (r ‖z‖ / ‖s‖)² depends on all voxels of a batch. Here the norms of n voxels are those expected
/// of noise, ‖z‖ = √n (as the paper suggests for small batches) and ‖s‖ = √n / √(1 − ᾱ), so that
/// ε = 2 r² (1 − ᾱ) for every voxel; α, nearly 1 between the paper's thousand levels, is left out.
///
/// # Source
/// Song et al. 2021, arXiv:2011.13456, algorithms 1, 3 and 5, with the probability flow as predictor (table 5).
pub(crate) struct PredictorCorrector {
    /// ᾱ of the first level, then of each further one twice: corrector, predictor.
    evaluations: Vec<f64>,
    snr: f64,
}

impl PredictorCorrector {
    pub(crate) fn new(levels: &Levels, snr: f64) -> Self {
        let alpha_bars = levels.alpha_bars();
        let twice = alpha_bars[1..].iter().flat_map(|&alpha_bar| [alpha_bar; 2]);
        Self { evaluations: [alpha_bars[0]].into_iter().chain(twice).collect(), snr }
    }
}

impl Update {
    /// A step of Langevin dynamics at ᾱ = `a`, of the signal-to-noise ratio r = `snr`. As any such step of finite size
    /// it leaves a little too much noise: of a perfect estimate 1 + 4 r⁴ times the level's variance.
    fn langevin(a: f64, snr: f64) -> Self {
        let pull = 2.0 * snr * snr; // epsilon / (1 - a)
        Self { clean: pull * a.sqrt(), state: 1.0 - pull, noise: 2.0 * snr * (1.0 - a).sqrt() }
    }
}

impl Solver for PredictorCorrector {
    fn noise_levels(&self) -> &[f64] {
        &self.evaluations
    }

    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        _: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        let levels = &self.evaluations;
        let update = match (evaluation % 2, levels.get(evaluation), levels.get(evaluation + 1)) {
            (_, None, _) => return Err(DiffusionError::Step { step: evaluation, levels: levels.len() }),
            (_, Some(_), None) => return Ok(Next::new(clean.clone())),
            (0, Some(&a), Some(&b)) => Update::implicit(a, b, 0.0),
            (_, Some(&a), Some(_)) => Update::langevin(a, self.snr),
        };
        Ok(Next::new(update.apply(state, clean, evaluation, noise)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_corrector_is_that_of_the_paper(
            a in 1e-5f64..0.9999, snr in 0.01f64..0.5, x in -3f64..3.0, clean in -3f64..3.0, z in -3f64..3.0,
        ) {
            let score = (a.sqrt() * clean - x) / (1.0 - a);
            let norms = (1.0 - a).sqrt();
            let epsilon = 2.0 * (snr * norms).powi(2);
            let literal = x + epsilon * score + (2.0 * epsilon).sqrt() * z;
            let update = Update::langevin(a, snr);
            let found = update.state * x + update.clean * clean + update.noise * z;
            prop_assert!((found - literal).abs() < 1e-12);
        }

        #[test]
        fn a_perfect_estimate_keeps_the_signal_and_the_noise_but_for_the_finite_step(
            a in 1e-5f64..0.9999, snr in 0.01f64..0.5,
        ) {
            let update = Update::langevin(a, snr);
            prop_assert!((update.clean + update.state * a.sqrt() - a.sqrt()).abs() < 1e-12);
            let variance = update.state.powi(2) * (1.0 - a) + update.noise.powi(2);
            prop_assert!((variance - (1.0 - a) * (1.0 + 4.0 * snr.powi(4))).abs() < 1e-12);
        }
    }

    #[test]
    fn the_evaluations_by_hand() {
        let solver = PredictorCorrector::new(&Levels::new(vec![0.1, 0.5, 0.8]).unwrap(), 0.16);
        assert_eq!(solver.noise_levels(), [0.1, 0.5, 0.5, 0.8, 0.8]);
    }
}
