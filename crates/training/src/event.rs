//! What a run tells while it goes on, and at its end.

use serde::Serialize;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The run is about to make its first update.
    Started {
        /// Updates made before, if it is resumed.
        step: u64,
        /// Updates that the run will end with.
        steps: u64,
        /// Number of parameters of the network.
        parameters: usize,
    },
    /// An update was made.
    Step(StepMetrics),
    /// The averaged weights were tried on the validation pairs.
    Validation(ValidationMetrics),
    /// The averaged weights drew samples, whose power was compared with the truth's.
    Spectrum(SpectrumMetrics),
    /// The state was saved; a run that dies now continues from here.
    Saved {
        /// Updates made.
        step: u64,
    },
}

/// One update, one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepMetrics {
    /// Updates made, this one included.
    pub step: u64,
    /// Loss of the batch before the update.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Patches per second.
    pub samples_per_second: f64,
}

/// One validation, one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationMetrics {
    /// Updates made.
    pub step: u64,
    /// Mean loss of the averaged weights.
    pub validation_loss: f64,
    /// The same by noise level, noisiest first.
    pub levels: Vec<LevelLoss>,
}

/// Mean validation loss over a range of noise levels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelLoss {
    /// Largest noise-to-signal ratio in the range.
    pub sigma_max: f64,
    /// Smallest noise-to-signal ratio in the range.
    pub sigma_min: f64,
    /// Mean loss over the range.
    pub loss: f64,
    /// Mean of clean estimate minus clean field, weighted as the loss weights voxels, in units of the normalized
    /// field. Where it is not nearly zero, samples are off by as much: train that noise more.
    pub bias: f64,
}

/// The power of samples from the averaged weights, one line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpectrumMetrics {
    /// Updates made.
    pub step: u64,
    /// Mean of |ln(P / P_truth)| over the bands of all fields.
    pub spectrum_error: f64,
    /// Mean wavenumber of the modes in each band in h/Mpc, rising; of several fields, one after another.
    pub k_h_mpc: Vec<f64>,
    /// P / P_truth of each of these bands.
    pub power_ratio: Vec<f64>,
}

/// A line of `metrics.jsonl`, and the numbers in it that TensorBoard draws.
pub(crate) trait LogLine: Serialize {
    /// Updates made.
    fn step(&self) -> u64;
    /// Names and values.
    fn scalars(&self) -> Vec<(String, f64)>;
}

impl LogLine for StepMetrics {
    fn step(&self) -> u64 {
        self.step
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        [
            ("loss", self.loss),
            ("learning_rate", self.learning_rate),
            ("gradient_norm", self.gradient_norm),
            ("samples_per_second", self.samples_per_second),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl LogLine for ValidationMetrics {
    fn step(&self) -> u64 {
        self.step
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        let level = |l: &LevelLoss| {
            let range = format!("sigma_{:.3}_to_{:.3}", l.sigma_min, l.sigma_max);
            [("loss", l.loss), ("bias", l.bias)]
                .map(|(name, value)| (format!("validation_{name}_by_level/{range}"), value))
        };
        let mean = ("validation_loss".to_owned(), self.validation_loss);
        std::iter::once(mean).chain(self.levels.iter().flat_map(level)).collect()
    }
}

impl LogLine for SpectrumMetrics {
    fn step(&self) -> u64 {
        self.step
    }

    fn scalars(&self) -> Vec<(String, f64)> {
        // Where k falls, the next field begins; the curves of each have a folder of their own.
        let (mut field, mut last) = (1, 0.0);
        let ratios = self.k_h_mpc.iter().zip(&self.power_ratio).map(|(&k, &ratio)| {
            field += usize::from(k <= last);
            last = k;
            let folder = if field == 1 { "power_ratio".to_owned() } else { format!("power_ratio_{field}") };
            (format!("{folder}/k_{k:.3}_h_mpc"), ratio)
        });
        std::iter::once(("spectrum_error".to_owned(), self.spectrum_error)).chain(ratios).collect()
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Updates made, those before a resumption included.
    pub step: u64,
    /// Whether all updates of the configuration are made; otherwise the run was asked to stop.
    pub complete: bool,
    /// Loss of the last batch, if an update was made.
    pub last_loss: Option<f64>,
    /// The best validation loss.
    pub best_validation_loss: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_curves_of_its_own() {
        let (k_h_mpc, power_ratio) = (vec![0.5, 1.0, 0.5, 1.0], vec![1.1, 1.2, 1.3, 1.4]);
        let metrics = SpectrumMetrics { step: 3, spectrum_error: 0.2, k_h_mpc, power_ratio };
        let expected = [
            ("spectrum_error", 0.2),
            ("power_ratio/k_0.500_h_mpc", 1.1),
            ("power_ratio/k_1.000_h_mpc", 1.2),
            ("power_ratio_2/k_0.500_h_mpc", 1.3),
            ("power_ratio_2/k_1.000_h_mpc", 1.4),
        ];
        assert_eq!(metrics.scalars(), expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
