//! Fields that were upscaled where no truth is known.

use crate::bands::bands_of;
use crate::error::named;
use crate::statistics::FieldStatistics;
use crate::transformed::Transformed;
use crate::{JudgeError, Labelled, Watch};
use finescale_field::Grid;
use finescale_spectra::nyquist_h_mpc;
use serde::Serialize;

/// A condition and what was drawn from it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Upscaled {
    /// Heading of the section.
    pub title: String,
    /// Cells and box size in Mpc/h.
    #[serde(flatten)]
    pub grid: Grid,
    /// Nyquist wavenumber in h/Mpc.
    pub nyquist_h_mpc: f64,
    /// Mean |k| of the modes of each shell in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// Independent modes of each shell.
    pub modes: Vec<u64>,
    /// The low-resolution field.
    pub condition: FieldStatistics,
    /// The samples, one at least.
    pub samples: Vec<FieldStatistics>,
}

impl Upscaled {
    /// Measures fields that share a grid.
    ///
    /// # Errors
    /// [`JudgeError::NoSamples`]; [`JudgeError::Statistics`] if a field is not a density or lies on another
    /// grid than the condition.
    pub fn new(
        title: impl Into<String>,
        condition: &Labelled<'_>,
        samples: &[Labelled<'_>],
    ) -> Result<Self, JudgeError> {
        if samples.is_empty() {
            return Err(JudgeError::NoSamples);
        }
        let nobody: &Watch<'_> = &|_, _| {};
        let grid = *condition.field.grid();
        let bands = bands_of(&grid).map_err(named(&condition.label))?;
        let of_condition = Transformed::new(condition, &bands, nobody)?;
        let measure = |sample: &Labelled<'_>| {
            let transformed = Transformed::new(sample, &bands, nobody)?;
            transformed.check_grid(&grid)?;
            FieldStatistics::alone(sample, &transformed, None, nobody)
        };
        Ok(Self {
            title: title.into(),
            grid,
            nyquist_h_mpc: nyquist_h_mpc(&grid),
            samples: samples.iter().map(measure).collect::<Result<_, _>>()?,
            condition: FieldStatistics::alone(condition, &of_condition, None, nobody)?,
            k_h_mpc: of_condition.spectra.shells.k_h_mpc,
            modes: of_condition.spectra.shells.modes,
        })
    }
}
