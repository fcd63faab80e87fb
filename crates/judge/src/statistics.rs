//! The statistics of one field, and of it against the truth, as report.json has them.

use crate::beyond_power::BeyondPower;
use crate::measured::Measured;
use crate::seam_test::SeamTest;
use crate::sub_volumes::BlockPower;
use crate::triangles::Triangles;
use crate::{Labelled, ReportError};
use finescale_field::Field3;
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
    /// Standard error of that power by bootstrap over sub-volumes; null where they do not resolve a band.
    pub band_power_standard_error: Vec<f64>,
    /// Distribution of log10(1 + δ).
    pub pdf: Distribution,
    /// Density that 99.9 % of the voxels lie below, in units of the cosmic mean.
    pub percentile_99_9: f64,
    /// Mean density in units of the cosmic mean.
    pub mean_density: f64,
    /// Statistics beyond the power spectrum; none where no truth is known.
    #[serde(flatten)]
    pub beyond_power: Option<BeyondPower>,
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
    /// P / P_truth of ln(1 + δ) in the wider bands; empty where there is none.
    pub log_power_ratio: Vec<f64>,
    /// B / B_truth of the equilateral triangles; null or empty where there are none.
    pub bispectrum_ratio: Vec<f64>,
    /// Seams at the faces of the tiles that the field was made of.
    pub seams: Measured<SeamTest>,
}

/// A field's modes with its spectra in shells and bands.
pub(crate) struct Transformed {
    pub(crate) label: String,
    pub(crate) modes: Modes,
    pub(crate) shells: Spectrum,
    pub(crate) banded: Spectrum,
    pub(crate) blocks: BlockPower,
}

/// The truth, and what others are compared with it by.
pub(crate) struct Reference<'a> {
    pub(crate) field: &'a Field3,
    pub(crate) transformed: Transformed,
    pub(crate) bands: &'a Bands,
    pub(crate) triangles: Result<Triangles, String>,
    pub(crate) beyond_power: BeyondPower,
}

impl Transformed {
    pub(crate) fn new(labelled: &Labelled<'_>, bands: &Bands) -> Result<Self, ReportError> {
        let modes = Modes::new(labelled.field, None).map_err(named(&labelled.label))?;
        let (shells, banded) = (modes.power(), modes.power_in(bands));
        let blocks = BlockPower::of(labelled.field, bands);
        Ok(Self { label: labelled.label.clone(), modes, shells, banded, blocks })
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

impl<'a> Reference<'a> {
    pub(crate) fn new(truth: &Labelled<'a>, bands: &'a Bands) -> Result<Self, ReportError> {
        let transformed = Transformed::new(truth, bands)?;
        let triangles = Triangles::new(truth.field.grid());
        let beyond_power = BeyondPower::new(truth.field, &transformed.modes, bands, &triangles, None);
        Ok(Self { field: truth.field, transformed, bands, triangles, beyond_power })
    }
}

impl FieldStatistics {
    /// The statistics that need no truth.
    pub(crate) fn alone(labelled: &Labelled<'_>, transformed: &Transformed) -> Result<Self, ReportError> {
        let fail = named(&labelled.label);
        let (low, high, bins) = PDF_RANGE;
        let distribution = pdf(labelled.field, low, high, bins).map_err(&fail)?;
        let band_power = transformed.banded.power.clone();
        let relative = transformed.blocks.relative_error(band_power.len());
        Ok(Self {
            label: labelled.label.clone(),
            power: transformed.shells.power.clone(),
            band_power_standard_error: products(&relative, &band_power),
            band_power,
            percentile_99_9: percentile(labelled.field, DENSE_PERCENT).map_err(&fail)?,
            mean_density: mean_density(labelled.field).map_err(&fail)?,
            pdf: Distribution {
                per_dex: distribution.per_dex,
                below: distribution.below,
                above: distribution.above,
            },
            beyond_power: None,
            against_truth: None,
        })
    }

    /// The statistics of the truth.
    pub(crate) fn of_truth(labelled: &Labelled<'_>, truth: &Reference<'_>) -> Result<Self, ReportError> {
        let beyond_power = Some(truth.beyond_power.clone());
        Ok(Self { beyond_power, ..Self::alone(labelled, &truth.transformed)? })
    }

    /// All statistics of a field that is compared with a truth.
    pub(crate) fn against(
        labelled: &Labelled<'_>,
        transformed: &Transformed,
        truth: &Reference<'_>,
        seams: Measured<SeamTest>,
    ) -> Result<Self, ReportError> {
        let [cross_correlation, band_cross_correlation] =
            transformed.correlate(&truth.transformed, truth.bands)?;
        let beyond_power = BeyondPower::new(
            labelled.field,
            &transformed.modes,
            truth.bands,
            &truth.triangles,
            Some(truth.field),
        );
        let equilateral = |beyond: &BeyondPower| beyond.bispectrum.done().map(|b| b.equilateral.clone());
        let bispectrum_ratio = match (equilateral(&beyond_power), equilateral(&truth.beyond_power)) {
            (Some(mine), Some(its)) => mine.ratio(&its),
            _ => Vec::new(),
        };
        let log_power_ratio = match (beyond_power.log_power.done(), truth.beyond_power.log_power.done()) {
            (Some(mine), Some(its)) => mine.iter().zip(its).map(|(mine, its)| mine / its).collect(),
            _ => Vec::new(),
        };
        let (shells, banded) = (&truth.transformed.shells, &truth.transformed.banded);
        let against_truth = Some(AgainstTruth {
            ratio: transformed.shells.ratio(shells),
            transfer: transformed.shells.transfer(shells),
            cross_correlation,
            band_ratio: transformed.banded.ratio(banded),
            band_cross_correlation,
            log_power_ratio,
            bispectrum_ratio,
            seams,
        });
        Ok(Self { against_truth, beyond_power: Some(beyond_power), ..Self::alone(labelled, transformed)? })
    }
}

/// Value by value.
pub(crate) fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
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
