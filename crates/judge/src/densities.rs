//! Densities of voxels and of blocks of voxels.

use crate::limits::{DENSITY_BLOCKS, PDF_RANGE, PERCENTS};
use crate::measured::Measured;
use finescale_field::{Field3, coarsen};
use finescale_spectra::{Pdf, SpectraError, pdf, percentiles, wasserstein};
use serde::Serialize;
use std::borrow::Cow;

/// Densities of blocks of voxels.
#[derive(Clone, Debug, Serialize)]
pub struct Densities {
    /// Voxels of a block along each axis.
    pub block: usize,
    /// Distribution and percentiles; skipped if the blocks do not divide the grid.
    pub of_blocks: Measured<DensityStatistics>,
}

/// The distribution of densities.
#[derive(Clone, Debug, Serialize)]
pub struct DensityStatistics {
    /// Histogram of log10(1 + δ).
    #[serde(flatten)]
    pub pdf: Pdf,
    /// Percentages.
    pub percents: [f64; PERCENTS.len()],
    /// The density that so many percent lie below, in units of the cosmic mean.
    pub percentiles: Vec<f64>,
    /// Wasserstein-1 distance of ln(1 + δ) from the truth's distribution; none for the truth.
    pub wasserstein: Option<f64>,
}

impl Densities {
    /// By size of the blocks; `voxels`: those of the first size, blocks of one voxel.
    pub(crate) fn by_block(voxels: DensityStatistics, field: &Field3, truth: Option<&Field3>) -> Vec<Self> {
        let mut voxels = Some(voxels);
        let of_size = |block| {
            let of_blocks = voxels.take().map_or_else(|| DensityStatistics::new(field, truth, block), Ok);
            Self { block, of_blocks: of_blocks.into() }
        };
        DENSITY_BLOCKS.map(of_size).into()
    }
}

impl DensityStatistics {
    /// Of the means of blocks; `truth`: what the distribution is compared with.
    pub(crate) fn new(field: &Field3, truth: Option<&Field3>, block: usize) -> Result<Self, SpectraError> {
        let (low, high, bins) = PDF_RANGE;
        let coarse = blocks(field, block)?;
        let truth = truth.map(|truth| blocks(truth, block)).transpose()?;
        Ok(Self {
            pdf: pdf(&coarse, low, high, bins)?,
            percents: PERCENTS,
            percentiles: percentiles(&coarse, &PERCENTS)?,
            wasserstein: truth.as_deref().map(|truth| wasserstein(&coarse, truth)).transpose()?,
        })
    }
}

/// The means of blocks; of single voxels the field itself.
fn blocks(field: &Field3, block: usize) -> Result<Cow<'_, Field3>, SpectraError> {
    if block == 1 {
        return Ok(Cow::Borrowed(field));
    }
    let cells = field.grid().cells();
    let means = coarsen(field, [block; 3]).map_err(|_| SpectraError::Blocks { block, cells })?;
    Ok(Cow::Owned(means))
}
