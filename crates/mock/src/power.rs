//! The linear power spectrum of matter.

use crate::LambdaCdm;

/// Temperature of the cosmic microwave background in K (Fixsen 2009).
const CMB_TEMPERATURE_K: f64 = 2.7255;

/// Linear matter power spectrum today, in (Mpc/h)³ for k in h/Mpc, normalised to σ8.
///
/// # Source
/// Eisenstein & Hu 1998, ApJ 496, 605 (astro-ph/9709112): the full transfer function with baryon wiggles.
#[derive(Clone, Debug)]
pub(crate) struct LinearPower {
    transfer: TransferFunction,
    hubble: f64,
    n_s: f64,
    amplitude: f64,
}

impl LinearPower {
    /// The spectrum of `cosmology`.
    #[must_use]
    pub(crate) fn new(cosmology: &LambdaCdm) -> Self {
        let mut power = Self {
            transfer: TransferFunction::new(cosmology),
            hubble: cosmology.hubble,
            n_s: cosmology.n_s,
            amplitude: 1.0,
        };
        power.amplitude = (cosmology.sigma_8 / power.sigma(8.0)).powi(2);
        power
    }

    /// P(k) in (Mpc/h)³ at `k_h_mpc`; zero at k = 0.
    #[must_use]
    pub(crate) fn at(&self, k_h_mpc: f64) -> f64 {
        if k_h_mpc <= 0.0 {
            return 0.0;
        }
        self.amplitude * k_h_mpc.powf(self.n_s) * self.transfer.at(k_h_mpc * self.hubble).powi(2)
    }

    /// Rms linear overdensity in spheres of `radius_mpc_h`.
    #[must_use]
    pub(crate) fn sigma(&self, radius_mpc_h: f64) -> f64 {
        // ∫ d ln k k³ P W² / 2π² by the trapezoidal rule, W the top-hat's 3 (sin x − x cos x) / x³.
        const INTERVALS: usize = 4000;
        let (low, high) = (1e-5f64.ln(), (100.0 / radius_mpc_h).ln());
        let step = (high - low) / INTERVALS as f64;
        let sum: f64 = (0..=INTERVALS)
            .map(|i| {
                let k = (low + step * i as f64).exp();
                let x = k * radius_mpc_h;
                let window =
                    if x < 1e-2 { 1.0 - x * x / 10.0 } else { 3.0 * (x.sin() - x * x.cos()) / x.powi(3) };
                k.powi(3) * self.at(k) * window * window
            })
            .sum();
        (sum * step / (2.0 * std::f64::consts::PI.powi(2))).sqrt()
    }
}

/// Eisenstein & Hu's fit; names and equation numbers are theirs, wavenumbers in 1/Mpc.
#[derive(Clone, Debug)]
struct TransferFunction {
    baryon_fraction: f64,
    k_equality: f64,
    sound_horizon: f64,
    k_silk: f64,
    alpha_c: f64,
    beta_c: f64,
    alpha_b: f64,
    beta_b: f64,
    beta_node: f64,
}

impl TransferFunction {
    fn new(cosmology: &LambdaCdm) -> Self {
        let matter = cosmology.omega_m * cosmology.hubble.powi(2); // Ω0 h²
        let baryons = cosmology.omega_b * cosmology.hubble.powi(2); // Ωb h²
        let fraction = baryons / matter;
        let theta4 = (CMB_TEMPERATURE_K / 2.7).powi(4);

        // Equality, drag epoch, sound horizon (eqs. 2-7).
        let z_equality = 2.5e4 * matter / theta4;
        let k_equality = 0.0746 * matter / theta4.sqrt();
        let b1 = 0.313 * matter.powf(-0.419) * (1.0 + 0.607 * matter.powf(0.674));
        let b2 = 0.238 * matter.powf(0.223);
        let z_drag =
            1291.0 * matter.powf(0.251) / (1.0 + 0.659 * matter.powf(0.828)) * (1.0 + b1 * baryons.powf(b2));
        let ratio_at = |z: f64| 31.5 * baryons / theta4 * (1000.0 / z);
        let (r_drag, r_equality) = (ratio_at(1.0 + z_drag), ratio_at(z_equality));
        let sound_horizon = 2.0 / (3.0 * k_equality)
            * (6.0 / r_equality).sqrt()
            * (((1.0 + r_drag).sqrt() + (r_drag + r_equality).sqrt()) / (1.0 + r_equality.sqrt())).ln();
        let k_silk = 1.6 * baryons.powf(0.52) * matter.powf(0.73) * (1.0 + (10.4 * matter).powf(-0.95));

        // Cold dark matter (eqs. 11, 12).
        let a1 = (46.9 * matter).powf(0.670) * (1.0 + (32.1 * matter).powf(-0.532));
        let a2 = (12.0 * matter).powf(0.424) * (1.0 + (45.0 * matter).powf(-0.582));
        let alpha_c = a1.powf(-fraction) * a2.powf(-fraction.powi(3));
        let c1 = 0.944 / (1.0 + (458.0 * matter).powf(-0.708));
        let c2 = (0.395 * matter).powf(-0.0266);
        let beta_c = 1.0 / (1.0 + c1 * ((1.0 - fraction).powf(c2) - 1.0));

        // Baryons (eqs. 14, 15, 23, 24).
        let y = z_equality / (1.0 + z_drag);
        let root = (1.0 + y).sqrt();
        let g = y * (-6.0 * root + (2.0 + 3.0 * y) * ((root + 1.0) / (root - 1.0)).ln());
        let alpha_b = 2.07 * k_equality * sound_horizon * (1.0 + r_drag).powf(-0.75) * g;
        let beta_b = 0.5 + fraction + (3.0 - 2.0 * fraction) * ((17.2 * matter).powi(2) + 1.0).sqrt();
        let beta_node = 8.41 * matter.powf(0.435);
        Self {
            baryon_fraction: fraction,
            k_equality,
            sound_horizon,
            k_silk,
            alpha_c,
            beta_c,
            alpha_b,
            beta_b,
            beta_node,
        }
    }

    /// T(k) at `k` in 1/Mpc (eqs. 16-22).
    fn at(&self, k: f64) -> f64 {
        let q = k / (13.41 * self.k_equality);
        let ks = k * self.sound_horizon;
        let t0 = |alpha: f64, beta: f64| {
            let l = (std::f64::consts::E + 1.8 * beta * q).ln();
            let c = 14.2 / alpha + 386.0 / (1.0 + 69.9 * q.powf(1.08));
            l / (l + c * q * q)
        };
        let f = 1.0 / (1.0 + (ks / 5.4).powi(4));
        let cold = f * t0(1.0, self.beta_c) + (1.0 - f) * t0(self.alpha_c, self.beta_c);
        let k_s_tilde = ks / (1.0 + (self.beta_node / ks).powi(3)).cbrt();
        let baryon = (t0(1.0, 1.0) / (1.0 + (ks / 5.2).powi(2))
            + self.alpha_b / (1.0 + (self.beta_b / ks).powi(3)) * (-(k / self.k_silk).powf(1.4)).exp())
            * (k_s_tilde.sin() / k_s_tilde);
        self.baryon_fraction * baryon + (1.0 - self.baryon_fraction) * cold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// colossus 1.3 (Diemer 2018), `matterPowerSpectrum(k, model="eisenstein98")` with flat=True, H0=67.74,
    /// Om0=0.3089, Ob0=0.0486, sigma8=0.8159, ns=0.9667, Tcmb0=2.7255, relspecies=False.
    const COLOSSUS: [(f64, f64); 9] = [
        (1e-3, 3798.750),
        (0.01, 21_718.910_121),
        (0.05, 12_425.570_207),
        (0.1, 5671.358),
        (0.2, 1955.024),
        (0.5, 310.950_171),
        (1.0, 67.134_515_5),
        (3.0, 4.880_096_74),
        (10.0, 0.228_215_271),
    ];
    const POWER_REL: f64 = 2e-3; // colossus normalises sigma8 to about 1e-3

    #[test]
    fn equals_an_independent_code() {
        let power = LinearPower::new(&LambdaCdm::default());
        for (k, expected) in COLOSSUS {
            assert!(
                (power.at(k) / expected - 1.0).abs() < POWER_REL,
                "k = {k}: {} / {expected}",
                power.at(k)
            );
        }
        assert_eq!(power.at(0.0), 0.0);
    }

    #[test]
    fn fluctuations_have_the_stated_size() {
        let cosmology = LambdaCdm { sigma_8: 0.9, ..LambdaCdm::default() };
        let power = LinearPower::new(&cosmology);
        assert!((power.sigma(8.0) - 0.9).abs() < 1e-12);
        // colossus: sigma(1) / sigma(20) = 6.14205 for the default parameters.
        assert!((power.sigma(1.0) / power.sigma(20.0) / 6.142_05 - 1.0).abs() < POWER_REL);
    }
}
