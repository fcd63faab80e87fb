//! Errors of this crate.

use finescale_field::Grid;
use finescale_ranks::RanksError;
use std::path::{Path, PathBuf};

/// What can go wrong when a volume is generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutpaintError {
    /// A volume smaller than a window.
    #[error(
        "a volume of {cells:?} cells is smaller than the model's window of {window_cells} cells: give a larger one"
    )]
    SmallerThanWindow {
        /// Cells of the volume.
        cells: [usize; 3],
        /// Cells of a window per axis.
        window_cells: usize,
    },
    /// Windows that do not advance.
    #[error(
        "windows of {window_cells} cells that overlap by {overlap_cells} do not work: choose an overlap below the window"
    )]
    Overlap {
        /// Cells of a window per axis.
        window_cells: usize,
        /// Cells of overlap.
        overlap_cells: usize,
    },
    /// A setting that its strategy does not have, or out of range.
    #[error("{name}: found {found}; it must be {expected}")]
    Setting {
        /// The key in JSON.
        name: &'static str,
        /// Its value.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// Channels of a condition on different grids.
    #[error("the condition has a channel on {found:?} beside one on {expected:?}: they must be the same")]
    Channels {
        /// Grid of the first channel.
        expected: Grid,
        /// Grid of another one.
        found: Grid,
    },
    /// Values of a work folder that changed after they were written.
    #[error(
        "the values of piece {window} in the work folder are no longer those that were written; is the disk sound? with \
         --resume they are generated again"
    )]
    Damaged {
        /// The first piece that changed.
        window: usize,
    },
    /// A region that is no part of the condition's box.
    #[error("the region of {shape:?} cells at {start:?} does not fit the condition's {cells:?} cells")]
    Region {
        /// First cell of the region.
        start: [i64; 3],
        /// Cells of the region.
        shape: [usize; 3],
        /// Cells of the condition.
        cells: [usize; 3],
    },
    /// A network that answers with infinities, no numbers, or what is next to them.
    #[error(
        "window {window}: the network's estimate is not finite, or larger than 2^24, at voxel {voxel:?} of the volume; the model or the condition is at fault"
    )]
    NotFinite {
        /// Number of the window.
        window: usize,
        /// The first such voxel.
        voxel: [usize; 3],
    },
    /// The user stopped it.
    #[error("stopped; what was done is kept, go on with --resume")]
    Cancelled,
    /// Ranks that were given different things to do, or do them differently.
    #[error(
        "rank {rank} generates something else than rank 0, or another way ({what} differs): all must have the same files, options and \
         program, and nodes of one kind (FINESCALE_SIMD=avx2 for all where some know less)"
    )]
    RanksDiffer {
        /// Another rank.
        rank: usize,
        /// What differs first.
        what: String,
    },
    /// Ranks that do not work together.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// A given region on another grid.
    #[error(
        "the given region has voxels of {found:?} Mpc/h, the condition of {expected:?}: they must be the same"
    )]
    GivenVoxel {
        /// Sides of the condition's voxels.
        expected: [f64; 3],
        /// Sides of the region's.
        found: [f64; 3],
    },
    /// A given region of other fields.
    #[error("{found} fields are given, and {expected} are generated: give each of them")]
    GivenFields {
        /// Fields that are generated.
        expected: usize,
        /// Fields that are given.
        found: usize,
    },
    /// Work that is there although nobody asked to resume it.
    #[error("{folder}: holds the work of an unfinished generation; add --resume to go on with it, with the settings it began with, or remove the folder", folder = folder.display())]
    Unfinished {
        /// The work folder.
        folder: PathBuf,
    },
    /// Work of a generation with other inputs.
    #[error("{folder}: cannot resume: {what} was {found} when this work began, now it is {expected}; use the same, or remove the folder", folder = folder.display())]
    ResumeMismatch {
        /// The work folder.
        folder: PathBuf,
        /// What differs.
        what: String,
        /// Its value now.
        expected: String,
        /// Its value in the work folder.
        found: String,
    },
    /// Work that another program, device or instruction set began: to go on would mix bits.
    #[error(
        "{folder}: cannot resume: {what} was {found} when this work began, now it is {expected}; the result would have the \
         bits of neither. Go on where it began, with --resume-anyway, or remove the folder",
        folder = folder.display()
    )]
    OtherProgram {
        /// The work folder.
        folder: PathBuf,
        /// What differs.
        what: String,
        /// Its value now.
        expected: String,
        /// Its value in the work folder.
        found: String,
    },
    /// A folder in the place of a work folder that holds other files.
    #[error("{folder}: holds {name}, which is no part of a generation; move it, or choose another name for the output", folder = folder.display())]
    ForeignFolder {
        /// The folder.
        folder: PathBuf,
        /// One of its files.
        name: String,
    },
    /// A work folder that another process uses.
    #[error("{path}: another process is generating this volume; wait for it or stop it", path = path.display())]
    Busy {
        /// The file that it holds.
        path: PathBuf,
    },
    /// A work folder whose header cannot be read.
    #[error("{path}: not the header of a generation ({detail}); remove the work folder to start again", path = path.display())]
    Header {
        /// The header file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file system refused.
    #[error("{path}: {doing} failed: {source}; what was finished is kept, free some space or mend the cause and resume", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Values of the condition, or of what is given, that cannot be read.
    #[error("{0}")]
    Read(#[source] finescale_field::WindowError),
    /// A field that cannot be windowed.
    #[error(transparent)]
    Field(#[from] finescale_field::FieldError),
    /// Sampling settings or tensors at fault.
    #[error(transparent)]
    Diffusion(#[from] finescale_diffusion::DiffusionError),
    /// The network at fault.
    #[error("the network failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl OutpaintError {
    /// Whether what was asked for, or a file that was given, is at fault, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Field(source) => source.is_input(),
            Self::Ranks(source) => source.is_input(),
            Self::NotFinite { .. }
            | Self::Cancelled
            | Self::Busy { .. }
            | Self::Io { .. }
            // Its source is asked for itself.
            | Self::Read(_)
            | Self::Tensor(_) => false,
            Self::SmallerThanWindow { .. }
            | Self::Overlap { .. }
            | Self::RanksDiffer { .. }
            | Self::Setting { .. }
            | Self::Channels { .. }
            | Self::Damaged { .. }
            | Self::Region { .. }
            | Self::GivenVoxel { .. }
            | Self::GivenFields { .. }
            | Self::Unfinished { .. }
            | Self::ResumeMismatch { .. }
            | Self::OtherProgram { .. }
            | Self::ForeignFolder { .. }
            | Self::Header { .. }
            | Self::Diffusion(_) => true,
        }
    }

    /// An [`OutpaintError::Io`].
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.into(), doing, source }
    }
}
