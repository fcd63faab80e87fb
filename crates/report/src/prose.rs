//! The sentences of the page, made of its numbers.

use crate::Comparison;
use crate::goals::{Judgement, Outcome, POWER_GOALS};
use crate::pooled::ErrorSource;
use crate::slices::Slices;
use crate::ticks::plain;
use crate::upscaled::Upscaled;
use finescale_field::Grid;

/// A number that is shown large.
pub(crate) struct Tile {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) note: Option<String>,
}

/// What was compared.
pub(crate) fn subject(comparison: &Comparison) -> String {
    let count = comparison.samples.len();
    let samples = if count == 1 { "One sample".to_owned() } else { format!("{count} samples") };
    format!("{samples} of a {}", box_of(&comparison.grid))
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
    let verdict = &comparison.verdict;
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
            value: plain(verdict.cross_correlation, 2),
            note: note(verdict.condition_cross_correlation.map(|r| plain(r, 2))),
        },
        Tile {
            name: "Densest 0.1 %".to_owned(),
            value: signed_percent(verdict.percentile_99_9_ratio),
            note: note(verdict.condition_percentile_99_9_ratio.map(signed_percent)),
        },
        Tile { name: "Total mass".to_owned(), value: signed_percent(verdict.mass_ratio), note: None },
    ]
}

/// The paragraph at the top.
pub(crate) fn verdict(comparison: &Comparison) -> String {
    let verdict = &comparison.verdict;
    let (subject, them, possessive) = if comparison.samples.len() == 1 {
        ("the sample", "it", "Its")
    } else {
        ("the samples", "they", "Their")
    };
    let bands = &comparison.bands;
    let range = [bands.k_min_h_mpc[0], bands.k_max_h_mpc[bands.k_max_h_mpc.len() - 1]];
    let mut text = format!(
        "Over {} bands from {} to {} h/Mpc, the power of {subject} differs from the truth by a mean |ln ratio| of {}",
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
    let dense = comparison.truth.percentile_99_9;
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
    let [(near, split), (far, end)] = POWER_GOALS.map(|(goal, k)| (plain(goal * 100.0, 0), plain(k, 0)));
    let faint = if comparison.samples.len() > 1 { " Faint lines are single samples." } else { "" };
    format!(
        "Power as gridded, up to the Nyquist wavenumber, and its ratio to the truth. Shaded: the goals, ±{near} % up to \
         k = {split} and ±{far} % up to {end} h/Mpc. {}{faint}",
        errors_note(comparison)
    )
}

/// Where the error bars come from.
fn errors_note(comparison: &Comparison) -> &'static str {
    match comparison.pooled.errors_from {
        ErrorSource::Boxes => "Error bars: standard errors of the mean over boxes.",
        ErrorSource::WithinOneBox => "Error bars: bootstrap over sub-volumes of the box.",
    }
}

/// What stands beneath the correlations.
pub(crate) fn correlation_caption(comparison: &Comparison) -> String {
    let pairs = if comparison.sample_agreement.is_empty() {
        ""
    } else {
        " Dotted: between samples, which should agree on large scales and differ on small ones."
    };
    format!(
        "Cross-correlation: 1 where the structures are the same, 0 where they are unrelated. A fair draw has the square \
         of what the best possible guess would have.{pairs}"
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
    };
    format!(
        "Judged by {} and {}; standard errors from {errors}. Of several bands the worst one counts, so that chance \
         makes small misses.",
        of(pooled.boxes, "box", "boxes"),
        of(pooled.samples, "sample", "samples in all"),
    )
}

/// A goal's row: wanted, found, verdict.
pub(crate) fn goal_row(judged: &Judgement) -> [String; 3] {
    let percent = |part: f64| format!("{} %", significant(part * 100.0, 2));
    let signed = |ratio: f64| {
        let part = (ratio - 1.0) * 100.0;
        let text = significant(part, if part.abs() < 1.0 { 2 } else { 3 });
        format!("{}{text} %", if part > 0.0 { "+" } else { "" })
    };
    if judged.key == "seams" {
        let found = judged.note.clone().unwrap_or_default();
        let by = match judged.outcome {
            Outcome::Miss => "miss: more than chance allows".to_owned(),
            outcome => outcome.name().to_owned(),
        };
        return ["95 %, or as the truth".to_owned(), found, by];
    }
    let wanted = format!("± {}", percent(judged.wanted));
    let (Some(found), Some(excess)) = (judged.found, judged.excess) else {
        return [wanted, judged.note.clone().unwrap_or_default(), judged.outcome.name().to_owned()];
    };
    let mut text = signed(found);
    if let Some(error) = judged.standard_error {
        text += &format!(" ± {}", percent(error));
    }
    if let Some(k) = judged.at_k_h_mpc {
        text += &format!(" at k = {}", significant(k, 2));
    }
    let by = match judged.outcome {
        Outcome::Pass => format!("pass, {} to spare", percent(-excess)),
        outcome => {
            let sigmas = judged.standard_error.filter(|&error| error > 0.0).map(|error| excess / error);
            let sigmas = sigmas.map_or(String::new(), |n| format!(" ({} σ)", significant(n, 2)));
            format!("{} by {}{sigmas}", outcome.name(), percent(excess))
        }
    };
    [wanted, text, by]
}

/// What stands beneath the slices that can be moved.
pub(crate) fn moving_slices_caption(comparison: &Comparison) -> String {
    let caption =
        slices_caption(&comparison.slices, "the truth").replacen("thick at z", "thick, at first at z", 1);
    let [x, y, z] = comparison.volumes.block;
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

/// What stands above the table of bands.
pub(crate) fn band_note(comparison: &Comparison) -> String {
    let error = if comparison.samples.len() > 1 { ", ± its standard error from their scatter" } else { "" };
    format!(
        "Power relative to the truth, mean over the samples{error}, and cross-correlations with the truth, over the \
         independent Fourier modes of each band."
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
pub(crate) fn upscaled_captions(upscaled: &Upscaled) -> [String; 2] {
    [
        slices_caption(&upscaled.slices, "the sample"),
        "Power as gridded, up to the Nyquist wavenumber.".to_owned(),
    ]
}

fn quoted_band(comparison: &Comparison) -> String {
    let [low, high] = comparison.verdict.quoted_band_h_mpc;
    format!("{}–{}", significant(low, 2), significant(high, 2))
}

/// `value` with so many digits that count.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return plain(value, 0);
    }
    let decimals = (digits as i32 - 1 - value.abs().log10().floor() as i32).max(0) as usize;
    let text = plain(value, decimals);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A count with thin spaces between thousands.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join("\u{202f}")
}

/// A mean |ln ratio| as a factor's percentage.
fn error_percent(abs_ln: f64) -> String {
    let percent = abs_ln.exp_m1() * 100.0;
    format!("{} %", if percent < 10.0 { plain(percent, 1) } else { plain(percent, 0) })
}

/// A ratio as its difference from 1.
fn signed_percent(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let digits = if percent.abs() < 1.0 { 2 } else { usize::from(percent.abs() < 9.95) };
    let text = plain(percent, digits);
    let positive = percent > 0.0 && text.chars().any(|c| ('1'..='9').contains(&c));
    format!("{}{text} %", if positive { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0.12566, 4.0212, 50.0, 205.0, 0.78125].map(|v| significant(v, 2)),
            ["0.13", "4", "50", "205", "0.78"]
        );
        assert_eq!(significant(22.46, 3), "22.5");
        assert_eq!(
            [1.1053, 0.9, 1.00002, 1.0, 3.2].map(signed_percent),
            ["+11 %", "−10 %", "0.00 %", "0.00 %", "+220 %"]
        );
        assert_eq!([7, 1234, 433_653].map(thousands), ["7", "1\u{202f}234", "433\u{202f}653"]);
        assert_eq!(signed_percent(0.968), "−3.2 %");
        assert_eq!([0.0583, 0.4].map(error_percent), ["6.0 %", "49 %"]);
    }
}
