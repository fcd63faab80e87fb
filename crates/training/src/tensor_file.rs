//! Named tensors and text in one `.safetensors` file, written whole or not at all.
//!
//! The header is written here, with its entries sorted: the same content gives the same bytes, so a file's
//! hash names a model. (The safetensors crate keeps the metadata in a hash map and would shuffle it.)

use crate::TrainingError;
use crate::tensor_header::{self, Header, Metadata};
use candle_core::{DType, Device, Tensor};
use finescale_denoiser::Parameters;
use finescale_field::{check_memory, shown};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Tensors by name.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// The SHA-256 of all that follows the header, so that damage is found.
const DATA_SHA256: &str = "data_sha256";

/// Names and values. The tensors share memory with the variables and change with them.
pub(crate) fn named(parameters: &Parameters) -> NamedTensors {
    parameters.tensors().map(|(name, tensor)| (name.to_owned(), tensor.detach())).collect()
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, exactly as trained.
    F32,
    /// 16 bits: half the size, eleven significant bits.
    F16,
}

/// Writes `tensors` and `metadata` to `path`, whole and durable or not at all.
pub(crate) fn write(
    path: &Path,
    metadata: &Metadata,
    tensors: &NamedTensors,
    precision: Precision,
) -> Result<(), TrainingError> {
    let mut hash = Sha256::new();
    for tensor in tensors.values() {
        hash.update(little_endian(tensor, precision)?);
    }
    let mut metadata = metadata.clone();
    metadata.insert(DATA_SHA256.to_owned(), hex::encode(hash.finalize()));
    metadata.extend([tensor_header::unsealed()]);
    let header = tensor_header::sealed(&header(&metadata, tensors, precision));
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.values().try_for_each(|tensor| {
            let bytes = little_endian(tensor, precision).map_err(std::io::Error::other)?;
            file.write_all(&bytes)
        })
    })
}

/// Writes what `content` writes to `path`, whole and durable or not at all.
pub(crate) fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), TrainingError> {
    finescale_durable::write(path, content)
        .map_err(|source| TrainingError::Write { path: path.into(), source })
}

/// Reads a file that [`write()`] or another program made. All tensors become f32 on `device`; also the file's
/// bytes.
pub(crate) fn read(path: &Path, device: &Device) -> Result<(Metadata, NamedTensors, Vec<u8>), TrainingError> {
    let Header { mut metadata, .. } = Header::read(path)?;
    metadata.remove(&tensor_header::unsealed().0);
    let failed = |source| TrainingError::Read { path: path.into(), source };
    // The bytes, the tensors as they are, and in f32.
    let needed = 4 * u128::from(std::fs::metadata(path).map_err(failed)?.len());
    check_memory(format_args!("{}: reading it", path.display()), needed).map_err(TrainingError::Memory)?;
    let bytes = finescale_durable::read(path).map_err(failed)?;
    let malformed =
        |problem: String| TrainingError::Malformed { path: path.into(), problem: shown(&problem) };
    let (header_bytes, _) = SafeTensors::read_metadata(&bytes).map_err(|e| malformed(e.to_string()))?;
    // Files of earlier versions and of other programs do not say it.
    if let Some(expected) = metadata.remove(DATA_SHA256)
        && hex::encode(Sha256::digest(&bytes[size_of::<u64>() + header_bytes..])) != expected
    {
        return Err(malformed("its tensors are not those that were written".to_owned()));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| malformed(e.to_string()))?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.iter() {
        let dtype = DType::try_from(view.dtype()).map_err(|e| malformed(e.to_string()))?;
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), device)
            .and_then(|t| t.to_dtype(DType::F32))
            .map_err(|e| malformed(e.to_string()))?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok((metadata, tensors, bytes))
}

/// The JSON header, padded with blanks so that the data start on a multiple of eight bytes.
fn header(metadata: &Metadata, tensors: &NamedTensors, precision: Precision) -> String {
    let (name, width) = match precision {
        Precision::F32 => ("F32", 4),
        Precision::F16 => ("F16", 2),
    };
    let mut entries = Map::new();
    entries.insert("__metadata__".into(), json!(metadata));
    let mut offset = 0;
    for (key, tensor) in tensors {
        let end = offset + width * tensor.elem_count();
        let entry = json!({"dtype": name, "shape": tensor.dims(), "data_offsets": [offset, end]});
        entries.insert(key.clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(entries).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    text
}

fn little_endian(tensor: &Tensor, precision: Precision) -> candle_core::Result<Vec<u8>> {
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::F16 => DType::F16,
    };
    let values = tensor.to_dtype(dtype)?.flatten_all()?;
    Ok(match precision {
        Precision::F16 => values.to_vec1::<half::f16>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F32 => values.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Metadata, NamedTensors) {
        let values = Tensor::new(&[[1.0f32, -2.5], [1e-3, 4.0]], &Device::Cpu).unwrap();
        let scalar = Tensor::new(&[7.0f32], &Device::Cpu).unwrap();
        let metadata = [("b", "β"), ("a", "{\"k\": 1}")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        (metadata.into(), [("w.2".to_owned(), values), ("w.10".to_owned(), scalar)].into())
    }

    #[test]
    fn what_is_written_is_read_and_the_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, tensors) = sample();
        let path = folder.path().join("t.safetensors");
        write(&path, &metadata, &tensors, Precision::F32).unwrap();
        let (found, read_back, bytes) = read(&path, &Device::Cpu).unwrap();
        assert_eq!(found, metadata);
        assert_eq!(read_back["w.2"].to_vec2::<f32>().unwrap(), tensors["w.2"].to_vec2::<f32>().unwrap());
        write(&path, &metadata, &tensors, Precision::F32).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn half_precision_keeps_eleven_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, tensors) = sample();
        let path = folder.path().join("t.safetensors");
        write(&path, &metadata, &tensors, Precision::F16).unwrap();
        let (_, read_back, _) = read(&path, &Device::Cpu).unwrap();
        let (a, b) = (tensors["w.2"].flatten_all().unwrap(), read_back["w.2"].flatten_all().unwrap());
        for (a, b) in a.to_vec1::<f32>().unwrap().iter().zip(b.to_vec1::<f32>().unwrap()) {
            assert!((a - b).abs() <= a.abs() / 2048.0, "{a} became {b}");
        }
    }

    #[test]
    fn broken_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, tensors) = sample();
        let path = folder.path().join("t.safetensors");
        assert!(matches!(read(&path, &Device::Cpu), Err(TrainingError::Read { .. })));
        write(&path, &metadata, &tensors, Precision::F32).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for keep in [0, 5, 40, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..keep]).unwrap();
            assert!(
                matches!(read(&path, &Device::Cpu), Err(TrainingError::Malformed { .. })),
                "{keep} bytes"
            );
        }
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = read(&path, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("not those that were written"), "{error}");
        std::fs::write(&path, "this is no model, but a text that is long enough to have a header").unwrap();
        assert!(matches!(read(&path, &Device::Cpu), Err(TrainingError::Malformed { .. })));
        let nowhere = path.join("below a file/t.safetensors");
        assert!(matches!(
            write(&nowhere, &metadata, &tensors, Precision::F32),
            Err(TrainingError::Write { .. })
        ));
    }
}
