//! The run's log: one JSON object a line.

use crate::TrainingError;
use crate::patient_log::PatientLog;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Appends lines to `metrics.jsonl`.
#[derive(Debug)]
pub(crate) struct Metrics {
    log: PatientLog,
}

impl Metrics {
    /// Opens the log at `path` and drops every line of a step after `step`, as well as a line cut short: a
    /// resumed run writes them again. Before its first update, a run has yet to write all.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, TrainingError> {
        let (mut log, bytes) = PatientLog::open(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let kept: String = text.lines().filter(|l| belongs(l, step)).map(|l| format!("{l}\n")).collect();
        if bytes.starts_with(kept.as_bytes()) {
            log.truncate(kept.len())?;
        } else {
            drop(log);
            crate::tensor_file::write_atomically(path, |file| file.write_all(kept.as_bytes()))?;
            (log, _) = PatientLog::open(path)?;
        }
        Ok(Self { log })
    }

    /// Appends one line, now or when there is room again.
    pub(crate) fn write(&mut self, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("numbers and text are JSON");
        self.log.append(format!("{text}\n").as_bytes());
    }

    /// Waits until the lines survive a power cut.
    pub(crate) fn sync(&mut self) {
        self.log.sync();
    }
}

fn belongs(line: &str, step: u64) -> bool {
    let parsed: Option<Value> = serde_json::from_str(line).ok();
    parsed.and_then(|v| v["step"].as_u64()).is_some_and(|found| step > 0 && found <= step)
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
        (1..=4).for_each(|step| log.write(&json!({"step": step, "loss": 0.5})));
        drop(log);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\": 2, \"lo").unwrap();
        let mut log = Metrics::open(&path, 2).unwrap();
        log.write(&json!({"step": 3, "loss": 0.25}));
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "{\"loss\":0.5,\"step\":1}\n{\"loss\":0.5,\"step\":2}\n{\"loss\":0.25,\"step\":3}\n";
        assert_eq!(text, expected);
    }
}
