//! How a particle is shared between the voxels around it.

use crate::FieldError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A mass assignment scheme: a particle is a cloud, the `order`-fold convolution of a top hat of one voxel.
///
/// # Source
/// Hockney & Eastwood 1981, "Computer Simulation Using Particles", ch. 5; PCS: Sefusatti et al. 2016,
/// arXiv:1512.07295, eq. 22-25.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Nearest grid point: the whole particle in the voxel that holds it.
    Ngp,
    /// Cloud in cell: 2 voxels per axis.
    Cic,
    /// Triangular-shaped cloud: 3 voxels per axis.
    Tsc,
    /// Piecewise cubic spline: 4 voxels per axis.
    Pcs,
}

impl Scheme {
    /// All schemes, by order.
    pub const ALL: [Self; 4] = [Self::Ngp, Self::Cic, Self::Tsc, Self::Pcs];

    /// Voxels that a particle touches per axis, 1 to 4; the Fourier window is sinc(k h / 2) to this power.
    #[must_use]
    pub fn order(self) -> usize {
        match self {
            Self::Ngp => 1,
            Self::Cic => 2,
            Self::Tsc => 3,
            Self::Pcs => 4,
        }
    }

    /// The name in files and on the command line: `ngp`, `cic`, `tsc` or `pcs`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ngp => "ngp",
            Self::Cic => "cic",
            Self::Tsc => "tsc",
            Self::Pcs => "pcs",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| FieldError::Scheme { found: text.to_owned() })
    }
}

/// First voxel touched along an axis, before wrapping, and the position t in [0, 1] that [`shares`] takes;
/// `u` is the position in voxels.
pub(crate) fn first_voxel<const ORDER: usize>(u: f64) -> (i64, f64) {
    let shifted = if ORDER.is_multiple_of(2) { u - 0.5 } else { u };
    // Truncate and correct: without SSE4.1 `floor` is a function call.
    let truncated = shifted as i64;
    let floor = truncated - i64::from(shifted < truncated as f64);
    (floor - (ORDER as i64 - 1) / 2, shifted - floor as f64)
}

/// The shares of `ORDER` neighbouring voxels along one axis; their sum is 1.
pub(crate) fn shares<const ORDER: usize>(t: f64) -> [f64; ORDER] {
    let mut share = [1.0; ORDER];
    let s = 1.0 - t;
    match ORDER {
        2 => share.copy_from_slice(&[s, t]),
        3 => share.copy_from_slice(&[0.5 * s * s, 0.75 - (t - 0.5) * (t - 0.5), 0.5 * t * t]),
        4 => {
            let inner = |x: f64| (4.0 + x * x * (3.0 * x - 6.0)) / 6.0;
            share.copy_from_slice(&[s * s * s / 6.0, inner(t), inner(s), t * t * t / 6.0]);
        }
        _ => {}
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cloud shapes as functions of the distance in voxels, from the source above.
    fn cloud(scheme: Scheme, distance: f64) -> f64 {
        let d = distance.abs();
        match scheme {
            Scheme::Ngp => f64::from(u8::from(d < 0.5)),
            Scheme::Cic => (1.0 - d).max(0.0),
            Scheme::Tsc if d < 0.5 => 0.75 - d * d,
            Scheme::Tsc => 0.5 * (1.5 - d).max(0.0).powi(2),
            Scheme::Pcs if d < 1.0 => (4.0 - 6.0 * d * d + 3.0 * d * d * d) / 6.0,
            Scheme::Pcs => (2.0 - d).max(0.0).powi(3) / 6.0,
        }
    }

    fn check<const ORDER: usize>(u: f64) {
        const ROUNDING: f64 = 1e-12; // f64, numbers of order 10
        let (first, t) = first_voxel::<ORDER>(u);
        let share = shares::<ORDER>(t);
        assert!((share.iter().sum::<f64>() - 1.0).abs() < ROUNDING);
        for (o, &w) in share.iter().enumerate() {
            let centre = (first + o as i64) as f64 + 0.5;
            let expected = cloud(Scheme::ALL[ORDER - 1], u - centre);
            assert!((w - expected).abs() < ROUNDING, "order {ORDER}, u = {u}: {w} for {expected}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_the_published_clouds(u in -3.0f64..9.0) {
            check::<1>(u);
            check::<2>(u);
            check::<3>(u);
            check::<4>(u);
        }
    }

    #[test]
    fn names_are_read_and_written() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
            assert_eq!(serde_json::to_string(&scheme).unwrap(), format!("\"{scheme}\""));
        }
        assert_eq!("CIC".parse::<Scheme>().unwrap(), Scheme::Cic);
        assert_eq!("spline".parse::<Scheme>(), Err(FieldError::Scheme { found: "spline".to_owned() }));
        assert_eq!(Scheme::ALL.map(Scheme::order), [1, 2, 3, 4]);
    }
}
