//! What a `.safetensors` file says of itself, before any tensor is read.

use crate::TrainingError;
use finescale_field::shown;
use safetensors::tensor::Metadata as Index;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The text beside the tensors of a file.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Longest header that is read; that of the shipped model has 20 kB.
const LONGEST_HEADER: u64 = 16 << 20;
/// Bytes that say how long the header is.
const LENGTH_BYTES: u64 = 8;

/// The first bytes of an HDF5 file.
const HDF5: &[u8; LENGTH_BYTES as usize] = b"\x89HDF\r\n\x1a\n";

/// The header of a file whose length agrees with it.
pub(crate) struct Header {
    /// The text beside the tensors.
    pub(crate) metadata: Metadata,
    /// Shapes by name.
    pub(crate) shapes: BTreeMap<String, Vec<usize>>,
}

/// The entry of the metadata with the SHA-256 of the header itself, in which it has zeros in its place.
const HEADER_SHA256: &str = "header_sha256";
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a header holds of itself until it is whole.
pub(crate) fn unsealed() -> (String, String) {
    (HEADER_SHA256.to_owned(), ZEROS.to_owned())
}

/// Puts a header's SHA-256 in the place of [`unsealed`].
pub(crate) fn sealed(header: &str) -> String {
    header.replacen(&entry(ZEROS), &entry(&hex::encode(Sha256::digest(header))), 1)
}

/// Whether a header is as it was sealed; headers of earlier versions and other programs are not.
fn is_sealed(header: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(header) else { return true };
    let start = entry("");
    let start = &start[..start.len() - 1];
    let Some(at) = text.find(start).map(|at| at + start.len()) else { return true };
    match text.get(at..at + ZEROS.len()) {
        Some(found) => {
            sealed(&[&text[..at], ZEROS, &text[at + ZEROS.len()..]].concat())[at..].starts_with(found)
        }
        None => false,
    }
}

fn entry(value: &str) -> String {
    format!("\"{HEADER_SHA256}\":\"{value}\"")
}

impl Header {
    /// Reads the header of `path`.
    ///
    /// # Errors
    /// [`TrainingError::Read`]; [`TrainingError::Malformed`] for a file that is cut short or no safetensors.
    pub(crate) fn read(path: &Path) -> Result<Self, TrainingError> {
        let failed = |source| TrainingError::Read { path: path.into(), source };
        let malformed =
            |problem: String| TrainingError::Malformed { path: path.into(), problem: shown(&problem) };
        if path.is_dir() {
            return Err(malformed(
                "it is a folder: name the file in it, such as model.safetensors".to_owned(),
            ));
        }
        let mut file = finescale_durable::open_to_read(path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        let mut length = [0; LENGTH_BYTES as usize];
        file.read_exact(&mut length).map_err(|_| malformed(format!("it has {file_bytes} bytes")))?;
        if length == *HDF5 {
            return Err(malformed(
                "it is an HDF5 file: are a model and a grid or snapshot mixed up?".to_owned(),
            ));
        }
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER.min(file_bytes - LENGTH_BYTES.min(file_bytes)) {
            return Err(malformed(format!("its header would have {length} bytes")));
        }
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header).map_err(failed)?;
        if !is_sealed(&header) {
            return Err(malformed("its header is not the one that was written".to_owned()));
        }
        let index: Index = serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
        let data = index.tensors().values().map(|tensor| tensor.data_offsets.1).max().unwrap_or(0);
        let expected = LENGTH_BYTES + length + data as u64;
        if header.len() as u64 != length || file_bytes != expected {
            return Err(malformed(format!("it has {file_bytes} bytes, its header promises {expected}")));
        }
        let shapes = index.tensors().into_iter().map(|(name, tensor)| (name, tensor.shape.clone())).collect();
        Ok(Self { metadata: index.metadata().clone().unwrap_or_default().into_iter().collect(), shapes })
    }
}
