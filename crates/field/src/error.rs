//! Errors of this crate.

/// What can go wrong with grids and fields.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum FieldError {
    /// A grid without cells, or with a box that has no volume.
    #[error(
        "a grid needs cells and a positive finite box size in each axis, found {cells:?} cells over {box_size_mpc_h:?} Mpc/h"
    )]
    Grid {
        /// Cells per axis.
        cells: [usize; 3],
        /// Box size per axis in Mpc/h.
        box_size_mpc_h: [f64; 3],
    },
    /// An array whose shape is not the one that its grid or region states.
    #[error("expected an array of {expected:?} cells, found {found:?}")]
    Shape {
        /// The shape that was needed.
        expected: [usize; 3],
        /// The shape that was given.
        found: [usize; 3],
    },
    /// A region larger than the grid it is a window of.
    #[error("a region of {shape:?} cells does not fit a periodic grid of {cells:?}")]
    RegionSize {
        /// Shape of the region.
        shape: [usize; 3],
        /// Cells of the grid.
        cells: [usize; 3],
    },
}
