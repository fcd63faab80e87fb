//! The statistics of one field, and of it against the truth.

use crate::beyond_power::BeyondPower;
use crate::densities::{Densities, DensityStatistics};
use crate::error::named;
use crate::estimate::{products, ratios};
use crate::limits::{DENSITY_BLOCKS, NEARLY_EMPTY};
use crate::measured::Measured;
use crate::seam_test::SeamTest;
use crate::transformed::Transformed;
use crate::triangles::{CrossBispectra, Triangles};
use crate::{JudgeError, Labelled, Watch};
use finescale_field::{Field3, Scheme};
use finescale_spectra::{Bands, Modes, SpectraError, mean_density};
use rayon::prelude::*;
use serde::Serialize;

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
    /// d ln P / dδ of sub-volumes: how their power follows their own density, by band; null where they do not resolve a
    /// band, empty where none divide the cells.
    pub response: Vec<f64>,
    /// How particles were assigned to its voxels; null if that is not known.
    pub assignment: Option<Scheme>,
    /// Power spectrum with the window of that assignment divided out; empty without one.
    pub power_without_window: Vec<f64>,
    /// The same in the wider bands.
    pub band_power_without_window: Vec<f64>,
    /// Densities of voxels and of blocks of voxels.
    pub densities: Vec<Densities>,
    /// Density that 99.9 % of the voxels lie below, in units of the cosmic mean.
    pub percentile_99_9: f64,
    /// Mean density in units of the cosmic mean.
    pub mean_density: f64,
    /// Share of voxels below [`NEARLY_EMPTY`].
    pub nearly_empty: f64,
    /// Share of voxels that hold nothing at all.
    pub empty: f64,
    /// Statistics beyond the power spectrum; none where no truth is known.
    #[serde(flatten)]
    pub beyond_power: Option<BeyondPower>,
    /// The comparison with the truth; the truth itself has none.
    #[serde(flatten)]
    pub against_truth: Option<AgainstTruth>,
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
    /// B(c, c, s) / B(c, c, truth) of the equilateral triangles, c the condition; empty without one.
    pub cross_bispectrum_ratio: Vec<f64>,
    /// B(c, s, s) / B(c, truth, truth) of the same.
    pub double_cross_bispectrum_ratio: Vec<f64>,
    /// Seams at the faces of the tiles that the field was made of.
    pub seams: Measured<SeamTest>,
}

/// The truth, and what others are compared with it by.
pub(crate) struct Reference<'a> {
    pub(crate) field: &'a Field3,
    pub(crate) bands: &'a Bands,
    pub(crate) transformed: Transformed,
    pub(crate) triangles: Result<Triangles, String>,
    pub(crate) statistics: FieldStatistics,
    /// The modes of the condition, and the truth's bispectra with it.
    pub(crate) condition: Option<(Modes, CrossBispectra)>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(
        truth: &Labelled<'a>,
        condition: Option<&Labelled<'_>>,
        bands: &'a Bands,
        watch: &Watch<'_>,
    ) -> Result<Self, JudgeError> {
        let field = truth.field;
        let transformed = Transformed::new(truth, bands, watch)?;
        let triangles = Triangles::new(field.grid());
        let statistics = FieldStatistics {
            beyond_power: Some(BeyondPower::new(
                truth,
                &transformed.modes,
                bands,
                &triangles,
                &|statistic| {
                    watch(&truth.label, statistic);
                },
            )),
            ..FieldStatistics::alone(truth, &transformed, None, watch)?
        };
        let condition = match (condition, &triangles) {
            (Some(condition), Ok(triangles)) => {
                let modes = Modes::within(condition.field, None, condition.boundary)
                    .map_err(named(&condition.label))?;
                let of_truth = triangles.measure_with(&modes, &transformed.modes);
                Some((modes, of_truth.map_err(named(&condition.label))?))
            }
            _ => None,
        };
        Ok(Self { field, bands, transformed, triangles, statistics, condition })
    }

    /// B(c, c, field) and B(c, field, field) over those of the truth; empty without a condition.
    fn cross_bispectrum_ratios(&self, modes: &Modes) -> Result<[Vec<f64>; 2], SpectraError> {
        let (Some((condition, of_truth)), Ok(triangles)) = (&self.condition, &self.triangles) else {
            return Ok([Vec::new(), Vec::new()]);
        };
        let found = triangles.measure_with(condition, modes)?;
        Ok([ratios(&found.single, &of_truth.single), ratios(&found.double, &of_truth.double)])
    }
}

impl FieldStatistics {
    /// A statistic beyond the power spectrum, if it was measured.
    pub fn beyond<T>(&self, of: fn(&BeyondPower) -> &Measured<T>) -> Option<&T> {
        of(self.beyond_power.as_ref()?).done()
    }

    /// A statistic against the truth, if there is one.
    pub fn against<T>(&self, of: fn(&AgainstTruth) -> &T) -> Option<&T> {
        self.against_truth.as_ref().map(of)
    }

    /// Power in the shells, without its window if that is wanted.
    pub(crate) fn power_beside(&self, window_divided_out: bool) -> &[f64] {
        if window_divided_out { &self.power_without_window } else { &self.power }
    }

    /// The seams of the field, if its tiles are known.
    #[must_use]
    pub fn seams(&self) -> Option<&SeamTest> {
        self.against(|a| &a.seams)?.done()
    }

    /// The statistics of power and density; `truth`: what its distribution of densities is compared with.
    pub(crate) fn alone(
        labelled: &Labelled<'_>,
        transformed: &Transformed,
        truth: Option<&Field3>,
        watch: &Watch<'_>,
    ) -> Result<Self, JudgeError> {
        let (label, field) = (&labelled.label, labelled.field);
        watch(label, "densities");
        let voxels = DensityStatistics::new(field, truth, DENSITY_BLOCKS[0]).map_err(named(label))?;
        let band_power = transformed.spectra.banded.power.clone();
        let without_window = transformed.spectra.without_window.as_ref();
        let [power_without_window, band_power_without_window] =
            [0, 1].map(|binning| without_window.map_or(Vec::new(), |spectra| spectra[binning].power.clone()));
        let relative = transformed.spectra.blocks.relative_error(band_power.len());
        Ok(Self {
            label: label.clone(),
            power: transformed.spectra.shells.power.clone(),
            band_power_standard_error: products(&relative, &band_power),
            response: transformed.spectra.blocks.response(),
            band_power,
            assignment: labelled.assignment,
            power_without_window,
            band_power_without_window,
            percentile_99_9: voxels.percentiles[voxels.percents.len() - 1],
            mean_density: mean_density(field).map_err(named(label))?,
            nearly_empty: share(field, |density| f64::from(density) < NEARLY_EMPTY),
            empty: share(field, |density| density <= 0.0),
            densities: Densities::by_block(voxels, field, truth),
            beyond_power: None,
            against_truth: None,
        })
    }

    /// All statistics of a field that is compared with a truth.
    pub(crate) fn compared(
        labelled: &Labelled<'_>,
        transformed: &Transformed,
        truth: &Reference<'_>,
        seams: Measured<SeamTest>,
        watch: &Watch<'_>,
    ) -> Result<Self, JudgeError> {
        let [cross_correlation, band_cross_correlation] =
            transformed.correlate(&truth.transformed, truth.bands)?;
        let tell = |statistic| watch(&labelled.label, statistic);
        let beyond = BeyondPower::new(labelled, &transformed.modes, truth.bands, &truth.triangles, &tell);
        let [cross_bispectrum_ratio, double_cross_bispectrum_ratio] =
            truth.cross_bispectrum_ratios(&transformed.modes).map_err(named(&labelled.label))?;
        let bispectrum = beyond.bispectrum.done().zip(truth.statistics.beyond(|b| &b.bispectrum));
        let log_power = beyond.log_power.done().zip(truth.statistics.beyond(|b| &b.log_power));
        let (shells, banded) = (&truth.transformed.spectra.shells, &truth.transformed.spectra.banded);
        let against_truth = AgainstTruth {
            ratio: transformed.spectra.shells.ratio(shells),
            transfer: transformed.spectra.shells.transfer(shells),
            cross_correlation,
            band_ratio: transformed.spectra.banded.ratio(banded),
            band_cross_correlation,
            log_power_ratio: log_power.map_or(Vec::new(), |(mine, its)| ratios(mine, its)),
            bispectrum_ratio: bispectrum
                .map_or(Vec::new(), |(mine, its)| mine.equilateral.ratio(&its.equilateral)),
            cross_bispectrum_ratio,
            double_cross_bispectrum_ratio,
            seams,
        };
        Ok(Self {
            beyond_power: Some(beyond),
            against_truth: Some(against_truth),
            ..Self::alone(labelled, transformed, Some(truth.field), watch)?
        })
    }
}

/// Part of the voxels that something is true of.
pub(crate) fn share(field: &Field3, is: impl Fn(f32) -> bool + Sync) -> f64 {
    field.as_slice().par_iter().filter(|&&density| is(density)).count() as f64 / field.grid().voxels() as f64
}
