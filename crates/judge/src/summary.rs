//! What one box adds to the means over boxes.

use crate::Labelled;
use crate::bands::BandMeans;
use crate::calibration::CalibrationReport;
use crate::estimate::Estimate;
use crate::limits::{DENSE_PERCENT, LEAST_R2};
use crate::measured::Measured;
use crate::octants::octant_ratio_error;
use crate::statistics::{AgainstTruth, FieldStatistics};
use finescale_field::{Field3, Grid};
use finescale_spectra::{mean_density, percentile};
use serde::Serialize;

/// Means over the samples of one box, with the errors that it knows of itself.
#[derive(Clone, Debug, Serialize)]
pub struct BoxSummary {
    /// Its name.
    pub label: String,
    /// Number of samples.
    pub samples: usize,
    /// P / P_truth by band.
    pub ratio: Estimate,
    /// r with the truth by band.
    pub cross_correlation: Estimate,
    /// P(SR_i × SR_j) / P(SR × HR) by band where r² is large enough; empty for one sample.
    pub pair_ratio: Estimate,
    /// P / P_truth of ln(1 + δ) by band.
    pub log_power_ratio: Estimate,
    /// B / B_truth by equilateral triangle; empty where the grid holds none.
    pub bispectrum_ratio: Estimate,
    /// 99.9th percentile of the density over that of the truth.
    pub percentile_99_9_ratio: Estimate,
    /// Mass over that of the truth.
    pub mass_ratio: Estimate,
    /// Per sample whose tiles are known: whether it is seamless.
    pub seamless: Vec<bool>,
    /// The same of the truth at the faces of that sample.
    pub truth_seamless: Vec<bool>,
    /// Gradient at faces over the truth's at the same faces; empty where no tiles are known.
    pub seam_gradient_ratio: Estimate,
    /// Why seams were not looked for, if they were not.
    pub seams_skipped: Option<String>,
    #[serde(skip)]
    pub(crate) grid: Grid,
}

impl BoxSummary {
    /// Of a box whose `truth` and `samples` have these `statistics`, the truth's first.
    pub(crate) fn new(
        label: &str,
        (truth, truth_statistics): (&Field3, &FieldStatistics),
        (samples, statistics): (&[Labelled<'_>], &[FieldStatistics]),
        bands: &BandMeans,
        calibration: &Measured<CalibrationReport>,
    ) -> Self {
        let against = || statistics.iter().filter_map(|s| s.against_truth.as_ref());
        let mean =
            |of: fn(&AgainstTruth) -> &Vec<f64>| Estimate::from_samples(against().map(|a| of(a).as_slice()));
        let seams = || against().filter_map(|a| a.seams.done());
        let seam_gradients: Vec<f64> =
            seams().map(|test| test.field.gradient.at_faces / test.truth.gradient.at_faces).collect();
        let pair_ratio = calibration.done().map_or_else(Estimate::default, |found| {
            let judged = found.pair_ratio.iter().zip(&found.r2);
            let value = judged.map(|(&ratio, &r2)| if r2 > LEAST_R2 { ratio } else { f64::NAN }).collect();
            Estimate { value, standard_error: found.pair_ratio_standard_error.clone() }
        });
        let single = |of: fn(&FieldStatistics) -> f64, error: f64| {
            let values = statistics.iter().map(|sample| of(sample) / of(truth_statistics));
            let mean = values.sum::<f64>() / statistics.len() as f64;
            Estimate { value: vec![mean], standard_error: vec![error] }
        };
        let fields: Vec<&Field3> = samples.iter().map(|sample| sample.field).collect();
        Self {
            label: label.to_owned(),
            samples: samples.len(),
            ratio: Estimate {
                value: bands.sample_ratio.clone(),
                standard_error: bands.sample_ratio_bootstrap_error.clone(),
            },
            cross_correlation: mean(|a| &a.band_cross_correlation),
            pair_ratio,
            log_power_ratio: mean(|a| &a.log_power_ratio),
            bispectrum_ratio: mean(|a| &a.bispectrum_ratio),
            percentile_99_9_ratio: single(
                |field| field.percentile_99_9,
                octant_ratio_error(truth, &fields, |octant| percentile(octant, DENSE_PERCENT)),
            ),
            mass_ratio: single(|f| f.mean_density, octant_ratio_error(truth, &fields, mean_density)),
            seamless: seams().map(|seams| seams.seamless).collect(),
            truth_seamless: seams().map(|seams| seams.truth.gradient.is_expected()).collect(),
            seam_gradient_ratio: Estimate::from_samples(seam_gradients.chunks(1)),
            seams_skipped: against().find_map(|a| a.seams.reason()).map(str::to_owned),
            grid: *truth.grid(),
        }
    }
}
