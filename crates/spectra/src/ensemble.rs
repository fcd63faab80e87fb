//! Cross powers of a truth and samples of it, and what they say of the samples' calibration.

use crate::{Bands, Modes, SpectraError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Fewest samples that are a pair.
const FEWEST: usize = 2;

/// Cross powers of each two of a truth and M samples of it, in bands of k.
#[derive(Clone, Debug)]
pub struct EnsemblePower {
    samples: usize,
    k_h_mpc: Vec<f64>,
    modes: Vec<u64>,
    /// By band: P_ab in (Mpc/h)³ of members a, b, flat (M + 1)²; the truth is the last one.
    power: Vec<Vec<f64>>,
}

/// Calibration of samples, by band of k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Mean |k| of the modes of each band in h/Mpc.
    pub k_h_mpc: Vec<f64>,
    /// Number of independent modes.
    pub modes: Vec<u64>,
    /// P(SR_i × SR_j) / P(SR × HR): the mean over all pairs i < j over the mean over all i. 1 for samples of
    /// the truth's own conditional distribution, above for samples that agree with each other on what the truth
    /// has not, below for detail that is damped. Their spread, if it is independent of the truth, is not seen
    /// here.
    pub pair_ratio: Vec<f64>,
    /// Standard deviation of that ratio when each sample in turn plays the truth for the others: the error that one
    /// truth leaves, if the samples are right; NaN for two samples, which leave no pair.
    pub pair_ratio_error: Vec<f64>,
    /// r(sample, truth), mean over the samples.
    pub with_truth: Vec<f64>,
    /// r(sample, other sample), mean over the pairs.
    pub among_samples: Vec<f64>,
    /// Their ratio: 1 for draws of the truth's own conditional distribution, since the truth and another draw are then alike.
    pub agreement_ratio: Vec<f64>,
    /// The error that one truth leaves of that, as of the pair ratio.
    pub agreement_ratio_error: Vec<f64>,
    /// r²(sample, truth), mean over the samples.
    pub r2: Vec<f64>,
    /// √((M + 1)/M) · rms spread of the samples about their mean / rms error of that mean: 1 if right, below for
    /// samples that vary too little.
    pub spread_over_error: Vec<f64>,
}

impl EnsemblePower {
    /// Cross powers V⟨Re δ_k ε_k*⟩ of every two of a truth and its samples.
    ///
    /// # Errors
    /// [`SpectraError::Samples`] for fewer than two samples; [`SpectraError::Grids`] if they are not on the truth's grid.
    pub fn new(truth: &Modes, samples: &[&Modes], bands: &Bands) -> Result<Self, SpectraError> {
        if samples.len() < FEWEST {
            return Err(SpectraError::Samples { needed: FEWEST, found: samples.len() });
        }
        let members: Vec<&Modes> = samples.iter().copied().chain([truth]).collect();
        let count = members.len();
        let pairs: Vec<(usize, usize)> = (0..count).flat_map(|a| (0..=a).map(move |b| (a, b))).collect();
        let spectra = pairs
            .par_iter()
            .map(|&(a, b)| members[a].cross_in(members[b], bands))
            .collect::<Result<Vec<_>, _>>()?;
        let mut power = vec![vec![0.0; count * count]; bands.count()];
        for (&(a, b), spectrum) in pairs.iter().zip(&spectra) {
            for (band, &value) in power.iter_mut().zip(&spectrum.power) {
                (band[a * count + b], band[b * count + a]) = (value, value);
            }
        }
        let (k_h_mpc, modes) = (spectra[0].k_h_mpc.clone(), spectra[0].modes.clone());
        Ok(Self { samples: samples.len(), k_h_mpc, modes, power })
    }

    /// What the powers say of the samples; NaN in bands without modes.
    ///
    /// # Source
    /// Spread and error: Fortin et al. 2014, J. Hydrometeor. 15, 1708. The ratio: two draws and a draw and the
    /// truth have one joint distribution if the truth is a draw.
    #[must_use]
    pub fn calibration(&self) -> Calibration {
        let truth = self.samples;
        let others = |left_out: usize| (0..self.samples).filter(|&i| i != left_out).collect::<Vec<_>>();
        let error = |band: &Vec<f64>, ratio: fn(&Self, &[f64], &[usize], usize) -> f64| {
            let as_truth: Vec<f64> = (0..self.samples).map(|i| ratio(self, band, &others(i), i)).collect();
            let mean = as_truth.iter().sum::<f64>() / as_truth.len() as f64;
            let squares: f64 = as_truth.iter().map(|ratio| (ratio - mean).powi(2)).sum();
            (squares / (as_truth.len() - 1) as f64).sqrt()
        };
        Calibration {
            k_h_mpc: self.k_h_mpc.clone(),
            modes: self.modes.clone(),
            pair_ratio: self.power.iter().map(|band| self.pair_ratio(band, &others(truth), truth)).collect(),
            pair_ratio_error: self.power.iter().map(|band| error(band, Self::pair_ratio)).collect(),
            with_truth: self.power.iter().map(|band| self.with_truth(band, &others(truth), truth)).collect(),
            among_samples: self.power.iter().map(|band| self.among(band, &others(truth))).collect(),
            agreement_ratio: self
                .power
                .iter()
                .map(|band| self.agreement_ratio(band, &others(truth), truth))
                .collect(),
            agreement_ratio_error: self.power.iter().map(|band| error(band, Self::agreement_ratio)).collect(),
            r2: self.power.iter().map(|band| self.r2(band)).collect(),
            spread_over_error: self.power.iter().map(|band| self.spread_over_error(band)).collect(),
        }
    }

    fn at(&self, band: &[f64], a: usize, b: usize) -> f64 {
        band[a * (self.samples + 1) + b]
    }

    /// Mean cross power of the pairs of `samples` over that with `truth`.
    fn pair_ratio(&self, band: &[f64], samples: &[usize], truth: usize) -> f64 {
        let count = samples.len() as f64;
        let with_truth = samples.iter().map(|&i| self.at(band, i, truth)).sum::<f64>() / count;
        let pairs: f64 = samples
            .iter()
            .enumerate()
            .flat_map(|(nth, &i)| samples[..nth].iter().map(move |&j| self.at(band, i, j)))
            .sum();
        pairs / (count * (count - 1.0) / 2.0) / with_truth
    }

    fn r(&self, band: &[f64], a: usize, b: usize) -> f64 {
        self.at(band, a, b) / (self.at(band, a, a) * self.at(band, b, b)).sqrt()
    }

    /// Mean r of `samples` with `truth`.
    fn with_truth(&self, band: &[f64], samples: &[usize], truth: usize) -> f64 {
        samples.iter().map(|&i| self.r(band, i, truth)).sum::<f64>() / samples.len() as f64
    }

    /// Mean r of the pairs of `samples`.
    fn among(&self, band: &[f64], samples: &[usize]) -> f64 {
        let count = samples.len() as f64;
        let pairs =
            samples.iter().enumerate().flat_map(|(nth, &i)| samples[..nth].iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| self.r(band, i, j)).sum::<f64>() / (count * (count - 1.0) / 2.0)
    }

    fn agreement_ratio(&self, band: &[f64], samples: &[usize], truth: usize) -> f64 {
        self.with_truth(band, samples, truth) / self.among(band, samples)
    }

    /// Mean of P_iy² / (P_ii P_yy) over the samples i of the truth y.
    fn r2(&self, band: &[f64]) -> f64 {
        let truth = self.samples;
        let of = |i| self.at(band, i, truth).powi(2) / (self.at(band, i, i) * self.at(band, truth, truth));
        (0..self.samples).map(of).sum::<f64>() / self.samples as f64
    }

    /// √((M + 1)/M) times spread over error, from powers: with x̄ the mean of the samples,
    /// spread² = Σ |x_i − x̄|² / (M − 1) and error² = |x̄ − y|².
    fn spread_over_error(&self, band: &[f64]) -> f64 {
        let (count, truth) = (self.samples as f64, self.samples);
        let members = 0..self.samples;
        let own: f64 = members.clone().map(|i| self.at(band, i, i)).sum();
        let all: f64 = members.clone().flat_map(|i| members.clone().map(move |j| self.at(band, i, j))).sum();
        let with_truth: f64 = members.clone().map(|i| self.at(band, i, truth)).sum();
        let spread2 = (own - all / count) / (count - 1.0);
        let error2 = all / (count * count) - 2.0 * with_truth / count + self.at(band, truth, truth);
        ((count + 1.0) / count * spread2 / error2).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_by_hand() {
        // One band; members with one real mode each: samples 1, 2, 6 and the truth 4.
        let modes = [1.0, 2.0, 6.0, 4.0];
        let power = modes.iter().flat_map(|a| modes.map(|b| a * b)).collect();
        let ensemble = EnsemblePower { samples: 3, k_h_mpc: vec![1.0], modes: vec![1], power: vec![power] };
        let found = ensemble.calibration();
        // Pairs 2, 6, 12; with the truth 4, 8, 24.
        assert!((found.pair_ratio[0] - (20.0 / 3.0) / 12.0).abs() < 1e-15);
        // As truth: 1 -> 12 / 4, 2 -> 6 / 7, 6 -> 2 / 9.
        let ratios = [12.0 / 4.0, 6.0 / 7.0, 2.0 / 9.0];
        let mean = ratios.iter().sum::<f64>() / 3.0;
        let deviation = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        assert!((found.pair_ratio_error[0] - deviation).abs() < 1e-12, "{}", found.pair_ratio_error[0]);
        // One mode each is fully correlated.
        assert_eq!((found.with_truth[0], found.among_samples[0], found.agreement_ratio[0]), (1.0, 1.0, 1.0));
        assert!((found.r2[0] - 1.0).abs() < 1e-15);
        // Mean 3: spread² = (4 + 1 + 9) / 2, error² = 1.
        assert!((found.spread_over_error[0] - (4.0 / 3.0 * 7.0f64).sqrt()).abs() < 1e-12);
    }
}
