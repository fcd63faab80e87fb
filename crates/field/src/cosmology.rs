//! The universe that a field is of.

use crate::ScalarName;
use serde::{Deserialize, Serialize};

/// Cosmological parameters, those that are known. Densities are of today, over the critical density.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cosmology {
    /// Density of all matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_m: Option<f64>,
    /// Density of the cosmological constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_lambda: Option<f64>,
    /// Density of baryons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_b: Option<f64>,
    /// h = H0 / (100 km/s/Mpc).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hubble: Option<f64>,
    /// Slope of the primordial spectrum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_s: Option<f64>,
    /// Linear rms overdensity in spheres of 8 Mpc/h, today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_8: Option<f64>,
}

impl Cosmology {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { omega_m: None, omega_lambda: None, omega_b: None, hubble: None, n_s: None, sigma_8: None };

    /// All parameters by the names that files give them.
    #[must_use]
    pub fn parameters(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("omega_m", self.omega_m),
            ("omega_lambda", self.omega_lambda),
            ("omega_b", self.omega_b),
            ("hubble", self.hubble),
            ("n_s", self.n_s),
            ("sigma_8", self.sigma_8),
        ]
    }

    /// The parameters that `find` knows by the names that files give them.
    ///
    /// # Errors
    /// Those of `find`.
    pub fn find<E>(mut find: impl FnMut(&str) -> Result<Option<f64>, E>) -> Result<Self, E> {
        Ok(Self {
            omega_m: find("omega_m")?,
            omega_lambda: find("omega_lambda")?,
            omega_b: find("omega_b")?,
            hubble: find("hubble")?,
            n_s: find("n_s")?,
            sigma_8: find("sigma_8")?,
        })
    }

    /// The parameter that a network may be told; a redshift is none.
    #[must_use]
    pub fn scalar(&self, name: ScalarName) -> Option<f64> {
        match name {
            ScalarName::OmegaM => self.omega_m,
            ScalarName::Sigma8 => self.sigma_8,
            ScalarName::Redshift => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn parameters_are_found_by_their_names() {
        let all = Cosmology {
            omega_m: Some(0.1),
            omega_lambda: Some(0.2),
            omega_b: Some(0.3),
            hubble: Some(0.4),
            n_s: Some(0.5),
            sigma_8: Some(0.6),
        };
        let find = |name: &str| {
            let found = all.parameters().into_iter().find(|(known, _)| *known == name);
            Ok::<_, Infallible>(found.expect("every name is known").1)
        };
        assert_eq!(Cosmology::find(find), Ok(all));
        assert_eq!(
            [ScalarName::OmegaM, ScalarName::Sigma8].map(|name| all.scalar(name)),
            [Some(0.1), Some(0.6)]
        );
        // As in JSON; what is not known is left out.
        let text = r#"{"omega_m":0.3,"n_s":0.96}"#;
        let few: Cosmology = serde_json::from_str(text).unwrap();
        assert_eq!(few, Cosmology { omega_m: Some(0.3), n_s: Some(0.96), ..Cosmology::UNKNOWN });
        assert_eq!(serde_json::to_string(&few).unwrap(), text);
    }
}
