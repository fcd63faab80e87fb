//! How an output was made.

use serde_json::{Value, json};

/// The command line, the program's version and commit, and what `more` (an object) adds.
pub(crate) fn provenance(more: Value) -> Value {
    let words = std::env::args_os().skip(1);
    let command: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut provenance = json!({
        "command": format!("finescale {}", command.join(" ")),
        "version": env!("CARGO_PKG_VERSION"),
        "commit": finescale_training::COMMIT,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut provenance, more) {
        all.extend(more);
    }
    provenance
}
