//! A simulation whose own spectra stand beside the fields.

use crate::Tng300;
use serde::Serialize;

/// A simulation whose own spectra stand beside the fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// Its name.
    pub simulation: String,
    /// Where its spectra are published.
    pub source: String,
    /// The redshift that they are shown at.
    pub redshift: f64,
    /// The redshifts that they are interpolated from; null where none were.
    pub between: Option<[f64; 2]>,
    /// What makes the fields differ from it, right or wrong: sentences, each without its full stop.
    pub differences: Vec<String>,
}

impl Against {
    /// TNG300-1, which differs from the fields by construction in these ways.
    #[must_use]
    pub fn tng300(spectra: &Tng300, differences: Vec<String>) -> Self {
        Self {
            simulation: Tng300::NAME.to_owned(),
            source: Tng300::SOURCE.to_owned(),
            redshift: spectra.redshift,
            between: spectra.between,
            differences,
        }
    }
}
