//! The training loop.

use crate::draws::{Draw, Draws};
use crate::event::LogLine;
use crate::learner::Learner;
use crate::metrics::Metrics;
use crate::prefetch::prefetch;
use crate::spectrum::SpectrumCheck;
use crate::state::{Best, Marks, State, fresh_weights, named};
use crate::teacher::Teacher;
use crate::tensor_header::hex;
use crate::tensorboard::EventFile;
use crate::validation::validate;
use crate::{
    Event, Model, ModelDescription, Precision, RunConfig, StepMetrics, Summary, TrainingError, tensor_file,
};
use candle_core::Device;
use finescale_denoiser::Parameters;
use finescale_durable::Lock;
use finescale_field::Normalizer;
use finescale_outpaint::{Difference, difference};
use finescale_pairs::{Normalization, PairError, PairSet};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "state.safetensors";
const MODEL: &str = "model.safetensors";
const BEST: &str = "best.safetensors";
const LOCK: &str = "lock";
/// What tells that a folder holds a run.
const FILES: [&str; 5] = [STATE, MODEL, BEST, METRICS, CONFIG];
/// Time from a failed save to the next try.
const SAVE_AGAIN: Duration = Duration::from_secs(60);

/// Where a run starts.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// From weights drawn by the seed, or those of the teacher, if there is one.
    Fresh,
    /// Where the run in the same folder stopped, with the bits of a run that never stopped.
    Resume,
    /// The same, even if another program, device or instruction set computed it so far: with other bits.
    ResumeAnyway,
    /// From the weights and normalizers of a model, with a new optimizer.
    From(&'a Model),
}

/// Trains a network, and leaves in the folder `out`:
/// - `config.json`, the configuration;
/// - `metrics.jsonl`, one JSON object a step and a validation;
/// - `events.out.tfevents.*`, the same for TensorBoard, a file for each start;
/// - `state.safetensors`, from which [`Start::Resume`] continues;
/// - `model.safetensors`, the averaged weights, a model to sample from;
/// - `best.safetensors`, the same at the best validation.
///
/// `observer` hears of every event. When `stop` becomes true, the step in progress is finished, the state is saved
/// and the function returns. `program` says who computes: version, device, instruction set, whatever makes other bits.
///
/// A failed write during the run is a warning and tried again; only at its end it is an error.
///
/// # Errors
/// [`TrainingError::RunExists`] if a fresh run would overwrite another, [`TrainingError::Busy`] if another process works
/// on it, [`TrainingError::ConfigChanged`] if a resumed one has other data or another network,
/// [`TrainingError::OtherProgram`] if another program computed it, [`TrainingError::NotFinite`] if the loss diverges (the
/// last good state is saved), and whatever reading, writing and the data report.
pub fn train(
    config: &RunConfig,
    out: &Path,
    start: Start,
    device: &Device,
    program: &Value,
    observer: &mut dyn FnMut(&Event),
    stop: &AtomicBool,
) -> Result<Summary, TrainingError> {
    config.check()?;
    let load = |normalization| PairSet::load_with(&config.data, normalization);
    Run::new(config, out, start, device, program, &load)?.go(observer, stop)
}

/// Whether the folder `out` holds a state to resume from.
#[must_use]
pub fn is_resumable(out: &Path) -> bool {
    // Whoever cannot tell finds out by trying.
    out.join(STATE).try_exists().unwrap_or(true)
}

struct Run<'a> {
    config: &'a RunConfig,
    out: PathBuf,
    device: Device,
    draw: Arc<Draw>,
    validation: Vec<Draws>,
    spectrum: Option<SpectrumCheck>,
    teacher: Option<Teacher>,
    learner: Learner<'a>,
    description: ModelDescription,
    metrics: Metrics,
    events: EventFile,
    /// Who computes, and from what.
    marks: Marks,
    /// Step of the state on disk.
    saved: u64,
    /// Whether a model on disk is older than the state.
    is_model_behind: bool,
    /// Nobody else works in the folder.
    lock: Lock,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a RunConfig,
        out: &Path,
        start: Start,
        device: &Device,
        program: &Value,
        load: &dyn Fn(Normalization) -> Result<PairSet, PairError>,
    ) -> Result<Self, TrainingError> {
        let state_path = out.join(STATE);
        let is_new = !matches!(start, Start::Resume | Start::ResumeAnyway);
        if !is_new && !out.is_dir() {
            return Err(nothing_to_resume(&state_path));
        }
        // A new run makes its folder when nothing else can go wrong.
        let held = if is_new { check_no_run(out).map(|()| None) } else { lock(out).map(Some) }?;

        let names = FILES.iter().map(Path::new);
        finescale_durable::refuse_links(out, names)
            .map_err(|source| TrainingError::Write { path: out.into(), source })?;
        let marks = Marks { program: program.clone(), inputs: inputs(config)? };

        // A student begins with what its teacher knows.
        let teacher = config.training.teacher.as_deref();
        let teacher = teacher.map(|path| Teacher::load(path, config, device)).transpose()?;
        let start = match (start, &teacher) {
            (Start::Fresh, Some((_, model))) => Start::From(model),
            (start, _) => start,
        };

        // Weights and optimizer.
        let (state, stored) = match start {
            Start::Resume | Start::ResumeAnyway => {
                let (mut state, description, found) = State::load(&state_path, device)?;
                check_unchanged(out, config, &description.configuration)?;
                tell_changes(out, config, &description.configuration, state.step);
                check_section(out, "contents of its data files or teacher", marks.inputs == found.inputs)?;
                check_program(out, program, &found.program, start)?;
                forget_lost_best(&mut state, &out.join(BEST), device);
                state.optimizer.weight_decay = config.training.weight_decay;
                (state, Some(description))
            }
            Start::From(model) => {
                let path = model.path().unwrap_or(out);
                check_same_network(path, config, &model.description.configuration)?;
                let weights = Parameters::from_tensors(&config.network, named(model.parameters()), device)?;
                let state = State::new(&config.network, weights, config.training.weight_decay)?;
                (state, Some(model.description.clone()))
            }
            Start::Fresh => {
                let weights = fresh_weights(config, device)?;
                (State::new(&config.network, weights, config.training.weight_decay)?, None)
            }
        };

        // Data: a continued model keeps its normalizers.
        let given = stored.map(|description| Normalization::Given(description.normalizers()));
        let pairs = load(given.unwrap_or(config.data.normalization()))?;
        if let Some((_, model)) = &teacher {
            let path = model.path().unwrap_or(out);
            check_same_network(path, config, &model.description.configuration)?;
            check_section(path, "data", model.description.normalizers() == *pairs.normalizers())?;
        }
        let teacher = teacher.map(|(teacher, _)| teacher);
        let (saved, is_model_behind) = (state.step, state.unwritten_best.is_some());
        let ranges: Vec<_> = pairs.normalizers().truth.iter().map(Normalizer::range).collect();
        let learner = Learner::new(config, state, &ranges)?;
        let description = ModelDescription::new(config, &pairs);
        let spectrum = SpectrumCheck::new(config, &pairs)?;
        let draw = Arc::new(Draw::new(config, pairs)?);
        let validation = draw.validation()?;
        let validation = validation.iter().map(|draws| shown(draws, device, teacher.as_ref()));
        let validation = validation.collect::<Result<_, _>>()?;

        let lock = match held {
            Some(lock) => lock,
            None => lock(out)?,
        };
        // The state first: from here on there is a run to resume.
        if is_new {
            check_no_run(out)?;
            learner.state.save(&state_path, &description, &marks)?;
        }
        tensor_file::write_atomically(&out.join(CONFIG), |file| writeln!(file, "{}", config.resolved()))?;
        let metrics = Metrics::open(&out.join(METRICS), saved)?;
        let events = EventFile::create(out, saved + 1)?;
        Ok(Self {
            config,
            out: out.into(),
            device: device.clone(),
            draw,
            validation,
            spectrum,
            teacher,
            learner,
            description,
            metrics,
            events,
            marks,
            saved,
            is_model_behind,
            lock,
        })
    }

    fn go(&mut self, observer: &mut dyn FnMut(&Event), stop: &AtomicBool) -> Result<Summary, TrainingError> {
        let (step, steps) = (self.state().step, self.config.training.steps);
        observer(&Event::Started { step, steps, parameters: self.state().weights.count() });
        let draw = Arc::clone(&self.draw);
        let last_loss = std::thread::scope(|scope| {
            let draws = prefetch(scope, &draw, key(step)..key(steps));
            self.follow(&draws, observer, stop)
        })?;
        // Without an update, too: a finished run may be resumed for another `generation` section in its model.
        if self.saved != self.state().step || self.is_model_behind || last_loss.is_none() {
            self.save(observer)?;
        }
        self.metrics.sync();
        Ok(Summary {
            step: self.state().step,
            complete: self.state().step >= steps,
            last_loss,
            best_validation_loss: self.state().best_validation_loss,
        })
    }

    /// Makes an update with each of `draws`, and validates and saves when it is time. Returns the last loss.
    fn follow(
        &mut self,
        draws: &Receiver<Result<Draws, TrainingError>>,
        observer: &mut dyn FnMut(&Event),
        stop: &AtomicBool,
    ) -> Result<Option<f64>, TrainingError> {
        let training = &self.config.training;
        let save_every = Duration::from_secs_f64(60.0 * training.save_every_minutes);
        let (mut last_save, mut last_loss, mut save_after) = (Instant::now(), None, save_every);
        while self.state().step < training.steps && !stop.load(Ordering::Relaxed) {
            let metrics = self.step(draws).map_err(|error| self.keep_last_good_state(error))?;
            last_loss = Some(metrics.loss);
            self.log(&metrics);
            observer(&Event::Step(metrics));
            if self.judge(observer, stop)? || last_save.elapsed() >= save_after {
                save_after =
                    if self.save_if_possible(observer)? { save_every } else { SAVE_AGAIN.min(save_every) };
                last_save = Instant::now();
            }
        }
        Ok(last_loss)
    }

    /// One update of the weights and their averages, with the next of `draws`.
    fn step(&mut self, draws: &Receiver<Result<Draws, TrainingError>>) -> Result<StepMetrics, TrainingError> {
        let (started, step) = (Instant::now(), self.state().step);
        let draws = draws.recv().expect("draws are made for every step that is left")?;
        let draws = shown(&draws, &self.device, self.teacher.as_ref())?;
        let failed = || TrainingError::NotFinite { step: step + 1, saved: step, path: self.out.clone() };
        let update = self.learner.update(&draws)?.ok_or_else(failed)?;
        Ok(StepMetrics {
            step: step + 1,
            loss: update.loss,
            learning_rate: update.learning_rate,
            gradient_norm: update.gradient_norm,
            samples_per_second: self.config.training.batch_size as f64 / started.elapsed().as_secs_f64(),
        })
    }

    /// Tries the averaged weights if it is time; whether it was. A comparison of spectra that a stop cuts short is
    /// left out.
    fn judge(&mut self, observer: &mut dyn FnMut(&Event), stop: &AtomicBool) -> Result<bool, TrainingError> {
        let (training, step) = (&self.config.training, self.state().step);
        let validate = step.is_multiple_of(training.validate_every_steps) || step == training.steps;
        if validate && !self.validation.is_empty() {
            self.validate(observer)?;
        }
        let due = |check: &&SpectrumCheck| check.is_due(step, training.steps);
        let Some(check) = self.spectrum.as_ref().filter(due) else { return Ok(validate) };
        if let Some(metrics) = check.measure(&self.learner.averaged, &self.device, step, stop)? {
            self.log(&metrics);
            observer(&Event::Spectrum(metrics));
        }
        Ok(true)
    }

    fn validate(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<(), TrainingError> {
        let metrics = validate(&self.validation, self.state().step, |draws| self.learner.validate(draws))?;
        self.log(&metrics);
        let state = self.state();
        let unwritten = state.unwritten_best.as_ref().map(|best| best.loss);
        let best = unwritten.or(state.best_validation_loss).unwrap_or(f64::INFINITY);
        if metrics.validation_loss < best {
            let best = Best { loss: metrics.validation_loss, model: self.model()? };
            self.learner.state.unwritten_best = Some(best);
        }
        observer(&Event::Validation(metrics));
        Ok(())
    }

    /// Makes everything durable. The state comes last: whatever is written before it is made again, with the same bits, on
    /// the way from an older state.
    fn save(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<(), TrainingError> {
        let moved = |source| TrainingError::Moved { path: self.out.clone(), source };
        self.lock.check().map_err(moved)?;
        self.metrics.sync();
        let best = self.save_best();
        let model = self.model()?.save(&self.out.join(MODEL), Precision::F32);
        // The state is saved even where the others cannot be: hours of updates hang on it.
        self.save_state()?;
        observer(&Event::Saved { step: self.saved });
        let all = best.and(model);
        self.is_model_behind = all.is_err();
        all
    }

    fn save_best(&mut self) -> Result<(), TrainingError> {
        let state = &mut self.learner.state;
        if let Some(Best { loss, model }) = &state.unwritten_best {
            model.save(&self.out.join(BEST), Precision::F32)?;
            state.best_validation_loss = Some(*loss);
            state.unwritten_best = None;
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<(), TrainingError> {
        let description = ModelDescription { step: self.state().step, ..self.description.clone() };
        self.state().save(&self.out.join(STATE), &description, &self.marks)?;
        self.saved = self.state().step;
        Ok(())
    }

    /// Saves, unless the disk refuses: training goes on then. Whether it worked.
    fn save_if_possible(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<bool, TrainingError> {
        match self.save(observer) {
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
        match error {
            TrainingError::NotFinite { step, path, .. } => {
                TrainingError::NotFinite { step, saved: self.saved, path }
            }
            other => other,
        }
    }

    fn log(&mut self, line: &impl LogLine) {
        self.metrics.write(line);
        self.events.scalars(line.step(), &line.scalars());
    }

    fn state(&self) -> &State {
        &self.learner.state
    }

    fn model(&self) -> Result<Model, TrainingError> {
        let description = ModelDescription { step: self.state().step, ..self.description.clone() };
        let averages = named(&self.state().averages);
        let copy = Parameters::from_tensors(&self.config.network, averages, &self.state().averages.device())?;
        Ok(Model::new(description, copy))
    }
}

/// What the network is shown of `draws`: the truth, or what a teacher makes of it.
fn shown(draws: &Draws, device: &Device, teacher: Option<&Teacher>) -> Result<Draws, TrainingError> {
    let draws = draws.on(device)?;
    match teacher {
        None => Ok(draws),
        Some(teacher) => teacher.lesson(&draws),
    }
}

/// A best model that is no longer there, or no longer whole, is not waited for: the next validation makes a new one.
fn forget_lost_best(state: &mut State, best: &Path, device: &Device) {
    if let Some(loss) = state.best_validation_loss
        && let Err(error) = Model::load(best, device)
    {
        tracing::warn!(
            "{error}: the model of validation loss {loss} is lost; the next validation makes a new best one"
        );
        state.best_validation_loss = None;
    }
}

/// The step as a key of random numbers.
fn key(step: u64) -> u32 {
    u32::try_from(step).expect("the configuration's steps fit 32 bits")
}

fn lock(out: &Path) -> Result<Lock, TrainingError> {
    let path = out.to_owned();
    Lock::acquire(&out.join(LOCK)).map_err(|source| match finescale_durable::is_busy(&source) {
        true => TrainingError::Busy { path, source },
        false => TrainingError::Write { path, source },
    })
}

/// The SHA-256 of each file that a run learns from, by its name in the configuration; none of a file that is not there.
fn inputs(config: &RunConfig) -> Result<Value, TrainingError> {
    let pairs = config.data.training.iter().chain(&config.data.validation);
    let files = pairs.flat_map(|pair| [vec![pair.condition()], pair.truth()].concat());
    let mut hashes = BTreeMap::new();
    for path in files.chain(config.training.teacher.clone()) {
        let failed = |source| TrainingError::Read { path: path.clone(), source };
        if path.try_exists().map_err(failed)? {
            let mut file = finescale_durable::open_to_read(&path).map_err(failed)?;
            let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 20]);
            loop {
                match file.read(&mut block).map_err(failed)? {
                    0 => break,
                    count => hash.update(&block[..count]),
                }
            }
            hashes.insert(path.to_string_lossy().into_owned(), hex(&hash.finalize()));
        }
    }
    Ok(json!(hashes))
}

fn check_no_run(out: &Path) -> Result<(), TrainingError> {
    for name in FILES {
        let path = out.join(name);
        if path.try_exists().map_err(|source| TrainingError::Read { path, source })? {
            return Err(TrainingError::RunExists { path: out.into(), name });
        }
    }
    Ok(())
}

fn nothing_to_resume(state: &Path) -> TrainingError {
    TrainingError::Read { path: state.into(), source: std::io::ErrorKind::NotFound.into() }
}

fn check_program(out: &Path, program: &Value, found: &Value, start: Start) -> Result<(), TrainingError> {
    match difference(program, found) {
        Some(Difference { what, expected, found }) if matches!(start, Start::Resume) => {
            let what = if what.is_empty() { "the program".to_owned() } else { what };
            Err(TrainingError::OtherProgram { path: out.into(), what, expected, found })
        }
        _ => Ok(()),
    }
}

/// A resumed run may train longer or at another rate, but not another network or on other data.
fn check_unchanged(out: &Path, now: &RunConfig, before: &RunConfig) -> Result<(), TrainingError> {
    check_section(out, "data", now.data == before.data)?;
    check_section(out, "network", now.network == before.network)?;
    check_section(out, "diffusion", now.diffusion == before.diffusion)?;
    check_section(out, "training.seed", now.training.seed == before.training.seed)?;
    check_section(out, "training.teacher", now.training.teacher == before.training.teacher)?;
    let same_steps = now.training.teacher.is_none() || now.generation.sampling == before.generation.sampling;
    check_section(out, "generation.sampling", same_steps)
}

/// What may change is told: a run of two configurations has the bits of neither.
fn tell_changes(out: &Path, now: &RunConfig, before: &RunConfig, step: u64) {
    let (now, before) = (json!(now.training), json!(before.training));
    if let Some(Difference { what, expected, found }) = difference(&now, &before) {
        let out = out.display();
        tracing::warn!(
            "{out}: training.{what} was {found} in its first {step} updates, and is {expected} from here on; the model \
             will say the latter"
        );
    }
}

/// A model that is trained further sees the same channels through the same network, on other data perhaps.
fn check_same_network(path: &Path, now: &RunConfig, before: &RunConfig) -> Result<(), TrainingError> {
    let (seen, known) = (now.data.channels(), before.data.channels());
    let surroundings = seen.surroundings_smoothing_cells == known.surroundings_smoothing_cells;
    let baseline = seen.baseline_smoothing_cells == known.baseline_smoothing_cells;
    check_section(path, "network", now.network == before.network)?;
    check_section(path, "data.surroundings_smoothing_cells", surroundings)?;
    check_section(path, "data.scalars", seen.scalars == known.scalars)?;
    check_section(path, "data.baseline_smoothing_cells", baseline)
}

fn check_section(path: &Path, section: &'static str, same: bool) -> Result<(), TrainingError> {
    if same { Ok(()) } else { Err(TrainingError::ConfigChanged { path: path.into(), section }) }
}

#[cfg(test)]
mod tests;
