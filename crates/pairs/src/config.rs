//! The `data` part of a configuration.

use crate::{PairError, one_or_many};
use finescale_field::{Channels, Conditioning, Normalizer, Region, Scalar, Transform};
use finescale_snapshot::CubeValues;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Default n at the mean density: below an eighth of the mean, log1p(n) is linear.
const MEAN_COUNT: f64 = 8.0;
/// Gas cells per voxel of the reference's truth: TNG300-1 on 264^3 cells.
const REFERENCE_TRUTH_COUNT: f64 = 2500.0 * 2500.0 * 2500.0 / (264.0 * 264.0 * 264.0);
/// Particles per voxel of the reference's condition: 128^3 particles on 264^3 cells.
const REFERENCE_CONDITION_COUNT: f64 = 128.0 * 128.0 * 128.0 / (264.0 * 264.0 * 264.0);

/// What to train on: JSON key `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Pairs to train on. All have voxels of one size, and the same quantities and mass assignment. Ten boxes teach
    /// more than one: large modes and rare objects differ between them.
    #[schemars(length(min = 1))]
    pub training: Vec<PairFiles>,
    /// Pairs to validate on, boxes that training never sees. Best of other universes than those of `training`;
    /// one or two are enough. Where there is one box only, `hold_out` is for it.
    #[serde(default)]
    pub validation: Vec<PairFiles>,
    /// Instead of `validation`: a part of every training box that no training patch touches, kept for validation.
    /// Where there is one box only. Each side must hold a patch (`training.patch_cells`), and what is left of the
    /// box one, too; a tenth of the box is plenty: 96 of 264 cells per side (75 of 205 Mpc/h) are 5 % of TNG300.
    #[serde(default)]
    pub hold_out: Option<Region>,
    /// How densities become network values. A run that begins with a model keeps that one's normalizers, but for those whose mean
    /// count is given below and is not the model's: they are fitted anew.
    #[serde(default)]
    pub normalization: NormalizationKind,
    /// The n in log1p(n (1 + δ)), by which the condition becomes network values. Densities below 1/n of the mean are
    /// seen linearly, those above in their logarithm. A choice of scale, not a fact about the data that has to be
    /// right. The particles per voxel of the condition are a good one (0.125 for 64³ particles on 128³ cells), since
    /// what is less than a particle is noise; 0.1 to 10 are sane.
    #[serde(default)]
    #[schemars(range(min = 1e-12, max = 1e12))]
    #[schemars(extend("unit" = "particles per voxel", "absent" = "8; 0.114 for `reference`; the model's with `--from`"))]
    pub condition_mean_count: Option<f64>,
    /// The same for the truth, also a choice: it need not be the particles per voxel of the truth. A larger one spends
    /// more of the network's attention on voids, a smaller one more on dense places, which make most of the power and
    /// of the mass. The shipped model has 1; of 0.25, 1 and 8, 0.25 gave better power and 8 % too much mass
    /// where gas was particles. The model of today's mock, whose voids are smooth, has 4, which brought their percentiles near the truth's.
    #[serde(default)]
    #[schemars(range(min = 1e-12, max = 1e12))]
    #[schemars(extend("unit" = "particles per voxel", "absent" = "8; 849.2 for `reference`; the model's with `--from`"))]
    pub truth_mean_count: Option<f64>,
    /// Adds a condition channel of the wider surroundings: the condition of the whole box, smoothed by a Gaussian of
    /// this standard deviation, so that a window knows what lies beyond its faces. A quarter of a patch is sane: 8
    /// cells for patches of 32 (6 Mpc/h with voxels of 0.78 Mpc/h).
    #[serde(default)]
    #[schemars(range(min = 1.0, max = 64.0))]
    pub surroundings_smoothing_cells: Option<f64>,
    /// Adds a constant condition channel for each: a number that holds for a whole box and differs between pairs. The
    /// network is given (value − centre) / width. The values are those that the condition files say.
    #[serde(default)]
    pub scalars: Vec<Scalar>,
    /// Adds a last condition channel for each field of the truth: the condition, smoothed by a Gaussian of this
    /// standard deviation, in the network units of the truth. With `network.baseline` the network predicts what is
    /// left of the truth. About one voxel is sane: 0.8 cells are 0.6 Mpc/h in the mock universes.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 16.0))]
    pub baseline_smoothing_cells: Option<f64>,
    /// The axis along which observers look, of fields in redshift space: training then turns patches about it and flips
    /// them only, 16 ways instead of 48.
    #[serde(default)]
    pub line_of_sight: LineOfSight,
}

/// Along which axis observers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineOfSight {
    /// Along none: fields know no direction.
    #[default]
    None,
    /// Along the slowest one.
    X,
    /// Along the middle one.
    Y,
    /// Along the fastest one.
    Z,
}

impl LineOfSight {
    /// The number of the axis.
    #[must_use]
    pub fn axis(self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::X => Some(0),
            Self::Y => Some(1),
            Self::Z => Some(2),
        }
    }
}

/// A pair on disk: in JSON a folder that holds `condition.hdf5` and `truth.hdf5`, or `{"condition": FILE,
/// "truth": FILE}`, or `{"condition": FILE, "truth": [FILE, FILE]}` for several high-resolution fields that are
/// generated at once. Files may be `.npy` cubes, of which `"cubes": {"box_size_mpc_h": 25, "values": "over_own_mean"}` says what
/// they do not say themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a pair is a folder, or {\"condition\": FILE, \"truth\": FILE or [FILE, ...]}, of numpy cubes with \"cubes\": {\"box_size_mpc_h\": 25, \"values\": \"overdensity\", \"delta\", \"over_own_mean\" or {\"over\": MEAN}, \"index\": N, \"redshift\": Z}"
)]
pub enum PairFiles {
    /// A folder that holds `condition.hdf5` and `truth.hdf5`, as `finescale mock` writes it.
    Folder(PathBuf),
    /// Grid files of one box, by name.
    Files(GridFiles),
}

/// The grid files of a pair, or numpy cubes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridFiles {
    /// Grid file of the low-resolution density.
    pub condition: PathBuf,
    /// Grid file of the high-resolution density, or a list of several that are generated at once.
    #[serde(with = "one_or_many")]
    #[schemars(with = "one_or_many::OneOrMany<PathBuf>")]
    pub truth: Vec<PathBuf>,
    /// What numpy cubes do not say of themselves, if these files are `.npy` cubes and no grid files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cubes: Option<Cubes>,
}

/// What holds for all numpy cubes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cubes {
    /// Side of the box.
    #[schemars(range(min = 1e-6, max = 1e9))]
    #[schemars(extend("unit" = "Mpc/h"))]
    pub box_size_mpc_h: f64,
    /// What the values are: `"overdensity"` (1 + δ), `"delta"` (δ), or counts or masses, which are divided by their mean in this
    /// box, `"over_own_mean"`, or in the whole universe, `{"over": MEAN}`.
    #[serde(default)]
    pub values: CubeValues,
    /// Which cube of a stack, counted from 0.
    #[serde(default)]
    pub index: Option<usize>,
    /// Redshift of the box.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e4))]
    pub redshift: f64,
}

impl PairFiles {
    /// The high-resolution fields, each with its place in its file.
    pub fn truths(&self) -> impl Iterator<Item = Truth> {
        // A file with one cube may say which, or not.
        let index = self.cubes().and_then(|cubes| cubes.index).unwrap_or(0);
        self.truth().into_iter().map(move |path| Truth { path, index })
    }

    /// What is said of numpy cubes.
    #[must_use]
    pub fn cubes(&self) -> Option<&Cubes> {
        match self {
            Self::Folder(_) => None,
            Self::Files(files) => files.cubes.as_ref(),
        }
    }

    /// Grid file of the low-resolution density.
    #[must_use]
    pub fn condition(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join("condition.hdf5"),
            Self::Files(files) => files.condition.clone(),
        }
    }

    /// Grid files of the high-resolution densities.
    #[must_use]
    pub fn truth(&self) -> Vec<PathBuf> {
        match self {
            Self::Folder(folder) => vec![folder.join("truth.hdf5")],
            Self::Files(files) => files.truth.clone(),
        }
    }
}

/// How densities become network values, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationKind {
    /// Linear in log1p(n (1 + δ)), fitted to the training pairs.
    #[default]
    Linear,
    /// The sigmoids of arXiv:2311.05217 with its constants, for its checkpoints.
    Reference,
}

/// The normalizers of all fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizers {
    /// That of the low-resolution density.
    pub condition: Normalizer,
    /// That of each high-resolution density.
    pub truth: Vec<Normalizer>,
}

impl Normalizers {
    /// How a low-resolution density becomes these channels.
    #[must_use]
    pub fn conditioning(&self, channels: Channels) -> Conditioning {
        Conditioning { density: self.condition, truth: self.truth.clone(), channels }
    }
}

/// Where the normalizers come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// That of the condition.
    pub condition: Scale,
    /// Those of the truth, one for each field if they are known.
    pub truth: Scale,
}

/// Where the normalizers of some fields come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// [`Normalizer::fit_linear`] on the training pairs, with this n at the mean density.
    Fit(f64),
    /// Known already: the reference's, or those of a model that is trained further.
    Known(Vec<Normalizer>),
}

impl Default for Normalization {
    fn default() -> Self {
        Self { condition: Scale::Fit(MEAN_COUNT), truth: Scale::Fit(MEAN_COUNT) }
    }
}

impl From<Normalizers> for Normalization {
    fn from(known: Normalizers) -> Self {
        Self { condition: Scale::Known(vec![known.condition]), truth: Scale::Known(known.truth) }
    }
}

impl Normalization {
    /// The normalizers, if none has to be fitted.
    #[must_use]
    pub fn known(&self) -> Option<Normalizers> {
        match (&self.condition, &self.truth) {
            (Scale::Known(condition), Scale::Known(truth)) => {
                Some(Normalizers { condition: condition[0], truth: truth.clone() })
            }
            _ => None,
        }
    }
}

impl DataConfig {
    /// The normalization that the configuration asks for.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        let (condition, truth) = (self.condition_mean_count, self.truth_mean_count);
        match self.normalization {
            NormalizationKind::Linear => Normalization {
                condition: Scale::Fit(condition.unwrap_or(MEAN_COUNT)),
                truth: Scale::Fit(truth.unwrap_or(MEAN_COUNT)),
            },
            NormalizationKind::Reference => Normalization::from(Normalizers {
                condition: Normalizer {
                    mean_count: condition.unwrap_or(REFERENCE_CONDITION_COUNT),
                    transform: Transform::REFERENCE_CONDITION,
                },
                truth: vec![
                    Normalizer {
                        mean_count: truth.unwrap_or(REFERENCE_TRUTH_COUNT),
                        transform: Transform::REFERENCE_TRUTH,
                    };
                    self.fields()
                ],
            }),
        }
    }

    /// The normalization of a run that begins with a model of these normalizers: they hold, but for a mean count that the
    /// configuration names and the model does not have. Its fields are fitted anew.
    #[must_use]
    pub fn normalization_from(&self, model: Normalizers) -> Normalization {
        let asked = self.normalization();
        let differs = |count: Option<f64>, of: Normalizer| count.is_some_and(|count| count != of.mean_count);
        let condition_differs = differs(self.condition_mean_count, model.condition);
        let truth_differs = model.truth.iter().any(|&of| differs(self.truth_mean_count, of));
        let kept = Normalization::from(model);
        Normalization {
            condition: if condition_differs { asked.condition } else { kept.condition },
            truth: if truth_differs { asked.truth } else { kept.truth },
        }
    }

    /// High-resolution fields of a pair.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.training.first().map_or(1, |pair| pair.truth().len())
    }

    /// The channels of the condition.
    #[must_use]
    pub fn channels(&self) -> Channels {
        Channels {
            surroundings_smoothing_cells: self.surroundings_smoothing_cells,
            scalars: self.scalars.clone(),
            baseline_smoothing_cells: self.baseline_smoothing_cells,
        }
    }

    /// Checks what can be known before any file is read.
    ///
    /// # Errors
    /// [`PairError::NoTraining`] if no training pair is named, [`PairError::Split`] if a box is in both sets or
    /// there are validation boxes and a held-out region, [`PairError::Missing`] if a file is not there.
    pub fn check(&self) -> Result<(), PairError> {
        if self.training.is_empty() {
            return Err(PairError::NoTraining);
        }
        if self.hold_out.is_some() && !self.validation.is_empty() {
            return Err(PairError::Split {
                why: "`validation` names boxes and `hold_out` a region: choose one".to_owned(),
            });
        }
        for pair in self.training.iter().chain(&self.validation) {
            for path in std::iter::once(pair.condition()).chain(pair.truth()) {
                if is_missing(&path) {
                    return Err(PairError::Missing { path });
                }
            }
        }
        let trained: Vec<Truth> = self.training.iter().flat_map(PairFiles::truths).collect();
        let mut validated = self.validation.iter().flat_map(PairFiles::truths);
        match validated.find(|truth| trained.iter().any(|other| other.is_same(truth))) {
            None => Ok(()),
            Some(truth) => Err(PairError::Split {
                why: format!("{} is in `training` and in `validation`", truth.path.display()),
            }),
        }
    }
}

/// A high-resolution field: a file, or a cube of a stack in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The file.
    pub path: PathBuf,
    /// Which of its cubes; 0 of a file with one.
    pub index: usize,
}

impl Truth {
    fn is_same(&self, other: &Self) -> bool {
        self.index == other.index && same_file(&self.path, &other.path)
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    canonical(a) == canonical(b)
}

/// Whether no file has that name; what the file system does not say is told by whoever opens it.
fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).map_or_else(
        |error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        |found| !found.is_file(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DataConfig, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_pair_is_a_folder_or_two_files() {
        let config =
            parse(r#"{"training": ["boxes/1", {"condition": "a.hdf5", "truth": "b.hdf5"}]}"#).unwrap();
        assert_eq!(config.training[0].condition(), Path::new("boxes/1/condition.hdf5"));
        assert_eq!(config.training[0].truth(), [Path::new("boxes/1/truth.hdf5")]);
        assert_eq!(config.training[1].truth(), [Path::new("b.hdf5")]);
        let several = parse(r#"{"training": [{"condition": "a", "truth": ["b", "c"]}]}"#).unwrap();
        assert_eq!((several.fields(), config.fields()), (2, 1));
        assert_eq!(several.training[0].truth(), [Path::new("b"), Path::new("c")]);
        for config in [config, several] {
            let again = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&again).unwrap(), config);
        }
    }

    #[test]
    fn channels_are_those_that_are_asked_for() {
        assert_eq!(parse(r#"{"training": []}"#).unwrap().channels(), Channels::default());
        let text = r#"{"training": [], "surroundings_smoothing_cells": 8, "baseline_smoothing_cells": 0.8,
            "scalars": [{"name": "sigma_8", "centre": 0.8, "width": 0.1}]}"#;
        let config = parse(text).unwrap();
        assert_eq!(config.channels().names(1), ["density", "surroundings", "sigma_8", "baseline"]);
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            r#"{"training": [], "holdout": null}"#,
            r#"{"training": [{"condition": "a", "truth": "b", "mask": "c"}]}"#,
            r#"{"training": [{"condition": "a", "truth": []}]}"#,
            r#"{"training": [], "normalization": "sigmoid"}"#,
            r#"{"training": [], "scalars": [{"name": "hubble", "centre": 0.7, "width": 0.1}]}"#,
            r#"{"training": [], "scalars": [{"name": "redshift", "centre": 0.7}]}"#,
            r#"{"training": [], "hold_out": {"start": [0, 0, 0], "shape": [1, 1, 1], "size": 1}}"#,
            r#"{"validation": []}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse(r#"{"training": [7]}"#).unwrap_err().to_string();
        assert!(error.contains("a pair is a folder, or"), "{error}");
    }

    #[test]
    fn mean_counts_have_defaults_by_kind() {
        let fit = parse(r#"{"training": [], "truth_mean_count": 64.0}"#).unwrap().normalization();
        assert_eq!(fit, Normalization { condition: Scale::Fit(8.0), truth: Scale::Fit(64.0) });
        let text = r#"{"training": [], "normalization": "reference", "condition_mean_count": 0.125}"#;
        let given = parse(text).unwrap().normalization().known().unwrap();
        assert_eq!(given.condition.mean_count, 0.125);
        assert!((given.truth[0].mean_count - 849.2).abs() < 0.01);
        assert_eq!(given.truth[0].transform, Transform::REFERENCE_TRUTH);
    }

    #[test]
    fn a_models_scales_hold_unless_the_configuration_names_others() {
        let linear = |mean_count| Normalizer {
            mean_count,
            transform: Transform::Linear { mu: 0.4, s: 1.0, low: -0.4, high: 7.0 },
        };
        let model = Normalizers { condition: linear(0.125), truth: vec![linear(1.0)] };
        let from = |text: &str| parse(text).unwrap().normalization_from(model.clone());
        let kept = Normalization::from(model.clone());
        assert_eq!(from(r#"{"training": []}"#), kept);
        assert_eq!(from(r#"{"training": [], "condition_mean_count": 0.125, "truth_mean_count": 1.0}"#), kept);
        let finer = from(r#"{"training": [], "condition_mean_count": 0.125, "truth_mean_count": 4.0}"#);
        assert_eq!(finer, Normalization { truth: Scale::Fit(4.0), ..kept.clone() });
        assert_eq!(finer.known(), None);
        let coarser = from(r#"{"training": [], "condition_mean_count": 8.0}"#);
        assert_eq!(coarser, Normalization { condition: Scale::Fit(8.0), ..kept });
    }

    #[test]
    fn splits_are_checked_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["condition.hdf5", "truth.hdf5"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let here = PairFiles::Folder(folder.path().to_owned());
        let mut config = parse(r#"{"training": []}"#).unwrap();
        assert!(matches!(config.check(), Err(PairError::NoTraining)));
        config.training = vec![here.clone()];
        assert!(config.check().is_ok());
        config.hold_out = Some(Region::cube([0; 3], 4));
        assert!(config.check().is_ok());
        config.validation = vec![PairFiles::Folder(folder.path().join("."))];
        assert!(matches!(config.check(), Err(PairError::Split { .. })));
        config.hold_out = None;
        assert!(matches!(config.check(), Err(PairError::Split { .. })));
        config.validation = vec![PairFiles::Folder(folder.path().join("nowhere"))];
        let error = config.check().unwrap_err();
        assert!(
            matches!(&error, PairError::Missing { path } if path.ends_with("nowhere/condition.hdf5")),
            "{error}"
        );
    }
}
