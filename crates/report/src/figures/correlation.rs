//! Cross-correlation with the truth by scale, and of the samples among themselves.

use super::{Width, condition_pen, faint_sample_pen, sample_name, sample_pen, truth_pen, up_to};
use crate::axes::{Axes, legend};
use crate::canvas::{Canvas, Pen};
use crate::comparison::Comparison;
use crate::statistics::AgainstTruth;
use crate::theme::Palette;
use crate::ticks::Scale;
use finescale_spectra::nyquist_h_mpc;

const FRAME: [f32; 4] = [62.0, 56.0, 388.0, 324.0];
const HEIGHT: f32 = 372.0;

/// r(k) of samples and condition with the truth, and between samples.
pub(crate) fn correlation(comparison: &Comparison, palette: &Palette, width: Width) -> Canvas {
    let k_max = nyquist_h_mpc(&comparison.grid);
    let k = up_to(k_max, &comparison.k_h_mpc, &comparison.k_h_mpc);
    let mut canvas = Canvas::new(width.units(), HEIGHT, palette.paper);
    let between = Pen { dash: Some([1.5, 3.5]), width: 2.2, ..truth_pen(palette) };
    let mut entries =
        vec![(format!("{} × truth", sample_name(comparison.samples.len())), sample_pen(palette))];
    if comparison.condition.is_some() {
        entries.push(("condition × truth".to_owned(), condition_pen(palette)));
    }
    if !comparison.sample_agreement.is_empty() {
        entries.push(("sample × other sample".to_owned(), between));
    }
    legend(&mut canvas, palette, [10.0, FRAME[2], 18.0], &entries);

    let r_of = |a: &AgainstTruth| a.cross_correlation.clone();
    let samples: Vec<_> =
        comparison.samples.iter().filter_map(|s| s.against_truth.as_ref()).map(r_of).collect();
    let condition = comparison.condition.as_ref().and_then(|c| c.against_truth.as_ref()).map(r_of);
    let shown = samples.iter().chain(&condition).chain([&comparison.sample_agreement]);
    let lowest = shown.flat_map(|r| up_to(k_max, &comparison.k_h_mpc, r)).copied().fold(0.0, f64::min);
    let axes = Axes {
        frame: FRAME,
        x: Scale::Log { low: k.first().copied().unwrap_or(0.1) / 1.06, high: k_max },
        y: Scale::Linear { low: if lowest < -0.02 { lowest.max(-1.0) - 0.05 } else { 0.0 }, high: 1.03 },
    };
    axes.draw(&mut canvas, palette, Some("k [h/Mpc]"), "r(k)");
    if samples.len() > 1 {
        for sample in &samples {
            axes.curve(&mut canvas, k, sample, &faint_sample_pen(palette));
        }
    }
    axes.curve(&mut canvas, k, &comparison.sample_agreement, &between);
    if let Some(condition) = condition {
        axes.curve(&mut canvas, k, &condition, &condition_pen(palette));
    }
    axes.curve(&mut canvas, k, &comparison.sample_mean(|a| &a.cross_correlation), &sample_pen(palette));
    canvas
}
