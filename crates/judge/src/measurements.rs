//! Every statistic of the fields of one box.

use crate::bands::{BandMeans, bands_of};
use crate::baselines::{Baselines, with_matched_pdf};
use crate::bootstrap::{BlockPower, relative_ratio_error};
use crate::calibration::CalibrationReport;
use crate::companion::CompanionReport;
use crate::coverage::CoverageReport;
use crate::environment::EnvironmentReport;
use crate::error::named;
use crate::measured::Measured;
use crate::octants::CosmicVariance;
use crate::seam_test::SeamJudge;
use crate::statistics::{FieldStatistics, Reference};
use crate::summary::{BoxSummary, Found};
use crate::transformed::{Transformed, agreement};
use crate::verdict::Verdict;
use crate::{Fields, JudgeError, Labelled, Watch};
use finescale_field::{Field3, Grid};
use finescale_spectra::{Bands, Calibration, EnsemblePower, Modes, SpectraError, nyquist_h_mpc};
use serde::Serialize;

/// Where the numbers that goals are judged by are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Places {
    /// Mean |k| of the modes of the bands in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// k of the equilateral triangles in h/Mpc; empty where the grid holds none.
    pub bispectrum_k_h_mpc: Vec<f64>,
    /// Radii of voids in Mpc/h, falling.
    pub void_radius_mpc_h: Vec<f64>,
}

/// The statistics of a truth, of samples and of baselines on one grid. Numbers that do not exist (0/0) are
/// null.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Measurements {
    /// Cells and box size in Mpc/h.
    #[serde(flatten)]
    pub grid: Grid,
    /// Nyquist wavenumber in h/Mpc.
    pub nyquist_h_mpc: f64,
    /// Mean |k| of the modes of each shell in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// Independent modes of each shell.
    pub modes: Vec<u64>,
    /// The truth.
    pub truth: FieldStatistics,
    /// The low-resolution field that the samples were drawn from.
    pub condition: Option<FieldStatistics>,
    /// The samples, one at least.
    pub samples: Vec<FieldStatistics>,
    /// r(sample, other sample) by shell, mean over the pairs; empty for one sample.
    pub sample_agreement: Vec<f64>,
    /// What the samples have in common, by band.
    pub bands: BandMeans,
    /// A handful of numbers.
    pub verdict: Verdict,
    /// Whether the samples vary as much as they should.
    pub calibration: Measured<CalibrationReport>,
    /// The same where the condition is empty, and where it is dense.
    pub environments: Measured<EnvironmentReport>,
    /// The same of several numbers of sub-volumes at once.
    pub coverage: Measured<CoverageReport>,
    /// How the samples go with another field that they were drawn together with.
    pub companion: Measured<CompanionReport>,
    /// What a sampler must beat, and what nothing can.
    pub baselines: Baselines,
    /// What this box adds to the means over boxes.
    #[serde(skip)]
    pub summary: BoxSummary,
}

impl Measurements {
    /// Computes all statistics of samples, and of the condition that they were drawn from, against the truth.
    /// Fields keep their units: nothing is renormalised. `label`: the name of the box.
    ///
    /// # Errors
    /// [`JudgeError::NoSamples`]; [`JudgeError::Statistics`] if a field is not a density or lies on another
    /// grid than the truth.
    pub fn new(label: &str, fields: &Fields<'_>) -> Result<Self, JudgeError> {
        Self::watched(label, fields, &|_, _| {})
    }

    /// The same, telling `watch` of each statistic before it is computed, [`steps`](crate::steps) times.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn watched(label: &str, fields: &Fields<'_>, watch: &Watch<'_>) -> Result<Self, JudgeError> {
        let Fields { truth, condition, samples, .. } = fields;
        if samples.is_empty() {
            return Err(JudgeError::NoSamples);
        }
        let grid = *truth.field.grid();
        let bands = bands_of(&grid).map_err(named(&truth.label))?;

        // Statistics field by field.
        let reference = Reference::new(truth, condition.as_ref(), &bands, watch)?;
        let mut judge = SeamJudge::new(truth.field);
        let mut measure = |field: &Labelled<'_>| -> Result<(Transformed, FieldStatistics), JudgeError> {
            let transformed = Transformed::new(field, &bands, watch)?;
            transformed.check_grid(&grid)?;
            let seams = judge.judge(field);
            let statistics = FieldStatistics::compared(field, &transformed, &reference, seams, watch)?;
            Ok((transformed, statistics))
        };
        let of_condition = condition.as_ref().map(|field| Ok(measure(field)?.1)).transpose()?;
        // Of the samples the spectra are kept, not the modes: they are made again when no other temporary is held.
        let mut of_sample = |sample| measure(sample).map(|(transformed, found)| (transformed.spectra, found));
        let (spectra, statistics): (Vec<_>, Vec<_>) =
            samples.iter().map(&mut of_sample).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        watch(&truth.label, "octants");
        let baselines = baselines(fields, &bands, |field| Ok(measure(field)?.1))?;

        // What they have in common.
        watch("samples", "calibration");
        let again = |(sample, spectra)| Transformed::again(sample, spectra);
        let transformed = samples.iter().zip(spectra).map(again).collect::<Result<Vec<_>, _>>()?;
        let [sample_agreement, band_agreement] = agreement(&transformed, &bands)?;
        let blocks: Vec<&BlockPower> = transformed.iter().map(|sample| &sample.spectra.blocks).collect();
        let relative = relative_ratio_error(&blocks, &reference.transformed.spectra.blocks, bands.count());
        let condition_statistics = of_condition.as_ref();
        let means = BandMeans::new(
            &bands,
            &reference.transformed.spectra,
            condition_statistics,
            &statistics,
            band_agreement,
            &relative,
        );
        let ensemble = ensemble(&reference.transformed, &transformed, &bands);
        let companion = companion(fields, &reference.transformed, &transformed, &bands)?;
        let Reference { transformed: of_truth, statistics: truth_statistics, .. } = reference;
        let shells = of_truth.spectra.shells;
        drop((transformed, of_truth.modes));
        let values: Vec<&Field3> = samples.iter().map(|sample| sample.field).collect();
        let calibration = ensemble.and_then(|found| CalibrationReport::new(found, truth, &values, &bands));
        let calibration = calibration.into();
        watch("samples", "environments");
        let environments = environments(fields, &values);
        let coverage = CoverageReport::new(truth.field, &values).into();

        // All of them in a handful of numbers.
        let edges = bands.edges_h_mpc();
        let verdict =
            Verdict::new(edges, &means.sample_ratio, &truth_statistics, condition_statistics, &statistics);
        let found = Found {
            truth: (truth.field, &truth_statistics),
            samples: (samples, &statistics),
            bands: &means,
            calibration: &calibration,
            environments: &environments,
            coverage: &coverage,
            companion: &companion,
        };
        let summary = BoxSummary::new(label, &found);
        Ok(Self {
            grid,
            nyquist_h_mpc: nyquist_h_mpc(&grid),
            k_h_mpc: shells.k_h_mpc,
            modes: shells.modes,
            truth: truth_statistics,
            condition: of_condition,
            samples: statistics,
            sample_agreement,
            bands: means,
            verdict,
            calibration,
            environments,
            coverage,
            companion,
            baselines,
            summary,
        })
    }

    /// All fields that were measured: truth, condition, samples, baselines.
    pub fn fields(&self) -> impl Iterator<Item = &FieldStatistics> {
        std::iter::once(&self.truth)
            .chain(&self.condition)
            .chain(&self.samples)
            .chain(self.baselines.matched_pdf.done())
            .chain(self.baselines.independent_tiles.done())
    }

    /// Whether truth, condition and samples all say their mass assignment, so that their power can stand beside one
    /// without a window.
    #[must_use]
    pub fn know_windows(&self) -> bool {
        let mut fields = std::iter::once(&self.truth).chain(&self.condition).chain(&self.samples);
        fields.all(|field| field.assignment.is_some())
    }

    /// Where the numbers that goals are judged by are.
    pub(crate) fn places(&self) -> Places {
        let (bispectrum, voids) = (self.truth.beyond(|b| &b.bispectrum), self.truth.beyond(|b| &b.voids));
        let sides = bispectrum.map(|b| b.equilateral.k_h_mpc.iter().map(|k| k[0]).collect());
        Places {
            k_h_mpc: self.bands.k_h_mpc.clone(),
            bispectrum_k_h_mpc: sides.unwrap_or_default(),
            void_radius_mpc_h: voids.map(|voids| voids.radius_mpc_h.clone()).unwrap_or_default(),
        }
    }

    /// Statistics that could not be measured, and why; of fields that share a reason, the first.
    #[must_use]
    pub fn skipped(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, reason: Option<&str>| {
            if let Some(reason) = reason
                && found.iter().all(|(known, why)| known != name || why != reason)
            {
                found.push((name.to_owned(), reason.to_owned()));
            }
        };
        for field in std::iter::once(&self.truth).chain(&self.samples) {
            for densities in &field.densities {
                add("densities of blocks", densities.of_blocks.reason());
            }
            let Some(beyond) = &field.beyond_power else { continue };
            add("power of ln(1 + δ)", beyond.log_power.reason());
            add("bispectrum", beyond.bispectrum.reason());
            add("voids", beyond.voids.reason());
            add("peaks", beyond.peaks.reason());
            add("Minkowski functionals", beyond.minkowski.reason());
            add("scattering", beyond.scattering.reason());
            add("seams", field.against_truth.as_ref().and_then(|against| against.seams.reason()));
        }
        add("calibration", self.calibration.reason());
        add("environments", self.environments.reason());
        add("coverage", self.coverage.reason());
        add("condition with matched PDF", self.baselines.matched_pdf.reason());
        add("independent tiles", self.baselines.independent_tiles.reason());
        add("cosmic variance", self.baselines.cosmic_variance.reason());
        found
    }
}

/// What is measured of the baselines by `measure`.
fn baselines(
    fields: &Fields<'_>,
    bands: &Bands,
    mut measure: impl FnMut(&Labelled<'_>) -> Result<FieldStatistics, JudgeError>,
) -> Result<Baselines, JudgeError> {
    let truth = fields.truth.field;
    Ok(Baselines {
        matched_pdf: match &fields.condition {
            Some(condition) => {
                let matched = with_matched_pdf(condition.field, truth);
                let matched = Labelled::new("condition with matched PDF", &matched)
                    .with_assignment(condition.assignment)
                    .with_boundary(condition.boundary);
                Measured::Done(measure(&matched)?)
            }
            None => Measured::skipped("no condition was given"),
        },
        independent_tiles: match &fields.independent_tiles {
            Some(tiles) => Measured::Done(measure(tiles)?),
            None => Measured::skipped("none were given (--independent-tiles)"),
        },
        cosmic_variance: CosmicVariance::new(truth, bands).into(),
    })
}

/// The calibration of the samples' modes.
fn ensemble(
    truth: &Transformed,
    samples: &[Transformed],
    bands: &Bands,
) -> Result<Calibration, SpectraError> {
    let modes: Vec<&Modes> = samples.iter().map(|sample| &sample.modes).collect();
    EnsemblePower::new(&truth.modes, &modes, bands).map(|ensemble| ensemble.calibration())
}

/// How truth and samples go with the other field of their universe.
fn companion(
    fields: &Fields<'_>,
    truth: &Transformed,
    samples: &[Transformed],
    bands: &Bands,
) -> Result<Measured<CompanionReport>, JudgeError> {
    let boundary = fields.truth.boundary;
    let found =
        fields.companion.as_ref().map(|its| CompanionReport::new(its, truth, samples, boundary, bands));
    Ok(found.transpose()?.map_or_else(|| Measured::skipped("none was given"), Measured::Done))
}

/// Samples beside the truth where the condition is empty, and where it is dense.
fn environments(fields: &Fields<'_>, samples: &[&Field3]) -> Measured<EnvironmentReport> {
    match &fields.condition {
        Some(condition) => {
            let (truth, condition) = (fields.truth.field, condition.field);
            Measured::Done(EnvironmentReport::new(truth, samples, condition, fields.truth.boundary))
        }
        None => Measured::skipped("no condition was given"),
    }
}
