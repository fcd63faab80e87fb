//! The statistics of one field, and of it against the truth, as report.json has them.

use crate::{Labelled, ReportError};
use finescale_spectra::{
    Bands, Modes, SpectraError, Spectrum, correlation_of, mean_density, pdf, percentile,
};
use serde::Serialize;

/// Range and number of the bins of the density distribution, in log10(1 + δ).
pub(crate) const PDF_RANGE: (f64, f64, usize) = (-3.0, 4.0, 70);
/// The percentile that stands for the densest voxels.
pub(crate) const DENSE_PERCENT: f64 = 99.9;

/// Statistics of a field alone. Spectra are arrays over the shells of the report, as gridded (without window
/// correction), in (Mpc/h)³.
#[derive(Clone, Debug, Serialize)]
pub struct FieldStatistics {
    /// Its name in the report.
    pub label: String,
    /// Power spectrum.
    pub power: Vec<f64>,
    /// Power in the wider bands.
    pub band_power: Vec<f64>,
    /// Distribution of log10(1 + δ).
    pub pdf: Distribution,
    /// Density that 99.9 % of the voxels lie below, in units of the cosmic mean.
    pub percentile_99_9: f64,
    /// Mean density in units of the cosmic mean.
    pub mean_density: f64,
    /// The comparison with the truth; the truth itself has none.
    #[serde(flatten)]
    pub against_truth: Option<AgainstTruth>,
}

/// Distribution of log10(1 + δ) over the bins of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    /// Fraction of the voxels per unit of log10(1 + δ).
    pub per_dex: Vec<f64>,
    /// Fraction of the voxels below the first bin, empty ones included.
    pub below: f64,
    /// Fraction of the voxels above the last bin.
    pub above: f64,
}

/// Statistics of a field against the truth, arrays over the shells of the report.
#[derive(Clone, Debug, Serialize)]
pub struct AgainstTruth {
    /// P / P_truth.
    pub ratio: Vec<f64>,
    /// T = √(P / P_truth).
    pub transfer: Vec<f64>,
    /// r = P_cross / √(P P_truth).
    pub cross_correlation: Vec<f64>,
    /// P / P_truth in the wider bands.
    pub band_ratio: Vec<f64>,
    /// r in the wider bands.
    pub band_cross_correlation: Vec<f64>,
}

/// A field's modes with its spectra in shells and bands.
pub(crate) struct Transformed {
    pub(crate) label: String,
    pub(crate) modes: Modes,
    pub(crate) shells: Spectrum,
    pub(crate) banded: Spectrum,
}

impl Transformed {
    pub(crate) fn new(labelled: &Labelled<'_>, bands: &Bands) -> Result<Self, ReportError> {
        let modes = Modes::of(labelled.field, None).map_err(named(&labelled.label))?;
        let (shells, banded) = (modes.power(), modes.power_in(bands));
        Ok(Self { label: labelled.label.clone(), modes, shells, banded })
    }

    /// r with another field, in shells and in bands.
    pub(crate) fn correlate(&self, other: &Self, bands: &Bands) -> Result<[Vec<f64>; 2], ReportError> {
        let shells = self.modes.cross(&other.modes).map_err(named(&self.label))?;
        let banded = self.modes.cross_in(&other.modes, bands).map_err(named(&self.label))?;
        Ok([
            correlation_of(&shells, &self.shells, &other.shells),
            correlation_of(&banded, &self.banded, &other.banded),
        ])
    }
}

impl FieldStatistics {
    pub(crate) fn new(
        labelled: &Labelled<'_>,
        transformed: &Transformed,
        truth: Option<(&Transformed, &Bands)>,
    ) -> Result<Self, ReportError> {
        let fail = named(&labelled.label);
        let (low, high, bins) = PDF_RANGE;
        let distribution = pdf(labelled.field, low, high, bins).map_err(&fail)?;
        Ok(Self {
            label: labelled.label.clone(),
            power: transformed.shells.power.clone(),
            band_power: transformed.banded.power.clone(),
            percentile_99_9: percentile(labelled.field, DENSE_PERCENT).map_err(&fail)?,
            mean_density: mean_density(labelled.field).map_err(&fail)?,
            pdf: Distribution {
                per_dex: distribution.per_dex,
                below: distribution.below,
                above: distribution.above,
            },
            against_truth: truth.map(|(truth, bands)| compare(transformed, truth, bands)).transpose()?,
        })
    }
}

fn compare(field: &Transformed, truth: &Transformed, bands: &Bands) -> Result<AgainstTruth, ReportError> {
    let [cross_correlation, band_cross_correlation] = field.correlate(truth, bands)?;
    Ok(AgainstTruth {
        ratio: field.shells.ratio(&truth.shells),
        transfer: field.shells.transfer(&truth.shells),
        cross_correlation,
        band_ratio: field.banded.ratio(&truth.banded),
        band_cross_correlation,
    })
}

/// Names the field that an error speaks of.
pub(crate) fn named(label: &str) -> impl Fn(SpectraError) -> ReportError {
    let label = label.to_owned();
    move |source| ReportError::Statistics { label: label.clone(), source }
}

/// The mean of several spectra of one length, value by value; empty for none.
pub(crate) fn mean_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let length = spectra.first().map_or(0, |first| first.len());
    (0..length).map(|i| spectra.iter().map(|s| s[i]).sum::<f64>() / spectra.len() as f64).collect()
}

/// Standard error of that mean; NaN for fewer than two spectra.
pub(crate) fn standard_error_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let count = spectra.len() as f64;
    let mean = mean_of(spectra.iter().copied());
    let variance = |(i, mean): (usize, &f64)| {
        spectra.iter().map(|s| (s[i] - mean).powi(2)).sum::<f64>() / (count - 1.0) / count
    };
    mean.iter().enumerate().map(variance).map(f64::sqrt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_their_errors_by_hand() {
        let spectra = [[1.0, 4.0], [3.0, 4.0], [5.0, 4.0]];
        let all = || spectra.iter().map(<[f64; 2]>::as_slice);
        assert_eq!(mean_of(all()), [3.0, 4.0]);
        assert_eq!(standard_error_of(all()), [(4.0f64 / 3.0).sqrt(), 0.0]);
        assert!(standard_error_of(all().take(1))[0].is_nan());
        assert!(mean_of(std::iter::empty()).is_empty());
    }
}
