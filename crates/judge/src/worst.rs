//! The band that a ratio is judged by.

/// The worst of several ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// The ratio that is farthest from 1.
    pub ratio: f64,
    /// Its standard error; NaN if not known.
    pub standard_error: f64,
    /// Mean k of its band in h/Mpc.
    pub k_h_mpc: f64,
}

/// Of the bands up to `up_to_h_mpc` that have a ratio, the one farthest from 1. `k_h_mpc` and `ratio` by band;
/// `standard_error` too, or empty if not known.
#[must_use]
pub fn worst(k_h_mpc: &[f64], ratio: &[f64], standard_error: &[f64], up_to_h_mpc: f64) -> Option<Worst> {
    let errors = standard_error.iter().copied().chain(std::iter::repeat(f64::NAN));
    k_h_mpc
        .iter()
        .zip(ratio)
        .zip(errors)
        .filter(|((k, ratio), _)| **k <= up_to_h_mpc && ratio.is_finite())
        .map(|((&k_h_mpc, &ratio), standard_error)| Worst { ratio, standard_error, k_h_mpc })
        .max_by(|a, b| (a.ratio - 1.0).abs().total_cmp(&(b.ratio - 1.0).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_band_counts_and_gaps_and_what_lies_beyond_do_not() {
        let (k, ratio) = ([0.5, 1.0, 3.0, 6.0], [1.01, 0.9, f64::NAN, 7.0]);
        let found = worst(&k, &ratio, &[0.1, 0.2], 4.0).unwrap();
        assert_eq!((found.ratio, found.standard_error, found.k_h_mpc), (0.9, 0.2, 1.0));
        assert!(worst(&k, &ratio, &[], 0.6).unwrap().standard_error.is_nan());
        assert_eq!(worst(&k, &ratio, &[], 0.1), None);
    }
}
