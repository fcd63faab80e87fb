//! Power spectra and what is made of two of them.

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

    /// This power less another bin by bin, as the shot noise of [`Modes::shot_noise`](crate::Modes::shot_noise); same bins.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let power = self.power.iter().zip(&other.power).map(|(mine, its)| mine - its).collect();
        Self { power, ..self.clone() }
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

/// r = P_ab / √(P_aa P_bb) of spectra in the same bins; NaN where one of them has no power, as may be without its shot
/// noise.
#[must_use]
pub fn correlation_of(cross: &Spectrum, a: &Spectrum, b: &Spectrum) -> Vec<f64> {
    let auto = a.power.iter().zip(&b.power).map(|(a, b)| a.sqrt() * b.sqrt());
    cross.power.iter().zip(auto).map(|(cross, auto)| cross / auto).collect()
}
