//! Fields in Fourier space.

use crate::bootstrap::BlockPower;
use crate::error::named;
use crate::estimate::mean_of;
use crate::{JudgeError, Labelled};
use finescale_field::Grid;
use finescale_spectra::{Bands, Modes, SpectraError, Spectrum, correlation_of};

/// A field's modes with its spectra in shells and bands.
pub(crate) struct Transformed {
    pub(crate) label: String,
    pub(crate) modes: Modes,
    pub(crate) shells: Spectrum,
    pub(crate) banded: Spectrum,
    pub(crate) blocks: BlockPower,
}

impl Transformed {
    pub(crate) fn new(labelled: &Labelled<'_>, bands: &Bands) -> Result<Self, JudgeError> {
        let modes = Modes::new(labelled.field, None).map_err(named(&labelled.label))?;
        let (shells, banded) = (modes.power(), modes.power_in(bands));
        let blocks = BlockPower::new(labelled.field, bands);
        Ok(Self { label: labelled.label.clone(), modes, shells, banded, blocks })
    }

    /// # Errors
    /// [`JudgeError::Statistics`] if the field lies on another grid.
    pub(crate) fn check_grid(&self, expected: &Grid) -> Result<(), JudgeError> {
        let found = self.modes.grid();
        if expected == found {
            return Ok(());
        }
        let (expected, found) = (Box::new(*expected), Box::new(*found));
        Err(named(&self.label)(SpectraError::Grids { expected, found }))
    }

    /// r with another field, in shells and in bands.
    pub(crate) fn correlate(&self, other: &Self, bands: &Bands) -> Result<[Vec<f64>; 2], JudgeError> {
        let shells = self.modes.cross(&other.modes).map_err(named(&self.label))?;
        let banded = self.modes.cross_in(&other.modes, bands).map_err(named(&self.label))?;
        Ok([
            correlation_of(&shells, &self.shells, &other.shells),
            correlation_of(&banded, &self.banded, &other.banded),
        ])
    }
}

/// Mean r over the pairs of samples, in shells and bands; empty for one sample.
pub(crate) fn agreement(samples: &[Transformed], bands: &Bands) -> Result<[Vec<f64>; 2], JudgeError> {
    let (mut shells, mut banded) = (Vec::new(), Vec::new());
    for (i, first) in samples.iter().enumerate() {
        for second in &samples[i + 1..] {
            let [shell, band] = first.correlate(second, bands)?;
            shells.push(shell);
            banded.push(band);
        }
    }
    Ok([shells, banded].map(|all| mean_of(all.iter().map(Vec::as_slice))))
}
