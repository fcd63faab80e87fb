//! How power goes with other things: with another field, with the density of its place, from box to box.

use super::power::{in_bands, one, x_scale};
use super::{FAINT_SAMPLE, SAMPLE, TRUTH, of_all, sample_name, values};
use crate::plot::{Curve, Panel, Plot, linear_scale};
use crate::svg::Pen;
use finescale_judge::Comparison;

/// r of truth and of samples with the field that was drawn together with them.
pub(crate) fn companion(comparison: &Comparison) -> Option<Plot> {
    let found = comparison.measured.companion.done()?;
    let k = &comparison.measured.bands.k_h_mpc;
    let mut upper: Vec<Curve> =
        found.correlation.iter().map(|r| Curve::line("", FAINT_SAMPLE, k, r).unnamed()).collect();
    upper.push(Curve::line("truth", TRUTH, k, &found.truth_correlation));
    upper.push(Curve::line(sample_name(&comparison.measured.samples), SAMPLE, k, &found.mean_correlation));
    let lower = vec![
        one(k, Pen { width: 1.4, ..TRUTH }),
        in_bands(comparison, k, &comparison.pooled.estimates.companion_power_ratio),
    ];
    let r = linear_scale(values(&upper), [0.9, 1.0], [-1.05, 1.05]);
    let ratio = linear_scale(values(&lower), [0.9, 1.1], [0.0, 2.0]);
    Some(Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, comparison.measured.nyquist_h_mpc),
        panels: vec![
            Panel::new(format!("r(k) with {}", found.label), r, 140.0, upper),
            Panel::new("cross power / truth’s", ratio, 125.0, lower),
        ],
    })
}

/// d ln P / dδ of sub-volumes, and over the truth's beneath.
pub(crate) fn response(comparison: &Comparison) -> Option<Plot> {
    let k = &comparison.measured.bands.k_h_mpc;
    let upper = of_all(comparison, |field| {
        field.response.iter().any(|found| found.is_finite()).then(|| (k.clone(), field.response.clone()))
    });
    comparison.measured.truth.response.iter().find(|found| found.is_finite())?;
    let mut lower = vec![one(k, Pen { width: 1.4, ..TRUTH })];
    lower.push(in_bands(comparison, k, &comparison.pooled.estimates.response_ratio));
    let of = linear_scale(values(&upper), [0.0, 4.0], [-5.0, 20.0]);
    let ratio = linear_scale(values(&lower), [0.75, 1.25], [0.0, 2.0]);
    Some(Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, comparison.measured.nyquist_h_mpc),
        panels: vec![
            Panel::new("d ln P / dδ", of, 140.0, upper),
            Panel::new("over the truth’s", ratio, 125.0, lower),
        ],
    })
}

/// How power scatters from box to box.
pub(crate) fn scatter(comparison: &Comparison) -> Option<Plot> {
    let found = comparison.pooled.covariance.done()?;
    let k = &comparison.measured.bands.k_h_mpc;
    let both = |truth: &[f64], samples: &[f64]| {
        vec![Curve::line("truth", TRUTH, k, truth), Curve::line("samples", SAMPLE, k, samples)]
    };
    let upper = both(&found.truth_scatter, &found.sample_scatter);
    let middle = vec![one(k, Pen { width: 1.4, ..TRUTH }), in_bands(comparison, k, &found.scatter_ratio)];
    let [truth, samples] = [&found.truth_correlation, &found.sample_correlation].map(|m| m.last());
    let lower = both(truth?, samples?);
    let scatter = linear_scale(values(&upper), [0.0, 0.2], [0.0, 2.0]);
    let ratio = linear_scale(values(&middle), [0.75, 1.25], [0.0, 2.0]);
    let correlation = linear_scale(values(&lower), [0.0, 1.0], [-1.05, 1.05]);
    Some(Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, comparison.measured.nyquist_h_mpc),
        panels: vec![
            Panel::new("σ(P) / P", scatter, 125.0, upper),
            Panel::new("/ truth’s", ratio, 110.0, middle),
            Panel::new("r with last band", correlation, 125.0, lower),
        ],
    })
}
