//! Drawings as SVG: files for papers, and parts of the page whose colours follow its theme.

use crate::characters::escape;
use crate::drawing::{Align, Direction, Drawing, Frame, Mark, Pen, Text, Weight};
use crate::raster::pixels_png;
use crate::theme::{Ink, Theme, hexadecimal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Where an SVG goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of its own, on light paper.
    File,
    /// The page, whose style sheet has the colours.
    Page,
}

/// The drawing as SVG. `name` is unique among the drawings of a page, `description` is for those who cannot see it.
pub(crate) fn svg(drawing: &Drawing, place: Place, name: &str, description: &str) -> String {
    let mut clips: Vec<Frame> = Vec::new();
    let mut body = String::new();
    for mark in &drawing.marks {
        draw(&mut body, mark, place, name, &mut clips).expect("writing to a string");
    }
    let (width, height) = (number(drawing.width), number(drawing.height));
    let namespace = if place == Place::File { " xmlns=\"http://www.w3.org/2000/svg\"" } else { "" };
    let mut svg = format!(
        "<svg{namespace} viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\" font-family=\"Inter, Helvetica, Arial, sans-serif\">\n",
        escape(description)
    );
    if !clips.is_empty() {
        svg.push_str("<defs>");
        for (index, frame) in clips.iter().enumerate() {
            write!(svg, "<clipPath id=\"{name}-{index}\">{}</clipPath>", rectangle(*frame, ""))
                .expect("writing to a string");
        }
        svg.push_str("</defs>\n");
    }
    if place == Place::File {
        let paper = format!("fill=\"{}\"", colour(Ink::Paper, place));
        svg += &rectangle([0.0, 0.0, drawing.width, drawing.height], &paper);
    }
    svg + &body + "</svg>\n"
}

fn draw(out: &mut String, mark: &Mark, place: Place, name: &str, clips: &mut Vec<Frame>) -> std::fmt::Result {
    match mark {
        Mark::Line { points, pen, clip } => {
            let clip = clipped(*clip, name, clips);
            writeln!(out, "<path d=\"{}\" fill=\"none\" {}{clip}/>", path(points), stroke(pen, place))
        }
        Mark::Area { points, ink, opacity, clip } => {
            let (colour, clip) = (colour(*ink, place), clipped(*clip, name, clips));
            writeln!(
                out,
                "<path d=\"{}Z\" style=\"fill:{colour}\" opacity=\"{opacity}\"{clip}/>",
                path(points)
            )
        }
        Mark::Rectangle { frame, ink } => {
            let style = format!("style=\"fill:{}\"", colour(*ink, place));
            writeln!(out, "{}", rectangle(*frame, &style))
        }
        Mark::Image { frame: [left, top, right, bottom], columns, colours } => writeln!(
            out,
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>",
            number(*left),
            number(*top),
            number(right - left),
            number(bottom - top),
            STANDARD.encode(pixels_png(*columns, colours))
        ),
        Mark::Text { content, at, text } => writeln!(out, "{}", text_element(content, *at, text, place)),
    }
}

fn text_element(content: &str, (x, y): (f32, f32), text: &Text, place: Place) -> String {
    let anchor = match text.align {
        Align::Left => "start",
        Align::Centre => "middle",
        Align::Right => "end",
    };
    let (x, y) = (number(x), number(y));
    let turn = match text.direction {
        Direction::Right => String::new(),
        Direction::Up => format!(" transform=\"rotate(-90 {x} {y})\""),
    };
    let weight = if text.weight == Weight::SemiBold { " font-weight=\"600\"" } else { "" };
    format!(
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\"{weight} style=\"fill:{}\"{turn}>{}</text>",
        number(text.size),
        colour(text.ink, place),
        escape(content)
    )
}

fn clipped(clip: Option<Frame>, name: &str, clips: &mut Vec<Frame>) -> String {
    let Some(frame) = clip else { return String::new() };
    let index = clips.iter().position(|known| *known == frame).unwrap_or_else(|| {
        clips.push(frame);
        clips.len() - 1
    });
    format!(" clip-path=\"url(#{name}-{index})\"")
}

fn stroke(pen: &Pen, place: Place) -> String {
    let dash = pen.dash.map_or(" stroke-linecap=\"round\"".to_owned(), |[on, off]| {
        format!(" stroke-dasharray=\"{} {}\"", number(on), number(off))
    });
    format!(
        "style=\"stroke:{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dash}",
        colour(pen.ink, place),
        number(pen.width)
    )
}

fn path(points: &[(f32, f32)]) -> String {
    let mut path = String::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        write!(path, "{}{} {}", if i == 0 { "M" } else { "L" }, number(x), number(y))
            .expect("writing to a string");
    }
    path
}

fn rectangle([left, top, right, bottom]: Frame, style: &str) -> String {
    let [x, y, width, height] = [left, top, (right - left).max(0.0), (bottom - top).max(0.0)].map(number);
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {style}/>")
}

fn colour(ink: Ink, place: Place) -> String {
    match place {
        Place::File => hexadecimal(ink.colour(Theme::Light)),
        Place::Page => format!("var(--{})", ink.name()),
    }
}

/// Hundredths of a page unit are enough; far outside of the clip is far enough.
fn number(value: f32) -> String {
    let text = format!("{:.2}", value.clamp(-1e5, 1e5));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_colours_and_pages_have_variables() {
        let mut drawing = Drawing::new(10.0, 5.5);
        let pen = Pen { ink: Ink::Truth, width: 2.0, dash: None };
        drawing.line_in(&[(0.0, 1.0), (2.0, f32::MAX)], &pen, Some([0.0, 0.0, 5.0, 5.0]));
        drawing.image([0.0, 0.0, 2.0, 2.0], 1, vec![[1, 2, 3]]);
        let file = svg(&drawing, Place::File, "a", "x < y");
        assert!(file.contains("stroke:#1c1c22") && file.contains("w3.org") && file.contains("x &lt; y"));
        assert!(file.contains("<clipPath id=\"a-0\">") && file.contains("url(#a-0)"));
        assert!(file.contains("d=\"M0 1L2 100000\"") && file.contains("viewBox=\"0 0 10 5.5\""));
        let page = svg(&drawing, Place::Page, "a", "x");
        assert!(page.contains("stroke:var(--truth)") && !page.contains("http"));
    }
}
