//! Power over that of another field, such as gas over dark matter: windows and most of what is particular to a box drop out.

use crate::FieldStatistics;
use crate::Measurements;
use crate::bands::bands_of;
use crate::error::named;
use crate::estimate::ratios;
use crate::published::{Power, PublishedSpectrum, in_bands};
use crate::{JudgeError, Labelled};
use finescale_spectra::Modes;
use serde::Serialize;

/// The power of a field that others are divided by, in the shells of its grid.
#[derive(Clone, Debug)]
pub struct Denominator {
    label: String,
    power: Power,
}

/// Power over that of another field by band, mean over the modes of the shells in it; null where there are none.
#[derive(Clone, Debug, Serialize)]
pub struct OverComparison {
    /// Name of the field in the denominator.
    pub label: String,
    /// P_truth over its power.
    pub truth: Vec<f64>,
    /// Mean P of the samples over its power.
    pub samples: Vec<f64>,
    /// Ratios of two published spectra, with their names.
    pub published: Vec<PublishedRatio>,
}

/// The ratio of two published spectra.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedRatio {
    /// The two names.
    pub label: String,
    /// By band; null where one of the tables does not reach.
    pub ratio: Vec<f64>,
}

impl Denominator {
    /// Of a density in units of the cosmic mean, as gridded: all fields are taken to have one window.
    ///
    /// # Errors
    /// [`JudgeError::Statistics`] if it is not a density.
    pub fn new(field: &Labelled<'_>) -> Result<Self, JudgeError> {
        let modes = Modes::within(field.field, None, field.boundary).map_err(named(&field.label))?;
        let bands = bands_of(modes.grid()).map_err(named(&field.label))?;
        let power = Power { shells: modes.power().power, bands: modes.power_in(&bands).power };
        Ok(Self { label: field.label.clone(), power })
    }
}

impl OverComparison {
    pub(crate) fn new(
        under: &Denominator,
        published: &[(PublishedSpectrum, PublishedSpectrum)],
        measured: &Measurements,
    ) -> Self {
        let everywhere = vec![1.0; measured.k_h_mpc.len()];
        let over = |power: &Power| {
            ratios(&in_bands(measured, &everywhere, power), &in_bands(measured, &everywhere, &under.power))
        };
        let of_tables = |(above, below): &(PublishedSpectrum, PublishedSpectrum)| {
            let [over, under] = [above, below].map(|table| Power::of_table(table, measured));
            let both: Vec<f64> = over.shells.iter().zip(&under.shells).map(|(a, b)| a + b).collect();
            PublishedRatio {
                label: format!("{} / {}", above.label, below.label),
                ratio: ratios(&in_bands(measured, &both, &over), &in_bands(measured, &both, &under)),
            }
        };
        let of = |field: &FieldStatistics| Power::of_field(field, false);
        Self {
            label: under.label.clone(),
            truth: over(&of(&measured.truth)),
            samples: over(&Power::mean(&measured.samples.iter().map(of).collect::<Vec<_>>())),
            published: published.iter().map(of_tables).collect(),
        }
    }
}
