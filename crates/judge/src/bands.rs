//! The bands of a report, wider than the shells of its spectra.

use crate::estimate::{Estimate, mean_of, products};
use crate::statistics::{AgainstTruth, FieldStatistics};
use crate::transformed::Spectra;
use finescale_field::Grid;
use finescale_spectra::{Bands, SpectraError, fundamental_h_mpc, nyquist_h_mpc};
use serde::Serialize;

/// Bands between the fundamental and the Nyquist wavenumber.
pub(crate) const BAND_COUNT: usize = 8;

/// The bands of a grid: [`BAND_COUNT`] of equal logarithmic width, from its fundamental to its Nyquist
/// wavenumber.
///
/// # Errors
/// [`SpectraError::Interval`] if the grid holds no wave between the two.
pub(crate) fn bands_of(grid: &Grid) -> Result<Bands, SpectraError> {
    Bands::logarithmic(fundamental_h_mpc(grid), nyquist_h_mpc(grid), BAND_COUNT)
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
    /// Standard error of that mean by bootstrap over sub-volumes, truth and samples drawn together; null
    /// where the sub-volumes do not resolve a band.
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

impl BandMeans {
    /// `sample_agreement`: r of the pairs of samples; `relative_error`: of the mean ratio by bootstrap, over
    /// that ratio.
    pub(crate) fn new(
        bands: &Bands,
        truth: &Spectra,
        condition: Option<&FieldStatistics>,
        samples: &[FieldStatistics],
        sample_agreement: Vec<f64>,
        relative_error: &[f64],
    ) -> Self {
        let against = || samples.iter().filter_map(|s| s.against_truth.as_ref());
        let of_condition = |of: fn(&AgainstTruth) -> &Vec<f64>| {
            condition.and_then(|c| c.against_truth.as_ref()).map(of).cloned().unwrap_or_default()
        };
        let ratio = Estimate::from_samples(against().map(|a| a.band_ratio.as_slice()));
        let edges = bands.edges_h_mpc();
        Self {
            k_min_h_mpc: edges[..bands.count()].to_vec(),
            k_max_h_mpc: edges[1..].to_vec(),
            k_h_mpc: truth.banded.k_h_mpc.clone(),
            modes: truth.banded.modes.clone(),
            truth_power: truth.banded.power.clone(),
            sample_ratio_bootstrap_error: products(relative_error, &ratio.value),
            sample_ratio: ratio.value,
            sample_ratio_standard_error: ratio.standard_error,
            sample_cross_correlation: mean_of(against().map(|a| a.band_cross_correlation.as_slice())),
            sample_agreement,
            condition_ratio: of_condition(|a| &a.band_ratio),
            condition_cross_correlation: of_condition(|a| &a.band_cross_correlation),
        }
    }
}
