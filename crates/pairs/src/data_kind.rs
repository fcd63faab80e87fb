//! Mock or real.

use crate::Pair;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What the truths of a model's training pairs are, as far as the provenance in their files tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// A file of at least one pair was made by `finescale mock`, whose gas follows a recipe.
    Mock,
    /// All files were gridded from snapshots of simulations.
    Real,
    /// Some file does not say.
    #[default]
    Unknown,
}

impl DataKind {
    /// That of some pairs.
    pub(crate) fn from_pairs(pairs: &[Pair]) -> Self {
        let files = pairs.iter().flat_map(|pair| std::iter::once(&pair.condition).chain(&pair.truth));
        let kinds: Vec<Self> = files.map(|file| Self::from_provenance(&file.meta.provenance)).collect();
        if kinds.contains(&Self::Mock) {
            Self::Mock
        } else if kinds.is_empty() || kinds.contains(&Self::Unknown) {
            Self::Unknown
        } else {
            Self::Real
        }
    }

    /// That of one file by its provenance: `finescale mock` writes its settings, and its mark into
    /// snapshots, `finescale grid` the snapshot's files
    /// and what all its particles weigh.
    #[must_use]
    pub fn from_provenance(provenance: &Value) -> Self {
        let is_gridded = provenance["sources"].as_array().is_some_and(|files| !files.is_empty())
            && provenance["total_weight"].is_number();
        if provenance["mock"].is_object() || provenance["origin"] == "mock" {
            Self::Mock
        } else if is_gridded {
            Self::Real
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for DataKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Mock => "mock gas",
            Self::Real => "real data",
            Self::Unknown => "data of unknown origin",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::{Field3, Grid};
    use serde_json::json;

    fn pair(condition: Value, truth: Value) -> Pair {
        let field = || Field3::zeros(Grid::cube(2, 1.0).unwrap());
        let mut pair = Pair::new(field(), vec![field()]);
        pair.condition.meta.provenance = condition;
        pair.truth[0].meta.provenance = truth;
        pair
    }

    #[test]
    fn one_mock_makes_all_mock_and_only_snapshots_are_real() {
        let mock = || json!({"command": "finescale mock", "mock": {"seed": 1}});
        let real = || json!({"sources": ["snap_000.hdf5"], "weight": "count", "total_weight": 4096.0});
        let cube = || json!({"sources": ["cube.npy"]});
        let kind = |pairs: &[Pair]| DataKind::from_pairs(pairs);
        assert_eq!(kind(&[pair(real(), real())]), DataKind::Real);
        assert_eq!(kind(&[pair(real(), real()), pair(real(), mock())]), DataKind::Mock);
        let of_mock = json!({"sources": ["snap_000.hdf5"], "origin": "mock", "total_weight": 4096.0});
        assert_eq!(kind(&[pair(of_mock, real())]), DataKind::Mock);
        assert_eq!(kind(&[pair(cube(), real())]), DataKind::Unknown);
        assert_eq!(kind(&[pair(cube(), mock())]), DataKind::Mock);
        assert_eq!(kind(&[pair(json!("a text"), Value::Null)]), DataKind::Unknown);
        assert_eq!(kind(&[]), DataKind::Unknown);
    }
}
