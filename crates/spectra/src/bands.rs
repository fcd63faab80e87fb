//! Bands of wavenumbers, wider than the shells of a spectrum.

use crate::SpectraError;
use serde::{Deserialize, Serialize};

/// Adjacent bands of equal logarithmic width, [k_min, k_max).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    edges_h_mpc: Vec<f64>,
}

impl Bands {
    /// `count` bands between `k_min_h_mpc` and `k_max_h_mpc`.
    ///
    /// # Errors
    /// [`SpectraError::Interval`] if there are no bands or not 0 < k_min < k_max.
    pub fn logarithmic(k_min_h_mpc: f64, k_max_h_mpc: f64, count: usize) -> Result<Self, SpectraError> {
        let (low, high) = (k_min_h_mpc, k_max_h_mpc);
        if count == 0 || !(low > 0.0 && low < high && high.is_finite()) {
            return Err(SpectraError::Interval { count, low, high, positive: " and is positive" });
        }
        let edge = |i: usize| match i {
            0 => low,
            i if i == count => high,
            i => low * (high / low).powf(i as f64 / count as f64),
        };
        Ok(Self { edges_h_mpc: (0..=count).map(edge).collect() })
    }

    /// Number of bands.
    #[must_use]
    pub fn count(&self) -> usize {
        self.edges_h_mpc.len() - 1
    }

    /// The edges in h/Mpc, one more than there are bands.
    #[must_use]
    pub fn edges_h_mpc(&self) -> &[f64] {
        &self.edges_h_mpc
    }

    /// The logarithmic middles in h/Mpc.
    #[must_use]
    pub fn centres_h_mpc(&self) -> Vec<f64> {
        self.edges_h_mpc.windows(2).map(|edge| (edge[0] * edge[1]).sqrt()).collect()
    }

    /// The band that holds a wavenumber.
    #[must_use]
    pub fn index(&self, k_h_mpc: f64) -> Option<usize> {
        let below = self.edges_h_mpc.partition_point(|&edge| edge <= k_h_mpc);
        (1..=self.count()).contains(&below).then(|| below - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_have_equal_ratios_and_half_open_ends() {
        let bands = Bands::logarithmic(0.5, 8.0, 4).unwrap();
        assert_eq!(bands.count(), 4);
        for (edge, expected) in bands.edges_h_mpc().iter().zip([0.5, 1.0, 2.0, 4.0, 8.0]) {
            assert!((edge / expected - 1.0).abs() < 1e-15);
        }
        let found: Vec<_> = [0.49, 0.5, 1.5, 7.99, 8.0].map(|k| bands.index(k)).into();
        assert_eq!(found, [None, Some(0), Some(1), Some(3), None]);
    }

    #[test]
    fn an_interval_without_extent_is_refused() {
        for (low, high, count) in
            [(0.0, 1.0, 8), (1.0, 1.0, 8), (2.0, 1.0, 8), (1.0, 2.0, 0), (1.0, f64::NAN, 1)]
        {
            assert!(matches!(Bands::logarithmic(low, high, count), Err(SpectraError::Interval { .. })));
        }
    }
}
