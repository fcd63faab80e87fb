//! Samples against the truth: every statistic of a report.

use crate::slices::Slices;
use crate::statistics::{FieldStatistics, PDF_RANGE, Transformed, mean_of, named, standard_error_of};
use crate::upscaled::Upscaled;
use crate::{ReportError, Verdict};
use finescale_field::{Field3, Grid};
use finescale_spectra::{Bands, fundamental_h_mpc, nyquist_h_mpc};
use serde::Serialize;
use serde_json::{Value, json};

/// Bands between the fundamental and the Nyquist wavenumber.
const BAND_COUNT: usize = 8;

/// A density field in units of the cosmic mean, 1 + δ, with its name in the report.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// Such as `truth` or `sample 1`.
    pub label: String,
    /// The field.
    pub field: &'a Field3,
}

impl<'a> Labelled<'a> {
    /// `field`, called `label`.
    #[must_use]
    pub fn new(label: impl Into<String>, field: &'a Field3) -> Self {
        Self { label: label.into(), field }
    }
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
    pub(crate) slices: Slices,
    pub(crate) upscaled: Vec<Upscaled>,
    pub(crate) provenance: Value,
}

impl Comparison {
    /// Computes all statistics of `samples`, and of the `condition` that they were drawn from, against `truth`.
    /// Fields keep their units: nothing is renormalised.
    ///
    /// # Errors
    /// [`ReportError::NoSamples`]; [`ReportError::Statistics`] if a field is not a density or lies on another grid
    /// than the truth.
    pub fn new(
        truth: &Labelled<'_>,
        condition: Option<&Labelled<'_>>,
        samples: &[Labelled<'_>],
    ) -> Result<Self, ReportError> {
        if samples.is_empty() {
            return Err(ReportError::NoSamples);
        }
        let grid = *truth.field.grid();
        let bands = bands_of(&grid).map_err(named(&truth.label))?;

        // Statistics field by field.
        let true_modes = Transformed::new(truth, &bands)?;
        let against = Some((&true_modes, &bands));
        let truth_statistics = FieldStatistics::new(truth, &true_modes, None)?;
        let condition_statistics =
            condition.map(|c| FieldStatistics::new(c, &Transformed::new(c, &bands)?, against)).transpose()?;
        let mut transformed = Vec::with_capacity(samples.len());
        let mut statistics = Vec::with_capacity(samples.len());
        for sample in samples {
            let modes = Transformed::new(sample, &bands)?;
            statistics.push(FieldStatistics::new(sample, &modes, against)?);
            transformed.push(modes);
        }

        // What they have in common.
        let [sample_agreement, band_agreement] = agreement(&transformed, &bands)?;
        let means =
            band_means(&bands, &true_modes, condition_statistics.as_ref(), &statistics, band_agreement);
        let verdict = Verdict::new(
            bands.edges_h_mpc(),
            &means.sample_ratio,
            &truth_statistics,
            condition_statistics.as_ref(),
            &statistics,
        );
        Ok(Self {
            title: "Samples against the truth".to_owned(),
            grid,
            k_h_mpc: true_modes.shells.k_h_mpc.clone(),
            modes: true_modes.shells.modes.clone(),
            truth: truth_statistics,
            condition: condition_statistics,
            samples: statistics,
            sample_agreement,
            bands: means,
            verdict,
            slices: Slices::through_densest(truth.field, condition, samples, Some(truth)),
            upscaled: Vec::new(),
            provenance: json!({}),
        })
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

    /// The content of report.json. Numbers that do not exist (0/0) are null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (low, high, bins) = PDF_RANGE;
        let width = (high - low) / bins as f64;
        json!({
            "format": "finescale-report",
            "version": 1,
            "title": self.title,
            "cells": self.grid.cells(),
            "box_size_mpc_h": self.grid.box_size_mpc_h(),
            "k_h_mpc": self.k_h_mpc,
            "modes": self.modes,
            "pdf_log10_density": (0..bins).map(|b| low + (b as f64 + 0.5) * width).collect::<Vec<_>>(),
            "truth": self.truth,
            "condition": self.condition,
            "samples": self.samples,
            "sample_agreement": self.sample_agreement,
            "bands": self.bands,
            "verdict": self.verdict,
            "also_upscaled": self.upscaled.iter().map(Upscaled::to_json).collect::<Vec<_>>(),
            "provenance": self.provenance,
        })
    }

    /// Mean over the samples of a statistic of each against the truth.
    pub(crate) fn sample_mean(&self, of: impl Fn(&crate::AgainstTruth) -> &[f64]) -> Vec<f64> {
        mean_of(self.samples.iter().filter_map(|s| s.against_truth.as_ref()).map(of))
    }
}

pub(crate) fn bands_of(grid: &Grid) -> Result<Bands, finescale_spectra::SpectraError> {
    Bands::logarithmic(fundamental_h_mpc(grid), nyquist_h_mpc(grid), BAND_COUNT)
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
        sample_cross_correlation: mean_of(against().map(|a| a.band_cross_correlation.as_slice())),
        sample_agreement,
        condition_ratio,
        condition_cross_correlation,
    }
}
