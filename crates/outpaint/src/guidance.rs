//! Whether and how samples are held to the mass of their condition; `mass` does it.

use crate::OutpaintError;
use crate::updates::update_bytes;
use finescale_diffusion::{Levels, sigma_of_alpha_bar};
use finescale_field::{Normalizer, Transform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a sample is held to the mass of its condition, where both are smoothed. In joint sampling, for models of one field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MassGuidance {
    /// Over how much both are smoothed: about a Gaussian's standard deviation. More than gas was moved, since nearer the condition's
    /// dark matter is not where the gas is: six cells of 0.78 Mpc/h were measured, and four were worse.
    #[schemars(range(min = 1.0, max = 64.0), extend("unit" = "cells"))]
    pub smoothing_cells: f64,
    /// Noise over signal below which a step is guided: with more noise, a clean estimate is a mean of many, and has less mass
    /// in dense places than any of them.
    #[serde(default = "guided_below_sigma")]
    #[schemars(range(min = 0.0))]
    pub below_sigma: f64,
}

/// Noise below which a step is guided, if nobody says otherwise.
const GUIDED_BELOW_SIGMA: f64 = 0.3;

fn guided_below_sigma() -> f64 {
    GUIDED_BELOW_SIGMA
}

impl MassGuidance {
    /// Over so many cells, in the last steps.
    #[must_use]
    pub fn over(smoothing_cells: f64) -> Self {
        Self { smoothing_cells, below_sigma: GUIDED_BELOW_SIGMA }
    }

    /// Checks both numbers.
    ///
    /// # Errors
    /// [`OutpaintError::Setting`].
    pub fn check(&self) -> Result<(), OutpaintError> {
        let wrong = |name, found: f64, expected: &str| {
            Err(OutpaintError::Setting { name, found: found.to_string(), expected: expected.to_owned() })
        };
        if !(1.0..=64.0).contains(&self.smoothing_cells) {
            return wrong(
                "mass_guidance.smoothing_cells",
                self.smoothing_cells,
                "from 1 to 64 cells, or, on the command line, 0 for none",
            );
        }
        if self.below_sigma.is_nan() || self.below_sigma < 0.0 {
            return wrong("mass_guidance.below_sigma", self.below_sigma, "0 or more");
        }
        Ok(())
    }

    /// Checks that samples of a model can be guided: of its normalizers, and the sampler's levels.
    ///
    /// # Errors
    /// [`OutpaintError::Setting`].
    pub fn check_model(
        &self,
        condition: &Normalizer,
        truth: &[Normalizer],
        levels: &Levels,
    ) -> Result<(), OutpaintError> {
        if truth.len() != 1 {
            return self
                .refused("this model draws several fields, and not all may have the condition's mass");
        }
        let is_sigmoid = |normalizer: &Normalizer| matches!(normalizer.transform, Transform::Sigmoid { .. });
        if truth.iter().chain([condition]).any(is_sigmoid) {
            return self
                .refused("at the ends of the reference's sigmoids a voxel has more mass than all others");
        }
        if self.count_guided(levels) > 0 {
            return Ok(());
        }
        let below = self.below_sigma;
        self.refused(&format!(
            "no step of this sampler has less noise than its below_sigma of {below}; or take more steps, or a smaller sigma_min"
        ))
    }

    /// The error of a job that cannot be guided.
    pub(crate) fn refused<T>(&self, why: &str) -> Result<T, OutpaintError> {
        let (name, found) = ("mass_guidance", format!("{} cells", self.smoothing_cells));
        Err(OutpaintError::Setting { name, found, expected: format!("left out (--mass-guidance 0): {why}") })
    }

    /// Of each step, whether it is guided.
    pub(crate) fn guided_steps(&self, levels: &Levels) -> Vec<bool> {
        let is_guided = |&alpha_bar: &f64| sigma_of_alpha_bar(alpha_bar) < self.below_sigma;
        levels.alpha_bars().iter().map(is_guided).collect()
    }

    /// Steps of these levels that are guided.
    #[must_use]
    pub fn count_guided(&self, levels: &Levels) -> usize {
        self.guided_steps(levels).into_iter().filter(|&is_guided| is_guided).count()
    }

    /// Bytes of the sums and smoothed densities of a volume of these cells, and of the blocks that are multiplied.
    pub(crate) fn bytes(&self, cells: [usize; 3]) -> usize {
        let coarse = cells.map(|cells| (cells as f64 / self.smoothing_cells).ceil() as usize + 2);
        coarse.iter().product::<usize>() * (2 * size_of::<i64>() + 4 * size_of::<f32>()) + update_bytes(1) / 2
    }
}
