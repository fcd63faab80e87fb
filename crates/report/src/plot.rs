//! Plots of curves, described as data; drawn by [`Plot::svg`], and serialised for what the page reads from
//! them.

use crate::axes::{Axes, Key, legend};
use crate::svg::{Pen, Place, Svg};
use crate::ticks::Scale;
use serde::{Serialize, Serializer};

const LEFT: f32 = 62.0;
const TOP: f32 = 14.0;
const RIGHT_MARGIN: f32 = 12.0;
const BOTTOM_MARGIN: f32 = 50.0;
const GAP: f32 = 16.0;

/// Panels above each other that share their x axis.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plot {
    pub(crate) x_label: String,
    pub(crate) x: Scale,
    pub(crate) panels: Vec<Panel>,
}

/// One frame of a plot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Panel {
    pub(crate) y_label: String,
    pub(crate) y: Scale,
    /// In page units.
    #[serde(skip)]
    pub(crate) height: f32,
    /// Shaded parts: x from, x to, y from, y to.
    #[serde(skip)]
    pub(crate) shades: Vec<[f64; 4]>,
    pub(crate) curves: Vec<Curve>,
}

/// A line or dots.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// In the legend; none for a line that needs no name.
    pub(crate) name: Option<String>,
    #[serde(skip)]
    pub(crate) pen: Pen,
    #[serde(skip)]
    pub(crate) style: Style,
    #[serde(serialize_with = "short")]
    pub(crate) x: Vec<f64>,
    #[serde(serialize_with = "short")]
    pub(crate) y: Vec<f64>,
    /// Standard errors; empty if not known.
    #[serde(serialize_with = "short")]
    pub(crate) error: Vec<f64>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line, its errors as a band.
    Line,
    /// Dots with error bars.
    Dots,
}

impl Curve {
    pub(crate) fn line(name: impl Into<String>, pen: Pen, x: &[f64], y: &[f64]) -> Self {
        let y = y[..y.len().min(x.len())].to_vec();
        Self { name: Some(name.into()), pen, style: Style::Line, x: x.to_vec(), y, error: Vec::new() }
    }

    pub(crate) fn with_error(self, error: &[f64]) -> Self {
        Self { error: error.to_vec(), ..self }
    }

    pub(crate) fn dots(self) -> Self {
        Self { style: Style::Dots, ..self }
    }

    pub(crate) fn unnamed(self) -> Self {
        Self { name: None, ..self }
    }

    fn draw(&self, svg: &mut Svg, axes: &Axes) {
        let Self { x, y, error, pen, .. } = self;
        if self.style == Style::Dots {
            return axes.dots(svg, [x, y, error], pen.ink);
        }
        if !error.is_empty() {
            let end = |sign: f64| y.iter().zip(error).map(|(y, error)| y + sign * error).collect::<Vec<_>>();
            axes.band(svg, x, &end(-1.0), &end(1.0), pen.ink);
        }
        axes.curve(svg, x, y, pen);
    }
}

impl Panel {
    pub(crate) fn new(y_label: impl Into<String>, y: Scale, height: f32, curves: Vec<Curve>) -> Self {
        Self { y_label: y_label.into(), y, height, shades: Vec::new(), curves }
    }

    pub(crate) fn shaded(self, shades: Vec<[f64; 4]>) -> Self {
        Self { shades, ..self }
    }

    fn draw(&self, svg: &mut Svg, axes: &Axes, x_label: Option<&str>, keys: &[Key]) {
        let [left, top, right, bottom] = axes.frame;
        svg.open(format_args!("class=\"panel\" data-frame=\"{left} {top} {right} {bottom}\""));
        svg.open_clipped(axes.frame);
        self.shades.iter().for_each(|shade| axes.shade(svg, *shade));
        svg.close_clipped();
        axes.draw(svg, x_label, &self.y_label);
        svg.open_clipped(axes.frame);
        for curve in &self.curves {
            let key = keys.iter().position(|key| Some(&key.name) == curve.name.as_ref());
            svg.open(key.map_or(String::new(), |key| format!("data-key=\"{key}\"")));
            curve.draw(svg, axes);
            svg.close();
        }
        svg.close_clipped();
        svg.close();
    }
}

impl Plot {
    /// The drawing on a sheet of `width` page units; `name` is unique on a page.
    pub(crate) fn svg(&self, place: Place, name: &str, description: &str, width: f32) -> String {
        let right = width - RIGHT_MARGIN;
        let mut svg = Svg::new(place, name);
        let keys = self.keys();
        let first = 26.0 + legend(&mut svg, [LEFT.min(width / 8.0), right, 18.0], &keys) - TOP;
        let mut top = first;
        for (index, panel) in self.panels.iter().enumerate() {
            let axes = Axes { frame: [LEFT, top, right, top + panel.height], x: self.x, y: panel.y };
            let last = index + 1 == self.panels.len();
            panel.draw(&mut svg, &axes, last.then_some(self.x_label.as_str()), &keys);
            top += panel.height + if last { BOTTOM_MARGIN } else { GAP };
        }
        if place == Place::Page {
            svg.open("class=\"cursor\"");
            svg.line(&[(0.0, first), (0.0, top - BOTTOM_MARGIN)], &CURSOR);
            svg.close();
        }
        svg.finish(width, top, description)
    }

    /// The names of the curves, each once.
    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for curve in self.panels.iter().flat_map(|panel| &panel.curves) {
            if let Some(name) = &curve.name
                && keys.iter().all(|known| known.name != *name)
            {
                let is_dots = curve.style == Style::Dots;
                keys.push(Key { name: name.clone(), pen: curve.pen, is_dots });
            }
        }
        keys
    }
}

const CURSOR: Pen = Pen { dash: Some([3.0, 3.0]), ..crate::axes::SPINE };

/// Five digits are more than a screen shows; null where there is no number.
fn short<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(
        values.iter().map(|value| format!("{value:.4e}").parse::<f64>().ok().filter(|v| v.is_finite())),
    )
}

/// A logarithmic axis that holds the positive finite values, a little widened.
pub(crate) fn log_scale<'a>(values: impl Iterator<Item = &'a f64>) -> Scale {
    let (low, high) = values
        .filter(|v| v.is_finite() && **v > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), &v| (low.min(v), high.max(v)));
    if high > 0.0 {
        Scale::Log { low: low / 1.4, high: high * 1.4 }
    } else {
        Scale::Log { low: 0.1, high: 10.0 }
    }
}

/// A linear axis that holds the finite values and `always`, but nothing beyond `limits`.
pub(crate) fn linear_scale<'a>(
    values: impl Iterator<Item = &'a f64>,
    always: [f64; 2],
    limits: [f64; 2],
) -> Scale {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((always[0], always[1]), |(low, high), &v| (low.min(v), high.max(v)));
    let margin = 0.05 * (high - low);
    Scale::Linear { low: (low - margin).max(limits[0]), high: (high + margin).min(limits[1]) }
}
