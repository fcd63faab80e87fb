//! The `generation` section of a configuration.

use finescale_diffusion::SamplingConfig;
use serde::{Deserialize, Serialize};

/// How a volume is generated from windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// The order of windows.
    pub strategy: Strategy,
    /// Cells that a window shares with the one before it, at least.
    pub overlap_cells: usize,
    /// Sampler and noise levels.
    pub sampling: SamplingConfig,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self { strategy: Strategy::Raster, overlap_cells: 8, sampling: SamplingConfig::default(), seed: 0 }
    }
}

/// The order in which windows are generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One window after another, z fastest.
    #[default]
    Raster,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_every_choice_and_refuses_others() {
        let config: GenerationConfig = serde_json::from_str(
            r#"{"strategy": "raster", "overlap_cells": 12, "seed": 7,
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
