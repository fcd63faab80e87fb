//! The run's log: one JSON object a line.

use crate::TrainingError;
use crate::tensor_file::write_atomically;
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Appends lines to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
}

impl Metrics {
    /// Opens the log at `path` and drops every line of a step after `step`, as well as a line cut short: a
    /// resumed run writes them again.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainingError> {
        let failed = |source| TrainingError::Write { path: path.into(), source };
        if path.exists() {
            let text = std::fs::read_to_string(path)
                .map_err(|source| TrainingError::Read { path: path.into(), source })?;
            let kept: String = text.lines().filter(|l| belongs(l, step)).map(|l| format!("{l}\n")).collect();
            write_atomically(path, |file| file.write_all(kept.as_bytes()))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.into(), file })
    }

    /// Appends one line.
    pub(crate) fn write(&mut self, line: &impl Serialize) -> Result<(), TrainingError> {
        let mut text = serde_json::to_string(line).expect("numbers and text are JSON");
        text.push('\n');
        let failed = |source| TrainingError::Write { path: self.path.clone(), source };
        self.file.write_all(text.as_bytes()).map_err(failed)
    }
}

fn belongs(line: &str, step: u64) -> bool {
    let parsed: Option<Value> = serde_json::from_str(line).ok();
    parsed.and_then(|v| v["step"].as_u64()).is_some_and(|found| found <= step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resuming_forgets_later_lines_and_a_line_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = Metrics::open(&path, 0).unwrap();
        (1..=4).for_each(|step| log.write(&json!({"step": step, "loss": 0.5})).unwrap());
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\": 2, \"lo").unwrap();
        let mut log = Metrics::open(&path, 2).unwrap();
        log.write(&json!({"step": 3, "loss": 0.25})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "{\"loss\":0.5,\"step\":1}\n{\"loss\":0.5,\"step\":2}\n{\"loss\":0.25,\"step\":3}\n";
        assert_eq!(text, expected);
    }
}
