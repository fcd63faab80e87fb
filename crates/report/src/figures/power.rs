//! Power spectra, and their ratio to the truth beneath.

use super::{
    Width, condition_pen, faint_sample_pen, positive_range, sample_name, sample_pen, truth_pen, up_to,
};
use crate::axes::{Axes, legend};
use crate::canvas::{Canvas, Pen};
use crate::comparison::Comparison;
use crate::statistics::{AgainstTruth, FieldStatistics, mean_of};
use crate::theme::Palette;
use crate::ticks::Scale;
use crate::upscaled::Upscaled;
use finescale_spectra::nyquist_h_mpc;

/// The goal of a first model: power within 15 % of the truth.
pub(crate) const TOLERANCE: f64 = 0.15;

const LEFT: f32 = 62.0;
const TOP: f32 = 44.0;
const RIGHT_MARGIN: f32 = 12.0;
const BOTTOM_MARGIN: f32 = 50.0;
const GAP: f32 = 16.0;

/// P(k) of all fields above, P / P_truth beneath.
pub(crate) fn power(comparison: &Comparison, palette: &Palette, width: Width) -> Canvas {
    let k_max = nyquist_h_mpc(&comparison.grid);
    let (upper, lower) = if width == Width::Wide { (300.0, 150.0) } else { (230.0, 130.0) };
    let right = width.units() - RIGHT_MARGIN;
    let k = up_to(k_max, &comparison.k_h_mpc, &comparison.k_h_mpc);
    let x = Scale::Log { low: k.first().copied().unwrap_or(0.1) / 1.06, high: k_max };

    let fields = || comparison.samples.iter().chain(&comparison.condition).chain([&comparison.truth]);
    let mut canvas = Canvas::new(width.units(), TOP + upper + GAP + lower + BOTTOM_MARGIN, palette.paper);
    let entries = entries(palette, comparison.condition.is_some(), comparison.samples.len(), true);
    let top = 6.0 + legend(&mut canvas, palette, [LEFT, right, 18.0], &entries).max(TOP - 12.0);

    let (low, high) = positive_range(fields().flat_map(|f| up_to(k_max, &comparison.k_h_mpc, &f.power)));
    let upper_axes = Axes { frame: [LEFT, top, right, TOP + upper], x, y: Scale::Log { low, high } };
    upper_axes.draw(&mut canvas, palette, None, "P(k) [(Mpc/h)³]");
    let mean = mean_of(comparison.samples.iter().map(|s| s.power.as_slice()));
    let truth = Some(comparison.truth.power.as_slice());
    let power = |field: &FieldStatistics| field.power.clone();
    curves(
        &mut canvas,
        &upper_axes,
        palette,
        k,
        Curves {
            truth,
            condition: comparison.condition.as_ref().map(power),
            samples: comparison.samples.iter().map(power).collect(),
            mean,
        },
    );

    let ratio_of = |a: &AgainstTruth| a.ratio.clone();
    let condition = comparison.condition.as_ref().and_then(|c| c.against_truth.as_ref()).map(ratio_of);
    let samples: Vec<_> =
        comparison.samples.iter().filter_map(|s| s.against_truth.as_ref()).map(ratio_of).collect();
    let shown = samples.iter().chain(&condition).flat_map(|r| up_to(k_max, &comparison.k_h_mpc, r));
    let frame = [LEFT, TOP + upper + GAP, right, TOP + upper + GAP + lower];
    let lower_axes = Axes { frame, x, y: ratio_scale(shown) };
    lower_axes.shade(&mut canvas, palette, 1.0 - TOLERANCE, 1.0 + TOLERANCE);
    lower_axes.draw(&mut canvas, palette, Some("k [h/Mpc]"), "P / P(truth)");
    let one = vec![1.0; k.len()];
    lower_axes.curve(&mut canvas, k, &one, &Pen { width: 1.4, ..truth_pen(palette) });
    let mean = comparison.sample_mean(|a| &a.ratio);
    curves(&mut canvas, &lower_axes, palette, k, Curves { truth: None, condition, samples, mean });
    canvas
}

/// P(k) of a condition and its samples, where no truth is known.
pub(crate) fn power_alone(upscaled: &Upscaled, palette: &Palette, width: Width) -> Canvas {
    let k_max = nyquist_h_mpc(&upscaled.grid);
    let height = if width == Width::Wide { 280.0 } else { 220.0 };
    let right = width.units() - RIGHT_MARGIN;
    let k = up_to(k_max, &upscaled.k_h_mpc, &upscaled.k_h_mpc);
    let x = Scale::Log { low: k.first().copied().unwrap_or(0.1) / 1.06, high: k_max };
    let fields = || upscaled.samples.iter().chain([&upscaled.condition]);
    let (low, high) = positive_range(fields().flat_map(|f| up_to(k_max, &upscaled.k_h_mpc, &f.power)));

    let mut canvas = Canvas::new(width.units(), TOP + height + BOTTOM_MARGIN, palette.paper);
    legend(&mut canvas, palette, [LEFT, right, 18.0], &entries(palette, true, upscaled.samples.len(), false));
    let axes = Axes { frame: [LEFT, TOP - 6.0, right, TOP + height], x, y: Scale::Log { low, high } };
    axes.draw(&mut canvas, palette, Some("k [h/Mpc]"), "P(k) [(Mpc/h)³]");
    curves(
        &mut canvas,
        &axes,
        palette,
        k,
        Curves {
            truth: None,
            condition: Some(upscaled.condition.power.clone()),
            samples: upscaled.samples.iter().map(|s| s.power.clone()).collect(),
            mean: mean_of(upscaled.samples.iter().map(|s| s.power.as_slice())),
        },
    );
    canvas
}

struct Curves<'a> {
    truth: Option<&'a [f64]>,
    condition: Option<Vec<f64>>,
    samples: Vec<Vec<f64>>,
    mean: Vec<f64>,
}

/// Faint lines first, the mean of the samples on top.
fn curves(canvas: &mut Canvas, axes: &Axes, palette: &Palette, k: &[f64], curves: Curves<'_>) {
    if curves.samples.len() > 1 {
        for sample in &curves.samples {
            axes.curve(canvas, k, sample, &faint_sample_pen(palette));
        }
    }
    if let Some(truth) = curves.truth {
        axes.curve(canvas, k, truth, &truth_pen(palette));
    }
    if let Some(condition) = curves.condition {
        axes.curve(canvas, k, &condition, &condition_pen(palette));
    }
    axes.curve(canvas, k, &curves.mean, &sample_pen(palette));
}

fn entries(palette: &Palette, condition: bool, samples: usize, truth: bool) -> Vec<(String, Pen)> {
    let mut entries = Vec::new();
    if truth {
        entries.push(("truth".to_owned(), truth_pen(palette)));
    }
    entries.push((sample_name(samples), sample_pen(palette)));
    if condition {
        entries.push(("condition".to_owned(), condition_pen(palette)));
    }
    entries
}

/// Holds the curves as far as from 0 to 2, at least from 0.7 to 1.3.
fn ratio_scale<'a>(values: impl Iterator<Item = &'a f64>) -> Scale {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((0.75_f64, 1.25_f64), |(low, high), &v| (low.min(v), high.max(v)));
    Scale::Linear { low: (low - 0.05).max(0.0), high: (high + 0.05).min(2.0) }
}
