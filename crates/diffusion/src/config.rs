//! The `diffusion` section of a configuration: how a network is trained.

use crate::{DiffusionError, LinearBetas, Schedule, alpha_bar_of_sigma};
use finescale_seed::Sequence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Noise schedule, training levels and loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionConfig {
    /// The schedule of noise that `training_levels` of the kind `"reference"` are drawn from.
    pub schedule: LinearBetas,
    /// Distribution of the noise levels met in training.
    pub training_levels: TrainingLevels,
    /// What a voxel weighs in the loss.
    pub loss_weight: LossWeight,
}

/// How noise levels are drawn in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TrainingLevels {
    /// A step t ~ U{1, .., T − 1} of `schedule`, then ᾱ ~ U(ᾱ_t, ᾱ_{t−1}), as in the paper.
    #[default]
    Reference,
    /// ln sigma ~ N(mean, deviation²), where sigma is noise over signal.
    LogNormal {
        /// Mean of ln sigma. Lower trains small scales and little noise more; -1.2 to -0.4 are sane.
        #[schemars(extend("unit" = "ln(noise / signal)"))]
        mean: f64,
        /// Standard deviation of ln sigma: 1.2 to 1.5 are sane.
        #[schemars(extend("unit" = "ln(noise / signal)", "exclusiveMinimum" = 0))]
        deviation: f64,
    },
}

/// What a voxel weighs in the loss. A weight that depends on the condition alone leaves the best estimate as it is: it
/// says where a network of finite size and training should be good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossWeight {
    /// All voxels weigh the same.
    #[default]
    Volume,
    /// (1 + (1 + δ)) / 2 with the density 1 + δ of the condition: half by volume, half by mass. Power spectra and
    /// masses are made in few dense voxels.
    VolumeAndMass,
}

impl LossWeight {
    /// The weight of a voxel whose condition has the density 1 + delta.
    #[must_use]
    pub fn weight(self, density: f32) -> f32 {
        match self {
            Self::Volume => 1.0,
            Self::VolumeAndMass => 0.5 * (1.0 + density),
        }
    }
}

impl DiffusionConfig {
    /// The draw of training noise levels.
    ///
    /// # Errors
    /// [`DiffusionError::Schedule`] or [`DiffusionError::LogNormal`] if the numbers are unsound.
    pub fn level_draw(&self) -> Result<LevelDraw, DiffusionError> {
        if let TrainingLevels::LogNormal { mean, deviation } = self.training_levels
            && !(mean.is_finite() && deviation.is_finite() && deviation > 0.0)
        {
            return Err(DiffusionError::LogNormal { mean, deviation });
        }
        Ok(LevelDraw { schedule: Schedule::linear(&self.schedule)?, levels: self.training_levels })
    }
}

/// Draws the noise levels of training patches.
#[derive(Clone, Debug)]
pub struct LevelDraw {
    schedule: Schedule,
    levels: TrainingLevels,
}

impl LevelDraw {
    /// ᾱ of one training patch.
    ///
    /// # Source
    /// `Reference`: Chen et al. 2020, arXiv:2009.00713 (WaveGrad), algorithm 1, in ᾱ instead of √ᾱ, as the
    /// reference code does. `LogNormal`: Karras et al. 2022, arXiv:2206.00364, table 1.
    pub fn draw_alpha_bar(&self, sequence: &mut Sequence) -> f64 {
        match self.levels {
            TrainingLevels::Reference => {
                let alpha_bars = self.schedule.alpha_bars();
                let step = 1 + sequence.below(alpha_bars.len() - 1);
                let (noisier, cleaner) = (alpha_bars[step], alpha_bars[step - 1]);
                noisier + (cleaner - noisier) * sequence.uniform()
            }
            TrainingLevels::LogNormal { mean, deviation } => {
                alpha_bar_of_sigma(libm::exp(mean + deviation * sequence.normal()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigma_of_alpha_bar;
    use finescale_seed::{KeyedStream, Purpose};

    fn draws(config: &DiffusionConfig, count: usize) -> Vec<f64> {
        let mut sequence = Sequence::new(KeyedStream::new(3, Purpose::NoiseLevel), 0);
        let draw = config.level_draw().unwrap();
        (0..count).map(|_| draw.draw_alpha_bar(&mut sequence)).collect()
    }

    #[test]
    fn reference_levels_are_uniform_in_the_step() {
        let config = DiffusionConfig::default();
        let schedule = Schedule::linear(&config.schedule).unwrap();
        let alpha_bars = schedule.alpha_bars();
        let count = 20_000;
        let sample = draws(&config, count);
        assert!(sample.iter().all(|a| (alpha_bars[1999]..=alpha_bars[0]).contains(a)));
        for step in [200, 1000, 1800] {
            let cleaner = sample.iter().filter(|a| **a > alpha_bars[step]).count() as f64 / count as f64;
            // Five standard errors of a binomial fraction.
            assert!((cleaner - step as f64 / 1999.0).abs() < 5.0 * 0.5 / (count as f64).sqrt());
        }
    }

    #[test]
    fn log_normal_levels_have_their_moments() {
        let (mean, deviation) = (-0.4, 1.2);
        let training_levels = TrainingLevels::LogNormal { mean, deviation };
        let sample: Vec<f64> = draws(&DiffusionConfig { training_levels, ..Default::default() }, 20_000)
            .into_iter()
            .map(|a| sigma_of_alpha_bar(a).ln())
            .collect();
        let n = sample.len() as f64;
        let found = sample.iter().sum::<f64>() / n;
        let variance = sample.iter().map(|l| (l - found).powi(2)).sum::<f64>() / n;
        assert!((found - mean).abs() < 5.0 * deviation / n.sqrt());
        assert!((variance / deviation.powi(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
    }

    #[test]
    fn a_log_normal_needs_a_deviation() {
        let training_levels = TrainingLevels::LogNormal { mean: 0.0, deviation: 0.0 };
        let config = DiffusionConfig { training_levels, ..Default::default() };
        assert!(matches!(config.level_draw(), Err(DiffusionError::LogNormal { .. })));
    }

    #[test]
    fn json_names_every_choice_and_refuses_others() {
        let config: DiffusionConfig = serde_json::from_str(
            r#"{"schedule": {"beta_start": 1e-6, "beta_end": 0.01, "steps": 50},
                "training_levels": {"log_normal": {"mean": -1.2, "deviation": 1.2}},
                "loss_weight": "volume_and_mass"}"#,
        )
        .unwrap();
        assert_eq!(config.schedule.steps, 50);
        assert_eq!(config.loss_weight.weight(3.0), 2.0);
        assert_eq!(LossWeight::default().weight(3.0), 1.0);
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DiffusionConfig>(&written).unwrap(), config);
        assert!(serde_json::from_str::<DiffusionConfig>(r#"{"betas": 3}"#).is_err());
        assert!(serde_json::from_str::<DiffusionConfig>(r#"{"schedule": {"beta": 3}}"#).is_err());
        assert_eq!(serde_json::from_str::<DiffusionConfig>("{}").unwrap(), DiffusionConfig::default());
    }
}
