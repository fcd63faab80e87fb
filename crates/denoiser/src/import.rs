//! Networks saved by the reference.

use crate::{DenoiserError, NetworkConfig, Parameters};
use candle_core::{Device, pickle::PthTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// What the reference calls its network; tensors outside it (the schedule) are not read.
const PREFIX: &str = "denoise_fn.";

/// Reads the parameters of a network saved by the reference (PyTorch's zip format, `*_Network.pth`).
///
/// # Errors
/// [`DenoiserError::File`], which names the file, around [`DenoiserError::NotAReference`] if it holds another thing,
/// the errors of [`Parameters::from_tensors`] if it holds another network, or what reading it met.
/// # Source
/// github.com/adamrouhiainen/3D-Diffusion, `models/network.py`.
pub fn import_reference(
    path: &Path,
    config: &NetworkConfig,
    device: &Device,
) -> Result<Parameters, DenoiserError> {
    read(path, config, device)
        .map_err(|source| DenoiserError::File { path: path.to_owned(), source: Box::new(source) })
}

fn read(path: &Path, config: &NetworkConfig, device: &Device) -> Result<Parameters, DenoiserError> {
    let file = PthTensors::new(path, None)?;
    let mut tensors = BTreeMap::new();
    let names: std::collections::BTreeSet<&String> = file.tensor_infos().keys().collect();
    for full_name in names {
        let Some(name) = full_name.strip_prefix(PREFIX) else { continue };
        if let Some(tensor) = file.get(full_name)? {
            tensors.insert(name.to_owned(), tensor);
        }
    }
    if tensors.is_empty() {
        return Err(DenoiserError::NotAReference);
    }
    Parameters::from_tensors(config, tensors, device)
}
