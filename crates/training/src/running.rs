//! The training loop.

use crate::event::LogLine;
use crate::folder::{BEST, CONFIG, METRICS, MODEL, STATE};
use crate::metrics::Metrics;
use crate::noised_batch::NoisedBatch;
use crate::parts::OwnParts;
use crate::prefetch::prefetch;
use crate::run::{Run, key};
use crate::spectrum::SpectrumCheck;
use crate::state::{Best, State};
use crate::tensor_file::{self, named};
use crate::tensorboard::EventFile;
use crate::validation::validate;
use crate::{Event, Model, ModelDescription, Precision, StepMetrics, Summary, TrainingError};
use finescale_denoiser::Parameters;
use finescale_ranks::Ranks;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Time from a failed save to the next try.
const SAVE_AGAIN: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Trains the network, and leaves in the run's folder:
    /// - `config.json`, the configuration;
    /// - `metrics.jsonl`, one JSON object per update and per validation;
    /// - `events.out.tfevents.*`, the same for TensorBoard, a file for each start;
    /// - `state.safetensors`, from which [`Start::Resume`](crate::Start::Resume) continues;
    /// - `model.safetensors`, the averaged weights, a model to sample from;
    /// - `best.safetensors`, the same at the best validation: of a run that begins with a model, that may be this
    ///   very model.
    ///
    /// `progress` hears of every event. When `cancel` becomes true, the step in progress is finished, the state
    /// is saved and the function returns. A failed write during the run is a warning and tried again; only at
    /// its end it is an error.
    ///
    /// # Errors
    /// [`TrainingError::RunExists`] and [`TrainingError::Busy`] if another process began in the same folder,
    /// [`TrainingError::NotFinite`] if the loss diverges (the last good state is saved), and whatever reading,
    /// writing and the data report.
    pub fn go(self, progress: &mut dyn FnMut(&Event), cancel: &AtomicBool) -> Result<Summary, TrainingError> {
        Running::begin(self)?.go(progress, cancel)
    }
}

/// What is made for the next update while the network computes.
enum Next {
    /// All but the network's part of it.
    Parts(OwnParts),
    Batch(NoisedBatch),
}

/// A run that has its folder and writes to it.
pub(crate) struct Running<'a> {
    pub(crate) run: Run<'a>,
    /// What rank 0 writes as it goes.
    logs: Option<(Metrics, EventFile)>,
    /// Step of the state on disk.
    saved: u64,
    /// Whether a model on disk is older than the state.
    is_model_behind: bool,
}

impl<'a> Running<'a> {
    /// Takes the folder of `run`, and writes what a run has before its next update. Rank 0 does so.
    pub(crate) fn begin(mut run: Run<'a>) -> Result<Self, TrainingError> {
        // No rank still looks whether there is a run.
        run.check_ranks()?;
        let mut logs = None;
        if run.ranks.is_first() {
            // The state first: from here on there is a run to resume.
            if run.folder.claim()? {
                run.learner.state.save(&run.folder.file(STATE), &run.description, &run.marks)?;
            }
            let config = run.config.resolved();
            tensor_file::write_atomically(&run.folder.file(CONFIG), |file| writeln!(file, "{config}"))?;
            let saved = run.learner.state.step;
            let metrics = Metrics::open(&run.folder.file(METRICS), saved)?;
            logs = Some((metrics, EventFile::create(run.folder.path(), saved + 1)?));
        }
        let state = &run.learner.state;
        let (saved, is_model_behind) = (state.step, state.unwritten_best.is_some());
        Ok(Self { run, logs, saved, is_model_behind })
    }

    pub(crate) fn go(
        &mut self,
        progress: &mut dyn FnMut(&Event),
        cancel: &AtomicBool,
    ) -> Result<Summary, TrainingError> {
        let (step, steps) = (self.state().step, self.run.config.training.steps);
        progress(&Event::Started { step, steps, parameters: self.state().values.parameters().count() });
        if self.run.validates_first() && !self.is_stopped(cancel)? {
            self.validate(progress)?;
        }
        let (source, network) = (Arc::clone(&self.run.source), self.run.learner.network().clone());
        let (parts, device, ranks) =
            (self.run.config.training.accumulate, self.run.device.clone(), self.run.ranks);
        let is_taught = self.run.teacher.is_some();
        let make = |step| {
            let batch = source.training(step)?;
            match is_taught {
                // A teacher evaluates a network, which has no room beside an update.
                true => Ok(Next::Batch(batch)),
                false => Ok(Next::Parts(OwnParts::of_batch(&network, &batch.on(&device)?, parts, ranks)?)),
            }
        };
        let last_loss = std::thread::scope(|scope| {
            let batches = prefetch(scope, key(step)..key(steps), &make);
            self.follow(&batches, progress, cancel)
        })?;
        // Without an update, too: a finished run may be resumed for another `generation` section in its model.
        if self.saved != self.state().step || self.is_model_behind || last_loss.is_none() {
            self.save(progress)?;
        }
        self.sync_logs();
        Ok(Summary {
            step: self.state().step,
            complete: self.state().step >= steps,
            last_loss,
            best_validation_loss: self.state().best_validation_loss,
        })
    }

    /// Makes an update with each of `batches`, and validates and saves when it is time. Returns the last loss.
    fn follow(
        &mut self,
        batches: &Receiver<Result<Next, TrainingError>>,
        progress: &mut dyn FnMut(&Event),
        cancel: &AtomicBool,
    ) -> Result<Option<f64>, TrainingError> {
        let training = &self.run.config.training;
        let save_every = Duration::from_secs_f64(60.0 * training.save_every_minutes);
        let (mut last_save, mut last_loss, mut save_after) = (Instant::now(), None, save_every);
        while self.state().step < training.steps && !self.is_stopped(cancel)? {
            let metrics = self.step(batches).map_err(|error| self.keep_last_good_state(error))?;
            last_loss = Some(metrics.loss);
            self.log(&metrics);
            progress(&Event::Step(metrics));
            let is_judged = self.judge(progress, cancel).map_err(|error| self.keep_last_good_state(error))?;
            if is_judged || last_save.elapsed() >= save_after {
                save_after =
                    if self.save_if_possible(progress)? { save_every } else { SAVE_AGAIN.min(save_every) };
                last_save = Instant::now();
            }
        }
        Ok(last_loss)
    }

    /// One update of the weights and their averages, with the next of `batches`.
    fn step(
        &mut self,
        batches: &Receiver<Result<Next, TrainingError>>,
    ) -> Result<StepMetrics, TrainingError> {
        let (started, step, training) = (Instant::now(), self.state().step, &self.run.config.training);
        let parts = match self.next(batches)? {
            Next::Parts(parts) => parts,
            Next::Batch(batch) => self.run.own_parts(&batch)?,
        };
        let path = self.run.folder.path();
        let failed = || TrainingError::NotFinite { step: step + 1, saved: step, path: path.into() };
        let update = self.run.learner.update(&parts)?.ok_or_else(failed)?;
        Ok(StepMetrics {
            step: step + 1,
            loss: update.loss,
            learning_rate: update.learning_rate,
            gradient_norm: update.gradient_norm,
            samples_per_second: training.batch_size as f64 / started.elapsed().as_secs_f64(),
        })
    }

    /// The next of `batches`. What keeps one rank from reading its own ends all of them, after the same update.
    fn next(&self, batches: &Receiver<Result<Next, TrainingError>>) -> Result<Next, TrainingError> {
        let next = batches.recv().expect("batches are made for every step that is left");
        let ranks = self.run.ranks;
        if ranks.count() == 1 || !ranks.any(next.is_err())? {
            return next;
        }
        let said = next.err().map_or(String::new(), |error| {
            let first: &dyn Error = &error;
            let causes = std::iter::successors(Some(first), |&error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        });
        let all = ranks.gather(said.as_bytes())?;
        let rank = all.iter().position(|said| !said.is_empty()).expect("one rank has an error");
        Err(TrainingError::OfRank { rank, why: String::from_utf8_lossy(&all[rank]).into_owned() })
    }

    /// Tries the averaged weights if it is time; whether it was. A comparison of spectra that a stop cuts short
    /// is left out.
    fn judge(
        &mut self,
        progress: &mut dyn FnMut(&Event),
        cancel: &AtomicBool,
    ) -> Result<bool, TrainingError> {
        let (training, step) = (&self.run.config.training, self.state().step);
        let validate = step.is_multiple_of(training.validate_every_steps) || step == training.steps;
        if validate && !self.run.validation.is_empty() {
            self.validate(progress)?;
        }
        let due = |check: &&SpectrumCheck| check.is_due(step, training.steps);
        let Some(check) = self.run.spectrum.as_ref().filter(due) else { return Ok(validate) };
        let found =
            check.measure(&self.run.learner.averaged, &self.run.device, step, (self.run.ranks, cancel))?;
        if let Some(metrics) = found {
            self.log(&metrics);
            progress(&Event::Spectrum(metrics));
        }
        Ok(true)
    }

    pub(crate) fn validate(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<(), TrainingError> {
        let (learner, parts) = (&self.run.learner, self.run.config.training.accumulate);
        let alone = Ranks::alone();
        let judge = |batch: &NoisedBatch| {
            let parts = OwnParts::of_batch(learner.network(), batch, parts, &alone)?;
            learner.validate(&parts.exercises)
        };
        let metrics = validate(&self.run.validation, learner.state.step, self.run.ranks, judge)?;
        self.log(&metrics);
        let state = self.state();
        let unwritten = state.unwritten_best.as_ref().map(|best| best.loss);
        let best = unwritten.or(state.best_validation_loss).unwrap_or(f64::INFINITY);
        if metrics.validation_loss < best {
            let best = Best { loss: metrics.validation_loss, model: self.model()? };
            self.run.learner.state.unwritten_best = Some(best);
        }
        progress(&Event::Validation(metrics));
        Ok(())
    }

    /// Makes everything durable, on rank 0. The state comes last: whatever is written before it is made again, with the
    /// same bits, on the way from an older state.
    fn save(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<(), TrainingError> {
        if !self.run.ranks.is_first() {
            return Ok(());
        }
        self.run.folder.check_in_place()?;
        self.sync_logs();
        let best = self.save_best();
        let model = self.model()?.save(&self.run.folder.file(MODEL), Precision::F32);
        // The state is saved even where the others cannot be: hours of updates hang on it.
        self.save_state()?;
        progress(&Event::Saved { step: self.saved });
        let all = best.and(model);
        self.is_model_behind = all.is_err();
        all
    }

    fn save_best(&mut self) -> Result<(), TrainingError> {
        let state = &mut self.run.learner.state;
        if let Some(Best { loss, model }) = &state.unwritten_best {
            model.save(&self.run.folder.file(BEST), Precision::F32)?;
            state.best_validation_loss = Some(*loss);
            state.unwritten_best = None;
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<(), TrainingError> {
        self.state().save(&self.run.folder.file(STATE), &self.description(), &self.run.marks)?;
        self.saved = self.state().step;
        Ok(())
    }

    /// Saves, unless the disk refuses: training goes on then. Whether it worked.
    fn save_if_possible(&mut self, progress: &mut dyn FnMut(&Event)) -> Result<bool, TrainingError> {
        match self.save(progress) {
            Ok(()) => Ok(true),
            Err(error @ TrainingError::Write { .. }) => {
                let saved = self.saved;
                tracing::warn!(
                    "{error}; training goes on from memory and tries again, on disk is update {saved}"
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// After a failed step the weights are still those before it. The error says which step is on disk.
    fn keep_last_good_state(&mut self, error: TrainingError) -> TrainingError {
        if let Err(failed) = self.save(&mut |_| {}) {
            tracing::warn!("{failed}");
        }
        if matches!(error, TrainingError::OfRank { .. } | TrainingError::NotFinite { .. }) {
            // All have it. The first rank that ends, ends all: not before rank 0 has saved.
            let _ = self.run.ranks.any(false);
        }
        match error {
            TrainingError::NotFinite { step, path, .. } => {
                TrainingError::NotFinite { step, saved: self.saved, path }
            }
            other => other,
        }
    }

    fn log(&mut self, line: &impl LogLine) {
        if let Some((metrics, events)) = &mut self.logs {
            metrics.write(line);
            events.scalars(line.step(), &line.scalars());
        }
    }

    fn sync_logs(&mut self) {
        if let Some((metrics, _)) = &mut self.logs {
            metrics.sync();
        }
    }

    /// Whether any rank is to stop: all do after the same update.
    fn is_stopped(&self, cancel: &AtomicBool) -> Result<bool, TrainingError> {
        Ok(self.run.ranks.any(cancel.load(Ordering::Relaxed))?)
    }

    pub(crate) fn state(&self) -> &State {
        &self.run.learner.state
    }

    fn description(&self) -> ModelDescription {
        ModelDescription { step: self.state().step, ..self.run.description.clone() }
    }

    fn model(&self) -> Result<Model, TrainingError> {
        let averages = &self.state().values.home()?.averages;
        let network = &self.run.config.network;
        let copy = Parameters::from_tensors(network, named(averages), &averages.device())?;
        Ok(Model::new(self.description(), copy))
    }
}

#[cfg(test)]
mod tests;
