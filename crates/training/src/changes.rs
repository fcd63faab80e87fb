//! Settings of a resumed run that differ from those so far.

use crate::RunConfig;
use serde_json::{Value, json};

/// The settings of `now` that differ from those of the first `step` updates, and what each changes, one per line.
pub(crate) fn changes(before: &RunConfig, now: &RunConfig, step: u64) -> Vec<String> {
    let section = |config: &RunConfig| json!({"training": config.training, "generation": config.generation});
    let mut found = Vec::new();
    collect("", &section(before), &section(now), &mut found);
    let line = |(key, before, now): (String, String, String)| {
        format!("{key} was {before} in the first {step} updates, is {now}: {}", effect(&key))
    };
    found.into_iter().map(line).collect()
}

/// The entries that differ, each with its dotted key and both values.
fn collect(key: &str, before: &Value, now: &Value, found: &mut Vec<(String, String, String)>) {
    match (before, now) {
        (before, now) if before == now => {}
        (Value::Object(old), Value::Object(new)) => {
            let only_new = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(only_new) {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(&inner, &before[name], &now[name], found);
            }
        }
        (before, now) => found.push((key.to_owned(), text(before), text(now))),
    }
}

fn text(value: &Value) -> String {
    if value.is_null() { "absent".to_owned() } else { value.to_string() }
}

/// What a changed key changes from here on.
fn effect(key: &str) -> &'static str {
    let key = key.strip_prefix("training.").unwrap_or(key);
    match key.split('.').next().unwrap_or_default() {
        "steps" | "learning_rate" | "warm_up_steps" | "decay" => "further updates have another learning rate",
        "ema_decay" => "the average of the weights forgets at another rate",
        "validation_patches" => "validation losses before and after do not compare",
        "validate_every_steps" | "spectrum" | "save_every_minutes" | "gradient_checkpointing" => {
            "the weights stay the same"
        }
        "masks" => "further updates have other masks of known voxels",
        "generation" => match key.split('.').nth(1) {
            Some("overlap_cells" | "margin_cells") => {
                "samples have other windows, and further updates other masks unless `training.masks` says them"
            }
            _ => "the weights stay the same, samples are drawn otherwise",
        },
        _ => "further updates are others",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decay, SpectrumConfig, fixtures};

    #[test]
    fn every_changed_key_is_listed_with_what_it_changes() {
        let before = fixtures::config();
        assert_eq!(changes(&before, &before, 3), [""; 0]);
        let mut now = before.clone();
        now.training.steps = 9;
        now.training.batch_size = 4;
        now.training.decay = Decay::Constant;
        now.training.spectrum = Some(SpectrumConfig { every_steps: 2, cells: 8, samples: 1 });
        now.generation.seed += 1;
        let found = changes(&before, &now, 3);
        let starts = [
            "generation.seed was 0 in the first 3 updates, is 1: the weights stay the same",
            "training.batch_size was 2 in the first 3 updates, is 4: further updates are others",
            "training.decay was {\"cosine\":{\"floor\":0.1}} in the first 3 updates, is \"constant\": further",
            "training.spectrum was absent in the first 3 updates, is {\"cells\":8,",
            "training.steps was 6 in the first 3 updates, is 9: further updates have another learning rate",
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}
