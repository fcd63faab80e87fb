//! The learning rate of each step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// It stays at its peak.
    Constant,
    /// Half a cosine, down to `floor` of the peak at the last step.
    Cosine {
        /// The last learning rate as a share of `learning_rate`: 0.02 is sane.
        #[schemars(range(min = 0.0, max = 1.0), extend("unit" = "share"))]
        floor: f64,
    },
}

/// The learning rate of update `count` (from 1) out of `steps`: a linear ramp over `warm_up_steps`, then
/// `decay`.
pub(crate) fn learning_rate(peak: f64, warm_up_steps: u64, decay: Decay, steps: u64, count: u64) -> f64 {
    let ramp = (count as f64 / warm_up_steps.max(1) as f64).min(1.0);
    let after = count.saturating_sub(warm_up_steps) as f64;
    let rest = steps.saturating_sub(warm_up_steps).max(1) as f64;
    let factor = match decay {
        Decay::Constant => 1.0,
        Decay::Cosine { floor } => {
            let half_wave = 0.5 * (1.0 + (std::f64::consts::PI * (after / rest).min(1.0)).cos());
            floor + (1.0 - floor) * half_wave
        }
    };
    peak * ramp * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ramps_up_peaks_and_ends_on_the_floor() {
        let rate = |count| learning_rate(2e-3, 10, Decay::Cosine { floor: 0.1 }, 110, count);
        assert!((rate(1) - 2e-4).abs() < 1e-12);
        assert!((rate(10) - 2e-3).abs() < 1e-12);
        assert!((rate(60) - 2e-3 * 0.55).abs() < 1e-12);
        assert!((rate(110) - 2e-4).abs() < 1e-12);
        assert!((rate(500) - 2e-4).abs() < 1e-12);
        assert_eq!(learning_rate(1e-4, 0, Decay::Constant, 5, 1), 1e-4);
    }
}
