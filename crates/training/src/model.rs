//! A trained model in one file.

use crate::state::named;
use crate::tensor_file;
use crate::{ModelDescription, Precision, TrainingError};
use candle_core::Device;
use finescale_denoiser::{Denoiser, Parameters};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a model's file says it is.
const FORMAT: &str = "finescale-model";

/// The averaged weights of a run with everything needed to sample from them.
#[derive(Debug)]
pub struct Model {
    /// What the model is and what it was trained on.
    pub description: ModelDescription,
    parameters: Parameters,
    file: Option<(PathBuf, String)>,
}

impl Model {
    /// A model of `parameters`.
    #[must_use]
    pub fn new(description: ModelDescription, parameters: Parameters) -> Self {
        Self { description, parameters, file: None }
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`TrainingError::Read`]; [`TrainingError::Malformed`] for a file that is cut short or no safetensors;
    /// [`TrainingError::Foreign`] for one that is no finescale model; [`TrainingError::Weights`] for weights that
    /// do not fit its configuration.
    pub fn load(path: &Path, device: &Device) -> Result<Self, TrainingError> {
        let (metadata, weights, bytes) = tensor_file::read(path, device)?;
        let description = ModelDescription::from_metadata(path, FORMAT, &metadata)?;
        let parameters = Parameters::from_tensors(&description.configuration.network, weights, device)
            .map_err(|source| TrainingError::Weights { path: path.into(), source })?;
        let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { description, parameters, file: Some((path.into(), hash)) })
    }

    /// Writes the model in one step: a file of this name is either the old one or the new one, whole.
    ///
    /// # Errors
    /// [`TrainingError::Write`].
    pub fn save(&self, path: &Path, precision: Precision) -> Result<(), TrainingError> {
        tensor_file::write(path, &self.description.to_metadata(FORMAT), &named(&self.parameters), precision)
    }

    /// The denoiser to sample with.
    ///
    /// # Errors
    /// [`TrainingError::Network`] if the configuration makes no network.
    pub fn denoiser(&self) -> Result<Denoiser, TrainingError> {
        let network = &self.description.configuration.network;
        let ranges: Vec<_> = self.description.truth.iter().map(|field| field.normalizer.range()).collect();
        Ok(Denoiser::new(network, &self.parameters, &ranges)?)
    }

    /// The weights by name.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The file that the model was loaded from.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// SHA-256 of the file that the model was loaded from, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.file.as_ref().map(|(_, hash)| hash.as_str())
    }
}

#[cfg(test)]
mod tests;
