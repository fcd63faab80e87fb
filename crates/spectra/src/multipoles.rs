//! Power spectrum multipoles along an axis of the box.

use crate::binning::{Bin, Binning, binned};
use crate::{Bands, Modes, Spectrum};
use serde::{Deserialize, Serialize};

/// The axis that an observer in the far distance looks along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineOfSight {
    /// Along x, the slowest axis of arrays.
    X,
    /// Along y.
    Y,
    /// Along z, the fastest axis of arrays.
    Z,
}

/// P_0, P_2 and P_4 by wavenumber.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Multipoles {
    /// Mean |k| of the modes of each bin in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// P_0 in (Mpc/h)³: the power spectrum.
    pub monopole: Vec<f64>,
    /// The quadrupole P_2 in (Mpc/h)³.
    pub quadrupole: Vec<f64>,
    /// The hexadecapole P_4 in (Mpc/h)³.
    pub hexadecapole: Vec<f64>,
    /// Number of independent modes.
    pub modes: Vec<u64>,
}

impl Multipoles {
    /// The multipoles with a shot noise of the same bins taken off P_0; at wavenumbers where the mass
    /// assignment makes shot noise depend on direction, P_2 and P_4 keep what it gives them.
    #[must_use]
    pub fn minus(&self, shot_noise: &Spectrum) -> Self {
        let monopole =
            self.monopole.iter().zip(&shot_noise.power).map(|(mine, noise)| mine - noise).collect();
        Self { monopole, ..self.clone() }
    }

    /// P_0 as a power spectrum: to the bit the one of the same modes.
    #[must_use]
    pub fn power(&self) -> Spectrum {
        Spectrum { k_h_mpc: self.k_h_mpc.clone(), power: self.monopole.clone(), modes: self.modes.clone() }
    }

    /// Of products of modes weighted by [`legendre`].
    pub(crate) fn of_bins(bins: Vec<Bin<3>>) -> Self {
        let mut multipoles = Self::default();
        for bin in bins {
            multipoles.k_h_mpc.push(bin.k_h_mpc);
            multipoles.monopole.push(bin.means[0]);
            multipoles.quadrupole.push(bin.means[1]);
            multipoles.hexadecapole.push(bin.means[2]);
            multipoles.modes.push(bin.modes);
        }
        multipoles
    }
}

impl Modes {
    /// P_l = (2l + 1) V⟨|δ_k|² L_l(μ)⟩ for l = 0, 2, 4, μ = k_los/|k|, in the shells of [`Modes::power`].
    ///
    /// # Source
    /// Pylians `Pk_library.Pk`. On shells of few modes the Legendre polynomials are not orthogonal.
    #[must_use]
    pub fn multipoles(&self, line_of_sight: LineOfSight) -> Multipoles {
        self.multipoles_with(line_of_sight, Binning::Shells)
    }

    /// [`Modes::multipoles`] over the modes of each band.
    #[must_use]
    pub fn multipoles_in(&self, line_of_sight: LineOfSight, bands: &Bands) -> Multipoles {
        self.multipoles_with(line_of_sight, Binning::Bands(bands))
    }

    fn multipoles_with(&self, line_of_sight: LineOfSight, binning: Binning) -> Multipoles {
        Multipoles::of_bins(binned(&self.grid, binning, &self.products(self), legendre(line_of_sight)))
    }
}

/// (2l + 1) L_l(μ) for l = 0, 2, 4 by the squares of the cosines of k with the three axes.
pub(crate) fn legendre(line_of_sight: LineOfSight) -> impl Fn([f64; 3]) -> [f64; 3] + Sync {
    move |mu2_by_axis| {
        let mu2 = mu2_by_axis[line_of_sight as usize];
        [1.0, 5.0 / 2.0 * (3.0 * mu2 - 1.0), 9.0 / 8.0 * ((35.0 * mu2 - 30.0) * mu2 + 3.0)]
    }
}
