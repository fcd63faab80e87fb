//! The state of a run, from which it continues bit for bit.

use crate::optimizer::AdamW;
use crate::tensor_file::{self, named};
use crate::tensor_header::Metadata;
use crate::values::{Home, Values};
use crate::{Model, ModelDescription, NamedTensors, Precision, RunConfig, TrainingError};
use candle_core::Device;
use finescale_denoiser::{NetworkConfig, Parameters};
use finescale_field::check_memory;
use serde_json::Value;
use std::path::Path;

const FORMAT: &str = "finescale-training-state";
const BEST: &str = "best_validation_loss";
const PROGRAM: &str = "program";
const INPUTS: &str = "inputs";
const UNWRITTEN_LOSS: &str = "unwritten_best_validation_loss";
const UNWRITTEN_STEP: &str = "unwritten_best_step";
/// Prefix of the tensors of a best model that could not be written.
const UNWRITTEN: &str = "unwritten_best";
/// Prefixes of the four tensors that each variable has in the file.
const PARTS: [&str; 4] = ["weights", "averages", "first_moments", "second_moments"];

/// Everything that changes from step to step; all randomness is a function of (seed, step).
pub(crate) struct State {
    pub(crate) values: Values,
    /// Updates made.
    pub(crate) step: u64,
    /// Of the best model that was written.
    pub(crate) best_validation_loss: Option<f64>,
    /// A better model, until its file is written.
    pub(crate) unwritten_best: Option<Best>,
}

/// The model at the best validation.
pub(crate) struct Best {
    pub(crate) loss: f64,
    pub(crate) model: Model,
}

/// What must be as it was when a run is resumed.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// Who computes: version, device, instruction set.
    pub(crate) program: Value,
    /// Hashes of the files that the run learns from.
    pub(crate) inputs: Value,
}

impl State {
    /// The state before the first update.
    pub(crate) fn new(
        network: &NetworkConfig,
        weights: Parameters,
        weight_decay: f64,
    ) -> Result<Self, TrainingError> {
        let values = Values::new(network, weights, weight_decay)?;
        Ok(Self { values, step: 0, best_validation_loss: None, unwritten_best: None })
    }

    /// Writes the state, and who computes it from what, whole or not at all.
    pub(crate) fn save(
        &self,
        path: &Path,
        description: &ModelDescription,
        marks: &Marks,
    ) -> Result<(), TrainingError> {
        let mut metadata = description.to_metadata(FORMAT);
        metadata.insert(PROGRAM.into(), marks.program.to_string());
        metadata.insert(INPUTS.into(), marks.inputs.to_string());
        // The bits, not the digits: a resumed run compares with exactly this loss.
        metadata.insert(BEST.into(), self.best_validation_loss.unwrap_or(f64::NAN).to_bits().to_string());
        let Home { weights, averages, optimizer } = self.values.home()?;
        let (weights, averages) = (named(weights), named(averages));
        let parts = [&weights, &averages, &optimizer.first, &optimizer.second];
        let mut tensors = NamedTensors::new();
        let mut add = |prefix: &str, part: &NamedTensors| {
            tensors.extend(part.iter().map(|(name, tensor)| (format!("{prefix}/{name}"), tensor.clone())));
        };
        PARTS.into_iter().zip(parts).for_each(|(prefix, part)| add(prefix, part));
        if let Some(Best { loss, model }) = &self.unwritten_best {
            metadata.insert(UNWRITTEN_LOSS.into(), loss.to_bits().to_string());
            metadata.insert(UNWRITTEN_STEP.into(), model.description.step.to_string());
            add(UNWRITTEN, &named(model.parameters()));
        }
        tensor_file::write(path, &metadata, &tensors, Precision::F32)
    }

    /// The state in `path`, how its run was described, and who computed it from what.
    pub(crate) fn load(
        path: &Path,
        device: &Device,
    ) -> Result<(Self, ModelDescription, Marks), TrainingError> {
        let (metadata, tensors, _) = tensor_file::read(path, device)?;
        let description = ModelDescription::from_metadata(path, FORMAT, &metadata)?;
        let part = |prefix: &str| {
            Parameters::from_tensors(&description.configuration.network, select(&tensors, prefix), device)
                .map_err(|source| TrainingError::Weights { path: path.into(), source })
        };
        let (weights, averages) = (part(PARTS[0])?, part(PARTS[1])?);
        let (first, second) = (named(&part(PARTS[2])?), named(&part(PARTS[3])?));
        let optimizer =
            AdamW { weight_decay: description.configuration.training.weight_decay, first, second };
        let (step, best_validation_loss) = (description.step, loss(path, &metadata, BEST)?);
        let unwritten_best = match metadata.get(UNWRITTEN_STEP).map(|step| step.parse()) {
            Some(Ok(step)) => {
                let loss = loss(path, &metadata, UNWRITTEN_LOSS)?.unwrap_or(f64::INFINITY);
                let description = ModelDescription { step, ..description.clone() };
                Some(Best { loss, model: Model::new(description, part(UNWRITTEN)?) })
            }
            _ => None,
        };
        let mark = |key| {
            metadata.get(key).and_then(|text: &String| serde_json::from_str(text).ok()).unwrap_or_default()
        };
        let marks = Marks { program: mark(PROGRAM), inputs: mark(INPUTS) };
        let values = Values::at_home(Home { weights, averages, optimizer });
        let state = Self { values, step, best_validation_loss, unwritten_best };
        Ok((state, description, marks))
    }
}

/// The weights that the seed of `config` draws, if memory has room for a run of them: weights, averages,
/// moments and gradients.
pub(crate) fn fresh_weights(config: &RunConfig, device: &Device) -> Result<Parameters, TrainingError> {
    let count = config.network.parameter_count()?;
    let copies = if device.is_cpu() { PARTS.len() + 1 } else { 1 };
    let bytes = (count as u128).saturating_mul((copies * size_of::<f32>()) as u128);
    check_memory(format_args!("training a network of {count} parameters"), bytes)
        .map_err(TrainingError::Memory)?;
    Ok(Parameters::init(&config.network, config.training.seed, device)?)
}

fn select(tensors: &NamedTensors, prefix: &str) -> NamedTensors {
    let strip = |(name, tensor): (&String, &candle_core::Tensor)| {
        let name = name.strip_prefix(prefix)?.strip_prefix('/')?;
        Some((name.to_owned(), tensor.clone()))
    };
    tensors.iter().filter_map(strip).collect()
}

/// The loss of this name; none if there is none yet.
fn loss(path: &Path, metadata: &Metadata, key: &str) -> Result<Option<f64>, TrainingError> {
    let found = metadata.get(key).map_or("missing", String::as_str);
    let bits: u64 = found.parse().map_err(|_| TrainingError::Foreign {
        path: path.into(),
        key: key.into(),
        found: found.into(),
        expected: "the bits of a number".into(),
    })?;
    Ok(Some(f64::from_bits(bits)).filter(|loss| !loss.is_nan()))
}
