//! The sentences of the page, made of its numbers.

use crate::Pictures;
use crate::numbers::{error_percent, percent, plain, signed_percent, significant};
use crate::slices::Slices;
use finescale_field::Grid;
use finescale_judge::limits::{DENSE_PERCENT, EXPECTED_PERCENT, POWER};
use finescale_judge::{Against, Comparison, EnvironmentReport, ErrorSource, Judgement, Outcome, Upscaled};

/// A number that is shown large.
pub(crate) struct Tile {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) note: Option<String>,
}

/// What was compared.
pub(crate) fn subject(comparison: &Comparison) -> String {
    let count = comparison.measured.samples.len();
    let samples = if count == 1 { "One sample".to_owned() } else { format!("{count} samples") };
    let of_several = match comparison.boxes.len() {
        1 => String::new(),
        boxes => format!(", {}, the first of {boxes} boxes", comparison.boxes[0].label),
    };
    format!("{samples} of a {}{of_several}", box_of(&comparison.measured.grid))
}

fn box_of(grid: &Grid) -> String {
    let (cells, size) = (grid.cells(), grid.box_size_mpc_h());
    let voxel = significant(grid.voxel_mpc_h()[0], 2);
    if cells.iter().all(|&n| n == cells[0]) && size.iter().all(|&l| l == size[0]) {
        return format!("({} Mpc/h)³ box on {}³ voxels of {voxel} Mpc/h", significant(size[0], 4), cells[0]);
    }
    let sizes = size.map(|l| significant(l, 4)).join(" × ");
    format!("box of {sizes} Mpc/h on {} × {} × {} voxels", cells[0], cells[1], cells[2])
}

/// The four numbers at the top.
pub(crate) fn tiles(comparison: &Comparison) -> Vec<Tile> {
    let verdict = &comparison.measured.verdict;
    let band = quoted_band(comparison);
    let note = |value: Option<String>| value.map(|value| format!("condition {value}"));
    vec![
        Tile {
            name: "Power, mean error".to_owned(),
            value: error_percent(verdict.mean_abs_ln_ratio),
            note: note(verdict.condition_mean_abs_ln_ratio.map(error_percent)),
        },
        Tile {
            name: format!("Correlation, k {band}"),
            value: plain(verdict.cross_correlation, 3),
            note: note(verdict.condition_cross_correlation.map(|r| plain(r, 3))),
        },
        Tile {
            name: format!("Densest {:.1} %", 100.0 - DENSE_PERCENT),
            value: signed_percent(verdict.percentile_99_9_ratio),
            note: note(verdict.condition_percentile_99_9_ratio.map(signed_percent)),
        },
        Tile { name: "Total mass".to_owned(), value: signed_percent(verdict.mass_ratio), note: None },
    ]
}

/// The paragraph at the top.
pub(crate) fn verdict(comparison: &Comparison) -> String {
    let verdict = &comparison.measured.verdict;
    let (subject, them, possessive) = if comparison.measured.samples.len() == 1 {
        ("the sample", "it", "Its")
    } else {
        ("the samples", "they", "Their")
    };
    let bands = &comparison.measured.bands;
    let range = [bands.k_min_h_mpc[0], bands.k_max_h_mpc[bands.k_max_h_mpc.len() - 1]];
    let mut text = format!(
        "Over {} bands from {} to {} h/Mpc, the power of {subject} differs from the truth by a mean |ln \
         ratio| of {}",
        bands.k_h_mpc.len(),
        significant(range[0], 2),
        significant(range[1], 2),
        plain(verdict.mean_abs_ln_ratio, 3),
    );
    if let Some(condition) = verdict.condition_mean_abs_ln_ratio {
        text += &format!("; that of the condition by {}", plain(condition, 3));
    }
    text += &format!(
        ". In the band {} h/Mpc {them} correlate{} with the truth at r = {}",
        quoted_band(comparison),
        if them == "it" { "s" } else { "" },
        plain(verdict.cross_correlation, 2)
    );
    if let Some(condition) = verdict.condition_cross_correlation {
        text += &format!(", the condition at {}", plain(condition, 2));
    }
    let dense = comparison.measured.truth.percentile_99_9;
    text += &format!(
        ". {possessive} densest thousandth of voxels begins at {} times the mean density, the truth’s at {}. \
         {possessive} total mass is {} of the truth’s; nothing was renormalised.",
        significant(dense * verdict.percentile_99_9_ratio, 3),
        significant(dense, 3),
        plain(verdict.mass_ratio, 4),
    );
    text
}

/// What stands beneath the spectra.
pub(crate) fn power_caption(comparison: &Comparison) -> String {
    let [(near, split), (far, end)] = POWER.map(|limit| (percent(limit.off_by), limit.up_to_h_mpc));
    let faint = if comparison.measured.samples.len() > 1 { " Faint lines are single samples." } else { "" };
    let window = match comparison.published.first() {
        None => "Power as gridded, so that the window of the mass assignment is in it",
        Some(published) if published.window_divided_out => {
            "Power without the window of the mass assignment, which is divided out as in published spectra; shot noise and \
             the aliases of the assignment are still in it"
        }
        Some(_) => {
            "Power as gridded: a file does not say its mass assignment, so that its window is in its power, and not in the \
             published one"
        }
    };
    format!(
        "{window}; up to the Nyquist wavenumber. Beneath, its ratio to the truth. Shaded: the goals, \
         ±{near} % up to k = {split} and ±{far} % up to {end} h/Mpc. {}{faint}",
        errors_note(comparison)
    )
}

/// How many seamless fields lie inside of the range of their scores.
pub(crate) fn seam_range() -> String {
    format!("{EXPECTED_PERCENT} %")
}

/// Where the error bars come from.
fn errors_note(comparison: &Comparison) -> &'static str {
    match comparison.pooled.errors_from {
        ErrorSource::Boxes => "Error bars: standard errors of the mean over boxes.",
        ErrorSource::WithinOneBox => "Error bars: bootstrap over sub-volumes of the box.",
        ErrorSource::Nothing => "No error bars: two boxes have no scatter to speak of.",
    }
}

/// What stands beneath the power over that of another field.
pub(crate) fn over_caption(comparison: &Comparison) -> String {
    let label = comparison.over.as_ref().map_or("", |over| over.label.as_str());
    format!(
        "Power over that of {label}, of the same box: the window of the mass assignment, if it is the same, and most of what \
         is particular to the box drop out. Shot noise does not. Beneath, r with {label}, of samples the mean."
    )
}

/// What stands above the differences from a simulation.
pub(crate) fn against_note(against: &Against) -> String {
    let redshift = significant(against.redshift, 3);
    let from =
        against.between.map_or(String::new(), |[low, high]| format!(", interpolated from {low} and {high}"));
    format!(
        "Drawn into the figures of power are spectra of {} itself at z = {redshift}{from} ({}). Right samples of another box \
         need not lie on them, and what is too far off is cut from the panel of ratios to the truth:",
        against.simulation, against.source
    )
}

/// What stands beneath the correlations.
pub(crate) fn correlation_caption(comparison: &Comparison) -> String {
    let pairs = if comparison.measured.sample_agreement.is_empty() {
        ""
    } else {
        " Dotted: between samples. Those of a perfect sampler agree with the truth as much as with each other."
    };
    format!(
        "Cross-correlation: 1 where the structures are the same, 0 where they are unrelated. A sample is one of the \
         universes that are possible, not the best guess, and so agrees less with the truth than that does.{pairs}"
    )
}

/// The heading of the goals.
pub(crate) fn goals_note(comparison: &Comparison) -> String {
    let pooled = &comparison.pooled;
    let of = |count: usize, one: &str, many: &str| match count {
        1 => format!("one {one}"),
        count => format!("{count} {many}"),
    };
    let errors = match pooled.errors_from {
        ErrorSource::Boxes => "the scatter between the boxes",
        ErrorSource::WithinOneBox => {
            "the scatter inside of the one box, which knows nothing of its largest waves"
        }
        ErrorSource::Nothing => "nothing, since two boxes have no scatter to speak of",
    };
    format!(
        "Judged by {} and {}; standard errors from {errors}. A goal is met where two standard errors to both sides lie \
         within it, missed where they lie outside, more of them for the worst of many places, and undecided between: more samples and more boxes decide.",
        of(pooled.boxes, "box", "boxes"),
        of(pooled.samples, "sample", "samples in all"),
    )
}

/// What stands above the table of environments.
pub(crate) fn environments_note(found: &EnvironmentReport) -> String {
    format!(
        "Where the condition, smoothed over {} Mpc/h, is empty, and where it is dense. Mass over the truth’s, mean of \
         ln(1 + δ) less the truth’s, mean step of it between neighbours over the truth’s, spread of the samples over their error (1 if right), and the parts of the truth’s \
         voxels that lie below all samples and above all, which should be alike.",
        significant(found.smoothing_mpc_h, 3)
    )
}

/// Less than a thousandth of a per cent is rounding.
const NOTHING: f64 = 1e-5;
/// So many standard errors beyond a goal, and more, say no more: the error is not known that well.
const MOST_SIGMAS: f64 = 50.0;

/// A goal's row: wanted, found, verdict.
pub(crate) fn goal_row(judged: &Judgement) -> [String; 3] {
    let signed = |off: f64| {
        let part = if off.abs() < NOTHING { 0.0 } else { off * 100.0 };
        let text = significant(part, if part.abs() < 1.0 { 2 } else { 3 });
        format!("{}{text} %", if part > 0.0 { "+" } else { "" })
    };
    let wanted = format!("± {} %", percent(judged.wanted));
    let (Some(found), Some(excess)) = (judged.found, judged.excess()) else {
        return [wanted, judged.note.clone().unwrap_or_default(), judged.outcome.name().to_owned()];
    };
    if found.is_infinite() {
        let at = judged.at.as_ref().map_or(String::new(), |at| format!(", {at}"));
        return [
            wanted,
            format!("something where the truth has nothing{at}"),
            judged.outcome.name().to_owned(),
        ];
    }
    let mut text = signed(found - judged.right);
    if let Some(error) = judged.standard_error {
        text += &format!(" ± {} %", if error < NOTHING { "0".to_owned() } else { percent(error) });
    }
    if let Some(at) = &judged.at {
        text += &format!(", {at}");
    }
    let by = match judged.outcome {
        Outcome::Pass => format!("pass, {} % to spare", percent(-excess)),
        Outcome::Miss => {
            let sigmas = judged.standard_error.filter(|&error| error > 0.0).map(|error| excess / error);
            let sigmas = sigmas.map_or(String::new(), |n| {
                if n > MOST_SIGMAS { String::new() } else { format!(" ({} σ)", significant(n, 2)) }
            });
            format!("miss by {} %{sigmas}", percent(excess))
        }
        outcome if judged.standard_error.is_none() => format!("{}: its error is not known", outcome.name()),
        outcome => match judged.interval {
            Some(ends) => {
                let [low, high] = ends.map(|end| signed(end - judged.right));
                format!("{}: {low} to {high}", outcome.name())
            }
            None => outcome.name().to_owned(),
        },
    };
    [wanted, text, by]
}

/// What stands beneath the slices that can be moved.
pub(crate) fn moving_slices_caption(pictures: &Pictures) -> String {
    let caption =
        slices_caption(&pictures.slices, "the truth").replacen("thick at z", "thick, at first at z", 1);
    let [x, y, z] = pictures.volumes.block;
    match [x, y, z] {
        [1, 1, 1] => caption,
        _ => format!("{caption} Those that move with the slider are means over {x} × {y} × {z} voxels."),
    }
}

pub(crate) fn slices_caption(slices: &Slices, reference: &str) -> String {
    format!(
        "Slices {} Mpc/h thick at z = {} Mpc/h, through the densest voxel of {reference}; one colour scale.",
        significant(slices.thickness_mpc_h, 2),
        significant(slices.depth_mpc_h, 3),
    )
}

/// What stands above the figures of fields without a truth.
pub(crate) fn upscaled_note(upscaled: &Upscaled) -> String {
    format!(
        "No truth is known here, a {}. Mean density: condition {}, sample {}.",
        box_of(&upscaled.grid),
        plain(upscaled.condition.mean_density, 3),
        plain(upscaled.samples[0].mean_density, 3),
    )
}

/// Captions of slices and power of fields without a truth.
pub(crate) fn upscaled_captions(slices: &Slices) -> [String; 2] {
    [slices_caption(slices, "the sample"), "Power as gridded, up to the Nyquist wavenumber.".to_owned()]
}

fn quoted_band(comparison: &Comparison) -> String {
    let [low, high] = comparison.measured.verdict.quoted_band_h_mpc;
    format!("{}–{}", significant(low, 2), significant(high, 2))
}
