//! Whether samples vary as much as they should: several samples of one truth.

use crate::Labelled;
use crate::limits::{LEAST_R2, SCORE_BLOCKS};
use crate::measured::Measured;
use finescale_field::Field3;
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{
    Bands, Calibration, EnsemblePower, Modes, RankHistogram, SpectraError, fair_crps, log_density,
    rank_histogram,
};
use serde::Serialize;

/// Cells between the blocks of a rank histogram: beyond the length over which errors are alike.
const RANK_SPACING_CELLS: usize = 8;
const SEED: u64 = 2;

/// What several samples of one truth say of their spread.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// P(SR_i × SR_j) / P(SR × HR) by band: 1 if samples differ from each other as they differ from the truth.
    pub pair_ratio: Vec<f64>,
    /// The error that one truth leaves, from samples in the truth's place; null for fewer than three samples.
    pub pair_ratio_standard_error: Vec<f64>,
    /// r(sample, truth) of ln(1 + δ) by band, mean over the samples.
    pub log_with_truth: Vec<f64>,
    /// r(sample, other sample) of ln(1 + δ) by band, mean over the pairs.
    pub log_among_samples: Vec<f64>,
    /// The former over the latter: 1 for draws of the truth's own distribution.
    pub log_agreement_ratio: Vec<f64>,
    /// The error that one truth leaves of it; null for fewer than three samples.
    pub log_agreement_ratio_standard_error: Vec<f64>,
    /// r²(sample, truth) by band; the ratio means something where it is above [`Self::least_r2`].
    pub r2: Vec<f64>,
    /// Least r² of bands that are judged.
    pub least_r2: f64,
    /// √((M + 1)/M) rms spread / rms error of the samples' mean, by band: 1 if right, below for too little
    /// spread; empty for fewer than three samples.
    pub spread_over_error: Vec<f64>,
    /// Scores of blocks of voxels.
    pub scores: Vec<BlockScores>,
}

/// Scores of the logarithmic densities of blocks of voxels.
#[derive(Clone, Debug, Serialize)]
pub struct BlockScores {
    /// Voxels of a block along each axis.
    pub block: usize,
    /// Fair continuous ranked probability score of ln(1 + δ): lower is better.
    pub crps: Measured<f64>,
    /// How often the truth has each rank among the samples, over blocks some cells apart.
    pub ranks: Measured<RankHistogram>,
    /// χ² of flat ranks over its degrees of freedom.
    pub rank_chi_square_per_degree: Option<f64>,
}

impl CalibrationReport {
    /// Of two samples or more; `found`: the calibration of their modes.
    pub(crate) fn new(
        found: Calibration,
        truth: &Labelled<'_>,
        samples: &[&Field3],
        bands: &Bands,
    ) -> Result<Self, SpectraError> {
        let of_logarithms = {
            let modes = |field: &Field3| Modes::from_log_density_within(field, truth.boundary);
            let of_samples = samples.iter().map(|s| modes(s)).collect::<Result<Vec<_>, _>>()?;
            let all: Vec<&Modes> = of_samples.iter().collect();
            EnsemblePower::new(&modes(truth.field)?, &all, bands)?.calibration()
        };
        let logarithm = log_density(truth.field)?;
        let logarithms = samples.iter().map(|s| log_density(s)).collect::<Result<Vec<_>, _>>()?;
        let logarithms: Vec<&Field3> = logarithms.iter().collect();
        Ok(Self {
            pair_ratio: found.pair_ratio,
            pair_ratio_standard_error: found.pair_ratio_error,
            log_with_truth: of_logarithms.with_truth,
            log_among_samples: of_logarithms.among_samples,
            log_agreement_ratio: of_logarithms.agreement_ratio,
            log_agreement_ratio_standard_error: of_logarithms.agreement_ratio_error,
            r2: found.r2,
            least_r2: LEAST_R2,
            spread_over_error: if samples.len() > 2 { found.spread_over_error } else { Vec::new() },
            scores: SCORE_BLOCKS.map(|block| BlockScores::new(&logarithm, &logarithms, block)).into(),
        })
    }
}

impl BlockScores {
    fn new(truth: &Field3, samples: &[&Field3], block: usize) -> Self {
        let ties = KeyedStream::new(SEED, Purpose::Bootstrap);
        let ranks = rank_histogram(truth, samples, block, RANK_SPACING_CELLS.div_ceil(block), ties);
        let per_degree = |ranks: &RankHistogram| ranks.chi_square() / ranks.degrees_of_freedom() as f64;
        Self {
            block,
            crps: fair_crps(truth, samples, block).into(),
            rank_chi_square_per_degree: ranks.as_ref().ok().map(per_degree),
            ranks: ranks.into(),
        }
    }
}
