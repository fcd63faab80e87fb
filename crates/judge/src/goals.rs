//! The goals of a good model. Their numbers are those of [`limits`].

use crate::estimate::Estimate;
use crate::estimates::Estimates;
use crate::limits::{self, FEWEST_VOIDS, LEAST_EMPTY, LEAST_R2, LOW_PERCENTS, Limit};

/// One goal.
pub(crate) struct Goal {
    pub(crate) key: &'static str,
    pub(crate) name: String,
    pub(crate) of: fn(&Estimates) -> &Estimate,
    pub(crate) places: Where,
    /// What is right: 1 of a ratio, 0 of an excess.
    pub(crate) right: f64,
    /// Largest distance from it.
    pub(crate) wanted: f64,
    /// Why there may be nothing to judge: none of a goal that is only there where it was measured.
    pub(crate) missing: Option<String>,
}

/// What the numbers of an estimate belong to.
#[derive(Clone, Copy)]
pub(crate) enum Where {
    /// The whole box.
    Whole,
    /// Bands of k up to so many h/Mpc.
    Bands(f64),
    /// Equilateral triangles up to so many h/Mpc.
    Triangles(f64),
    /// Low percentiles of the density.
    Percents,
    /// Radii of voids, of which there are enough.
    Radii,
    /// Environments, with so many numbers each.
    Environments,
    /// Ranks.
    Ranks,
    /// Steps of the sampler.
    Steps,
}

impl Goal {
    /// Of one number.
    fn of_box(
        key: &'static str,
        name: impl Into<String>,
        of: fn(&Estimates) -> &Estimate,
        wanted: f64,
    ) -> Self {
        let missing = Some("the truth has none".to_owned());
        Self { key, name: name.into(), of, places: Where::Whole, right: 1.0, wanted, missing }
    }

    /// Of ratios by band of k, or by triangle.
    fn by_k(
        key: &'static str,
        name: &str,
        of: fn(&Estimates) -> &Estimate,
        places: fn(f64) -> Where,
        limit: Limit,
    ) -> Self {
        let up_to = limit.up_to_h_mpc;
        let missing = Some(format!("nothing is measured up to {up_to} h/Mpc"));
        Self {
            name: format!("{name}, k ≤ {up_to} h/Mpc"),
            places: places(up_to),
            missing,
            ..Self::of_box(key, "", of, limit.off_by)
        }
    }

    fn at(self, places: Where) -> Self {
        Self { places, ..self }
    }

    /// Of numbers that should be 0.
    fn of_excess(self) -> Self {
        Self { right: 0.0, ..self }
    }

    fn missing(self, reason: impl Into<String>) -> Self {
        Self { missing: Some(reason.into()), ..self }
    }

    /// Not there where nothing was measured.
    fn only_if_measured(self) -> Self {
        Self { missing: None, ..self }
    }
}

/// All goals, in the order of a report.
pub(crate) fn goals() -> Vec<Goal> {
    [of_spectra(), of_companions(), of_densities(), of_calibration(), vec![of_seams()]]
        .into_iter()
        .flatten()
        .collect()
}

fn of_spectra() -> Vec<Goal> {
    let with_condition = "needs a condition, and triangles that fit the grid";
    vec![
        Goal::by_k("power_large_scales", "Power", |e| &e.ratio, Where::Bands, limits::POWER[0]),
        Goal::by_k("power_small_scales", "Power", |e| &e.ratio, Where::Bands, limits::POWER[1]),
        Goal::by_k(
            "log_power",
            "Power of ln(1 + δ)",
            |e| &e.log_power_ratio,
            Where::Bands,
            limits::LOG_POWER,
        ),
        Goal::by_k("bispectrum", "Bispectrum", |e| &e.bispectrum_ratio, Where::Triangles, limits::BISPECTRUM),
        Goal::by_k(
            "cross_bispectrum",
            "Bispectrum with the condition twice",
            |e| &e.cross_bispectrum_ratio,
            Where::Triangles,
            limits::BISPECTRUM,
        )
        .missing(with_condition),
        Goal::by_k(
            "double_cross_bispectrum",
            "Bispectrum with the condition once",
            |e| &e.double_cross_bispectrum_ratio,
            Where::Triangles,
            limits::BISPECTRUM,
        )
        .missing(with_condition),
    ]
}

fn of_companions() -> Vec<Goal> {
    let goal = |key, name, of: fn(&Estimates) -> &Estimate, limit| {
        Goal::by_k(key, name, of, Where::Bands, limit).only_if_measured()
    };
    vec![
        goal(
            "companion_power",
            "Cross power with the other field",
            |e| &e.companion_power_ratio,
            limits::COMPANION_POWER,
        ),
        goal(
            "companion_correlation",
            "Correlation with the other field",
            |e| &e.companion_correlation_ratio,
            limits::COMPANION_CORRELATION,
        ),
    ]
}

fn of_densities() -> Vec<Goal> {
    let dense = format!("Densest {:.1} % of the voxels", 100.0 - limits::DENSE_PERCENT);
    let [a, b, c, d] = LOW_PERCENTS;
    let low = format!("Percentiles {a}, {b}, {c}, {d} of the density");
    let empty = format!("Share of voxels below {} of the mean", limits::NEARLY_EMPTY);
    vec![
        Goal::of_box("mass", "Total mass", |e| &e.mass_ratio, limits::MASS),
        Goal::of_box("percentile_99_9", dense, |e| &e.percentile_99_9_ratio, limits::DENSE),
        Goal::of_box("low_percentiles", low, |e| &e.low_percentile_ratio, limits::LOW_DENSITIES)
            .at(Where::Percents),
        Goal::of_box("nearly_empty", empty, |e| &e.nearly_empty_ratio, limits::EMPTINESS)
            .missing(format!("less than {LEAST_EMPTY} of the truth is that empty")),
        Goal::of_box("voids", "Number of voids by size", |e| &e.void_ratio, limits::VOIDS)
            .at(Where::Radii)
            .missing(format!("needs a periodic volume, and {FEWEST_VOIDS} voids of the truth or more")),
    ]
}

fn of_calibration() -> Vec<Goal> {
    let pairs = format!("needs two samples of one box, and a band with r² above {LEAST_R2}");
    let several = "needs a condition, and two samples or more of each box, of all the same number";
    vec![
        Goal::by_k(
            "pair_ratio",
            "Calibration: pairs of samples",
            |e| &e.pair_ratio,
            Where::Bands,
            limits::PAIRS,
        )
        .missing(pairs.clone()),
        Goal::by_k(
            "log_agreement",
            "Calibration: agreement in ln(1 + δ)",
            |e| &e.log_agreement_ratio,
            Where::Bands,
            limits::LOG_AGREEMENT,
        )
        .missing(pairs),
        Goal::of_box(
            "environment_mass",
            "Mass by environment",
            |e| &e.environment_mass_ratio,
            limits::ENVIRONMENT_MASS,
        )
        .at(Where::Environments)
        .missing("needs a condition"),
        Goal::of_box(
            "environment_steps",
            "Roughness by environment",
            |e| &e.environment_step_ratio,
            limits::ENVIRONMENT_STEPS,
        )
        .at(Where::Environments)
        .missing("needs a condition"),
        Goal::of_box(
            "environment_spread",
            "Spread over error by environment",
            |e| &e.environment_spread_over_error,
            limits::ENVIRONMENT_SPREAD,
        )
        .at(Where::Environments)
        .missing(several),
        Goal::of_box(
            "environment_ranks",
            "Ranks of the truth by environment",
            |e| &e.environment_rank_excess,
            limits::ENVIRONMENT_RANKS,
        )
        .at(Where::Environments)
        .of_excess()
        .missing(several),
        Goal::of_box(
            "coverage",
            "Coverage of summaries of sub-volumes",
            |e| &e.coverage_excess,
            limits::COVERAGE,
        )
        .at(Where::Ranks)
        .of_excess()
        .missing("needs two samples or more of each box, of all the same number, and cells that sub-volumes divide"),
    ]
}

fn of_seams() -> Goal {
    Goal::of_box("seams", "Gradient where windows meet", |e| &e.seam_gradient_ratio, limits::SEAMS)
        .at(Where::Steps)
}
