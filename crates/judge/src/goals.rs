//! The goals of a good model, and whether they are met. Their numbers are those of [`limits`].

use crate::estimate::Estimate;
use crate::limits::{self, EXPECTED_PERCENT, LEAST_R2, Limit};
use crate::pooled::Pooled;
use crate::worst::worst;
use serde::Serialize;

/// What a goal is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    /// P / P_truth up to a wavenumber in h/Mpc.
    Power(f64),
    /// P(SR_i × SR_j) / P(SR × HR) up to a wavenumber.
    PairRatio(f64),
    /// B / B_truth of equilateral triangles up to a wavenumber.
    Bispectrum(f64),
    /// 99.9th percentile of the density over the truth's.
    DensePercentile,
    /// Mass over the truth's.
    Mass,
    /// Samples that show seams, beyond the few that do so by chance.
    Seams,
}

/// One goal.
struct Goal {
    key: &'static str,
    name: String,
    quantity: Quantity,
    /// Largest distance of a ratio from 1; of seams: the part of seamless fields outside of the range.
    wanted: f64,
}

impl Goal {
    fn new(key: &'static str, name: impl Into<String>, quantity: Quantity, wanted: f64) -> Self {
        Self { key, name: name.into(), quantity, wanted }
    }

    /// Of the bands up to a wavenumber.
    fn in_bands(key: &'static str, name: &str, quantity: fn(f64) -> Quantity, limit: Limit) -> Self {
        let up_to = limit.up_to_h_mpc;
        Self::new(key, format!("{name}, k ≤ {up_to} h/Mpc"), quantity(up_to), limit.off_by)
    }
}

/// All goals, in the order of a report.
fn goals() -> [Goal; 7] {
    let dense = format!("Densest {:.1} % of the voxels", 100.0 - limits::DENSE_PERCENT);
    let seams = format!("Seams inside the {EXPECTED_PERCENT} % range");
    [
        Goal::in_bands("power_large_scales", "Power", Quantity::Power, limits::POWER[0]),
        Goal::in_bands("power_small_scales", "Power", Quantity::Power, limits::POWER[1]),
        Goal::in_bands("pair_ratio", "Calibration: pairs of samples", Quantity::PairRatio, limits::PAIRS),
        Goal::in_bands("bispectrum", "Bispectrum", Quantity::Bispectrum, limits::BISPECTRUM),
        Goal::new("percentile_99_9", dense, Quantity::DensePercentile, limits::DENSE),
        Goal::new("mass", "Total mass", Quantity::Mass, limits::MASS),
        Goal::new("seams", seams, Quantity::Seams, limits::SEAMS),
    ]
}

/// Whether a goal is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The goal is met.
    Pass,
    /// The goal is missed.
    Miss,
    /// What it is about was not measured: `note` says why.
    NotMeasured,
}

impl Outcome {
    /// In words for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Miss => "miss",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A goal, what was found, and whether that is good enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// Its name for programs.
    pub key: &'static str,
    /// Its name for persons.
    pub goal: String,
    /// Largest distance from 1 that is good (of seams: part of the samples that may show some).
    pub wanted: f64,
    /// The ratio that was found, of several bands the worst one's; of seams the part that shows some.
    pub found: Option<f64>,
    /// Its standard error, if known.
    pub standard_error: Option<f64>,
    /// The k of the worst band in h/Mpc.
    pub at_k_h_mpc: Option<f64>,
    /// |found − 1| − wanted: how much is missing if positive, to spare if negative.
    pub excess: Option<f64>,
    /// Whether the goal is met.
    pub outcome: Outcome,
    /// What a reader should know of it.
    pub note: Option<String>,
}

impl Pooled {
    /// All goals, judged.
    #[must_use]
    pub fn judge(&self) -> Vec<Judgement> {
        goals().iter().map(|goal| self.judge_one(goal)).collect()
    }

    fn judge_one(&self, goal: &Goal) -> Judgement {
        let of = |k: &[f64], found: &Estimate, up_to| worst(k, &found.value, &found.standard_error, up_to);
        let at_bands = |estimate, up_to| of(&self.k_h_mpc, estimate, up_to);
        let at_once = |estimate| of(&[0.0], estimate, f64::INFINITY);
        let (found, missing) = match goal.quantity {
            Quantity::Power(up_to_h_mpc) => (
                at_bands(&self.ratio, up_to_h_mpc),
                format!("no band has its mean k below {up_to_h_mpc} h/Mpc"),
            ),
            Quantity::PairRatio(up_to_h_mpc) => (
                at_bands(&self.pair_ratio, up_to_h_mpc),
                if self.pair_ratio.value.is_empty() {
                    "needs two samples of one box, or more".to_owned()
                } else {
                    format!("no band up to {up_to_h_mpc} h/Mpc has r² above {LEAST_R2}")
                },
            ),
            Quantity::Bispectrum(up_to_h_mpc) => (
                of(&self.bispectrum_k_h_mpc, &self.bispectrum_ratio, up_to_h_mpc),
                format!("the grid holds no equilateral triangles up to {up_to_h_mpc} h/Mpc"),
            ),
            Quantity::DensePercentile => {
                (at_once(&self.percentile_99_9_ratio), "the truth has no dense voxels".to_owned())
            }
            Quantity::Mass => (at_once(&self.mass_ratio), "the truth has no mass".to_owned()),
            Quantity::Seams => return self.judge_seams(goal),
        };
        let blank = blank(goal);
        let Some(found) = found else { return Judgement { note: Some(missing), ..blank } };
        let excess = (found.ratio - 1.0).abs() - goal.wanted;
        Judgement {
            found: Some(found.ratio),
            standard_error: Some(found.standard_error).filter(|error| error.is_finite()),
            at_k_h_mpc: Some(found.k_h_mpc).filter(|&k| k > 0.0),
            excess: Some(excess),
            outcome: if excess <= 0.0 { Outcome::Pass } else { Outcome::Miss },
            ..blank
        }
    }

    fn judge_seams(&self, goal: &Goal) -> Judgement {
        let blank = blank(goal);
        if self.seams_tested == 0 {
            return Judgement { note: self.seams_skipped.clone(), ..blank };
        }
        // One in twenty shows some by chance, or as many as the truth at the same faces, up to one in ten:
        // neighbouring offsets are alike, so that ranges made of them are narrow. Twice the binomial
        // deviation is allowed on top.
        let tested = self.seams_tested as f64;
        let outside = |inside: usize| 1.0 - inside as f64 / tested;
        let by_chance = outside(self.truth_seamless).clamp(goal.wanted, 2.0 * goal.wanted);
        let allowed = by_chance + 2.0 * (by_chance * (1.0 - by_chance) / tested).sqrt();
        let allowed = (allowed * tested).floor() / tested;
        let outside = outside(self.seamless);
        Judgement {
            found: Some(outside),
            excess: Some(outside - allowed),
            outcome: if outside <= allowed { Outcome::Pass } else { Outcome::Miss },
            note: Some(format!(
                "{} of {} samples inside, the truth at the same faces in {}; gradient there {} of the truth's",
                self.seamless,
                self.seams_tested,
                self.truth_seamless,
                first_of(&self.seam_gradient_ratio)
            )),
            ..blank
        }
    }
}

fn blank(goal: &Goal) -> Judgement {
    Judgement {
        key: goal.key,
        goal: goal.name.clone(),
        wanted: goal.wanted,
        found: None,
        standard_error: None,
        at_k_h_mpc: None,
        excess: None,
        outcome: Outcome::NotMeasured,
        note: None,
    }
}

/// The only value of an estimate and its error, if it has one, in three decimals.
fn first_of(estimate: &Estimate) -> String {
    let (value, error) = estimate.first().unwrap_or((f64::NAN, f64::NAN));
    format!("{value:.3}") + &if error.is_finite() { format!(" ± {error:.3}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pooled::ErrorSource;

    fn pooled() -> Pooled {
        let one = |value: f64| Estimate { value: vec![value], standard_error: vec![0.001] };
        Pooled {
            boxes: 1,
            samples: 4,
            errors_from: ErrorSource::WithinOneBox,
            k_h_mpc: vec![0.5, 0.9, 3.0, 6.0],
            ratio: Estimate { value: vec![1.0, 0.98, 1.07, 0.2], standard_error: vec![0.01; 4] },
            transfer: Estimate::default(),
            cross_correlation: Estimate::default(),
            pair_ratio: Estimate::default(),
            log_power_ratio: Estimate::default(),
            bispectrum_k_h_mpc: vec![0.4, 3.0],
            bispectrum_ratio: Estimate { value: vec![f64::NAN, 3.0], standard_error: Vec::new() },
            percentile_99_9_ratio: one(0.94),
            mass_ratio: one(1.0049),
            seams_tested: 4,
            seamless: 3,
            truth_seamless: 4,
            seam_gradient_ratio: one(1.001),
            seams_skipped: None,
        }
    }

    #[test]
    fn goals_are_judged_by_the_worst_band() {
        let judged = pooled().judge();
        let of = |key: &str| judged.iter().find(|j| j.key == key).unwrap();
        let large = of("power_large_scales");
        assert_eq!((large.outcome, large.found, large.at_k_h_mpc), (Outcome::Pass, Some(0.98), Some(0.9)));
        assert!((large.excess.unwrap() + 0.01).abs() < 1e-12);
        let small = of("power_small_scales");
        assert_eq!((small.outcome, small.standard_error), (Outcome::Miss, Some(0.01)));
        assert!((small.excess.unwrap() - 0.01).abs() < 1e-12);
        assert_eq!(of("percentile_99_9").outcome, Outcome::Miss);
        assert_eq!(of("mass").outcome, Outcome::Pass);
        for key in ["pair_ratio", "bispectrum"] {
            assert!(of(key).outcome == Outcome::NotMeasured && of(key).note.is_some(), "{key}");
        }
        // One of four seams may be chance.
        assert_eq!(of("seams").outcome, Outcome::Pass);
        assert!(of("seams").note.as_ref().unwrap().ends_with("gradient there 1.001 ± 0.001 of the truth's"));
        let more = Pooled { seamless: 2, ..pooled() };
        assert_eq!(more.judge().last().unwrap().outcome, Outcome::Miss);
        // 28 of 32 may be, 26 if the truth shows some where there are none, and no fewer whatever it shows.
        let of_32 = |seamless, truth_seamless| {
            let pooled = Pooled { seams_tested: 32, seamless, truth_seamless, ..pooled() };
            pooled.judge().pop().unwrap().outcome
        };
        assert_eq!([of_32(28, 32), of_32(27, 32)], [Outcome::Pass, Outcome::Miss]);
        assert_eq!(
            [of_32(26, 28), of_32(26, 0), of_32(25, 0)],
            [Outcome::Pass, Outcome::Pass, Outcome::Miss]
        );
    }
}
