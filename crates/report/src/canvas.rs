//! Drawing: antialiased lines, areas, text and crisp blocks of pixels, in page units of two device pixels.

use crate::theme::Colour;
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

/// A weight of the bundled font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    SemiBold,
}

/// Where a text's position is along its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// Which way a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Right,
    Up,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) weight: Weight,
    pub(crate) size: f32,
    pub(crate) colour: Colour,
    pub(crate) align: Align,
    pub(crate) direction: Direction,
}

/// How a line looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pen {
    pub(crate) colour: Colour,
    pub(crate) width: f32,
    pub(crate) dash: Option<[f32; 2]>,
}

/// A picture in the making.
pub(crate) struct Canvas {
    pixmap: Pixmap,
    clip: Option<Mask>,
    regular: FontRef<'static>,
    semi_bold: FontRef<'static>,
}

impl Canvas {
    /// A sheet of `width` x `height` page units.
    pub(crate) fn new(width: f32, height: f32, paper: Colour) -> Self {
        let device = |length: f32| (length * DENSITY as f32).ceil().max(1.0) as u32;
        let mut pixmap = Pixmap::new(device(width), device(height)).expect("a figure has a size");
        pixmap.fill(Color::from_rgba8(paper[0], paper[1], paper[2], 255));
        let font = |bytes| FontRef::try_from_slice(bytes).expect("the bundled font is sound");
        Self { pixmap, clip: None, regular: font(REGULAR), semi_bold: font(SEMI_BOLD) }
    }

    /// From here on, lines and areas are drawn inside of this rectangle only (left, top, right, bottom).
    pub(crate) fn clip(&mut self, frame: Option<[f32; 4]>) {
        self.clip = frame.and_then(|[left, top, right, bottom]| {
            let mut mask = Mask::new(self.pixmap.width(), self.pixmap.height())?;
            let path = PathBuilder::from_rect(Rect::from_ltrb(left, top, right, bottom)?);
            mask.fill_path(&path, FillRule::Winding, true, page_to_device());
            Some(mask)
        });
    }

    pub(crate) fn line(&mut self, points: &[(f32, f32)], pen: &Pen) {
        let mut builder = PathBuilder::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        let Some(path) = builder.finish() else { return };
        let stroke = Stroke {
            width: pen.width,
            line_cap: if pen.dash.is_some() { LineCap::Butt } else { LineCap::Round },
            line_join: LineJoin::Round,
            dash: pen.dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0)),
            ..Stroke::default()
        };
        self.pixmap.stroke_path(&path, &paint(pen.colour), &stroke, page_to_device(), self.clip.as_ref());
    }

    pub(crate) fn rectangle(&mut self, [left, top, right, bottom]: [f32; 4], colour: Colour) {
        if let Some(rect) = Rect::from_ltrb(left, top, right, bottom) {
            self.pixmap.fill_rect(rect, &paint(colour), page_to_device(), self.clip.as_ref());
        }
    }

    /// Fills device pixels [x, x + width) x [y, y + height) exactly.
    pub(crate) fn block(&mut self, [x, y]: [u32; 2], [width, height]: [u32; 2], colour: Colour) {
        let colour = Color::from_rgba8(colour[0], colour[1], colour[2], 255).premultiply().to_color_u8();
        let (columns, rows) = (self.pixmap.width(), self.pixmap.height());
        let pixels = self.pixmap.pixels_mut();
        for row in y..(y + height).min(rows) {
            let start = (row * columns + x.min(columns)) as usize;
            let end = (row * columns + (x + width).min(columns)) as usize;
            pixels[start..end].fill(colour);
        }
    }

    /// Draws `content` with its baseline (left, middle or right of it) at (x, y).
    pub(crate) fn text(&mut self, content: &str, (x, y): (f32, f32), text: &Text) {
        let font = self.font(text.weight);
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
        self.pixmap.fill_path(&path, &paint(text.colour), FillRule::Winding, transform, None);
    }

    /// Width of `content` in page units.
    pub(crate) fn text_width(&self, content: &str, weight: Weight, size: f32) -> f32 {
        let font = self.font(weight);
        advance(font, content) * size / font.units_per_em().unwrap_or(1000.0)
    }

    /// Width of the sheet in page units.
    pub(crate) fn width(&self) -> u32 {
        self.pixmap.width() / DENSITY
    }

    /// The picture as a PNG file.
    pub(crate) fn into_png(self) -> Vec<u8> {
        self.pixmap.encode_png().expect("a picture in memory can be encoded")
    }

    fn font(&self, weight: Weight) -> &FontRef<'static> {
        match weight {
            Weight::Regular => &self.regular,
            Weight::SemiBold => &self.semi_bold,
        }
    }
}

fn page_to_device() -> Transform {
    Transform::from_scale(DENSITY as f32, DENSITY as f32)
}

fn paint(colour: Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(colour[0], colour[1], colour[2], 255);
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
        let font = FontRef::try_from_slice(REGULAR).unwrap();
        for c in "−⁻⁰¹²³⁴⁵⁶⁷⁸⁹₁₀δ√≤×·–—()[]/%+|".chars() {
            assert_ne!(font.glyph_id(c).0, 0, "{c} is not in the bundled font");
        }
    }

    #[test]
    fn a_block_covers_its_pixels_and_no_other() {
        let mut canvas = Canvas::new(3.0, 2.0, [255; 3]);
        canvas.block([1, 2], [2, 9], [9, 8, 7]);
        let png = canvas.into_png();
        let picture = Pixmap::decode_png(&png).unwrap();
        assert_eq!((picture.width(), picture.height()), (6, 4));
        for y in 0..4 {
            for x in 0..6 {
                let inside = (1..3).contains(&x) && y >= 2;
                let pixel = picture.pixel(x, y).unwrap();
                let expected = if inside { (9, 8, 7) } else { (255, 255, 255) };
                assert_eq!((pixel.red(), pixel.green(), pixel.blue()), expected);
            }
        }
    }

    #[test]
    fn text_leaves_ink_where_it_is_put() {
        let text = Text {
            weight: Weight::Regular,
            size: 12.0,
            colour: [0; 3],
            align: Align::Right,
            direction: Direction::Right,
        };
        let mut canvas = Canvas::new(60.0, 20.0, [255; 3]);
        assert!(canvas.text_width("10⁻²", text.weight, text.size) < 30.0);
        canvas.text("10⁻²", (58.0, 14.0), &text);
        let picture = Pixmap::decode_png(&canvas.into_png()).unwrap();
        let ink = |from: u32, to: u32| {
            (from..to)
                .flat_map(|x| (0..40).map(move |y| (x, y)))
                .any(|(x, y)| picture.pixel(x, y).unwrap().red() < 99)
        };
        assert!(ink(60, 116) && !ink(0, 50) && !ink(117, 120));
    }
}
