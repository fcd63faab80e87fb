//! Power spectra of density and logarithm, their ratios to the truth, correlations and multipoles.

use super::{CONDITION, PUBLISHED, SAMPLE, TRUTH, Xy, goal, of_all, sample_name, up_to, values};
use crate::plot::{Curve, Panel, Plot, linear_scale, log_scale};
use crate::svg::Pen;
use crate::ticks::Scale;
use finescale_judge::limits::POWER;
use finescale_judge::{
    AgainstTruth, Comparison, Estimate, FieldStatistics, PublishedRatio, Upscaled, mean_of,
};

/// P(k) of all fields above, P / P_truth beneath.
pub(crate) fn power(comparison: &Comparison) -> Plot {
    let k_max = comparison.measured.nyquist_h_mpc;
    let k = up_to(k_max, &comparison.measured.k_h_mpc, &comparison.measured.k_h_mpc);
    let shells = |values: &[f64]| -> Option<Xy> {
        Some((k.to_vec(), up_to(k_max, &comparison.measured.k_h_mpc, values).to_vec()))
    };
    let mut upper = of_all(comparison, |field| shells(comparison.shown_power(field)));
    let y = log_scale(values(&upper));
    for published in &comparison.published {
        let spectrum = &published.spectrum;
        upper.push(Curve::line(&spectrum.label, PUBLISHED, &spectrum.k_h_mpc, &spectrum.power));
    }

    let mut lower = vec![one(k, Pen { width: 1.4, ..TRUTH })];
    lower.extend(of_all(comparison, |field| shells(field.against(|a| &a.ratio)?)));
    let pooled = &comparison.pooled;
    // The range is that of the fields.
    let ratio = linear_scale(values(&lower), [0.75, 1.25], [0.0, 2.0]);
    for published in &comparison.published {
        let (label, k) = (&published.spectrum.label, &comparison.measured.bands.k_h_mpc);
        lower.push(Curve::line(label, PUBLISHED, k, &published.over_truth));
    }
    lower.push(in_bands(comparison, &pooled.places.k_h_mpc, &pooled.estimates.ratio));
    let shades = vec![goal(0.0, POWER[0]), goal(POWER[0].up_to_h_mpc, POWER[1])];
    Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, k_max),
        panels: vec![
            Panel::new("P(k) [(Mpc/h)³]", y, 280.0, upper),
            Panel::new("P / P(truth)", ratio, 170.0, lower).shaded(shades),
        ],
    }
}

/// P over P of another field above, r with it beneath, and both of published pairs.
pub(crate) fn over(comparison: &Comparison) -> Option<Plot> {
    let found = comparison.over.as_ref()?;
    let k = &comparison.measured.bands.k_h_mpc;
    let curves = |[truth, samples]: [&[f64]; 2], published: fn(&PublishedRatio) -> &[f64]| {
        let mut curves = vec![
            Curve::line("truth", TRUTH, k, truth),
            Curve::line(sample_name(&comparison.measured.samples), SAMPLE, k, samples),
        ];
        let of_pairs = found.published.iter().filter(|pair| !published(pair).is_empty());
        curves.extend(of_pairs.map(|pair| Curve::line(&pair.label, PUBLISHED, k, published(pair))));
        curves
    };
    let ratio = curves([&found.truth, &found.samples], |pair| &pair.ratio);
    let r = curves([&found.truth_correlation, &found.sample_correlation], |pair| &pair.correlation);
    let y = linear_scale(values(&ratio), [0.6, 1.1], [0.0, 3.0]);
    let y_r = linear_scale(values(&r), [0.9, 1.0], [-1.05, 1.05]);
    Some(Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, comparison.measured.nyquist_h_mpc),
        panels: vec![
            Panel::new(format!("P / P({})", found.label), y, 200.0, ratio),
            Panel::new("r(k)", y_r, 125.0, r),
        ],
    })
}

/// P(k) of ln(1 + δ) in bands above, over the truth's beneath.
pub(crate) fn logarithmic(comparison: &Comparison) -> Option<Plot> {
    let k = &comparison.measured.bands.k_h_mpc;
    comparison.measured.truth.beyond(|b| &b.log_power)?;
    let upper = of_all(comparison, |field| Some((k.clone(), field.beyond(|b| &b.log_power)?.clone())));
    let mut lower = vec![one(k, Pen { width: 1.4, ..TRUTH })];
    lower.extend(of_all(comparison, |field| {
        Some((k.clone(), field.against(|a| &a.log_power_ratio)?.clone()))
    }));
    let ratio = linear_scale(values(&lower), [0.75, 1.25], [0.0, 2.0]);
    lower.push(in_bands(comparison, k, &comparison.pooled.estimates.log_power_ratio));
    Some(Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, comparison.measured.nyquist_h_mpc),
        panels: vec![
            Panel::new("P(k) [(Mpc/h)³]", log_scale(values(&upper)), 140.0, upper),
            Panel::new("P / P(truth)", ratio, 125.0, lower),
        ],
    })
}

/// Means over the boxes, as dots with their errors.
pub(super) fn in_bands(comparison: &Comparison, k: &[f64], pooled: &Estimate) -> Curve {
    let name = match comparison.pooled.boxes {
        1 => "in bands, ± standard error".to_owned(),
        boxes => format!("{boxes} boxes in bands, ± standard error"),
    };
    Curve::line(name, SAMPLE, k, &pooled.value).with_error(&pooled.standard_error).dots()
}

/// P(k) of a condition and its samples, where no truth is known.
pub(crate) fn power_alone(upscaled: &Upscaled) -> Plot {
    let k_max = upscaled.nyquist_h_mpc;
    let k = up_to(k_max, &upscaled.k_h_mpc, &upscaled.k_h_mpc);
    let of = |field: &FieldStatistics| up_to(k_max, &upscaled.k_h_mpc, &field.power).to_vec();
    let samples: Vec<_> = upscaled.samples.iter().map(of).collect();
    let mean = mean_of(samples.iter().map(Vec::as_slice));
    let curves = vec![
        Curve::line("condition", CONDITION, k, &of(&upscaled.condition)),
        Curve::line(sample_name(&upscaled.samples), SAMPLE, k, &mean),
    ];
    let y = log_scale(values(&curves));
    Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, k_max),
        panels: vec![Panel::new("P(k) [(Mpc/h)³]", y, 280.0, curves)],
    }
}

/// r(k) of samples and condition with the truth, and between samples.
pub(crate) fn correlation(comparison: &Comparison) -> Plot {
    let k_max = comparison.measured.nyquist_h_mpc;
    let k = up_to(k_max, &comparison.measured.k_h_mpc, &comparison.measured.k_h_mpc);
    let shells = |values: &[f64]| up_to(k_max, &comparison.measured.k_h_mpc, values).to_vec();
    let r = |against: &AgainstTruth| shells(&against.cross_correlation);
    let mut curves = of_all(comparison, |field| Some((k.to_vec(), r(field.against_truth.as_ref()?))));
    if !comparison.measured.sample_agreement.is_empty() {
        let dotted = Pen { dash: Some([1.5, 3.5]), width: 2.2, ..TRUTH };
        curves.push(Curve::line(
            "sample × other sample",
            dotted,
            k,
            &shells(&comparison.measured.sample_agreement),
        ));
    }
    let y = linear_scale(values(&curves), [0.0, 1.0], [-1.05, 1.05]);
    Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(k, k_max),
        panels: vec![Panel::new("r(k) with the truth", y, 270.0, curves)],
    }
}

/// P_2 / P_0 and P_4 / P_0 in bands.
pub(crate) fn multipoles(comparison: &Comparison) -> Plot {
    let k_max = comparison.measured.nyquist_h_mpc;
    let of = |order: usize| {
        of_all(comparison, |field| {
            let found = &field.beyond_power.as_ref()?.multipoles;
            let pole = if order == 2 { &found.quadrupole } else { &found.hexadecapole };
            let relative = pole.iter().zip(&found.monopole).map(|(pole, p0)| pole / p0).collect();
            Some((found.k_h_mpc.clone(), relative))
        })
    };
    let panel = |order: usize, label: &str| {
        let curves = of(order);
        let y = linear_scale(values(&curves), [-0.1, 0.1], [-2.0, 2.0]);
        Panel::new(label, y, 125.0, curves)
    };
    Plot {
        x_label: "k [h/Mpc]".to_owned(),
        x: x_scale(&comparison.measured.bands.k_h_mpc, k_max),
        panels: vec![panel(2, "P₂ / P₀"), panel(4, "P₄ / P₀")],
    }
}

/// From the first wavenumber to Nyquist.
pub(super) fn x_scale(k_h_mpc: &[f64], k_max: f64) -> Scale {
    let first = k_h_mpc.first().copied().filter(|&k| k < k_max).unwrap_or(0.1 * k_max);
    Scale::Log { low: first / 1.06, high: k_max }
}

/// The line at 1.
pub(super) fn one(x: &[f64], pen: Pen) -> Curve {
    Curve::line("", pen, x, &vec![1.0; x.len()]).unnamed()
}
