//! The distribution of densities.

use super::{of_all, values};
use crate::plot::{Panel, Plot, log_scale};
use crate::ticks::Scale;
use finescale_judge::Comparison;

/// PDF of log10(1 + δ) of all fields, logarithmic, by the size of blocks.
pub(crate) fn density(comparison: &Comparison) -> Plot {
    let voxels = comparison.measured.truth.densities[0].of_blocks.done();
    let x: Vec<f64> = voxels.map_or(Vec::new(), |voxels| voxels.pdf.log10_density.clone());
    let bins = x.len();
    let mut panels = Vec::new();
    let (mut first, mut last) = (bins, 0);
    for (index, size) in comparison.measured.truth.densities.iter().enumerate() {
        let curves = of_all(comparison, |field| {
            let found = field.densities[index].of_blocks.done()?;
            let positive = found.pdf.per_dex.iter().map(|&p| if p > 0.0 { p } else { f64::NAN });
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
        x: Scale::Linear { low: x[first] - 0.1, high: x[last] + 0.1 },
        panels,
    }
}
