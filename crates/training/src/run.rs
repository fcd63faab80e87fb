//! A run, ready to begin: everything is read and checked, and nothing written.

use crate::changes::changes;
use crate::folder::RunFolder;
use crate::learner::Learner;
use crate::noised_batch::NoisedBatch;
use crate::origin::Origin;
use crate::parts::OwnParts;
use crate::patch_source::PatchSource;
use crate::spectrum::SpectrumCheck;
use crate::state::Marks;
use crate::teacher::Teacher;
use crate::tensor_file::named;
use crate::warnings::{idle_warning, warnings};
use crate::{Lineage, ModelDescription, RunConfig, TrainingError, config, optimizer};
use candle_core::Device;
use finescale_field::Normalizer;
use finescale_pairs::PairSet;
use finescale_ranks::Ranks;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The training of a network, from its [`Origin`] on its pairs.
///
/// [`go`](Self::go) does it, [`plan`](Self::plan) measures what that will take.
pub struct Run<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) ranks: &'a Ranks,
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
    pub fn new(config: &'a RunConfig, origin: Origin<'a>, pairs: &'a PairSet) -> Result<Self, TrainingError> {
        if config.training.steps == 0 {
            let expected = "they must be made into a number of updates before the run begins".to_owned();
            return Err(config::value_error("training.minutes", "all that is said", expected));
        }
        let Origin {
            folder,
            processor,
            ranks,
            state,
            marks,
            teacher,
            parents,
            trained_on,
            resumed,
            devices,
            ..
        } = origin;
        let mut warnings = warnings(pairs);
        warnings.extend(idle_warning(config.training.accumulate, ranks.count()));
        if let Some(before) = &resumed {
            warnings.extend(changes(before, config, state.step));
        }

        let ranges: Vec<_> = pairs.normalizers().truth.iter().map(Normalizer::range).collect();
        let learner = Learner::new(config, state, &ranges, &processor, ranks)?;
        let hold_out = config.data.hold_out;
        let data = pairs.data_kind();
        let lineage = Lineage { parents, data, files: trained_on, hold_out, devices };
        let device = Device::Cpu;
        let source = Arc::new(PatchSource::new(config, pairs, ranks)?);
        let validation = source.validation()?;
        let validation = validation.iter().map(|batch| match &teacher {
            Some(teacher) => teacher.lesson(&batch.on(&device)?),
            None => batch.on(&device),
        });
        Ok(Self {
            validation: validation.collect::<Result<_, _>>()?,
            spectrum: SpectrumCheck::new(config, pairs)?,
            description: ModelDescription::new(config, pairs, lineage)?,
            config,
            ranks,
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

    /// Makes sure that all ranks have the same run before them, and waits for all.
    pub(crate) fn check_ranks(&self) -> Result<(), TrainingError> {
        if self.ranks.count() == 1 {
            return Ok(());
        }
        let digest = |text: &[u8]| <[u8; 32]>::from(Sha256::digest(text));
        let weights = optimizer::flat(&named(&self.learner.state.values.home()?.weights))?;
        let ours = [
            ("the configuration", digest(self.config.resolved().as_bytes())),
            ("the program, or the processor's kind", digest(self.marks.program.to_string().as_bytes())),
            ("the data files or the teacher", digest(self.marks.inputs.to_string().as_bytes())),
            ("the updates made", digest(&self.learner.state.step.to_le_bytes())),
            (
                "the weights",
                digest(&weights.iter().flat_map(|weight| weight.to_le_bytes()).collect::<Vec<u8>>()),
            ),
        ];
        for (what, ours) in ours {
            let all = self.ranks.gather(&ours)?;
            if let Some(rank) = all.iter().position(|theirs| *theirs != all[0]) {
                return Err(TrainingError::RanksDiffer { rank, what });
            }
        }
        Ok(())
    }

    /// Whether there is a validation before the first update: of what a model knows. Fresh weights know nothing.
    pub(crate) fn validates_first(&self) -> bool {
        let is_model = !self.description.lineage.parents.is_empty();
        is_model && self.learner.state.step == 0 && !self.validation.is_empty()
    }

    /// What the network is asked about a batch on this rank.
    pub(crate) fn own_parts(&self, batch: &NoisedBatch) -> Result<OwnParts, TrainingError> {
        let (batch, parts) = (batch.on(&self.device)?, self.config.training.accumulate);
        OwnParts::taught(self.learner.network(), &batch, parts, self.ranks, self.teacher.as_ref())
    }
}

/// The step as a key of random numbers.
pub(crate) fn key(step: u64) -> u32 {
    u32::try_from(step).expect("the configuration's steps fit 32 bits")
}

#[cfg(test)]
mod tests;
