//! Where in its voxel a value is taken.

use crate::FieldError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where the value (i, j, k) of a field lies, in cells from the corner of the box. Fields of one box that differ in it
/// are shifted by half a voxel against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centring {
    /// In the middle of its voxel, at i + 1/2: fields of finescale.
    #[default]
    Cell,
    /// At the corner of its voxel, at i: fields of Pylians and of codes that assign particles to nodes.
    Corner,
}

impl Centring {
    /// The name in files: `cell` or `corner`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cell => "cell",
            Self::Corner => "corner",
        }
    }
}

impl fmt::Display for Centring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Centring {
    type Err = FieldError;

    fn from_str(name: &str) -> Result<Self, FieldError> {
        let all = [Self::Cell, Self::Corner];
        all.into_iter()
            .find(|centring| centring.name() == name)
            .ok_or_else(|| FieldError::Centring { found: name.to_owned() })
    }
}
