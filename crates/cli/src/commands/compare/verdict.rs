//! What a comparison found, in lines for a terminal.

use crate::context::Context;
use finescale_judge::{Comparison, Judgement, Outcome};

/// The verdict in lines for a person, of whose notes some were `told` before.
pub(crate) fn tell(context: &Context, comparison: &Comparison, told: usize) {
    let verdict = &comparison.measured.verdict;
    let beside =
        |number: Option<f64>| number.map_or(String::new(), |number| format!(" (condition: {number:.3})"));
    let [low, high] = verdict.quoted_band_h_mpc;
    if comparison.pooled.boxes > 1 {
        let (first, boxes) = (&comparison.boxes[0].label, comparison.pooled.boxes);
        context.say(format_args!("{first}, the first of {boxes} boxes:"));
    }
    context.say(format_args!(
        "mean |ln P/P_truth| over the bands: {:.3}{}",
        verdict.mean_abs_ln_ratio,
        beside(verdict.condition_mean_abs_ln_ratio)
    ));
    context.say(format_args!(
        "r with the truth at k = {low:.2} to {high:.2} h/Mpc: {:.3}{}",
        verdict.cross_correlation,
        beside(verdict.condition_cross_correlation)
    ));
    context.say(format_args!(
        "99.9th percentile over the truth's: {:.3}{}; mass: {:.4}",
        verdict.percentile_99_9_ratio,
        beside(verdict.condition_percentile_99_9_ratio),
        verdict.mass_ratio
    ));
    if comparison.pooled.boxes > 1 {
        context.say(format_args!("all {} boxes:", comparison.pooled.boxes));
    }
    comparison.goals.iter().for_each(|goal| context.say(line(goal)));
    let undecided = comparison.goals.iter().filter(|goal| goal.outcome == Outcome::Undecided).count();
    if undecided > 0 {
        context.say(format_args!(
            "{undecided} goals are undecided: their errors are too large to say, or not known. More samples, or three boxes and \
             more (--box), decide"
        ));
    }
    // Those that the comparison itself added.
    comparison.notes.iter().skip(told).for_each(|note| context.warn(note));
}

fn line(goal: &Judgement) -> String {
    let found = match (goal.found, goal.standard_error) {
        (Some(found), Some(error)) => format!("{found:.4} +- {error:.4}"),
        (Some(found), None) => format!("{found:.4}"),
        _ => String::new(),
    };
    // What decides, where the error alone does not show it.
    let interval = goal.interval.filter(|_| goal.outcome != Outcome::Pass);
    let interval = interval.map_or(String::new(), |[low, high]| format!(" ({low:.3} to {high:.3})"));
    let at = goal.at.as_ref().map_or(String::new(), |at| format!(", {at}"));
    let why = goal.note.as_ref().filter(|_| goal.outcome == Outcome::NotMeasured);
    let why = why.map_or(String::new(), |why| format!("({why})"));
    format!("{:>12}  {:<51} {found}{interval}{at}{why}", goal.outcome.name(), goal.goal).trim_end().to_owned()
}
