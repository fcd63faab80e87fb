//! report.html: one file that needs no other, and no network. Its text is that of `templates/report.html`.

use crate::Pictures;
use crate::characters::visible_json;
use crate::colour_map::ColourMap;
use crate::figures::{Content, Figure};
use crate::numbers::{or_dash, plain, significant, thousands};
use crate::prose;
use crate::theme::{hexadecimal, variables};
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use finescale_judge::limits::{BISPECTRUM, POWER};
use finescale_judge::{BoxSummary, Comparison, Estimate, FieldStatistics, Measurements, Upscaled, worst};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Longer JSON is folded away.
const SHOWN_LINES: usize = 6;
const STYLE: &str = include_str!("../templates/page.css");
const SCRIPT: &str = concat!("\n", include_str!("../templates/page.js"));
/// Figures that have the whole width.
const WIDE_FIGURES: usize = 2;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    pictures: &'a Pictures,
    /// log10(1 + δ) of the darkest colour, all colours, and of the brightest.
    colours: [String; 3],
    /// Figures of the whole width, and the others.
    wide: &'a [Figure<'a>],
    narrow: &'a [Figure<'a>],
    /// Fields without a truth, and their figures.
    upscaled: Vec<(&'a Upscaled, &'a [Figure<'a>; 2])>,
    policy: String,
    /// Variables of the style sheet by theme.
    light: String,
    dark: String,
    /// JSON for the script.
    volumes: String,
    plots: String,
}

/// A member of the provenance; what is nested is JSON.
struct Fact {
    name: String,
    text: String,
    is_json: bool,
    is_long: bool,
}

/// The whole page; `upscaled`: the figures of each field without a truth.
pub(crate) fn page(
    comparison: &Comparison,
    pictures: &Pictures,
    figures: &[Figure<'_>],
    upscaled: &[[Figure<'_>; 2]],
) -> String {
    let (wide, narrow) = figures.split_at(WIDE_FIGURES.min(figures.len()));
    let [light, dark] = variables();
    let page = Page {
        comparison,
        pictures,
        colours: colours(pictures.slices.range),
        wide,
        narrow,
        upscaled: comparison.also_upscaled.iter().zip(upscaled).collect(),
        policy: policy(SCRIPT),
        light,
        dark,
        volumes: embedded(volumes(comparison, pictures)),
        plots: embedded(plots(figures.iter().chain(upscaled.iter().flatten()))),
    };
    page.render().expect("the template fails nowhere")
}

/// What a browser may do with the page: run this very script, style, show pictures that are inside of it, and
/// nothing else. The drawings and the script set styles of single elements, for which there are no hashes.
fn policy(script: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
    format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri \
         'none'; form-action 'none'"
    )
}

/// JSON for the script, which cannot end its element.
fn embedded(value: impl Serialize) -> String {
    visible_json(json!(value)).to_string().replace('<', "\\u003c")
}

/// The ends of the colour scale, and a gradient between them.
fn colours((low, high): (f64, f64)) -> [String; 3] {
    let map = ColourMap::new();
    let stops: Vec<String> = (0..=16u8).map(|i| hexadecimal(map.at(f32::from(i) / 16.0))).collect();
    [plain(low, 1), stops.join(", "), plain(high, 1)]
}

/// Whole fields for the slices that can be moved.
fn volumes(comparison: &Comparison, pictures: &Pictures) -> Value {
    let (volumes, slices) = (&pictures.volumes, &pictures.slices);
    let map = ColourMap::new();
    let byte = |byte: u8| map.at(f32::from(byte) / 255.0);
    let colours: String = (0..=255).flat_map(byte).map(|c| format!("{c:02x}")).collect();
    let fields: Vec<Value> = volumes
        .fields
        .iter()
        .map(|(label, bytes)| json!({ "label": label, "data": STANDARD.encode(bytes) }))
        .collect();
    json!({
        "cells": volumes.cells,
        "size": comparison.measured.grid.box_size_mpc_h(),
        "range": [slices.range.0, slices.range.1],
        "first": volumes.first,
        "colours": colours,
        "fields": fields,
    })
}

fn plots<'a>(figures: impl Iterator<Item = &'a Figure<'a>>) -> Map<String, Value> {
    let plots = figures.filter_map(|figure| match &figure.content {
        Content::Plot(plot) => Some((figure.id.clone(), json!(plot))),
        Content::Slices(_) => None,
    });
    plots.collect()
}

/// Columns by band: name and values; those of the condition and of pairs only where there are some.
fn band_columns(measured: &Measurements) -> Vec<(&'static str, Vec<String>)> {
    let bands = &measured.bands;
    let edges = bands.k_min_h_mpc.iter().zip(&bands.k_max_h_mpc);
    // With the truth's own scatter in them.
    let errors = measured.summary.estimates.ratio.standard_error.iter();
    let errors = errors
        .map(|&error| if error.is_finite() { format!(" ± {}", plain(error, 3)) } else { String::new() });
    let numbers = |values: &[f64]| values.iter().map(|&value| or_dash(value, 3)).collect::<Vec<_>>();
    let mut columns = vec![
        (
            "k [h/Mpc]",
            edges
                .map(|(&low, &high)| format!("{} – {}", significant(low, 3), significant(high, 3)))
                .collect(),
        ),
        ("modes", bands.modes.iter().map(|&count| thousands(count)).collect()),
        ("P / P(truth)", numbers(&bands.sample_ratio).into_iter().zip(errors).map(|(p, e)| p + &e).collect()),
        ("condition", numbers(&bands.condition_ratio)),
        ("r", numbers(&bands.sample_cross_correlation)),
        ("r condition", numbers(&bands.condition_cross_correlation)),
        ("r pairs", numbers(&bands.sample_agreement)),
    ];
    columns.retain(|(_, values)| !values.is_empty());
    columns
}

/// What a sampler must beat, in the numbers of the goals.
fn baselines(comparison: &Comparison) -> Vec<Vec<String>> {
    let measured = &comparison.measured;
    let row = |name: &str, field: &FieldStatistics| -> Option<Vec<String>> {
        let against = field.against_truth.as_ref()?;
        let worst = |k: &[f64], ratio: &[f64], up_to| {
            worst(k, ratio, &[], up_to).map_or("–".to_owned(), |worst| plain(worst.ratio, 3))
        };
        Some(vec![
            name.to_owned(),
            worst(&measured.bands.k_h_mpc, &against.band_ratio, POWER[1].up_to_h_mpc),
            worst(
                &comparison.pooled.places.bispectrum_k_h_mpc,
                &against.bispectrum_ratio,
                BISPECTRUM.up_to_h_mpc,
            ),
            plain(field.percentile_99_9 / measured.truth.percentile_99_9, 3),
            plain(field.mean_density / measured.truth.mean_density, 4),
            field.seams().map_or("–".to_owned(), |test| plain(test.field.gradient.at_faces, 3)),
        ])
    };
    let named = [
        ("condition", measured.condition.as_ref()),
        ("condition with the truth’s PDF", measured.baselines.matched_pdf.done()),
        ("independent tiles", measured.baselines.independent_tiles.done()),
        ("first sample", measured.samples.first()),
    ];
    let mut rows: Vec<_> = named.into_iter().filter_map(|(name, field)| row(name, field?)).collect();
    if let Some(variance) = measured.baselines.cosmic_variance.done() {
        let finite = variance.octant_power_scatter.iter().copied().filter(|scatter| scatter.is_finite());
        rows.push(vec![
            "another octant of the truth".to_owned(),
            format!("± {}", plain(finite.fold(0.0, f64::max), 3)),
            "–".to_owned(),
            format!("± {}", plain(variance.octant_percentile_99_9_scatter, 3)),
            format!("± {}", plain(variance.octant_mass_scatter, 4)),
            "–".to_owned(),
        ]);
    }
    rows
}

/// Where the condition is empty and where it is dense: means over the boxes, volume and ranks of the first.
fn environments(comparison: &Comparison) -> Vec<Vec<String>> {
    let Some(found) = comparison.measured.environments.done() else { return Vec::new() };
    let estimates = &comparison.pooled.estimates;
    let of = |estimate: &Estimate, number: usize, digits: usize| match estimate.value.get(number) {
        Some(value) if value.is_finite() => match estimate.standard_error.get(number) {
            Some(error) if error.is_finite() => {
                format!("{} ± {}", plain(*value, digits), plain(*error, digits))
            }
            _ => plain(*value, digits),
        },
        _ => "–".to_owned(),
    };
    let row = |(number, edges): (usize, &[Option<f64>; 2])| {
        let range = match *edges {
            [Some(low), Some(high)] => format!("{low} to {high}"),
            [Some(low), None] => format!("above {low}"),
            [None, _] => String::new(),
        };
        let ranks = &found.ranks[number];
        let ends =
            [ranks.first(), ranks.last()].map(|rank| rank.map_or("–".to_owned(), |&part| or_dash(part, 3)));
        vec![
            range,
            plain(found.volume[number], 3),
            of(&estimates.environment_mass_ratio, number, 3),
            of(&found.log_density_excess, number, 3),
            of(&estimates.environment_step_ratio, number, 3),
            of(&estimates.environment_spread_over_error, number, 3),
            ends.join(", "),
        ]
    };
    found.condition_density.iter().enumerate().map(row).collect()
}

/// Each box by itself.
fn boxes(comparison: &Comparison) -> Vec<Vec<String>> {
    let row = |one: &BoxSummary| {
        let (k, ratio) = (&comparison.pooled.places.k_h_mpc, &one.estimates.ratio);
        let worst = worst(k, &ratio.value, &ratio.standard_error, POWER[1].up_to_h_mpc);
        let seamless = one.seamless.iter().filter(|&&seamless| seamless).count();
        vec![
            one.label.clone(),
            one.samples.to_string(),
            worst.map_or("–".to_owned(), |worst| plain(worst.ratio, 3)),
            or_dash(one.estimates.percentile_99_9_ratio.value[0], 3),
            or_dash(one.estimates.mass_ratio.value[0], 4),
            match one.seamless.len() {
                0 => "–".to_owned(),
                tested => format!("{seamless} of {tested}"),
            },
        ]
    };
    comparison.boxes.iter().map(row).collect()
}

/// The members of an object.
fn provenance(value: &Value) -> Vec<Fact> {
    let value = visible_json(value.clone());
    let members = value.as_object().into_iter().flatten();
    let fact = |(name, value): (&String, &Value)| {
        let is_json = value.is_object() || value.is_array();
        let text = match value {
            Value::String(text) => text.clone(),
            _ if is_json => serde_json::to_string_pretty(value).unwrap_or_default(),
            other => other.to_string(),
        };
        let is_long = is_json && text.lines().count() > SHOWN_LINES;
        Fact { name: name.replace('_', " "), text, is_json, is_long }
    };
    members.map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_stays_json_and_what_is_long_is_folded() {
        let facts =
            provenance(&json!({"a_name": "<b>", "n": {"a": [1]}, "o": [1, 2, 3, 4, 5, 6], "seed": 3}));
        let found: Vec<_> =
            facts.iter().map(|fact| (fact.name.as_str(), fact.is_json, fact.is_long)).collect();
        assert_eq!(
            found,
            [("a name", false, false), ("n", true, false), ("o", true, true), ("seed", false, false)]
        );
        assert_eq!((facts[0].text.as_str(), facts[3].text.as_str()), ("<b>", "3"));
        assert!(provenance(&Value::Null).is_empty());
    }
}
