//! Drawings as PNG: antialiased lines, areas and text, and crisp blocks of pixels.

use crate::drawing::{Align, Direction, Drawing, Frame, Mark, Pen, Text, Weight};
use crate::theme::{Colour, Ink, Theme};
use ab_glyph::{Font as _, FontRef, OutlineCurve, Point};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash,
    Transform,
};

/// Device pixels per page unit: sharp on dense screens, and twice the needed size elsewhere.
pub(crate) const DENSITY: u32 = 2;

/// The bundled font: Inter (SIL Open Font License, see fonts/OFL.txt).
const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

/// The drawing as a PNG file, in the colours of `theme`.
pub(crate) fn png(drawing: &Drawing, theme: Theme) -> Vec<u8> {
    let mut sheet = Sheet::new(drawing, theme);
    drawing.marks.iter().for_each(|mark| sheet.draw(mark));
    encoded(&sheet.pixmap)
}

/// Blocks of colour as a PNG file of one pixel each.
pub(crate) fn pixels_png(columns: usize, colours: &[Colour]) -> Vec<u8> {
    let rows = colours.len() / columns.max(1);
    let mut pixmap = Pixmap::new(columns as u32, rows as u32).expect("an image has a size");
    for (pixel, colour) in pixmap.pixels_mut().iter_mut().zip(colours) {
        *pixel = opaque(*colour);
    }
    encoded(&pixmap)
}

/// Width of `content` in page units.
pub(crate) fn text_width(content: &str, weight: Weight, size: f32) -> f32 {
    let font = font(weight);
    advance(&font, content) * size / font.units_per_em().unwrap_or(1000.0)
}

fn encoded(pixmap: &Pixmap) -> Vec<u8> {
    pixmap.encode_png().expect("a picture in memory can be encoded")
}

fn opaque([red, green, blue]: Colour) -> tiny_skia::PremultipliedColorU8 {
    Color::from_rgba8(red, green, blue, 255).premultiply().to_color_u8()
}

fn font(weight: Weight) -> FontRef<'static> {
    let bytes = match weight {
        Weight::Regular => REGULAR,
        Weight::SemiBold => SEMI_BOLD,
    };
    FontRef::try_from_slice(bytes).expect("the bundled font is sound")
}

/// The pixels of a drawing.
struct Sheet {
    pixmap: Pixmap,
    theme: Theme,
    /// The last clip and its mask: neighbouring curves share it.
    clip: Option<(Frame, Mask)>,
    regular: FontRef<'static>,
    semi_bold: FontRef<'static>,
}

impl Sheet {
    fn new(drawing: &Drawing, theme: Theme) -> Self {
        let device = |length: f32| (length * DENSITY as f32).ceil().max(1.0) as u32;
        let mut pixmap =
            Pixmap::new(device(drawing.width), device(drawing.height)).expect("a figure has a size");
        let [red, green, blue] = Ink::Paper.colour(theme);
        pixmap.fill(Color::from_rgba8(red, green, blue, 255));
        Self { pixmap, theme, clip: None, regular: font(Weight::Regular), semi_bold: font(Weight::SemiBold) }
    }

    fn draw(&mut self, mark: &Mark) {
        match mark {
            Mark::Line { points, pen, clip } => self.line(points, pen, *clip),
            Mark::Area { points, ink, opacity, clip } => {
                let Some(path) = path(points) else { return };
                let paint = paint(ink.colour(self.theme), *opacity);
                self.set_clip(*clip);
                let mask = clip.and(self.clip.as_ref()).map(|(_, mask)| mask);
                self.pixmap.fill_path(&path, &paint, FillRule::Winding, page_to_device(), mask);
            }
            Mark::Rectangle { frame, ink } => {
                if let Some(rect) = rectangle(*frame) {
                    let paint = paint(ink.colour(self.theme), 1.0);
                    self.pixmap.fill_rect(rect, &paint, page_to_device(), None);
                }
            }
            Mark::Image { frame, columns, colours } => self.image(*frame, *columns, colours),
            Mark::Text { content, at, text } => self.text(content, *at, text),
        }
    }

    /// Makes the mask of `clip`.
    fn set_clip(&mut self, clip: Option<Frame>) {
        let Some(frame) = clip else { return };
        if self.clip.as_ref().is_some_and(|(known, _)| *known == frame) {
            return;
        }
        self.clip = Mask::new(self.pixmap.width(), self.pixmap.height()).zip(rectangle(frame)).map(
            |(mut mask, rect)| {
                mask.fill_path(&PathBuilder::from_rect(rect), FillRule::Winding, true, page_to_device());
                (frame, mask)
            },
        );
    }

    fn line(&mut self, points: &[(f32, f32)], pen: &Pen, clip: Option<Frame>) {
        let Some(path) = path(points) else { return };
        let stroke = Stroke {
            width: pen.width,
            line_cap: if pen.dash.is_some() { LineCap::Butt } else { LineCap::Round },
            line_join: LineJoin::Round,
            dash: pen.dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0)),
            ..Stroke::default()
        };
        let paint = paint(pen.ink.colour(self.theme), 1.0);
        self.set_clip(clip);
        let mask = clip.and(self.clip.as_ref()).map(|(_, mask)| mask);
        self.pixmap.stroke_path(&path, &paint, &stroke, page_to_device(), mask);
    }

    fn image(&mut self, [left, top, right, bottom]: Frame, columns: usize, colours: &[Colour]) {
        let device = |length: f32| (length * DENSITY as f32).round() as usize;
        let (rows, across) = (colours.len() / columns.max(1), self.pixmap.width() as usize);
        let (width, height) = (device(right) - device(left), device(bottom) - device(top));
        let down = self.pixmap.height() as usize;
        let pixels = self.pixmap.pixels_mut();
        for y in 0..height.min(down.saturating_sub(device(top))) {
            for x in 0..width.min(across.saturating_sub(device(left))) {
                let colour = colours[y * rows / height * columns + x * columns / width];
                pixels[(device(top) + y) * across + device(left) + x] = opaque(colour);
            }
        }
    }

    fn text(&mut self, content: &str, (x, y): (f32, f32), text: &Text) {
        let font = match text.weight {
            Weight::Regular => &self.regular,
            Weight::SemiBold => &self.semi_bold,
        };
        let per_unit = text.size / font.units_per_em().unwrap_or(1000.0);
        let Some(path) = outline(font, content) else { return };
        let shift = match text.align {
            Align::Left => 0.0,
            Align::Centre => -0.5,
            Align::Right => -1.0,
        } * advance(font, content);
        let turn = if text.direction == Direction::Up { -90.0 } else { 0.0 };
        let transform = Transform::from_translate(shift, 0.0)
            .post_scale(per_unit, -per_unit)
            .post_rotate(turn)
            .post_translate(x, y)
            .post_concat(page_to_device());
        let paint = paint(text.ink.colour(self.theme), 1.0);
        self.pixmap.fill_path(&path, &paint, FillRule::Winding, transform, None);
    }
}

fn rectangle([left, top, right, bottom]: Frame) -> Option<Rect> {
    Rect::from_ltrb(left, top, right, bottom)
}

fn path(points: &[(f32, f32)]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
    }
    builder.finish()
}

fn page_to_device() -> Transform {
    Transform::from_scale(DENSITY as f32, DENSITY as f32)
}

fn paint(colour: Colour, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(colour[0], colour[1], colour[2], (255.0 * opacity).round() as u8);
    paint
}

/// Width of a text in font units.
fn advance(font: &FontRef<'_>, content: &str) -> f32 {
    content.chars().map(|c| font.h_advance_unscaled(font.glyph_id(c))).sum()
}

/// The outlines of a text in font units, y upwards.
fn outline(font: &FontRef<'_>, content: &str) -> Option<Path> {
    let mut path = PathBuilder::new();
    let mut x = 0.0;
    for c in content.chars() {
        let glyph = font.glyph_id(c);
        let mut pen: Option<Point> = None;
        for curve in font.outline(glyph).map(|outline| outline.curves).unwrap_or_default() {
            let (start, end) = match &curve {
                OutlineCurve::Line(a, b) | OutlineCurve::Quad(a, _, b) | OutlineCurve::Cubic(a, _, _, b) => {
                    (*a, *b)
                }
            };
            if pen != Some(start) {
                if pen.is_some() {
                    path.close();
                }
                path.move_to(x + start.x, start.y);
            }
            match curve {
                OutlineCurve::Line(..) => path.line_to(x + end.x, end.y),
                OutlineCurve::Quad(_, b, _) => path.quad_to(x + b.x, b.y, x + end.x, end.y),
                OutlineCurve::Cubic(_, b, c, _) => {
                    path.cubic_to(x + b.x, b.y, x + c.x, c.y, x + end.x, end.y)
                }
            }
            pen = Some(end);
        }
        if pen.is_some() {
            path.close();
        }
        x += font.h_advance_unscaled(glyph);
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_sign_of_the_figures() {
        let font = font(Weight::Regular);
        for c in "−⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₄δνχπσ√≤×·–—()[]/%+|".chars() {
            assert_ne!(font.glyph_id(c).0, 0, "{c} is not in the bundled font");
        }
    }

    #[test]
    fn an_image_covers_its_pixels_and_no_other() {
        let mut drawing = Drawing::new(3.0, 2.0);
        drawing.image([0.5, 1.0, 2.5, 9.0], 2, vec![[9, 8, 7], [1, 2, 3]]);
        let picture = Pixmap::decode_png(&png(&drawing, Theme::Light)).unwrap();
        assert_eq!((picture.width(), picture.height()), (6, 4));
        for y in 0..4 {
            for x in 0..6 {
                let expected = match x {
                    1 | 2 if y >= 2 => (9, 8, 7),
                    3 | 4 if y >= 2 => (1, 2, 3),
                    _ => (255, 255, 255),
                };
                let pixel = picture.pixel(x, y).unwrap();
                assert_eq!((pixel.red(), pixel.green(), pixel.blue()), expected, "{x} {y}");
            }
        }
    }

    #[test]
    fn text_leaves_ink_where_it_is_put() {
        let text = Text {
            weight: Weight::Regular,
            size: 12.0,
            ink: Ink::Text,
            align: Align::Right,
            direction: Direction::Right,
        };
        let mut drawing = Drawing::new(60.0, 20.0);
        assert!(text_width("10⁻²", text.weight, text.size) < 30.0);
        drawing.text("10⁻²", (58.0, 14.0), &text);
        let picture = Pixmap::decode_png(&png(&drawing, Theme::Light)).unwrap();
        let ink = |from: u32, to: u32| {
            (from..to)
                .flat_map(|x| (0..40).map(move |y| (x, y)))
                .any(|(x, y)| picture.pixel(x, y).unwrap().red() < 99)
        };
        assert!(ink(60, 116) && !ink(0, 50) && !ink(117, 120));
    }
}
