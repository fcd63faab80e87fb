//! Files by their names and contents.

use crate::failure::bad_input;
use anyhow::Context;
use finescale_durable::Lock;
use finescale_snapshot::{GridReader, SnapshotError};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Writes `text` to `path`, making its folder if needed.
pub(crate) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    finescale_durable::write(path, |file| file.write_all(text.as_bytes()))
        .map_err(|error| cannot_write(path, &error))
}

/// Whether outputs that are there are replaced.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Overwrite {
    /// Replace outputs that are there
    #[arg(long)]
    pub(crate) overwrite: bool,
}

impl Overwrite {
    /// Checks that an output can be written, replaces none of the inputs, and nothing else that nobody wants replaced.
    pub(crate) fn check<'a>(
        self,
        path: &Path,
        inputs: impl IntoIterator<Item = &'a Path>,
    ) -> anyhow::Result<()> {
        check_output(path, inputs)?;
        if self.overwrite || !is_there(path)? {
            return Ok(());
        }
        Err(bad_input(format!(
            "{}: is there already; choose another --output, or add --overwrite to replace it",
            path.display()
        )))
    }
}

/// Whether a file is there; that nobody can tell is an error, not a no.
pub(crate) fn is_there(path: &Path) -> anyhow::Result<bool> {
    path.try_exists().with_context(|| format!("looking for {}", path.display()))
}

/// Checks that a grid of ours may have this name: it has an ending that says so, or none, and what is there is no HDF5 file
/// of somebody else.
pub(crate) fn check_grid_name(path: &Path) -> anyhow::Result<()> {
    const OTHERS: [&str; 8] = ["fits", "safetensors", "json", "csv", "txt", "npz", "png", "html"];
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let shown = path.display();
    if OTHERS.contains(&ending.as_str()) {
        return Err(bad_input(format!("{shown}: fields are written as .hdf5 or .npy; choose such a name")));
    }
    match GridReader::open(path) {
        Err(SnapshotError::NotAGrid { .. }) => Err(bad_input(format!(
            "{shown}: is an HDF5 file that finescale did not write, and is not replaced; choose another --output, or remove it \
             yourself"
        ))),
        _ => Ok(()),
    }
}

/// Checks that an output can be written and replaces none of the inputs, before the work for it begins.
pub(crate) fn check_output<'a>(
    path: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return Err(bad_input(
            "--output -: files are written whole or not at all, and so not to standard output; name a file, or ./- (spectrum \
             prints its table when there is no --output)",
        ));
    }
    if path.to_str().is_none() {
        return Err(bad_input(format!("{}: this name is no UTF-8; choose another --output", path.display())));
    }
    finescale_durable::refuse_inputs(path, inputs)
        .and_then(|()| finescale_durable::check_can_write(path))
        .map_err(|error| cannot_write(path, &error))
}

/// Whether a file is a numpy cube, by its name.
pub(crate) fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "npy")
}

/// Keeps other processes from the output of this name.
pub(crate) fn lock(output: &Path) -> anyhow::Result<Lock> {
    let output = finescale_durable::follow(output).map_err(|error| cannot_write(output, &error))?;
    let mut name = OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".lock");
    let path = output.with_file_name(name);
    Lock::acquire(&path).map_err(|error| match finescale_durable::is_busy(&error) {
        true => {
            let output = output.display();
            anyhow::anyhow!("{output}: {error}; wait for it, stop it, or choose another --output")
        }
        false => cannot_write(&path, &error),
    })
}

/// The error of a file that cannot be written, with the remedy.
pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> anyhow::Error {
    let text = format!("{}: cannot write: {error}; {}", path.display(), finescale_durable::remedy(error));
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => bad_input(text),
        _ => anyhow::anyhow!(text),
    }
}

/// The path with `ending` after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A file at one moment: whoever changes it changes this.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let found =
            std::fs::metadata(path).map_err(|error| bad_input(format!("{}: {error}", path.display())))?;
        if found.is_dir() {
            return Err(bad_input(format!("{}: is a folder; one file is needed", path.display())));
        }
        if !found.is_file() {
            return Err(bad_input(format!("{}: is no regular file", path.display())));
        }
        Ok(Self {
            identity: (found.dev(), found.ino()),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    /// The SHA-256 of the file, of which nothing has changed since the stamp was taken.
    pub(crate) fn sha256(&self, path: &Path) -> anyhow::Result<String> {
        let hash = sha256(path)?;
        self.check(path).map(|()| hash)
    }

    /// Checks that nothing of the file has changed since the stamp was taken.
    pub(crate) fn check(&self, path: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            Self::read(path)? == *self,
            "{}: changed while it was read; wait for whoever writes it, and run this again",
            path.display()
        );
        Ok(())
    }
}

/// The SHA-256 of a file's bytes in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> anyhow::Result<String> {
    let hash = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let (mut digest, mut bytes) = (Sha256::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut bytes)? {
                0 => break,
                count => digest.update(&bytes[..count]),
            }
        }
        Ok(hex::encode(digest.finalize()))
    };
    hash().with_context(|| format!("reading {}", path.display()))
}

/// Blocks of a file that are looked at, and bytes of each.
const BLOCKS: u64 = 64;
const BLOCK_BYTES: u64 = 4096;

/// What tells the bytes of files from those of others without reading all of them: the SHA-256 of their sizes, and of blocks from
/// their beginnings to their ends.
pub(crate) fn fingerprint<'a>(files: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for path in files {
        let mut add = || -> io::Result<()> {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            digest.update(bytes.to_le_bytes());
            let mut block = vec![0; BLOCK_BYTES as usize];
            for index in 0..BLOCKS {
                let last = bytes.saturating_sub(BLOCK_BYTES);
                let place = (u128::from(last) * u128::from(index) / u128::from(BLOCKS - 1)) as u64;
                let found = file.read_at(&mut block, place)?;
                digest.update(&block[..found]);
            }
            Ok(())
        };
        add().with_context(|| format!("reading {}", path.display()))?;
    }
    Ok(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert!(sha256(&path).unwrap().starts_with("ba7816bf8f01cfea414140de5dae2223b00361a3"));
        let stamp = Stamp::read(&path).unwrap();
        assert_eq!(stamp.sha256(&path).unwrap(), sha256(&path).unwrap());
        std::fs::write(&path, "abcd").unwrap();
        assert!(stamp.sha256(&path).unwrap_err().to_string().contains("changed while"));
        assert!(sha256(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
