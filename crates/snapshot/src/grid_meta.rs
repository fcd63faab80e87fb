//! What the values of a grid file are.

use crate::SnapshotError;
use finescale_field::{Boundary, Centring, Cosmology, ScalarName, Scheme, TileFaces, shown};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// What the values of a grid file are and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridMeta {
    /// What is in the voxels: `dm`, `gas`, `stars`, `gas_velocity_x`, ...
    pub quantity: String,
    /// The unit of the values; none of a density in units of its cosmic mean (1 + delta).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Redshift.
    pub redshift: f64,
    /// Particles per voxel on average, if that is known; times the field these are counts, unless particles were weighted
    /// by mass.
    #[serde(default)]
    pub mean: Option<f64>,
    /// The universe that it is of, as far as it is known.
    #[serde(default)]
    pub cosmology: Cosmology,
    /// What lies beyond the faces of the box. In files: whether it is `periodic`.
    #[serde(rename = "periodic", with = "as_periodic")]
    pub boundary: Boundary,
    /// How particles were assigned to voxels, if they were.
    pub assignment: Option<Scheme>,
    /// Whether cells of gas were spread over their volumes before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_spread: bool,
    /// The axis, `x`, `y` or `z`, along which particles were where their redshifts put them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redshift_space: Option<String>,
    /// Where in its box a part of it begins, in Mpc/h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_mpc_h: Option<[f64; 3]>,
    /// Where in its voxel a value is taken.
    #[serde(default)]
    pub centring: Centring,
    /// Where the tiles meet that a generated field is made of; without faces if it was made in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile_faces: Option<TileFaces>,
    /// Where they met in the steps before the last, of a field that was made in steps of all tiles together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_tile_faces: Vec<TileFaces>,
    /// How it was made: command, seed, model hash, source files. Free JSON.
    pub provenance: Value,
}

impl GridMeta {
    /// A periodic field of nothing else that is known.
    #[must_use]
    pub fn new(quantity: impl Into<String>, redshift: f64, mean: impl Into<Option<f64>>) -> Self {
        Self {
            quantity: quantity.into(),
            unit: None,
            redshift,
            mean: mean.into(),
            cosmology: Cosmology::UNKNOWN,
            boundary: Boundary::Periodic,
            assignment: None,
            is_spread: false,
            redshift_space: None,
            start_mpc_h: None,
            centring: Centring::Cell,
            tile_faces: None,
            earlier_tile_faces: Vec::new(),
            provenance: Value::Null,
        }
    }

    /// Checks that the values of the grid file `path` are a density in units of its mean.
    ///
    /// # Errors
    /// [`SnapshotError::NotADensity`] if they are something else.
    pub fn check_density(&self, path: &Path) -> Result<(), SnapshotError> {
        let of = |unit: &String| SnapshotError::NotADensity {
            path: path.into(),
            quantity: shown(&self.quantity),
            unit: shown(unit),
        };
        self.unit.as_ref().map_or(Ok(()), |unit| Err(of(unit)))
    }

    /// A number that holds for the whole box, if it is known.
    #[must_use]
    pub fn scalar(&self, name: ScalarName) -> Option<f64> {
        let value =
            if name == ScalarName::Redshift { Some(self.redshift) } else { self.cosmology.scalar(name) };
        value.filter(|value| value.is_finite())
    }

    /// Says a number that holds for the whole box, in place of what was known.
    pub fn set_scalar(&mut self, name: ScalarName, value: f64) {
        match name {
            ScalarName::Redshift => self.redshift = value,
            ScalarName::OmegaM => self.cosmology.omega_m = Some(value),
            ScalarName::Sigma8 => self.cosmology.sigma_8 = Some(value),
        }
    }

    /// With what versions before 0.2 said in the provenance only: cosmology, at its top or one level down, and the faces
    /// of tiles.
    #[must_use]
    pub fn with_entries_of_provenance(mut self) -> Self {
        let Some(entries) = self.provenance.as_object() else { return self };
        if self.cosmology == Cosmology::UNKNOWN {
            let inner = entries.values().filter_map(|entry| entry.get("cosmology"));
            let found = entries.get("cosmology").into_iter().chain(inner).find(|entry| entry.is_object());
            let cosmology = found.and_then(|entry| serde_json::from_value(entry.clone()).ok());
            self.cosmology = cosmology.unwrap_or_default();
        }
        if self.tile_faces.is_none() {
            let faces = entries.get("tile_faces");
            self.tile_faces = faces.and_then(|faces| serde_json::from_value(faces.clone()).ok());
        }
        self
    }
}

/// A boundary as the truth value that files hold.
mod as_periodic {
    use finescale_field::Boundary;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(boundary: &Boundary, to: S) -> Result<S::Ok, S::Error> {
        boundary.is_periodic().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Boundary, D::Error> {
        bool::deserialize(from).map(Boundary::from_periodic)
    }
}

/// The attribute `format` of our grid files.
pub(crate) const FORMAT: &str = "finescale-grid";
/// The attribute `version` of our grid files. In version 1 the format of HDF5 was an older one, and `values_digest` could
/// be missing.
pub(crate) const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::example;
    use serde_json::json;

    #[test]
    fn scalars_are_found_and_can_be_said() {
        let names = [ScalarName::Redshift, ScalarName::OmegaM, ScalarName::Sigma8];
        let mut meta = example([1; 3]).meta;
        let scalars = |meta: &GridMeta| names.map(|name| meta.scalar(name));
        assert_eq!(scalars(&meta), [Some(1.5), Some(0.3089), None]);
        meta.set_scalar(ScalarName::Sigma8, 0.9);
        meta.set_scalar(ScalarName::Redshift, 2.0);
        assert_eq!(scalars(&meta), [Some(2.0), Some(0.3089), Some(0.9)]);
        (meta.redshift, meta.cosmology.omega_m) = (f64::NAN, Some(f64::INFINITY));
        assert_eq!(scalars(&meta), [None, None, Some(0.9)]);
    }

    #[test]
    fn what_earlier_versions_said_in_the_provenance_is_found() {
        let said = |provenance: Value| {
            let meta = GridMeta { provenance, ..GridMeta::new("dm", 0.0, 1.0) }.with_entries_of_provenance();
            ([meta.cosmology.omega_m, meta.cosmology.sigma_8], meta.tile_faces)
        };
        assert_eq!(said(json!("some text")), ([None; 2], None));
        let of_mock = json!({"cosmology": null, "mock": {"cosmology": {"omega_m": 0.3, "sigma_8": 0.8}}});
        assert_eq!(said(of_mock), ([Some(0.3), Some(0.8)], None));
        let of_sample = json!({"cosmology": {"omega_m": 0.31}, "tile_faces": [[0, 32], [], []]});
        let faces = TileFaces::new([vec![0, 32], vec![], vec![]]);
        assert_eq!(said(of_sample), ([Some(0.31), None], Some(faces)));
        // What the file says itself goes first.
        let mut meta = example([1; 3]).meta;
        meta.provenance = json!({"cosmology": {"omega_m": 0.2}, "tile_faces": [[], [], []]});
        let found = meta.clone().with_entries_of_provenance();
        assert_eq!(found, meta);
    }
}
