//! Samples against the truth: every statistic of a report.

use crate::baselines::{Baselines, with_matched_pdf};
use crate::calibration::{CalibrationReport, LEAST_R2};
use crate::characters::visible_json;
use crate::goals::Judgement;
use crate::measured::Measured;
use crate::pooled::{BoxSummary, Estimate, Pooled};
use crate::published::{PublishedComparison, PublishedSpectrum};
use crate::seam_test::SeamJudge;
use crate::slices::Slices;
use crate::statistics::{
    DENSE_PERCENT, FieldStatistics, PDF_RANGE, Reference, Transformed, mean_of, named, products,
    standard_error_of,
};
use crate::sub_volumes::{BlockPower, CosmicVariance, octant_ratio_error, relative_ratio_error};
use crate::upscaled::Upscaled;
use crate::volumes::Volumes;
use crate::{ReportError, Verdict};
use finescale_field::{Field3, Grid};
use finescale_spectra::{
    Bands, SpectraError, TileFaces, fundamental_h_mpc, mean_density, nyquist_h_mpc, percentile,
};
use serde::Serialize;
use serde_json::{Value, json};

/// Of the keys of report.json: rises when a key changes its meaning or goes.
const VERSION: u32 = 2;
/// Bands between the fundamental and the Nyquist wavenumber.
const BAND_COUNT: usize = 8;

/// A density field in units of the cosmic mean, 1 + δ, with its name in the report.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// Such as `truth` or `sample 1`.
    pub label: String,
    /// The field.
    pub field: &'a Field3,
    /// Where the tiles meet that it was made of, or why that is not known.
    pub faces: Result<TileFaces, String>,
}

impl<'a> Labelled<'a> {
    /// `field`, called `label`, of unknown tiles.
    #[must_use]
    pub fn new(label: impl Into<String>, field: &'a Field3) -> Self {
        let faces = Err("nothing is known of tiles that the field was made of".to_owned());
        Self { label: label.into(), field, faces }
    }

    /// The same with the faces of its tiles, or with the reason why they are not known.
    #[must_use]
    pub fn with_faces(self, faces: Result<TileFaces, String>) -> Self {
        Self { faces, ..self }
    }
}

/// The fields of one box, all on one grid.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// What is true.
    pub truth: Labelled<'a>,
    /// The low-resolution field that the samples were drawn from.
    pub condition: Option<Labelled<'a>>,
    /// The samples, one at least.
    pub samples: Vec<Labelled<'a>>,
    /// Tiles drawn without knowing of each other, which must show seams.
    pub independent_tiles: Option<Labelled<'a>>,
}

/// What the samples have in common, by band. Arrays over the bands; null where a band holds no modes.
#[derive(Clone, Debug, Serialize)]
pub struct BandMeans {
    /// Lower edges in h/Mpc.
    pub k_min_h_mpc: Vec<f64>,
    /// Upper edges in h/Mpc, excluded.
    pub k_max_h_mpc: Vec<f64>,
    /// Mean |k| of the modes in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// Independent modes.
    pub modes: Vec<u64>,
    /// P of the truth in (Mpc/h)³.
    pub truth_power: Vec<f64>,
    /// P / P_truth, mean over the samples.
    pub sample_ratio: Vec<f64>,
    /// Standard error of that mean from the scatter of the samples; null for one sample.
    pub sample_ratio_standard_error: Vec<f64>,
    /// Standard error of that mean by bootstrap over sub-volumes, truth and samples drawn together; null where the
    /// sub-volumes do not resolve a band.
    pub sample_ratio_bootstrap_error: Vec<f64>,
    /// r(sample, truth), mean over the samples.
    pub sample_cross_correlation: Vec<f64>,
    /// r(sample, other sample), mean over the pairs; empty for one sample.
    pub sample_agreement: Vec<f64>,
    /// P_condition / P_truth; empty without a condition.
    pub condition_ratio: Vec<f64>,
    /// r(condition, truth); empty without a condition.
    pub condition_cross_correlation: Vec<f64>,
}

/// Samples against a truth on one grid, with all statistics made.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub(crate) title: String,
    pub(crate) grid: Grid,
    pub(crate) k_h_mpc: Vec<f64>,
    pub(crate) modes: Vec<u64>,
    pub(crate) truth: FieldStatistics,
    pub(crate) condition: Option<FieldStatistics>,
    pub(crate) samples: Vec<FieldStatistics>,
    pub(crate) sample_agreement: Vec<f64>,
    pub(crate) bands: BandMeans,
    pub(crate) verdict: Verdict,
    pub(crate) calibration: Measured<CalibrationReport>,
    pub(crate) baselines: Baselines,
    pub(crate) boxes: Vec<BoxSummary>,
    pub(crate) pooled: Pooled,
    pub(crate) goals: Vec<Judgement>,
    pub(crate) published: Vec<PublishedComparison>,
    pub(crate) slices: Slices,
    pub(crate) volumes: Volumes,
    pub(crate) upscaled: Vec<Upscaled>,
    pub(crate) provenance: Value,
}

impl Comparison {
    /// Computes all statistics of samples, and of the condition that they were drawn from, against the truth.
    /// Fields keep their units: nothing is renormalised.
    ///
    /// # Errors
    /// [`ReportError::NoSamples`]; [`ReportError::Statistics`] if a field is not a density or lies on another grid
    /// than the truth.
    pub fn new(fields: &Fields<'_>) -> Result<Self, ReportError> {
        let Fields { truth, condition, samples, independent_tiles } = fields;
        if samples.is_empty() {
            return Err(ReportError::NoSamples);
        }
        let grid = *truth.field.grid();
        let bands = bands_of(&grid).map_err(named(&truth.label))?;

        // Statistics field by field.
        let reference = Reference::new(truth, &bands)?;
        let mut judge = SeamJudge::new(truth.field);
        let mut measure = |field: &Labelled<'_>| -> Result<(Transformed, FieldStatistics), ReportError> {
            let modes = Transformed::new(field, &bands)?;
            check_grid(&modes, &reference)?;
            let statistics = FieldStatistics::against(field, &modes, &reference, judge.judge(field))?;
            Ok((modes, statistics))
        };
        let truth_statistics = FieldStatistics::of_truth(truth, &reference)?;
        let condition_statistics = condition.as_ref().map(|c| Ok(measure(c)?.1)).transpose()?;
        let (transformed, statistics): (Vec<_>, Vec<_>) =
            samples.iter().map(&mut measure).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let baselines = Baselines {
            matched_pdf: match condition {
                Some(condition) => {
                    let matched = with_matched_pdf(condition.field, truth.field);
                    Measured::Done(measure(&Labelled::new("condition with matched PDF", &matched))?.1)
                }
                None => Measured::skipped("no condition was given"),
            },
            independent_tiles: match independent_tiles {
                Some(tiles) => Measured::Done(measure(tiles)?.1),
                None => Measured::skipped("none were given (--independent-tiles)"),
            },
            cosmic_variance: CosmicVariance::of(truth.field, &bands).into(),
        };

        // What they have in common.
        let sample_fields: Vec<&Field3> = samples.iter().map(|sample| sample.field).collect();
        let [sample_agreement, band_agreement] = agreement(&transformed, &bands)?;
        let mut means = band_means(
            &bands,
            &reference.transformed,
            condition_statistics.as_ref(),
            &statistics,
            band_agreement,
        );
        let blocks: Vec<&BlockPower> = transformed.iter().map(|sample| &sample.blocks).collect();
        let relative = relative_ratio_error(&blocks, &reference.transformed.blocks, bands.count());
        means.sample_ratio_bootstrap_error = products(&relative, &means.sample_ratio);
        let calibration: Measured<CalibrationReport> = CalibrationReport::new(
            truth.field,
            &sample_fields,
            (&reference.transformed, &transformed),
            &bands,
        )
        .into();
        let verdict = Verdict::new(
            bands.edges_h_mpc(),
            &means.sample_ratio,
            &truth_statistics,
            condition_statistics.as_ref(),
            &statistics,
        );
        let mut comparison = Self {
            title: "Samples against the truth".to_owned(),
            grid,
            k_h_mpc: reference.transformed.shells.k_h_mpc.clone(),
            modes: reference.transformed.shells.modes.clone(),
            boxes: Vec::new(),
            pooled: Pooled::new(&[], &[], Vec::new()),
            goals: Vec::new(),
            published: Vec::new(),
            slices: Slices::through_densest(truth.field, condition.as_ref(), samples, Some(truth)),
            volumes: Volumes::new(truth, condition.as_ref(), samples),
            truth: truth_statistics,
            condition: condition_statistics,
            samples: statistics,
            sample_agreement,
            bands: means,
            verdict,
            calibration,
            baselines,
            upscaled: Vec::new(),
            provenance: json!({}),
        };
        comparison.boxes.push(comparison.summarise(truth.field, &sample_fields));
        comparison.pool();
        Ok(comparison)
    }

    fn summarise(&self, truth: &Field3, samples: &[&Field3]) -> BoxSummary {
        let against = || self.samples.iter().filter_map(|s| s.against_truth.as_ref());
        let seams = || against().filter_map(|a| a.seams.done());
        let seam_gradients: Vec<f64> =
            seams().map(|test| test.field.gradient.at_faces / test.truth.gradient.at_faces).collect();
        let pair_ratio = self.calibration.done().map_or_else(Estimate::default, |found| {
            let judged = found.pair_ratio.iter().zip(&found.r2);
            let value = judged.map(|(&ratio, &r2)| if r2 > LEAST_R2 { ratio } else { f64::NAN }).collect();
            Estimate { value, standard_error: found.pair_ratio_standard_error.clone() }
        });
        let single = |of: fn(&FieldStatistics) -> f64, error: f64| {
            let values = self.samples.iter().map(|sample| of(sample) / of(&self.truth));
            let mean = values.sum::<f64>() / self.samples.len() as f64;
            Estimate { value: vec![mean], standard_error: vec![error] }
        };
        BoxSummary {
            label: "box 1".to_owned(),
            samples: self.samples.len(),
            ratio: Estimate {
                value: self.bands.sample_ratio.clone(),
                standard_error: self.bands.sample_ratio_bootstrap_error.clone(),
            },
            cross_correlation: Estimate::of(against().map(|a| a.band_cross_correlation.as_slice())),
            pair_ratio,
            log_power_ratio: Estimate::of(against().map(|a| a.log_power_ratio.as_slice())),
            bispectrum_ratio: Estimate::of(against().map(|a| a.bispectrum_ratio.as_slice())),
            percentile_99_9_ratio: single(
                |field| field.percentile_99_9,
                octant_ratio_error(truth, samples, |octant| percentile(octant, DENSE_PERCENT)),
            ),
            mass_ratio: single(|f| f.mean_density, octant_ratio_error(truth, samples, mean_density)),
            seamless: seams().map(|seams| seams.seamless).collect(),
            truth_seamless: seams().map(|seams| seams.truth.gradient.is_expected()).collect(),
            seam_gradient_ratio: Estimate::of(seam_gradients.chunks(1)),
            seams_skipped: against().find_map(|a| a.seams.reason()).map(str::to_owned),
            grid: self.grid,
        }
    }

    /// Means over all boxes, and what they say of the goals.
    fn pool(&mut self) {
        let bispectrum = self.truth.beyond_power.as_ref().and_then(|beyond| beyond.bispectrum.done());
        let sides = bispectrum.map(|b| b.equilateral.k_h_mpc.iter().map(|k| k[0]).collect());
        self.pooled = Pooled::new(&self.boxes, &self.bands.k_h_mpc, sides.unwrap_or_default());
        self.goals = self.pooled.judge();
    }

    /// What this box adds to the means over boxes.
    #[must_use]
    pub fn summary(&self, label: impl Into<String>) -> BoxSummary {
        BoxSummary { label: label.into(), ..self.boxes[0].clone() }
    }

    /// The same with further boxes in the means that the goals are judged by.
    ///
    /// # Errors
    /// [`ReportError::Boxes`] if a box is not on this grid.
    pub fn with_boxes(
        mut self,
        label: impl Into<String>,
        boxes: Vec<BoxSummary>,
    ) -> Result<Self, ReportError> {
        self.boxes[0].label = label.into();
        if let Some(other) = boxes.iter().find(|other| other.grid != self.grid) {
            let (expected, found) = (self.grid.cells(), other.grid.cells());
            return Err(ReportError::Boxes { label: other.label.clone(), expected, found });
        }
        self.boxes.extend(boxes);
        self.pool();
        Ok(self)
    }

    /// The same beside spectra that others published.
    #[must_use]
    pub fn with_published(mut self, spectra: Vec<PublishedSpectrum>) -> Self {
        let sample = mean_of(self.samples.iter().map(|s| s.band_power.as_slice()));
        let (k, truth) = (&self.bands.k_h_mpc, &self.bands.truth_power);
        self.published.extend(spectra.into_iter().map(|s| PublishedComparison::new(s, k, truth, &sample)));
        self
    }

    /// The goals and whether they are met.
    #[must_use]
    pub fn goals(&self) -> &[Judgement] {
        &self.goals
    }

    /// Means over the boxes.
    #[must_use]
    pub fn pooled(&self) -> &Pooled {
        &self.pooled
    }

    /// The same with a title of its own.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The same with what is known of the files and the model: an object; its members are listed in the report.
    #[must_use]
    pub fn with_provenance(mut self, provenance: Value) -> Self {
        self.provenance = provenance;
        self
    }

    /// The same with a section on fields that have no truth: a region of a real simulation, say. Its grid may be
    /// another than the comparison's.
    ///
    /// # Errors
    /// [`ReportError::NoSamples`] and [`ReportError::Statistics`] as in [`Comparison::new`].
    pub fn with_upscaled(
        mut self,
        title: impl Into<String>,
        condition: &Labelled<'_>,
        samples: &[Labelled<'_>],
    ) -> Result<Self, ReportError> {
        self.upscaled.push(Upscaled::new(title.into(), condition, samples)?);
        Ok(self)
    }

    /// The comparison in a handful of numbers.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The statistics by band.
    #[must_use]
    pub fn bands(&self) -> &BandMeans {
        &self.bands
    }

    /// Statistics that could not be measured, and why; of fields that share a reason, the first.
    pub(crate) fn skipped(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, reason: Option<&str>| {
            if let Some(reason) = reason
                && found.iter().all(|(known, why)| known != name || why != reason)
            {
                found.push((name.to_owned(), reason.to_owned()));
            }
        };
        for field in std::iter::once(&self.truth).chain(&self.samples) {
            let Some(beyond) = &field.beyond_power else { continue };
            add("power of ln(1 + δ)", beyond.log_power.reason());
            add("bispectrum", beyond.bispectrum.reason());
            for densities in &beyond.densities {
                add("densities of blocks", densities.of_blocks.reason());
            }
            add("voids", beyond.voids.reason());
            add("peaks", beyond.peaks.reason());
            add("Minkowski functionals", beyond.minkowski.reason());
            add("scattering", beyond.scattering.reason());
            add("seams", field.against_truth.as_ref().and_then(|against| against.seams.reason()));
        }
        add("calibration", self.calibration.reason());
        add("condition with matched PDF", self.baselines.matched_pdf.reason());
        add("independent tiles", self.baselines.independent_tiles.reason());
        add("cosmic variance", self.baselines.cosmic_variance.reason());
        found
    }

    /// The content of report.json. Numbers that do not exist (0/0) are null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (low, high, bins) = PDF_RANGE;
        let width = (high - low) / bins as f64;
        visible_json(json!({
            "format": "finescale-report",
            "version": VERSION,
            "title": self.title,
            "cells": self.grid.cells(),
            "box_size_mpc_h": self.grid.box_size_mpc_h(),
            "nyquist_h_mpc": nyquist_h_mpc(&self.grid),
            "k_h_mpc": self.k_h_mpc,
            "modes": self.modes,
            "pdf_log10_density": (0..bins).map(|b| low + (b as f64 + 0.5) * width).collect::<Vec<_>>(),
            "truth": self.truth,
            "condition": self.condition,
            "samples": self.samples,
            "sample_agreement": self.sample_agreement,
            "bands": self.bands,
            "verdict": self.verdict,
            "goals": self.goals,
            "pooled": self.pooled,
            "boxes": self.boxes,
            "calibration": self.calibration,
            "baselines": self.baselines,
            "published": self.published,
            "also_upscaled": self.upscaled.iter().map(Upscaled::to_json).collect::<Vec<_>>(),
            "provenance": self.provenance,
        }))
    }
}

pub(crate) fn bands_of(grid: &Grid) -> Result<Bands, finescale_spectra::SpectraError> {
    Bands::logarithmic(fundamental_h_mpc(grid), nyquist_h_mpc(grid), BAND_COUNT)
}

fn check_grid(field: &Transformed, truth: &Reference<'_>) -> Result<(), ReportError> {
    let (expected, found) = (*truth.transformed.modes.grid(), *field.modes.grid());
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (Box::new(expected), Box::new(found));
    Err(named(&field.label)(SpectraError::Grids { expected, found }))
}

/// Mean r over the pairs of samples, in shells and bands.
fn agreement(samples: &[Transformed], bands: &Bands) -> Result<[Vec<f64>; 2], ReportError> {
    let (mut shells, mut banded) = (Vec::new(), Vec::new());
    for (i, first) in samples.iter().enumerate() {
        for second in &samples[i + 1..] {
            let [shell, band] = first.correlate(second, bands)?;
            shells.push(shell);
            banded.push(band);
        }
    }
    Ok([shells, banded].map(|all| mean_of(all.iter().map(Vec::as_slice))))
}

fn band_means(
    bands: &Bands,
    truth: &Transformed,
    condition: Option<&FieldStatistics>,
    samples: &[FieldStatistics],
    sample_agreement: Vec<f64>,
) -> BandMeans {
    let against = || samples.iter().filter_map(|s| s.against_truth.as_ref());
    let of_condition = condition.and_then(|c| c.against_truth.clone());
    let (condition_ratio, condition_cross_correlation) =
        of_condition.map(|a| (a.band_ratio, a.band_cross_correlation)).unwrap_or_default();
    let edges = bands.edges_h_mpc();
    BandMeans {
        k_min_h_mpc: edges[..bands.count()].to_vec(),
        k_max_h_mpc: edges[1..].to_vec(),
        k_h_mpc: truth.banded.k_h_mpc.clone(),
        modes: truth.banded.modes.clone(),
        truth_power: truth.banded.power.clone(),
        sample_ratio: mean_of(against().map(|a| a.band_ratio.as_slice())),
        sample_ratio_standard_error: standard_error_of(against().map(|a| a.band_ratio.as_slice())),
        sample_ratio_bootstrap_error: vec![f64::NAN; bands.count()],
        sample_cross_correlation: mean_of(against().map(|a| a.band_cross_correlation.as_slice())),
        sample_agreement,
        condition_ratio,
        condition_cross_correlation,
    }
}
