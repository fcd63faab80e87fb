//! Means of several spectra or numbers, and their errors.

use serde::Serialize;

/// A number per band or bin with its standard error; null where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The values.
    pub value: Vec<f64>,
    /// Their standard errors.
    pub standard_error: Vec<f64>,
}

impl Estimate {
    /// A mean over samples with the scatter of the samples as error.
    pub(crate) fn from_samples<'a>(samples: impl Iterator<Item = &'a [f64]> + Clone) -> Self {
        Self { value: mean_of(samples.clone()), standard_error: standard_error_of(samples) }
    }

    /// A single number, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<(f64, f64)> {
        Some((*self.value.first()?, self.standard_error.first().copied().unwrap_or(f64::NAN)))
    }
}

/// The mean of several spectra of one length, value by value; empty for none.
#[must_use]
pub fn mean_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let length = spectra.first().map_or(0, |first| first.len());
    (0..length).map(|i| spectra.iter().map(|s| s[i]).sum::<f64>() / spectra.len() as f64).collect()
}

/// Standard error of that mean from the scatter; NaN for fewer than two spectra.
pub(crate) fn standard_error_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let count = spectra.len() as f64;
    let mean = mean_of(spectra.iter().copied());
    let variance = |(i, mean): (usize, &f64)| {
        spectra.iter().map(|s| (s[i] - mean).powi(2)).sum::<f64>() / (count - 1.0) / count
    };
    mean.iter().enumerate().map(variance).map(f64::sqrt).collect()
}

/// Mean |ln ratio| over the bands that have a ratio (NaN: none).
#[must_use]
pub(crate) fn mean_abs_ln(ratio: &[f64]) -> f64 {
    let logs: Vec<f64> = ratio.iter().filter(|r| !r.is_nan()).map(|r| r.ln().abs()).collect();
    logs.iter().sum::<f64>() / logs.len() as f64
}

/// Value by value.
pub(crate) fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// Value by value.
pub(crate) fn ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_their_errors_by_hand() {
        let spectra = [[1.0, 4.0], [3.0, 4.0], [5.0, 4.0]];
        let all = || spectra.iter().map(<[f64; 2]>::as_slice);
        assert_eq!(mean_of(all()), [3.0, 4.0]);
        assert_eq!(standard_error_of(all()), [(4.0f64 / 3.0).sqrt(), 0.0]);
        assert!(standard_error_of(all().take(1))[0].is_nan());
        assert!(mean_of(std::iter::empty()).is_empty());
    }

    #[test]
    fn logarithms_count_both_ways_and_empty_bands_not_at_all() {
        let half = std::f64::consts::LN_2;
        assert!((mean_abs_ln(&[0.5, 2.0, 1.0, f64::NAN]) - 2.0 * half / 3.0).abs() < 1e-15);
    }
}
