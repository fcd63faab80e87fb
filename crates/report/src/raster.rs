//! Drawings as PNG.

use crate::theme::Colour;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};
use std::sync::{Arc, LazyLock};

/// Device pixels per page unit: sharp on dense screens, and twice the needed size elsewhere.
pub(crate) const DENSITY: u32 = 2;

/// The bundled font: Inter (SIL Open Font License, see fonts/OFL.txt).
const REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.otf");

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    [REGULAR, SEMI_BOLD].into_iter().for_each(|font| fonts.load_font_data(font.to_vec()));
    Arc::new(fonts)
});

/// An SVG file as a PNG file.
pub(crate) fn png(svg: &str) -> Vec<u8> {
    let options = Options { fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).expect("our drawings are sound");
    let device = |length: f32| (length * DENSITY as f32).ceil() as u32;
    let size = tree.size();
    let mut sheet = Pixmap::new(device(size.width()), device(size.height())).expect("a drawing has a size");
    resvg::render(&tree, Transform::from_scale(DENSITY as f32, DENSITY as f32), &mut sheet.as_mut());
    encoded(&sheet)
}

/// Blocks of colour as a PNG file of one pixel each, row by row from the top left.
pub(crate) fn pixels_png(columns: usize, colours: &[Colour]) -> Vec<u8> {
    let rows = colours.len() / columns.max(1);
    let mut sheet = Pixmap::new(columns as u32, rows as u32).expect("an image has a size");
    for (pixel, &[red, green, blue]) in sheet.pixels_mut().iter_mut().zip(colours) {
        *pixel = Color::from_rgba8(red, green, blue, 255).premultiply().to_color_u8();
    }
    encoded(&sheet)
}

fn encoded(sheet: &Pixmap) -> Vec<u8> {
    sheet.encode_png().expect("a picture in memory can be encoded")
}

/// Width of `content` in the regular weight, in page units.
pub(crate) fn text_width(content: &str, size: f32) -> f32 {
    let font = FontRef::new(REGULAR).expect("the bundled font is sound");
    let (glyphs, metrics) = (font.charmap(), font.glyph_metrics(Size::new(size), LocationRef::default()));
    content.chars().filter_map(|c| metrics.advance_width(glyphs.map(c)?)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::{Place, Svg, Text};
    use crate::theme::Ink;

    fn picture(svg: Svg, width: f32, height: f32) -> Pixmap {
        Pixmap::decode_png(&png(&svg.finish(width, height, ""))).unwrap()
    }

    #[test]
    fn the_font_has_every_sign_of_the_figures() {
        let font = FontRef::new(REGULAR).unwrap();
        for c in "−⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₄δνχπσ√≤×·–—()[]/%+|".chars() {
            assert!(font.charmap().map(c).is_some(), "{c} is not in the bundled font");
        }
    }

    #[test]
    fn an_image_covers_its_pixels_and_no_other() {
        let mut svg = Svg::new(Place::File, "a");
        svg.image([0.5, 1.0, 2.5, 2.0], 2, &[[9, 8, 7], [1, 2, 3]]);
        let picture = picture(svg, 3.0, 2.0);
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
        let mut svg = Svg::new(Place::File, "a");
        assert!((10.0..30.0).contains(&text_width("10⁻²", 12.0)));
        svg.text("10⁻²", (58.0, 14.0), &Text::new(12.0, Ink::Text, "end"));
        let picture = picture(svg, 60.0, 20.0);
        let ink = |from: u32, to: u32| {
            (from..to)
                .flat_map(|x| (0..40).map(move |y| (x, y)))
                .any(|(x, y)| picture.pixel(x, y).unwrap().red() < 99)
        };
        assert!(ink(60, 116) && !ink(0, 50) && !ink(117, 120));
    }
}
