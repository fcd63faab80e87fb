//! A comparison in a handful of numbers.

use crate::estimate::mean_abs_ln;
use crate::statistics::{AgainstTruth, FieldStatistics};
use serde::Serialize;

/// The wavenumber at which the verdict quotes correlations, in h/Mpc.
const QUOTED_K_H_MPC: f64 = 1.0;

/// The numbers that a person asks for first.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Mean over the bands of |ln(P / P_truth)|, P averaged over the samples.
    pub mean_abs_ln_ratio: f64,
    /// The same of the condition.
    pub condition_mean_abs_ln_ratio: Option<f64>,
    /// Edges of the band that holds 1 h/Mpc (or of the last band, where the grid ends before) in h/Mpc.
    pub quoted_band_h_mpc: [f64; 2],
    /// r(sample, truth) in that band, mean over the samples.
    pub cross_correlation: f64,
    /// r(condition, truth) in that band.
    pub condition_cross_correlation: Option<f64>,
    /// 99.9th percentile over that of the truth, mean over the samples.
    pub percentile_99_9_ratio: f64,
    /// The same of the condition.
    pub condition_percentile_99_9_ratio: Option<f64>,
    /// Total mass over that of the truth, mean over the samples.
    pub mass_ratio: f64,
}

impl Verdict {
    pub(crate) fn new(
        edges_h_mpc: &[f64],
        mean_sample_ratio: &[f64],
        truth: &FieldStatistics,
        condition: Option<&FieldStatistics>,
        samples: &[FieldStatistics],
    ) -> Self {
        let quoted = quoted_band(edges_h_mpc);
        let mean = |value: &dyn Fn(&FieldStatistics) -> f64| {
            samples.iter().map(value).sum::<f64>() / samples.len() as f64
        };
        let against = |field: &FieldStatistics, value: &dyn Fn(&AgainstTruth) -> f64| {
            field.against_truth.as_ref().map_or(f64::NAN, value)
        };
        let r = |field: &FieldStatistics| against(field, &|a| a.band_cross_correlation[quoted]);
        Self {
            mean_abs_ln_ratio: mean_abs_ln(mean_sample_ratio),
            condition_mean_abs_ln_ratio: condition.map(|c| against(c, &|a| mean_abs_ln(&a.band_ratio))),
            quoted_band_h_mpc: [edges_h_mpc[quoted], edges_h_mpc[quoted + 1]],
            cross_correlation: mean(&r),
            condition_cross_correlation: condition.map(r),
            percentile_99_9_ratio: mean(&|s| s.percentile_99_9 / truth.percentile_99_9),
            condition_percentile_99_9_ratio: condition.map(|c| c.percentile_99_9 / truth.percentile_99_9),
            mass_ratio: mean(&|s| s.mean_density / truth.mean_density),
        }
    }
}

fn quoted_band(edges_h_mpc: &[f64]) -> usize {
    let bands = edges_h_mpc.len() - 1;
    edges_h_mpc.partition_point(|&edge| edge <= QUOTED_K_H_MPC).clamp(1, bands) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quoted_band_holds_one_h_per_mpc_or_is_the_nearest() {
        assert_eq!(quoted_band(&[0.1, 0.5, 1.0, 2.0]), 2);
        assert_eq!(quoted_band(&[0.1, 0.2, 0.4]), 1);
        assert_eq!(quoted_band(&[2.0, 4.0, 8.0]), 0);
    }
}
