//! The choice of a sampler.

use crate::solvers::{Ddim, Ddpm, DpmSolverPlusPlus2M};
use crate::{DiffusionError, Levels, SamplingLevels, Solver, sigma_of_alpha_bar};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A sampler, written `ddpm`, `ddim`, `ddim:0.5` or `dpm_solver++2m` in configurations and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sampler {
    /// Ancestral sampling.
    Ddpm,
    /// Implicit sampling; `eta` = 0 is deterministic, 1 is ancestral.
    Ddim {
        /// Share of the ancestral noise, within 0..=1.
        eta: f64,
    },
    /// Deterministic, second order, multistep.
    #[default]
    DpmSolverPlusPlus2M,
}

impl Sampler {
    /// A solver for one state over `levels`.
    #[must_use]
    pub fn solver(&self, levels: Levels) -> Box<dyn Solver> {
        match *self {
            Self::Ddpm => Box::new(Ddpm { levels }),
            Self::Ddim { eta } => Box::new(Ddim { levels, eta }),
            Self::DpmSolverPlusPlus2M => Box::new(DpmSolverPlusPlus2M { levels }),
        }
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ddpm => write!(out, "ddpm"),
            Self::Ddim { eta: 0.0 } => write!(out, "ddim"),
            Self::Ddim { eta } => write!(out, "ddim:{eta}"),
            Self::DpmSolverPlusPlus2M => write!(out, "dpm_solver++2m"),
        }
    }
}

impl FromStr for Sampler {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        let unknown = || DiffusionError::Sampler { found: text.to_owned() };
        match text.split_once(':') {
            None if text == "ddpm" => Ok(Self::Ddpm),
            None if text == "ddim" => Ok(Self::Ddim { eta: 0.0 }),
            None if text == "dpm_solver++2m" => Ok(Self::DpmSolverPlusPlus2M),
            Some(("ddim", eta)) => {
                let eta = eta.parse().ok().filter(|eta| (0.0..=1.0).contains(eta));
                eta.map(|eta| Self::Ddim { eta }).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Sampler {
    type Error = DiffusionError;

    fn try_from(text: String) -> Result<Self, DiffusionError> {
        text.parse()
    }
}

impl From<Sampler> for String {
    fn from(sampler: Sampler) -> Self {
        sampler.to_string()
    }
}

/// A sampler and the levels it visits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// The sampler.
    pub sampler: Sampler,
    /// Its noise levels.
    pub levels: SamplingLevels,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        let levels = SamplingLevels::LogUniform { steps: 20, sigma_min: 0.01, sigma_max: 80.0 };
        Self { sampler: Sampler::default(), levels }
    }
}

impl SamplingConfig {
    /// Network evaluations of a sample.
    ///
    /// # Errors
    /// As [`SamplingLevels::levels`].
    pub fn evaluations(&self) -> Result<usize, DiffusionError> {
        Ok(self.sampler.solver(self.levels.levels()?).noise_levels().len())
    }

    /// The same sampler in `steps` steps. The steps of a schedule become log-uniform ones over the same noise.
    ///
    /// # Errors
    /// As [`SamplingLevels::levels`], for the present levels.
    pub fn with_steps(self, steps: usize) -> Result<Self, DiffusionError> {
        let levels = match self.levels {
            SamplingLevels::LogUniform { sigma_min, sigma_max, .. } => {
                SamplingLevels::LogUniform { steps, sigma_min, sigma_max }
            }
            SamplingLevels::Karras { sigma_min, sigma_max, .. } => {
                SamplingLevels::Karras { steps, sigma_min, sigma_max }
            }
            SamplingLevels::Schedule(_) => {
                let levels = self.levels.levels()?;
                let alpha_bars = levels.alpha_bars();
                let sigma_min = sigma_of_alpha_bar(alpha_bars[alpha_bars.len() - 1]);
                SamplingLevels::LogUniform { steps, sigma_min, sigma_max: sigma_of_alpha_bar(alpha_bars[0]) }
            }
        };
        Ok(Self { levels, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinearBetas;

    #[test]
    fn every_sampler_is_written_as_it_is_read() {
        for text in ["ddpm", "ddim", "ddim:0.5", "dpm_solver++2m"] {
            assert_eq!(text.parse::<Sampler>().unwrap().to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(
                serde_json::to_string(&serde_json::from_str::<Sampler>(&json).unwrap()).unwrap(),
                json
            );
        }
    }

    #[test]
    fn other_samplers_are_refused() {
        for text in ["", "DDPM", "ddim:", "ddim:2", "ddim:NaN", "ddpm:1", "heun"] {
            assert!(matches!(text.parse::<Sampler>(), Err(DiffusionError::Sampler { .. })), "{text}");
        }
    }

    #[test]
    fn the_steps_of_a_schedule_become_few_over_the_same_noise() {
        let config =
            SamplingConfig { levels: SamplingLevels::Schedule(LinearBetas::default()), ..Default::default() };
        assert_eq!(config.levels.levels().unwrap().len(), 2000);
        let few = config.with_steps(10).unwrap();
        assert_eq!(few.sampler, config.sampler);
        let (few, all) = (few.levels.levels().unwrap(), config.levels.levels().unwrap());
        assert_eq!(few.len(), 10);
        assert!((few.alpha_bars()[0] / all.alpha_bars()[0] - 1.0).abs() < 1e-9);
        assert!((few.alpha_bars()[9] / all.alpha_bars()[1999] - 1.0).abs() < 1e-9);
        assert_eq!(SamplingConfig::default().with_steps(7).unwrap().levels.levels().unwrap().len(), 7);
    }

    #[test]
    fn json_of_the_levels() {
        let text = r#"{"sampler":"ddpm","levels":{"karras":{"steps":12,"sigma_min":0.01,"sigma_max":50.0}}}"#;
        let config: SamplingConfig = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), text);
        let all: SamplingConfig = serde_json::from_str(r#"{"levels": {"schedule": {"steps": 50}}}"#).unwrap();
        assert_eq!(all.levels.levels().unwrap().len(), 50);
        assert!(serde_json::from_str::<SamplingConfig>(r#"{"steps": 3}"#).is_err());
    }
}
