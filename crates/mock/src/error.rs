//! Errors of this crate.

/// What can go wrong while a universe is made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// A setting that no universe can be made with.
    #[error("mock setting {name} = {found}: it must be {expected}")]
    Config {
        /// The setting's name in the configuration.
        name: &'static str,
        /// What it was.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// The user stopped it.
    #[error("stopped; nothing of this universe was written")]
    Cancelled,
    /// A grid that cannot be, or particles that cannot be deposited on it.
    #[error(transparent)]
    Field(#[from] finescale_field::FieldError),
    /// A file that could not be written.
    #[error(transparent)]
    Snapshot(#[from] finescale_snapshot::SnapshotError),
}

impl MockError {
    /// Whether what was asked for, or a file that was given, is at fault, and not the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Field(source) => source.is_input(),
            Self::Snapshot(source) => source.is_input(),
            Self::Cancelled => false,
            Self::Config { .. } => true,
        }
    }
}
