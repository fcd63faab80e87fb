//! Seams of samples and baselines.

use super::{BASELINE, Curve, SAMPLE, TRUTH, values};
use crate::plot::{Panel, Plot, linear_scale};
use crate::prose;
use crate::svg::Pen;
use crate::ticks::Scale;
use finescale_judge::{Comparison, FieldStatistics, SeamTest};

/// Gradient score of each field, and its expected range.
pub(crate) fn seams(comparison: &Comparison) -> Option<Plot> {
    let samples: Vec<&SeamTest> =
        comparison.measured.samples.iter().filter_map(FieldStatistics::seams).collect();
    let independent = comparison.measured.baselines.independent_tiles.done().and_then(FieldStatistics::seams);
    let first = &samples.first().copied().or(independent)?.truth.gradient;

    let mut ranges = Curve::line(
        format!("{} range without seams", prose::seam_range()),
        Pen { width: 1.4, ..TRUTH },
        &[],
        &[],
    )
    .dots();
    let mut at = 0.0;
    let mut add = |name: &str, pen: Pen, scores: Vec<(f64, [f64; 2])>| {
        let mut curve = Curve::line(name, Pen { width: 2.0, dash: None, ..pen }, &[], &[]).dots();
        for (score, [low, high]) in scores {
            at += 1.0;
            curve.x.push(at);
            curve.y.push(score);
            ranges.x.push(at + 0.18);
            ranges.y.push(0.5 * (low + high));
            ranges.error.push(0.5 * (high - low));
        }
        curve
    };
    let score = |test: &SeamTest| (test.field.gradient.at_faces, test.field.gradient.expected);
    let truth = add("truth", TRUTH, vec![(first.at_faces, first.expected)]);
    let mut curves = vec![truth, add("samples", SAMPLE, samples.iter().map(|test| score(test)).collect())];
    if let Some(tiles) = independent {
        curves.push(add("independent tiles", BASELINE, vec![score(tiles)]));
    }
    curves.push(ranges);
    let ends: Vec<f64> = curves
        .iter()
        .flat_map(|c| c.y.iter().zip(&c.error).flat_map(|(y, error)| [y - error, y + error]))
        .collect();
    let y = linear_scale(values(&curves).chain(&ends), [0.97, 1.03], [0.0, f64::INFINITY]);
    Some(Plot {
        x_label: "truth, then the samples".to_owned(),
        x: Scale::Linear { low: 0.4, high: at + 0.6 },
        panels: vec![Panel::new("gradient at faces / elsewhere", y, 270.0, curves)],
    })
}
