//! The solvers: each step is one linear update of a state of any shape.

mod heun;
mod multistep;
mod predictor_corrector;

pub(crate) use heun::Heun;
pub(crate) use multistep::{DpmSolverPlusPlus2M, Equation};
pub(crate) use predictor_corrector::PredictorCorrector;

use crate::{DiffusionError, KeyedNoise, Levels, Next, Solver};
use candle_core::Tensor;

/// Least variance of an ancestral step, as the reference clips it.
const VARIANCE_FLOOR: f64 = 1e-20;

/// next = clean · x̂₀ + state · x + noise · z.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Update {
    clean: f64,
    state: f64,
    noise: f64,
}

impl Update {
    /// Draws q(x' | x, x̂₀) from ᾱ = `a` to ᾱ' = `b`.
    ///
    /// # Source
    /// Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 6-7, with α_t = a / b for any pair of levels.
    fn ancestral(a: f64, b: f64) -> Self {
        let alpha = a / b;
        let beta = 1.0 - alpha;
        Self {
            clean: b.sqrt() * beta / (1.0 - a),
            state: alpha.sqrt() * (1.0 - b) / (1.0 - a),
            noise: (beta * (1.0 - b) / (1.0 - a)).max(VARIANCE_FLOOR).sqrt(),
        }
    }

    /// The implicit step from ᾱ = `a` to ᾱ' = `b`: eta = 0 is deterministic, eta = 1 the ancestral step. With
    /// the estimate of ε eliminated, so that nothing is divided by a small √(1 − ᾱ) in f32.
    ///
    /// # Source
    /// Song, Meng & Ermon 2020, arXiv:2010.02502, eq. 12 and 16.
    fn implicit(a: f64, b: f64, eta: f64) -> Self {
        let noise = eta * ((1.0 - b) / (1.0 - a) * (1.0 - a / b)).sqrt();
        let state = ((1.0 - b - noise * noise).max(0.0) / (1.0 - a)).sqrt();
        Self { clean: b.sqrt() - state * a.sqrt(), state, noise }
    }

    fn apply(
        self,
        state: &Tensor,
        clean: &Tensor,
        step: usize,
        noise: &KeyedNoise,
    ) -> Result<Tensor, DiffusionError> {
        let mean = (clean.affine(self.clean, 0.0)? + state.affine(self.state, 0.0)?)?;
        if self.noise == 0.0 {
            return Ok(mean);
        }
        Ok((mean + noise.step(step)?.affine(self.noise, 0.0)?)?)
    }
}

/// Ancestral sampling (DDPM) over any levels; the last step returns the estimate itself, without noise.
pub(crate) struct Ddpm {
    pub(crate) levels: Levels,
}

impl Solver for Ddpm {
    fn noise_levels(&self) -> &[f64] {
        self.levels.alpha_bars()
    }

    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        _: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        Ok(Next::new(match self.levels.pair(evaluation)? {
            (_, 1.0) => clean.clone(),
            (a, b) => Update::ancestral(a, b).apply(state, clean, evaluation, noise)?,
        }))
    }
}

/// Denoising diffusion implicit sampling.
pub(crate) struct Ddim {
    pub(crate) levels: Levels,
    pub(crate) eta: f64,
}

impl Solver for Ddim {
    fn noise_levels(&self) -> &[f64] {
        self.levels.alpha_bars()
    }

    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        _: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        Ok(Next::new(match self.levels.pair(evaluation)? {
            (_, 1.0) => clean.clone(),
            (a, b) => Update::implicit(a, b, self.eta).apply(state, clean, evaluation, noise)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_implicit_step_of_eta_one_is_the_ancestral_step(a in 1e-5f64..0.99, gap in 1e-3f64..0.999) {
            let b = a + (1.0 - a) * gap;
            let (implicit, ancestral) = (Update::implicit(a, b, 1.0), Update::ancestral(a, b));
            // Cancellation in 1 - b - noise^2 costs some digits of f64.
            prop_assert!((implicit.clean - ancestral.clean).abs() < 1e-9);
            prop_assert!((implicit.state - ancestral.state).abs() < 1e-9);
            prop_assert!((implicit.noise - ancestral.noise).abs() < 1e-12);
        }

        #[test]
        fn a_perfect_estimate_keeps_signal_and_noise_at_their_level(a in 1e-5f64..0.99, gap in 1e-3f64..0.999, eta in 0f64..1.0) {
            let b = a + (1.0 - a) * gap;
            let update = Update::implicit(a, b, eta);
            prop_assert!((update.clean + update.state * a.sqrt() - b.sqrt()).abs() < 1e-12);
            let variance = update.state.powi(2) * (1.0 - a) + update.noise.powi(2);
            prop_assert!((variance - (1.0 - b)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_reference_posterior_by_hand() {
        // Two steps, beta = 0.1 and 0.2: alpha_bar = 0.9 and 0.72.
        let update = Update::ancestral(0.72, 0.9);
        assert!((update.clean - 0.9f64.sqrt() * 0.2 / 0.28).abs() < 1e-12);
        assert!((update.state - 0.8f64.sqrt() * 0.1 / 0.28).abs() < 1e-12);
        assert!((update.noise.powi(2) - 0.2 * 0.1 / 0.28).abs() < 1e-12);
    }
}
