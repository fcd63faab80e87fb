//! Where a model comes from.

use finescale_field::Region;
use finescale_pairs::DataKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The models and data that a model was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The models that it began with and learned from; none if its weights were drawn by a seed.
    pub parents: Vec<Parent>,
    /// Whether its own training data is mock or real.
    pub data: DataKind,
    /// SHA-256 of each file that it was itself trained on in hexadecimal, by the name in its configuration.
    /// Empty in a model of a version that did not record it, or of another program.
    pub files: BTreeMap<String, String>,
    /// The part of the box of each of these files that its own training never touched, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<Region>,
    /// What computed its updates, such as `cpu` or `cuda in bf16`, in the order in which they came; empty in a model of a version that
    /// did not record it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// A model that another one was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// What the other one has of it.
    pub role: Role,
    /// Its file, as it was named.
    pub file: String,
    /// SHA-256 of its file in hexadecimal.
    pub sha256: String,
    /// Updates that made it from its own parents.
    pub updates: u64,
    /// Where it comes from itself.
    pub lineage: Lineage,
}

/// What a model has of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The weights and normalizers that it began with.
    Weights,
    /// What it learned from instead of from the truth; it began with these weights, too, if it has no other
    /// parent.
    Teacher,
}

impl Lineage {
    /// The story of a model that made `updates` updates, for a person: one line a model, its own first.
    #[must_use]
    pub fn lines(&self, updates: u64) -> Vec<String> {
        let mut lines = vec![self.line(updates)];
        for Parent { role, file, sha256, updates, lineage } in &self.parents {
            let does = match role {
                Role::Weights => "begun from",
                Role::Teacher => "taught by",
            };
            let hash = sha256.get(..8).unwrap_or(sha256);
            let mut told = lineage.lines(*updates);
            told[0] = format!("{does} {file} ({hash}): {}", told[0]);
            lines.extend(told);
        }
        lines
    }

    /// This lineage and those of all models that it comes from, its own first.
    #[must_use]
    pub fn all(&self) -> Vec<&Self> {
        let of_parents = self.parents.iter().flat_map(|parent| parent.lineage.all());
        std::iter::once(self).chain(of_parents).collect()
    }

    fn line(&self, updates: u64) -> String {
        let line = match self.files.len() {
            0 => format!("{updates} updates; its data is not recorded"),
            1 => format!("{updates} updates on {}, 1 file", self.data),
            files => format!("{updates} updates on {}, {files} files", self.data),
        };
        match self.devices.as_slice() {
            [] => line,
            devices => format!("{line}, computed by {}", devices.join(", then ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(data: DataKind, files: usize, parents: Vec<Parent>) -> Lineage {
        let file = |number: usize| (format!("box_{number}.hdf5"), "ab".repeat(32));
        Lineage { parents, data, files: (0..files).map(file).collect(), hold_out: None, devices: Vec::new() }
    }

    #[test]
    fn the_story_goes_back_to_the_first_model() {
        let parent = |role, file: &str, updates, lineage| {
            let (file, sha256) = (file.to_owned(), "50b97978".repeat(8));
            Parent { role, file, sha256, updates, lineage }
        };
        let old = Lineage::default();
        let first = lineage(DataKind::Mock, 4, vec![parent(Role::Weights, "old", 5, old)]);
        let model = lineage(DataKind::Real, 2, vec![parent(Role::Teacher, "first", 1700, first)]);
        assert_eq!(
            model.lines(90),
            [
                "90 updates on real data, 2 files",
                "taught by first (50b97978): 1700 updates on mock gas, 4 files",
                "begun from old (50b97978): 5 updates; its data is not recorded",
            ]
        );
        let counts: Vec<usize> = model.all().iter().map(|lineage| lineage.files.len()).collect();
        assert_eq!(counts, [2, 4, 0]);
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<Lineage>(&text).unwrap(), model);
    }
}
