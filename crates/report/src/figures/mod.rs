//! The figures, one file each. A figure is drawn for a light and a dark page, and for a wide and a narrow one.

mod correlation;
mod density;
mod power;
mod slices;

pub(crate) use correlation::correlation;
pub(crate) use density::density;
pub(crate) use power::{TOLERANCE as POWER_TOLERANCE, power, power_alone};
pub(crate) use slices::slices;

use crate::canvas::{Canvas, Pen};
use crate::theme::{Palette, Theme};

/// The room that a figure may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// The column of a page on a desk.
    Wide,
    /// A phone, or half of that column.
    Narrow,
}

impl Width {
    pub(crate) const ALL: [Self; 2] = [Self::Wide, Self::Narrow];

    /// In page units.
    pub(crate) fn units(self) -> f32 {
        match self {
            Self::Wide => 820.0,
            Self::Narrow => 400.0,
        }
    }
}

/// A figure as PNG files, all of the same content.
pub(crate) struct Figure {
    /// File name without ending.
    pub(crate) name: String,
    /// What it shows, for those who cannot see it.
    pub(crate) description: String,
    pub(crate) pictures: Vec<Picture>,
}

pub(crate) struct Picture {
    pub(crate) theme: Theme,
    pub(crate) width: Width,
    /// Its true width in page units, which depends on the data in some figures.
    pub(crate) units: u32,
    pub(crate) png: Vec<u8>,
}

impl Figure {
    /// Draws the figure for both themes and all `widths`, at once.
    pub(crate) fn draw(
        name: &str,
        description: impl Into<String>,
        widths: &[Width],
        figure: impl Fn(&Palette, Width) -> Canvas + Sync,
    ) -> Self {
        let figure = &figure;
        let pictures = std::thread::scope(|scope| {
            let variants = widths.iter().flat_map(|&width| Theme::ALL.map(|theme| (theme, width)));
            let drawn: Vec<_> = variants
                .map(|(theme, width)| {
                    scope.spawn(move || {
                        let canvas = figure(&theme.palette(), width);
                        Picture { theme, width, units: canvas.width(), png: canvas.into_png() }
                    })
                })
                .collect();
            drawn.into_iter().map(|thread| thread.join().expect("drawing does not panic")).collect()
        });
        Self { name: name.to_owned(), description: description.into(), pictures }
    }
}

/// The look of the curves, the same in all figures.
fn truth_pen(palette: &Palette) -> Pen {
    Pen { colour: palette.truth, width: 2.6, dash: None }
}

fn condition_pen(palette: &Palette) -> Pen {
    Pen { colour: palette.condition, width: 2.0, dash: Some([7.0, 4.0]) }
}

fn sample_pen(palette: &Palette) -> Pen {
    Pen { colour: palette.sample, width: 2.0, dash: None }
}

fn faint_sample_pen(palette: &Palette) -> Pen {
    Pen { colour: palette.faint_sample, width: 1.1, dash: None }
}

/// What the legend calls the samples.
fn sample_name(count: usize) -> String {
    if count == 1 { "sample".to_owned() } else { format!("mean of {count} samples") }
}

/// The part of the spectra that a grid resolves in all directions.
fn up_to<'a>(k_max: f64, k_h_mpc: &[f64], values: &'a [f64]) -> &'a [f64] {
    &values[..k_h_mpc.partition_point(|&k| k <= k_max).min(values.len())]
}

/// The smallest and the largest of the positive finite values, a little widened.
fn positive_range<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite() && **v > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), &v| (low.min(v), high.max(v)));
    if high > 0.0 { (low / 1.4, high * 1.4) } else { (0.1, 10.0) }
}
