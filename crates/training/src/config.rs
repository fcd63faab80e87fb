//! The configuration of a run.

use crate::{Decay, TrainingConfig, TrainingError};
use finescale_denoiser::{NetworkConfig, Prediction};
use finescale_diffusion::{DiffusionConfig, Sampler};
use finescale_field::Scalar;
use finescale_outpaint::{Boundary, GenerationConfig, Overlap, Strategy, Tiling};
use finescale_pairs::{CubeValues, DataConfig, PairFiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that makes a model and samples from it: one JSON file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is learned from: pairs of a coarse and a fine field of one universe, and how they become network values.
    pub data: DataConfig,
    /// The shape of the network, a 3-D U-Net with self-attention at its last level.
    pub network: NetworkConfig,
    /// The noise that the network learns to remove, and its loss.
    pub diffusion: DiffusionConfig,
    /// The optimization of the network.
    pub training: TrainingConfig,
    /// How volumes are generated from windows. It goes into the model, and options of `upscale` replace its values.
    /// Training draws samples for `training.spectrum` with this sampler.
    pub generation: GenerationConfig,
}

impl RunConfig {
    /// Reads and checks the configuration file `path`.
    ///
    /// # Errors
    /// [`TrainingError::Read`]; [`TrainingError::ConfigSyntax`] names the key that is unknown, missing or of
    /// the wrong type; [`TrainingError::ConfigValue`] a number out of range.
    pub fn load(path: &Path) -> Result<Self, TrainingError> {
        let text = finescale_durable::read_text_of_any(path)
            .map_err(|source| TrainingError::Read { path: path.into(), source })?;
        let config = Self::parse(&text).map_err(|(key, problem)| TrainingError::ConfigSyntax {
            path: path.into(),
            key,
            problem,
        })?;
        config.check()?;
        Ok(config)
    }

    /// Parses a configuration; on failure, the key and the problem.
    pub(crate) fn parse(text: &str) -> Result<Self, (String, String)> {
        let deserializer = &mut serde_json::Deserializer::from_str(text);
        let config = serde_path_to_error::deserialize(&mut *deserializer).map_err(|error| {
            let key = error.path().to_string();
            (if key == "." { "the file".into() } else { key }, error.into_inner().to_string())
        })?;
        deserializer.end().map_err(|error| ("the file".to_owned(), error.to_string())).map(|()| config)
    }

    /// Every key with its value, as indented JSON.
    #[must_use]
    pub fn resolved(&self) -> String {
        serde_json::to_string_pretty(self).expect("a configuration is plain JSON")
    }

    /// Checks every number that can be checked without reading data.
    ///
    /// # Errors
    /// [`TrainingError::ConfigValue`] names the key and what is needed.
    pub fn check(&self) -> Result<(), TrainingError> {
        let t = &self.training;
        self.network.validate()?;
        count("training.patch_cells", t.patch_cells, MOST_PATCH_CELLS)?;
        self.network.validate_patch(t.patch_cells)?;
        self.check_condition()?;
        self.diffusion.level_draw()?;
        self.generation.sampling.levels.levels()?;
        self.generation.check()?;
        self.masks().check()?;
        let cells = t.patch_cells;
        for overlap in [self.generation.strategy.overlap_cells(), self.masks().overlap_cells] {
            Tiling::new([cells; 3], cells, overlap, Boundary::Periodic)?;
        }
        self.check_length()?;
        count("training.batch_size", t.batch_size, MOST_PATCHES)?;
        count("training.accumulate", t.accumulate, MOST_PATCHES)?;
        self.check_sizes()?;
        if !t.batch_size.is_multiple_of(t.accumulate) {
            let expected = format!("it must divide the batch_size of {}", t.batch_size);
            return Err(value_error("training.accumulate", t.accumulate, expected));
        }
        at_least_one("training.validate_every_steps", t.validate_every_steps)?;
        within("training.learning_rate", t.learning_rate, f64::MIN_POSITIVE, 1.0)?;
        within("training.weight_decay", t.weight_decay, 0.0, 1e3)?;
        within("training.gradient_clip_norm", t.gradient_clip_norm, f64::MIN_POSITIVE, f64::MAX)?;
        within("training.ema_decay", t.ema_decay, 0.0, 1.0 - 1e-9)?;
        within("training.unknown_share", t.unknown_share, 0.0, 1.0)?;
        within("training.region_share", t.region_share, 0.0, 1.0)?;
        within("training.save_every_minutes", t.save_every_minutes, 0.0, 1e6)?;
        if let Decay::Cosine { floor } = t.decay {
            within("training.decay.cosine.floor", floor, 0.0, 1.0)?;
        }
        if let Some(spectrum) = t.spectrum {
            at_least_one("training.spectrum.every_steps", spectrum.every_steps)?;
            count("training.spectrum.samples", spectrum.samples, MOST_SAMPLES)?;
            count("training.spectrum.cells", spectrum.cells, MOST_SPECTRUM_CELLS)?;
            if spectrum.cells < cells {
                let expected = format!("it must be at least patch_cells, {cells}");
                return Err(value_error("training.spectrum.cells", spectrum.cells, expected));
            }
        }
        if t.teacher.is_some() {
            self.check_student()?;
        }
        // Parts of steps key the random numbers, with 32 bits.
        let most = u64::from(u32::MAX) / t.accumulate as u64;
        if t.steps > most {
            return Err(value_error("training.steps", t.steps, format!("at most {most} are possible")));
        }
        Ok(())
    }

    /// The windows of which training draws its masks of known voxels.
    #[must_use]
    pub fn masks(&self) -> Overlap {
        self.training.masks.unwrap_or(match self.generation.strategy {
            Strategy::Sequential(sequential) => sequential.overlap,
            Strategy::Joint(joint) => Overlap { overlap_cells: joint.overlap_cells, margin_cells: 0 },
        })
    }

    /// The same run with so many updates, instead of those or the minutes that it names.
    #[must_use]
    pub fn with_steps(&self, steps: u64) -> Self {
        let training = TrainingConfig { steps, minutes: None, ..self.training.clone() };
        Self { training, ..self.clone() }
    }
}

/// Most patches of an update, and of a validation.
const MOST_PATCHES: usize = 1 << 16;
/// Most cells of a patch per axis: ten times the paper's.
const MOST_PATCH_CELLS: usize = 480;
/// Most values that the patches of one update have, all channels: 16 GB of f32.
const MOST_VALUES: usize = 1 << 32;
/// Most samples whose power is averaged.
const MOST_SAMPLES: usize = 1000;
/// Most cells per axis of such a sample.
const MOST_SPECTRUM_CELLS: usize = 4096;

impl RunConfig {
    /// Checks that the run has one length, in updates or in minutes.
    fn check_length(&self) -> Result<(), TrainingError> {
        let expected = || "write either training.steps or training.minutes, above zero".to_owned();
        match (self.training.steps, self.training.minutes) {
            (1.., None) => Ok(()),
            (0, Some(minutes)) => within("training.minutes", minutes, 1e-3, 1e6),
            (0, None) => Err(value_error("training.steps", 0, expected())),
            (_, Some(minutes)) => Err(value_error("training.minutes", minutes, expected())),
        }
    }

    /// Checks that the patches of an update and of a validation are some that a machine could hold.
    fn check_sizes(&self) -> Result<(), TrainingError> {
        let t = &self.training;
        if t.validation_patches > MOST_PATCHES {
            let expected = format!("at most {MOST_PATCHES} are possible");
            return Err(value_error("training.validation_patches", t.validation_patches, expected));
        }
        // Both factors are checked: neither product overflows.
        let values = t.patch_cells.pow(3) * self.network.input_channels();
        if t.batch_size > MOST_VALUES / values {
            let expected =
                format!("at most {} patches of {} cells are possible", MOST_VALUES / values, t.patch_cells);
            return Err(value_error("training.batch_size", t.batch_size, expected));
        }
        Ok(())
    }

    /// Checks what only distillation needs.
    fn check_student(&self) -> Result<(), TrainingError> {
        let sampler = self.generation.sampling.sampler;
        if sampler != Sampler::Ddim {
            let expected = "a network with a training.teacher learns steps of ddim; write that".to_owned();
            return Err(value_error("generation.sampling.sampler", sampler, expected));
        }
        if self.network.prediction == Prediction::Epsilon {
            let expected = "a network with a training.teacher predicts clean fields; write edm".to_owned();
            return Err(value_error("network.prediction", "epsilon", expected));
        }
        Ok(())
    }

    /// Checks that data and network agree on the channels of the condition.
    fn check_condition(&self) -> Result<(), TrainingError> {
        let data = &self.data;
        if let Some(cells) = data.surroundings_smoothing_cells {
            within("data.surroundings_smoothing_cells", cells, 1.0, 64.0)?;
        }
        if let Some(cells) = data.baseline_smoothing_cells {
            within("data.baseline_smoothing_cells", cells, 0.0, 16.0)?;
        }
        for cubes in data.training.iter().chain(&data.validation).filter_map(PairFiles::cubes) {
            within("data.training.cubes.box_size_mpc_h", cubes.box_size_mpc_h, 1e-6, 1e9)?;
            within("data.training.cubes.redshift", cubes.redshift, 0.0, 1e4)?;
            if let CubeValues::Over(mean) = cubes.values
                && !(mean > 0.0 && mean.is_finite())
            {
                let expected = "a positive mean of counts or masses".to_owned();
                return Err(value_error("data.training.cubes.values.over", mean, expected));
            }
        }
        for (key, mean_count) in [
            ("data.condition_mean_count", data.condition_mean_count),
            ("data.truth_mean_count", data.truth_mean_count),
        ] {
            mean_count.map_or(Ok(()), |found| within(key, found, 1e-12, 1e12))?;
        }
        for (index, Scalar { name, centre, width }) in data.scalars.iter().enumerate() {
            if !(centre.is_finite() && *width > 0.0 && width.is_finite()) {
                let expected = format!("{name} needs a finite centre and a width above zero");
                return Err(value_error("data.scalars", format!("centre {centre}, width {width}"), expected));
            }
            if data.scalars[..index].iter().any(|other| other.name == *name) {
                return Err(value_error("data.scalars", format!("{name} twice"), "once is enough".into()));
            }
        }
        let (fields, named) = (data.fields(), self.network.fields);
        if named != fields {
            let expected =
                format!("write {fields}, as many as the truth of the first training pair has files");
            return Err(value_error("network.fields", named, expected));
        }
        let (names, found) = (data.channels().names(fields), self.network.condition_channels);
        if found != names.len() {
            let expected = format!("write {}, the data gives {}", names.len(), names.join(", "));
            return Err(value_error("network.condition_channels", found, expected));
        }
        if self.network.baseline && data.baseline_smoothing_cells.is_none() {
            let expected = "there is none without data.baseline_smoothing_cells".to_owned();
            return Err(value_error("network.baseline", true, expected));
        }
        Ok(())
    }
}

fn at_least_one(key: &'static str, found: u64) -> Result<(), TrainingError> {
    if found > 0 { Ok(()) } else { Err(value_error(key, found, "it must be at least 1".into())) }
}

fn count(key: &'static str, found: usize, most: usize) -> Result<(), TrainingError> {
    let expected = || format!("it must lie between 1 and {most}");
    if (1..=most).contains(&found) { Ok(()) } else { Err(value_error(key, found, expected())) }
}

fn within(key: &'static str, found: f64, least: f64, most: f64) -> Result<(), TrainingError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(value_error(key, found, format!("it must lie between {least:e} and {most:e}")))
}

pub(crate) fn value_error(key: &'static str, found: impl ToString, expected: String) -> TrainingError {
    TrainingError::ConfigValue { key, found: found.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> impl Iterator<Item = std::path::PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        [
            "demo.json",
            "small.json",
            "tng300.json",
            "four_steps.json",
            "todays_mock.json",
            "todays_mock_48.json",
            "todays_mock_voids.json",
            "fine_tune.json",
        ]
        .into_iter()
        .map(move |name| folder.join(name))
    }

    fn load(text: &str) -> Result<RunConfig, TrainingError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        RunConfig::load(&path)
    }

    fn demo(change: impl Fn(&mut serde_json::Value)) -> String {
        let text = std::fs::read_to_string(configs().next().unwrap()).unwrap();
        let mut value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn the_configurations_of_the_project_are_sound() {
        let sizes = configs().map(|path| {
            let config = RunConfig::load(&path).unwrap();
            assert_eq!(load(&config.resolved()).unwrap(), config, "{}", path.display());
            config.network.parameter_count().unwrap()
        });
        let sizes: Vec<usize> = sizes.collect();
        assert!((4_300_000..4_500_000).contains(&sizes[0]), "{sizes:?}");
        assert_eq!(sizes[2], 31_511_425);
    }

    #[test]
    fn a_mistake_is_named_by_its_key() {
        let key = |text: &str| match load(text) {
            Err(TrainingError::ConfigSyntax { key, problem, .. }) => format!("{key}: {problem}"),
            other => panic!("{other:?}"),
        };
        assert!(key(&demo(|c| c["training"]["epochs"] = 3.into())).contains("unknown field `epochs`"));
        assert!(key(&demo(|c| c["training"]["steps"] = "many".into())).starts_with("training.steps: "));
        assert!(key(&demo(|c| c["network"] = serde_json::json!({}))).starts_with("network: missing field"));
        assert!(key("{\"data\": ").starts_with("data"));
        let missing = RunConfig::load(Path::new("no such file.json")).unwrap_err();
        assert!(matches!(missing, TrainingError::Read { .. }));
    }

    #[test]
    fn the_network_must_take_the_channels_that_the_data_gives() {
        let with = |count: usize| {
            demo(|c| {
                c["data"]["surroundings_smoothing_cells"] = 8.into();
                c["data"]["scalars"] = serde_json::json!([
                    {"name": "omega_m", "centre": 0.3, "width": 0.1},
                    {"name": "sigma_8", "centre": 0.8, "width": 0.1},
                ]);
                c["data"]["baseline_smoothing_cells"] = 0.8.into();
                c["network"]["condition_channels"] = count.into();
            })
        };
        assert!(load(&with(5)).is_ok());
        let text = load(&with(3)).unwrap_err().to_string();
        let expected = "write 5, the data gives density, surroundings, omega_m, sigma_8, baseline";
        assert_eq!(text, format!("`network.condition_channels` is 3: {expected}"));
    }

    #[test]
    fn several_fields_are_named_in_data_and_network() {
        let with = |fields: usize, channels: usize| {
            demo(|c| {
                c["data"]["training"] = serde_json::json!([{"condition": "a", "truth": ["b", "c"]}]);
                c["network"]["fields"] = fields.into();
                c["network"]["condition_channels"] = channels.into();
            })
        };
        assert!(load(&with(2, 3)).is_ok());
        let text = load(&with(1, 3)).unwrap_err().to_string();
        assert!(text.starts_with("`network.fields` is 1: write 2"), "{text}");
        let text = load(&with(2, 2)).unwrap_err().to_string();
        assert!(text.ends_with("write 3, the data gives density, baseline, baseline"), "{text}");
    }

    #[test]
    fn a_run_has_one_length() {
        let key = |change: fn(&mut serde_json::Value)| match load(&demo(change)) {
            Err(TrainingError::ConfigValue { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        let absent = |c: &mut serde_json::Value| c["training"].as_object_mut().unwrap().remove("steps");
        let minutes = load(&demo(|c| {
            absent(c);
            c["training"]["minutes"] = 8.into();
        }));
        let minutes = minutes.unwrap();
        assert_eq!((minutes.training.steps, minutes.training.minutes), (0, Some(8.0)));
        assert_eq!(load(&minutes.resolved()).unwrap(), minutes);
        let fixed = load(&minutes.with_steps(70).resolved()).unwrap();
        assert_eq!((fixed.training.steps, fixed.training.minutes), (70, None));

        assert_eq!(key(|c| c["training"]["minutes"] = 8.into()), "training.minutes");
        assert_eq!(key(|c| drop(c["training"].as_object_mut().unwrap().remove("steps"))), "training.steps");
        assert_eq!(
            key(|c| {
                c["training"]["steps"] = 0.into();
                c["training"]["minutes"] = 0.into();
            }),
            "training.minutes"
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (key, value) in [
            ("steps", serde_json::json!(0)),
            ("steps", serde_json::json!(1u64 << 32)),
            ("batch_size", serde_json::json!(0)),
            ("batch_size", serde_json::json!(1u64 << 40)),
            ("validation_patches", serde_json::json!(u64::MAX)),
            ("patch_cells", serde_json::json!(0)),
            ("patch_cells", serde_json::json!(1u64 << 40)),
            ("spectrum", serde_json::json!({"every_steps": 9, "samples": u64::MAX})),
            ("spectrum", serde_json::json!({"every_steps": 9, "cells": u64::MAX})),
            ("accumulate", serde_json::json!(0)),
            ("accumulate", serde_json::json!(3)),
            ("validate_every_steps", serde_json::json!(0)),
            ("learning_rate", serde_json::json!(0.0)),
            ("weight_decay", serde_json::json!(-1.0)),
            ("gradient_clip_norm", serde_json::json!(0.0)),
            ("ema_decay", serde_json::json!(1.0)),
            ("unknown_share", serde_json::json!(1.5)),
            ("region_share", serde_json::json!(-0.1)),
            ("save_every_minutes", serde_json::json!(-1.0)),
            ("spectrum", serde_json::json!({"every_steps": 0})),
            ("spectrum", serde_json::json!({"every_steps": 9, "samples": 0})),
            ("spectrum", serde_json::json!({"every_steps": 9, "cells": 31})),
            ("decay", serde_json::json!({"cosine": {"floor": 2.0}})),
        ] {
            let error = load(&demo(|c| c["training"][key] = value.clone())).unwrap_err();
            let named = matches!(error, TrainingError::ConfigValue { key: found, .. } if found.contains(key));
            assert!(named, "{key}: {error}");
        }
        let patch = load(&demo(|c| c["training"]["patch_cells"] = 30.into())).unwrap_err();
        assert!(matches!(patch, TrainingError::Network(_)), "{patch}");
        let overlap = load(&demo(|c| c["generation"]["overlap_cells"] = 32.into())).unwrap_err();
        assert!(matches!(overlap, TrainingError::Tiling(_)), "{overlap}");
        for (section, key, value) in [
            ("data", "baseline_smoothing_cells", serde_json::json!(-1.0)),
            ("data", "baseline_smoothing_cells", serde_json::Value::Null),
            ("network", "condition_channels", serde_json::json!(3)),
        ] {
            let with_baseline = |c: &mut serde_json::Value| {
                c["data"]["baseline_smoothing_cells"] = 0.8.into();
                c["network"]["condition_channels"] = 2.into();
                c["network"]["baseline"] = true.into();
            };
            assert!(load(&demo(with_baseline)).is_ok());
            let error = load(&demo(|c| {
                with_baseline(c);
                c[section][key] = value.clone();
            }));
            assert!(matches!(error, Err(TrainingError::ConfigValue { .. })), "{key}: {value}");
        }
        let redshift = |width: f64| serde_json::json!({"name": "redshift", "centre": 1.0, "width": width});
        for (key, value) in [
            ("surroundings_smoothing_cells", serde_json::json!(0.5)),
            ("surroundings_smoothing_cells", serde_json::json!(1e18)),
            ("baseline_smoothing_cells", serde_json::json!(1e18)),
            ("condition_mean_count", serde_json::json!(0.0)),
            ("truth_mean_count", serde_json::json!(1e300)),
            ("scalars", serde_json::json!([redshift(0.0)])),
            ("scalars", serde_json::json!([redshift(1.0), redshift(1.0)])),
        ] {
            let error = load(&demo(|c| c["data"][key] = value.clone())).unwrap_err();
            let named = matches!(error, TrainingError::ConfigValue { key: found, .. } if found.contains(key));
            assert!(named, "{key}: {error}");
        }
        let baseline = load(&demo(|c| {
            c["data"]["baseline_smoothing_cells"] = serde_json::Value::Null;
            c["network"]["condition_channels"] = 1.into();
            c["network"]["baseline"] = true.into();
        }));
        assert!(matches!(baseline, Err(TrainingError::ConfigValue { key: "network.baseline", .. })));
        for steps in [1, u64::MAX] {
            let levels = demo(|c| c["diffusion"]["schedule"] = serde_json::json!({"steps": steps}));
            assert!(matches!(load(&levels), Err(TrainingError::Diffusion(_))), "{steps}");
            let mut sampling = serde_json::json!({"log_uniform": {"sigma_min": 0.01, "sigma_max": 80.0}});
            sampling["log_uniform"]["steps"] = (if steps == 1 { 0 } else { steps }).into();
            let levels = demo(|c| c["generation"]["sampling"] = serde_json::json!({"levels": sampling}));
            assert!(matches!(load(&levels), Err(TrainingError::Diffusion(_))), "{steps}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        for deep in ["[", "{\"data\":"] {
            let error = load(&deep.repeat(200_000)).unwrap_err();
            assert!(matches!(error, TrainingError::ConfigSyntax { .. }), "{error}");
        }
    }
}
