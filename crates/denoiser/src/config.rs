//! The configuration of a network.

use crate::DenoiserError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the network's output means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Prediction {
    /// The noise; the network is told ᾱ itself. The reference's choice.
    Epsilon,
    /// A mixture of signal and noise that has unit variance at any noise level, from an input of unit variance. With a
    /// `sigma_data` of 1 that is v-prediction: F = −v, v = √ᾱ · ε − √(1 − ᾱ) · clean. It needs few sampling steps.
    ///
    /// # Source
    /// Karras et al. 2022, arXiv:2206.00364, eq. 7 and table 1; v: Salimans & Ho 2022, arXiv:2202.00512, appendix D.
    Edm {
        /// Standard deviation of the clean field as the network sees it, without its baseline where it has one. The
        /// normalization makes it about 0.5, a baseline less: 0.34 for the mock universes.
        #[schemars(extend("unit" = "network values", "exclusiveMinimum" = 0))]
        sigma_data: f64,
    },
}

/// The shape of a U-Net (JSON key `network`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels of the first level, even. The size of the network: memory and time rise with it, parameters with its
    /// square. 24 to 64 are sane.
    #[schemars(range(min = 2, max = 16384))]
    pub base_channels: usize,
    /// Channels of each level in units of `base_channels`. Each level has half the cells per side of the one before,
    /// so `training.patch_cells` must be a multiple of 2 for two levels, of 4 for three.
    #[schemars(length(min = 1, max = 8), extend("unit" = "`base_channels`"))]
    pub channel_multipliers: Vec<usize>,
    /// Residual blocks per level on the way down; there is one more on the way up.
    #[schemars(range(min = 1, max = 64))]
    pub residual_blocks: usize,
    /// Channels of an attention head; they must divide those of the last level, at which attention is.
    #[schemars(range(min = 1, max = 16384))]
    pub head_channels: usize,
    /// Groups of every group norm; they must divide the channels of each level.
    #[schemars(range(min = 1, max = 16384))]
    pub norm_groups: usize,
    /// Share of units dropped in training. 0 with many boxes, 0.1 to 0.2 with a single one.
    #[serde(default)]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "unit" = "share"))]
    pub dropout: f64,
    /// Fields that are generated at once: as many as the truth of a pair has files.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub fields: usize,
    /// Channels of the condition: one for the density, one for the surroundings if there are any, one for each of
    /// `data.scalars`, and one for each baseline. An error says the right number.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub condition_channels: usize,
    /// Whether further inputs tell which voxels are known, `known`, and what each field is there, `known * values`
    /// (zero elsewhere). They are not counted in `condition_channels`. Without them known voxels enter the network
    /// as they are, unmarked, as in the paper.
    #[serde(default)]
    pub known_channels: bool,
    /// Whether the last condition channels, one for each field, are first guesses of the clean fields, in their units:
    /// the network sees and predicts what is left of them. An exact change of variables, since the guesses are known.
    /// It needs `data.baseline_smoothing_cells`.
    #[serde(default)]
    pub baseline: bool,
    /// What the network predicts.
    pub prediction: Prediction,
}

fn one() -> usize {
    1
}

/// Most channels of a level, 64 times those of the paper.
const MOST_CHANNELS: usize = 1 << 14;
/// Most residual blocks of a level, most fields, and most channels of a condition.
const MOST_BLOCKS: usize = 64;

impl NetworkConfig {
    /// Checks every setting, but not how many parameters they make together.
    pub(crate) fn validate_settings(&self) -> Result<(), DenoiserError> {
        let setting =
            |setting, expected, found: String| Err(DenoiserError::Setting { setting, expected, found });
        if !(2..=MOST_CHANNELS).contains(&self.base_channels) || !self.base_channels.is_multiple_of(2) {
            return setting(
                "base_channels",
                "an even number from 2 to 16384",
                self.base_channels.to_string(),
            );
        }
        let levels = self.channel_multipliers.len();
        if !(1..=8).contains(&levels) {
            return setting(
                "channel_multipliers",
                "one to eight numbers above zero",
                format!("{levels} of them"),
            );
        }
        let fits = |multiplier: &usize| (1..=MOST_CHANNELS / self.base_channels).contains(multiplier);
        if !self.channel_multipliers.iter().all(fits) {
            let found = format!("{:?}", self.channel_multipliers);
            let expected = "one to eight numbers above zero that give levels of at most 16384 channels";
            return setting("channel_multipliers", expected, found);
        }
        let few = [
            ("residual_blocks", self.residual_blocks),
            ("fields", self.fields),
            ("condition_channels", self.condition_channels),
        ];
        if let Some((name, count)) = few.into_iter().find(|(_, count)| !(1..=MOST_BLOCKS).contains(count)) {
            return setting(name, "a number from 1 to 64", count.to_string());
        }
        for (name, count) in [("head_channels", self.head_channels), ("norm_groups", self.norm_groups)] {
            if !(1..=MOST_CHANNELS).contains(&count) {
                return setting(name, "a number from 1 to 16384", count.to_string());
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return setting("dropout", "a number in [0, 1)", self.dropout.to_string());
        }
        if let Prediction::Edm { sigma_data } = self.prediction
            && !(sigma_data > 0.0 && sigma_data.is_finite())
        {
            return setting(
                "prediction.edm.sigma_data",
                "a finite number above zero",
                sigma_data.to_string(),
            );
        }
        self.validate_divisors()
    }

    fn validate_divisors(&self) -> Result<(), DenoiserError> {
        let divisor = |setting, channels: usize, divisor: usize| {
            let fits = channels.is_multiple_of(divisor);
            if fits { Ok(()) } else { Err(DenoiserError::Channels { setting, channels, divisor }) }
        };
        for level in 0..self.channel_multipliers.len() {
            divisor("norm_groups", self.level_channels(level), self.norm_groups)?;
        }
        divisor("head_channels", self.level_channels(self.channel_multipliers.len() - 1), self.head_channels)
    }

    /// Checks that patches of `patch_cells` per side can be halved at every level.
    ///
    /// # Errors
    /// [`DenoiserError::PatchSize`] if not.
    pub fn validate_patch(&self, patch_cells: usize) -> Result<(), DenoiserError> {
        let multiple = self.patch_multiple();
        let fits = patch_cells > 0 && patch_cells.is_multiple_of(multiple);
        if fits { Ok(()) } else { Err(DenoiserError::PatchSize { patch: patch_cells, multiple }) }
    }

    /// What must divide the sides of a patch: two for each halving.
    #[must_use]
    pub fn patch_multiple(&self) -> usize {
        1 << self.channel_multipliers.len().saturating_sub(1)
    }

    /// Channels that the network takes: the condition, what is known if it is told, and the noisy fields.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        self.all_condition_channels() + self.fields
    }

    /// Channels of the condition with those that tell what is known.
    #[must_use]
    pub fn all_condition_channels(&self) -> usize {
        self.condition_channels + if self.known_channels { 1 + self.fields } else { 0 }
    }

    /// Channels of a level.
    pub(crate) fn level_channels(&self, level: usize) -> usize {
        self.base_channels * self.channel_multipliers[level]
    }

    /// Width of the noise level's embedding.
    pub(crate) fn embedding_channels(&self) -> usize {
        4 * self.base_channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::paper;

    #[test]
    fn the_papers_network_has_its_size_and_cost() {
        assert_eq!(paper().parameter_count().unwrap(), 31_511_425);
        let flop = paper().flop_per_evaluation(48).unwrap() as f64;
        assert!((flop / 700.8e9 - 1.0).abs() < 1e-3, "{flop} instead of 2 x 350.4e9");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        type Change = fn(&mut NetworkConfig);
        let cases: [(&str, Change); 17] = [
            ("base_channels", |c| c.base_channels = usize::MAX - 1),
            ("channel_multipliers", |c| c.channel_multipliers = vec![1, usize::MAX]),
            ("channel_multipliers", |c| c.channel_multipliers = vec![1; 100_000]),
            ("channel_multipliers", |c| c.channel_multipliers = vec![256; 8]),
            ("residual_blocks", |c| c.residual_blocks = 1_000_000_000),
            ("head_channels", |c| c.head_channels = usize::MAX),
            ("norm_groups", |c| c.norm_groups = usize::MAX),
            ("fields", |c| c.fields = usize::MAX),
            ("condition_channels", |c| c.condition_channels = usize::MAX),
            ("base_channels", |c| c.base_channels = 63),
            ("channel_multipliers", |c| c.channel_multipliers.clear()),
            ("residual_blocks", |c| c.residual_blocks = 0),
            ("head_channels", |c| c.head_channels = 0),
            ("norm_groups", |c| c.norm_groups = 0),
            ("condition_channels", |c| c.condition_channels = 0),
            ("dropout", |c| c.dropout = 1.0),
            ("prediction.edm.sigma_data", |c| c.prediction = Prediction::Edm { sigma_data: f64::NAN }),
        ];
        for (name, change) in cases {
            let mut config = paper();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(matches!(error, DenoiserError::Setting { setting, .. } if setting == name), "{error}");
        }
    }

    #[test]
    fn the_largest_networks_are_counted_without_overflow() {
        let largest = NetworkConfig { channel_multipliers: vec![64], residual_blocks: 2, ..paper() };
        assert!(largest.parameter_count().unwrap() > 5_000_000_000);
        let flop = largest.flop_per_evaluation(512).unwrap();
        assert!(flop > 1 << 59, "{flop}");
        assert_eq!(largest.flop_per_evaluation(1 << 20).unwrap(), u64::MAX);
    }

    #[test]
    fn channels_must_split() {
        let groups = NetworkConfig { norm_groups: 24, ..paper() }.validate().unwrap_err();
        assert_eq!(
            groups.to_string(),
            "a level of 64 channels does not split into network.norm_groups = 24: change either"
        );
        let heads = NetworkConfig { head_channels: 48, ..paper() }.validate().unwrap_err();
        assert!(matches!(
            heads,
            DenoiserError::Channels { setting: "head_channels", channels: 256, divisor: 48 }
        ));
    }

    #[test]
    fn patches_must_halve_at_every_level() {
        assert!(paper().validate_patch(48).is_ok());
        let error = paper().validate_patch(42).unwrap_err();
        assert!(matches!(error, DenoiserError::PatchSize { patch: 42, multiple: 4 }));
        assert!(paper().flop_per_evaluation(0).is_err());
    }

    #[test]
    fn unknown_keys_are_refused_and_predictions_have_two_spellings() {
        let mut json = serde_json::to_value(paper()).unwrap();
        assert_eq!(json["prediction"], "epsilon");
        json["prediction"] = serde_json::json!({"edm": {"sigma_data": 0.25}});
        let config: NetworkConfig = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(config.prediction, Prediction::Edm { sigma_data: 0.25 });
        json["norm_group"] = 8.into();
        let error = serde_json::from_value::<NetworkConfig>(json).unwrap_err();
        assert!(error.to_string().contains("norm_group"), "{error}");
    }
}
