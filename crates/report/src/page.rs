//! report.html: one file that needs no other, and no network.

use crate::figures::{Figure, Picture, Width};
use crate::theme::Theme;
use crate::ticks::plain;
use crate::upscaled::Upscaled;
use crate::write::Section;
use crate::{Comparison, prose};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write as _;

/// Longer JSON is folded away.
const SHOWN_LINES: usize = 6;
const STYLE: &str = include_str!("page.css");

/// The whole page; `sections` in the order of [`Comparison::write`].
pub(crate) fn page(comparison: &Comparison, sections: &[Section]) -> String {
    let title = escape(&comparison.title);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n<header>\n<p class=\"kicker\">finescale report</p>\n<h1>{title}</h1>\n\
         <p class=\"subtitle\">{}</p>\n</header>\n",
        escape(&prose::subject(comparison))
    );
    html.push_str(&tiles(comparison));
    html += &format!("<p class=\"verdict\">{}</p>\n", escape(&prose::verdict(comparison)));
    if let Some((first, rest)) = sections.split_first() {
        let captions = prose::captions(comparison);
        let mut figures = first.figures.iter().zip(&captions).map(|(figure, text)| figure_html(figure, text));
        html.extend(figures.by_ref().take(2));
        html.push_str("<div class=\"pair\">\n");
        html.extend(figures);
        html.push_str("</div>\n");
        html.push_str(&band_table(comparison));
        for (upscaled, section) in comparison.upscaled.iter().zip(rest) {
            html.push_str(&upscaled_section(upscaled, section));
        }
    }
    html.push_str(&provenance(&comparison.provenance));
    let version = env!("CARGO_PKG_VERSION");
    html + "</main>\n"
        + &format!("<footer>Made by finescale {version}. All numbers are in report.json.</footer>\n")
        + "</body>\n</html>\n"
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

fn figure_html(figure: &Figure, caption: &str) -> String {
    let uri = |picture: &Picture| format!("data:image/png;base64,{}", STANDARD.encode(&picture.png));
    let two_widths = figure.pictures.iter().any(|picture| picture.width == Width::Wide);
    let mut html = format!("<figure class=\"{}\">\n<picture>\n", figure.name);
    let (mut fallback, mut widest) = (String::new(), 0);
    for narrow in [true, false] {
        for dark in [true, false] {
            let wanted =
                |p: &&Picture| (p.width == Width::Narrow) == narrow && (p.theme == Theme::Dark) == dark;
            let Some(picture) = figure.pictures.iter().find(wanted) else { continue };
            widest = widest.max(picture.units);
            let mut media = Vec::new();
            if narrow && two_widths {
                media.push("(max-width: 640px)");
            }
            if dark {
                media.push("(prefers-color-scheme: dark)");
            }
            if media.is_empty() {
                fallback = uri(picture);
            } else {
                writeln!(html, "<source media=\"{}\" srcset=\"{}\">", media.join(" and "), uri(picture))
                    .expect("writing to a string");
            }
        }
    }
    writeln!(
        html,
        "<img src=\"{fallback}\" alt=\"{}\" style=\"max-width: {widest}px\">",
        escape(&figure.description)
    )
    .expect("writing to a string");
    html + &format!("</picture>\n<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
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
    let captions = prose::upscaled_captions(upscaled);
    html.extend(section.figures.iter().zip(&captions).map(|(figure, text)| figure_html(figure, text)));
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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
