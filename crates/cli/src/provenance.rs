//! How an output was made.

use serde_json::{Value, json};

/// The command line, the program's version and commit, and what `more` (an object) adds.
pub(crate) fn provenance(more: Value) -> Value {
    let words = std::env::args_os().skip(1);
    let command: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
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

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_can_be_pasted_into_a_shell() {
        assert_eq!(
            ["a/b-1.hdf5", "two words", "", "it's"].map(quoted),
            ["a/b-1.hdf5", "'two words'", "''", r"'it'\''s'"]
        );
    }
}
