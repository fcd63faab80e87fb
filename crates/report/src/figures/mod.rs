//! The figures, one file each. Plots are curves ([`crate::plot`]), slices are images; both are drawn for a wide and a
//! narrow page.

mod bispectrum;
mod calibration;
mod density;
mod power;
mod seams;
mod shapes;
mod slices;

pub(crate) use slices::slices;

use crate::Comparison;
use crate::drawing::{Drawing, Pen};
use crate::plot::{Curve, Plot};
use crate::prose;
use crate::slices::Slices;
use crate::statistics::{FieldStatistics, mean_of};
use crate::theme::Ink;
use crate::upscaled::Upscaled;

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

/// A figure with its drawings.
pub(crate) struct Figure {
    /// File name without ending.
    pub(crate) name: String,
    /// What it shows, for those who cannot see it.
    pub(crate) description: String,
    pub(crate) caption: String,
    /// What the page's script draws it from.
    pub(crate) plot: Option<Plot>,
    /// The widest first; of the same content.
    pub(crate) drawings: Vec<(Width, Drawing)>,
}

impl Figure {
    fn of_plot(name: &str, description: &str, caption: String, widths: &[Width], plot: Plot) -> Self {
        let drawings = widths.iter().map(|&width| (width, plot.draw(width.units()))).collect();
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            caption,
            plot: Some(plot),
            drawings,
        }
    }

    fn of_slices(name: &str, caption: String, shown: &Slices) -> Self {
        let names: Vec<_> = shown.panels.iter().map(|panel| panel.label.as_str()).collect();
        let description = format!("Slices of the density: {}.", names.join(", "));
        let drawings = Width::ALL.map(|width| (width, slices(shown, width))).into();
        Self { name: name.to_owned(), description, caption, plot: None, drawings }
    }
}

/// Those of a comparison, in the order of the page: slices, power, then whatever was measured.
pub(crate) fn of_comparison(comparison: &Comparison) -> Vec<Figure> {
    let narrow = [Width::Narrow];
    let mut figures = vec![
        Figure::of_slices("slices", prose::moving_slices_caption(comparison), &comparison.slices),
        Figure::of_plot(
            "power",
            "Power spectra of truth, samples and condition, and their ratio to the truth.",
            prose::power_caption(comparison),
            &Width::ALL,
            power::power(comparison),
        ),
    ];
    let mut add = |name: &str, description: &str, caption: &str, plot: Option<Plot>| {
        if let Some(plot) = plot {
            figures.push(Figure::of_plot(name, description, caption.to_owned(), &narrow, plot));
        }
    };
    let caption = prose::correlation_caption(comparison);
    add(
        "correlation",
        "Cross-correlation with the truth by k.",
        &caption,
        Some(power::correlation(comparison)),
    );
    add(
        "calibration",
        "Ratio of the cross power of pairs of samples to that with the truth, and spread over error, by k.",
        "Calibration, 1 where samples differ from each other as they differ from the truth: cross power of pairs of \
         samples over that with the truth, where r² > 0.05, and spread over error.",
        calibration::calibration(comparison),
    );
    add(
        "ranks",
        "How often the truth has each rank among the samples.",
        "How often the truth ranks as the lowest, second lowest, … of itself and the samples, over the mean: flat if \
         it could be one of them, high at both ends if they vary too little.",
        calibration::ranks(comparison),
    );
    add(
        "pdf",
        "Distribution of the density of voxels and of blocks of voxels.",
        "Distribution of the density over voxels and over blocks of 2³ and 4³ of them, empty ones left out.",
        Some(density::density(comparison)),
    );
    add(
        "log-power",
        "Power spectra of the logarithmic density, and their ratio to the truth.",
        "Power of ln(1 + δ), empty voxels at 0.001, and over the truth’s: where P(k) sees the peaks, it sees the \
         voids and walls between them.",
        power::logarithmic(comparison),
    );
    add(
        "bispectrum",
        "Reduced bispectrum of equilateral and squeezed triangles, and the ratio to the truth.",
        "Reduced bispectrum Q of equilateral triangles, B over the truth’s with the goal shaded, and Q of squeezed \
         triangles of one long wave.",
        bispectrum::sweeps(comparison),
    );
    add(
        "bispectrum-shape",
        "Reduced bispectrum of isosceles triangles by their third side.",
        "Reduced bispectrum Q of triangles with two sides of the same k, by their third side k₃.",
        bispectrum::by_angle(comparison),
    );
    add(
        "multipoles",
        "Quadrupole and hexadecapole over monopole by k.",
        "Quadrupole and hexadecapole along z over the monopole: zero but for scatter in fields without a \
         preferred direction.",
        Some(power::multipoles(comparison)),
    );
    add(
        "voids",
        "Number density of voids by radius.",
        "Spherical voids of mean contrast below −0.7, that do not overlap, by radius.",
        shapes::voids(comparison),
    );
    add(
        "peaks",
        "Number density of peaks above thresholds.",
        "Peaks of the logarithmic density, smoothed by one voxel, that reach ν standard deviations above its mean.",
        shapes::peaks(comparison),
    );
    add(
        "minkowski",
        "Minkowski functionals by threshold.",
        "Minkowski functionals of the places denser than a threshold, smoothed by two voxels: volume, area, mean \
         curvature and Euler characteristic per volume, in powers of h/Mpc.",
        shapes::minkowski(comparison),
    );
    add(
        "seams",
        "Gradient at the faces of tiles over that elsewhere.",
        "Mean gradient of the logarithmic density at faces of tiles over the median of all planes: dots; bars are \
         the 95 % range of the same at random offsets.",
        seams::seams(comparison),
    );
    figures
}

/// Those of a field without a truth; `index` counts them from 1.
pub(crate) fn of_upscaled(upscaled: &Upscaled, index: usize) -> Vec<Figure> {
    let [slices, power] = prose::upscaled_captions(upscaled);
    vec![
        Figure::of_slices(&format!("upscaled-{index}-slices"), slices, &upscaled.slices),
        Figure::of_plot(
            &format!("upscaled-{index}-power"),
            "Power spectra of condition and samples.",
            power,
            &Width::ALL,
            power::power_alone(upscaled),
        ),
    ]
}

/// The look of the curves, the same in all figures.
const TRUTH: Pen = Pen { ink: Ink::Truth, width: 2.6, dash: None };
const CONDITION: Pen = Pen { ink: Ink::Condition, width: 2.0, dash: Some([7.0, 4.0]) };
const SAMPLE: Pen = Pen { ink: Ink::Sample, width: 2.0, dash: None };
const FAINT_SAMPLE: Pen = Pen { ink: Ink::FaintSample, width: 1.1, dash: None };
const BASELINE: Pen = Pen { ink: Ink::Baseline, width: 1.8, dash: Some([2.0, 3.0]) };
const PUBLISHED: Pen = Pen { ink: Ink::Published, width: 2.0, dash: Some([9.0, 3.0]) };

/// What the legend calls the samples.
fn sample_name(count: usize) -> String {
    if count == 1 { "sample".to_owned() } else { format!("mean of {count} samples") }
}

/// Numbers along x and y.
type Xy = (Vec<f64>, Vec<f64>);

/// Curves of one statistic of all fields: faint lines first, the mean of the samples on top. Fields without it are
/// left out.
fn of_all(comparison: &Comparison, of: impl Fn(&FieldStatistics) -> Option<Xy>) -> Vec<Curve> {
    let samples: Vec<Xy> = comparison.samples.iter().filter_map(&of).collect();
    let mut curves = Vec::new();
    if samples.len() > 1 {
        curves.extend(samples.iter().map(|(x, y)| Curve::line("", FAINT_SAMPLE, x, y).unnamed()));
    }
    let mut add = |name: &str, pen: Pen, field: Option<&FieldStatistics>| {
        if let Some((x, y)) = field.and_then(&of) {
            curves.push(Curve::line(name, pen, &x, &y));
        }
    };
    add("truth", TRUTH, Some(&comparison.truth));
    add("condition", CONDITION, comparison.condition.as_ref());
    add("condition, matched PDF", BASELINE, comparison.baselines.matched_pdf.done());
    if let Some((x, _)) = samples.first() {
        let mean = mean_of(samples.iter().map(|(_, y)| y.as_slice()));
        curves.push(Curve::line(sample_name(samples.len()), SAMPLE, x, &mean));
    }
    curves
}

/// All values of the curves, for a scale.
fn values(curves: &[Curve]) -> impl Iterator<Item = &f64> {
    curves.iter().flat_map(|curve| &curve.y)
}

/// The part of the spectra that a grid resolves in all directions.
fn up_to<'a>(k_max: f64, k_h_mpc: &[f64], values: &'a [f64]) -> &'a [f64] {
    &values[..k_h_mpc.partition_point(|&k| k <= k_max).min(values.len())]
}
