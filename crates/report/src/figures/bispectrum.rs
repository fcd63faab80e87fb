//! Bispectra.

use super::power::{in_bands, one};
use super::{Curve, TRUTH, Xy, goal, of_all, values};
use crate::plot::{Panel, Plot, linear_scale};
use crate::svg::Pen;
use crate::ticks::Scale;
use finescale_judge::limits::BISPECTRUM;
use finescale_judge::{Bispectra, Bispectrum, Comparison, FieldStatistics};

/// Q of equilateral triangles, B over the truth's, and Q of squeezed triangles.
pub(crate) fn sweeps(comparison: &Comparison) -> Option<Plot> {
    let k = &comparison.pooled.places.bispectrum_k_h_mpc;
    let (first, last) = (*k.first()?, *k.last()?);
    let of = |part: fn(&Bispectra) -> &Bispectrum, side: usize| {
        of_all(comparison, |field| reduced(field, part, |k| k[side]))
    };
    let equilateral = of(|b| &b.equilateral, 0);
    let squeezed = of(|b| &b.squeezed, 1);
    let mut ratio = vec![one(k, Pen { width: 1.4, ..TRUTH })];
    ratio.extend(of_all(comparison, |field| {
        Some((k.clone(), field.against(|a| &a.bispectrum_ratio)?.clone()))
    }));
    let ratio_scale = linear_scale(values(&ratio), [0.7, 1.3], [0.0, 2.0]);
    ratio.push(in_bands(comparison, k, &comparison.pooled.estimates.bispectrum_ratio));
    let q_scale = |curves: &[Curve]| linear_scale(values(curves), [0.0, 0.5], [-3.0, 6.0]);
    let mut panels = vec![
        Panel::new("Q equilateral", q_scale(&equilateral), 120.0, equilateral),
        Panel::new("B / B(truth)", ratio_scale, 110.0, ratio).shaded(vec![goal(0.0, BISPECTRUM)]),
    ];
    if squeezed.iter().any(|curve| !curve.x.is_empty()) {
        panels.push(Panel::new("Q squeezed", q_scale(&squeezed), 90.0, squeezed));
    }
    let x = Scale::Log { low: first / 1.15, high: last * 1.15 };
    Some(Plot { x_label: "k [h/Mpc]".to_owned(), x, panels })
}

/// Q of isosceles triangles by their third side.
pub(crate) fn by_angle(comparison: &Comparison) -> Option<Plot> {
    let curves = of_all(comparison, |field| reduced(field, |b| &b.isosceles, |k| k[2] / k[0]));
    if curves.iter().all(|curve| curve.x.is_empty()) {
        return None;
    }
    let y = linear_scale(values(&curves), [0.0, 0.5], [-3.0, 6.0]);
    let bispectra = comparison.measured.truth.beyond(|b| &b.bispectrum)?;
    let k = bispectra.isosceles.k_h_mpc.first()?[0];
    Some(Plot {
        x_label: format!("k₃ / k,  k = {} h/Mpc", crate::numbers::significant(k, 3)),
        x: Scale::Linear { low: 0.0, high: 2.05 },
        panels: vec![Panel::new("Q isosceles", y, 270.0, curves)],
    })
}

fn reduced(
    field: &FieldStatistics,
    part: fn(&Bispectra) -> &Bispectrum,
    x: impl Fn(&[f64; 3]) -> f64,
) -> Option<Xy> {
    let found = part(field.beyond(|b| &b.bispectrum)?);
    Some((found.k_h_mpc.iter().map(&x).collect(), found.reduced.clone()))
}
