//! The modes of a field, in the memory of one process or elsewhere, which measure alike.

use finescale_field::{Grid, Scheme};
use finescale_spectra::{CrossSpectra, LineOfSight, ModeSlabs, Modes, Multipoles, SpectraError, Spectrum};

/// Modes, wherever they lie. All of one command lie alike.
#[expect(clippy::large_enum_variant, reason = "two of them are made for a spectrum")]
pub(super) enum FieldModes<'a> {
    /// In memory.
    Whole(Modes),
    /// On several ranks, or in a file.
    Slabs(ModeSlabs<'a>),
}

impl FieldModes<'_> {
    pub(super) fn grid(&self) -> &Grid {
        match self {
            Self::Whole(modes) => modes.grid(),
            Self::Slabs(modes) => modes.grid(),
        }
    }

    pub(super) fn power(&self) -> Result<Spectrum, SpectraError> {
        match self {
            Self::Whole(modes) => Ok(modes.power()),
            Self::Slabs(modes) => modes.power(),
        }
    }

    pub(super) fn multipoles(&self, line_of_sight: LineOfSight) -> Result<Multipoles, SpectraError> {
        match self {
            Self::Whole(modes) => Ok(modes.multipoles(line_of_sight)),
            Self::Slabs(modes) => modes.multipoles(line_of_sight),
        }
    }

    pub(super) fn shot_noise(&self, power_mpc_h3: f64, scheme: Scheme) -> Result<Spectrum, SpectraError> {
        match self {
            Self::Whole(modes) => Ok(modes.shot_noise(power_mpc_h3, scheme)),
            Self::Slabs(modes) => modes.shot_noise(power_mpc_h3, scheme),
        }
    }

    /// The powers of both, and their cross power.
    pub(super) fn cross_spectra(&self, other: &Self) -> Result<CrossSpectra, SpectraError> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => {
                Ok(CrossSpectra { cross: a.cross(b)?, power: [a.power(), b.power()] })
            }
            (Self::Slabs(a), Self::Slabs(b)) => a.cross_spectra(b),
            _ => unreachable!("one place was chosen for the modes of both"),
        }
    }
}
