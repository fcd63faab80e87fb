//! Errors of this crate.

use std::path::PathBuf;

/// What can go wrong with a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file of the report that could not be written.
    #[error("{path}: the report could not be written: {source}; {}", finescale_durable::remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}
