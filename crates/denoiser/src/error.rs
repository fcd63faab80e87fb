//! What can go wrong with networks.

use std::path::PathBuf;
use thiserror::Error;

/// What can go wrong with networks.
#[derive(Debug, Error)]
pub enum DenoiserError {
    /// A setting of the network is outside its range.
    #[error("network.{setting}: {found} is not possible, expected {expected}")]
    Setting {
        /// The JSON key.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A level's channels do not split into norm groups or attention heads.
    #[error(
        "a level of {channels} channels does not split into network.{setting} = {divisor}: change either"
    )]
    Channels {
        /// The JSON key of the divisor.
        setting: &'static str,
        /// Channels of the level.
        channels: usize,
        /// What must divide them.
        divisor: usize,
    },
    /// A patch that cannot be halved at every level.
    #[error("a patch of {patch} cells does not fit this U-Net: need a multiple of {multiple}")]
    PatchSize {
        /// Cells per side.
        patch: usize,
        /// What must divide them.
        multiple: usize,
    },
    /// An input with the wrong number of channels.
    #[error("the {what} has {found} channels, this network takes {expected}")]
    InputChannels {
        /// Which input.
        what: &'static str,
        /// Channels of the configuration.
        expected: usize,
        /// Channels found.
        found: usize,
    },
    /// A noise level outside (0, 1).
    #[error("noise level {found}: alpha-bar must lie between 0 and 1")]
    NoiseLevel {
        /// Its value.
        found: f64,
    },
    /// A parameter that the network needs is not there.
    #[error("parameter {name} is missing: do the weights belong to this network configuration?")]
    MissingParameter {
        /// Its name.
        name: String,
    },
    /// A parameter that the network does not know.
    #[error("parameter {name} is not part of this network: do the weights belong to this configuration?")]
    ExtraParameter {
        /// Its name.
        name: String,
    },
    /// A parameter of another shape.
    #[error(
        "parameter {name} has shape {found:?}, this network needs {expected:?}: do the weights belong to this configuration?"
    )]
    ParameterShape {
        /// Its name.
        name: String,
        /// Shape of the configuration.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// A file that is no checkpoint, or a damaged one.
    #[error(
        "not a whole checkpoint in PyTorch's zip format: {problem}; `torch.save` of PyTorch 1.6 or newer writes one"
    )]
    Checkpoint {
        /// What is wrong.
        problem: String,
    },
    /// A file that holds no reference network.
    #[error(
        "no parameter is named denoise_fn.*: expected a network saved by the reference (a *_Network.pth)"
    )]
    NotAReference,
    /// An error while reading a file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<DenoiserError>,
    },
    /// A file that cannot be read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl DenoiserError {
    /// As an error of the tensor library, for traits that speak only that.
    pub(crate) fn into_candle(self) -> candle_core::Error {
        match self {
            Self::Tensor(error) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}
