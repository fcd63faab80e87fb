//! Several boxes together: what the goals are judged by.

use crate::estimate::{Estimate, standard_error_of};
use crate::summary::BoxSummary;
use serde::Serialize;

/// Where the standard errors of [`Pooled`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorSource {
    /// The scatter between boxes.
    Boxes,
    /// One box: its sub-volumes, or the scatter of its samples (`cross_correlation`, `log_power_ratio`,
    /// `bispectrum_ratio`), or samples in the truth's place (`pair_ratio`).
    WithinOneBox,
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
    /// Mean |k| of the modes of the bands in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// P / P_truth.
    pub ratio: Estimate,
    /// T = √(P / P_truth).
    pub transfer: Estimate,
    /// r with the truth.
    pub cross_correlation: Estimate,
    /// P(SR_i × SR_j) / P(SR × HR).
    pub pair_ratio: Estimate,
    /// P / P_truth of ln(1 + δ).
    pub log_power_ratio: Estimate,
    /// k of the equilateral triangles in h/Mpc.
    pub bispectrum_k_h_mpc: Vec<f64>,
    /// B / B_truth of the equilateral triangles.
    pub bispectrum_ratio: Estimate,
    /// 99.9th percentile of the density over that of the truth.
    pub percentile_99_9_ratio: Estimate,
    /// Mass over that of the truth.
    pub mass_ratio: Estimate,
    /// Samples whose tiles are known.
    pub seams_tested: usize,
    /// How many of them are seamless.
    pub seamless: usize,
    /// How many are by the truth at the same faces, which has no tiles.
    pub truth_seamless: usize,
    /// Gradient at faces over the truth's at the same faces.
    pub seam_gradient_ratio: Estimate,
    /// Why seams were not looked for, if they were not.
    pub seams_skipped: Option<String>,
}

impl Pooled {
    /// Means over `boxes`, one at least; each box counts the same.
    pub(crate) fn new(boxes: &[BoxSummary], k_h_mpc: &[f64], bispectrum_k_h_mpc: Vec<f64>) -> Self {
        let pool = |of: fn(&BoxSummary) -> &Estimate| match boxes {
            [only] => of(only).clone(),
            _ => pool(boxes.iter().map(of)),
        };
        let ratio = pool(|b| &b.ratio);
        let transfer: Vec<f64> = ratio.value.iter().map(|ratio| ratio.sqrt()).collect();
        let of_transfer = ratio.standard_error.iter().zip(&transfer).map(|(error, t)| error / (2.0 * t));
        let count =
            |of: fn(&BoxSummary) -> &[bool]| boxes.iter().flat_map(of).filter(|&&seamless| seamless).count();
        Self {
            boxes: boxes.len(),
            samples: boxes.iter().map(|b| b.samples).sum(),
            errors_from: if boxes.len() > 1 { ErrorSource::Boxes } else { ErrorSource::WithinOneBox },
            k_h_mpc: k_h_mpc.to_vec(),
            transfer: Estimate { standard_error: of_transfer.collect(), value: transfer },
            ratio,
            cross_correlation: pool(|b| &b.cross_correlation),
            pair_ratio: pool(|b| &b.pair_ratio),
            log_power_ratio: pool(|b| &b.log_power_ratio),
            bispectrum_k_h_mpc,
            bispectrum_ratio: pool(|b| &b.bispectrum_ratio),
            percentile_99_9_ratio: pool(|b| &b.percentile_99_9_ratio),
            mass_ratio: pool(|b| &b.mass_ratio),
            seams_tested: boxes.iter().map(|b| b.seamless.len()).sum(),
            seamless: count(|b| &b.seamless),
            truth_seamless: count(|b| &b.truth_seamless),
            seam_gradient_ratio: pool(|b| &b.seam_gradient_ratio),
            seams_skipped: boxes.iter().find_map(|b| b.seams_skipped.clone()),
        }
    }
}

/// Mean and standard error over the boxes that have a finite value, bin by bin.
fn pool<'a>(estimates: impl Iterator<Item = &'a Estimate> + Clone) -> Estimate {
    let bins = estimates.clone().map(|estimate| estimate.value.len()).max().unwrap_or(0);
    let mut pooled = Estimate::default();
    for bin in 0..bins {
        let values: Vec<f64> =
            estimates.clone().filter_map(|e| e.value.get(bin).copied()).filter(|v| v.is_finite()).collect();
        pooled.value.push(values.iter().sum::<f64>() / values.len() as f64);
        pooled.standard_error.extend(
            standard_error_of(values.chunks(1).collect::<Vec<_>>().into_iter())
                .get(..1)
                .unwrap_or(&[f64::NAN]),
        );
    }
    pooled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_count_alike_and_gaps_not_at_all() {
        let estimate =
            |value: &[f64]| Estimate { value: value.to_vec(), standard_error: vec![9.0; value.len()] };
        let boxes = [estimate(&[1.0, f64::NAN]), estimate(&[3.0, 5.0]), estimate(&[5.0, f64::NAN])];
        let pooled = pool(boxes.iter());
        assert_eq!(pooled.value, [3.0, 5.0]);
        assert!((pooled.standard_error[0] - (4.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(pooled.standard_error[1].is_nan());
        assert!(pool([estimate(&[])].iter()).value.is_empty());
    }
}
