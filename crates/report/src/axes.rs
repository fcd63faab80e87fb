//! A plot's frame: grid lines, marks, numbers, curves and a legend.

use crate::canvas::{Align, Canvas, Direction, Pen, Text, Weight};
use crate::theme::Palette;
use crate::ticks::{Scale, Tick};

/// Sizes in page units.
pub(crate) const LABEL_SIZE: f32 = 13.0;
pub(crate) const TICK_SIZE: f32 = 12.0;
const SMALL_TICK: f32 = 3.0;

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
    pub(crate) fn draw(&self, canvas: &mut Canvas, palette: &Palette, x_label: Option<&str>, y_label: &str) {
        let [left, top, right, bottom] = self.frame;
        let text = Text {
            weight: Weight::Regular,
            size: TICK_SIZE,
            colour: palette.muted,
            align: Align::Centre,
            direction: Direction::Right,
        };
        for Tick { value, label } in self.x.ticks(((right - left) / 60.0) as usize) {
            let (x, _) = self.point(value, f64::NAN);
            if let Some(label) = label {
                canvas.line(&[(x, top), (x, bottom)], &hairline(palette));
                if x_label.is_some() {
                    canvas.text(&label, (x, bottom + 17.0), &text);
                }
            } else {
                canvas.line(&[(x, bottom - SMALL_TICK), (x, bottom)], &spine(palette));
            }
        }
        for Tick { value, label } in self.y.ticks(((bottom - top) / 30.0) as usize) {
            let (_, y) = self.point(f64::NAN, value);
            if let Some(label) = label {
                canvas.line(&[(left, y), (right, y)], &hairline(palette));
                canvas.text(&label, (left - 8.0, y + 4.2), &Text { align: Align::Right, ..text });
            } else {
                canvas.line(&[(left, y), (left + SMALL_TICK, y)], &spine(palette));
            }
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], &spine(palette));
        let label = Text { size: LABEL_SIZE, colour: palette.ink, ..text };
        if let Some(x_label) = x_label {
            canvas.text(x_label, ((left + right) / 2.0, bottom + 38.0), &label);
        }
        let up = Text { direction: Direction::Up, ..label };
        canvas.text(y_label, (left - 46.0, (top + bottom) / 2.0), &up);
    }

    /// A curve through the points that exist on the scales, inside of the frame.
    pub(crate) fn curve(&self, canvas: &mut Canvas, xs: &[f64], ys: &[f64], pen: &Pen) {
        canvas.clip(Some(self.frame));
        let points: Vec<_> = xs.iter().zip(ys).map(|(&x, &y)| self.point(x, y)).collect();
        for piece in points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
            match piece {
                [] => {}
                // A point between gaps: a dot.
                [(x, y)] => canvas.line(&[(x - 0.5, *y), (x + 0.5, *y)], pen),
                piece => canvas.line(piece, pen),
            }
        }
        canvas.clip(None);
    }

    /// Shades the frame between two values of y.
    pub(crate) fn shade(&self, canvas: &mut Canvas, palette: &Palette, low: f64, high: f64) {
        let [left, top, right, bottom] = self.frame;
        let y = |value| self.point(f64::NAN, value).1.clamp(top, bottom);
        canvas.rectangle([left, y(high), right, y(low)], palette.tolerance);
    }
}

/// One entry per curve, in rows from (`left`, `y`) on, each row as long as fits; returns the height used.
pub(crate) fn legend(
    canvas: &mut Canvas,
    palette: &Palette,
    [left, right, y]: [f32; 3],
    entries: &[(String, Pen)],
) -> f32 {
    const SWATCH: f32 = 26.0;
    const ROW: f32 = 20.0;
    let text = Text {
        weight: Weight::Regular,
        size: LABEL_SIZE,
        colour: palette.ink,
        align: Align::Left,
        direction: Direction::Right,
    };
    let (mut x, mut row) = (left, y);
    for (label, pen) in entries {
        let width = SWATCH + 8.0 + canvas.text_width(label, text.weight, text.size);
        if x > left && x + width > right {
            (x, row) = (left, row + ROW);
        }
        canvas.line(&[(x, row - 4.5), (x + SWATCH, row - 4.5)], pen);
        canvas.text(label, (x + SWATCH + 8.0, row), &text);
        x += width + 22.0;
    }
    row - y + ROW
}

pub(crate) fn spine(palette: &Palette) -> Pen {
    Pen { colour: palette.muted, width: 1.0, dash: None }
}

fn hairline(palette: &Palette) -> Pen {
    Pen { colour: palette.grid, width: 1.0, dash: None }
}
