//! Errors of this crate.

use finescale_field::FieldError;
use finescale_outpaint::OutpaintError;
use finescale_ranks::RanksError;
use std::path::PathBuf;

/// What can go wrong with configurations, runs and models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// A configuration that is not the JSON expected here.
    #[error("{path}: in `{key}`: {problem}; docs/src/configuration.md explains every key")]
    ConfigSyntax {
        /// The configuration file.
        path: PathBuf,
        /// Where in the file, as `section.key`.
        key: String,
        /// What the parser found.
        problem: String,
    },
    /// A value that no run can use.
    #[error("`{key}` is {found}: {expected}")]
    ConfigValue {
        /// The key, as `section.key`.
        key: &'static str,
        /// The value.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// A file that could not be read.
    #[error("{path}: cannot read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file or folder that could not be written.
    #[error(
        "{path}: cannot write: {source}; {}; nothing half-written was left",
        finescale_durable::remedy(source)
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file that is cut short or no safetensors file.
    #[error("{path}: not a complete .safetensors file ({problem}); copy or write it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        problem: String,
    },
    /// A safetensors file of some other program, version or purpose.
    #[error("{path}: the file's metadata `{key}` is {found}, expected {expected}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The metadata entry.
        key: String,
        /// Its value, or "missing".
        found: String,
        /// What a file of this kind says.
        expected: String,
    },
    /// Settings in a model or state that no run can have had.
    #[error("{path}: its configuration is impossible: {source}; copy the file again, or ask whoever made it")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// The first setting out of range.
        source: Box<TrainingError>,
    },
    /// Tensors that do not make the network that the file's configuration describes.
    #[error("{path}: {source}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// The first tensor that does not fit.
        source: finescale_denoiser::DenoiserError,
    },
    /// A card failed in the middle of an update.
    #[error(
        "the weights on the card belong to no update, since it failed in the middle of one, and are not saved; `--resume` goes on \
         from the state on disk"
    )]
    Torn,
    /// A file that memory cannot hold.
    #[error(transparent)]
    Memory(FieldError),
    /// A condition with other voxels than those the model was trained on.
    #[error(
        "the model was trained on voxels of {expected:?} Mpc/h, the condition has {found:?}; grid the snapshot \
         with as many cells as make the voxels agree"
    )]
    VoxelSize {
        /// Voxel of the model per axis in Mpc/h.
        expected: [f64; 3],
        /// Voxel of the condition.
        found: [f64; 3],
    },
    /// Ranks that were given different things to do, or do them differently.
    #[error(
        "ranks differ in {what}: rank {rank} has another than rank 0; start all with the same program, options and files, on \
         processors of one kind"
    )]
    RanksDiffer {
        /// A rank.
        rank: usize,
        /// In what.
        what: &'static str,
    },
    /// Ranks that do not work together.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// A new run in a folder that already has one, or a part of one.
    #[error(
        "{path}: this folder already holds a run ({name}); continue it with --resume or name another folder"
    )]
    RunExists {
        /// The run folder.
        path: PathBuf,
        /// A file of the run.
        name: &'static str,
    },
    /// A run that another process works on.
    #[error("{path}: cannot be trained here now: {source}; wait for it, stop it, or name another folder")]
    Busy {
        /// The run folder.
        path: PathBuf,
        /// Who works on it.
        source: std::io::Error,
    },
    /// A run folder that was moved or removed while its training ran.
    #[error(
        "{path}: {source} while its training ran; it ends here, and goes on with --resume where the folder is \
         now"
    )]
    Moved {
        /// The run folder.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// A run that another program, device or instruction set began.
    #[error(
        "{path}: cannot resume: {what} was {found} when its state was saved, now it is {expected}; the bits \
         would be those of neither. Go on where it began, or with --resume-anyway"
    )]
    OtherProgram {
        /// The run folder.
        path: PathBuf,
        /// What differs.
        what: String,
        /// Its value now.
        expected: String,
        /// Its value in the state.
        found: String,
    },
    /// A run or model continued under another configuration.
    #[error("{path}: was made with another `{section}`; continue it with the configuration it was made with")]
    ConfigChanged {
        /// The run folder or model.
        path: PathBuf,
        /// The section that differs.
        section: &'static str,
    },
    /// A file of the data, or the teacher, that is not what a run has read so far.
    #[error(
        "{}: the run was made with other contents of {file}; bring them back, or begin another run with its weights: --from {} --out NEW",
        path.display(), path.join("model.safetensors").display()
    )]
    OtherContents {
        /// The run folder.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A teacher that cannot be had.
    #[error("in `training.teacher`: {problem}")]
    Teacher {
        /// What went wrong.
        problem: Box<TrainingError>,
    },
    /// A loss or gradient that is no number.
    #[error(
        "step {step}: the loss or its gradient is not finite; the state of step {saved} is kept in {path}, \
         resume with a lower learning_rate"
    )]
    NotFinite {
        /// The step that failed.
        step: u64,
        /// The last good step.
        saved: u64,
        /// The run folder.
        path: PathBuf,
    },
    /// A variable that the loss does not depend on.
    #[error("the loss has no gradient for {name}: the network does not use this variable")]
    NoGradient {
        /// The variable.
        name: String,
    },
    /// What kept one rank from reading its patches, on all of them.
    #[error("rank {rank}: {why}")]
    OfRank {
        /// The rank.
        rank: usize,
        /// What it says.
        why: String,
    },
    /// The training data.
    #[error(transparent)]
    Pairs(Box<finescale_pairs::PairError>),
    /// The network.
    #[error(transparent)]
    Network(#[from] finescale_denoiser::DenoiserError),
    /// The noise levels.
    #[error(transparent)]
    Diffusion(#[from] finescale_diffusion::DiffusionError),
    /// The tiling whose masks are trained on, and samples.
    #[error(transparent)]
    Tiling(Box<OutpaintError>),
    /// Power spectra.
    #[error("the spectrum of the truth to validate on: {0}")]
    Spectrum(#[from] finescale_spectra::SpectraError),
    /// The tensors.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainingError {
    /// Whether the user's input is at fault rather than the machine.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Pairs(error) => error.is_input(),
            Self::Tiling(error) => error.is_input(),
            Self::Ranks(error) => error.is_input(),
            Self::Write { .. }
            | Self::Busy { .. }
            | Self::Moved { .. }
            | Self::Memory(_)
            | Self::Torn
            | Self::NotFinite { .. }
            | Self::NoGradient { .. }
            | Self::Tensor(_) => false,
            Self::ConfigSyntax { .. }
            | Self::ConfigValue { .. }
            | Self::Read { .. }
            | Self::Malformed { .. }
            | Self::Foreign { .. }
            | Self::Configuration { .. }
            | Self::Weights { .. }
            | Self::VoxelSize { .. }
            | Self::RunExists { .. }
            | Self::RanksDiffer { .. }
            | Self::OfRank { .. }
            | Self::OtherProgram { .. }
            | Self::ConfigChanged { .. }
            | Self::OtherContents { .. }
            | Self::Teacher { .. }
            | Self::Network(_)
            | Self::Diffusion(_)
            | Self::Spectrum(_) => true,
        }
    }
}

impl From<finescale_pairs::PairError> for TrainingError {
    fn from(error: finescale_pairs::PairError) -> Self {
        Self::Pairs(Box::new(error))
    }
}

impl From<OutpaintError> for TrainingError {
    fn from(error: OutpaintError) -> Self {
        Self::Tiling(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_pairs::PairError;

    #[test]
    fn a_machine_at_fault_is_no_input_at_fault() {
        let file = || ("run".into(), std::io::Error::from(std::io::ErrorKind::StorageFull));
        let ((path, source), (read_path, read_source)) = (file(), file());
        assert!(!TrainingError::Write { path, source }.is_input());
        assert!(TrainingError::Read { path: read_path, source: read_source }.is_input());
        assert!(TrainingError::from(PairError::NoTraining).is_input());
        assert!(!TrainingError::from(OutpaintError::Cancelled).is_input());
        assert!(TrainingError::from(OutpaintError::GivenFields { expected: 1, found: 2 }).is_input());
    }
}
