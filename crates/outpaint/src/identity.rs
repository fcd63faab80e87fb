//! What a generation is of: resuming with anything else would mix two samples.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The entry of those who computed, one after another. They give the same sample, but not the same bits.
pub(crate) const PROGRAMS: &str = "programs";

/// Where two identities differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The dotted name of the entry, empty for the whole.
    pub what: String,
    /// Its value in the first one.
    pub expected: String,
    /// Its value in the other one.
    pub found: String,
}

/// How the sample of one identity differs from that of another one, if it does. Who computed it makes no other sample.
#[must_use]
pub fn sample_difference(expected: &Value, found: &Value) -> Option<Difference> {
    // The model first: it says how the condition is normalized.
    let model = |identity: &Value| json!({ "model": identity["model"] });
    difference(&model(expected), &model(found))
        .or_else(|| difference(&without_programs(expected), &without_programs(found)))
}

fn without_programs(identity: &Value) -> Value {
    let mut identity = identity.clone();
    identity.as_object_mut().and_then(|entries| entries.remove(PROGRAMS));
    identity
}

/// A short name of the sample of an identity, whoever computes it.
pub(crate) fn key(identity: &Value) -> String {
    hex::encode(Sha256::digest(without_programs(identity).to_string()))
}

/// How the program of `expected` differs from the last one that worked on `found`, if it does.
pub(crate) fn program_difference(expected: &Value, found: &Value) -> Option<Difference> {
    let last = |identity: &Value| identity[PROGRAMS].as_array().and_then(|all| all.last()).cloned();
    difference(&last(expected).unwrap_or_default(), &last(found).unwrap_or_default())
}

/// The identity of work that `found` began and `expected` goes on with.
pub(crate) fn continued(expected: &Value, found: &Value) -> Value {
    let all = |identity: &Value| identity[PROGRAMS].as_array().cloned().unwrap_or_default();
    let mut identity = expected.clone();
    identity[PROGRAMS] = [all(found), all(expected)].concat().into();
    identity
}

/// The first entry in which two identities, or two programs, differ.
#[must_use]
pub fn difference(expected: &Value, found: &Value) -> Option<Difference> {
    match (expected, found) {
        (expected, found) if expected == found => None,
        (Value::Object(ours), Value::Object(theirs)) => {
            let entry =
                |object: &Map<String, Value>, name: &str| object.get(name).cloned().unwrap_or_default();
            ours.keys().chain(theirs.keys()).find_map(|name| {
                let inner = difference(&entry(ours, name), &entry(theirs, name))?;
                let what =
                    if inner.what.is_empty() { name.clone() } else { format!("{name}.{}", inner.what) };
                Some(Difference { what, ..inner })
            })
        }
        (expected, found) => {
            Some(Difference { what: String::new(), expected: expected.to_string(), found: found.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_that_differs_is_named() {
        let first = json!({"a": 1, "b": {"c": [2], "d": "x"}});
        assert_eq!(difference(&first, &first), None);
        let named = |second| {
            let Difference { what, expected, found } = difference(&first, &second).unwrap();
            (what, expected, found)
        };
        let texts = |name: &str, expected: &str, found: &str| (name.into(), expected.into(), found.into());
        assert_eq!(named(json!({"a": 1, "b": {"c": [3], "d": "x"}})), texts("b.c", "[2]", "[3]"));
        assert_eq!(named(json!({"a": 1})), texts("b", r#"{"c":[2],"d":"x"}"#, "null"));
        assert_eq!(named(json!({"a": 1, "b": {"c": [2], "d": "x"}, "e": 0})), texts("e", "null", "0"));
        assert_eq!(named(json!([])).0, "");
    }

    #[test]
    fn programs_make_other_bits_but_no_other_sample() {
        let of = |programs: &[&str]| json!({"seed": 1, PROGRAMS: programs});
        let (avx, portable) = (of(&["avx"]), of(&["portable"]));
        assert_eq!(sample_difference(&avx, &portable), None);
        assert!(sample_difference(&avx, &json!({"seed": 2, PROGRAMS: ["avx"]})).is_some());
        assert!(program_difference(&avx, &portable).is_some());
        let both = continued(&avx, &portable);
        assert_eq!(both, of(&["portable", "avx"]));
        assert_eq!(program_difference(&avx, &both), None);
        assert!(program_difference(&portable, &both).is_some());
    }
}
