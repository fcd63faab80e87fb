//! One update of the weights.

use crate::draws::Draws;
use crate::state::State;
use crate::{RunConfig, TrainingError, average, learning_rate, objective, optimizer};
use finescale_denoiser::{Denoiser, Mode};
use finescale_seed::{KeyedStream, Purpose};

/// A network that learns: its state and what the state is followed by.
pub(crate) struct Learner<'a> {
    config: &'a RunConfig,
    pub(crate) state: State,
    network: Denoiser,
    averaged: Denoiser,
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
    /// A learner that goes on from `state`; clean estimates are clamped to `clean_range`.
    pub(crate) fn new(
        config: &'a RunConfig,
        state: State,
        clean_range: (f32, f32),
    ) -> Result<Self, TrainingError> {
        let network = Denoiser::new(&config.network, &state.weights, clean_range)?
            .with_checkpointing(config.training.gradient_checkpointing);
        let averaged = Denoiser::new(&config.network, &state.averages, clean_range)?;
        Ok(Self { config, state, network, averaged })
    }

    /// Moves the weights and their averages by one step. None if the loss or its gradient is not finite: then
    /// nothing has changed.
    pub(crate) fn update(&mut self, draws: &Draws) -> Result<Option<Update>, TrainingError> {
        let (training, step) = (&self.config.training, self.state.step);
        let key = u32::try_from(step).expect("the configuration's steps fit 32 bits");
        let dropout = KeyedStream::new(training.seed, Purpose::Dropout);
        let mode = Mode::Train { dropout, step: key };
        let loss = objective::loss(&self.network, draws, self.config.diffusion.loss, mode)?;
        let (loss, store) = (loss.value()?, loss.backward()?);
        let gradients = optimizer::gradients(store, self.state.weights.vars())?;
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

    /// The loss of the averaged weights.
    pub(crate) fn validation_loss(&self, draws: &Draws) -> Result<f64, TrainingError> {
        objective::loss(&self.averaged, draws, self.config.diffusion.loss, Mode::Evaluate)?.value()
    }
}
