//! Errors of this crate.

use finescale_spectra::SpectraError;
use std::path::PathBuf;

/// What can go wrong with a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A comparison without anything to compare.
    #[error("a comparison needs at least one sample beside the truth")]
    NoSamples,
    /// A field without statistics, or one that does not lie on the grid of the others.
    #[error("{label} cannot be compared")]
    Statistics {
        /// Label of the field.
        label: String,
        /// What is wrong with it.
        source: SpectraError,
    },
    /// A file of the report that could not be written.
    #[error(
        "{path}: the report could not be written ({source}); is the folder writable and the disk not full?"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}
