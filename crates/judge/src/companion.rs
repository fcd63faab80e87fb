//! Two fields of one universe, such as gas and fine dark matter, that a model draws together.

use crate::error::named;
use crate::estimate::{Estimate, mean_of, ratios};
use crate::transformed::Transformed;
use crate::{Companion, JudgeError, Labelled};
use finescale_field::{Boundary, Field3};
use finescale_spectra::{Bands, Modes, SpectraError, correlation_of};
use serde::Serialize;

/// How samples go with the fields that they were drawn together with, beside how the truth goes with its own. Arrays over
/// the bands.
#[derive(Clone, Debug, Serialize)]
pub struct CompanionReport {
    /// What the other field is.
    pub label: String,
    /// Cross power of truth and its companion in (Mpc/h)³.
    pub truth_power: Vec<f64>,
    /// r of truth and its companion.
    pub truth_correlation: Vec<f64>,
    /// Cross power of each sample and its companion over the truth's.
    pub power_ratio: Vec<Vec<f64>>,
    /// r of each sample and its companion.
    pub correlation: Vec<Vec<f64>>,
    /// Mean of that over the samples.
    pub mean_correlation: Vec<f64>,
}

impl CompanionReport {
    /// # Errors
    /// [`JudgeError::Companions`] if there is not one for each sample, [`JudgeError::Statistics`] if one is no density or
    /// lies on another grid.
    pub(crate) fn new(
        companion: &Companion<'_>,
        truth: &Transformed,
        samples: &[Transformed],
        boundary: Boundary,
        bands: &Bands,
    ) -> Result<Self, JudgeError> {
        let (expected, found) = (samples.len(), companion.samples.len());
        if expected != found {
            return Err(JudgeError::Companions { label: companion.label.clone(), expected, found });
        }
        let go_together = |field: &Transformed, its: &Field3| -> Result<[Vec<f64>; 2], JudgeError> {
            let label = format!("{} of {}", companion.label, field.spectra.label);
            let labelled = Labelled::new(label, its).with_boundary(boundary);
            let cross = || -> Result<_, SpectraError> {
                let modes = Modes::within(its, None, boundary)?;
                Ok((field.modes.cross_in(&modes, bands)?, modes.power_in(bands)))
            };
            let (cross, power) = cross().map_err(named(&labelled.label))?;
            let r = correlation_of(&cross, &field.spectra.banded, &power);
            Ok([cross.power, r])
        };
        let [truth_power, truth_correlation] = go_together(truth, companion.truth)?;
        let (mut power_ratio, mut correlation) = (Vec::new(), Vec::new());
        for (sample, &its) in samples.iter().zip(&companion.samples) {
            let [power, r] = go_together(sample, its)?;
            power_ratio.push(ratios(&power, &truth_power));
            correlation.push(r);
        }
        Ok(Self {
            label: companion.label.clone(),
            mean_correlation: mean_of(correlation.iter().map(Vec::as_slice)),
            truth_power,
            truth_correlation,
            power_ratio,
            correlation,
        })
    }

    /// Cross power over the truth's, and r over the truth's, means over the samples.
    pub(crate) fn estimates(&self) -> [Estimate; 2] {
        let r: Vec<Vec<f64>> = self.correlation.iter().map(|r| ratios(r, &self.truth_correlation)).collect();
        let of = |all: &[Vec<f64>], truth| Estimate::against_truth(all.iter().map(Vec::as_slice)).over(truth);
        [of(&self.power_ratio, &self.truth_power), of(&r, &self.truth_correlation)]
    }
}
