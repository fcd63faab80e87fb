//! Errors of this crate.

use std::path::PathBuf;

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
    /// Particles that were not displaced from the sites of a lattice, or nobody can tell from which.
    #[error(
        "{path}: its {species} particles are no lattice: {reason}; give initial conditions of a higher redshift, or such whose \
         ParticleIDs count the sites of the lattice in order, from n^3 particles of equal mass",
        path = path.display()
    )]
    NotALattice {
        /// The first file of the initial conditions.
        path: PathBuf,
        /// Which particles.
        species: String,
        /// How that shows.
        reason: String,
    },
    /// Initial conditions that no coarser ones can be made of.
    #[error("{path}: {reason}", path = path.display())]
    Source {
        /// The first file of the initial conditions.
        path: PathBuf,
        /// What is wrong with them, and what to do.
        reason: String,
    },
    /// A file that could not be read or written.
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
            Self::Config { .. } | Self::NotALattice { .. } | Self::Source { .. } => true,
        }
    }
}
