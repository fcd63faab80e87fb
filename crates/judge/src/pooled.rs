//! Several boxes together: what the goals are judged by.

use crate::covariance::CovarianceReport;
use crate::estimate::Estimate;
use crate::estimates::Estimates;
use crate::measured::Measured;
use crate::measurements::Places;
use crate::summary::BoxSummary;
use serde::Serialize;

/// Where the standard errors of [`Pooled`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// The scatter between boxes.
    Boxes,
    /// One box: its sub-volumes, or the scatter of its samples and the truth's, which is one more draw, or samples in the
    /// truth's place (`pair_ratio`, `log_agreement_ratio`).
    WithinOneBox,
    /// None: two boxes have no scatter to speak of.
    Nothing,
}

/// Means over boxes.
#[derive(Clone, Debug, Serialize)]
pub struct Pooled {
    /// Number of boxes.
    pub boxes: usize,
    /// Number of samples in all.
    pub samples: usize,
    /// Where the standard errors come from.
    pub errors_from: ErrorSource,
    /// Where the estimates are: wavenumbers, radii.
    #[serde(flatten)]
    pub places: Places,
    /// The means.
    #[serde(flatten)]
    pub estimates: Estimates,
    /// T = √(P / P_truth) of the mean.
    pub transfer: Estimate,
    /// How power scatters between boxes.
    pub covariance: Measured<CovarianceReport>,
    /// Samples whose tiles are known.
    pub seams_tested: usize,
    /// How many of them are seamless.
    pub seamless: usize,
    /// How many are by the truth at the same faces, which has no tiles.
    pub truth_seamless: usize,
    /// Why seams were not looked for, if they were not.
    pub seams_skipped: Option<String>,
}

impl Pooled {
    /// Means over `boxes`, one at least.
    pub(crate) fn new(boxes: &[BoxSummary], places: Places) -> Self {
        let count =
            |of: fn(&BoxSummary) -> &[bool]| boxes.iter().flat_map(of).filter(|&&seamless| seamless).count();
        let mut estimates = Estimates::pooled(boxes.iter().map(|b| &b.estimates));
        if boxes.iter().any(|of_box| of_box.samples != boxes[0].samples) {
            // Ranks among other numbers of samples are other ranks.
            (estimates.environment_rank_excess, estimates.coverage_excess) = Default::default();
        }
        let transfer: Vec<f64> = estimates.ratio.value.iter().map(|ratio| ratio.sqrt()).collect();
        let errors = estimates.ratio.standard_error.iter().zip(&transfer);
        let errors = errors.map(|(error, transfer)| error / (2.0 * transfer)).collect();
        Self {
            boxes: boxes.len(),
            samples: boxes.iter().map(|b| b.samples).sum(),
            errors_from: match boxes.len() {
                1 => ErrorSource::WithinOneBox,
                2 => ErrorSource::Nothing,
                _ => ErrorSource::Boxes,
            },
            places,
            estimates,
            transfer: Estimate::new(transfer, errors),
            covariance: CovarianceReport::new(boxes),
            seams_tested: boxes.iter().map(|b| b.seamless.len()).sum(),
            seamless: count(|b| &b.seamless),
            truth_seamless: count(|b| &b.truth_seamless),
            seams_skipped: boxes.iter().find_map(|b| b.seams_skipped.clone()),
        }
    }
}
