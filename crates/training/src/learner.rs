//! One update of the weights.

use crate::objective::Exercise;
use crate::parts::{OrderedSum, OwnParts, in_turn};
use crate::state::State;
use crate::step::Step;
use crate::{
    NamedTensors, RunConfig, TrainingError, average, config as settings, learning_rate, objective, optimizer,
};
use finescale_denoiser::{Denoiser, Mode, Processor};
use finescale_ranks::Ranks;
use finescale_seed::{KeyedStream, Purpose};

/// A network that learns: its state and what the state is followed by.
pub(crate) struct Learner<'a> {
    config: &'a RunConfig,
    ranks: &'a Ranks,
    pub(crate) state: State,
    /// The network as each card computes it, or the CPU.
    networks: Vec<Denoiser>,
    pub(crate) averaged: Denoiser,
}

/// What a batch says about the weights.
struct Learned {
    loss: f64,
    /// Norm of the gradient.
    norm: f64,
    /// By each parameter; none where a card has them.
    gradients: NamedTensors,
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
        mut state: State,
        clean_ranges: &[(f32, f32)],
        processor: &Processor,
        ranks: &'a Ranks,
    ) -> Result<Self, TrainingError> {
        let alone = processor.one_by_one();
        check_parts(config, alone.len(), ranks)?;
        let network = Denoiser::new(&config.network, state.values.parameters(), clean_ranges)?
            .with_checkpointing(config.training.gradient_checkpointing);
        // Cards know when they move weights and averages.
        let placed = |network: &Denoiser, on| network.clone().on(on).with_fixed_parameters();
        let networks = alone.iter().map(|processor| placed(&network, processor)).collect();
        // The averages are where the values are moved: on the first card.
        let averaged = Denoiser::new(&config.network, state.values.averages(), clean_ranges)?;
        let averaged = placed(&averaged, &alone[0]);
        state.values.train_on(processor)?;
        Ok(Self { config, ranks, state, networks, averaged })
    }

    /// The network, as what makes exercises for it.
    pub(crate) fn network(&self) -> &Denoiser {
        &self.networks[0]
    }

    /// Parts of a batch that are computed at once, on all ranks.
    pub(crate) fn parts_at_once(&self) -> usize {
        self.networks.len() * self.ranks.count()
    }

    /// Moves the weights and their averages by one step, with a batch that comes in equal parts. None if the
    /// loss or its gradient is not finite: then nothing has changed. The same on all ranks.
    pub(crate) fn update(&mut self, parts: &OwnParts) -> Result<Option<Update>, TrainingError> {
        let (training, step) = (&self.config.training, self.state.step);
        let Learned { loss, norm, gradients } = self.learn(parts)?;
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
        let step = Step {
            count,
            learning_rate: rate,
            gradient_scale: (training.gradient_clip_norm / norm).min(1.0),
            average_decay: average::ramped_decay(training.ema_decay, step),
        };
        self.state.values.step(&gradients, &step)?;
        self.state.step = count;
        Ok(Some(Update { loss, learning_rate: rate, gradient_norm: norm }))
    }

    fn learn(&mut self, parts: &OwnParts) -> Result<Learned, TrainingError> {
        #[cfg(feature = "cuda")]
        if self.state.values.cards().is_some() {
            return self.learn_on_cards(parts);
        }
        let (loss, gradients) = self.loss_and_gradients(parts)?;
        let norm = optimizer::global_norm(&gradients)?;
        Ok(Learned { loss, norm, gradients })
    }

    /// The loss of a batch and its gradients, from its parts: the mean over equal
    /// parts is that over the batch, up to rounding. Units dropped depend on the part they are in.
    fn loss_and_gradients(&self, parts: &OwnParts) -> Result<(f64, NamedTensors), TrainingError> {
        let (share, ranks) = (1.0 / parts.of as f64, self.ranks);
        let variables = || self.state.values.parameters().vars();
        let mut sum = OrderedSum::new(ranks, self.state.values.parameters().count());
        let mut losses = Vec::new();
        for (round, first) in (0..parts.of).step_by(ranks.count()).enumerate() {
            let mut own = None;
            if let Some(part) = parts.exercises.get(round) {
                let mode = self.mode(first + ranks.rank(), parts.of);
                let loss = objective::loss(&self.networks[0], part, mode)?;
                losses.push(loss.value()?);
                own = Some(optimizer::flat(&optimizer::gradients(loss.backward(share)?, variables())?)?);
            }
            sum.add(own.as_deref(), ranks.count().min(parts.of - first))?;
        }
        let mean = in_turn(ranks, &losses, parts.of)?.into_iter().fold(0.0, |mean, loss| mean + share * loss);
        Ok((mean, optimizer::named(&sum.all()?, variables())?))
    }

    /// The same, where the gradients stay on the cards. Each card has the next part; sums are made in the order of the parts, so that
    /// their bits are those of one card.
    #[cfg(feature = "cuda")]
    fn learn_on_cards(&mut self, parts: &OwnParts) -> Result<Learned, TrainingError> {
        let modes: Vec<Mode> = (0..parts.of).map(|number| self.mode(number, parts.of)).collect();
        let (networks, optimizer) = (&self.networks, self.state.values.cards());
        let optimizer = optimizer.expect("who calls has cards");
        optimizer.begin();
        let together = networks.len();
        for (round, (exercises, modes)) in
            parts.exercises.chunks(together).zip(modes.chunks(together)).enumerate()
        {
            std::thread::scope(|scope| {
                let learners = optimizer.learners().iter_mut().enumerate();
                let work = learners.zip(networks).zip(exercises).zip(modes);
                let work = work.map(|((((card, learner), network), exercise), &mode)| {
                    scope.spawn(move || -> Result<(), TrainingError> {
                        let residual = exercise.residual(network, mode)?;
                        // Only the first card adds up; what the others find is added to it.
                        let begins = card > 0 || round == 0;
                        Ok(residual.learn(&exercise.loss_weights, begins, learner)?)
                    })
                });
                let workers: Vec<_> = work.collect();
                workers.into_iter().try_for_each(|worker| match worker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            })?;
            optimizer.gather(exercises.len())?;
        }
        let (loss, norm) = optimizer.loss_and_norm()?;
        Ok(Learned { loss, norm, gradients: NamedTensors::new() })
    }

    /// How the network is evaluated with one of a batch's parts.
    fn mode(&self, number: usize, parts: usize) -> Mode {
        let dropout = KeyedStream::new(self.config.training.seed, Purpose::Dropout);
        let key = self.state.step * parts as u64 + number as u64;
        let step = u32::try_from(key).expect("the configuration's parts of steps fit 32 bits");
        Mode::Train { dropout, step }
    }

    /// Loss and bias of the averaged weights, of a batch in equal parts, all of them on this rank.
    pub(crate) fn validate(&self, parts: &[Exercise]) -> Result<Judged, TrainingError> {
        let mut sum = Judged { loss: 0.0, bias: 0.0 };
        for part in parts {
            let loss = objective::loss(&self.averaged, part, Mode::Evaluate)?;
            sum.loss += loss.value()?;
            sum.bias += objective::bias(&self.averaged, part, &loss)?;
        }
        let count = parts.len() as f64;
        Ok(Judged { loss: sum.loss / count, bias: sum.bias / count })
    }
}

/// Checks that a batch has a part for each that takes its turn.
fn check_parts(config: &RunConfig, cards: usize, ranks: &Ranks) -> Result<(), TrainingError> {
    let (parts, batch, ranks) = (config.training.accumulate, config.training.batch_size, ranks.count());
    let expected = if !parts.is_multiple_of(cards) {
        format!("it must be a multiple of {cards}, so that each card takes as many parts of a batch")
    } else if parts < ranks {
        format!(
            "a batch must have a part for each of {ranks} ranks, and then has the same bits for any number of them; \
             write at least {ranks}, and a number that divides the batch of {batch} patches"
        )
    } else {
        return Ok(());
    };
    Err(settings::value_error("training.accumulate", parts, expected))
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
    use crate::fixtures;
    use crate::noised_batch::NoisedBatch;
    use crate::patch_source::PatchSource;
    use candle_core::{DType, Device, Tensor};
    use finescale_diffusion::{Denoise, WithKnown, noising};

    /// Sums of a batch in another order, in f32.
    const REL: f64 = 1e-5;

    fn learner(config: &RunConfig) -> Learner<'_> {
        let state = State::new(&config.network, fixtures::random_weights(config), 0.0).unwrap();
        Learner::new(config, state, &[(-99.0, 99.0)], &Processor::Cpu, &fixtures::ALONE).unwrap()
    }

    /// A batch in so many parts, all of one rank.
    fn parts(learner: &Learner, batch: &NoisedBatch, count: usize) -> OwnParts {
        OwnParts::of_batch(learner.network(), batch, count, learner.ranks).unwrap()
    }

    fn config() -> RunConfig {
        let mut config = fixtures::config();
        config.training.batch_size = 4;
        config.network.dropout = 0.0;
        config
    }

    fn batch(config: &RunConfig) -> NoisedBatch {
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        PatchSource::new(config, &pairs, &Ranks::alone()).unwrap().training(0).unwrap()
    }

    /// Square root of the sum of squared differences, relative to that of `b`.
    fn distance(a: &NamedTensors, b: &NamedTensors) -> f64 {
        let difference: NamedTensors =
            a.iter().map(|(name, a)| (name.clone(), (a - &b[name]).unwrap())).collect();
        optimizer::global_norm(&difference).unwrap() / optimizer::global_norm(b).unwrap()
    }

    #[test]
    fn a_batch_in_parts_has_the_loss_and_gradient_of_the_whole() {
        let config = config();
        let (learner, batch) = (learner(&config), batch(&config));
        let in_parts = |count| {
            let parts = parts(&learner, &batch, count);
            let (loss, gradients) = learner.loss_and_gradients(&parts).unwrap();
            (loss, gradients, learner.validate(&parts.exercises).unwrap().loss)
        };
        let (loss, gradients, validation) = in_parts(1);
        for parts in [2, 4] {
            let (found, found_gradients, found_validation) = in_parts(parts);
            assert!((found / loss - 1.0).abs() < REL, "{found} instead of {loss}");
            assert!((found_validation / validation - 1.0).abs() < REL);
            let distance = distance(&found_gradients, &gradients);
            assert!(distance < REL, "{parts} parts: {distance}");
        }
    }

    #[test]
    fn parts_drop_different_units() {
        let mut config = config();
        config.network.dropout = 0.3;
        let learner = learner(&config);
        // Twice the same half: without dropout, both parts would have one loss, and so would the whole.
        let half = || parts(&learner, &batch(&config), 2).exercises.remove(0);
        let loss = |exercises: Vec<Exercise>| {
            let of = exercises.len();
            learner.loss_and_gradients(&OwnParts { exercises, of }).unwrap().0
        };
        let (of_both, of_one) = (loss(vec![half(), half()]), loss(vec![half()]));
        assert!((of_both / of_one - 1.0).abs() > 10.0 * REL, "{of_both} {of_one}");
    }

    #[test]
    fn the_bias_is_that_of_the_estimates_where_voxels_are_generated() {
        let config = config();
        let learner = learner(&config);
        let mut batch = batch(&config);
        batch.weight = batch.noise.sqr().unwrap(); // anything that differs from voxel to voxel
        let NoisedBatch { condition, clean, noise, mask, weight, alpha_bars } = &batch;
        let noisy = noising(clean, noise, alpha_bars).unwrap();
        let levels = Tensor::new(alpha_bars.as_slice(), &Device::Cpu).unwrap();
        let known = WithKnown::new(&learner.averaged, mask, clean).unwrap();
        let error = (known.predict_clean(&noisy, condition, &levels).unwrap() - clean).unwrap();
        let sum = |t: &Tensor| t.to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let expected = sum(&(&error * weight).unwrap()) / sum(&(mask * weight).unwrap());
        let found = learner.validate(&parts(&learner, &batch, 1).exercises).unwrap().bias;
        assert!(found.abs() > 1e-3 && (found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn an_update_that_is_not_finite_changes_nothing_in_any_part() {
        let config = config();
        let mut learner = learner(&config);
        let mut batch = batch(&config);
        // Only a patch of the second part is broken.
        let factors = Tensor::new(&[1f32, 1.0, 1.0, f32::NAN], &Device::Cpu).unwrap();
        batch.noise = batch.noise.broadcast_mul(&factors.reshape((4, 1, 1, 1, 1)).unwrap()).unwrap();
        let weights = |learner: &Learner| -> Vec<Vec<f32>> {
            let flat = |(_, t): (&str, &Tensor)| t.flatten_all().unwrap().to_vec1().unwrap();
            learner.state.values.parameters().tensors().map(flat).collect()
        };
        let before = weights(&learner);
        let parts = parts(&learner, &batch, 2);
        assert!(learner.update(&parts).unwrap().is_none());
        assert!(learner.state.step == 0 && weights(&learner) == before);
    }
}
