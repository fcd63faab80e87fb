//! The covariance of P(k) over boxes: whether an ensemble of samples scatters as one of truths does.

use crate::estimate::{Estimate, jackknife, mean_of, ratios};
use crate::measured::Measured;
use crate::summary::BoxSummary;
use serde::Serialize;

/// Boxes that a covariance is made of, at least: of fewer it is mostly noise.
const FEWEST: usize = 50;

/// How the power of boxes scatters, by band, for truths and for samples. Of several samples of a box the covariances are
/// averaged, one sample of each box at a time.
#[derive(Clone, Debug, Serialize)]
pub struct CovarianceReport {
    /// Number of boxes.
    pub boxes: usize,
    /// Standard deviation of P between boxes over its mean, of truths.
    pub truth_scatter: Vec<f64>,
    /// The same of samples.
    pub sample_scatter: Vec<f64>,
    /// The latter over the former, with its error from leaving out one box after another.
    pub scatter_ratio: Estimate,
    /// Correlation coefficients of P in one band with P in another, of truths; a row for each band.
    pub truth_correlation: Vec<Vec<f64>>,
    /// The same of samples.
    pub sample_correlation: Vec<Vec<f64>>,
}

impl CovarianceReport {
    pub(crate) fn new(boxes: &[BoxSummary]) -> Measured<Self> {
        if boxes.len() < FEWEST {
            return Measured::skipped(format!("needs {FEWEST} boxes or more, and there are {}", boxes.len()));
        }
        let all: Vec<&BoxSummary> = boxes.iter().collect();
        let [truth, samples] = covariances(&all);
        let scatter_ratio = jackknife(boxes.len(), |left_out| {
            let kept = boxes.iter().enumerate().filter(|(number, _)| Some(*number) != left_out);
            let [truth, samples] = covariances(&kept.map(|(_, of_box)| of_box).collect::<Vec<_>>());
            ratios(&scatter(&samples), &scatter(&truth))
        });
        Measured::Done(Self {
            boxes: boxes.len(),
            truth_scatter: scatter(&truth),
            sample_scatter: scatter(&samples),
            scatter_ratio,
            truth_correlation: correlation(&truth),
            sample_correlation: correlation(&samples),
        })
    }
}

/// A row for each band.
type Matrix = Vec<Vec<f64>>;

/// Covariances of P over its mean, of truths and of samples.
fn covariances(boxes: &[&BoxSummary]) -> [Matrix; 2] {
    let truth: Vec<&[f64]> = boxes.iter().map(|of_box| of_box.truth_power.as_slice()).collect();
    let samples = boxes.iter().map(|of_box| of_box.sample_power.len()).min().unwrap_or(0);
    let of_sample = |number: usize| {
        let power: Vec<&[f64]> = boxes.iter().map(|of_box| of_box.sample_power[number].as_slice()).collect();
        covariance(&power)
    };
    let all: Vec<Matrix> = (0..samples).map(of_sample).collect();
    let bands = truth.first().map_or(0, |power| power.len());
    let mean = (0..bands).map(|band| mean_of(all.iter().map(|matrix| matrix[band].as_slice()))).collect();
    [covariance(&truth), mean]
}

/// Covariance of spectra over their mean.
fn covariance(spectra: &[&[f64]]) -> Matrix {
    let mean = mean_of(spectra.iter().copied());
    let relative: Matrix = spectra.iter().map(|power| ratios(power, &mean)).collect();
    let degrees = spectra.len() as f64 - 1.0;
    let element = |i: usize, j: usize| {
        relative.iter().map(|power| (power[i] - 1.0) * (power[j] - 1.0)).sum::<f64>() / degrees
    };
    (0..mean.len()).map(|i| (0..mean.len()).map(|j| element(i, j)).collect()).collect()
}

fn scatter(matrix: &Matrix) -> Vec<f64> {
    (0..matrix.len()).map(|band| matrix[band][band].sqrt()).collect()
}

fn correlation(matrix: &Matrix) -> Matrix {
    let scatter = scatter(matrix);
    let row = |(row, mine): (&Vec<f64>, &f64)| {
        row.iter().zip(&scatter).map(|(covariance, its)| covariance / (mine * its)).collect()
    };
    matrix.iter().zip(&scatter).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_seed::{KeyedStream, Purpose};

    /// Boxes whose power scatters by a tenth in both bands, a half of it in common; that of samples by `more`.
    fn boxes(count: u32, more: f64) -> Vec<BoxSummary> {
        let stream = KeyedStream::new(3, Purpose::Validation);
        let uniform = |number: u32, i: u64| 12f64.sqrt() * (stream.uniform(number, i) - 0.5);
        let power = |number: u32, first: u64, factor: f64| {
            let common = uniform(number, first);
            let of_band = |band: u64| {
                let scatter = (common + uniform(number, first + 1 + band)) / 2f64.sqrt();
                100.0 * (1.0 + 0.1 * factor * scatter)
            };
            vec![of_band(0), of_band(1)]
        };
        let of_box = |number: u32| BoxSummary {
            truth_power: power(number, 0, 1.0),
            sample_power: vec![power(number, 10, more), power(number, 20, more)],
            ..BoxSummary::blank()
        };
        (0..count).map(of_box).collect()
    }

    #[test]
    fn scatter_and_correlation_are_those_of_the_boxes() {
        let found = CovarianceReport::new(&boxes(400, 1.5));
        let found = found.done().unwrap();
        assert!((found.truth_scatter[0] - 0.1).abs() < 0.01, "{found:?}");
        let (ratio, error) = found.scatter_ratio.first().unwrap();
        assert!((ratio - 1.5).abs() < 4.0 * error && (0.02..0.15).contains(&error), "{ratio} ± {error}");
        let (truth, sample) = (found.truth_correlation[0][1], found.sample_correlation[1][0]);
        assert!((truth - 0.5).abs() < 0.15 && (sample - 0.5).abs() < 0.15, "{truth} {sample}");
        assert!((found.truth_correlation[1][1] - 1.0).abs() < 1e-12);
        assert!(CovarianceReport::new(&boxes(49, 1.0)).reason().unwrap().contains("there are 49"));
    }
}
