//! From the network's output to an estimate of the clean field.

use crate::dropout::Mode;
use crate::unet::Recorded;
use crate::{DenoiserError, NetworkConfig, Parameters, Prediction, Processor, UNet};
use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor};
use finescale_diffusion::{Denoise, Known};
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::CardLearner;

/// A U-Net that estimates clean patches. It follows the values of the parameters it was made from.
#[derive(Clone, Debug)]
pub struct Denoiser {
    config: NetworkConfig,
    clean_ranges: Vec<(f32, f32)>,
    training: UNet,
    sampling: UNet,
}

impl Denoiser {
    /// A denoiser whose clean estimates of each field are clamped to one of `clean_ranges` (lowest and highest
    /// normalised value).
    ///
    /// # Errors
    /// As [`UNet::new`]; [`DenoiserError::Setting`] if a range is empty or there is not one for each field.
    pub fn new(
        config: &NetworkConfig,
        parameters: &Parameters,
        clean_ranges: &[(f32, f32)],
    ) -> std::result::Result<Self, DenoiserError> {
        let rising = clean_ranges.iter().all(|(low, high)| low < high);
        if !rising || clean_ranges.len() != config.fields {
            let (setting, expected) = ("the clean ranges", "two rising numbers for each field");
            return Err(DenoiserError::Setting { setting, expected, found: format!("{clean_ranges:?}") });
        }
        Ok(Self {
            config: config.clone(),
            clean_ranges: clean_ranges.to_vec(),
            training: UNet::new(config, parameters)?,
            sampling: UNet::frozen(config, parameters)?,
        })
    }

    /// As [`UNet::with_checkpointing`], in training.
    #[must_use]
    pub fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self { training: self.training.with_checkpointing(checkpointing), ..self }
    }

    /// The same, computed by `processor`.
    #[must_use]
    pub fn on(self, processor: &Processor) -> Self {
        let Self { training, sampling, .. } = self;
        Self { training: training.on(processor), sampling: sampling.on(processor), ..self }
    }

    /// As [`UNet::with_fixed_parameters`].
    #[must_use]
    pub fn with_fixed_parameters(self) -> Self {
        let Self { training, sampling, .. } = self;
        Self {
            training: training.with_fixed_parameters(),
            sampling: sampling.with_fixed_parameters(),
            ..self
        }
    }

    /// The configuration of the network.
    #[must_use]
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Prediction minus target per voxel, in the network's own output space: ε̂ - ε for [`Prediction::Epsilon`],
    /// F - F* for [`Prediction::Edm`], whose squares EDM weighs equally. In [`Mode::Train`] its
    /// [`backward`](Residual::backward) leads to the parameters.
    ///
    /// # Shapes
    /// `clean`, `noise`: (b, fields, n, n, n); `noisy`: the same, √ᾱ · clean + √(1 - ᾱ) · noise with known voxels
    /// clean; `condition`: (b, c, n, n, n) with the known channels appended if the network takes them;
    /// `alpha_bar`: (b,). Returns (b, fields, n, n, n); its values in known voxels mean nothing.
    /// # Errors
    /// If shapes do not fit, or a noise level is outside (0, 1).
    /// # Source
    /// Karras et al. 2022, arXiv:2206.00364, eq. 8.
    pub fn residual(
        &self,
        clean: &Tensor,
        noisy: &Tensor,
        condition: &Tensor,
        noise: &Tensor,
        alpha_bar: &Tensor,
        mode: Mode,
    ) -> Result<Residual> {
        self.residual_of(&self.question(clean, noisy, condition, noise, alpha_bar)?, mode)
    }

    /// What [`residual`](Self::residual) shows the network, and what it should say: all that needs no network.
    ///
    /// # Shapes
    /// As there.
    /// # Errors
    /// As there.
    pub fn question(
        &self,
        clean: &Tensor,
        noisy: &Tensor,
        condition: &Tensor,
        noise: &Tensor,
        alpha_bar: &Tensor,
    ) -> Result<Question> {
        let scales = Scales::from_batch(self.config.prediction, alpha_bar)?;
        let view = self.view(noisy, condition, &scales)?;
        let (input, level) = self.network_input(&view, &scales)?;
        let target = match self.config.prediction {
            Prediction::Epsilon => noise.clone(),
            Prediction::Edm { .. } => {
                let clean = view.relative(clean)?;
                let signal = scaled(&clean, &scales, |s| s.target_clean)?;
                (signal + scaled(noise, &scales, |s| s.target_noise)?)?
            }
        };
        Ok(Question { input, level, target })
    }

    /// What the network says minus what it should say.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn residual_of(&self, question: &Question, mode: Mode) -> Result<Residual> {
        let Question { input, level, target } = question;
        let output = match mode {
            Mode::Train { .. } => Output::Recorded(self.training.record(input, level, mode)?),
            Mode::Evaluate => Output::Evaluated(self.sampling.forward(input, level, mode)?),
        };
        Ok(Residual { target: target.clone(), output })
    }

    /// Clean estimate minus clean field per voxel, before the estimate is clamped, of a residual's `values`.
    ///
    /// # Shapes
    /// `values`: (b, fields, n, n, n); `alpha_bar`: (b,). Returns the shape of `values`.
    /// # Errors
    /// If shapes do not fit, or a noise level is outside (0, 1).
    pub fn clean_error(&self, values: &Tensor, alpha_bar: &Tensor) -> Result<Tensor> {
        scaled(values, &Scales::from_batch(self.config.prediction, alpha_bar)?, |s| s.output)
    }

    /// The fields relative to the baseline, if there is one: noisy − √ᾱ · baseline is a noisy version of
    /// clean − baseline at the same level.
    fn view(&self, noisy: &Tensor, condition: &Tensor, scales: &[Scales]) -> Result<View> {
        let (expected, found) = (self.config.all_condition_channels(), condition.dim(1)?);
        if found != expected {
            let error = DenoiserError::InputChannels { what: "condition", expected, found };
            return Err(error.into_candle());
        }
        if !self.config.baseline {
            return Ok(View { noisy: noisy.clone(), condition: condition.clone(), baseline: None });
        }
        let (channels, baseline) = (self.config.condition_channels, self.baseline(condition)?);
        let noisy = (noisy - scaled(&baseline, scales, |s| s.signal)?)?;
        let condition = if self.config.known_channels {
            let [condition, known, values] = Known::split(condition, channels)?;
            let values = (values - baseline.broadcast_mul(&known)?)?;
            Tensor::cat(&[&condition, &known, &values], 1)?
        } else {
            condition.clone()
        };
        Ok(View { noisy, condition, baseline: Some(baseline) })
    }

    /// What the fields are relative to, if there is a baseline: the last channels of the condition itself.
    fn baseline(&self, condition: &Tensor) -> Result<Tensor> {
        let (channels, fields) = (self.config.condition_channels, self.config.fields);
        condition.narrow(1, channels - fields, fields)
    }

    /// What the network takes: condition and scaled noisy field, and its name of the noise level.
    fn network_input(&self, view: &View, scales: &[Scales]) -> Result<(Tensor, Tensor)> {
        let noisy = match self.config.prediction {
            Prediction::Epsilon => view.noisy.clone(),
            Prediction::Edm { .. } => scaled(&view.noisy, scales, |s| s.input)?,
        };
        let levels: Vec<f32> = scales.iter().map(|s| s.level as f32).collect();
        let level = Tensor::from_vec(levels, scales.len(), noisy.device())?;
        Ok((Tensor::cat(&[&view.condition, &noisy], 1)?, level))
    }
}

/// A network's input and noise level, and what it should make of them.
#[derive(Clone, Debug)]
pub struct Question {
    input: Tensor,
    level: Tensor,
    target: Tensor,
}

/// Prediction minus target, and the way back to the parameters.
#[derive(Debug)]
pub struct Residual {
    target: Tensor,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Evaluated(Tensor),
    Recorded(Recorded),
}

impl Residual {
    /// The values (b, fields, n, n, n). Losses computed from them go to [`backward`](Self::backward).
    ///
    /// # Errors
    /// If they are on a card that does not answer.
    pub fn values(&self) -> Result<Tensor> {
        match &self.output {
            Output::Evaluated(output) => output - &self.target,
            Output::Recorded(recorded) => recorded.output()? - &self.target,
        }
    }

    /// The gradients of `loss`, which was computed from the values, by all parameters.
    ///
    /// # Errors
    /// If the residual was evaluated without training, or the loss does not depend on it.
    pub fn backward(self, loss: &Tensor) -> Result<GradStore> {
        self.recorded()?.1.backward(loss)
    }

    /// As [`CardLearner::learn`]: the loss is Σ `weight` values².
    ///
    /// # Errors
    /// If the residual was evaluated without training, or on something else than a card; and as there.
    #[cfg(feature = "cuda")]
    pub fn learn(self, weight: &Tensor, begins: bool, learner: &mut CardLearner) -> Result<()> {
        let (target, recorded) = self.recorded()?;
        recorded.learn(&target, weight, begins, learner)
    }

    fn recorded(self) -> Result<(Tensor, Recorded)> {
        match self.output {
            Output::Recorded(recorded) => Ok((self.target, recorded)),
            Output::Evaluated(_) => {
                candle_core::bail!("an evaluation in Mode::Evaluate keeps nothing for gradients")
            }
        }
    }
}

impl Denoise for Denoiser {
    fn predict_clean(&self, noisy: &Tensor, condition: &Tensor, noise_level: &Tensor) -> Result<Tensor> {
        let scales = Scales::from_batch(self.config.prediction, noise_level)?;
        let view = self.view(noisy, condition, &scales)?;
        let (input, level) = self.network_input(&view, &scales)?;
        let output = self.sampling.forward(&input, &level, Mode::Evaluate)?;
        let clean = (scaled(&view.noisy, &scales, |s| s.skip)? + scaled(&output, &scales, |s| s.output)?)?;
        let clean = match &view.baseline {
            Some(baseline) => (clean + baseline)?,
            None => clean,
        };
        let clamped =
            |(field, &(low, high)): (usize, &(f32, f32))| clean.narrow(1, field, 1)?.clamp(low, high);
        let fields = self.clean_ranges.iter().enumerate().map(clamped).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&fields, 1)
    }

    fn first_guess(&self, condition: &Tensor) -> Result<Option<Tensor>> {
        self.config.baseline.then(|| self.baseline(condition)).transpose()
    }

    fn takes_known_channels(&self) -> bool {
        self.config.known_channels
    }
}

/// What the network sees: as it is given, or relative to a baseline.
struct View {
    noisy: Tensor,
    condition: Tensor,
    baseline: Option<Tensor>,
}

impl View {
    /// A clean field relative to the baseline.
    fn relative(&self, clean: &Tensor) -> Result<Tensor> {
        match &self.baseline {
            Some(baseline) => clean - baseline,
            None => Ok(clean.clone()),
        }
    }
}

/// The linear maps between network and field at one noise level. Network input: `input · noisy`, told `level`.
/// Clean estimate: `skip · noisy + output · F`. What F should be: `target_clean · clean + target_noise · ε`.
#[derive(Clone, Copy, Debug)]
struct Scales {
    /// √ᾱ.
    signal: f64,
    input: f64,
    level: f64,
    skip: f64,
    output: f64,
    target_clean: f64,
    target_noise: f64,
}

impl Scales {
    fn from_batch(prediction: Prediction, alpha_bar: &Tensor) -> Result<Vec<Self>> {
        let levels = alpha_bar.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let scales = |found: f64| {
            let inside = found > 0.0 && found < 1.0;
            if inside {
                Ok(Self::new(prediction, found))
            } else {
                Err(DenoiserError::NoiseLevel { found }.into_candle())
            }
        };
        levels.into_iter().map(scales).collect()
    }

    fn new(prediction: Prediction, alpha_bar: f64) -> Self {
        let (signal, noise) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        match prediction {
            Prediction::Epsilon => Self {
                signal,
                input: 1.0,
                level: alpha_bar,
                skip: 1.0 / signal,
                output: -noise / signal,
                target_clean: 0.0,
                target_noise: 1.0,
            },
            // Table 1 of Karras et al. with sigma = noise / signal and their noisy field = noisy / signal: the
            // quotients cancel, and nothing is large at high noise or differs by little at low noise.
            Prediction::Edm { sigma_data } => {
                let total = (noise * noise + (signal * sigma_data).powi(2)).sqrt();
                Self {
                    signal,
                    input: 1.0 / total,
                    level: (noise / signal).ln() / 4.0,
                    skip: sigma_data * sigma_data * signal / (total * total),
                    output: noise * sigma_data / total,
                    target_clean: noise / (sigma_data * total),
                    target_noise: -sigma_data * signal / total,
                }
            }
        }
    }
}

/// x (b, ...) with each sample multiplied by its factor.
fn scaled(x: &Tensor, scales: &[Scales], factor: impl Fn(&Scales) -> f64) -> Result<Tensor> {
    let factors: Vec<f32> = scales.iter().map(|s| factor(s) as f32).collect();
    x.broadcast_mul(&Tensor::from_vec(factors, (scales.len(), 1, 1, 1, 1), x.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_perfect_network_gives_the_clean_field(a in 1e-5f64..0.999_999, sd in 0.05f64..2.0, clean in -3f64..3.0, noise in -3f64..3.0) {
            let noisy = a.sqrt() * clean + (1.0 - a).sqrt() * noise;
            for prediction in [Prediction::Epsilon, Prediction::Edm { sigma_data: sd }] {
                let s = Scales::new(prediction, a);
                let target = s.target_clean * clean + s.target_noise * noise;
                let estimate = s.skip * noisy + s.output * target;
                prop_assert!((estimate - clean).abs() < 1e-9, "{prediction:?}: {estimate}");
            }
        }

        #[test]
        fn edm_with_unit_data_is_v_prediction(a in 1e-5f64..0.999_999, clean in -3f64..3.0, noise in -3f64..3.0) {
            let s = Scales::new(Prediction::Edm { sigma_data: 1.0 }, a);
            let v = a.sqrt() * noise - (1.0 - a).sqrt() * clean;
            prop_assert!((s.target_clean * clean + s.target_noise * noise + v).abs() < 1e-9);
            // x = √ᾱ x_t − √(1 − ᾱ) v, and the input is x_t as it is.
            prop_assert!((s.skip - a.sqrt()).abs() < 1e-9 && (s.output - (1.0 - a).sqrt()).abs() < 1e-9);
            prop_assert!((s.input - 1.0).abs() < 1e-9);
        }

        #[test]
        fn edm_scales_are_those_of_its_table(sigma in 2e-3f64..200.0, sd in 0.05f64..2.0) {
            let s = Scales::new(Prediction::Edm { sigma_data: sd }, 1.0 / (1.0 + sigma * sigma));
            let signal = 1.0 / (1.0 + sigma * sigma).sqrt();
            let total = (sigma * sigma + sd * sd).sqrt();
            // Those of noisy / signal, hence the factors `signal`.
            for (found, expected) in [
                (s.skip * signal, sd * sd / (total * total)),
                (s.output, sigma * sd / total),
                (s.input * signal, 1.0 / total),
                (s.level, sigma.ln() / 4.0),
            ] {
                prop_assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} {expected}");
            }
            // Input and target have unit variance for data of variance sd².
            prop_assert!(((s.target_clean * sd).powi(2) + s.target_noise.powi(2) - 1.0).abs() < 1e-9);
            prop_assert!((s.input.powi(2) * ((sd * signal).powi(2) + (sigma * signal).powi(2)) - 1.0).abs() < 1e-9);
        }
    }
}
