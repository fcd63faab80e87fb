//! A trained model in one file.

use crate::tensor_file::{self, named};
use crate::tensor_header::Header;
use crate::{ModelDescription, Parent, Precision, Role, TrainingError};
use candle_core::Device;
use finescale_denoiser::{Denoiser, Parameters};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a model's file says it is.
const FORMAT: &str = "finescale-model";

/// Bytes of a file that are hashed at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The averaged weights of a run with everything needed to sample from them.
#[derive(Debug)]
pub struct Model {
    /// What the model is and what it was trained on.
    pub description: ModelDescription,
    parameters: Parameters,
    file: Option<(PathBuf, String)>,
}

impl Model {
    /// A model with these weights, in memory.
    #[must_use]
    pub fn new(description: ModelDescription, parameters: Parameters) -> Self {
        Self { description, parameters, file: None }
    }

    /// Reads a model and its weights onto `device`.
    ///
    /// # Errors
    /// [`TrainingError::Read`]; [`TrainingError::Malformed`] for a file that is cut short or no safetensors;
    /// [`TrainingError::Foreign`] for one that is no finescale model; [`TrainingError::Configuration`] for one
    /// whose settings are impossible; [`TrainingError::Weights`] for weights that do not fit its configuration;
    /// [`TrainingError::Memory`] for one that is larger than memory.
    pub fn load(path: &Path, device: &Device) -> Result<Self, TrainingError> {
        // All that can be wrong with the header is found before the weights take memory.
        ModelSummary::read_header(path)?;
        let (metadata, weights, bytes) = tensor_file::read(path, device)?;
        let description = ModelDescription::from_metadata(path, FORMAT, &metadata)?;
        let parameters = Parameters::from_tensors(&description.configuration.network, weights, device)
            .map_err(|source| TrainingError::Weights { path: path.into(), source })?;
        let hash = hex::encode(Sha256::digest(&bytes));
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

    /// What another model that is made from this one remembers of it.
    pub(crate) fn as_parent(&self, role: Role) -> Parent {
        let file = self.path().map(|path| path.to_string_lossy().into_owned());
        Parent {
            role,
            file: file.unwrap_or_default(),
            sha256: self.sha256().unwrap_or_default().to_owned(),
            updates: self.description.step,
            lineage: self.description.lineage.clone(),
        }
    }
}

/// What a model is, without its weights.
#[derive(Debug)]
pub struct ModelSummary {
    /// What the model is and what it was trained on.
    pub description: ModelDescription,
    /// Number of parameters of the network.
    pub parameters: usize,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
}

impl ModelSummary {
    /// Reads what the model `path` is, in little memory.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let (description, parameters) = Self::read_header(path)?;
        let failed = |source| TrainingError::Read { path: path.into(), source };
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                length => hash.update(&buffer[..length]),
            }
        }
        Ok(Self { description, parameters, sha256: hex::encode(hash.finalize()) })
    }

    /// The description, and the number of parameters, which are those of its network.
    fn read_header(path: &Path) -> Result<(ModelDescription, usize), TrainingError> {
        let header = Header::read(path)?;
        let description = ModelDescription::from_metadata(path, FORMAT, &header.metadata)?;
        let shapes = header.shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
        let network = &description.configuration.network;
        network
            .check_shapes(shapes)
            .and_then(|()| network.parameter_count())
            .map_err(|source| TrainingError::Weights { path: path.into(), source })
            .map(|count| (description, count))
    }
}

#[cfg(test)]
mod tests;
