//! Errors of this crate.

use finescale_field::Grid;

/// What can go wrong with statistics of fields.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum SpectraError {
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
}
