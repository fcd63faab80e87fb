//! Plots of curves, described once: drawn as figures, and handed to the page to be looked at closely.

use crate::axes::{Axes, legend};
use crate::drawing::{Drawing, Pen};
use crate::ticks::Scale;
use serde_json::{Value, json};

const LEFT: f32 = 62.0;
const TOP: f32 = 14.0;
const RIGHT_MARGIN: f32 = 12.0;
const BOTTOM_MARGIN: f32 = 50.0;
const GAP: f32 = 16.0;

/// Panels above each other that share their x axis.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) x_label: String,
    pub(crate) x: Scale,
    pub(crate) panels: Vec<Panel>,
}

/// One frame of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) y_label: String,
    pub(crate) y: Scale,
    /// In page units.
    pub(crate) height: f32,
    /// Shaded parts: x from, x to, y from, y to.
    pub(crate) shades: Vec<[f64; 4]>,
    pub(crate) curves: Vec<Curve>,
}

/// A line or dots.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// In the legend; none for a line that needs no name.
    pub(crate) name: Option<String>,
    pub(crate) pen: Pen,
    pub(crate) style: Style,
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    /// Standard errors; empty if not known.
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
}

impl Panel {
    pub(crate) fn new(y_label: impl Into<String>, y: Scale, height: f32, curves: Vec<Curve>) -> Self {
        Self { y_label: y_label.into(), y, height, shades: Vec::new(), curves }
    }

    pub(crate) fn shaded(self, shades: Vec<[f64; 4]>) -> Self {
        Self { shades, ..self }
    }

    fn draw(&self, drawing: &mut Drawing, axes: &Axes, x_label: Option<&str>) {
        self.shades.iter().for_each(|shade| axes.shade(drawing, *shade));
        axes.draw(drawing, x_label, &self.y_label);
        for curve in &self.curves {
            let Curve { x, y, error, pen, .. } = curve;
            match curve.style {
                Style::Dots => axes.dots(drawing, [x, y, error], pen),
                Style::Line => {
                    if !error.is_empty() {
                        let end = |sign: f64| -> Vec<f64> {
                            y.iter().zip(error).map(|(y, error)| y + sign * error).collect()
                        };
                        axes.band(drawing, x, &end(-1.0), &end(1.0), pen.ink);
                    }
                    axes.curve(drawing, x, y, pen);
                }
            }
        }
    }
}

impl Plot {
    /// On a sheet of `width` page units.
    pub(crate) fn draw(&self, width: f32) -> Drawing {
        let right = width - RIGHT_MARGIN;
        let mut entries: Vec<(String, Pen)> = Vec::new();
        for curve in self.panels.iter().flat_map(|panel| &panel.curves) {
            if let Some(name) = &curve.name
                && entries.iter().all(|(known, _)| known != name)
            {
                entries.push((name.clone(), curve.pen));
            }
        }
        let mut drawing = Drawing::new(width, 0.0);
        let mut top = 18.0 + legend(&mut drawing, [LEFT.min(width / 8.0), right, 18.0], &entries) - TOP;
        for (index, panel) in self.panels.iter().enumerate() {
            let axes = Axes { frame: [LEFT, top, right, top + panel.height], x: self.x, y: panel.y };
            let last = index + 1 == self.panels.len();
            panel.draw(&mut drawing, &axes, last.then_some(self.x_label.as_str()));
            top += panel.height + if last { BOTTOM_MARGIN } else { GAP };
        }
        drawing.height = top;
        drawing
    }

    /// For the script of the page.
    pub(crate) fn to_json(&self) -> Value {
        let scale = |scale: Scale| match scale {
            Scale::Linear { low, high } => json!({ "log": false, "low": short(low), "high": short(high) }),
            Scale::Log { low, high } => json!({ "log": true, "low": short(low), "high": short(high) }),
        };
        let list = |values: &[f64]| values.iter().map(|&v| short(v)).collect::<Vec<_>>();
        let panel = |panel: &Panel| {
            let curves: Vec<Value> = panel
                .curves
                .iter()
                .map(|curve| {
                    json!({
                        "name": curve.name,
                        "ink": curve.pen.ink.name(),
                        "width": short(curve.pen.width.into()),
                        "dash": curve.pen.dash,
                        "dots": curve.style == Style::Dots,
                        "x": list(&curve.x),
                        "y": list(&curve.y),
                        "error": list(&curve.error),
                    })
                })
                .collect();
            let shades: Vec<Vec<Value>> = panel.shades.iter().map(|shade| list(shade)).collect();
            json!({
                "label": panel.y_label,
                "y": scale(panel.y),
                "height": panel.height,
                "shades": shades,
                "curves": curves,
            })
        };
        json!({
            "label": self.x_label,
            "x": scale(self.x),
            "panels": self.panels.iter().map(panel).collect::<Vec<_>>(),
        })
    }
}

/// Five digits are more than a screen shows; null where there is no number.
fn short(value: f64) -> Value {
    let rounded = format!("{value:.4e}").parse::<f64>().unwrap_or(f64::NAN);
    if rounded.is_finite() { json!(rounded) } else { Value::Null }
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
