//! All that boxes are pooled of, and judged by.

use crate::estimate::Estimate;
use serde::Serialize;

/// Declares [`Estimates`] and its mean over boxes.
macro_rules! estimates {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Numbers of one box, each the mean over its samples, or their means over boxes.
        #[derive(Clone, Debug, Default, Serialize)]
        pub struct Estimates {
            $($(#[doc = $doc])* pub $name: Estimate,)*
        }

        impl Estimates {
            /// Means over boxes; a single box stays as it is.
            pub(crate) fn pooled<'a>(boxes: impl Iterator<Item = &'a Self> + Clone) -> Self {
                Self { $($name: Estimate::pooled(boxes.clone().map(|of_box| &of_box.$name)),)* }
            }
        }
    };
}

estimates! {
    /// P / P_truth by band.
    ratio,
    /// r with the truth by band.
    cross_correlation,
    /// r(sample, other sample) by band; empty for one sample.
    sample_agreement,
    /// P(SR_i × SR_j) / P(SR × HR) by band where r² is large enough; empty for one sample.
    pair_ratio,
    /// P / P_truth of ln(1 + δ) by band.
    log_power_ratio,
    /// r(sample, truth) / r(sample, other sample) of ln(1 + δ) by band where that is large enough: 1 for draws of the truth's
    /// own distribution. Empty for one sample.
    log_agreement_ratio,
    /// d ln P / dδ of sub-volumes over the truth's, by band.
    response_ratio,
    /// Cross power with the companion field over the truth's with its own, by band; empty without one.
    companion_power_ratio,
    /// The same of r.
    companion_correlation_ratio,
    /// B / B_truth by equilateral triangle; empty where the grid holds none.
    bispectrum_ratio,
    /// B(c, c, s) / B(c, c, truth) by equilateral triangle, c the condition; empty without one.
    cross_bispectrum_ratio,
    /// B(c, s, s) / B(c, truth, truth) by equilateral triangle; empty without a condition.
    double_cross_bispectrum_ratio,
    /// 99.9th percentile of the density over that of the truth.
    percentile_99_9_ratio,
    /// Other percentiles of the density over those of the truth, [`LOW_PERCENTS`](crate::limits::LOW_PERCENTS).
    low_percentile_ratio,
    /// Share of nearly empty voxels over that of the truth.
    nearly_empty_ratio,
    /// Number of voids of each radius and more over that of the truth, radii falling.
    void_ratio,
    /// Mass over that of the truth.
    mass_ratio,
    /// The same by environment.
    environment_mass_ratio,
    /// Mean step of ln(1 + δ) between neighbours over the truth's, by environment.
    environment_step_ratio,
    /// √((M + 1)/M) rms spread / rms error of the samples' mean of ln(1 + δ), by environment; empty for fewer than two
    /// samples.
    environment_spread_over_error,
    /// How much more often than it should the truth has a rank below 1, 2, ... M among the samples, environment by
    /// environment; empty for fewer than two samples.
    environment_rank_excess,
    /// How much more often than it should the truth's summary has a rank below 1, 2, ... M − 1 by its distance from a sample,
    /// then below 1, 2, ... M in each of its numbers; empty for fewer than two samples.
    coverage_excess,
    /// Gradient of ln(1 + δ) at the faces of windows over the truth's at the same faces, by step; empty where no tiles are
    /// known.
    seam_gradient_ratio,
}
