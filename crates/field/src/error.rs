//! Errors of this crate.

use crate::readable_bytes;

/// What can go wrong with grids and fields.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum FieldError {
    /// A grid without cells or with more than can be, or with a box that is none.
    #[error(
        "a grid needs cells, fewer than there are addresses, and a box of 1e-6 to 1e9 Mpc/h in each axis; found {cells:?} cells over {box_size_mpc_h:?} Mpc/h"
    )]
    Grid {
        /// Cells per axis.
        cells: [usize; 3],
        /// Box size per axis in Mpc/h.
        box_size_mpc_h: [f64; 3],
    },
    /// A box that is longer in one axis than in another by more than any use has.
    #[error(
        "a box of {box_size_mpc_h:?} Mpc/h: no side may be more than 1000 times another; check its sizes and units"
    )]
    Stretched {
        /// Box size per axis in Mpc/h.
        box_size_mpc_h: [f64; 3],
    },
    /// A box whose sides are no whole numbers of voxels.
    #[error(
        "a box of {box_size_mpc_h:?} Mpc/h has no voxels that are cubes with {cells} along its longest side: choose another \
         number of cells{}",
        fitting.map_or(String::new(), |cells| format!(", such as {cells}"))
    )]
    Sides {
        /// Sides of the box in Mpc/h.
        box_size_mpc_h: [f64; 3],
        /// Cells along the longest one.
        cells: usize,
        /// The nearest number that fits, if there is one.
        fitting: Option<usize>,
    },
    /// More memory than there is.
    #[error(
        "{what} needs {} of memory, {} available; take fewer cells or a part of the box, or a machine with more memory",
        readable_bytes(*needed),
        available.map_or("not so much is".to_owned(), |bytes| format!("{} are", readable_bytes(bytes.into())))
    )]
    Memory {
        /// What needs it.
        what: String,
        /// Bytes that it needs.
        needed: u128,
        /// Bytes that there are, if the system tells.
        available: Option<u64>,
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
    /// A name that is no place in a voxel.
    #[error("unknown centring `{found}`: use cell or corner")]
    Centring {
        /// What was given.
        found: String,
    },
    /// A name that is no mass assignment scheme.
    #[error("unknown mass assignment `{found}`: use ngp, cic, tsc or pcs")]
    Scheme {
        /// What was given.
        found: String,
    },
    /// As many weights as particles are needed.
    #[error("{particles} particles came with {weights} weights")]
    Weights {
        /// Number of positions.
        particles: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A particle that is nowhere.
    #[error("particle {index} has a position or weight that is not finite: is the snapshot damaged?")]
    NotFinite {
        /// Index within the positions given to one call.
        index: usize,
    },
    /// A density needs particles with mass.
    #[error("the particles' weights sum to {total}, so there is no mean density to divide by")]
    NoMass {
        /// Sum of the weights.
        total: f64,
    },
    /// Blocks that do not fill the grid.
    #[error("blocks of {factor:?} voxels do not divide a grid of {cells:?}")]
    Factor {
        /// Voxels per block and axis.
        factor: [usize; 3],
        /// Cells of the grid.
        cells: [usize; 3],
    },
    /// A voxel that cannot be a density in units of the mean.
    #[error(
        "voxel {voxel:?} holds {value}, which is no density 1 + delta: it must be finite and not negative"
    )]
    Density {
        /// The first such voxel.
        voxel: [usize; 3],
        /// Its value.
        value: f32,
    },
    /// A normalizer that cannot be.
    #[error("this normalizer cannot work: {why}")]
    Normalizer {
        /// What was expected and found.
        why: String,
    },
}

impl FieldError {
    /// Whether what was asked for, or a file that was given, is at fault, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Grid { .. }
            | Self::Stretched { .. }
            | Self::Sides { .. }
            | Self::Shape { .. }
            | Self::RegionSize { .. }
            | Self::Centring { .. }
            | Self::Scheme { .. }
            | Self::Weights { .. }
            | Self::NotFinite { .. }
            | Self::NoMass { .. }
            | Self::Factor { .. }
            | Self::Density { .. }
            | Self::Normalizer { .. } => true,
        }
    }
}
