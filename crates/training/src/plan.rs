//! What a run will take on this machine.

use crate::TrainingError;
use crate::memory::peak_memory_bytes;
use crate::parts::OwnParts;
use crate::run::{Run, key};
use finescale_ranks::Ranks;
use serde::Serialize;
use std::time::Instant;

/// A first update that takes longer needs no second one: warming up is a small part of it.
const WARM_SECONDS: f64 = 10.0;
/// Most updates that minutes are made into: as many as the 32 bits of their random keys allow.
const MOST_STEPS: u64 = u32::MAX as u64;

/// What a run will take on this machine: measured where that can be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Number of parameters of the network.
    pub parameters: usize,
    /// Updates that the run will end with.
    pub updates: u64,
    /// Updates made before, if it is resumed.
    pub updates_done: u64,
    /// Seconds of an update.
    pub seconds_per_update: f64,
    /// Seconds of an evaluation of one patch without gradients, divided by the ranks that take turns.
    pub seconds_per_evaluation: f64,
    /// Seconds of all updates, validations and samples that are left.
    pub expected_seconds: f64,
    /// Memory of the process in bytes at its peak, if the system tells.
    pub memory_bytes: Option<u64>,
    /// What of it is not data: the network, its optimizer and an update.
    pub network_memory_bytes: Option<u64>,
    /// Memory of the pairs, of the validation patches, and of the batch in use and the next, in bytes.
    pub data_memory_bytes: u64,
    #[serde(skip)]
    evaluations: Evaluations,
}

/// Evaluations of a patch without gradients: those of validations and of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Evaluations {
    /// Of the validation before the first update; none if there is no such validation.
    first: u64,
    /// Of every other validation.
    validation: u64,
    /// Updates between two of them.
    validate_every: u64,
    /// Of the samples whose power is compared; none if that is not done.
    spectrum: u64,
    /// Updates between two comparisons.
    compare_every: u64,
}

impl Evaluations {
    /// All of a run on its way from update `from` to update `to`, its last.
    fn between(self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        // There is one after the last update, too.
        let times = |every: u64| to.div_ceil(every) - from / every;
        let first = if from == 0 { self.first } else { 0 };
        first + times(self.validate_every) * self.validation + times(self.compare_every) * self.spectrum
    }
}

impl Run<'_> {
    /// Makes an update or two of the run in memory, evaluates the network, and reckons what the whole run will
    /// take. Nothing is written. A run without enough memory fails here already.
    ///
    /// # Errors
    /// [`TrainingError::Tensor`] if the device has no room, and whatever the data report.
    pub fn plan(mut self) -> Result<Plan, TrainingError> {
        let training = &self.config.training;
        let step = self.learner.state.step;
        let started = Instant::now();
        let batch = self.source.training(key(step))?;
        let reading = started.elapsed().as_secs_f64();
        let mut parts = self.own_parts(&batch)?;
        let preparation = started.elapsed().as_secs_f64() - reading;
        // From the second part on, they take the same.
        parts.truncate(2 * self.learner.parts_at_once(), self.ranks);
        let first = seconds(|| self.learner.update(&parts))?;
        let is_warm = self.ranks.all(first > WARM_SECONDS)?;
        let update = if is_warm { first } else { seconds(|| self.learner.update(&parts))? };
        // A batch is read while the one before it is learned from.
        let learning = preparation + update * training.accumulate as f64 / parts.of as f64;
        let seconds_per_update = learning.max(reading);
        let memory_bytes = peak_memory_bytes();
        let patch = &batch.parts(training.batch_size)?[0];
        let patch = OwnParts::of_batch(self.learner.network(), patch, 1, &Ranks::alone())?.exercises;
        seconds(|| self.learner.validate(&patch))?;
        let evaluation = seconds(|| self.learner.validate(&patch))? / self.ranks.count() as f64;
        // All ranks reckon with the same seconds: those of the slowest.
        let measured = self.ranks.gather(&[seconds_per_update, evaluation])?;
        let slowest = |what: usize| measured.iter().map(|of_rank| of_rank[what]).fold(0.0, f64::max);
        let (seconds_per_update, seconds_per_evaluation) = (slowest(0), slowest(1));

        let data_memory_bytes = self.data_memory_bytes();
        let evaluations = self.evaluations()?;
        let mut plan = Plan {
            parameters: self.learner.state.values.parameters().count(),
            updates: training.steps,
            updates_done: step,
            seconds_per_update,
            seconds_per_evaluation,
            expected_seconds: 0.0,
            memory_bytes,
            network_memory_bytes: memory_bytes.map(|bytes| bytes.saturating_sub(data_memory_bytes)),
            data_memory_bytes,
            evaluations,
        };
        plan.expected_seconds = plan.seconds_to(training.steps);
        Ok(plan)
    }

    /// Bytes of the pairs, or of a patch that is read; of the validation patches, and of the batch in use and the next.
    fn data_memory_bytes(&self) -> u64 {
        let (network, training) = (&self.config.network, &self.config.training);
        let patches = self.validation_patches() + 2 * training.batch_size;
        // Condition, truth, noise, mask and weight.
        let channels = network.condition_channels + 2 * network.fields + 2;
        let voxels = channels * patches * training.patch_cells.pow(3);
        let pairs = self.pairs.memory_bytes() + self.pairs.window_bytes(training.patch_cells);
        (pairs + voxels * size_of::<f32>()) as u64
    }

    /// Patches of a validation, which are whole batches.
    fn validation_patches(&self) -> usize {
        self.validation.iter().map(|batch| batch.alpha_bars.len()).sum()
    }

    fn evaluations(&self) -> Result<Evaluations, TrainingError> {
        let training = &self.config.training;
        let validation = self.validation_patches() as u64;
        Ok(Evaluations {
            first: if self.validates_first() { validation } else { 0 },
            validation,
            validate_every: training.validate_every_steps,
            spectrum: self.spectrum.as_ref().map_or(Ok(0), |check| check.evaluations())?,
            compare_every: training.spectrum.map_or(1, |spectrum| spectrum.every_steps),
        })
    }
}

impl Plan {
    /// The largest number of updates that a new run makes in this many minutes, its validations and samples
    /// included; at least one.
    #[must_use]
    pub fn steps_within(&self, minutes: f64) -> u64 {
        let fits = |steps: u64| self.seconds_to(steps) <= 60.0 * minutes;
        let (mut fitting, mut too_many) = (1, MOST_STEPS);
        while too_many - fitting > 1 {
            let middle = fitting + (too_many - fitting) / 2;
            if fits(middle) {
                fitting = middle;
            } else {
                too_many = middle;
            }
        }
        fitting
    }

    /// Seconds from the updates done to update `steps`, the last.
    fn seconds_to(&self, steps: u64) -> f64 {
        let updates = steps.saturating_sub(self.updates_done) as f64;
        let evaluations = self.evaluations.between(self.updates_done, steps) as f64;
        updates * self.seconds_per_update + evaluations * self.seconds_per_evaluation
    }
}

/// The seconds that `work` takes.
fn seconds<T>(work: impl FnOnce() -> Result<T, TrainingError>) -> Result<f64, TrainingError> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Validations of 32 patches, and samples of two times 27 windows in 14 steps.
    const EVALUATIONS: Evaluations = Evaluations {
        first: 0,
        validation: 32,
        validate_every: 500,
        spectrum: 2 * 27 * 14,
        compare_every: 10_000,
    };

    fn plan() -> Plan {
        Plan {
            parameters: 1,
            updates: 1,
            updates_done: 0,
            seconds_per_update: 2.0,
            seconds_per_evaluation: 0.5,
            expected_seconds: 0.0,
            memory_bytes: None,
            network_memory_bytes: None,
            data_memory_bytes: 0,
            evaluations: Evaluations { spectrum: 0, ..EVALUATIONS },
        }
    }

    #[test]
    fn evaluations_by_hand() {
        let spectra = 2 * 27 * 14;
        // Validations after 500, 1000, ... 20,000 and, then, 20,100 updates.
        assert_eq!(EVALUATIONS.between(0, 20_000), 40 * 32 + 2 * spectra);
        assert_eq!(EVALUATIONS.between(0, 20_100), 41 * 32 + 3 * spectra);
        // Resumed after the validation of update 1000, and just before.
        assert_eq!(EVALUATIONS.between(1000, 20_000), 38 * 32 + 2 * spectra);
        assert_eq!(EVALUATIONS.between(999, 20_000), 39 * 32 + 2 * spectra);
        assert_eq!(EVALUATIONS.between(7, 8), 32 + spectra);
        assert_eq!(EVALUATIONS.between(8, 8), 0);
        // A model is validated before its first update, too, and not again when its run is resumed.
        let of_model = Evaluations { first: 32, ..EVALUATIONS };
        assert_eq!(of_model.between(0, 20_000), 41 * 32 + 2 * spectra);
        assert_eq!(of_model.between(1000, 20_000), 38 * 32 + 2 * spectra);
    }

    #[test]
    fn minutes_are_as_many_updates_as_fit_with_their_validations() {
        let plan = plan();
        // A validation takes 16 s: 500 updates and one of them 1016 s, 501 updates and two 1034 s.
        assert_eq!(plan.seconds_to(500), 1016.0);
        assert_eq!(plan.seconds_to(501), 1034.0);
        assert_eq!(plan.steps_within(1016.0 / 60.0), 500);
        assert_eq!(plan.steps_within(1033.0 / 60.0), 500);
        assert_eq!(plan.steps_within(1034.0 / 60.0), 501);
        assert_eq!(plan.steps_within(0.0), 1);
    }
}
