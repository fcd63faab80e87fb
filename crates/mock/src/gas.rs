//! Gas from dark matter: particles displaced down the gradient of a pressure-like field.

use crate::MockError;
use crate::mesh::Mesh;
use crate::pm::wrap;
use finescale_spectra::Complex32;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Enthalpy-gradient descent: gas lies at x − β ∇(1 + δ_s)^(γ−1), with δ_s the dark matter's overdensity
/// smoothed by exp(−k² r² / 2).
///
/// # Source
/// Dai, Feng & Seljak 2018, JCAP 11, 009 (arXiv:1804.00671), section 2.3. The defaults are tuned so that
/// P_gas/P_dm is about 0.9 at k = 1 h/Mpc and 0.7 at 3 h/Mpc in the default box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GasModel {
    /// β, the strength of the displacement, in (Mpc/h)².
    pub strength_mpc_h2: f64,
    /// γ, the polytropic index.
    pub index: f64,
    /// r, the smoothing length, in Mpc/h.
    pub smoothing_mpc_h: f64,
}

impl Default for GasModel {
    fn default() -> Self {
        Self { strength_mpc_h2: 0.023, index: 1.6, smoothing_mpc_h: 0.9 }
    }
}

impl GasModel {
    /// # Errors
    /// [`MockError::Config`] if a parameter is not a number or out of its range.
    pub(crate) fn check(&self) -> Result<(), MockError> {
        let config = |name, value: f64, sound: bool, expected| {
            if sound { Ok(()) } else { Err(MockError::Config { name, found: value.to_string(), expected }) }
        };
        let strength = self.strength_mpc_h2;
        config("gas.strength_mpc_h2", strength, (0.0..=1.0).contains(&strength), "from 0 to 1 (Mpc/h)^2")?;
        config("gas.index", self.index, (1.0..=3.0).contains(&self.index), "from 1 to 3")?;
        let smoothing = self.smoothing_mpc_h;
        config("gas.smoothing_mpc_h", smoothing, (0.0..=10.0).contains(&smoothing), "from 0 to 10 Mpc/h")
    }

    /// Positions of gas particles, one for each dark-matter particle.
    pub(crate) fn displace(
        &self,
        mesh: &Mesh,
        dark_matter: &[[f32; 3]],
        box_size_mpc_h: f64,
    ) -> Vec<[f32; 3]> {
        // Smooth the density, raise it to the temperature's power.
        let mut field = mesh.density(dark_matter);
        let spectrum = mesh.forward(&field);
        let mut work = vec![Complex32::new(0.0, 0.0); spectrum.len()];
        let fall = -0.5 * (mesh.fundamental() * self.smoothing_mpc_h).powi(2);
        mesh.inverse_with(&spectrum, &mut work, &mut field, |mode| {
            let squared: i64 = mode.iter().map(|m| m * m).sum();
            Complex32::new((fall * squared as f64).exp() as f32, 0.0)
        });
        let power = (self.index - 1.0) as f32;
        field.par_iter_mut().for_each(|density| *density = density.max(0.0).powf(power));

        // Step down its gradient, axis by axis.
        let spectrum = mesh.forward(&field);
        let mut gas = dark_matter.to_vec();
        let unit = -self.strength_mpc_h2 * mesh.fundamental();
        for axis in 0..3 {
            mesh.inverse_with(&spectrum, &mut work, &mut field, |mode| {
                let k = if mesh.is_nyquist(mode[axis]) { 0.0 } else { unit * mode[axis] as f64 };
                Complex32::new(0.0, k as f32)
            });
            mesh.gather(&field, dark_matter, &mut gas, |x, step| {
                x[axis] = wrap(x[axis] + step, box_size_mpc_h as f32)
            });
        }
        gas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: f64 = 16.0;

    /// A lattice with 400 more particles at the centre.
    fn clump() -> Vec<[f32; 3]> {
        let lattice = (0..4096).map(|i| [i / 256, i / 16 % 16, i % 16].map(|m| m as f32));
        lattice.chain(std::iter::repeat_n([8.25, 8.0, 8.0], 400)).collect()
    }

    #[test]
    fn gas_leaves_a_clump_along_every_axis() {
        let (mesh, dark_matter) = (Mesh::new(16, BOX), clump());
        let gas = GasModel { smoothing_mpc_h: 1.0, ..GasModel::default() }.displace(&mesh, &dark_matter, BOX);
        for axis in 0..3 {
            for side in [-1.0f32, 1.0] {
                let mut neighbour = [8.0f32; 3];
                neighbour[axis] += side;
                let index = dark_matter.iter().position(|x| *x == neighbour).unwrap();
                let step = (gas[index][axis] - neighbour[axis]) * side;
                assert!(step > 0.01, "axis {axis}, side {side}: moved outwards by {step}");
            }
        }
    }

    #[test]
    fn without_pressure_gas_is_dark_matter() {
        let (mesh, dark_matter) = (Mesh::new(16, BOX), clump());
        for model in [
            GasModel { strength_mpc_h2: 0.0, ..GasModel::default() },
            GasModel { index: 1.0, ..GasModel::default() },
        ] {
            for (gas, dark) in model.displace(&mesh, &dark_matter, BOX).iter().zip(&dark_matter) {
                assert!((0..3).all(|a| (gas[a] - dark[a]).abs() < 1e-5), "{gas:?} against {dark:?}");
            }
        }
    }
}
