//! Where an output goes, and what it must not replace.

use std::collections::BTreeSet;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Links that are followed one after another, as Linux does.
const MOST_LINKS: usize = 40;

/// A file that may be written: not there yet, or a regular one.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its own path, where links lead.
    pub(crate) path: PathBuf,
    /// The file that is to be replaced.
    pub(crate) existing: Option<Metadata>,
}

impl Target {
    /// Follows links from `path`, and refuses what is no file, or one that may not be written.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let ends_as_folder = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
        if path.file_name().is_none() || ends_as_folder {
            return Err(refusal(ErrorKind::InvalidInput, "names no file"));
        }
        let path = follow(path)?;
        let existing = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(found?),
        };
        if let Some(metadata) = &existing {
            if metadata.is_dir() {
                return Err(refusal(ErrorKind::IsADirectory, "is a folder, not a file"));
            }
            if !metadata.is_file() {
                return Err(refusal(
                    ErrorKind::InvalidInput,
                    "is no regular file (a device, a pipe or a socket)",
                ));
            }
            if path.canonicalize().is_ok_and(|path| sources().contains(&path)) {
                return Err(refusal(ErrorKind::InvalidInput, "is an input, by way of a virtual dataset"));
            }
            // A rename would replace a write-protected file without a word.
            OpenOptions::new().write(true).open(&path)?;
        }
        Ok(Self { path, existing })
    }
}

/// Files that inputs were found to take values from.
static SOURCES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn sources() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps this process from replacing a file that an input was found to take values from.
pub fn keep(source: &Path) {
    if let Ok(path) = source.canonicalize() {
        sources().insert(path);
    }
}

/// Where links lead from `path`, there or not.
///
/// # Errors
/// Those of the system, and [`ErrorKind::InvalidInput`] for links that lead to themselves.
pub fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // A relative link starts from its own folder; an absolute one replaces the path.
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            // No link, or nothing at all.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refusal(ErrorKind::InvalidInput, "is a link that leads to itself"))
}

fn refusal(kind: ErrorKind, text: &str) -> io::Error {
    io::Error::new(kind, text)
}

/// Whether two paths lead to one existing file.
#[must_use]
pub fn same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(a).is_some_and(|a| identity(b) == Some(a))
}

/// Refuses an output that is one of the inputs, whatever its name.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] names the input.
pub fn refuse_inputs<'a>(output: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
    match inputs.into_iter().find(|input| same_file(output, input)) {
        None => Ok(()),
        Some(input) => {
            let text = format!("would replace the input {}", input.display());
            Err(refusal(ErrorKind::InvalidInput, &text))
        }
    }
}

/// Refuses links under `names` in a folder of ours, whatever they lead to: what is written there must stay there.
///
/// # Errors
/// Those of the system, and [`ErrorKind::InvalidInput`] names the link.
pub fn refuse_links<'a>(folder: &Path, names: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
    for name in names {
        match fs::symlink_metadata(folder.join(name)) {
            Ok(found) if found.is_symlink() => {
                let text =
                    format!("{} is a link in it, and would be written through; remove it", name.display());
                return Err(refusal(ErrorKind::InvalidInput, &text));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_to_their_files_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("scratch")).unwrap();
        symlink("scratch/file", at("link")).unwrap();
        symlink(at("link"), at("second")).unwrap();
        for name in ["link", "second"] {
            let target = Target::new(&at(name)).unwrap();
            assert_eq!(target.path, at("scratch/file"), "{name}");
            assert!(target.existing.is_none());
        }
        fs::write(at("scratch/file"), "").unwrap();
        assert!(Target::new(&at("second")).unwrap().existing.is_some());
        symlink("round", at("round")).unwrap();
        assert_eq!(Target::new(&at("round")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn folders_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Target::new(folder.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        for path in ["/dev/null", "..", "/", "new/", "new.hdf5/"] {
            assert_eq!(Target::new(Path::new(path)).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn an_input_is_known_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("input"), "").unwrap();
        fs::hard_link(at("input"), at("hard")).unwrap();
        symlink("input", at("soft")).unwrap();
        let (input, other) = (at("input"), at("other"));
        for name in ["input", "hard", "soft", "../input"] {
            let output = if name == "../input" { folder.path().join("./input") } else { at(name) };
            let error = refuse_inputs(&output, [other.as_path(), &input]).unwrap_err();
            assert!(error.to_string().contains("input"), "{error}");
        }
        refuse_inputs(&at("new"), [input.as_path(), &other]).unwrap();
    }
}
