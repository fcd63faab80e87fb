//! Second order from the estimates of two evaluations, one new one per step.

use super::Update;
use crate::{DiffusionError, KeyedNoise, Levels, Next, Solver};
use candle_core::Tensor;

/// The equation that is integrated from noise to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equation {
    /// The probability-flow ODE, without noise.
    ProbabilityFlow,
    /// The reverse SDE, with new noise in each step.
    ReverseSde,
}

impl Equation {
    /// The exact step for an estimate that stays the same from ᾱ = `a` to ᾱ' = `b`.
    fn first_order(self, a: f64, b: f64) -> Update {
        match self {
            Self::ProbabilityFlow => Update::implicit(a, b, 0.0),
            Self::ReverseSde => Update::ancestral(a, b),
        }
    }
}

/// DPM-Solver++(2M) and SDE-DPM-Solver++(2M): the first-order step of their equation, with an estimate extrapolated
/// from the last two; first order at the first step, which has no history, and at the last one, which returns the
/// estimate itself.
///
/// # Source
/// Lu et al. 2022, arXiv:2211.01095: algorithm 2 for the ODE, and its SDE-DPM-Solver++(2M). The latter's
/// (σ_t / σ_s) e^(−h) x + α_t (1 − e^(−2h)) D + σ_t √(1 − e^(−2h)) z, with σ = √(1 − ᾱ) and α = √ᾱ, is the
/// ancestral step.
pub(crate) struct DpmSolverPlusPlus2M {
    pub(crate) levels: Levels,
    pub(crate) equation: Equation,
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
                self.equation.first_order(a, b).apply(state, &estimate, evaluation, noise)?
            }
        };
        Ok(Next { state, memory: Some(clean.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_order_steps_are_those_of_the_paper(a in 1e-5f64..0.99, gap in 1e-3f64..0.999) {
            let b = a + (1.0 - a) * gap;
            let h = 0.5 * ((b / (1.0 - b)).ln() - (a / (1.0 - a)).ln());
            let shrink = ((1.0 - b) / (1.0 - a)).sqrt();
            let literal = |equation| match equation {
                Equation::ProbabilityFlow => (b.sqrt() * (1.0 - (-h).exp()), shrink, 0.0),
                Equation::ReverseSde => {
                    let renewed = 1.0 - (-2.0 * h).exp();
                    (b.sqrt() * renewed, shrink * (-h).exp(), ((1.0 - b) * renewed).sqrt())
                }
            };
            for equation in [Equation::ProbabilityFlow, Equation::ReverseSde] {
                let (clean, state, noise) = literal(equation);
                let update = equation.first_order(a, b);
                prop_assert!((update.clean - clean).abs() < 1e-9);
                prop_assert!((update.state - state).abs() < 1e-9);
                prop_assert!((update.noise - noise).abs() < 1e-9);
            }
        }
    }
}
