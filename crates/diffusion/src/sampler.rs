//! The choice of a sampler.

use crate::solvers::{Ddim, Ddpm, DpmSolverPlusPlus2M, Equation, Heun, PredictorCorrector};
use crate::{DiffusionError, Levels, SamplingLevels, Solver, sigma_of_alpha_bar};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Most signal-to-noise ratio of a corrector: there its finite step leaves a quarter too much noise.
const MOST_SNR: f64 = 0.5;

/// A sampler, as it is written in configurations and on the command line.
///
/// Every sampler follows one of two equations from much noise to none. With y = x / √ᾱ, sigma = √((1 − ᾱ) / ᾱ) and
/// D(y, sigma) the clean estimate, they are, sigma falling:
///
/// - the probability-flow ODE, dy = (y − D) / sigma · dsigma, and
/// - the reverse SDE, dy = 2 (y − D) / sigma · dsigma + √(2 sigma) dw.
///
/// | written | equation | order | evaluations in N steps | source |
/// |---|---|---|---|---|
/// | `ddpm` | reverse SDE | 1 | N | Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 6-7 |
/// | `ddim`, `ddim:ETA` | ODE, towards the SDE with ETA | 1 | N | Song, Meng & Ermon 2020, arXiv:2010.02502, eq. 12, 16 |
/// | `dpm_solver++2m` | ODE | 2 | N | Lu et al. 2022, arXiv:2211.01095, algorithm 2 |
/// | `sde_dpm_solver++2m` | reverse SDE | 2 | N | Lu et al. 2022, SDE-DPM-Solver++(2M) |
/// | `heun`, `heun:CHURN` | ODE, noise added between its steps with CHURN | 2 | 2N − 1 | Karras et al. 2022, arXiv:2206.00364, algorithms 1, 2 |
/// | `predictor_corrector:SNR` | ODE, a Langevin step at each level | 1 | 2N − 1 | Song et al. 2021, arXiv:2011.13456, algorithms 3, 5 |
///
/// The order is that of mean and variance for Gaussian data. Samplers do not limit the estimates: a denoiser that
/// clamps its own to the range of the data, as ours does, is static thresholding already.
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
    /// Stochastic, second order, multistep.
    SdeDpmSolverPlusPlus2M,
    /// Second order by a second evaluation in each step; `churn` = 0 is deterministic.
    Heun {
        /// S_churn: what the steps together raise sigma by, as a share of it; at least 0 and finite.
        churn: f64,
    },
    /// Deterministic steps, each followed by one of Langevin dynamics.
    PredictorCorrector {
        /// Signal-to-noise ratio of the Langevin steps, above 0 and at most 0.5.
        snr: f64,
    },
}

impl Sampler {
    /// A solver for one state over `levels`.
    #[must_use]
    pub fn solver(&self, levels: Levels) -> Box<dyn Solver> {
        match *self {
            Self::Ddpm => Box::new(Ddpm { levels }),
            Self::Ddim { eta } => Box::new(Ddim { levels, eta }),
            Self::DpmSolverPlusPlus2M => {
                Box::new(DpmSolverPlusPlus2M { levels, equation: Equation::ProbabilityFlow })
            }
            Self::SdeDpmSolverPlusPlus2M => {
                Box::new(DpmSolverPlusPlus2M { levels, equation: Equation::ReverseSde })
            }
            Self::Heun { churn } => Box::new(Heun::new(&levels, churn)),
            Self::PredictorCorrector { snr } => Box::new(PredictorCorrector::new(&levels, snr)),
        }
    }

    /// Network evaluations in `steps` steps, at least one.
    fn evaluations(self, steps: usize) -> usize {
        match self {
            Self::Ddpm | Self::Ddim { .. } | Self::DpmSolverPlusPlus2M | Self::SdeDpmSolverPlusPlus2M => {
                steps
            }
            Self::Heun { .. } | Self::PredictorCorrector { .. } => 2 * steps - 1,
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
            Self::SdeDpmSolverPlusPlus2M => write!(out, "sde_dpm_solver++2m"),
            Self::Heun { churn: 0.0 } => write!(out, "heun"),
            Self::Heun { churn } => write!(out, "heun:{churn}"),
            Self::PredictorCorrector { snr } => write!(out, "predictor_corrector:{snr}"),
        }
    }
}

impl FromStr for Sampler {
    type Err = DiffusionError;

    fn from_str(text: &str) -> Result<Self, DiffusionError> {
        let unknown = || DiffusionError::Sampler { found: text.to_owned() };
        let number = |argument: &str, allowed: RangeInclusive<f64>| {
            argument.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(unknown)
        };
        match text.split_once(':') {
            None if text == "ddpm" => Ok(Self::Ddpm),
            None if text == "ddim" => Ok(Self::Ddim { eta: 0.0 }),
            None if text == "dpm_solver++2m" => Ok(Self::DpmSolverPlusPlus2M),
            None if text == "sde_dpm_solver++2m" => Ok(Self::SdeDpmSolverPlusPlus2M),
            None if text == "heun" => Ok(Self::Heun { churn: 0.0 }),
            Some(("ddim", eta)) => Ok(Self::Ddim { eta: number(eta, 0.0..=1.0)? }),
            Some(("heun", churn)) => Ok(Self::Heun { churn: number(churn, 0.0..=f64::MAX)? }),
            Some(("predictor_corrector", snr)) => {
                Ok(Self::PredictorCorrector { snr: number(snr, f64::MIN_POSITIVE..=MOST_SNR)? })
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
///
/// Few evaluations cost variance. In closed form, the worst error of the variance in per cent for Gaussian data of
/// deviations 0.1 to 1, levels from sigma 80 to 0.01, for 20 / 24 / 30 evaluations (19 / 23 / 29 where a step takes
/// two):
///
/// | sampler | log-uniform | Karras |
/// |---|---|---|
/// | `dpm_solver++2m` | +2.6 / +1.8 / +1.2 | +8.8 / +6.2 / +3.9 |
/// | `sde_dpm_solver++2m` | +6.2 / +4.5 / +3.0 | +18 / +14 / +9.7 |
/// | `heun` | +35 / +22 / +13 | +71 / +42 / +24 |
/// | `ddim` | -22 / -18 / -15 | -30 / -26 / -21 |
/// | `ddpm` | -36 / -31 / -26 | -47 / -42 / -36 |
/// | `predictor_corrector:0.16` | -37 / -31 / -25 | -50 / -43 / -35 |
///
/// The ends of the levels cost more: the last step, to the clean estimate, a share (sigma_min / deviation)² of the
/// variance; and the start, which is noise alone, a share deviation / sigma_max of the mean
/// in deterministic samplers, if [`Solver::start`] does not give it that mean.
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
    /// Network evaluations of one sample. Some samplers evaluate more than once per step: see [`Sampler`].
    ///
    /// # Errors
    /// As [`SamplingLevels::levels`].
    pub fn evaluations(&self) -> Result<usize, DiffusionError> {
        Ok(self.sampler.evaluations(self.levels.levels()?.len()))
    }

    /// The same sampler in other `steps`, of one or two [`evaluations`](Self::evaluations) each, or from another
    /// `sigma_max`. The steps of a schedule become log-uniform ones.
    ///
    /// # Errors
    /// As [`SamplingLevels::levels`], for the present levels.
    pub fn with_levels(self, steps: Option<usize>, sigma_max: Option<f64>) -> Result<Self, DiffusionError> {
        let present = self.levels.levels()?;
        let sigma = |index: usize| sigma_of_alpha_bar(present.alpha_bars()[index]);
        let steps_or = |present| steps.unwrap_or(present);
        let levels = match self.levels {
            SamplingLevels::Karras { steps, sigma_min, sigma_max: most } => SamplingLevels::Karras {
                steps: steps_or(steps),
                sigma_min,
                sigma_max: sigma_max.unwrap_or(most),
            },
            SamplingLevels::LogUniform { steps, sigma_min, sigma_max: most } => SamplingLevels::LogUniform {
                steps: steps_or(steps),
                sigma_min,
                sigma_max: sigma_max.unwrap_or(most),
            },
            SamplingLevels::Schedule(_) if steps.is_none() && sigma_max.is_none() => self.levels,
            SamplingLevels::Schedule(_) => SamplingLevels::LogUniform {
                steps: steps_or(present.len()),
                sigma_min: sigma(present.len() - 1),
                sigma_max: sigma_max.unwrap_or(sigma(0)),
            },
        };
        Ok(Self { levels, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinearBetas;

    const WRITTEN: [&str; 8] = [
        "ddpm",
        "ddim",
        "ddim:0.5",
        "dpm_solver++2m",
        "sde_dpm_solver++2m",
        "heun",
        "heun:2.5",
        "predictor_corrector:0.16",
    ];

    #[test]
    fn every_sampler_is_written_as_it_is_read() {
        for text in WRITTEN {
            assert_eq!(text.parse::<Sampler>().unwrap().to_string(), text);
            let json = format!("\"{text}\"");
            assert_eq!(
                serde_json::to_string(&serde_json::from_str::<Sampler>(&json).unwrap()).unwrap(),
                json
            );
        }
    }

    #[test]
    fn no_noise_is_the_plain_sampler() {
        for (text, plain) in [("ddim:0", "ddim"), ("heun:0", "heun")] {
            assert_eq!(text.parse::<Sampler>().unwrap(), plain.parse().unwrap());
            assert_eq!(text.parse::<Sampler>().unwrap().to_string(), plain);
        }
    }

    #[test]
    fn other_samplers_are_refused() {
        for text in [
            "",
            "DDPM",
            "ddim:",
            "ddim:2",
            "ddim:NaN",
            "ddpm:1",
            "euler",
            "sde_dpm_solver++2m:1",
            "heun:",
            "heun:-1",
            "heun:inf",
            "heun:NaN",
            "predictor_corrector",
            "predictor_corrector:0",
            "predictor_corrector:0.51",
            "predictor_corrector:NaN",
        ] {
            assert!(matches!(text.parse::<Sampler>(), Err(DiffusionError::Sampler { .. })), "{text}");
        }
    }

    #[test]
    fn evaluations_are_counted_without_a_solver() {
        for text in WRITTEN {
            for steps in [1, 2, 7] {
                let sampler: Sampler = text.parse().unwrap();
                let config =
                    SamplingConfig { sampler, ..Default::default() }.with_levels(Some(steps), None).unwrap();
                let solver = sampler.solver(config.levels.levels().unwrap());
                assert_eq!(config.evaluations().unwrap(), solver.noise_levels().len(), "{text}");
            }
            let none = SamplingConfig { sampler: text.parse().unwrap(), ..Default::default() }
                .with_levels(Some(0), None);
            assert!(matches!(none.unwrap().evaluations(), Err(DiffusionError::Sigmas { .. })));
        }
        let twice = SamplingConfig { sampler: Sampler::Heun { churn: 0.0 }, ..Default::default() };
        assert_eq!(twice.evaluations().unwrap(), 39);
    }

    #[test]
    fn the_steps_of_a_schedule_become_few_over_the_same_noise() {
        let config =
            SamplingConfig { levels: SamplingLevels::Schedule(LinearBetas::default()), ..Default::default() };
        assert_eq!(config.levels.levels().unwrap().len(), 2000);
        let few = config.with_levels(Some(10), None).unwrap();
        assert_eq!(few.sampler, config.sampler);
        let (few, all) = (few.levels.levels().unwrap(), config.levels.levels().unwrap());
        assert_eq!(few.len(), 10);
        assert!((few.alpha_bars()[0] / all.alpha_bars()[0] - 1.0).abs() < 1e-9);
        assert!((few.alpha_bars()[9] / all.alpha_bars()[1999] - 1.0).abs() < 1e-9);
        assert_eq!(config.with_levels(None, None).unwrap(), config);
        let seven = SamplingConfig::default().with_levels(Some(7), Some(3.0)).unwrap();
        assert_eq!(seven.levels, SamplingLevels::LogUniform { steps: 7, sigma_min: 0.01, sigma_max: 3.0 });
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
