//! A plot's frame: grid lines, marks, numbers, curves and a legend.

use crate::drawing::{Align, Direction, Drawing, Pen, Text, Weight};
use crate::raster::text_width;
use crate::theme::Ink;
use crate::ticks::{Scale, Tick};

/// Sizes in page units.
pub(crate) const LABEL_SIZE: f32 = 13.0;
pub(crate) const TICK_SIZE: f32 = 12.0;
const SMALL_TICK: f32 = 3.0;
const DOT: f32 = 6.0;
const BAND_OPACITY: f32 = 0.22;

/// A frame (left, top, right, bottom in page units) with its two scales.
pub(crate) struct Axes {
    pub(crate) frame: [f32; 4],
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Axes {
    pub(crate) fn point(&self, x: f64, y: f64) -> (f32, f32) {
        let [left, top, right, bottom] = self.frame;
        let (across, up) = (self.x.fraction(x) as f32, self.y.fraction(y) as f32);
        (left + across * (right - left), bottom - up * (bottom - top))
    }

    /// Grid lines, marks and numbers; `x_label`: none for a plot that shares the axis of the one below.
    pub(crate) fn draw(&self, drawing: &mut Drawing, x_label: Option<&str>, y_label: &str) {
        let [left, top, right, bottom] = self.frame;
        let text = Text {
            weight: Weight::Regular,
            size: TICK_SIZE,
            ink: Ink::Muted,
            align: Align::Centre,
            direction: Direction::Right,
        };
        for Tick { value, label } in self.x.ticks(((right - left) / 60.0) as usize) {
            let (x, _) = self.point(value, f64::NAN);
            if let Some(label) = label {
                drawing.line(&[(x, top), (x, bottom)], &HAIRLINE);
                if x_label.is_some() {
                    drawing.text(label, (x, bottom + 17.0), &text);
                }
            } else {
                drawing.line(&[(x, bottom - SMALL_TICK), (x, bottom)], &SPINE);
            }
        }
        for Tick { value, label } in self.y.ticks(((bottom - top) / 30.0) as usize) {
            let (_, y) = self.point(f64::NAN, value);
            if let Some(label) = label {
                drawing.line(&[(left, y), (right, y)], &HAIRLINE);
                drawing.text(label, (left - 8.0, y + 4.2), &Text { align: Align::Right, ..text });
            } else {
                drawing.line(&[(left, y), (left + SMALL_TICK, y)], &SPINE);
            }
        }
        drawing.line(&[(left, top), (left, bottom), (right, bottom)], &SPINE);
        let label = Text { size: LABEL_SIZE, ink: Ink::Text, ..text };
        if let Some(x_label) = x_label {
            drawing.text(x_label, ((left + right) / 2.0, bottom + 38.0), &label);
        }
        let up = Text { direction: Direction::Up, ..label };
        drawing.text(y_label, (left - 46.0, (top + bottom) / 2.0), &up);
    }

    /// A curve through the points that exist on the scales, inside of the frame.
    pub(crate) fn curve(&self, drawing: &mut Drawing, xs: &[f64], ys: &[f64], pen: &Pen) {
        let points: Vec<_> = xs.iter().zip(ys).map(|(&x, &y)| self.point(x, y)).collect();
        for piece in points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
            match piece {
                [] => {}
                // A point between gaps: a dot.
                [(x, y)] => drawing.line_in(&[(x - 0.5, *y), (x + 0.5, *y)], pen, Some(self.frame)),
                piece => drawing.line_in(piece, pen, Some(self.frame)),
            }
        }
    }

    /// A dot with its error bar at each point that exists on the scales.
    pub(crate) fn dots(&self, drawing: &mut Drawing, [xs, ys, errors]: [&[f64]; 3], pen: &Pen) {
        let errors = errors.iter().copied().chain(std::iter::repeat(f64::NAN));
        let thin = Pen { width: 1.4, dash: None, ..*pen };
        let dot = Pen { width: DOT, dash: None, ..*pen };
        for ((&x, &y), error) in xs.iter().zip(ys).zip(errors) {
            let (at, up) = self.point(x, y);
            if !(at.is_finite() && up.is_finite()) {
                continue;
            }
            let [low, high] = [y - error, y + error].map(|end| self.point(x, end).1);
            if high.is_finite() {
                let bottom = if low.is_finite() { low } else { self.frame[3] };
                drawing.line_in(&[(at, bottom), (at, high)], &thin, Some(self.frame));
            }
            drawing.line_in(&[(at - 0.01, up), (at + 0.01, up)], &dot, Some(self.frame));
        }
    }

    /// Shades between `low` and `high`, as far as they exist.
    pub(crate) fn band(&self, drawing: &mut Drawing, xs: &[f64], low: &[f64], high: &[f64], ink: Ink) {
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
                drawing.area_in(upper.chain(lower).collect(), ink, BAND_OPACITY, Some(self.frame));
            }
        }
    }

    /// Shades a part of the frame: x from, x to, y from, y to.
    pub(crate) fn shade(&self, drawing: &mut Drawing, [x0, x1, low, high]: [f64; 4]) {
        let [left, top, right, bottom] = self.frame;
        let y = |value| self.point(f64::NAN, value).1.clamp(top, bottom);
        let x = |value: f64| self.point(value, f64::NAN).0.clamp(left, right);
        let [x0, x1] = [if x0 > 0.0 { x(x0) } else { left }, if x1.is_finite() { x(x1) } else { right }];
        drawing.rectangle([x0, y(high), x1, y(low)], Ink::Tolerance);
    }
}

/// One entry per curve, in rows from (`left`, `y`) on, each row as long as fits; returns the height used.
pub(crate) fn legend(drawing: &mut Drawing, [left, right, y]: [f32; 3], entries: &[(String, Pen)]) -> f32 {
    const SWATCH: f32 = 26.0;
    const ROW: f32 = 20.0;
    let text = Text {
        weight: Weight::Regular,
        size: LABEL_SIZE,
        ink: Ink::Text,
        align: Align::Left,
        direction: Direction::Right,
    };
    let (mut x, mut row) = (left, y);
    for (label, pen) in entries {
        let width = SWATCH + 8.0 + text_width(label, text.weight, text.size);
        if x > left && x + width > right {
            (x, row) = (left, row + ROW);
        }
        drawing.line(&[(x, row - 4.5), (x + SWATCH, row - 4.5)], pen);
        drawing.text(label, (x + SWATCH + 8.0, row), &text);
        x += width + 22.0;
    }
    row - y + ROW
}

pub(crate) const SPINE: Pen = Pen { ink: Ink::Muted, width: 1.0, dash: None };
const HAIRLINE: Pen = Pen { ink: Ink::Grid, width: 1.0, dash: None };
