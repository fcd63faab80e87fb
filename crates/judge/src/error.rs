//! Errors of this crate.

use finescale_spectra::SpectraError;
use std::path::PathBuf;

/// What cannot be measured or judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
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
    /// A table of a published spectrum that cannot be read.
    #[error(
        "{path}, line {line}: {detail}; a row is k in h/Mpc and P in (Mpc/h)^3, rising in k, comments begin \
         with #"
    )]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// Samples that do not all have a companion.
    #[error(
        "{label}: {found} fields are given for {expected} samples; each sample needs the one that it was drawn with"
    )]
    Companions {
        /// What the other field is.
        label: String,
        /// Samples.
        expected: usize,
        /// Companions.
        found: usize,
    },
    /// Boxes that are not on one grid.
    #[error(
        "{label}: {found:?} cells, but the first box has {expected:?}, or another size; boxes are pooled on \
         one grid"
    )]
    Boxes {
        /// Label of the box.
        label: String,
        /// Cells of the first box.
        expected: [usize; 3],
        /// Cells of this one.
        found: [usize; 3],
    },
}

/// Names the field that an error speaks of.
pub(crate) fn named(label: &str) -> impl Fn(SpectraError) -> JudgeError {
    let label = label.to_owned();
    move |source| JudgeError::Statistics { label: label.clone(), source }
}
