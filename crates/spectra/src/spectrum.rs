//! Power spectra and what is made of two of them.

use crate::{Bands, Modes, SpectraError};
use finescale_field::{Field3, Scheme};
use serde::{Deserialize, Serialize};

/// A statistic of Fourier modes by wavenumber.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Mean |k| of the modes of each bin in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// P in (Mpc/h)³.
    pub power: Vec<f64>,
    /// Number of independent modes.
    pub modes: Vec<u64>,
}

impl Spectrum {
    /// Number of bins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.power.len()
    }

    /// Whether there is no bin at all, as for a grid of one cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.power.is_empty()
    }

    /// P / P_reference bin by bin, for spectra of one grid; NaN or infinite where the reference has no power.
    #[must_use]
    pub fn ratio(&self, reference: &Self) -> Vec<f64> {
        self.power.iter().zip(&reference.power).map(|(mine, reference)| mine / reference).collect()
    }

    /// Transfer function T = √(P / P_reference) bin by bin.
    #[must_use]
    pub fn transfer(&self, reference: &Self) -> Vec<f64> {
        self.ratio(reference).into_iter().map(f64::sqrt).collect()
    }

    /// This power less another bin by bin, as the shot noise of [`Modes::shot_noise`]; same bins.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let power = self.power.iter().zip(&other.power).map(|(mine, its)| mine - its).collect();
        Self { power, ..self.clone() }
    }

    /// Means of k and power over the bins in each band, weighted by their numbers of modes; a bin goes where its
    /// mean k lies. A band without modes has the centre as its k and NaN as its power, as [`Modes::power_in`].
    #[must_use]
    pub fn rebinned(&self, bands: &Bands) -> Self {
        let mut sums = vec![(0.0, 0.0, 0u64); bands.count()];
        for ((&k, &power), &modes) in self.k_h_mpc.iter().zip(&self.power).zip(&self.modes) {
            if let Some(band) = bands.index(k) {
                sums[band].0 += k * modes as f64;
                sums[band].1 += power * modes as f64;
                sums[band].2 += modes;
            }
        }
        let mean = |((k, power, modes), centre): ((f64, f64, u64), f64)| match modes {
            0 => (centre, f64::NAN, 0),
            _ => (k / modes as f64, power / modes as f64, modes),
        };
        sums.into_iter().zip(bands.centres_h_mpc()).map(mean).collect()
    }
}

impl FromIterator<(f64, f64, u64)> for Spectrum {
    /// Bins of (k, power, modes).
    fn from_iter<I: IntoIterator<Item = (f64, f64, u64)>>(bins: I) -> Self {
        let mut spectrum = Self::default();
        for (k_h_mpc, power, modes) in bins {
            spectrum.k_h_mpc.push(k_h_mpc);
            spectrum.power.push(power);
            spectrum.modes.push(modes);
        }
        spectrum
    }
}

/// P = V⟨|δ_k|²⟩ of a density field in (Mpc/h)³, in shells of one fundamental; see [`Modes`] for the conventions.
///
/// # Errors
/// [`SpectraError::NotADensity`] if the mean is not positive and finite.
pub fn power_spectrum(field: &Field3, window: Option<Scheme>) -> Result<Spectrum, SpectraError> {
    Ok(Modes::new(field, window)?.power())
}

/// Cross power V⟨Re δ_k ε_k*⟩ of two density fields in (Mpc/h)³.
///
/// # Errors
/// [`SpectraError::NotADensity`] as [`power_spectrum`]; [`SpectraError::Grids`] if the fields are not on one grid.
pub fn cross_power(a: &Field3, b: &Field3, window: Option<Scheme>) -> Result<Spectrum, SpectraError> {
    Modes::new(a, window)?.cross(&Modes::new(b, window)?)
}

/// Correlation r = P_ab / √(P_aa P_bb) of two fields by wavenumber; NaN where a field has no power.
///
/// # Errors
/// [`SpectraError::Grids`] if the fields are not on one grid.
pub fn correlation(a: &Modes, b: &Modes) -> Result<Vec<f64>, SpectraError> {
    Ok(correlation_of(&a.cross(b)?, &a.power(), &b.power()))
}

/// r = P_ab / √(P_aa P_bb) of spectra in the same bins.
#[must_use]
pub fn correlation_of(cross: &Spectrum, a: &Spectrum, b: &Spectrum) -> Vec<f64> {
    let auto = a.power.iter().zip(&b.power).map(|(a, b)| (a * b).sqrt());
    cross.power.iter().zip(auto).map(|(cross, auto)| cross / auto).collect()
}
