//! The noise levels that a sampler visits.

use crate::schedule::MOST_STEPS;
use crate::{DiffusionError, LinearBetas, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ᾱ of a state whose noise is `sigma` times its signal.
#[must_use]
pub fn alpha_bar_of_sigma(sigma: f64) -> f64 {
    1.0 / (1.0 + sigma * sigma)
}

/// The noise-to-signal ratio of a state at ᾱ.
#[must_use]
pub fn sigma_of_alpha_bar(alpha_bar: f64) -> f64 {
    ((1.0 - alpha_bar) / alpha_bar).sqrt()
}

/// How sampling levels are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SamplingLevels {
    /// Few steps, spaced evenly in ln sigma, where sigma is noise over signal.
    LogUniform {
        /// Steps, each of one evaluation of the network. 10 to 20 are sane for `dpm_solver++2m`; a distilled model takes
        /// those it has learned.
        #[schemars(range(min = 1, max = 100_000), extend("unit" = "steps"))]
        steps: usize,
        /// Least noise, that of the last level: 0.005 to 0.02 are sane; what is less is left to the network's last estimate, a mean, which fills voids.
        #[schemars(extend("unit" = "noise / signal", "exclusiveMinimum" = 0))]
        sigma_min: f64,
        /// Most noise, that of the first level, above `sigma_min`: 10 to 80 are sane.
        #[schemars(extend("unit" = "noise / signal", "exclusiveMinimum" = 0))]
        sigma_max: f64,
    },
    /// Every step of a training schedule, as the reference samples.
    Schedule(LinearBetas),
}

impl SamplingLevels {
    /// The levels themselves, from noisy to clean.
    ///
    /// # Errors
    /// [`DiffusionError::Sigmas`] or [`DiffusionError::Schedule`] if the numbers make no levels.
    pub fn levels(&self) -> Result<Levels, DiffusionError> {
        match self {
            &Self::LogUniform { steps, sigma_min, sigma_max } => {
                Levels::log_uniform(steps, sigma_min, sigma_max)
            }
            Self::Schedule(betas) => Ok(Levels::from_schedule(&Schedule::linear(betas)?)),
        }
    }
}

/// ᾱ at each step of a sampler, from noisy (step 0) to clean; after the last one the state is clean (ᾱ = 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    alpha_bars: Vec<f64>,
}

impl Levels {
    /// Levels of the given ᾱ, noisiest first.
    ///
    /// # Errors
    /// [`DiffusionError::Levels`] unless they rise strictly within (0, 1) and there is at least one.
    pub fn new(alpha_bars: Vec<f64>) -> Result<Self, DiffusionError> {
        let mut before = 0.0;
        for (step, &found) in alpha_bars.iter().enumerate() {
            if !(before < found && found < 1.0) {
                return Err(DiffusionError::Levels { step, found });
            }
            before = found;
        }
        if alpha_bars.is_empty() {
            return Err(DiffusionError::Levels { step: 0, found: 1.0 });
        }
        Ok(Self { alpha_bars })
    }

    /// `steps` levels between `sigma_max` and `sigma_min`, evenly spaced in ln sigma: the natural time of
    /// DPM-Solver++. Levels that crowd at little noise, as those of Karras et al. 2022 (arXiv:2206.00364, eq. 5), cost
    /// variance: in twenty steps from sigma 80, +8.8 % instead of +2.6 % for Gaussian data of deviations 0.1 to 1.
    ///
    /// # Errors
    /// [`DiffusionError::Sigmas`] if there are no steps or more than 100,000, or the sigmas are not positive, finite and ordered.
    /// # Source
    /// Lu et al. 2022, arXiv:2211.01095: steps uniform in lambda = -ln sigma.
    pub fn log_uniform(steps: usize, sigma_min: f64, sigma_max: f64) -> Result<Self, DiffusionError> {
        let sound = (1..=MOST_STEPS).contains(&steps)
            && sigma_min > 0.0
            && sigma_min < sigma_max
            && sigma_max.is_finite();
        if !sound {
            return Err(DiffusionError::Sigmas { steps, sigma_min, sigma_max });
        }
        // Of libm, not of the system: levels have the same bits everywhere.
        let (most, least) = (libm::log(sigma_max), libm::log(sigma_min));
        let intervals = (steps - 1).max(1) as f64;
        let sigma = |step: usize| libm::exp(most + step as f64 / intervals * (least - most));
        Self::new((0..steps).map(|step| alpha_bar_of_sigma(sigma(step))).collect())
    }

    /// Every step of a training schedule, backwards.
    #[must_use]
    pub fn from_schedule(schedule: &Schedule) -> Self {
        Self { alpha_bars: schedule.alpha_bars().iter().rev().copied().collect() }
    }

    /// ᾱ per step, from noisy to clean.
    #[must_use]
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }

    /// Number of steps.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a level")]
    pub fn len(&self) -> usize {
        self.alpha_bars.len()
    }

    /// ᾱ before and after `step`.
    pub(crate) fn pair(&self, step: usize) -> Result<(f64, f64), DiffusionError> {
        let &before =
            self.alpha_bars.get(step).ok_or(DiffusionError::Step { step, levels: self.alpha_bars.len() })?;
        Ok((before, self.alpha_bars.get(step + 1).copied().unwrap_or(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_by_hand() {
        let levels = Levels::log_uniform(3, 0.01, 100.0).unwrap();
        for (alpha_bar, sigma) in levels.alpha_bars().iter().zip([100.0, 1.0, 0.01]) {
            assert!((sigma_of_alpha_bar(*alpha_bar) / sigma - 1.0).abs() < 1e-9);
        }
        assert_eq!(Levels::log_uniform(1, 0.01, 100.0).unwrap().alpha_bars(), [levels.alpha_bars()[0]]);
    }

    #[test]
    fn unsound_levels_are_refused() {
        assert!(matches!(Levels::log_uniform(0, 0.1, 1.0), Err(DiffusionError::Sigmas { .. })));
        assert!(matches!(
            Levels::log_uniform(1_000_000_000_000, 0.1, 1.0),
            Err(DiffusionError::Sigmas { .. })
        ));
        let many = LinearBetas { steps: usize::MAX, ..LinearBetas::default() };
        assert!(matches!(SamplingLevels::Schedule(many).levels(), Err(DiffusionError::Schedule { .. })));
        assert!(matches!(Levels::log_uniform(5, 1.0, 0.1), Err(DiffusionError::Sigmas { .. })));
        assert!(matches!(Levels::log_uniform(5, 0.1, f64::INFINITY), Err(DiffusionError::Sigmas { .. })));
        assert!(matches!(Levels::new(vec![]), Err(DiffusionError::Levels { .. })));
        assert!(matches!(Levels::new(vec![0.2, 0.1]), Err(DiffusionError::Levels { step: 1, .. })));
        assert!(matches!(Levels::new(vec![0.2, 1.0]), Err(DiffusionError::Levels { step: 1, .. })));
    }

    proptest! {
        #[test]
        fn levels_rise_between_their_ends(steps in 2usize..200, least in 1e-3f64..0.1, factor in 10.0f64..1e4) {
            let levels = Levels::log_uniform(steps, least, least * factor).unwrap();
            prop_assert_eq!(levels.len(), steps);
            prop_assert!((sigma_of_alpha_bar(levels.alpha_bars()[0]) / (least * factor) - 1.0).abs() < 1e-6);
            prop_assert!((sigma_of_alpha_bar(levels.alpha_bars()[steps - 1]) / least - 1.0).abs() < 1e-6);
        }

        #[test]
        fn sigma_and_alpha_bar_undo_each_other(sigma in 1e-3f64..1e3) {
            prop_assert!((sigma_of_alpha_bar(alpha_bar_of_sigma(sigma)) / sigma - 1.0).abs() < 1e-9);
        }
    }
}
