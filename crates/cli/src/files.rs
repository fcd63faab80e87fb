//! Text files that appear under their name only when they are whole, and what files hold.

use anyhow::Context;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Writes `text` to `path`, making its folder if needed.
pub(crate) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    let partial = with_ending(path, ".partial");
    let folder = path.parent().unwrap_or(Path::new(""));
    let made = if folder.as_os_str().is_empty() { Ok(()) } else { std::fs::create_dir_all(folder) };
    let written =
        made.and_then(|()| std::fs::write(&partial, text)).and_then(|()| std::fs::rename(&partial, path));
    written
        .inspect_err(|_| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&partial);
        })
        .with_context(|| format!("writing {}", path.display()))
}

/// The path with `ending` after its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
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
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    hash().with_context(|| format!("reading {}", path.display()))
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
        assert!(sha256(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
