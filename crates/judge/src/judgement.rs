//! Whether the goals are met.

use crate::coverage::NAMES;
use crate::estimate::Estimate;
use crate::goals::{Goal, Where, goals};
use crate::interval::{two_errors, two_errors_of_all};
use crate::limits::{ENVIRONMENT_EDGES, FEWEST_VOIDS, LEAST_EMPTY, LOW_PERCENTS};
use crate::pooled::{ErrorSource, Pooled};
use serde::Serialize;

/// Where a number is.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    text: String,
    k_h_mpc: Option<f64>,
}

/// Whether a goal is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The goal is met: everywhere the interval of two standard errors lies within it.
    Pass,
    /// The goal is missed: somewhere the interval lies outside of it, as wide as the worst of several places needs it.
    Miss,
    /// Neither: the error is too large to say, or not known.
    Undecided,
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
            Self::Undecided => "undecided",
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
    /// What would be right: 1 of a ratio, 0 of an excess.
    pub right: f64,
    /// Largest distance from it that is good.
    pub wanted: f64,
    /// What was found: of several places, where it decides.
    pub found: Option<f64>,
    /// Its standard error, if known.
    pub standard_error: Option<f64>,
    /// Ends of the interval that decides.
    pub interval: Option<[f64; 2]>,
    /// Where that is, in words; null for the whole box.
    pub at: Option<String>,
    /// The k of that place in h/Mpc.
    pub at_k_h_mpc: Option<f64>,
    /// Places where there is nothing to judge.
    pub not_judged: Vec<String>,
    /// Whether the goal is met.
    pub outcome: Outcome,
    /// What a reader should know of it.
    pub note: Option<String>,
}

impl Judgement {
    /// |found − right| − wanted: how much is missing if positive, to spare if negative.
    #[must_use]
    pub fn excess(&self) -> Option<f64> {
        Some((self.found? - self.right).abs() - self.wanted)
    }
}

/// A number with its error and its distance from what is right.
struct Candidate {
    place: Place,
    value: f64,
    error: f64,
    freedom: Option<usize>,
    off: f64,
}

impl Pooled {
    /// All goals, judged.
    #[must_use]
    pub fn judge(&self) -> Vec<Judgement> {
        goals().iter().filter_map(|goal| self.judge_one(goal)).collect()
    }

    fn judge_one(&self, goal: &Goal) -> Option<Judgement> {
        let estimate = (goal.of)(&self.estimates);
        let blank = Judgement {
            key: goal.key,
            goal: goal.name.clone(),
            right: goal.right,
            wanted: goal.wanted,
            found: None,
            not_judged: Vec::new(),
            standard_error: None,
            interval: None,
            at: None,
            at_k_h_mpc: None,
            outcome: Outcome::NotMeasured,
            note: None,
        };
        let all = self.candidates(goal, estimate);
        if all.is_empty() {
            let of_seams = self.seams_skipped.clone().filter(|_| matches!(goal.places, Where::Steps));
            return of_seams
                .or_else(|| goal.missing.clone())
                .map(|why| Judgement { note: Some(why), ..blank });
        }
        let each = |candidate: &Candidate| two_errors(candidate.freedom);
        let together = |candidate: &Candidate| two_errors_of_all(all.len(), candidate.freedom);
        // Of a known number no freedom makes an interval.
        let times = |factor: f64, error: f64| if error == 0.0 { 0.0 } else { factor * error };
        let reach = |candidate: &Candidate| match candidate.error.is_finite() {
            true => candidate.off + times(each(candidate), candidate.error),
            false => f64::INFINITY,
        };
        let beyond =
            |candidate: &Candidate| candidate.off - times(together(candidate), candidate.error) - goal.wanted;
        let far = |a: &&Candidate, b: &&Candidate| beyond(a).total_cmp(&beyond(b));
        let worst = all.iter().filter(|candidate| beyond(candidate) > 0.0).max_by(far);
        let (decides, outcome, errors) = match worst {
            Some(worst) => (worst, Outcome::Miss, together(worst)),
            None => {
                let farthest = |a: &&Candidate, b: &&Candidate| {
                    reach(a).total_cmp(&reach(b)).then(a.off.total_cmp(&b.off))
                };
                let farthest = all.iter().max_by(farthest).expect("there is one");
                let within = reach(farthest) <= goal.wanted;
                (farthest, if within { Outcome::Pass } else { Outcome::Undecided }, each(farthest))
            }
        };
        let error = Some(decides.error).filter(|error| error.is_finite());
        Some(Judgement {
            found: Some(decides.value),
            not_judged: self.not_judged(goal, estimate),
            standard_error: error,
            interval: error.map(|error| [-1.0, 1.0].map(|sign| decides.value + sign * errors * error)),
            at: Some(decides.place.text.clone()).filter(|text| !text.is_empty()),
            at_k_h_mpc: decides.place.k_h_mpc,
            outcome,
            note: (outcome == Outcome::Undecided).then(|| self.why_undecided(error.is_some())),
            ..blank
        })
    }

    fn why_undecided(&self, has_error: bool) -> String {
        match (has_error, self.errors_from) {
            (true, _) => {
                "its error is too large to say; more boxes, or more samples, make it smaller".to_owned()
            }
            (false, ErrorSource::Nothing) => "two boxes give no error; three are the least".to_owned(),
            (false, _) => "its error is not known; several samples, or three boxes, have one".to_owned(),
        }
    }

    /// The numbers that a goal is judged by.
    fn candidates(&self, goal: &Goal, estimate: &Estimate) -> Vec<Candidate> {
        let errors = estimate.standard_error.iter().copied().chain(std::iter::repeat(f64::NAN));
        let numbers = estimate.value.iter().zip(errors).enumerate();
        let candidate = |(bin, (&value, error)): (usize, (&f64, f64))| {
            let place = self.place(goal.places, estimate, bin)?;
            let (off, freedom) = ((value - goal.right).abs(), estimate.freedom.get(bin).copied());
            // Something over nothing is infinitely too much, not nothing to judge.
            let error = if value.is_infinite() { 0.0 } else { error };
            (!value.is_nan()).then_some(Candidate { place, value, error, freedom, off })
        };
        numbers.filter_map(candidate).filter(|_| self.is_enough(goal)).collect()
    }

    /// The places of a goal that have no number.
    fn not_judged(&self, goal: &Goal, estimate: &Estimate) -> Vec<String> {
        let unknown = estimate.value.iter().enumerate().filter(|(_, value)| value.is_nan());
        unknown.filter_map(|(bin, _)| Some(self.place(goal.places, estimate, bin)?.text)).collect()
    }

    /// Whether there is enough of what a goal is about.
    fn is_enough(&self, goal: &Goal) -> bool {
        let of_truth = || self.estimates.nearly_empty_ratio.sums.first().map_or(0.0, |[_, truth]| *truth);
        goal.key != "nearly_empty" || of_truth() / self.boxes as f64 >= LEAST_EMPTY
    }

    /// Where number `bin` of an estimate is; none if it is not judged.
    fn place(&self, places: Where, estimate: &Estimate, bin: usize) -> Option<Place> {
        let of = |text: String| Some(Place { text, k_h_mpc: None });
        let at_k = |k: &[f64], up_to: f64| {
            let k = *k.get(bin).filter(|k| **k <= up_to)?;
            Some(Place { text: format!("k = {k:.2} h/Mpc"), k_h_mpc: Some(k) })
        };
        match places {
            Where::Whole => of(String::new()),
            Where::Bands(up_to) => at_k(&self.places.k_h_mpc, up_to),
            Where::Triangles(up_to) => at_k(&self.places.bispectrum_k_h_mpc, up_to),
            Where::Percents => of(format!("{} %", LOW_PERCENTS[bin])),
            Where::Radii => {
                let enough = estimate.sums.get(bin).is_some_and(|[_, of_truth]| *of_truth >= FEWEST_VOIDS);
                let radius = self.places.void_radius_mpc_h.get(bin).filter(|_| enough)?;
                of(format!("{radius:.1} Mpc/h and more"))
            }
            Where::Environments => {
                let environments = ENVIRONMENT_EDGES.len() + 1;
                let per_environment = estimate.value.len().div_ceil(environments).max(1);
                let (environment, number) = (bin / per_environment, bin % per_environment + 1);
                let edge = |number: usize| ENVIRONMENT_EDGES.get(number);
                let range = match (environment.checked_sub(1).and_then(edge), edge(environment)) {
                    (None, Some(high)) => format!("condition below {high}"),
                    (Some(low), Some(high)) => format!("condition {low} to {high}"),
                    (Some(low), None) => format!("condition above {low}"),
                    (None, None) => String::new(),
                };
                of(if per_environment == 1 { range } else { format!("{range}, rank below {number}") })
            }
            Where::Ranks => {
                // M − 1 by distance, M of each number.
                let samples = (estimate.value.len() + 1).div_ceil(NAMES.len() + 1);
                of(match (bin + 1).checked_sub(samples) {
                    None => format!("distance, rank below {}", bin + 1),
                    Some(after) => format!("{}, rank below {}", NAMES[after / samples], after % samples + 1),
                })
            }
            Where::Steps => match estimate.value.len() {
                1 => of(String::new()),
                steps => of(format!("step {} of {steps}", bin + 1)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimates::Estimates;
    use crate::{Measured, limits, measurements};

    fn pooled() -> Pooled {
        let one = |value: f64| Estimate::new(vec![value], vec![0.001]);
        Pooled {
            boxes: 8,
            samples: 32,
            errors_from: ErrorSource::Boxes,
            places: measurements::Places {
                k_h_mpc: vec![0.5, 0.9, 3.0, 6.0],
                bispectrum_k_h_mpc: vec![0.4, 3.0],
                void_radius_mpc_h: vec![8.0, 4.0],
            },
            estimates: Estimates {
                ratio: Estimate::new(vec![1.0, 0.99, 1.09, 0.2], vec![0.005; 4]),
                bispectrum_ratio: Estimate::new(vec![f64::NAN, 3.0], Vec::new()),
                percentile_99_9_ratio: one(0.94),
                mass_ratio: one(1.0041),
                void_ratio: Estimate {
                    sums: vec![[9.0, 10.0], [80.0, 100.0]],
                    ..Estimate::new(vec![0.9, 0.8], vec![0.01; 2])
                },
                environment_mass_ratio: Estimate::new(
                    vec![1.05, 1.0, 1.0, 1.0, 1.0, f64::NAN],
                    vec![0.005; 6],
                ),
                environment_rank_excess: Estimate::new(vec![0.0; 18], vec![0.002; 18]),
                seam_gradient_ratio: Estimate::new(vec![1.001, 1.0], vec![f64::NAN; 2]),
                ..Estimates::default()
            },
            transfer: Estimate::default(),
            covariance: Measured::skipped("few boxes"),
            seams_tested: 4,
            seamless: 3,
            truth_seamless: 4,
            seams_skipped: None,
        }
    }

    fn judged(pooled: &Pooled, key: &str) -> Judgement {
        pooled.judge().into_iter().find(|judged| judged.key == key).unwrap()
    }

    #[test]
    fn goals_are_judged_by_intervals_at_the_worst_place() {
        let pooled = pooled();
        let large = judged(&pooled, "power_large_scales");
        assert_eq!((large.outcome, large.found, large.at_k_h_mpc), (Outcome::Pass, Some(0.99), Some(0.9)));
        assert!((large.excess().unwrap() + 0.02).abs() < 1e-12);
        let [low, high] = large.interval.unwrap();
        assert!((low - 0.98).abs() < 1e-6 && (high - 1.0).abs() < 1e-6);
        let small = judged(&pooled, "power_small_scales");
        assert_eq!(
            (small.outcome, small.found, small.standard_error),
            (Outcome::Miss, Some(1.09), Some(0.005))
        );
        // 1.0041 ± 0.002 is neither within 0.005 nor outside of it.
        let mass = judged(&pooled, "mass");
        assert_eq!(mass.outcome, Outcome::Undecided);
        assert!(mass.note.unwrap().contains("too large"));
        let of_environment = judged(&pooled, "environment_mass");
        assert_eq!(
            (of_environment.outcome, of_environment.at.as_deref()),
            (Outcome::Miss, Some("condition below 0.2"))
        );
        assert_eq!(judged(&pooled, "environment_ranks").outcome, Outcome::Pass);
        // Ten voids are too few to tell.
        let voids = judged(&pooled, "voids");
        assert_eq!((voids.outcome, voids.at.as_deref()), (Outcome::Miss, Some("4.0 Mpc/h and more")));
        for key in ["pair_ratio", "bispectrum", "coverage"] {
            let found = judged(&pooled, key);
            assert!(found.outcome == Outcome::NotMeasured && found.note.is_some(), "{key}");
        }
        // Without an error nothing is decided.
        let seams = judged(&pooled, "seams");
        assert_eq!((seams.outcome, seams.at.as_deref()), (Outcome::Undecided, Some("step 1 of 2")));
    }

    #[test]
    fn the_worst_of_many_places_must_be_worse() {
        // 3.2 standard errors beyond the goal: too much for one place, not for the worst of eleven.
        let mut pooled = pooled();
        let mut of = |places: usize| {
            let mut value = vec![1.0; places];
            value[places - 1] = 1.0 + limits::SEAMS + 0.0032 - 1e-5;
            pooled.estimates.seam_gradient_ratio = Estimate::new(value, vec![0.001; places]).with_freedom(15);
            judged(&pooled, "seams").outcome
        };
        assert_eq!([of(1), of(11)], [Outcome::Miss, Outcome::Undecided]);
    }

    #[test]
    fn few_boxes_need_more_than_two_errors() {
        let mut pooled = pooled();
        let mut of = |freedom: usize| {
            pooled.estimates.mass_ratio = Estimate::new(vec![1.002], vec![0.001]).with_freedom(freedom);
            judged(&pooled, "mass").outcome
        };
        assert_eq!([of(1000), of(7), of(2)], [Outcome::Pass, Outcome::Pass, Outcome::Undecided]);
    }

    #[test]
    fn a_truth_that_is_nowhere_empty_is_not_judged_by_its_emptiness() {
        let mut pooled = pooled();
        let mut of = |share: f64| {
            let ratio =
                Estimate { sums: vec![[8.0 * share, 8.0 * share]], ..Estimate::new(vec![1.0], vec![0.001]) };
            pooled.estimates.nearly_empty_ratio = ratio;
            judged(&pooled, "nearly_empty").outcome
        };
        assert_eq!([of(0.05), of(1e-4)], [Outcome::Pass, Outcome::NotMeasured]);
    }
}
