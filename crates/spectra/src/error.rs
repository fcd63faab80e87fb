//! Errors of this crate.

use finescale_field::Grid;
use finescale_ranks::RanksError;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with statistics of fields.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum SpectraError {
    /// Sub-volumes that do not divide a grid.
    #[error("{blocks_per_axis} sub-volumes per axis do not divide {cells:?} cells")]
    SubVolumes {
        /// Sub-volumes asked for.
        blocks_per_axis: usize,
        /// Cells of the grid.
        cells: [usize; 3],
    },
    /// A field whose values do not make a density.
    #[error(
        "a density needs finite values with a positive mean, found a mean of {mean}; look for NaN, or for a field of 1 + delta that was stored as delta"
    )]
    NotADensity {
        /// The mean that was found.
        mean: f64,
    },
    /// Two fields that are not on the same grid.
    #[error(
        "two fields to compare need one grid: {:?} cells over {:?} Mpc/h against {:?} cells over {:?} Mpc/h",
        expected.cells(), expected.box_size_mpc_h(), found.cells(), found.box_size_mpc_h()
    )]
    Grids {
        /// Grid of the first field.
        expected: Box<Grid>,
        /// Grid of the second field.
        found: Box<Grid>,
    },
    /// Too little to resample.
    #[error("a bootstrap needs two blocks and two resamples or more, found {blocks} and {resamples}")]
    Resamples {
        /// Blocks to draw from.
        blocks: usize,
        /// Draws asked for.
        resamples: usize,
    },
    /// A triangle that a grid cannot hold.
    #[error(
        "triangles need finite k >= 0, shells of positive width, below Nyquist, and at most as many waves in sum as cells: found sides of {k_h_mpc:?} h/Mpc, shells of half a width of {half_width_h_mpc} on {cells:?} cells"
    )]
    Triangle {
        /// Sides asked for in h/Mpc.
        k_h_mpc: [f64; 3],
        /// Half the width of the shells in h/Mpc.
        half_width_h_mpc: f64,
        /// Cells of the grid.
        cells: [usize; 3],
    },
    /// Bands or bins over an interval that has no extent.
    #[error("{count} bins need an interval that rises{positive}, found {low} to {high}")]
    Interval {
        /// Number of bins asked for.
        count: usize,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// What else the interval must fulfil.
        positive: &'static str,
    },
    /// A percentile outside of 0 to 100.
    #[error("a percentile lies between 0 and 100, found {found}")]
    Percentile {
        /// What was asked for.
        found: f64,
    },
    /// Thresholds that do not rise.
    #[error("thresholds must be finite and rise, found {found:?}")]
    Thresholds {
        /// What was given.
        found: Vec<f64>,
    },
    /// A radius that this grid cannot resolve or hold.
    #[error("a radius must lie between {smallest} and {largest} Mpc/h here, found {found}")]
    Radius {
        /// What was asked for, in Mpc/h.
        found: f64,
        /// The smallest that can be, in Mpc/h.
        smallest: f64,
        /// The largest that can be, in Mpc/h.
        largest: f64,
    },
    /// Blocks that do not fill the grid.
    #[error("blocks of {block}^3 voxels do not divide a grid of {cells:?}")]
    Blocks {
        /// Voxels of a block along each axis.
        block: usize,
        /// Cells of the grid.
        cells: [usize; 3],
    },
    /// Faces of tiles that leave nothing to compare with.
    #[error(
        "seams along axis {axis} need faces within its {cells} cells, each once and rising, and two offsets that touch none of them, found {found:?}"
    )]
    Faces {
        /// The axis: 0, 1, 2 for x, y, z.
        axis: usize,
        /// Cells along it.
        cells: usize,
        /// The faces that were given.
        found: Vec<usize>,
    },
    /// Too few samples for a statistic of their spread.
    #[error("calibration needs at least {needed} samples, found {found}")]
    Samples {
        /// The fewest that make sense.
        needed: usize,
        /// Number given.
        found: usize,
    },
    /// The file that holds modes for which there is no memory.
    #[error("{folder}: {doing} the file without a name that holds Fourier modes failed: {reason}; {remedy}", folder = folder.display())]
    Storage {
        /// The folder it lies in.
        folder: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        reason: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// Ranks that lost each other.
    #[error(transparent)]
    Ranks(#[from] RanksError),
}

impl SpectraError {
    /// A [`SpectraError::Storage`].
    pub(crate) fn storage<'a>(folder: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> Self + 'a {
        move |error| Self::Storage {
            folder: folder.into(),
            doing,
            reason: error.to_string(),
            remedy: finescale_durable::remedy(&error),
        }
    }

    /// Whether the input is at fault, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::SubVolumes { .. }
            | Self::NotADensity { .. }
            | Self::Grids { .. }
            | Self::Resamples { .. }
            | Self::Triangle { .. }
            | Self::Interval { .. }
            | Self::Percentile { .. }
            | Self::Thresholds { .. }
            | Self::Radius { .. }
            | Self::Blocks { .. }
            | Self::Faces { .. }
            | Self::Samples { .. } => true,
            Self::Storage { .. } => false,
            Self::Ranks(error) => error.is_input(),
        }
    }
}
