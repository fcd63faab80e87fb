//! From noise to data: linear updates of a state of any size, one for each estimate of the network.

use crate::{Denoise, DiffusionError, KeyedNoise, Levels};
use candle_core::{DType, Device, Tensor};

/// Least variance of an ancestral step, as the reference clips it.
const VARIANCE_FLOOR: f64 = 1e-20;

/// A sampler over its levels: one network evaluation at each, and an update of the state after it.
///
/// States may have any size: a window, a whole volume, or a slab of it, since every update is voxel by voxel. A
/// solver keeps nothing between updates: what it must remember travels as a tensor beside the state, so that both
/// can be stored and a sample resumed at any step.
///
/// # Source
/// Of second order, Lu et al. 2022, arXiv:2211.01095: algorithm 2 (DPM-Solver++(2M)) for the ODE, and its
/// SDE-DPM-Solver++(2M), whose (σ_t / σ_s) e^(−h) x + α_t (1 − e^(−2h)) D + σ_t √(1 − e^(−2h)) z, with σ = √(1 − ᾱ)
/// and α = √ᾱ, is the ancestral step of DDPM.
#[derive(Clone, Debug)]
pub struct Solver {
    levels: Levels,
    equation: Equation,
    order: Order,
}

/// The equation that is integrated from noise to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equation {
    /// The probability-flow ODE, without noise.
    ProbabilityFlow,
    /// The reverse SDE, with new noise in each step.
    ReverseSde,
}

/// What a step takes the clean estimate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Constant.
    First,
    /// Linear in ln sigma, extrapolated from the last two.
    Second,
}

/// What follows an evaluation.
#[derive(Clone, Debug)]
pub struct Next {
    /// The state for the next evaluation; after the last one, the sample.
    pub state: Tensor,
    /// What the solver needs to remember for the next update.
    pub memory: Option<Tensor>,
    /// Whether the state is unit noise, to which the first estimate adds the mean.
    is_noise: bool,
}

impl Next {
    /// A state without a past.
    #[must_use]
    pub fn new(state: Tensor) -> Self {
        Self { state, memory: None, is_noise: false }
    }

    /// The unit noise that a sample starts from.
    #[must_use]
    pub fn noise(state: Tensor) -> Self {
        Self { state, memory: None, is_noise: true }
    }

    /// A state after some steps, and what was remembered of them.
    #[must_use]
    pub fn after(state: Tensor, memory: Tensor) -> Self {
        Self { state, memory: Some(memory), is_noise: false }
    }
}

impl Solver {
    pub(crate) fn new(levels: Levels, equation: Equation, order: Order) -> Self {
        Self { levels, equation, order }
    }

    /// Steps, each with one network evaluation.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.levels.len()
    }

    /// ᾱ of a step for a batch, shape (`batch`,), f32: what a [`Denoise`] is told.
    ///
    /// # Errors
    /// [`DiffusionError::Step`] if there is no such step.
    pub fn noise_level(&self, step: usize, batch: usize, device: &Device) -> Result<Tensor, DiffusionError> {
        let (alpha_bar, _) = self.levels.pair(step)?;
        Ok(Tensor::full(alpha_bar, batch, device)?.to_dtype(DType::F32)?)
    }

    /// The state at the first level, √ᾱ · clean + √(1 − ᾱ) · noise, of the unit `noise` that sampling starts from and
    /// the network's estimate for it. Noise alone lacks the mean: a deterministic solver would carry a loss of
    /// sigma_data / sigma_max of it to the end, which dense voxels cannot spare.
    ///
    /// # Shapes
    /// Both the same, which is also the result's.
    /// # Errors
    /// Whatever the tensor operations report.
    pub fn start(&self, noise: &Tensor, clean: &Tensor) -> Result<Tensor, DiffusionError> {
        let (alpha_bar, _) = self.levels.pair(0)?;
        Ok((clean.affine(alpha_bar.sqrt(), 0.0)? + noise.affine((1.0 - alpha_bar).sqrt(), 0.0)?)?)
    }

    /// What the first evaluation sees: a state of the right mean and variance, as far as they are known without it, of the
    /// unit `noise` that sampling starts from and the `guess` of [`Denoise::first_guess`].
    ///
    /// # Errors
    /// Whatever the tensor operations report.
    pub fn first(&self, noise: &Tensor, guess: Option<&Tensor>) -> Result<Tensor, DiffusionError> {
        match guess {
            Some(guess) => self.start(noise, guess),
            None => self.start(noise, &noise.zeros_like()?),
        }
    }

    /// The sampling loop: from where a sample is, through the first `steps` of the levels. Each step asks `denoiser` for a
    /// clean estimate and updates the state by it; then `evaluated` is told, and may stop it.
    ///
    /// # Shapes
    /// State, and noise: (b, fields, n, n, n); `condition`: (b, channels, n, n, n).
    /// # Errors
    /// Those of the denoiser, of [`advance`](Self::advance) and of `evaluated`.
    pub fn integrate<E: From<DiffusionError> + From<candle_core::Error>>(
        &self,
        denoiser: &dyn Denoise,
        mut at: Next,
        condition: &Tensor,
        steps: usize,
        noise: &KeyedNoise,
        mut evaluated: impl FnMut() -> Result<(), E>,
    ) -> Result<Tensor, E> {
        for step in 0..steps {
            let noise_level = self.noise_level(step, at.state.dim(0)?, at.state.device())?;
            let seen = match at.is_noise {
                true => self.first(&at.state, denoiser.first_guess(condition)?.as_ref())?,
                false => at.state.clone(),
            };
            let clean = denoiser.predict_clean(&seen, condition, &noise_level)?;
            at = self.advance(&at, &clean, step, noise)?;
            evaluated()?;
        }
        Ok(at.state)
    }

    /// One step of a state of any size, given the `clean` estimate for it; unit noise is first [`start`](Self::start)ed.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn advance(
        &self,
        at: &Next,
        clean: &Tensor,
        step: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        let started = if at.is_noise { &self.start(&at.state, clean)? } else { &at.state };
        self.step(started, clean, at.memory.as_ref(), step, noise)
    }

    /// The state for the next step, given the `clean` estimate for this one. Steps count from 0; the last one returns
    /// its estimate, a clean state. `memory` is what the step before returned, `None` at the first.
    ///
    /// # Shapes
    /// `state`, `clean`, `memory` and the noise: the same shape, which is also the result's.
    /// # Errors
    /// [`DiffusionError::Step`] if there is no such step, [`DiffusionError::Memory`] without the memory it needs, and
    /// whatever the noise or the tensor operations report.
    pub fn step(
        &self,
        state: &Tensor,
        clean: &Tensor,
        memory: Option<&Tensor>,
        step: usize,
        noise: &KeyedNoise,
    ) -> Result<Next, DiffusionError> {
        let (a, b) = self.levels.pair(step)?;
        if b == 1.0 {
            return Ok(Next::new(clean.clone()));
        }
        let update = self.equation.update(a, b);
        Ok(match self.order {
            Order::First => Next::new(update.apply(state, clean, step, noise)?),
            Order::Second => {
                let estimate = self.extrapolated(clean, memory, step)?;
                Next::after(update.apply(state, &estimate, step, noise)?, clean.clone())
            }
        })
    }

    /// D = (1 + 1 / 2r) x̂₀ − 1 / 2r · x̂₀(last), with r the ratio of the last and this step's size in
    /// λ = ln(√ᾱ / √(1 − ᾱ)); x̂₀ at the first step, which has no past.
    fn extrapolated(
        &self,
        clean: &Tensor,
        last: Option<&Tensor>,
        step: usize,
    ) -> Result<Tensor, DiffusionError> {
        if step == 0 {
            return Ok(clean.clone());
        }
        let last = last.ok_or(DiffusionError::Memory { step })?;
        let lambda = |alpha_bar: f64| 0.5 * libm::log(alpha_bar / (1.0 - alpha_bar));
        let ((before, _), (a, b)) = (self.levels.pair(step - 1)?, self.levels.pair(step)?);
        let ratio = (lambda(a) - lambda(before)) / (lambda(b) - lambda(a));
        let weight = 0.5 / ratio;
        Ok((clean.affine(1.0 + weight, 0.0)? - last.affine(weight, 0.0)?)?)
    }
}

impl Equation {
    /// The exact step for an estimate that stays the same from ᾱ = `a` to ᾱ' = `b`.
    fn update(self, a: f64, b: f64) -> Update {
        match self {
            Self::ProbabilityFlow => Update::implicit(a, b),
            Self::ReverseSde => Update::ancestral(a, b),
        }
    }
}

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

    /// The deterministic implicit step from ᾱ = `a` to ᾱ' = `b`, with the estimate of ε eliminated, so that nothing is
    /// divided by a small √(1 − ᾱ) in f32.
    ///
    /// # Source
    /// Song, Meng & Ermon 2020, arXiv:2010.02502, eq. 12 with σ = 0.
    fn implicit(a: f64, b: f64) -> Self {
        let state = ((1.0 - b) / (1.0 - a)).sqrt();
        Self { clean: b.sqrt() - state * a.sqrt(), state, noise: 0.0 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EQUATIONS: [Equation; 2] = [Equation::ProbabilityFlow, Equation::ReverseSde];

    proptest! {
        #[test]
        fn a_perfect_estimate_keeps_signal_and_noise_at_their_level(a in 1e-5f64..0.99, gap in 1e-3f64..0.999) {
            let b = a + (1.0 - a) * gap;
            for equation in EQUATIONS {
                let update = equation.update(a, b);
                prop_assert!((update.clean + update.state * a.sqrt() - b.sqrt()).abs() < 1e-12);
                let variance = update.state.powi(2) * (1.0 - a) + update.noise.powi(2);
                prop_assert!((variance - (1.0 - b)).abs() < 1e-12);
            }
        }

        #[test]
        fn the_steps_are_those_of_dpm_solver_plus_plus(a in 1e-5f64..0.99, gap in 1e-3f64..0.999) {
            let b = a + (1.0 - a) * gap;
            let h = 0.5 * ((b / (1.0 - b)).ln() - (a / (1.0 - a)).ln());
            let shrink = ((1.0 - b) / (1.0 - a)).sqrt();
            let renewed = 1.0 - (-2.0 * h).exp();
            for (equation, clean, state, noise) in [
                (Equation::ProbabilityFlow, b.sqrt() * (1.0 - (-h).exp()), shrink, 0.0),
                (Equation::ReverseSde, b.sqrt() * renewed, shrink * (-h).exp(), ((1.0 - b) * renewed).sqrt()),
            ] {
                let update = equation.update(a, b);
                prop_assert!((update.clean - clean).abs() < 1e-9);
                prop_assert!((update.state - state).abs() < 1e-9);
                prop_assert!((update.noise - noise).abs() < 1e-9);
            }
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
