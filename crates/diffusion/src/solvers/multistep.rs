//! Second order from the estimates of two evaluations, one new one per step.

use super::Update;
use crate::{DiffusionError, KeyedNoise, Levels, Next, Solver};
use candle_core::Tensor;

/// DPM-Solver++(2M): the deterministic step of an estimate extrapolated from the last two; first order at the
/// first step, which has no history, and at the last one, which returns the estimate itself.
///
/// # Source
/// Lu et al. 2022, arXiv:2211.01095, algorithm 2.
pub(crate) struct DpmSolverPlusPlus2M {
    pub(crate) levels: Levels,
}

impl DpmSolverPlusPlus2M {
    /// D = (1 + 1 / 2r) x̂₀ − 1 / 2r · x̂₀(last), with r the ratio of the last and this step's size in λ = ln(√ᾱ / √(1 − ᾱ)).
    fn extrapolated(
        &self,
        clean: &Tensor,
        last: Option<&Tensor>,
        step: usize,
    ) -> Result<Tensor, DiffusionError> {
        let Some(last) = last.filter(|_| step > 0) else {
            return Ok(clean.clone());
        };
        let lambda = |alpha_bar: f64| 0.5 * libm::log(alpha_bar / (1.0 - alpha_bar));
        let ((before, _), (a, b)) = (self.levels.pair(step - 1)?, self.levels.pair(step)?);
        let ratio = (lambda(a) - lambda(before)) / (lambda(b) - lambda(a));
        let weight = 0.5 / ratio;
        Ok((clean.affine(1.0 + weight, 0.0)? - last.affine(weight, 0.0)?)?)
    }
}

impl Solver for DpmSolverPlusPlus2M {
    fn noise_levels(&self) -> &[f64] {
        self.levels.alpha_bars()
    }

    /// The memory is the last clean estimate.
    fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        memory: Option<&Tensor>,
        evaluation: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        let state = match self.levels.pair(evaluation)? {
            (_, 1.0) => clean.clone(),
            (a, b) => {
                let estimate = self.extrapolated(clean, memory, evaluation)?;
                Update::implicit(a, b, 0.0).apply(state, &estimate, evaluation, noise)?
            }
        };
        Ok(Next { state, memory: Some(clean.clone()) })
    }
}
