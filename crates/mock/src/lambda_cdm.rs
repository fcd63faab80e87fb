//! The expanding background and the growth of small perturbations in it.

use finescale_field::Cosmology;
use serde::{Deserialize, Serialize};

/// A flat universe of matter and a cosmological constant, with the parameters of its linear spectrum. The
/// default is that of IllustrisTNG (Planck 2015).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LambdaCdm {
    /// Density of all matter over the critical density, today.
    pub omega_m: f64,
    /// Density of baryons over the critical density, today.
    pub omega_b: f64,
    /// Hubble constant in 100 km/s/Mpc.
    pub hubble: f64,
    /// Slope of the primordial spectrum.
    pub n_s: f64,
    /// Linear rms overdensity in spheres of 8 Mpc/h, today.
    pub sigma_8: f64,
}

impl Default for LambdaCdm {
    fn default() -> Self {
        Self { omega_m: 0.3089, omega_b: 0.0486, hubble: 0.6774, n_s: 0.9667, sigma_8: 0.8159 }
    }
}

impl From<LambdaCdm> for Cosmology {
    fn from(universe: LambdaCdm) -> Self {
        let LambdaCdm { omega_m, omega_b, hubble, n_s, sigma_8 } = universe;
        Self {
            omega_m: Some(omega_m),
            omega_lambda: Some(universe.omega_lambda()),
            omega_b: Some(omega_b),
            hubble: Some(hubble),
            n_s: Some(n_s),
            sigma_8: Some(sigma_8),
        }
    }
}

impl LambdaCdm {
    /// Density of the cosmological constant over the critical density, today: 1 − Ωm.
    #[must_use]
    pub fn omega_lambda(&self) -> f64 {
        1.0 - self.omega_m
    }

    /// Expansion rate H(a)/H0 at scale factor `a`.
    #[must_use]
    pub fn expansion(&self, a: f64) -> f64 {
        (self.omega_m / (a * a * a) + self.omega_lambda()).sqrt()
    }

    /// Ωm at scale factor `a`.
    #[must_use]
    pub fn omega_m_at(&self, a: f64) -> f64 {
        self.omega_m / (a * a * a * self.expansion(a).powi(2))
    }

    /// Growth factor of linear perturbations D(a), with D(1) = 1.
    ///
    /// # Source
    /// Heath 1977, MNRAS 179, 351: D ∝ H ∫ da / (aH)³, exact for matter and a cosmological constant.
    #[must_use]
    pub fn growth(&self, a: f64) -> f64 {
        self.growing_mode(a) / self.growing_mode(1.0)
    }

    /// Growth rate f = d ln D / d ln a at scale factor `a`.
    #[must_use]
    pub fn growth_rate(&self, a: f64) -> f64 {
        let expansion_slope = -1.5 * self.omega_m_at(a); // d ln E / d ln a
        let integrand = 2.5 * self.omega_m / (a * a * self.expansion(a).powi(2));
        expansion_slope + integrand / self.growing_mode(a)
    }

    /// Second-order growth factor D2(a) ≈ −3/7 D² Ωm(a)^(−1/143).
    ///
    /// # Source
    /// Bouchet et al. 1995, A&A 296, 575, with D(1) = 1.
    #[must_use]
    pub fn second_growth(&self, a: f64) -> f64 {
        -3.0 / 7.0 * self.growth(a).powi(2) * self.omega_m_at(a).powf(-1.0 / 143.0)
    }

    /// Second-order growth rate d ln D2 / d ln a ≈ 2 Ωm(a)^(6/11).
    ///
    /// # Source
    /// Bouchet et al. 1995, A&A 296, 575.
    #[must_use]
    pub fn second_growth_rate(&self, a: f64) -> f64 {
        2.0 * self.omega_m_at(a).powf(6.0 / 11.0)
    }

    /// Zel'dovich momentum per unit displacement, a² E f D = a³ E dD/da, in units of H0.
    #[must_use]
    pub fn growth_momentum(&self, a: f64) -> f64 {
        a * a * self.expansion(a) * self.growth_rate(a) * self.growth(a)
    }

    /// 5/2 Ωm E ∫₀ᵃ da' / (a'E)³, which is a early in the matter era.
    fn growing_mode(&self, a: f64) -> f64 {
        // With a' = a u² the integrand is smooth at zero: Simpson's rule is good to 1e-12.
        const HALF_INTERVALS: usize = 128;
        let integrand = |u: f64| {
            let at = a * u * u;
            let denominator = self.omega_m + self.omega_lambda() * at * at * at; // (a'^1.5 E)^2
            2.0 * a * u * (at / denominator).powf(1.5)
        };
        let step = 0.5 / HALF_INTERVALS as f64;
        let inner: f64 = (0..HALF_INTERVALS)
            .map(|i| {
                let left = 2.0 * i as f64 * step;
                integrand(left) + 4.0 * integrand(left + step) + integrand(left + 2.0 * step)
            })
            .sum();
        2.5 * self.omega_m * self.expansion(a) * inner * step / 3.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: f64 = 1e-9; // closed forms, f64 quadrature

    #[test]
    fn without_a_cosmological_constant_growth_is_the_scale_factor() {
        let universe = LambdaCdm { omega_m: 1.0, ..LambdaCdm::default() };
        for a in [0.02, 0.1, 0.5, 1.0] {
            assert!((universe.growth(a) / a - 1.0).abs() < EXACT);
            assert!((universe.growth_rate(a) - 1.0).abs() < EXACT);
            assert!((universe.growth_momentum(a) / a.powf(1.5) - 1.0).abs() < EXACT);
            assert!((universe.second_growth_rate(a) - 2.0).abs() < EXACT);
            assert!((universe.second_growth(a) / (-3.0 / 7.0 * a * a) - 1.0).abs() < EXACT);
        }
    }

    #[test]
    fn growth_obeys_its_differential_equation() {
        // d(a² E f D)/da = 3/2 Ωm D / (a² E): the equation of motion in the variables of the kicks.
        let universe = LambdaCdm::default();
        for a in [0.1, 0.4, 0.9] {
            let h = 1e-4;
            let slope = (universe.growth_momentum(a + h) - universe.growth_momentum(a - h)) / (2.0 * h);
            let source = 1.5 * universe.omega_m * universe.growth(a) / (a * a * universe.expansion(a));
            assert!((slope / source - 1.0).abs() < 1e-6, "{slope} against {source}");
            let rate = (universe.growth(a + h) / universe.growth(a - h)).ln() / ((a + h) / (a - h)).ln();
            assert!((rate - universe.growth_rate(a)).abs() < 1e-6);
        }
    }

    #[test]
    fn growth_of_the_default_universe() {
        // Carroll, Press & Turner 1992 fit, good to a percent: D(z=9) ~ 0.127, f(0) ~ Ωm^0.55.
        let universe = LambdaCdm::default();
        assert!((universe.growth(0.1) - 0.1276).abs() < 1e-3);
        assert!((universe.growth_rate(1.0) - 0.3089f64.powf(0.55)).abs() < 5e-3);
    }
}
