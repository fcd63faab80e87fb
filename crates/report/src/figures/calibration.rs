//! Whether samples vary as much as they should.

use super::power::{in_bands, one, x_scale};
use super::{BASELINE, Curve, SAMPLE, TRUTH, goal, values};
use crate::plot::{Panel, Plot, linear_scale};
use crate::svg::Pen;
use finescale_judge::Comparison;
use finescale_judge::limits::PAIRS;

/// Pair ratio and spread over error by band.
pub(crate) fn calibration(comparison: &Comparison) -> Option<Plot> {
    let found = comparison.measured.calibration.done()?;
    let k = &comparison.measured.bands.k_h_mpc;
    let level = Pen { width: 1.4, ..TRUTH };
    let pairs = vec![one(k, level), in_bands(comparison, k, &comparison.pooled.estimates.pair_ratio)];
    let scale = |curves: &[Curve]| linear_scale(values(curves), [0.8, 1.2], [0.0, 3.0]);
    let mut panels =
        vec![Panel::new("pairs / truth", scale(&pairs), 170.0, pairs).shaded(vec![goal(0.0, PAIRS)])];
    if !found.spread_over_error.is_empty() {
        let spread = vec![one(k, level), Curve::line("spread / error", SAMPLE, k, &found.spread_over_error)];
        panels.push(Panel::new("spread / error", scale(&spread), 120.0, spread));
    }
    let x = x_scale(k, comparison.measured.nyquist_h_mpc);
    Some(Plot { x_label: "k [h/Mpc]".to_owned(), x, panels })
}

/// Rank histograms over their means.
pub(crate) fn ranks(comparison: &Comparison) -> Option<Plot> {
    let found = comparison.measured.calibration.done()?;
    let mut curves = Vec::new();
    for (scores, pen) in found.scores.iter().zip([SAMPLE, BASELINE]) {
        let Some(ranks) = scores.ranks.done() else { continue };
        let counts: Vec<f64> = ranks.counts.iter().map(|&count| count as f64).collect();
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let x: Vec<f64> = (0..counts.len()).map(|rank| rank as f64).collect();
        let y: Vec<f64> = counts.iter().map(|count| count / mean).collect();
        let error: Vec<f64> = counts.iter().map(|count| count.sqrt() / mean).collect();
        if curves.is_empty() {
            curves.push(one(&x, Pen { width: 1.4, ..TRUTH }));
        }
        let name =
            if scores.block == 1 { "voxels".to_owned() } else { format!("blocks of {}³", scores.block) };
        curves.push(Curve::line(name, pen, &x, &y).with_error(&error).dots());
    }
    let last = curves.first()?.x.len() as f64 - 1.0;
    let y = linear_scale(values(&curves), [0.0, 1.5], [0.0, 50.0]);
    Some(Plot {
        x_label: "samples below the truth".to_owned(),
        x: crate::ticks::Scale::Linear { low: -0.5, high: last + 0.5 },
        panels: vec![Panel::new("frequency / mean", y, 270.0, curves)],
    })
}
