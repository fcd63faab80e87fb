//! A plot's frame: grid lines, marks, numbers, curves and a legend.

use crate::raster::text_width;
use crate::svg::{Frame, Pen, Place, Svg, Text, number};
use crate::theme::Ink;
use crate::ticks::{Scale, Tick};
use serde_json::json;

/// Sizes in page units.
pub(crate) const LABEL_SIZE: f32 = 13.0;
pub(crate) const TICK_SIZE: f32 = 12.0;
const SMALL_TICK: f32 = 3.0;
const DOT: f32 = 6.0;
const BAND_OPACITY: f32 = 0.22;
/// How many times closer the marks lie that the page has at hand for a part of an axis.
const ZOOMS: [usize; 4] = [1, 3, 10, 30];
/// A browser that lacks the bundled font has a wider one.
const FALLBACK_WIDTH: f32 = 1.1;
/// Room of the page's buttons to the right of a legend.
const BUTTONS: f32 = 118.0;

/// A frame with its two scales.
pub(crate) struct Axes {
    pub(crate) frame: Frame,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

/// The marks along one axis, drawn as at its origin and then put in their places.
struct Marks {
    axis: &'static str,
    scale: Scale,
    count: usize,
    /// The line of a mark with a number, and of one without.
    long: [(f32, f32); 2],
    short: [(f32, f32); 2],
    /// Where numbers stand, and which of their points; none where they are those of another axis.
    number: Option<((f32, f32), &'static str)>,
}

impl Axes {
    pub(crate) fn point(&self, x: f64, y: f64) -> (f32, f32) {
        let [left, top, right, bottom] = self.frame;
        let (across, up) = (self.x.fraction(x) as f32, self.y.fraction(y) as f32);
        (left + across * (right - left), bottom - up * (bottom - top))
    }

    /// Grid lines, marks and numbers; `x_label`: none for a plot that shares the axis of the one below.
    pub(crate) fn draw(&self, svg: &mut Svg, x_label: Option<&str>, y_label: &str) {
        let [left, top, right, bottom] = self.frame;
        let across = Marks {
            axis: "x",
            scale: self.x,
            count: ((right - left) / 60.0) as usize,
            long: [(0.0, top), (0.0, bottom)],
            short: [(0.0, bottom - SMALL_TICK), (0.0, bottom)],
            number: x_label.map(|_| ((0.0, bottom + 17.0), "middle")),
        };
        across.draw(svg, |part| (left + part * (right - left), 0.0));
        let up = Marks {
            axis: "y",
            scale: self.y,
            count: ((bottom - top) / 30.0) as usize,
            long: [(left, 0.0), (right, 0.0)],
            short: [(left, 0.0), (left + SMALL_TICK, 0.0)],
            number: Some(((left - 8.0, 4.2), "end")),
        };
        up.draw(svg, |part| (0.0, bottom - part * (bottom - top)));
        svg.line(&[(left, top), (left, bottom), (right, bottom)], &SPINE);
        let label = Text::new(LABEL_SIZE, Ink::Text, "middle");
        if let Some(x_label) = x_label {
            svg.text(x_label, ((left + right) / 2.0, bottom + 38.0), &label);
        }
        svg.text_upwards(y_label, (left - 46.0, (top + bottom) / 2.0), &label);
    }

    /// A curve through the points that exist on the scales.
    pub(crate) fn curve(&self, svg: &mut Svg, xs: &[f64], ys: &[f64], pen: &Pen) {
        let points: Vec<_> = xs.iter().zip(ys).map(|(&x, &y)| self.point(x, y)).collect();
        for piece in points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
            match piece {
                [] => {}
                // A point between gaps.
                [(x, y)] => svg.line(&[(x - 0.5, *y), (x + 0.5, *y)], pen),
                piece => svg.line(piece, pen),
            }
        }
    }

    /// A dot with its error bar at each point that exists on the scales.
    pub(crate) fn dots(&self, svg: &mut Svg, [xs, ys, errors]: [&[f64]; 3], ink: Ink) {
        let errors = errors.iter().copied().chain(std::iter::repeat(f64::NAN));
        for ((&x, &y), error) in xs.iter().zip(ys).zip(errors) {
            let (at, up) = self.point(x, y);
            if !(at.is_finite() && up.is_finite()) {
                continue;
            }
            let [low, high] = [y - error, y + error].map(|end| self.point(x, end).1);
            if high.is_finite() {
                let bottom = if low.is_finite() { low } else { self.frame[3] };
                svg.line(&[(at, bottom), (at, high)], &Pen { ink, width: 1.4, dash: None });
            }
            svg.dot((at, up), ink, DOT);
        }
    }

    /// Shades between `low` and `high`, as far as they exist.
    pub(crate) fn band(&self, svg: &mut Svg, xs: &[f64], low: &[f64], high: &[f64], ink: Ink) {
        let floor = self.frame[3];
        let points: Vec<_> = xs
            .iter()
            .zip(low.iter().zip(high))
            .map(|(&x, (&low, &high))| (self.point(x, low), self.point(x, high)))
            .map(|((x, low), (_, high))| (x, if low.is_finite() { low } else { floor }, high))
            .collect();
        for piece in points.split(|(x, _, high)| !(x.is_finite() && high.is_finite())) {
            let upper = piece.iter().map(|&(x, _, high)| (x, high));
            let lower = piece.iter().rev().map(|&(x, low, _)| (x, low));
            if piece.len() > 1 {
                svg.area(&upper.chain(lower).collect::<Vec<_>>(), ink, BAND_OPACITY);
            }
        }
    }

    /// Shades a part of the frame: x from, x to, y from, y to.
    pub(crate) fn shade(&self, svg: &mut Svg, [x0, x1, low, high]: [f64; 4]) {
        let [left, top, right, bottom] = self.frame;
        let y = |value| self.point(f64::NAN, value).1.clamp(top, bottom);
        let x = |value: f64| self.point(value, f64::NAN).0.clamp(left, right);
        svg.rectangle([if x0 > 0.0 { x(x0) } else { left }, y(high), x(x1), y(low)], Ink::Tolerance);
    }
}

impl Marks {
    /// `place`: where a part of the axis lies.
    fn draw(&self, svg: &mut Svg, place: impl Fn(f32) -> (f32, f32)) {
        let zoomed = match svg.place {
            Place::Page => format!(" data-marks='{}'", self.zoomed()),
            Place::File => String::new(),
        };
        svg.open(format_args!("class=\"axis {}\"{zoomed}", self.axis));
        for Tick { value, label } in self.scale.ticks(self.count) {
            let (x, y) = place(self.scale.fraction(value) as f32);
            let class = if label.is_some() { "mark" } else { "mark minor" };
            svg.open(format_args!("class=\"{class}\" transform=\"translate({} {})\"", number(x), number(y)));
            match &label {
                Some(label) => {
                    svg.line(&self.long, &HAIRLINE);
                    if let Some((at, anchor)) = self.number {
                        svg.text(label, at, &Text::new(TICK_SIZE, Ink::Muted, anchor));
                    }
                }
                None => svg.line(&self.short, &SPINE),
            }
            svg.close();
        }
        svg.close();
    }

    /// JSON for the page: by [`ZOOMS`], the parts of the axis where marks lie, and their numbers.
    fn zoomed(&self) -> String {
        let marks = |zoom: usize| {
            let parts = (0..zoom).map(|i| self.scale.part([i, i + 1].map(|i| i as f64 / zoom as f64)));
            let ticks = parts.flat_map(|part| part.ticks(self.count)).filter_map(|tick| {
                let part = format!("{:.5}", self.scale.fraction(tick.value)).parse::<f64>().ok()?;
                Some(json!([part, tick.label?]))
            });
            let mut ticks: Vec<_> = ticks.collect();
            ticks.dedup();
            ticks
        };
        json!(ZOOMS.map(|zoom| (zoom, marks(zoom)))).to_string()
    }
}

/// An entry of a legend.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) pen: Pen,
    pub(crate) is_dots: bool,
}

/// One entry per key, in rows from (`left`, `y`) on, each row as long as fits; returns the height used.
pub(crate) fn legend(svg: &mut Svg, [left, right, y]: [f32; 3], keys: &[Key]) -> f32 {
    const SWATCH: f32 = 26.0;
    const ROW: f32 = 20.0;
    let right = if svg.place == Place::Page { right - BUTTONS } else { right };
    let (mut x, mut row) = (left, y);
    for (index, Key { name, pen, is_dots }) in keys.iter().enumerate() {
        let width = SWATCH + 8.0 + FALLBACK_WIDTH * text_width(name, LABEL_SIZE);
        if x > left && x + width > right {
            (x, row) = (left, row + ROW);
        }
        svg.open(format_args!("class=\"key\" data-key=\"{index}\""));
        if *is_dots {
            svg.dot((x + SWATCH / 2.0, row - 4.5), pen.ink, DOT);
        } else {
            svg.line(&[(x, row - 4.5), (x + SWATCH, row - 4.5)], pen);
        }
        svg.text(name, (x + SWATCH + 8.0, row), &Text::new(LABEL_SIZE, Ink::Text, "start"));
        svg.close();
        x += width + 22.0;
    }
    row - y + ROW
}

pub(crate) const SPINE: Pen = Pen { ink: Ink::Muted, width: 1.0, dash: None };
const HAIRLINE: Pen = Pen { ink: Ink::Grid, width: 1.0, dash: None };
