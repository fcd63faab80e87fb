//! The distribution of densities over the voxels.

use super::{Width, condition_pen, faint_sample_pen, sample_name, sample_pen, truth_pen};
use crate::axes::{Axes, legend};
use crate::canvas::Canvas;
use crate::comparison::Comparison;
use crate::statistics::{FieldStatistics, PDF_RANGE, mean_of};
use crate::theme::Palette;
use crate::ticks::Scale;

const FRAME: [f32; 4] = [62.0, 56.0, 388.0, 324.0];
const HEIGHT: f32 = 372.0;

/// PDF of log10(1 + δ) of all fields, logarithmic.
pub(crate) fn density(comparison: &Comparison, palette: &Palette, width: Width) -> Canvas {
    let (low, high, bins) = PDF_RANGE;
    let centre = |bin: usize| low + (bin as f64 + 0.5) * (high - low) / bins as f64;
    let x: Vec<f64> = (0..bins).map(centre).collect();
    let fields = || comparison.samples.iter().chain(&comparison.condition).chain([&comparison.truth]);
    let occupied = |bin: &usize| fields().any(|field| field.pdf.per_dex[*bin] > 0.0);
    let first = (0..bins).find(occupied).map_or(low, |bin| centre(bin) - 0.1);
    let last = (0..bins).rev().find(occupied).map_or(high, |bin| centre(bin) + 0.1);
    let densities = fields().flat_map(|field| &field.pdf.per_dex);
    let (lowest, highest) = super::positive_range(densities);

    let mut canvas = Canvas::new(width.units(), HEIGHT, palette.paper);
    let mut entries = vec![
        ("truth".to_owned(), truth_pen(palette)),
        (sample_name(comparison.samples.len()), sample_pen(palette)),
    ];
    if comparison.condition.is_some() {
        entries.push(("condition".to_owned(), condition_pen(palette)));
    }
    legend(&mut canvas, palette, [10.0, FRAME[2], 18.0], &entries);
    let axes = Axes {
        frame: FRAME,
        x: Scale::Linear { low: first, high: last },
        y: Scale::Log { low: lowest, high: highest },
    };
    axes.draw(&mut canvas, palette, Some("log₁₀(1 + δ)"), "fraction of voxels per dex");
    let curve = |field: &FieldStatistics| field.pdf.per_dex.clone();
    if comparison.samples.len() > 1 {
        for sample in &comparison.samples {
            axes.curve(&mut canvas, &x, &curve(sample), &faint_sample_pen(palette));
        }
    }
    axes.curve(&mut canvas, &x, &curve(&comparison.truth), &truth_pen(palette));
    if let Some(condition) = &comparison.condition {
        axes.curve(&mut canvas, &x, &curve(condition), &condition_pen(palette));
    }
    let mean = mean_of(comparison.samples.iter().map(|s| s.pdf.per_dex.as_slice()));
    axes.curve(&mut canvas, &x, &mean, &sample_pen(palette));
    canvas
}
