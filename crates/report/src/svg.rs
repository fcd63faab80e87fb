//! Figures as SVG: files for papers, and parts of the page whose colours follow its theme. Lengths are in
//! page units, y downwards.

use crate::raster::pixels_png;
use crate::theme::{Colour, Ink};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Display;

/// Where an SVG goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of its own, on light paper.
    File,
    /// The page, whose style sheet has the colours and whose script moves the marks.
    Page,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pen {
    pub(crate) ink: Ink,
    pub(crate) width: f32,
    pub(crate) dash: Option<[f32; 2]>,
}

/// How a text looks, and where its position is along its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) size: f32,
    pub(crate) ink: Ink,
    /// `start`, `middle` or `end`.
    pub(crate) anchor: &'static str,
    /// `400` or `600`, as the bundled font has them.
    pub(crate) weight: u16,
}

impl Text {
    pub(crate) const fn new(size: f32, ink: Ink, anchor: &'static str) -> Self {
        Self { size, ink, anchor, weight: 400 }
    }
}

/// Left, top, right, bottom.
pub(crate) type Frame = [f32; 4];

/// A drawing in the making.
pub(crate) struct Svg {
    pub(crate) place: Place,
    /// Unique among the drawings of a page.
    name: String,
    body: String,
    clips: usize,
}

impl Svg {
    pub(crate) fn new(place: Place, name: impl Into<String>) -> Self {
        Self { place, name: name.into(), body: String::new(), clips: 0 }
    }

    /// Begins a group with these attributes, which [`Self::close`] ends.
    pub(crate) fn open(&mut self, attributes: impl Display) {
        self.push(format_args!("<g {attributes}>"));
    }

    pub(crate) fn close(&mut self) {
        self.push("</g>");
    }

    /// Begins a group of which only what lies in `frame` is seen; in it, a group that the page may move.
    pub(crate) fn open_clipped(&mut self, frame: Frame) {
        let id = format!("{}-{}", self.name, self.clips);
        self.clips += 1;
        self.push(format_args!("<clipPath id=\"{id}\">{}</clipPath>", rectangle(frame, "")));
        self.push(format_args!("<g clip-path=\"url(#{id})\"><g class=\"moved\">"));
    }

    pub(crate) fn close_clipped(&mut self) {
        self.push("</g></g>");
    }

    pub(crate) fn line(&mut self, points: &[(f32, f32)], pen: &Pen) {
        let dash = pen.dash.map_or(" stroke-linecap=\"round\"".to_owned(), |[on, off]| {
            format!(" stroke-dasharray=\"{} {}\"", number(on), number(off))
        });
        let (path, colour, width) = (path(points), self.colour(pen.ink), number(pen.width));
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"none\" style=\"stroke:{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{dash}/>"
        ));
    }

    /// A round dot: a line without length, which stays round when its surroundings are stretched.
    pub(crate) fn dot(&mut self, (x, y): (f32, f32), ink: Ink, diameter: f32) {
        self.line(&[(x - 0.01, y), (x + 0.01, y)], &Pen { ink, width: diameter, dash: None });
    }

    /// A closed area, partly transparent.
    pub(crate) fn area(&mut self, points: &[(f32, f32)], ink: Ink, opacity: f32) {
        let (path, colour) = (path(points), self.colour(ink));
        self.push(format_args!("<path d=\"{path}Z\" style=\"fill:{colour}\" opacity=\"{opacity}\"/>"));
    }

    pub(crate) fn rectangle(&mut self, frame: Frame, ink: Ink) {
        let style = format!("style=\"fill:{}\"", self.colour(ink));
        self.push(rectangle(frame, &style));
    }

    /// Blocks of colour that fill the frame, row by row from the top left; edges stay sharp.
    pub(crate) fn image(&mut self, [left, top, right, bottom]: Frame, columns: usize, colours: &[Colour]) {
        let [x, y, width, height] = [left, top, right - left, bottom - top].map(number);
        let png = STANDARD.encode(pixels_png(columns, colours));
        self.push(format_args!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{png}\"/>"
        ));
    }

    /// `content` with its baseline (its start, middle or end) at (x, y).
    pub(crate) fn text(&mut self, content: &str, at: (f32, f32), text: &Text) {
        self.turned_text(content, at, text, "");
    }

    /// The same, upwards.
    pub(crate) fn text_upwards(&mut self, content: &str, (x, y): (f32, f32), text: &Text) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", number(x), number(y));
        self.turned_text(content, (x, y), text, &turn);
    }

    fn turned_text(&mut self, content: &str, (x, y): (f32, f32), text: &Text, turn: &str) {
        let Text { size, ink, anchor, weight } = *text;
        let ([x, y, size], colour, content) = ([x, y, size].map(number), self.colour(ink), escape(content));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" font-weight=\"{weight}\" text-anchor=\"{anchor}\" \
             style=\"fill:{colour}\"{turn}>{content}</text>"
        ));
    }

    /// The whole element, of a sheet of `width` × `height`; `description` is for those who cannot see it.
    pub(crate) fn finish(self, width: f32, height: f32, description: &str) -> String {
        let paper = match self.place {
            Place::File => {
                rectangle([0.0, 0.0, width, height], &format!("fill=\"{}\"", self.colour(Ink::Paper)))
            }
            Place::Page => String::new(),
        };
        let namespace = if self.place == Place::File { " xmlns=\"http://www.w3.org/2000/svg\"" } else { "" };
        let ([width, height], description) = ([width, height].map(number), escape(description));
        format!(
            "<svg{namespace} viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-label=\"{description}\" font-family=\"Inter, Helvetica, Arial, \
             sans-serif\">\n{paper}{}</svg>\n",
            self.body
        )
    }

    fn colour(&self, ink: Ink) -> String {
        match self.place {
            Place::File => ink.light(),
            Place::Page => format!("var(--{})", ink.name()),
        }
    }

    fn push(&mut self, element: impl Display) {
        self.body += &format!("{element}\n");
    }
}

fn path(points: &[(f32, f32)]) -> String {
    let points: Vec<String> = points.iter().map(|&(x, y)| format!("{} {}", number(x), number(y))).collect();
    format!("M{}", points.join("L"))
}

fn rectangle([left, top, right, bottom]: Frame, style: &str) -> String {
    let [x, y, width, height] = [left, top, (right - left).max(0.0), (bottom - top).max(0.0)].map(number);
    format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {style}/>")
}

/// Hundredths of a page unit are enough; far outside of the clip is far enough.
pub(crate) fn number(value: f32) -> String {
    let text = format!("{:.2}", value.clamp(-1e5, 1e5));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(place: Place) -> String {
        let mut svg = Svg::new(place, "a");
        svg.open_clipped([0.0, 0.0, 5.0, 5.0]);
        svg.line(&[(0.0, 1.0), (2.0, f32::MAX)], &Pen { ink: Ink::Truth, width: 2.0, dash: None });
        svg.close_clipped();
        svg.image([0.0, 0.0, 2.0, 2.0], 1, &[[1, 2, 3]]);
        svg.text("<b> & \"c\"", (1.0, 2.0), &Text::new(12.0, Ink::Text, "end"));
        svg.finish(10.0, 5.5, "x < y")
    }

    #[test]
    fn files_have_colours_and_pages_have_variables() {
        let file = drawn(Place::File);
        assert!(file.contains("stroke:#1c1c22") && file.contains("w3.org") && file.contains("x &lt; y"));
        assert!(file.contains("<clipPath id=\"a-0\">") && file.contains("url(#a-0)"));
        assert!(file.contains("d=\"M0 1L2 100000\"") && file.contains("viewBox=\"0 0 10 5.5\""));
        assert!(file.contains(">&lt;b&gt; &amp; &quot;c&quot;</text>"));
        let page = drawn(Place::Page);
        assert!(page.contains("stroke:var(--truth)") && !page.contains("http"));
    }
}
