//! Fields in Fourier space.

use crate::bootstrap::BlockPower;
use crate::error::named;
use crate::estimate::mean_of;
use crate::{JudgeError, Labelled, Watch};
use finescale_field::Grid;
use finescale_spectra::{Bands, Modes, SpectraError, Spectrum, correlation_of};

/// A field's modes with its spectra.
pub(crate) struct Transformed {
    pub(crate) modes: Modes,
    pub(crate) spectra: Spectra,
}

/// A field's spectra in shells and bands.
pub(crate) struct Spectra {
    pub(crate) label: String,
    pub(crate) shells: Spectrum,
    pub(crate) banded: Spectrum,
    /// Power in shells and in bands without the window of the mass assignment; none where that is not known.
    pub(crate) without_window: Option<[Spectrum; 2]>,
    pub(crate) blocks: BlockPower,
}

impl Transformed {
    pub(crate) fn new(labelled: &Labelled<'_>, bands: &Bands, watch: &Watch<'_>) -> Result<Self, JudgeError> {
        watch(&labelled.label, "power");
        let modes = modes_of(labelled)?;
        let (shells, banded) = (modes.power(), modes.power_in(bands));
        let (modes, without_window) = match labelled.assignment {
            None => (modes, None),
            window => {
                let divided = modes.divided_by(window);
                let power = [divided.power(), divided.power_in(bands)];
                (divided.divided_by(None), Some(power))
            }
        };
        let blocks = BlockPower::new(labelled.field, bands);
        let label = labelled.label.clone();
        Ok(Self { modes, spectra: Spectra { label, shells, banded, without_window, blocks } })
    }

    /// The modes of a field once more, whose spectra were kept.
    pub(crate) fn again(labelled: &Labelled<'_>, spectra: Spectra) -> Result<Self, JudgeError> {
        Ok(Self { modes: modes_of(labelled)?, spectra })
    }

    /// # Errors
    /// [`JudgeError::Statistics`] if the field lies on another grid.
    pub(crate) fn check_grid(&self, expected: &Grid) -> Result<(), JudgeError> {
        let found = self.modes.grid();
        if expected == found {
            return Ok(());
        }
        let (expected, found) = (Box::new(*expected), Box::new(*found));
        Err(named(&self.spectra.label)(SpectraError::Grids { expected, found }))
    }

    /// r with another field, in shells and in bands.
    pub(crate) fn correlate(&self, other: &Self, bands: &Bands) -> Result<[Vec<f64>; 2], JudgeError> {
        let (mine, its) = (&self.spectra, &other.spectra);
        let shells = self.modes.cross(&other.modes).map_err(named(&mine.label))?;
        let banded = self.modes.cross_in(&other.modes, bands).map_err(named(&mine.label))?;
        Ok([
            correlation_of(&shells, &mine.shells, &its.shells),
            correlation_of(&banded, &mine.banded, &its.banded),
        ])
    }
}

fn modes_of(labelled: &Labelled<'_>) -> Result<Modes, JudgeError> {
    Modes::within(labelled.field, None, labelled.boundary).map_err(named(&labelled.label))
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
