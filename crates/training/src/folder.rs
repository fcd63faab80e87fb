//! The folder of a run: its files, and who may work in it.

use crate::TrainingError;
use finescale_durable::Lock;
use std::path::{Path, PathBuf};

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const METRICS: &str = "metrics.jsonl";
pub(crate) const STATE: &str = "state.safetensors";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const BEST: &str = "best.safetensors";
const LOCK: &str = "lock";
/// What tells that a folder holds a run.
const FILES: [&str; 5] = [STATE, MODEL, BEST, METRICS, CONFIG];

/// Whether the folder `out` holds a state to resume from.
#[must_use]
pub fn is_resumable(out: &Path) -> bool {
    // Whoever cannot tell finds out by trying.
    out.join(STATE).try_exists().unwrap_or(true)
}

/// The folder of a run.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Nobody else works in the folder; a new run's is there once it was claimed.
    lock: Option<Lock>,
}

impl RunFolder {
    /// A folder for a new run. Nothing is made before [`claim`](Self::claim).
    ///
    /// # Errors
    /// [`TrainingError::RunExists`] if there is a run already, [`TrainingError::Write`] if there could be none.
    pub(crate) fn for_new_run(path: &Path) -> Result<Self, TrainingError> {
        check_no_run(path)?;
        refuse_links(path)?;
        finescale_durable::check_can_write(&path.join(STATE)).map_err(cannot_write(path))?;
        Ok(Self { path: path.into(), lock: None })
    }

    /// The folder of a run that is to go on, locked if it `is_ours`: it is rank 0's.
    ///
    /// # Errors
    /// [`TrainingError::Read`] if there is none, [`TrainingError::Busy`] if another process works on it.
    pub(crate) fn for_resuming(path: &Path, is_ours: bool) -> Result<Self, TrainingError> {
        if !path.is_dir() {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(TrainingError::Read { path: path.join(STATE), source });
        }
        let lock = is_ours.then(|| acquire(path)).transpose()?;
        refuse_links(path)?;
        Ok(Self { path: path.into(), lock })
    }

    /// Makes and locks the folder of a new run, if it is one. Whether it is.
    ///
    /// # Errors
    /// [`TrainingError::RunExists`] or [`TrainingError::Busy`] if another process was faster.
    pub(crate) fn claim(&mut self) -> Result<bool, TrainingError> {
        if self.lock.is_some() {
            return Ok(false);
        }
        self.lock = Some(acquire(&self.path)?);
        check_no_run(&self.path)?;
        Ok(true)
    }

    /// Checks that nobody moved or removed the folder since it was locked.
    ///
    /// # Errors
    /// [`TrainingError::Moved`].
    pub(crate) fn check_in_place(&self) -> Result<(), TrainingError> {
        let moved = |source| TrainingError::Moved { path: self.path.clone(), source };
        self.lock.as_ref().map_or(Ok(()), |lock| lock.check().map_err(moved))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn acquire(folder: &Path) -> Result<Lock, TrainingError> {
    let path = folder.to_owned();
    Lock::acquire(&folder.join(LOCK)).map_err(|source| match finescale_durable::is_busy(&source) {
        true => TrainingError::Busy { path, source },
        false => TrainingError::Write { path, source },
    })
}

fn refuse_links(folder: &Path) -> Result<(), TrainingError> {
    finescale_durable::refuse_links(folder, FILES.iter().map(Path::new)).map_err(cannot_write(folder))
}

fn check_no_run(folder: &Path) -> Result<(), TrainingError> {
    for name in FILES {
        let path = folder.join(name);
        if path.try_exists().map_err(|source| TrainingError::Read { path, source })? {
            return Err(TrainingError::RunExists { path: folder.into(), name });
        }
    }
    Ok(())
}

fn cannot_write(path: &Path) -> impl Fn(std::io::Error) -> TrainingError {
    move |source| TrainingError::Write { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_makes_its_folder_when_it_is_claimed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let mut folder = RunFolder::for_new_run(&path).unwrap();
        let mut late = RunFolder::for_new_run(&path).unwrap();
        assert!(!path.exists(), "a plan writes nothing");
        assert!(folder.claim().unwrap() && !folder.claim().unwrap());
        assert!(matches!(late.claim(), Err(TrainingError::Busy { .. })));
        std::fs::write(folder.file(STATE), "").unwrap();
        drop(folder);
        assert!(matches!(late.claim(), Err(TrainingError::RunExists { name: STATE, .. })));
    }

    #[test]
    fn a_folder_that_could_not_be_made_is_told_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(RunFolder::for_new_run(&file.join("run")).is_err());
        assert!(matches!(RunFolder::for_resuming(&file.join("run"), true), Err(TrainingError::Read { .. })));
    }
}
