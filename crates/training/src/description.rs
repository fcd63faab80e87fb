//! What a model is: everything beside its weights.

use crate::tensor_header::Metadata;
use crate::{Lineage, RunConfig, TrainingError, WindowStatistics};
use finescale_field::{
    Centring, Conditioning, Cosmology, Grid, Normalizer, Region, Scalar, ScalarName, Scheme, is_plain_name,
    shown,
};
use finescale_pairs::{DataKind, GridMeta, Normalizers, PairError, PairSet, one_or_many};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

const VERSION: &str = "1";
/// Metadata that is plain text; all else is JSON.
const TEXT: [&str; 2] = ["commit", "program_version"];

/// Everything that a checkpoint knows beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// The configuration of the run.
    pub configuration: RunConfig,
    /// The low-resolution field that the network sees.
    pub condition: FieldDescription,
    /// The fields that the model generates.
    #[serde(with = "one_or_many")]
    pub truth: Vec<FieldDescription>,
    /// Size of a voxel per axis in Mpc/h.
    pub voxel_mpc_h: [f64; 3],
    /// Size of the training boxes per axis in Mpc/h.
    pub training_box_mpc_h: [f64; 3],
    /// Cosmological parameters of the training data, as far as their files tell.
    #[serde(default, deserialize_with = "known_cosmology")]
    pub cosmology: Cosmology,
    /// Least and largest value of each of `data.scalars` in the training pairs.
    #[serde(default)]
    pub scalar_ranges: Vec<[f64; 2]>,
    /// What the network saw of the training conditions; none in files of versions that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_windows: Option<WindowStatistics>,
    /// The models and data that it was made from; empty in files of versions that did not record it.
    #[serde(default)]
    pub lineage: Lineage,
    /// Updates made so far.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Commit that the program was built from.
    pub commit: String,
    /// Version of the program.
    pub program_version: String,
}

/// One of the fields that a model connects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldDescription {
    /// What the field is the density of: `dm`, `gas`, ...
    pub quantity: String,
    /// Redshift of the training data.
    pub redshift: f64,
    /// How particles were assigned to voxels, if known.
    pub assignment: Option<Scheme>,
    /// Whether cells of gas were spread over their volumes before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_spread: bool,
    /// The axis along which particles were where their redshifts put them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redshift_space: Option<String>,
    /// Where in its voxel a value is taken.
    #[serde(default)]
    pub centring: Centring,
    /// What 1 + delta = 1 stood for: particles (or mass) per voxel, if known.
    #[serde(default)]
    pub mean_per_voxel: Option<f64>,
    /// What a particle counted by, mass or count, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// From densities to network values.
    pub normalizer: Normalizer,
}

/// Earlier versions wrote null where nothing was known.
fn known_cosmology<'de, D: Deserializer<'de>>(from: D) -> Result<Cosmology, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Voxels whose sizes differ by less than this fraction are the same: box sizes are often rounded to three
/// digits.
const VOXEL_TOLERANCE: f64 = 5e-3;
/// Redshifts closer than this are the same snapshot.
const REDSHIFT_TOLERANCE: f64 = 0.02;
/// Particle densities within this factor have the same shot noise for all purposes.
const DENSITY_FACTOR: f64 = 1.3;

/// Matter densities, and rms overdensities, closer than this make the same universe for all purposes.
const COSMOLOGY_TOLERANCE: f64 = 0.01;

/// The quantity of a field that nothing is known of, such as the numpy cube of somebody else.
const UNKNOWN: &str = "unknown";

/// The same of any parameter of a cosmology.
fn cosmology_tolerance(name: &str) -> f64 {
    match name {
        "n_s" => 0.02,
        "omega_b" => 0.003,
        _ => COSMOLOGY_TOLERANCE,
    }
}

/// What windows of the training conditions look like to the network.
fn windows_of(pairs: &PairSet, window_cells: usize) -> Result<Option<WindowStatistics>, PairError> {
    let windows = pairs.grids().enumerate().flat_map(|(number, grid)| {
        let places = WindowStatistics::places(&Region::whole(grid), window_cells);
        let density = move |place| Ok(pairs.density_window(number, &place)?.into_iter().collect());
        places.into_iter().map(density)
    });
    WindowStatistics::new(windows, window_cells)
}

/// What a particle of a field counted by, if its file says so.
fn weight_of(meta: &GridMeta) -> Option<&str> {
    meta.provenance["weight"].as_str()
}

impl ModelDescription {
    /// The description of a run before its first step.
    pub(crate) fn new(config: &RunConfig, pairs: &PairSet, lineage: Lineage) -> Result<Self, PairError> {
        let field = |meta: &GridMeta, normalizer| FieldDescription {
            quantity: meta.quantity.clone(),
            redshift: meta.redshift,
            assignment: meta.assignment,
            is_spread: meta.is_spread,
            redshift_space: meta.redshift_space.clone(),
            centring: meta.centring,
            mean_per_voxel: meta.mean,
            weight: weight_of(meta).map(str::to_owned),
            normalizer,
        };
        let (truth, normalizers) = (pairs.truth_meta(), pairs.normalizers());
        Ok(Self {
            configuration: config.clone(),
            condition: field(pairs.condition_meta(), normalizers.condition),
            truth: truth.iter().zip(&normalizers.truth).map(|(meta, &y)| field(meta, y)).collect(),
            voxel_mpc_h: pairs.grid().voxel_mpc_h(),
            training_box_mpc_h: pairs.grid().box_size_mpc_h(),
            cosmology: truth[0].cosmology,
            scalar_ranges: pairs.scalar_ranges().to_vec(),
            condition_windows: windows_of(pairs, config.training.patch_cells)?,
            lineage,
            step: 0,
            seed: config.training.seed,
            commit: env!("FINESCALE_COMMIT").into(),
            program_version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    /// The normalizers of all fields.
    #[must_use]
    pub fn normalizers(&self) -> Normalizers {
        let truth = self.truth.iter().map(|field| field.normalizer).collect();
        Normalizers { condition: self.condition.normalizer, truth }
    }

    /// How low-resolution densities become the channels that the network sees.
    #[must_use]
    pub fn conditioning(&self) -> Conditioning {
        self.normalizers().conditioning(self.configuration.data.channels())
    }

    /// Compares a condition with the training data: what differs, and what that means for the samples.
    ///
    /// # Errors
    /// [`TrainingError::VoxelSize`] if the voxels differ: the network knows structure by its size in voxels.
    pub fn check_condition(&self, grid: &Grid, meta: &GridMeta) -> Result<Vec<String>, TrainingError> {
        let (expected, found) = (self.voxel_mpc_h, grid.voxel_mpc_h());
        if !(0..3).all(|a| (found[a] / expected[a] - 1.0).abs() < VOXEL_TOLERANCE) {
            return Err(TrainingError::VoxelSize { expected, found });
        }
        let checks = [
            self.quantity_warning(meta),
            self.redshift_warning(meta),
            self.assignment_warning(meta),
            self.centring_warning(meta),
            self.redshift_space_warning(meta),
            self.density_warning(meta),
            self.weight_warning(meta),
            self.unknown_warning(meta),
            self.mock_warning(meta),
        ];
        let several = self.cosmology_warnings(meta).into_iter().chain(self.scalar_warnings(meta));
        Ok(checks.into_iter().flatten().chain(several).collect())
    }

    /// Compares what the network sees of a condition in windows of a `volume`, read by `density` in network units, with
    /// what it saw in training: how it differs, if it does.
    ///
    /// # Errors
    /// Those of `density`.
    pub fn check_windows<E>(
        &self,
        volume: &Region,
        density: impl FnMut(Region) -> Result<Vec<f32>, E>,
    ) -> Result<Option<String>, E> {
        let Some(known) = &self.condition_windows else { return Ok(None) };
        let places = WindowStatistics::places(volume, known.window_cells);
        let found = WindowStatistics::new(places.into_iter().map(density), known.window_cells)?;
        Ok(found.and_then(|found| known.difference(&found)))
    }

    fn quantity_warning(&self, found: &GridMeta) -> Option<String> {
        let (expected, found) = (&self.condition.quantity, &found.quantity);
        (found != expected).then(|| {
            format!(
                "the model's condition was {expected}, this one is {found}: its samples mean something only \
                 if both trace the same matter"
            )
        })
    }

    /// Whether the network is told the number.
    fn is_told(&self, name: ScalarName) -> bool {
        self.configuration.data.scalars.iter().any(|scalar| scalar.name == name)
    }

    /// A number that the network is told may differ from that of any one training pair, but not lie outside of
    /// all.
    fn scalar_warnings(&self, found: &GridMeta) -> Vec<String> {
        let scalars = self.configuration.data.scalars.iter().zip(&self.scalar_ranges);
        let warning = |(scalar, [least, largest]): (&Scalar, &[f64; 2])| {
            let (name, found) = (scalar.name, found.scalar(scalar.name)?);
            let tolerance = match name {
                ScalarName::Redshift => REDSHIFT_TOLERANCE,
                ScalarName::OmegaM | ScalarName::Sigma8 => COSMOLOGY_TOLERANCE,
            };
            (!(least - tolerance..=largest + tolerance).contains(&found)).then(|| {
                format!(
                    "the model was trained with {name} from {least} to {largest}, the condition has {found}: \
                     the network was never shown what that means"
                )
            })
        };
        scalars.filter_map(warning).collect()
    }

    fn redshift_warning(&self, found: &GridMeta) -> Option<String> {
        if self.is_told(ScalarName::Redshift) {
            return None;
        }
        let (expected, found) = (self.condition.redshift, found.redshift);
        ((found - expected).abs() > REDSHIFT_TOLERANCE).then(|| {
            format!(
                "the model was trained at redshift {expected:.2}, the condition is at {found:.2}: small scales will \
                 be clustered as at the model's redshift"
            )
        })
    }

    fn assignment_warning(&self, found: &GridMeta) -> Option<String> {
        let (expected, found) = (self.condition.assignment?, found.assignment?);
        (found != expected).then(|| {
            format!(
                "the model's condition was assigned by {expected}, this one by {found}: the power of the \
                 samples near the voxel scale will be off; grid the snapshot with --scheme {expected}"
            )
        })
    }

    fn centring_warning(&self, found: &GridMeta) -> Option<String> {
        let (expected, found) = (self.condition.centring, found.centring);
        (found != expected).then(|| {
            format!(
                "the model's condition had its values at voxel {expected}s, this one has them at voxel {found}s: \
                 the samples will be shifted by half a voxel"
            )
        })
    }

    fn redshift_space_warning(&self, found: &GridMeta) -> Option<String> {
        let named = |axis: &Option<String>| {
            axis.as_ref().map_or("real space".to_owned(), |axis| format!("redshift space along {axis}"))
        };
        let (expected, found) = (&self.condition.redshift_space, &found.redshift_space);
        (found != expected).then(|| {
            format!(
                "the model's condition was in {}, this one is in {}: its samples mean nothing there",
                named(expected),
                named(found)
            )
        })
    }

    fn density_warning(&self, found: &GridMeta) -> Option<String> {
        if found.quantity == UNKNOWN {
            return None;
        }
        let (expected, found) = (self.condition.mean_per_voxel?, found.mean?);
        (!(1.0 / DENSITY_FACTOR..=DENSITY_FACTOR).contains(&(found / expected))).then(|| {
            format!(
                "the model's condition had {expected:.4} particles per voxel, this one has {found:.4}: the \
                 network expects another shot noise, and may take noise for structure or structure for noise"
            )
        })
    }

    fn weight_warning(&self, found: &GridMeta) -> Option<String> {
        let (expected, found) = (self.condition.weight.as_deref()?, weight_of(found)?);
        (found != expected).then(|| {
            format!(
                "the model's condition counted particles by {expected}, this one by {found}: where their masses differ, \
                 the two are other fields; grid the snapshot with --weight {expected}"
            )
        })
    }

    /// What the model's universe was in the parameters that the network is not told: name, value, value of the condition.
    fn parameters(&self, found: &GridMeta) -> Vec<(&'static str, f64, Option<f64>)> {
        let told = |name: &str| {
            let is_it = |scalar: &Scalar| scalar.name.to_string() == name;
            self.configuration.data.scalars.iter().any(is_it)
        };
        let pairs = self.cosmology.parameters().into_iter().zip(found.cosmology.parameters());
        let known = pairs.filter_map(|((name, expected), (_, found))| Some((name, expected?, found)));
        known.filter(|(name, ..)| !told(name)).collect()
    }

    fn cosmology_warnings(&self, found: &GridMeta) -> Vec<String> {
        let warning = |(name, expected, found): (&str, f64, Option<f64>)| {
            let found = found?;
            ((found - expected).abs() > cosmology_tolerance(name)).then(|| {
                format!(
                    "the model was trained with {name} = {expected}, the condition has {found}: small scales will be \
                     those of the model's universe"
                )
            })
        };
        self.parameters(found).into_iter().filter_map(warning).collect()
    }

    /// What the condition does not say of itself, where the model knows it of its own.
    fn unknown_warning(&self, found: &GridMeta) -> Option<String> {
        let unknown = self.parameters(found).into_iter().filter(|(_, _, found)| found.is_none());
        let mut unknown: Vec<String> =
            unknown.map(|(name, expected, _)| format!("{name} {expected}")).collect();
        let (mine, is_unknown) = (&self.condition, found.quantity == UNKNOWN);
        let assignment = mine.assignment.filter(|_| found.assignment.is_none());
        unknown.extend(assignment.map(|scheme| format!("mass assignment {scheme}")));
        let density = mine.mean_per_voxel.filter(|_| is_unknown || found.mean.is_none());
        unknown.extend(density.map(|density| format!("{density} particles per voxel")));
        (!unknown.is_empty()).then(|| {
            format!(
                "it does not say all of what it is; the model was trained with {}: where the condition is otherwise, small \
                 scales will still be those of the model's universe",
                unknown.join(", ")
            )
        })
    }

    fn mock_warning(&self, found: &GridMeta) -> Option<String> {
        let learned_mock = self.lineage.data == DataKind::Mock;
        (learned_mock && DataKind::from_provenance(&found.provenance) == DataKind::Real).then(|| {
            "the model learned mock gas, and this is a simulation's: small scales will be those of the mock's recipe; \
             train the model further on a pair of your own, with `train --from`"
                .to_owned()
        })
    }

    /// The description as the metadata of a file of kind `format`.
    pub(crate) fn to_metadata(&self, format: &str) -> Metadata {
        let Ok(Value::Object(entries)) = serde_json::to_value(self) else {
            unreachable!("a struct becomes a JSON object")
        };
        let text = |(key, value): (String, Value)| match value {
            Value::String(text) if TEXT.contains(&key.as_str()) => (key, text),
            other => (key, other.to_string()),
        };
        let mut metadata: Metadata = entries.into_iter().map(text).collect();
        metadata.insert("format".into(), format.into());
        metadata.insert("version".into(), VERSION.into());
        metadata
    }

    /// Reads what [`to_metadata`](Self::to_metadata) wrote.
    pub(crate) fn from_metadata(
        path: &Path,
        format: &str,
        metadata: &Metadata,
    ) -> Result<Self, TrainingError> {
        expect(path, metadata, "format", format)?;
        expect(path, metadata, "version", VERSION)?;
        let mut entries = Map::new();
        for (key, text) in metadata.iter().filter(|(key, _)| !["format", "version"].contains(&key.as_str())) {
            let value = if TEXT.contains(&key.as_str()) { None } else { serde_json::from_str(text).ok() };
            entries.insert(key.clone(), value.unwrap_or_else(|| Value::String(text.clone())));
        }
        entries.get_mut("configuration").map(give_masks_their_own_setting);
        let read: Self = serde_path_to_error::deserialize(Value::Object(entries)).map_err(|error| {
            TrainingError::Foreign {
                path: path.into(),
                key: shown(&error.path().to_string()),
                found: shown(&error.into_inner().to_string()),
                expected: format!("what this version ({}) writes", env!("CARGO_PKG_VERSION")),
            }
        })?;
        read.check(path)?;
        Ok(read)
    }

    /// Checks every number and name that came from the file `path`: what follows allocates by them, and names
    /// files.
    ///
    /// # Errors
    /// [`TrainingError::Configuration`] for settings out of range, [`TrainingError::Foreign`] for all else.
    fn check(&self, path: &Path) -> Result<(), TrainingError> {
        self.configuration
            .check()
            .map_err(|source| TrainingError::Configuration { path: path.into(), source: Box::new(source) })?;
        let foreign = |key: &str, found: String, expected: &str| {
            let (key, expected) = (key.to_owned(), expected.to_owned());
            Err(TrainingError::Foreign { path: path.into(), key, found, expected })
        };
        let (fields, scalars) = (self.configuration.network.fields, &self.configuration.data.scalars);
        if self.truth.len() != fields {
            return foreign(
                "truth",
                format!("{} fields", self.truth.len()),
                "as many fields as the network has",
            );
        }
        if ![0, scalars.len()].contains(&self.scalar_ranges.len()) {
            return foreign(
                "scalar_ranges",
                self.scalar_ranges.len().to_string(),
                "one for each of data.scalars",
            );
        }
        for lengths in [&self.voxel_mpc_h, &self.training_box_mpc_h] {
            if !lengths.iter().all(|length| length.is_finite() && *length > 0.0) {
                return foreign("voxel_mpc_h", format!("{lengths:?}"), "lengths above zero");
            }
        }
        for field in std::iter::once(&self.condition).chain(&self.truth) {
            if !is_plain_name(&field.quantity) {
                let expected = "a name of at most 64 letters, digits, _ and -";
                return foreign("quantity", shown(&field.quantity), expected);
            }
            if let Err(error) = field.normalizer.check() {
                return foreign("normalizer", error.to_string(), "one that works");
            }
        }
        let cells = self.configuration.training.patch_cells;
        if self.condition_windows.as_ref().is_some_and(|windows| !windows.is_sound(cells)) {
            let expected = "power and shares of windows of the network's size";
            return foreign("condition_windows", "other numbers".to_owned(), expected);
        }
        let parts = self.step.checked_mul(self.configuration.training.accumulate as u64);
        if parts.is_none_or(|parts| parts > u64::from(u32::MAX)) {
            return foreign("step", self.step.to_string(), "a number that keys random numbers, with 32 bits");
        }
        Ok(())
    }
}

/// Versions before 0.2 had the windows of the masks in the settings of generation, whose strategies had all settings.
fn give_masks_their_own_setting(configuration: &mut Value) {
    let Some(Value::Object(generation)) = configuration.get("generation") else { return };
    let mut generation = generation.clone();
    let Some(Value::Object(training)) = configuration.get_mut("training") else { return };
    if training.contains_key("masks") {
        return;
    }
    let cells = |key: &str, default: u64| generation.get(key).and_then(Value::as_u64).unwrap_or(default);
    // What was more than half of the overlap was cut off.
    let overlap_cells = cells("overlap_cells", 8);
    let margin_cells = cells("margin_cells", 0).min(overlap_cells / 2);
    training
        .insert("masks".to_owned(), json!({ "overlap_cells": overlap_cells, "margin_cells": margin_cells }));
    let is_joint = generation.get("strategy").is_none_or(|strategy| strategy == "joint");
    if is_joint {
        generation.remove("margin_cells");
    } else {
        generation.remove("overlap_below_sigma");
        generation.insert("margin_cells".to_owned(), margin_cells.into());
    }
    configuration["generation"] = generation.into();
}

fn expect(path: &Path, metadata: &Metadata, key: &str, expected: &str) -> Result<(), TrainingError> {
    let found = metadata.get(key).map_or("missing", String::as_str);
    if found == expected {
        return Ok(());
    }
    let (key, found, expected) = (key.into(), shown(found), expected.into());
    Err(TrainingError::Foreign { path: path.into(), key, found, expected })
}
