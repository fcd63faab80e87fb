//! The `generation` section of a configuration.

use crate::{MassGuidance, OutpaintError};
use finescale_diffusion::SamplingConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a volume is generated from windows. In JSON it is flat: [`GenerationSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "GenerationSettings", into = "GenerationSettings")]
pub struct GenerationConfig {
    /// How neighbouring windows are made to agree.
    pub strategy: Strategy,
    /// Sampler and noise levels.
    pub sampling: SamplingConfig,
    /// Seed of the sample.
    pub seed: u64,
    /// Whether samples of all conditions with this seed have the same noise.
    pub shared_noise: bool,
}

/// How neighbouring windows are made to agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strategy {
    /// All windows take each step of the sampler together, on one noisy volume.
    Joint(Joint),
    /// One window after another; each is given what those before it made. The paper's way.
    Sequential(Sequential),
}

/// Settings of joint sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joint {
    /// Cells that neighbouring windows share, at least.
    pub overlap_cells: usize,
    /// Windows overlap only where the noise is less than this many times the signal: the lattice moves at each step, so
    /// that more noise covers the faces of a step.
    pub overlap_below_sigma: f64,
    /// Whether and how the sample is held to the mass of the condition.
    pub mass_guidance: Option<MassGuidance>,
}

/// Settings of windows that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequential {
    /// Which window comes when.
    pub order: WindowOrder,
    /// Which cells windows share.
    pub overlap: Overlap,
}

/// What windows that follow each other share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Cells that neighbouring windows share, at least.
    pub overlap_cells: usize,
    /// Outermost cells of a window that are thrown away and drawn again by its neighbour, which sees beyond them; at
    /// most half of the overlap. Where windows come to share just twice as much, it is one cell less.
    #[serde(default)]
    pub margin_cells: usize,
}

/// Which window comes when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowOrder {
    /// One window after another, z fastest. The paper's order.
    Raster,
    /// The bits of [`Raster`](Self::Raster), windows that do not wait for each other together: some of an open volume,
    /// none of a periodic one.
    Wavefront,
    /// Eight phases, whatever the volume: windows of even and odd numbers per axis, the later ones between the earlier.
    Colour,
}

/// The name of a strategy, in JSON and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// The whole volume is denoised together, all windows at each step. It leaves no seams.
    #[default]
    Joint,
    /// One window after another, z fastest; each is given what those before it made. The paper's order.
    Raster,
    /// The bits of `raster`, computed together where windows do not wait for each other: faster in open volumes only.
    Wavefront,
    /// Eight groups of windows, whatever the volume: windows of even number first, then those between them.
    Colour,
}

/// Overlap of windows, in cells, if nobody says otherwise.
const OVERLAP_CELLS: usize = 8;
/// Noise below which windows overlap in joint sampling, if nobody says otherwise.
const OVERLAP_BELOW_SIGMA: f64 = 1.0;

/// How a volume is generated: JSON key `generation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationSettings {
    /// How neighbouring windows are made to agree.
    pub strategy: StrategyName,
    /// Cells that neighbouring windows share, at least; below `training.patch_cells`. For the shipped model's 32
    /// cells, 6 to 8 are sane.
    #[schemars(extend("absent" = "8"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_cells: Option<usize>,
    /// Outermost cells of a window that are thrown away and drawn again by its neighbour, which sees beyond them; at
    /// most half of the overlap. The paper has none; `joint` has none either.
    #[schemars(extend("absent" = "0"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin_cells: Option<usize>,
    /// Noise over signal below which windows overlap in `joint` sampling; other strategies have none.
    #[schemars(range(min = 0.0), extend("absent" = "1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_below_sigma: Option<f64>,
    /// Holds the sample to the mass of the condition at large scales; `joint` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mass_guidance: Option<MassGuidance>,
    /// Sampler and noise levels.
    pub sampling: SamplingConfig,
    /// Seed of the sample: another seed, or another condition, is another draw.
    pub seed: u64,
    /// Whether samples of all conditions with this seed have the same noise, and so much the same small scales. For
    /// experiments on one condition that is changed a little; never for ensembles of universes.
    pub shared_noise: bool,
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Joint(Joint::default())
    }
}

impl Default for Joint {
    fn default() -> Self {
        Self { overlap_cells: OVERLAP_CELLS, overlap_below_sigma: OVERLAP_BELOW_SIGMA, mass_guidance: None }
    }
}

impl StrategyName {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Joint, Self::Raster, Self::Wavefront, Self::Colour];
}

impl Strategy {
    /// A strategy without margins that overlaps so much.
    #[must_use]
    pub fn new(name: StrategyName, overlap_cells: usize) -> Self {
        let overlap = Overlap { overlap_cells, margin_cells: 0 };
        match name {
            StrategyName::Joint => Self::Joint(Joint { overlap_cells, ..Joint::default() }),
            StrategyName::Raster => Self::Sequential(Sequential { order: WindowOrder::Raster, overlap }),
            StrategyName::Wavefront => {
                Self::Sequential(Sequential { order: WindowOrder::Wavefront, overlap })
            }
            StrategyName::Colour => Self::Sequential(Sequential { order: WindowOrder::Colour, overlap }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> StrategyName {
        match self {
            Self::Joint(_) => StrategyName::Joint,
            Self::Sequential(Sequential { order, .. }) => match order {
                WindowOrder::Raster => StrategyName::Raster,
                WindowOrder::Wavefront => StrategyName::Wavefront,
                WindowOrder::Colour => StrategyName::Colour,
            },
        }
    }

    /// Whether and how samples are held to the mass of the condition.
    #[must_use]
    pub fn mass_guidance(&self) -> Option<MassGuidance> {
        match self {
            Self::Joint(joint) => joint.mass_guidance,
            Self::Sequential(_) => None,
        }
    }

    /// Cells that neighbouring windows share, at least.
    #[must_use]
    pub fn overlap_cells(&self) -> usize {
        match self {
            Self::Joint(joint) => joint.overlap_cells,
            Self::Sequential(sequential) => sequential.overlap.overlap_cells,
        }
    }
}

impl Overlap {
    /// Checks that a margin leaves its neighbour something to see.
    ///
    /// # Errors
    /// [`OutpaintError::Setting`].
    pub fn check(&self) -> Result<(), OutpaintError> {
        let Self { overlap_cells, margin_cells } = *self;
        if margin_cells <= overlap_cells / 2 {
            return Ok(());
        }
        let expected = format!("at most half of the overlap of {overlap_cells} cells");
        Err(OutpaintError::Setting { name: "margin_cells", found: margin_cells.to_string(), expected })
    }
}

impl GenerationConfig {
    /// Checks the settings of its strategy.
    ///
    /// # Errors
    /// [`OutpaintError::Setting`] names the setting and what is needed.
    pub fn check(&self) -> Result<(), OutpaintError> {
        match self.strategy {
            Strategy::Sequential(Sequential { overlap, .. }) => overlap.check(),
            Strategy::Joint(Joint { overlap_below_sigma, mass_guidance, .. }) => {
                if overlap_below_sigma >= 0.0 {
                    return mass_guidance.map_or(Ok(()), |guidance| guidance.check());
                }
                let (name, found) = ("overlap_below_sigma", overlap_below_sigma.to_string());
                Err(OutpaintError::Setting { name, found, expected: "0 or more".to_owned() })
            }
        }
    }
}

impl TryFrom<GenerationSettings> for GenerationConfig {
    type Error = OutpaintError;

    fn try_from(settings: GenerationSettings) -> Result<Self, OutpaintError> {
        let GenerationSettings {
            strategy: name,
            margin_cells,
            overlap_below_sigma,
            mass_guidance,
            sampling,
            seed,
            shared_noise,
            ..
        } = settings;
        let mut strategy = Strategy::new(name, settings.overlap_cells.unwrap_or(OVERLAP_CELLS));
        let foreign = |name, found: String, expected: &str| {
            Err(OutpaintError::Setting { name, found, expected: expected.to_owned() })
        };
        match &mut strategy {
            Strategy::Joint(joint) => {
                if let Some(margin) = margin_cells {
                    let expected =
                        "left out: joint sampling has none (the masks of training are `training.masks`)";
                    return foreign("margin_cells", margin.to_string(), expected);
                }
                joint.overlap_below_sigma = overlap_below_sigma.unwrap_or(OVERLAP_BELOW_SIGMA);
                joint.mass_guidance = mass_guidance;
            }
            Strategy::Sequential(sequential) => {
                if let Some(sigma) = overlap_below_sigma {
                    return foreign(
                        "overlap_below_sigma",
                        sigma.to_string(),
                        "left out: only joint sampling has it",
                    );
                }
                if let Some(guidance) = mass_guidance {
                    return foreign(
                        "mass_guidance",
                        format!("{} cells", guidance.smoothing_cells),
                        "left out: only joint sampling has it",
                    );
                }
                sequential.overlap.margin_cells = margin_cells.unwrap_or(0);
            }
        }
        let config = Self { strategy, sampling, seed, shared_noise };
        config.check().map(|()| config)
    }
}

impl From<GenerationConfig> for GenerationSettings {
    fn from(GenerationConfig { strategy, sampling, seed, shared_noise }: GenerationConfig) -> Self {
        let (margin_cells, overlap_below_sigma, mass_guidance) = match strategy {
            Strategy::Joint(joint) => (None, Some(joint.overlap_below_sigma), joint.mass_guidance),
            Strategy::Sequential(sequential) => (Some(sequential.overlap.margin_cells), None, None),
        };
        let overlap_cells = Some(strategy.overlap_cells());
        Self {
            strategy: strategy.name(),
            overlap_cells,
            margin_cells,
            overlap_below_sigma,
            mass_guidance,
            sampling,
            seed,
            shared_noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<GenerationConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn json_names_every_choice_and_refuses_others() {
        let config = parse(
            r#"{"strategy": "colour", "overlap_cells": 12, "margin_cells": 3, "seed": 7,
                "sampling": {"sampler": "ddim", "levels": {"log_uniform": {"steps": 9, "sigma_min": 0.01, "sigma_max": 50}}}}"#,
        )
        .unwrap();
        let overlap = Overlap { overlap_cells: 12, margin_cells: 3 };
        assert_eq!(config.strategy, Strategy::Sequential(Sequential { order: WindowOrder::Colour, overlap }));
        assert_eq!(config.seed, 7);
        for config in [config, GenerationConfig::default(), parse(r#"{"strategy": "wavefront"}"#).unwrap()] {
            assert_eq!(parse(&serde_json::to_string(&config).unwrap()), Ok(config));
        }
        assert!(parse(r#"{"stride_cells": 3}"#).unwrap_err().contains("stride_cells"));
        assert!(parse(r#"{"strategy": "spiral"}"#).unwrap_err().contains("spiral"));
    }

    #[test]
    fn a_strategy_has_its_own_settings_and_no_others() {
        assert!(parse(r#"{"margin_cells": 3}"#).unwrap_err().contains("training.masks"));
        let error = parse(r#"{"strategy": "raster", "overlap_below_sigma": 1}"#).unwrap_err();
        assert!(error.contains("only joint"), "{error}");
        let error = parse(r#"{"strategy": "raster", "overlap_cells": 6, "margin_cells": 4}"#).unwrap_err();
        assert!(error.contains("at most half of the overlap of 6 cells"), "{error}");
        assert!(parse(r#"{"strategy": "raster", "overlap_cells": 6, "margin_cells": 3}"#).is_ok());
        assert!(parse(r#"{"overlap_below_sigma": -1}"#).unwrap_err().contains("0 or more"));

        let guided = parse(r#"{"mass_guidance": {"smoothing_cells": 6}}"#).unwrap();
        let Strategy::Joint(joint) = guided.strategy else { panic!("joint is the default") };
        assert_eq!(joint.mass_guidance, Some(MassGuidance { smoothing_cells: 6.0, below_sigma: 0.3 }));
        assert_eq!(parse(&serde_json::to_string(&guided).unwrap()), Ok(guided));
        let error = parse(r#"{"strategy": "raster", "mass_guidance": {"smoothing_cells": 6}}"#).unwrap_err();
        assert!(error.contains("only joint sampling has it"), "{error}");
        assert!(
            parse(r#"{"mass_guidance": {"smoothing_cells": 0.5}}"#).unwrap_err().contains("from 1 to 64")
        );
        let error = parse(r#"{"mass_guidance": {"smoothing_cells": 6, "below_sigma": -1}}"#).unwrap_err();
        assert!(error.contains("0 or more"), "{error}");
    }
}
