//! The noise schedule of training.

use crate::DiffusionError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Linearly rising betas, the reference's schedule by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearBetas {
    /// Share of the variance that the first (cleanest) step replaces by noise.
    #[schemars(extend("unit" = "variance", "exclusiveMinimum" = 0))]
    pub beta_start: f64,
    /// The same of the last (noisiest) step, not below `beta_start`.
    #[schemars(extend("unit" = "variance", "exclusiveMaximum" = 1))]
    pub beta_end: f64,
    /// Steps of the schedule. As sampling levels, each is one evaluation of the network for each window.
    #[schemars(range(min = 2, max = 100_000), extend("unit" = "steps"))]
    pub steps: usize,
}

impl Default for LinearBetas {
    fn default() -> Self {
        Self { beta_start: 1e-6, beta_end: 1e-2, steps: 2000 }
    }
}

/// Most steps of a schedule or of a sampler, fifty times those of the reference: a number that comes from a file must
/// not take all memory.
pub(crate) const MOST_STEPS: usize = 100_000;

/// ᾱ at each step of a diffusion, from clean (step 0) to noisy.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    alpha_bars: Vec<f64>,
}

impl Schedule {
    /// ᾱ_t = Π_{s ≤ t} (1 − β_s) of linearly rising β.
    ///
    /// # Errors
    /// [`DiffusionError::Schedule`] if the betas leave (0, 1), fall, or number fewer than two or more than 100,000.
    /// # Source
    /// Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 4.
    pub fn linear(betas: &LinearBetas) -> Result<Self, DiffusionError> {
        let &LinearBetas { beta_start, beta_end, steps } = betas;
        let sound =
            beta_start > 0.0 && beta_start <= beta_end && beta_end < 1.0 && (2..=MOST_STEPS).contains(&steps);
        if !sound {
            return Err(DiffusionError::Schedule { beta_start, beta_end, steps });
        }
        let beta = |t: usize| beta_start + (beta_end - beta_start) * t as f64 / (steps - 1) as f64;
        let alpha_bars = (0..steps).scan(1.0, |product, t| {
            *product *= 1.0 - beta(t);
            Some(*product)
        });
        Ok(Self { alpha_bars: alpha_bars.collect() })
    }

    /// ᾱ per step, from clean to noisy.
    #[must_use]
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigma_of_alpha_bar;
    use proptest::prelude::*;

    #[test]
    fn the_reference_schedule_has_its_known_ends() {
        let schedule = Schedule::linear(&LinearBetas::default()).unwrap();
        let (first, last) = (schedule.alpha_bars()[0], schedule.alpha_bars()[1999]);
        // Half a unit of the last digit quoted: gamma_T = 4.39e-5, sigma_max = 151.
        assert!((last - 4.39e-5).abs() < 0.005e-5, "{last}");
        assert!((sigma_of_alpha_bar(last) - 151.0).abs() < 0.5);
        assert!((sigma_of_alpha_bar(first) - 1e-3).abs() < 1e-8);
    }

    #[test]
    fn betas_outside_the_unit_interval_are_refused() {
        for (beta_start, beta_end, steps) in
            [(0.0, 0.1, 9), (0.2, 0.1, 9), (0.1, 1.0, 9), (f64::NAN, 0.1, 9), (0.1, 0.2, 1)]
        {
            let error = Schedule::linear(&LinearBetas { beta_start, beta_end, steps }).unwrap_err();
            assert!(matches!(error, DiffusionError::Schedule { .. }));
        }
    }

    proptest! {
        #[test]
        fn alpha_bar_falls_within_the_unit_interval(start in 1e-7f64..1e-3, factor in 1.0f64..50.0, steps in 2usize..500) {
            let betas = LinearBetas { beta_start: start, beta_end: start * factor, steps };
            let schedule = Schedule::linear(&betas).unwrap();
            prop_assert_eq!(schedule.alpha_bars().len(), steps);
            prop_assert!(schedule.alpha_bars().iter().all(|a| 0.0 < *a && *a < 1.0));
            prop_assert!(schedule.alpha_bars().windows(2).all(|pair| pair[1] < pair[0]));
            for (t, pair) in schedule.alpha_bars().windows(2).enumerate() {
                let beta = start + (start * factor - start) * (t + 1) as f64 / (steps - 1) as f64;
                prop_assert!((1.0 - pair[1] / pair[0] - beta).abs() < 1e-12);
            }
        }
    }
}
