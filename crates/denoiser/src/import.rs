//! Networks saved by the reference.

use crate::pickle::{self, LONGEST_INDEX, StoredTensor, short};
use crate::{DenoiserError, NetworkConfig, Parameters};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// What the reference calls its network; tensors outside it (the schedule) are not read.
const PREFIX: &str = "denoise_fn.";
/// The member of the archive that says which tensors there are.
const INDEX: &str = "data.pkl";

type Archive = ZipArchive<BufReader<File>>;

/// Reads the parameters of a network saved by the reference (PyTorch's zip format, `*_Network.pth`). No code of the
/// file runs, and no value is read before all names and shapes are those of the network.
///
/// # Errors
/// [`DenoiserError::File`], which names the file, around [`DenoiserError::Checkpoint`] or
/// [`DenoiserError::NotAReference`] if it holds another thing, the errors of [`Parameters::from_tensors`] if it holds
/// another network, or what reading it met.
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
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| malformed(error.to_string()))?;
    let (folder, index) = read_index(&mut archive)?;
    check_byte_order(&mut archive, &folder)?;
    let stored = pickle::tensors(&index).map_err(malformed)?;
    let in_network = |(name, tensor): (String, StoredTensor)| {
        Some((unwrapped(&name).strip_prefix(PREFIX)?.to_owned(), tensor))
    };
    let stored: BTreeMap<String, StoredTensor> = stored.into_iter().filter_map(in_network).collect();
    if stored.is_empty() {
        return Err(DenoiserError::NotAReference);
    }
    config.check_shapes(stored.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in stored {
        let values = read_values(&mut archive, &folder, &tensor, file_bytes)
            .map_err(|problem| malformed(format!("{}: {problem}", short(&name))))?;
        let values = Tensor::from_raw_buffer(&values, tensor.dtype, &tensor.shape, &Device::Cpu)?;
        let numbers = values.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(malformed(format!("{} has values that are no finite numbers", short(&name))));
        }
        tensors.insert(name, values);
    }
    Parameters::from_tensors(config, tensors, device)
}

/// A name without what DataParallel and torch.compile put before those of the network that they wrap.
fn unwrapped(name: &str) -> &str {
    const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
    let mut inner = name;
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| inner.strip_prefix(wrapper)) {
        inner = rest;
    }
    inner
}

/// PyTorch writes down the byte order since 2.1; before, and here, it is that of almost all machines.
fn check_byte_order(archive: &mut Archive, folder: &str) -> Result<(), DenoiserError> {
    let Ok(member) = archive.by_name(&format!("{folder}/byteorder")) else { return Ok(()) };
    let mut order = String::new();
    member.take(10).read_to_string(&mut order).map_err(|error| malformed(format!("byteorder: {error}")))?;
    match order.trim() {
        "little" => Ok(()),
        other => Err(malformed(format!("its byte order is {}, only little is read", short(other)))),
    }
}

fn malformed(problem: String) -> DenoiserError {
    DenoiserError::Checkpoint { problem }
}

/// The index and the folder of the archive that it lies in.
fn read_index(archive: &mut Archive) -> Result<(String, Vec<u8>), DenoiserError> {
    let found = archive.file_names().find_map(|name| {
        let name = name.ok()?.into_owned();
        let folder = name.strip_suffix(INDEX)?.strip_suffix('/')?;
        (!folder.contains('/')).then(|| folder.to_owned())
    });
    let folder = found.ok_or(DenoiserError::NotAReference)?;
    let member =
        archive.by_name(&format!("{folder}/{INDEX}")).map_err(|error| malformed(error.to_string()))?;
    let mut index = Vec::new();
    member.take(LONGEST_INDEX + 1).read_to_end(&mut index).map_err(|error| malformed(error.to_string()))?;
    if index.len() as u64 > LONGEST_INDEX {
        return Err(malformed(format!("its index has more than {LONGEST_INDEX} bytes")));
    }
    Ok((folder, index))
}

/// The bytes of a tensor's values.
fn read_values(
    archive: &mut Archive,
    folder: &str,
    tensor: &StoredTensor,
    file_bytes: u64,
) -> Result<Vec<u8>, String> {
    let (count, width) = (tensor.values()?, tensor.dtype.size_in_bytes());
    let name = format!("{folder}/data/{}", tensor.storage);
    let mut member = archive.by_name(&name).map_err(|error| format!("{}: {error}", short(&name)))?;
    let bytes = |values: usize| values.checked_mul(width).ok_or_else(|| "too many values".to_owned());
    let (skipped, needed) = (bytes(tensor.offset)?, bytes(count)?);
    let end = (skipped as u64).saturating_add(needed as u64);
    if end > member.size().min(file_bytes) {
        return Err(format!(
            "{} has {} bytes, {end} are needed",
            short(&name),
            member.size().min(file_bytes)
        ));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", short(&name));
    std::io::copy(&mut member.by_ref().take(skipped as u64), &mut std::io::sink()).map_err(failed)?;
    let mut values = vec![0; needed];
    member.read_exact(&mut values).map_err(failed)?;
    // To its end, where its checksum is.
    std::io::copy(&mut member, &mut std::io::sink()).map_err(failed)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wrapped_networks_are_those_of_the_network() {
        for name in ["denoise_fn.x", "module.denoise_fn.x", "_orig_mod.module._orig_mod.denoise_fn.x"] {
            assert_eq!(unwrapped(name), "denoise_fn.x");
        }
    }
    use crate::fixtures::tiny;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    /// What a checkpoint says whose index is `index` and which has one storage of 16 bytes.
    fn refused(index: &[u8]) -> DenoiserError {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pth");
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in [("archive/data.pkl", index), ("archive/data/0", &[0; 16])] {
            archive.start_file(name, stored).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        match import_reference(&path, &tiny(), &Device::Cpu) {
            Err(DenoiserError::File { path: named, source }) if named == path => *source,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn indexes_of_any_depth_and_length_are_refused() {
        for index in [
            [&[0x85; 2_000_000], b".".as_slice()].concat(),
            [b"N".as_slice(), &[0x85; 2_000_000], b"."].concat(),
            vec![b'N'; LONGEST_INDEX as usize + 1],
            b"}.".repeat(3)[1..].to_vec(),
        ] {
            let error = refused(&index);
            assert!(matches!(error, DenoiserError::Checkpoint { .. }), "{error}");
        }
        assert!(matches!(refused(b"}."), DenoiserError::NotAReference));
    }

    #[test]
    fn shapes_are_compared_before_values_are_read() {
        // A tensor of 2^60 values, whose storage says it has them.
        let many = b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x10".as_slice();
        let index = |name: &str| {
            let text =
                |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
            let storage = [
                b"(".as_slice(),
                &text("storage"),
                b"ctorch\nFloatStorage\n",
                &text("0"),
                &text("cpu"),
                many,
                b"tQ",
            ]
            .concat();
            let tensor = [
                b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
                &storage,
                b"K\x00",
                many,
                b"\x85K\x01\x85\x89NtR",
            ];
            [b"\x80\x02}".as_slice(), &text(name), &tensor.concat(), b"s."].concat()
        };
        let error = refused(&index("denoise_fn.cond_embed.0.bias"));
        assert!(
            matches!(&error, DenoiserError::ParameterShape { found, .. } if found == &[1 << 60]),
            "{error}"
        );
        let error = refused(&index("denoise_fn.\u{1b}[31m"));
        assert!(matches!(error, DenoiserError::MissingParameter { .. }), "{error}");
    }
}
