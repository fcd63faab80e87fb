//! Means of several spectra or numbers, and their errors.

use serde::Serialize;

/// Fewest boxes whose scatter is an error.
pub(crate) const FEWEST_BOXES: usize = 3;

/// A number per band or bin with its standard error; null where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The values.
    pub value: Vec<f64>,
    /// Their standard errors.
    pub standard_error: Vec<f64>,
    /// Numerators and denominators of the values, such as the powers of samples and truth, so that a mean over boxes is the
    /// ratio of sums: a mean of ratios is too large by the scatter of what they are divided by. Boxes count alike if empty.
    #[serde(skip)]
    pub(crate) sums: Vec<[f64; 2]>,
    /// Degrees of freedom that the errors were estimated with; many if empty.
    #[serde(skip)]
    pub(crate) freedom: Vec<usize>,
}

impl Estimate {
    /// Values with errors that are as good as known.
    #[must_use]
    pub fn new(value: Vec<f64>, standard_error: Vec<f64>) -> Self {
        Self { value, standard_error, ..Self::default() }
    }

    /// A mean over samples with the scatter of the samples as its error.
    pub(crate) fn from_samples<'a>(samples: impl Iterator<Item = &'a [f64]> + Clone) -> Self {
        let freedom = samples.clone().count().saturating_sub(1);
        Self::new(mean_of(samples.clone()), standard_error_of(samples)).with_freedom(freedom)
    }

    /// The same, its errors having been estimated with so many degrees of freedom.
    pub(crate) fn with_freedom(self, freedom: usize) -> Self {
        Self { freedom: vec![freedom; self.value.len()], ..self }
    }

    /// The same of what is measured against one truth, such as a ratio to it: the truth is one draw as each of the M samples
    /// is, and scatters as they do. So the error is √(M + 1) times that of the samples' mean.
    pub(crate) fn against_truth<'a>(samples: impl Iterator<Item = &'a [f64]> + Clone) -> Self {
        let draws = samples.clone().count() as f64 + 1.0;
        let mut estimate = Self::from_samples(samples);
        estimate.standard_error.iter_mut().for_each(|error| *error *= draws.sqrt());
        estimate
    }

    /// The same, its values being ratios to `denominators`.
    pub(crate) fn over(self, denominators: &[f64]) -> Self {
        let sums = self.value.iter().zip(denominators).map(|(ratio, &of)| [ratio * of, of]).collect();
        Self { sums, ..self }
    }

    /// Ratios without an error.
    pub(crate) fn ratio_of(numerators: &[f64], denominators: &[f64]) -> Self {
        let sums = numerators.iter().zip(denominators).map(|(&a, &b)| [a, b]).collect();
        let nothing = vec![f64::NAN; numerators.len()];
        Self { sums, ..Self::new(ratios(numerators, denominators), nothing) }
    }

    /// The mean over boxes, bin by bin, of those that have a finite value if that is half of them or more, with an error from their scatter if they are
    /// three or more. A single box stays as it is.
    pub(crate) fn pooled<'a>(boxes: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let count = boxes.clone().count();
        if let (1, Some(only)) = (count, boxes.clone().next()) {
            return only.clone();
        }
        let bins = boxes.clone().map(|estimate| estimate.value.len()).max().unwrap_or(0);
        let mut pooled = Self::default();
        for bin in 0..bins {
            let of_box = |estimate: &Self| match estimate.sums.is_empty() {
                true => Some([*estimate.value.get(bin)?, 1.0]),
                false => estimate.sums.get(bin).copied(),
            };
            let found: Vec<[f64; 2]> =
                boxes.clone().filter_map(of_box).filter(|[a, b]| (a + b).is_finite()).collect();
            let [a, b] = total(&found);
            // What few boxes have is no mean over boxes.
            pooled.value.push(if 2 * found.len() < count { f64::NAN } else { over(a, b) });
            pooled.standard_error.push(if found.len() < FEWEST_BOXES { f64::NAN } else { scatter(&found) });
            pooled.sums.push([a, b]);
            pooled.freedom.push(effective(&found).saturating_sub(1));
        }
        pooled
    }

    /// A single number, if there is one.
    #[must_use]
    pub fn first(&self) -> Option<(f64, f64)> {
        Some((*self.value.first()?, self.standard_error.first().copied().unwrap_or(f64::NAN)))
    }
}

/// Sums of numerators and denominators.
fn total(boxes: &[[f64; 2]]) -> [f64; 2] {
    boxes.iter().fold([0.0; 2], |[a, b], of_box| [a + of_box[0], b + of_box[1]])
}

/// The standard error of a ratio of sums, by leaving out one box after another: unlike the residuals' scatter it tells if one
/// of them is most of the sum.
fn scatter(boxes: &[[f64; 2]]) -> f64 {
    let [a, b] = total(boxes);
    let without: Vec<f64> = boxes.iter().map(|of_box| (a - of_box[0]) / (b - of_box[1])).collect();
    let n = without.len() as f64;
    let mean = without.iter().sum::<f64>() / n;
    ((n - 1.0) / n * without.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>()).sqrt()
}

/// Boxes that a sum is made of, as if they were alike: (Σ b)² / Σ b².
fn effective(boxes: &[[f64; 2]]) -> usize {
    let [_, b] = total(boxes);
    let squares: f64 = boxes.iter().map(|of_box| of_box[1].powi(2)).sum();
    if squares > 0.0 { (b * b / squares + 1e-9) as usize } else { 0 }
}

/// Standard errors of values that are made of sums over parts of a field, by leaving out one part after another.
/// `value`: of the sums over the parts that are left.
///
/// # Source
/// The jackknife: Tukey 1958, Ann. Math. Stat. 29, 614.
pub(crate) fn jackknife(parts: usize, value: impl Fn(Option<usize>) -> Vec<f64>) -> Estimate {
    let whole = value(None);
    let without: Vec<Vec<f64>> = (0..parts).map(|part| value(Some(part))).collect();
    let mean = mean_of(without.iter().map(Vec::as_slice));
    let n = parts as f64;
    let error = |(bin, mean): (usize, &f64)| {
        let squares: f64 = without.iter().map(|values| (values[bin] - mean).powi(2)).sum();
        ((n - 1.0) / n * squares).sqrt()
    };
    let standard_error = mean.iter().enumerate().map(error).collect();
    Estimate::new(whole, standard_error).with_freedom(parts.saturating_sub(1))
}

/// The mean of several spectra of one length, value by value; empty for none.
#[must_use]
pub fn mean_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let length = spectra.first().map_or(0, |first| first.len());
    // Of what does not fit together there is no mean.
    let at = |spectrum: &[f64], i: usize| if spectrum.len() == length { spectrum[i] } else { f64::NAN };
    (0..length).map(|i| spectra.iter().map(|s| at(s, i)).sum::<f64>() / spectra.len() as f64).collect()
}

/// Standard error of that mean from the scatter; NaN for fewer than two spectra.
pub(crate) fn standard_error_of<'a>(spectra: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let spectra: Vec<_> = spectra.collect();
    let count = spectra.len() as f64;
    let mean = mean_of(spectra.iter().copied());
    let at = |spectrum: &[f64], i: usize| spectrum.get(i).copied().unwrap_or(f64::NAN);
    let variance = |(i, mean): (usize, &f64)| {
        spectra.iter().map(|s| (at(s, i) - mean).powi(2)).sum::<f64>() / (count - 1.0) / count
    };
    mean.iter().enumerate().map(variance).map(f64::sqrt).collect()
}

/// Mean |ln ratio| over the bands that have a ratio (NaN: none).
#[must_use]
pub(crate) fn mean_abs_ln(ratio: &[f64]) -> f64 {
    let logs: Vec<f64> = ratio.iter().filter(|r| !r.is_nan()).map(|r| r.ln().abs()).collect();
    logs.iter().sum::<f64>() / logs.len() as f64
}

/// a / b, and 1 where both are nothing.
pub(crate) fn over(a: f64, b: f64) -> f64 {
    if a == 0.0 && b == 0.0 { 1.0 } else { a / b }
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
        // Against a truth: three samples and it are four draws.
        let found = Estimate::against_truth(all());
        assert!((found.standard_error[0] - (16.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(found.freedom, [2, 2]);
    }

    #[test]
    fn boxes_count_alike_or_by_their_weight_and_gaps_not_at_all() {
        let estimate = |value: &[f64]| Estimate::new(value.to_vec(), vec![9.0; value.len()]);
        let gap = f64::NAN;
        let boxes = [estimate(&[1.0, gap, 7.0]), estimate(&[3.0, 5.0, 9.0]), estimate(&[5.0, gap, gap])];
        let pooled = Estimate::pooled(boxes.iter());
        // One of three has a value: that is no mean.
        assert_eq!((pooled.value[0], pooled.value[2], pooled.freedom.clone()), (3.0, 8.0, vec![2, 0, 1]));
        assert!(pooled.value[1].is_nan());
        assert!((pooled.standard_error[0] - (4.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(pooled.standard_error[1].is_nan() && pooled.standard_error[2].is_nan());
        assert!(Estimate::pooled([estimate(&[])].iter()).value.is_empty());
        // Two boxes have a mean and no error, one its own.
        assert!(Estimate::pooled(boxes[..2].iter()).standard_error.iter().all(|error| error.is_nan()));
        assert_eq!(Estimate::pooled(boxes[1..2].iter()).standard_error, [9.0; 3]);
        // 2 of 1, 3 of 1 and 9 of 2: 14 of 4. A box with some of nothing counts, too: 18 of 4.
        let of_sums = [([2.0], [1.0]), ([3.0], [1.0]), ([4.5], [2.0])];
        let mut of_sums = of_sums.map(|(value, denominator)| estimate(&value).over(&denominator)).to_vec();
        assert_eq!(Estimate::pooled(of_sums.iter()).value, [3.5]);
        of_sums.push(Estimate::ratio_of(&[4.0], &[0.0]));
        assert_eq!(Estimate::pooled(of_sums.iter()).value, [4.5]);
    }

    #[test]
    fn a_ratio_of_sums_has_no_bias_where_a_mean_of_ratios_has() {
        // Truths of 1 and 3 and samples that are each other's: the ratio is 1.
        let boxes = [(3.0, 1.0), (1.0, 3.0), (2.0, 2.0)];
        let boxes = boxes.map(|(s, t)| Estimate::new(vec![s / t], vec![0.0]).over(&[t]));
        assert!((Estimate::pooled(boxes.iter()).value[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 4.0, 2.0, 9.0];
        let mean = |left_out: Option<usize>| {
            let kept: Vec<f64> = (0..4).filter(|i| Some(*i) != left_out).map(|i| values[i]).collect();
            vec![kept.iter().sum::<f64>() / kept.len() as f64]
        };
        let found = jackknife(4, mean);
        let expected = standard_error_of(values.chunks(1))[0];
        assert!((found.standard_error[0] - expected).abs() < 1e-12);
        assert_eq!((found.value[0], found.freedom[0]), (4.0, 3));
    }

    #[test]
    fn logarithms_count_both_ways_and_empty_bands_not_at_all() {
        let half = std::f64::consts::LN_2;
        assert!((mean_abs_ln(&[0.5, 2.0, 1.0, f64::NAN]) - 2.0 * half / 3.0).abs() < 1e-15);
    }
}
