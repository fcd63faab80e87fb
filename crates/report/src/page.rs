//! report.html: one file that needs no other, and no network.

use crate::characters::{escape, visible_json};
use crate::colour_map::ColourMap;
use crate::figures::{Figure, Width};
use crate::goals::Outcome;
use crate::statistics::FieldStatistics;
use crate::svg::{Place, svg};
use crate::theme::{Ink, Theme};
use crate::ticks::plain;
use crate::upscaled::Upscaled;
use crate::write::Section;
use crate::{Comparison, prose};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Longer JSON is folded away.
const SHOWN_LINES: usize = 6;
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Figures that have the whole width.
const WIDE_FIGURES: usize = 2;

/// The whole page; `sections` in the order of [`Comparison::write`].
pub(crate) fn page(comparison: &Comparison, sections: &[Section]) -> String {
    let title = escape(&comparison.title);
    let script = format!("\n{SCRIPT}");
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{}{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<header>\n<p class=\"kicker\">finescale report</p>\n<h1>{title}</h1>\n\
         <p class=\"subtitle\">{}</p>\n</header>\n",
        policy(&script),
        colours(),
        escape(&prose::subject(comparison))
    );
    html.push_str(&tiles(comparison));
    html += &format!("<p class=\"verdict\">{}</p>\n", escape(&prose::verdict(comparison)));
    html.push_str(&goals(comparison));
    if let Some((first, rest)) = sections.split_first() {
        let mut figures = first.figures.iter().map(figure_html);
        html.extend(figures.by_ref().take(WIDE_FIGURES));
        html.push_str("<div class=\"pair\">\n");
        html.extend(figures);
        html.push_str("</div>\n");
        html.push_str(&band_table(comparison));
        html.push_str(&baselines(comparison));
        html.push_str(&boxes(comparison));
        for (upscaled, section) in comparison.upscaled.iter().zip(rest) {
            html.push_str(&upscaled_section(upscaled, section));
        }
    }
    html.push_str(&not_measured(comparison));
    html.push_str(&provenance(&visible_json(comparison.provenance.clone())));
    let version = env!("CARGO_PKG_VERSION");
    html += "</main>\n";
    html += &format!(
        "<footer>Made by finescale {version}. All numbers are in report.json and tables/, the figures as PNG and SVG \
         in figures/.</footer>\n"
    );
    html.push_str(&data("volumes", volumes(comparison)));
    html.push_str(&data("plots", plots(sections)));
    html + "<script>" + &script + "</script>\n</body>\n</html>\n"
}

/// What a browser may do with the page: run this very script, style, show pictures that are inside of it, and nothing
/// else. The drawings and the script set styles of single elements, for which there are no hashes.
fn policy(script: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
    format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'"
    )
}

/// The variables of the style sheet, by theme: as the system wishes, unless the page was told otherwise.
fn colours() -> String {
    let [light, dark] = [Theme::Light, Theme::Dark].map(Ink::variables);
    format!(
        ":root {{ color-scheme: light; {light} }}\n:root[data-theme=dark] {{ color-scheme: dark; {dark} }}\n\
         @media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
    )
}

/// JSON for the script.
fn data(id: &str, value: Value) -> String {
    let text = visible_json(value).to_string().replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"{id}\">{text}</script>\n")
}

fn volumes(comparison: &Comparison) -> Value {
    let (volumes, slices) = (&comparison.volumes, &comparison.slices);
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
        "size": comparison.grid.box_size_mpc_h(),
        "range": [slices.range.0, slices.range.1],
        "first": volumes.first,
        "colours": colours,
        "fields": fields,
    })
}

fn plots(sections: &[Section]) -> Value {
    let figures = sections.iter().flat_map(|section| &section.figures);
    let plots = figures.filter_map(|f| f.plot.as_ref().map(|plot| (f.name.clone(), plot.to_json())));
    Value::Object(plots.collect::<Map<_, _>>())
}

fn goals(comparison: &Comparison) -> String {
    let mut html = format!(
        "<section>\n<h2>Right, calibrated, seamless?</h2>\n<p>{}</p>\n<div class=\"scroll\"><table class=\"goals\">\n\
         <thead><tr><th scope=\"col\">goal</th><th scope=\"col\">wanted</th><th scope=\"col\">found</th>\
         <th scope=\"col\">verdict</th></tr></thead>\n<tbody>\n",
        escape(&prose::goals_note(comparison))
    );
    for judged in &comparison.goals {
        let class = match judged.outcome {
            Outcome::Pass => "pass",
            Outcome::Miss => "miss",
            Outcome::NotMeasured => "unknown",
        };
        let [wanted, found, verdict] = prose::goal_row(judged).map(|text| escape(&text));
        writeln!(
            html,
            "<tr class=\"{class}\"><th scope=\"row\">{}</th><td>{wanted}</td><td>{found}</td><td><strong>{verdict}\
             </strong></td></tr>",
            escape(judged.goal)
        )
        .expect("writing to a string");
    }
    html + "</tbody>\n</table></div>\n</section>\n"
}

/// What a sampler must beat, in the numbers of the goals.
fn baselines(comparison: &Comparison) -> String {
    let of = &comparison.baselines;
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    let mut add = |name: &'static str, field: &FieldStatistics| {
        let Some(against) = &field.against_truth else { return };
        let worst = |values: &[f64], k: &[f64]| {
            let judged = values.iter().zip(k).filter(|(v, k)| v.is_finite() && **k <= 4.0).map(|(v, _)| *v);
            let worst = judged.max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()));
            worst.map_or("–".to_owned(), |ratio| plain(ratio, 3))
        };
        let seams = against.seams.done();
        rows.push((
            name,
            vec![
                worst(&against.band_ratio, &comparison.bands.k_h_mpc),
                worst(&against.bispectrum_ratio, &comparison.pooled.bispectrum_k_h_mpc),
                plain(field.percentile_99_9 / comparison.truth.percentile_99_9, 3),
                plain(field.mean_density / comparison.truth.mean_density, 4),
                seams.map_or("–".to_owned(), |test| plain(test.field.gradient.at_faces, 3)),
            ],
        ));
    };
    if let Some(condition) = &comparison.condition {
        add("condition", condition);
    }
    if let Some(field) = of.matched_pdf.done() {
        add("condition with the truth’s PDF", field);
    }
    if let Some(field) = of.independent_tiles.done() {
        add("independent tiles", field);
    }
    if let Some(sample) = comparison.samples.first() {
        add("first sample", sample);
    }
    let mut html = "<section>\n<h2>Baselines</h2>\n<p>What must be beaten: the condition, and the best monotone relation \
        between condition and truth. What cannot be: the scatter between places of one universe.</p>\n\
        <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">field</th><th scope=\"col\">worst P / P(truth)</th>\
        <th scope=\"col\">worst B / B(truth)</th><th scope=\"col\">99.9th percentile</th><th scope=\"col\">mass</th>\
        <th scope=\"col\">seam gradient</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for (name, cells) in rows {
        html += &format!("<tr><th scope=\"row\">{name}</th>");
        html.extend(cells.iter().map(|cell| format!("<td>{cell}</td>")));
        html += "</tr>\n";
    }
    if let Some(variance) = of.cosmic_variance.done() {
        let largest =
            variance.octant_power_scatter.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        html += &format!(
            "<tr><th scope=\"row\">another octant of the truth</th><td>± {}</td><td>–</td><td>± {}</td><td>± {}</td>\
             <td>–</td></tr>\n",
            plain(largest, 3),
            plain(variance.octant_percentile_99_9_scatter, 3),
            plain(variance.octant_mass_scatter, 4)
        );
    }
    html + "</tbody>\n</table></div>\n</section>\n"
}

/// Each box by itself, where there are several.
fn boxes(comparison: &Comparison) -> String {
    if comparison.boxes.len() < 2 {
        return String::new();
    }
    let mut html = "<section>\n<h2>Boxes</h2>\n<p>Means over the samples of each box, and the worst band.</p>\n\
        <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">box</th><th scope=\"col\">samples</th>\
        <th scope=\"col\">worst P / P(truth)</th><th scope=\"col\">99.9th percentile</th><th scope=\"col\">mass</th>\
        <th scope=\"col\">seamless</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for one in &comparison.boxes {
        let ratios = one.ratio.value.iter().copied().filter(|ratio| ratio.is_finite());
        let worst = ratios.max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs())).unwrap_or(f64::NAN);
        let seamless = one.seamless.iter().filter(|&&seamless| seamless).count();
        writeln!(
            html,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&one.label),
            one.samples,
            number(worst, 3),
            number(one.percentile_99_9_ratio.value[0], 3),
            number(one.mass_ratio.value[0], 4),
            if one.seamless.is_empty() {
                "–".to_owned()
            } else {
                format!("{seamless} of {}", one.seamless.len())
            },
        )
        .expect("writing to a string");
    }
    html + "</tbody>\n</table></div>\n</section>\n"
}

/// What is missing, and why.
fn not_measured(comparison: &Comparison) -> String {
    let reasons = comparison.skipped();
    if reasons.is_empty() {
        return String::new();
    }
    let mut html = "<section>\n<h2>Not measured</h2>\n<dl class=\"provenance\">\n".to_owned();
    for (name, reason) in reasons {
        writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&reason))
            .expect("writing to a string");
    }
    html + "</dl>\n</section>\n"
}

fn tiles(comparison: &Comparison) -> String {
    let mut html = "<dl class=\"tiles\">\n".to_owned();
    for tile in prose::tiles(comparison) {
        let note =
            tile.note.map(|note| format!("<dd class=\"note\">{}</dd>", escape(&note))).unwrap_or_default();
        writeln!(
            html,
            "<div><dt>{}</dt><dd class=\"value\">{}</dd>{note}</div>",
            escape(&tile.name),
            escape(&tile.value)
        )
        .expect("writing to a string");
    }
    html + "</dl>\n"
}

fn figure_html(figure: &Figure) -> String {
    let plot = if figure.plot.is_some() { format!(" data-plot=\"{}\"", figure.name) } else { String::new() };
    let both = figure.drawings.len() > 1;
    let mut html = format!("<figure class=\"{}\"{plot}>\n", figure.name);
    for (width, drawing) in &figure.drawings {
        let (class, name) = match width {
            Width::Wide => ("wide", format!("{}-wide", figure.name)),
            Width::Narrow => ("narrow", figure.name.clone()),
        };
        let class = if both { format!("static {class}") } else { "static".to_owned() };
        html += &format!(
            "<div class=\"{class}\">{}</div>\n",
            svg(drawing, Place::Page, &name, &figure.description)
        );
    }
    html + &format!("<figcaption>{}</figcaption>\n</figure>\n", escape(&figure.caption))
}

fn band_table(comparison: &Comparison) -> String {
    let bands = &comparison.bands;
    let condition = comparison.condition.is_some();
    let pairs = !bands.sample_agreement.is_empty();
    let mut head = vec!["k [h/Mpc]", "modes", "P / P(truth)"];
    if condition {
        head.push("condition");
    }
    head.push("r");
    if condition {
        head.push("r condition");
    }
    if pairs {
        head.push("r pairs");
    }
    let mut html = format!(
        "<section>\n<h2>By band</h2>\n<p>{}</p>\n<div class=\"scroll\"><table>\n<thead><tr>",
        escape(&prose::band_note(comparison))
    );
    html.extend(head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")));
    html.push_str("</tr></thead>\n<tbody>\n");
    for band in 0..bands.k_h_mpc.len() {
        let [low, high] =
            [bands.k_min_h_mpc[band], bands.k_max_h_mpc[band]].map(|k| prose::significant(k, 3));
        let error = bands.sample_ratio_standard_error[band];
        let error = if error.is_finite() { format!(" ± {}", plain(error, 3)) } else { String::new() };
        let mut row = vec![
            prose::thousands(bands.modes[band]),
            format!("<strong>{}</strong>{error}", number(bands.sample_ratio[band], 3)),
        ];
        let mut optional = |wanted: bool, values: &[f64]| {
            if wanted {
                row.push(number(values[band], 3));
            }
        };
        optional(condition, &bands.condition_ratio);
        optional(true, &bands.sample_cross_correlation);
        optional(condition, &bands.condition_cross_correlation);
        optional(pairs, &bands.sample_agreement);
        write!(html, "<tr><th scope=\"row\">{low} – {high}</th>").expect("writing to a string");
        html.extend(row.iter().map(|cell| format!("<td>{cell}</td>")));
        html.push_str("</tr>\n");
    }
    html + "</tbody>\n</table></div>\n</section>\n"
}

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { plain(value, digits) } else { "–".to_owned() }
}

fn upscaled_section(upscaled: &Upscaled, section: &Section) -> String {
    let mut html = format!(
        "<section>\n<h2>{}</h2>\n<p>{}</p>\n",
        escape(&upscaled.title),
        escape(&prose::upscaled_note(upscaled))
    );
    html.extend(section.figures.iter().map(figure_html));
    html + "</section>\n"
}

/// The members of an object as a list; what is nested stays JSON.
fn provenance(value: &Value) -> String {
    let Some(members) = value.as_object().filter(|members| !members.is_empty()) else {
        return String::new();
    };
    let mut html = "<section>\n<h2>Provenance</h2>\n<dl class=\"provenance\">\n".to_owned();
    for (name, value) in members {
        let text = match value {
            Value::String(text) => escape(text),
            Value::Object(_) | Value::Array(_) => {
                let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
                let pretty = format!("<pre>{}</pre>", escape(&pretty));
                let short = pretty.lines().count() <= SHOWN_LINES;
                if short { pretty } else { format!("<details><summary>details</summary>{pretty}</details>") }
            }
            other => other.to_string(),
        };
        writeln!(html, "<dt>{}</dt><dd>{text}</dd>", escape(&name.replace('_', " ")))
            .expect("writing to a string");
    }
    html + "</dl>\n</section>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_cannot_break_the_page() {
        let html = provenance(&json!({"model": "<b>\"x\" & y", "seed": 3, "nested": {"a": [1]}}));
        assert!(html.contains("&lt;b&gt;&quot;x&quot; &amp; y") && html.contains("<dd>3</dd>"));
        assert!(html.contains("<pre>{"));
        assert_eq!(provenance(&json!({})), "");
    }
}
