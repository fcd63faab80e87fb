//! The distribution of densities.

use super::{of_all, values};
use crate::comparison::Comparison;
use crate::plot::{Panel, Plot, log_scale};
use crate::statistics::PDF_RANGE;
use crate::ticks::Scale;

/// PDF of log10(1 + δ) of all fields, logarithmic, by the size of blocks.
pub(crate) fn density(comparison: &Comparison) -> Plot {
    let (low, high, bins) = PDF_RANGE;
    let centre = |bin: usize| low + (bin as f64 + 0.5) * (high - low) / bins as f64;
    let x: Vec<f64> = (0..bins).map(centre).collect();
    let mut panels = Vec::new();
    let (mut first, mut last) = (bins, 0);
    let sizes = comparison.truth.beyond_power.iter().flat_map(|beyond| &beyond.densities);
    for (index, size) in sizes.enumerate() {
        let curves = of_all(comparison, |field| {
            let found = field.beyond_power.as_ref()?.densities[index].of_blocks.done()?;
            let positive = found.per_dex.iter().map(|&p| if p > 0.0 { p } else { f64::NAN });
            Some((x.clone(), positive.collect()))
        });
        for bin in 0..bins {
            if curves.iter().any(|curve| curve.y.get(bin).is_some_and(|&p| p > 0.0)) {
                (first, last) = (first.min(bin), last.max(bin));
            }
        }
        if !curves.is_empty() {
            let label =
                if size.block == 1 { "per dex".to_owned() } else { format!("{}³ voxels", size.block) };
            let height = if size.block == 1 { 170.0 } else { 90.0 };
            panels.push(Panel::new(label, log_scale(values(&curves)), height, curves));
        }
    }
    let (first, last) = if first > last { (0, bins - 1) } else { (first, last) };
    Plot {
        x_label: "log₁₀(1 + δ)".to_owned(),
        x: Scale::Linear { low: centre(first) - 0.1, high: centre(last) + 0.1 },
        panels,
    }
}
