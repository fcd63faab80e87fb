//! A run, ready to begin: everything is read and checked, and nothing written.

use crate::changes::changes;
use crate::folder::RunFolder;
use crate::learner::Learner;
use crate::noised_batch::NoisedBatch;
use crate::objective::Exercise;
use crate::origin::Origin;
use crate::patch_source::PatchSource;
use crate::spectrum::SpectrumCheck;
use crate::state::Marks;
use crate::teacher::Teacher;
use crate::warnings::warnings;
use crate::{Lineage, ModelDescription, RunConfig, TrainingError, config};
use candle_core::Device;
use finescale_field::Normalizer;
use finescale_pairs::PairSet;
use std::sync::Arc;

/// The training of a network, from its [`Origin`] on its pairs.
///
/// [`go`](Self::go) does it, [`plan`](Self::plan) measures what that will take.
pub struct Run<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) folder: RunFolder,
    pub(crate) device: Device,
    pub(crate) source: Arc<PatchSource<'a>>,
    pub(crate) pairs: &'a PairSet,
    pub(crate) validation: Vec<NoisedBatch>,
    pub(crate) spectrum: Option<SpectrumCheck>,
    pub(crate) teacher: Option<Teacher>,
    pub(crate) learner: Learner<'a>,
    /// Of the model before its next update.
    pub(crate) description: ModelDescription,
    /// Who computes, and from what.
    pub(crate) marks: Marks,
    warnings: Vec<String>,
}

impl<'a> Run<'a> {
    /// The run of `config` from `origin`, on pairs that were normalised as [`Origin::normalization`] says.
    ///
    /// # Errors
    /// [`TrainingError::ConfigValue`] if `config` names minutes instead of updates (see
    /// [`RunConfig::with_steps`]); [`TrainingError::Pairs`] if no patch fits; whatever validation, masks and
    /// the network report.
    pub fn new(config: &'a RunConfig, origin: Origin, pairs: &'a PairSet) -> Result<Self, TrainingError> {
        if config.training.steps == 0 {
            let expected = "they must be made into a number of updates before the run begins".to_owned();
            return Err(config::value_error("training.minutes", "all that is said", expected));
        }
        let Origin {
            folder, processor, state, marks, teacher, parents, trained_on, resumed, devices, ..
        } = origin;
        let mut warnings = warnings(pairs);
        if let Some(before) = &resumed {
            warnings.extend(changes(before, config, state.step));
        }

        let ranges: Vec<_> = pairs.normalizers().truth.iter().map(Normalizer::range).collect();
        let learner = Learner::new(config, state, &ranges, &processor)?;
        let hold_out = config.data.hold_out;
        let data = pairs.data_kind();
        let lineage = Lineage { parents, data, files: trained_on, hold_out, devices };
        let device = Device::Cpu;
        let source = Arc::new(PatchSource::new(config, pairs)?);
        let validation = source.validation()?;
        let validation = validation.iter().map(|batch| shown(batch, &device, teacher.as_ref()));
        Ok(Self {
            validation: validation.collect::<Result<_, _>>()?,
            spectrum: SpectrumCheck::new(config, pairs)?,
            description: ModelDescription::new(config, pairs, lineage),
            config,
            folder,
            device,
            source,
            pairs,
            teacher,
            learner,
            marks,
            warnings,
        })
    }

    /// What its user should know before it begins: what is doubtful about its pairs, and the settings that were
    /// others so far.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there is a validation before the first update: of what a model knows. Fresh weights know nothing.
    pub(crate) fn validates_first(&self) -> bool {
        let is_model = !self.description.lineage.parents.is_empty();
        is_model && self.learner.state.step == 0 && !self.validation.is_empty()
    }

    /// What the network is asked about a batch.
    pub(crate) fn exercises(&self, batch: &NoisedBatch) -> Result<Vec<Exercise>, TrainingError> {
        let batch = shown(batch, &self.device, self.teacher.as_ref())?;
        Exercise::parts(self.learner.network(), &batch, self.config.training.accumulate)
    }
}

/// What the network is shown of a batch: the truth, or what a teacher makes of it.
fn shown(
    batch: &NoisedBatch,
    device: &Device,
    teacher: Option<&Teacher>,
) -> Result<NoisedBatch, TrainingError> {
    let batch = batch.on(device)?;
    match teacher {
        None => Ok(batch),
        Some(teacher) => teacher.lesson(&batch),
    }
}

/// The step as a key of random numbers.
pub(crate) fn key(step: u64) -> u32 {
    u32::try_from(step).expect("the configuration's steps fit 32 bits")
}

#[cfg(test)]
mod tests;
