//! What a generation is of: resuming with anything else would mix two samples.

use crate::journal::hex;
use crate::{Job, OutpaintError};
use finescale_field::Field3;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Everything that the bits of the result depend on, as a flat JSON object.
pub(crate) fn identity(job: &Job) -> Result<Value, OutpaintError> {
    Ok(json!({
        "format": "finescale-generation",
        "version": 5,
        "model": job.model_hash,
        "condition": job.condition.iter().map(hash).collect::<Vec<_>>(),
        "region": job.region,
        "given": job.given_density()?.map(|fields| fields.iter().map(hash).collect::<Vec<_>>()),
        "boundary": job.boundary,
        "window_cells": job.window_cells,
        "generation": job.config,
    }))
}

fn hash(field: &Field3) -> String {
    let mut hash = Sha256::new();
    let grid = field.grid();
    hash.update(format!("{:?} {:?}", grid.cells(), grid.box_size_mpc_h()));
    for value in field.as_slice() {
        hash.update(value.to_le_bytes());
    }
    hex(&hash.finalize())
}

/// The first entry that differs: its dotted name (empty for the whole), the value expected and the value found.
pub(crate) fn difference(expected: &Value, found: &Value) -> Option<(String, String, String)> {
    match (expected, found) {
        (expected, found) if expected == found => None,
        (Value::Object(ours), Value::Object(theirs)) => {
            let entry =
                |object: &Map<String, Value>, name: &str| object.get(name).cloned().unwrap_or_default();
            ours.keys().chain(theirs.keys()).find_map(|name| {
                let (inner, expected, found) = difference(&entry(ours, name), &entry(theirs, name))?;
                let name = if inner.is_empty() { name.clone() } else { format!("{name}.{inner}") };
                Some((name, expected, found))
            })
        }
        (expected, found) => Some((String::new(), expected.to_string(), found.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_that_differs_is_named() {
        let first = json!({"a": 1, "b": {"c": [2], "d": "x"}});
        assert_eq!(difference(&first, &first), None);
        let named = |second| difference(&first, &second).unwrap();
        let texts = |name: &str, expected: &str, found: &str| (name.into(), expected.into(), found.into());
        assert_eq!(named(json!({"a": 1, "b": {"c": [3], "d": "x"}})), texts("b.c", "[2]", "[3]"));
        assert_eq!(named(json!({"a": 1})), texts("b", r#"{"c":[2],"d":"x"}"#, "null"));
        assert_eq!(named(json!({"a": 1, "b": {"c": [2], "d": "x"}, "e": 0})), texts("e", "null", "0"));
        assert_eq!(named(json!([])).0, "");
    }
}
