//! The `generation` section of a configuration.

use finescale_diffusion::SamplingConfig;
use serde::{Deserialize, Serialize};

/// How a volume is generated from windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// What windows tell each other.
    pub strategy: Strategy,
    /// Cells that neighbouring windows share, at least.
    pub overlap_cells: usize,
    /// Cells before its faces that a window leaves to the windows that go on from there, which see beyond them; less
    /// than half of the overlap. The paper has none; joint sampling has its own, whatever is set here.
    pub margin_cells: usize,
    /// Joint sampling lets windows overlap only where the noise is less than this many times the signal: the lattice
    /// moves at each step, so that more noise covers the faces of a step.
    pub overlap_below_sigma: f64,
    /// Sampler and noise levels.
    pub sampling: SamplingConfig,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::Joint,
            overlap_cells: 8,
            margin_cells: 0,
            overlap_below_sigma: 1.0,
            sampling: SamplingConfig::default(),
            seed: 0,
        }
    }
}

/// What windows tell each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// All windows take each step of the sampler together, on one noisy volume.
    #[default]
    Joint,
    /// One window after another, z fastest; each is given what those before it made. The paper's order.
    Raster,
    /// The bits of [`Raster`](Self::Raster), windows that do not wait for each other together: some of an open volume,
    /// none of a periodic one.
    Wavefront,
    /// Eight phases, whatever the volume: windows of even and odd numbers per axis, the later ones between the earlier.
    Colour,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::Joint, Self::Raster, Self::Wavefront, Self::Colour];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_every_choice_and_refuses_others() {
        let config: GenerationConfig = serde_json::from_str(
            r#"{"strategy": "colour", "overlap_cells": 12, "seed": 7,
                "sampling": {"sampler": "ddim", "levels": {"log_uniform": {"steps": 9, "sigma_min": 0.01, "sigma_max": 50}}}}"#,
        )
        .unwrap();
        assert_eq!((config.overlap_cells, config.seed), (12, 7));
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<GenerationConfig>(&written).unwrap(), config);
        assert!(serde_json::from_str::<GenerationConfig>(r#"{"stride_cells": 3}"#).is_err());
        assert!(serde_json::from_str::<GenerationConfig>(r#"{"strategy": "spiral"}"#).is_err());
    }
}
