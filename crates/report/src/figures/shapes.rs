//! Voids, peaks and Minkowski functionals.

use super::{Xy, of_all, values};
use crate::plot::{Panel, Plot, linear_scale, log_scale};
use crate::ticks::Scale;
use finescale_judge::{Comparison, FieldStatistics, Minkowski};

/// One of the four, by threshold.
type Functional = fn(&Minkowski) -> &Vec<f64>;

/// dn/dR by radius.
pub(crate) fn voids(comparison: &Comparison) -> Option<Plot> {
    let truth = comparison.measured.truth.beyond(|b| &b.voids)?;
    let curves = of_all(comparison, |field| {
        let found = field.beyond(|b| &b.voids)?;
        Some((found.radius_mpc_h.clone(), positive(&found.density_h_mpc4)))
    });
    let (largest, smallest) = (*truth.radius_mpc_h.first()?, *truth.radius_mpc_h.last()?);
    Some(Plot {
        x_label: "R [Mpc/h]".to_owned(),
        x: Scale::Log { low: smallest / 1.1, high: largest * 1.1 },
        panels: vec![Panel::new("dn/dR [(h/Mpc)⁴]", log_scale(values(&curves)), 270.0, curves)],
    })
}

/// Peaks above ν per volume.
pub(crate) fn peaks(comparison: &Comparison) -> Option<Plot> {
    let last = *comparison.measured.truth.beyond(|b| &b.peaks)?.nu.last()?;
    let curves = of_all(comparison, |field| {
        let found = field.beyond(|b| &b.peaks)?;
        Some((found.nu.clone(), positive(&found.density_h_mpc3)))
    });
    Some(Plot {
        x_label: "ν".to_owned(),
        x: Scale::Linear { low: 0.0, high: last },
        panels: vec![Panel::new("n(> ν) [(h/Mpc)³]", log_scale(values(&curves)), 270.0, curves)],
    })
}

/// The four functionals by threshold.
pub(crate) fn minkowski(comparison: &Comparison) -> Option<Plot> {
    let thresholds = &comparison.measured.truth.beyond(|b| &b.minkowski)?.thresholds;
    let functionals: [(&str, Functional); 4] = [
        ("V₀", |m| &m.volume),
        ("V₁", |m| &m.area_h_mpc),
        ("V₂", |m| &m.curvature_h_mpc2),
        ("V₃", |m| &m.euler_h_mpc3),
    ];
    let panel = |(label, of): (&str, Functional)| {
        let curves = of_all(comparison, |field: &FieldStatistics| -> Option<Xy> {
            let found = field.beyond(|b| &b.minkowski)?;
            Some((found.thresholds.clone(), of(found).clone()))
        });
        let y = linear_scale(values(&curves), [0.0, 1e-9], [f64::NEG_INFINITY, f64::INFINITY]);
        Panel::new(label, y, 82.0, curves)
    };
    Some(Plot {
        x_label: "threshold of 1 + δ".to_owned(),
        x: Scale::Log { low: *thresholds.first()?, high: *thresholds.last()? },
        panels: functionals.map(panel).into(),
    })
}

/// Zero has no logarithm.
fn positive(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&v| if v > 0.0 { v } else { f64::NAN }).collect()
}
