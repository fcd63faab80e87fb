//! The figures, one file each. Plots are curves ([`crate::plot`]), slices are images; both are drawn for a
//! wide and a narrow page.

mod bispectrum;
mod calibration;
mod density;
mod ensemble;
mod power;
mod seams;
mod shapes;
mod slices;

use crate::Pictures;
use crate::numbers::{percent, plain};
use crate::plot::{Curve, Plot};
use crate::prose;
use crate::slices::Slices;
use crate::svg::{Pen, Place};
use crate::theme::Ink;
use finescale_judge::limits::{self, Limit};
use finescale_judge::{Comparison, FieldStatistics, Upscaled, mean_of};

/// The room that a figure may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// The column of a page on a desk.
    Wide,
    /// A phone, or half of that column.
    Narrow,
}

impl Width {
    /// In page units.
    pub(crate) fn units(self) -> f32 {
        match self {
            Self::Wide => 820.0,
            Self::Narrow => 380.0,
        }
    }
}

/// A figure of the page, and a file.
pub(crate) struct Figure<'a> {
    /// File name without ending.
    pub(crate) id: String,
    /// What it shows, for those who cannot see it.
    description: String,
    pub(crate) caption: String,
    pub(crate) content: Content<'a>,
    /// Those that it is drawn for; its file has the first.
    pub(crate) widths: &'static [Width],
}

pub(crate) enum Content<'a> {
    Plot(Plot),
    Slices(&'a Slices),
}

const ALL_WIDTHS: &[Width] = &[Width::Wide, Width::Narrow];

impl<'a> Figure<'a> {
    fn slices(id: impl Into<String>, caption: String, shown: &'a Slices) -> Self {
        let names: Vec<_> = shown.panels.iter().map(|panel| panel.label.as_str()).collect();
        let description = format!("Slices of the density: {}.", names.join(", "));
        Self { id: id.into(), description, caption, content: Content::Slices(shown), widths: ALL_WIDTHS }
    }

    pub(crate) fn is_plot(&self) -> bool {
        matches!(self.content, Content::Plot(_))
    }

    /// Class and drawing for the page: of several widths its style sheet shows one.
    pub(crate) fn drawings(&self) -> Vec<(&'static str, String)> {
        let class = |width| match (self.widths, width) {
            ([_], _) => "",
            (_, Width::Wide) => "wide",
            (_, Width::Narrow) => "narrow",
        };
        self.widths.iter().map(|&width| (class(width), self.svg(Place::Page, width))).collect()
    }

    /// The drawing.
    pub(crate) fn svg(&self, place: Place, width: Width) -> String {
        let name = format!("{}-{}", self.id, width.units());
        match &self.content {
            Content::Plot(plot) => plot.svg(place, &name, &self.description, width.units()),
            Content::Slices(shown) => slices::svg(shown, place, &name, &self.description, width),
        }
    }
}

/// A plot of a comparison, if what it shows was measured.
struct Spec {
    id: &'static str,
    description: &'static str,
    caption: fn(&Comparison) -> String,
    plot: fn(&Comparison) -> Option<Plot>,
}

/// In the order of the page.
const PLOTS: [Spec; 17] = [
    Spec {
        id: "power",
        description: "Power spectra of truth, samples and condition, and their ratio to the truth.",
        caption: prose::power_caption,
        plot: |comparison| Some(power::power(comparison)),
    },
    Spec {
        id: "over",
        description: "Power of truth and samples over that of another field, and correlation with it, by k.",
        caption: prose::over_caption,
        plot: power::over,
    },
    Spec {
        id: "companion",
        description: "Correlation with the field that was drawn together with each sample, by k.",
        caption: |_| {
            "Two fields of one universe: how the truth goes with its own other field, and each sample with the one that it \
             was drawn together with."
                .to_owned()
        },
        plot: ensemble::companion,
    },
    Spec {
        id: "correlation",
        description: "Cross-correlation with the truth by k.",
        caption: prose::correlation_caption,
        plot: |comparison| Some(power::correlation(comparison)),
    },
    Spec {
        id: "calibration",
        description: "Ratio of the cross power of pairs of samples to that with the truth, and spread over \
         error, by k.",
        caption: |_| {
            format!(
                "Calibration, 1 where samples differ from each other as they differ from the truth: cross \
                 power of pairs of samples over that with the truth, where r² > {}, with the goal, ±{} % up \
                 to k = {} h/Mpc, shaded; and spread over error.",
                limits::LEAST_R2,
                percent(limits::PAIRS.off_by),
                limits::PAIRS.up_to_h_mpc
            )
        },
        plot: calibration::calibration,
    },
    Spec {
        id: "ranks",
        description: "How often the truth has each rank among the samples.",
        caption: |_| {
            "How often the truth ranks as the lowest, second lowest, … of itself and the samples, over the \
             mean: flat if it could be one of them, high at both ends if they vary too little."
                .to_owned()
        },
        plot: calibration::ranks,
    },
    Spec {
        id: "pdf",
        description: "Distribution of the density of voxels and of blocks of voxels.",
        caption: |_| {
            let [_, blocks @ ..] = limits::DENSITY_BLOCKS.map(|block| format!("{block}³"));
            format!(
                "Distribution of the density over voxels and over blocks of {} of them, empty ones left out.",
                blocks.join(" and ")
            )
        },
        plot: |comparison| Some(density::density(comparison)),
    },
    Spec {
        id: "log-power",
        description: "Power spectra of the logarithmic density, and their ratio to the truth.",
        caption: |_| {
            format!(
                "Power of ln(1 + δ), empty voxels at {}, and over the truth’s: where P(k) sees the peaks, it \
                 sees the voids and walls between them.",
                limits::FLOOR_DENSITY
            )
        },
        plot: power::logarithmic,
    },
    Spec {
        id: "bispectrum",
        description: "Reduced bispectrum of equilateral and squeezed triangles, and the ratio to the truth.",
        caption: |_| {
            format!(
                "Reduced bispectrum Q of equilateral triangles, B over the truth’s with the goal, ±{} % up \
                 to k = {} h/Mpc, shaded, and Q of squeezed triangles of one long wave.",
                percent(limits::BISPECTRUM.off_by),
                limits::BISPECTRUM.up_to_h_mpc
            )
        },
        plot: bispectrum::sweeps,
    },
    Spec {
        id: "bispectrum-shape",
        description: "Reduced bispectrum of isosceles triangles by their third side.",
        caption: |_| {
            "Reduced bispectrum Q of triangles with two sides of the same k, by their third side k₃."
                .to_owned()
        },
        plot: bispectrum::by_angle,
    },
    Spec {
        id: "multipoles",
        description: "Quadrupole and hexadecapole over monopole by k.",
        caption: |_| {
            "Quadrupole and hexadecapole along z over the monopole: zero but for scatter in fields without a \
             preferred direction."
                .to_owned()
        },
        plot: |comparison| Some(power::multipoles(comparison)),
    },
    Spec {
        id: "response",
        description: "How the power of sub-volumes follows their mean density, by k.",
        caption: |_| {
            "Position-dependent power: by how much P of a sub-volume grows with its own mean density, for the truth and for \
             samples. It is what a large volume adds to a small one, and is not a goal."
                .to_owned()
        },
        plot: ensemble::response,
    },
    Spec {
        id: "scatter",
        description: "Scatter of power between boxes, and its correlation between bands.",
        caption: |comparison| {
            format!(
                "How P scatters over {} boxes, one sample of each at a time, and how it is correlated with that of the last \
                 band: whether errors made of an ensemble of samples are those of truths. It is not a goal.",
                comparison.pooled.boxes
            )
        },
        plot: ensemble::scatter,
    },
    Spec {
        id: "voids",
        description: "Number density of voids by radius.",
        caption: |_| {
            format!(
                "Spherical voids of mean contrast below {}, that do not overlap, by radius.",
                plain(limits::VOID_CONTRAST, 1)
            )
        },
        plot: shapes::voids,
    },
    Spec {
        id: "peaks",
        description: "Number density of peaks above thresholds.",
        caption: |_| {
            "Peaks of the logarithmic density, smoothed by one voxel, that reach ν standard deviations above \
             its mean."
                .to_owned()
        },
        plot: shapes::peaks,
    },
    Spec {
        id: "minkowski",
        description: "Minkowski functionals by threshold.",
        caption: |_| {
            format!(
                "Minkowski functionals of the places denser than a threshold, smoothed by {} voxels: volume, \
                 area, mean curvature and Euler characteristic per volume, in powers of h/Mpc.",
                limits::MINKOWSKI_VOXELS
            )
        },
        plot: shapes::minkowski,
    },
    Spec {
        id: "seams",
        description: "Gradient at the faces of tiles over that elsewhere.",
        caption: |_| {
            format!(
                "Mean gradient of the logarithmic density at faces of tiles over the median of all planes: \
                 dots; bars are the {} range of the same at random offsets.",
                prose::seam_range()
            )
        },
        plot: seams::seams,
    },
];

/// The names of all figures that a comparison may have.
pub(crate) fn figure_ids() -> impl Iterator<Item = &'static str> {
    std::iter::once("slices").chain(PLOTS.iter().map(|spec| spec.id))
}

/// Those of a comparison, in the order of the page: slices, power, then whatever was measured.
pub(crate) fn of_comparison<'a>(comparison: &Comparison, pictures: &'a Pictures) -> Vec<Figure<'a>> {
    let plots = PLOTS.iter().filter_map(|spec| {
        Some(Figure {
            id: spec.id.to_owned(),
            description: spec.description.to_owned(),
            caption: (spec.caption)(comparison),
            content: Content::Plot((spec.plot)(comparison)?),
            widths: if spec.id == "power" { ALL_WIDTHS } else { &ALL_WIDTHS[1..] },
        })
    });
    let slices = Figure::slices("slices", prose::moving_slices_caption(pictures), &pictures.slices);
    std::iter::once(slices).chain(plots).collect()
}

/// Those of a field without a truth; `index` counts them from 1.
pub(crate) fn of_upscaled<'a>(upscaled: &Upscaled, shown: &'a Slices, index: usize) -> [Figure<'a>; 2] {
    let [slices, power] = prose::upscaled_captions(shown);
    [
        Figure::slices(format!("upscaled-{index}-slices"), slices, shown),
        Figure {
            id: format!("upscaled-{index}-power"),
            description: "Power spectra of condition and samples.".to_owned(),
            caption: power,
            content: Content::Plot(power::power_alone(upscaled)),
            widths: ALL_WIDTHS,
        },
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
fn sample_name(samples: &[FieldStatistics]) -> String {
    match samples {
        [one] => one.label.clone(),
        several => format!("mean of {} samples", several.len()),
    }
}

/// Numbers along x and y.
type Xy = (Vec<f64>, Vec<f64>);

/// Curves of one statistic of all fields: faint lines first, the mean of the samples on top. Fields without
/// it are left out.
fn of_all(comparison: &Comparison, of: impl Fn(&FieldStatistics) -> Option<Xy>) -> Vec<Curve> {
    let samples: Vec<Xy> = comparison.measured.samples.iter().filter_map(&of).collect();
    let mut curves = Vec::new();
    if samples.len() > 1 {
        curves.extend(samples.iter().map(|(x, y)| Curve::line("", FAINT_SAMPLE, x, y).unnamed()));
    }
    let mut add = |name: &str, pen: Pen, field: Option<&FieldStatistics>| {
        if let Some((x, y)) = field.and_then(&of) {
            curves.push(Curve::line(name, pen, &x, &y));
        }
    };
    add("truth", TRUTH, Some(&comparison.measured.truth));
    add("condition", CONDITION, comparison.measured.condition.as_ref());
    add("condition, matched PDF", BASELINE, comparison.measured.baselines.matched_pdf.done());
    if let Some((x, _)) = samples.first() {
        let mean = mean_of(samples.iter().map(|(_, y)| y.as_slice()));
        curves.push(Curve::line(sample_name(&comparison.measured.samples), SAMPLE, x, &mean));
    }
    curves
}

/// The shaded range of a goal, from a wavenumber on.
fn goal(from_h_mpc: f64, limit: Limit) -> [f64; 4] {
    [from_h_mpc, limit.up_to_h_mpc, 1.0 - limit.off_by, 1.0 + limit.off_by]
}

/// All values of the curves, for a scale.
fn values(curves: &[Curve]) -> impl Iterator<Item = &f64> {
    curves.iter().flat_map(|curve| &curve.y)
}

/// The part of the spectra that a grid resolves in all directions.
fn up_to<'a>(k_max: f64, k_h_mpc: &[f64], values: &'a [f64]) -> &'a [f64] {
    &values[..k_h_mpc.partition_point(|&k| k <= k_max).min(values.len())]
}
