//! One update of the weights.

use crate::draws::Draws;
use crate::state::State;
use crate::{NamedTensors, RunConfig, TrainingError, average, learning_rate, objective, optimizer};
use finescale_denoiser::{Denoiser, Mode};
use finescale_seed::{KeyedStream, Purpose};

/// A network that learns: its state and what the state is followed by.
pub(crate) struct Learner<'a> {
    config: &'a RunConfig,
    pub(crate) state: State,
    network: Denoiser,
    pub(crate) averaged: Denoiser,
    /// Parts that a batch is computed in.
    pub(crate) parts: usize,
}

/// What is told of an update.
pub(crate) struct Update {
    /// Loss of the batch before the update.
    pub(crate) loss: f64,
    pub(crate) learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub(crate) gradient_norm: f64,
}

impl<'a> Learner<'a> {
    /// A learner that goes on from `state`; clean estimates of each field are clamped to one of `clean_ranges`.
    pub(crate) fn new(
        config: &'a RunConfig,
        state: State,
        clean_ranges: &[(f32, f32)],
    ) -> Result<Self, TrainingError> {
        let network = Denoiser::new(&config.network, &state.weights, clean_ranges)?
            .with_checkpointing(config.training.gradient_checkpointing);
        let averaged = Denoiser::new(&config.network, &state.averages, clean_ranges)?;
        Ok(Self { config, state, network, averaged, parts: config.training.accumulate })
    }

    /// Moves the weights and their averages by one step. None if the loss or its gradient is not finite: then
    /// nothing has changed.
    pub(crate) fn update(&mut self, draws: &Draws) -> Result<Option<Update>, TrainingError> {
        let (training, step) = (&self.config.training, self.state.step);
        let (loss, gradients) = self.loss_and_gradients(draws)?;
        let norm = optimizer::global_norm(&gradients)?;
        if !(loss.is_finite() && norm.is_finite()) {
            return Ok(None);
        }

        let count = step + 1;
        let rate = learning_rate::learning_rate(
            training.learning_rate,
            training.warm_up_steps,
            training.decay,
            training.steps,
            count,
        );
        let scale = (training.gradient_clip_norm / norm).min(1.0);
        self.state.optimizer.step(self.state.weights.vars(), &gradients, scale, rate, count)?;
        let decay = average::ramped_decay(training.ema_decay, step);
        average::update(self.state.averages.vars(), self.state.weights.vars(), decay)?;
        self.state.step = count;
        Ok(Some(Update { loss, learning_rate: rate, gradient_norm: norm }))
    }

    /// The loss of a batch and its gradients, from its parts: the mean over equal
    /// parts is that over the batch, up to rounding. Units dropped depend on the part they are in.
    fn loss_and_gradients(&self, draws: &Draws) -> Result<(f64, NamedTensors), TrainingError> {
        let dropout = KeyedStream::new(self.config.training.seed, Purpose::Dropout);
        let share = 1.0 / self.parts as f64;
        let first_key = self.state.step * self.parts as u64;
        let (mut mean, mut gradients) = (0.0, NamedTensors::new());
        for (key, draws) in (first_key..).zip(draws.parts(self.parts)?) {
            let step = u32::try_from(key).expect("the configuration's parts of steps fit 32 bits");
            let mode = Mode::Train { dropout, step };
            let loss = objective::loss(&self.network, &draws, mode)?;
            mean += share * loss.value()?;
            let part = optimizer::gradients(loss.backward(share)?, self.state.weights.vars())?;
            optimizer::add(&mut gradients, part)?;
        }
        Ok((mean, gradients))
    }

    /// Loss and bias of the averaged weights, in the same parts.
    pub(crate) fn validate(&self, draws: &Draws) -> Result<Judged, TrainingError> {
        let mut sum = Judged { loss: 0.0, bias: 0.0 };
        let parts = draws.parts(self.parts)?;
        for draws in &parts {
            let loss = objective::loss(&self.averaged, draws, Mode::Evaluate)?;
            sum.loss += loss.value()?;
            sum.bias += objective::bias(&self.averaged, draws, &loss)?;
        }
        let count = parts.len() as f64;
        Ok(Judged { loss: sum.loss / count, bias: sum.bias / count })
    }
}

/// What validation finds in some patches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) loss: f64,
    /// As [`objective::bias`].
    pub(crate) bias: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draw;
    use crate::fixtures;
    use candle_core::{DType, Device, Tensor};
    use finescale_diffusion::{Denoise, WithKnown, noising};

    /// Sums of a batch in another order, in f32.
    const REL: f64 = 1e-5;

    fn learner(config: &RunConfig) -> Learner<'_> {
        let state = State::new(&config.network, fixtures::random_weights(config), 0.0).unwrap();
        Learner::new(config, state, &[(-99.0, 99.0)]).unwrap()
    }

    fn config(accumulate: usize) -> RunConfig {
        let mut config = fixtures::config();
        config.training.batch_size = 4;
        config.training.accumulate = accumulate;
        config.network.dropout = 0.0;
        config
    }

    fn draws(config: &RunConfig) -> Draws {
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        Draw::new(config, pairs).unwrap().training(0).unwrap()
    }

    /// Square root of the sum of squared differences, relative to that of `b`.
    fn distance(a: &NamedTensors, b: &NamedTensors) -> f64 {
        let difference: NamedTensors =
            a.iter().map(|(name, a)| (name.clone(), (a - &b[name]).unwrap())).collect();
        optimizer::global_norm(&difference).unwrap() / optimizer::global_norm(b).unwrap()
    }

    #[test]
    fn a_batch_in_parts_has_the_loss_and_gradient_of_the_whole() {
        let of = |accumulate| {
            let config = config(accumulate);
            let (learner, draws) = (learner(&config), draws(&config));
            let (loss, gradients) = learner.loss_and_gradients(&draws).unwrap();
            (loss, gradients, learner.validate(&draws).unwrap().loss)
        };
        let (loss, gradients, validation) = of(1);
        for parts in [2, 4] {
            let (found, found_gradients, found_validation) = of(parts);
            assert!((found / loss - 1.0).abs() < REL, "{found} instead of {loss}");
            assert!((found_validation / validation - 1.0).abs() < REL);
            let distance = distance(&found_gradients, &gradients);
            assert!(distance < REL, "{parts} parts: {distance}");
        }
    }

    #[test]
    fn parts_drop_different_units() {
        let mut config = config(2);
        config.network.dropout = 0.3;
        let draws = draws(&config);
        // Twice the same half: without dropout, both parts would have one loss, and so would the whole.
        let half = draws.parts(2).unwrap().remove(0);
        let twice = |tensor: &Tensor| Tensor::cat(&[tensor, tensor], 0).unwrap();
        let twice = Draws {
            condition: twice(&half.condition),
            clean: twice(&half.clean),
            noise: twice(&half.noise),
            mask: twice(&half.mask),
            weight: twice(&half.weight),
            alpha_bars: [&half.alpha_bars[..], &half.alpha_bars[..]].concat(),
        };
        let mut alone = config.clone();
        (alone.training.batch_size, alone.training.accumulate) = (2, 1);
        let of_both = learner(&config).loss_and_gradients(&twice).unwrap().0;
        let of_one = learner(&alone).loss_and_gradients(&half).unwrap().0;
        assert!((of_both / of_one - 1.0).abs() > 10.0 * REL, "{of_both} {of_one}");
    }

    #[test]
    fn the_bias_is_that_of_the_estimates_where_voxels_are_generated() {
        let config = config(1);
        let learner = learner(&config);
        let mut draws = draws(&config);
        draws.weight = draws.noise.sqr().unwrap(); // anything that differs from voxel to voxel
        let Draws { condition, clean, noise, mask, weight, alpha_bars } = &draws;
        let noisy = noising(clean, noise, alpha_bars).unwrap();
        let levels = Tensor::new(alpha_bars.as_slice(), &Device::Cpu).unwrap();
        let known = WithKnown::new(&learner.averaged, mask, clean).unwrap();
        let error = (known.predict_clean(&noisy, condition, &levels).unwrap() - clean).unwrap();
        let sum = |t: &Tensor| t.to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let expected = sum(&(&error * weight).unwrap()) / sum(&(mask * weight).unwrap());
        let found = learner.validate(&draws).unwrap().bias;
        assert!(found.abs() > 1e-3 && (found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn an_update_that_is_not_finite_changes_nothing_in_any_part() {
        let config = config(2);
        let mut learner = learner(&config);
        let mut draws = draws(&config);
        // Only a patch of the second part is broken.
        let factors = Tensor::new(&[1f32, 1.0, 1.0, f32::NAN], &Device::Cpu).unwrap();
        draws.noise = draws.noise.broadcast_mul(&factors.reshape((4, 1, 1, 1, 1)).unwrap()).unwrap();
        let weights = |learner: &Learner| -> Vec<Vec<f32>> {
            let flat = |(_, t): (&str, &Tensor)| t.flatten_all().unwrap().to_vec1().unwrap();
            learner.state.weights.tensors().map(flat).collect()
        };
        let before = weights(&learner);
        assert!(learner.update(&draws).unwrap().is_none());
        assert!(learner.state.step == 0 && weights(&learner) == before);
    }
}
