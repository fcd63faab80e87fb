//! What a run starts from, found before its data is read.

use crate::checks::{check_program, check_same_network, check_section, check_unchanged};
use crate::folder::{BEST, RunFolder, STATE};
use crate::state::{Marks, State, fresh_weights};
use crate::teacher::Teacher;
use crate::tensor_file::named;
use crate::{Model, ModelDescription, Parent, Role, RunConfig, Start, TrainingError};
use candle_core::Device;
use finescale_denoiser::{Parameters, Processor};
use finescale_pairs::{Normalization, PairError, PairFiles, Truth};
use finescale_ranks::Ranks;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The weights, optimizer, normalizers and teacher that a run starts with, and the folder that it will be kept
/// in.
///
/// The normalizers of a model or state hold for the pairs, too: so the pairs are loaded between
/// [`find`](Self::find) and [`Run::new`](crate::Run::new), with [`normalization`](Self::normalization).
pub struct Origin<'a> {
    pub(crate) folder: RunFolder,
    pub(crate) processor: Processor,
    pub(crate) ranks: &'a Ranks,
    pub(crate) state: State,
    /// Who computes, and from what.
    pub(crate) marks: Marks,
    pub(crate) teacher: Option<Teacher>,
    pub(crate) parents: Vec<Parent>,
    /// What computes the updates, and what computed those that were made.
    pub(crate) devices: Vec<String>,
    /// SHA-256 of each file of the training pairs by name.
    pub(crate) trained_on: BTreeMap<String, String>,
    /// Of the run so far, if it is resumed.
    pub(crate) resumed: Option<RunConfig>,
    normalization: Normalization,
}

impl<'a> Origin<'a> {
    /// Finds what the run of `config` in the folder `out` starts from, and checks that the two belong together.
    /// Makes nothing in the folder of a new run. `processor` computes the network, on each of `ranks`; the first of them has the folder.
    /// `program` says who computes: version, device, instruction set, whatever makes other bits.
    ///
    /// # Errors
    /// As [`RunConfig::check`]; [`TrainingError::RunExists`] if a fresh run would overwrite another,
    /// [`TrainingError::Busy`] if another process works on it, [`TrainingError::ConfigChanged`] if state, model
    /// or teacher are of another network or data, [`TrainingError::OtherProgram`] if another program computed
    /// it, [`TrainingError::Write`] if there could be no such folder, and whatever reading the files reports.
    pub fn find(
        config: &RunConfig,
        out: &Path,
        start: Start,
        processor: &Processor,
        program: &Value,
        ranks: &'a Ranks,
    ) -> Result<Self, TrainingError> {
        config.check()?;
        let device = &Device::Cpu;
        let folder = match start {
            Start::Fresh | Start::From(_) => RunFolder::for_new_run(out),
            Start::Resume | Start::ResumeAnyway => RunFolder::for_resuming(out, ranks.is_first()),
        }?;
        let teacher = config.training.teacher.as_deref();
        let teacher = teacher.map(|path| Teacher::load(path, config, processor)).transpose()?;
        let trained_on = hashes(files(&config.data.training))?;
        let mut inputs = trained_on.clone();
        inputs.extend(hashes(files(&config.data.validation).chain(config.training.teacher.clone()))?);
        check_contents(config, &inputs)?;
        let marks = Marks { program: program.clone(), inputs: json!(inputs) };

        let begun_from = match start {
            Start::From(model) => Some(model.as_parent(Role::Weights)),
            _ => None,
        };
        let taught_by = teacher.as_ref().map(|(_, model)| model.as_parent(Role::Teacher));
        let mut parents: Vec<Parent> = begun_from.into_iter().chain(taught_by).collect();
        let (mut resumed, mut devices) = (None, Vec::new());
        let (state, stored) = match (start, &teacher) {
            (Start::Resume | Start::ResumeAnyway, _) => {
                let (state, description) = resume(config, &folder, start, device, &marks)?;
                parents = description.lineage.parents.clone();
                devices = description.lineage.devices.clone();
                resumed = Some(description.configuration.clone());
                (state, Some(description))
            }
            // A student begins with what its teacher knows.
            (Start::From(model), _) | (Start::Fresh, Some((_, model))) => {
                (begin(config, model, out, device)?, Some(model.description.clone()))
            }
            (Start::Fresh, None) => {
                let weights = fresh_weights(config, device)?;
                (State::new(&config.network, weights, config.training.weight_decay)?, None)
            }
        };
        if let Some(device) = program["device"].as_str()
            && devices.last().is_none_or(|last| last != device)
        {
            devices.push(device.to_owned());
        }
        let normalization = match &stored {
            Some(description) if resumed.is_some() => Normalization::from(description.normalizers()),
            Some(description) => config.data.normalization_from(description.normalizers()),
            None => config.data.normalization(),
        };
        if let Some((_, model)) = &teacher {
            let path = model.path().unwrap_or(out);
            check_same_network(path, config, &model.description.configuration)?;
            let same = normalization == Normalization::from(model.description.normalizers());
            check_section(path, "data", same)?;
        }
        let (teacher, processor) = (teacher.map(|(teacher, _)| teacher), processor.clone());
        Ok(Self {
            folder,
            processor,
            ranks,
            state,
            marks,
            teacher,
            parents,
            devices,
            trained_on,
            resumed,
            normalization,
        })
    }

    /// How the pairs of the run are normalised: as those of the model or state that it goes on from, or else as
    /// its configuration says.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        self.normalization.clone()
    }

    /// Updates of the run as they were fixed when it began, if it is resumed.
    #[must_use]
    pub fn fixed_steps(&self) -> Option<u64> {
        self.resumed.as_ref().map(|config| config.training.steps)
    }
}

/// The state of the run in `folder`, and how it is described.
fn resume(
    config: &RunConfig,
    folder: &RunFolder,
    start: Start,
    device: &Device,
    marks: &Marks,
) -> Result<(State, ModelDescription), TrainingError> {
    let out = folder.path();
    let (mut state, description, found) = State::load(&folder.file(STATE), device)?;
    check_unchanged(out, config, &description.configuration)?;
    check_inputs(out, &marks.inputs, &found.inputs)?;
    check_program(out, &marks.program, &found.program, start)?;
    forget_lost_best(&mut state, &folder.file(BEST), device);
    state.values.set_weight_decay(config.training.weight_decay);
    Ok((state, description))
}

/// Checks that the files of the data, and the teacher, are those that the run has read so far: the SHA-256 of each by its name.
fn check_inputs(out: &Path, now: &Value, before: &Value) -> Result<(), TrainingError> {
    let names = |inputs: &'_ Value| inputs.as_object().cloned().unwrap_or_default();
    let mut all = names(now).into_iter().chain(names(before));
    match all.find(|(name, _)| now.get(name) != before.get(name)) {
        Some((file, _)) => Err(TrainingError::OtherContents { path: out.into(), file }),
        None => Ok(()),
    }
}

/// The state of a run that begins with the weights of `model`.
fn begin(config: &RunConfig, model: &Model, out: &Path, device: &Device) -> Result<State, TrainingError> {
    check_same_network(model.path().unwrap_or(out), config, &model.description.configuration)?;
    let weights = Parameters::from_tensors(&config.network, named(model.parameters()), device)?;
    State::new(&config.network, weights, config.training.weight_decay)
}

/// A best model that is no longer there, or no longer whole, is not waited for: the next validation makes a new
/// one.
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

/// Checks that no box of the validation is one of the training under another name; `hashes`: of all files by name.
fn check_contents(config: &RunConfig, hashes: &BTreeMap<String, String>) -> Result<(), TrainingError> {
    let contents = |truth: &Truth| hashes.get(truth.path.to_string_lossy().as_ref());
    let trained: Vec<Truth> = config.data.training.iter().flat_map(PairFiles::truths).collect();
    for truth in config.data.validation.iter().flat_map(PairFiles::truths) {
        let is_same = |other: &&Truth| other.index == truth.index && contents(other) == contents(&truth);
        if contents(&truth).is_some()
            && let Some(other) = trained.iter().find(is_same)
        {
            let why = format!(
                "{} in `validation` has the contents of {} in `training`",
                truth.path.display(),
                other.path.display()
            );
            return Err(PairError::Split { why }.into());
        }
    }
    Ok(())
}

fn files(pairs: &[PairFiles]) -> impl Iterator<Item = PathBuf> {
    pairs.iter().flat_map(|pair| [vec![pair.condition()], pair.truth()].concat())
}

/// The SHA-256 of each file in hexadecimal, by its name in the configuration; none of a file that is not there.
fn hashes(files: impl IntoIterator<Item = PathBuf>) -> Result<BTreeMap<String, String>, TrainingError> {
    let mut hashes = BTreeMap::new();
    for path in files {
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
            hashes.insert(path.to_string_lossy().into_owned(), hex::encode(hash.finalize()));
        }
    }
    Ok(hashes)
}
