//! The book's page about the configuration is made of the types that read it: it cannot be stale.
//!
//! `UPDATE_DOCS=1 cargo test --workspace --test integration configuration_reference` writes it anew.

use finescale_training::{RunConfig, TrainingError};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const HEAD: &str = "# Configuration

<!-- Made of the types in crates/ by tests/configuration_reference.rs: change their comments, not this page. -->

One JSON file says everything that makes a model: `finescale train FILE --dry-run` checks it and prints it with
all defaults. Its five parts are `data`, `network`, `diffusion`, `training` and `generation`; each must be
there, if only as `{}` where all of its keys have defaults. An unknown key, or one that is missing or out of
range, is an error that names it.

`configs/demo.json` is the shipped model's, `configs/small.json` is a good start for pairs of your own,
`configs/four_steps.json` distils, and `configs/tng300.json` is the paper's. [Training](training.md) shows the
optional keys at work, [Why these settings](ablations.md) what other values did.

A *cell* is a voxel of the pairs' common grid, in comoving Mpc/h the box over the cells of its side: 0.78 Mpc/h
in the mock universes (100 Mpc/h in 128 cells) and in TNG300 (205 in 264). A model has one voxel size, so its
lengths in cells are lengths in Mpc/h. An *update* is one step of the optimizer, a *patch* the cube that the
network sees, and sigma the ratio of noise to signal. 1 + δ is a density in units of its mean. `a.b` is the key
`b` in the object `a`, and `a[].b` that in each element of the list `a`.
";

/// The parts of a configuration, in the order of the files in configs/.
const PARTS: [&str; 5] = ["data", "network", "diffusion", "training", "generation"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A key of the configuration.
struct Key {
    /// `section.key.of[].nested`.
    path: String,
    schema: Value,
    required: bool,
}

fn schema() -> Value {
    let inline = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    inline.into_generator().into_root_schema_for::<RunConfig>().to_value()
}

/// What a value may be: one schema, or each of several. That it may be absent is said elsewhere.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let several = schema.get("oneOf").or(schema.get("anyOf")).and_then(Value::as_array);
    let all = several.map_or_else(|| vec![schema], |several| several.iter().collect());
    all.into_iter().filter(|one| one["type"] != "null").collect()
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// The keys of an object, each followed by those inside of it.
fn keys(prefix: &str, object: &Value, found: &mut Vec<Key>) {
    for (name, schema) in properties(object).into_iter().flatten() {
        let required = object["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
        let path = format!("{prefix}{name}");
        found.push(Key { path: path.clone(), schema: schema.clone(), required });
        for one in alternatives(schema) {
            keys(&format!("{path}."), one, found);
            for element in one.get("items").map(alternatives).into_iter().flatten() {
                keys(&format!("{path}[]."), element, found);
            }
        }
    }
}

/// Whether an object only says which alternative it is: `{"cosine": {..}}`.
fn tag(schema: &Value) -> Option<&str> {
    let (name, inner) = properties(schema).filter(|all| all.len() == 1)?.iter().next()?;
    properties(inner).map(|_| name.as_str())
}

fn allowed(schema: &Value) -> String {
    let texts: Vec<String> = alternatives(schema).into_iter().map(allowed_one).collect();
    texts.join(" or ")
}

fn allowed_one(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(tag) = tag(schema) {
        return format!("`{{\"{tag}\": {{..}}}}`");
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    match types[0].as_str().expect("a value without a type") {
        "array" if schema["minItems"] == schema["maxItems"] && !schema["minItems"].is_null() => {
            format!("list of {}, each {}", schema["minItems"], allowed(&schema["items"]))
        }
        "array" => {
            let least = schema["minItems"].as_u64().map(|least| format!(", at least {least}"));
            let most = schema["maxItems"].as_u64().map(|most| format!(", at most {most}"));
            let element = allowed(&schema["items"]);
            format!("list, each {element}{}{}", least.unwrap_or_default(), most.unwrap_or_default())
        }
        "object" => {
            let names: Vec<&str> =
                properties(schema).into_iter().flatten().map(|(name, _)| &**name).collect();
            format!("`{{{}}}`", names.join(", "))
        }
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        number => format!("{number}{}", bounds(schema)),
    }
}

fn bounds(schema: &Value) -> String {
    let text = |key: &str, sign: &str| schema.get(key).map(|bound| format!("{sign} {}", short(bound)));
    // What is above zero is also not below it, which is all that an unsigned type says.
    let least = text("exclusiveMinimum", ">").or_else(|| text("minimum", "≥"));
    let most = text("exclusiveMaximum", "<").or_else(|| text("maximum", "≤"));
    [least, most].into_iter().flatten().map(|bound| format!(", {bound}")).collect()
}

/// A number without decimals that say nothing.
fn short(number: &Value) -> String {
    let value = number.as_f64().expect("a bound is a number");
    if (1e-4..1e6).contains(&value) || value == 0.0 { value.to_string() } else { format!("{value:e}") }
}

/// What holds where a key is left out.
fn default(key: &Key) -> String {
    let schema = &key.schema;
    if let Some(absent) = schema["absent"].as_str() {
        return absent.to_owned();
    }
    match schema.get("default") {
        _ if key.required => "required".to_owned(),
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(Value::Object(_)) if properties(schema).is_some() => "that of its keys".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

/// The unit that a schema says, or else the name.
fn unit(key: &Key) -> &str {
    const NAMES: [(&str, &str); 6] = [
        ("cells", "cells"),
        ("_steps", "updates"),
        ("minutes", "minutes"),
        ("_patches", "patches"),
        ("_channels", "channels"),
        ("_sigma", "noise / signal"),
    ];
    let named = || NAMES.iter().find(|(ending, _)| key.path.ends_with(ending)).map(|(_, unit)| *unit);
    let counted = !matches!(key.schema["type"].as_str(), Some("boolean" | "object"));
    key.schema["unit"].as_str().or_else(named).filter(|_| counted).unwrap_or("")
}

/// A description as one line, without sources, and with links into the code as plain text.
fn prose(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text = text.split("\n#").next().unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(start) = line.find("[`") {
        let middle = start + line[start..].find("](").expect("the end of a link's text");
        let end = middle + line[middle..].find(')').expect("the end of a link");
        line = format!("{}{}{}", &line[..start], &line[start + 1..middle], &line[end + 1..]);
    }
    line.replace('|', "\\|")
}

/// What a key means, and what each value of an enumeration does.
fn meaning(key: &Key) -> String {
    let mut text = prose(&key.schema);
    assert!(!text.is_empty(), "{}: no comment", key.path);
    let elements = key.schema.get("items").map(alternatives);
    let all = elements.unwrap_or_else(|| alternatives(&key.schema));
    let several = all.len() > 1;
    for one in all.into_iter().filter(|one| several && one.get("description").is_some()) {
        write!(text, "<br>• {}: {}", allowed_one(one), prose(one)).unwrap();
    }
    text
}

fn page() -> String {
    let schema = schema();
    assert_eq!(properties(&schema).unwrap().len(), PARTS.len(), "a part without a section");
    let mut page = HEAD.to_owned();
    for name in PARTS {
        let part = &schema["properties"][name];
        write!(page, "\n## {name}\n\n{}\n\n", prose(part)).unwrap();
        page += "| key | allowed | default | unit | meaning |\n|---|---|---|---|---|\n";
        let mut found = Vec::new();
        keys("", part, &mut found);
        // The tags of enumerations stand with their keys.
        for key in found.iter().filter(|key| key.schema.get("description").is_some()) {
            let Key { path, schema, .. } = key;
            let (allowed, default) = (allowed(schema), default(key));
            let row = format!("| `{path}` | {allowed} | {default} | {} | {} |", unit(key), meaning(key));
            writeln!(page, "{}", row.replace("|  |", "| |")).unwrap();
        }
    }
    page
}

#[test]
fn the_page_is_that_of_the_types() {
    let path = root().join("docs/src/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let differs = committed.lines().zip(page.lines()).find(|(old, new)| old != new);
    assert!(committed == page, "{}: UPDATE_DOCS=1 writes it anew; {differs:?}", path.display());
}

/// The demo's configuration with every optional key, as far as they go together.
fn full() -> Value {
    let text = std::fs::read_to_string(root().join("configs/demo.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["data"]["surroundings_smoothing_cells"] = json!(8);
    config["data"]["scalars"] = json!([{"name": "redshift", "centre": 0.5, "width": 0.5}]);
    config["network"]["condition_channels"] = json!(4);
    config["diffusion"]["schedule"] = json!({"beta_start": 1e-6, "beta_end": 0.01, "steps": 50});
    config["training"]["spectrum"] = json!({"every_steps": 9, "cells": 64, "samples": 1});
    for pairs in ["training", "validation"] {
        let cubes = json!({"box_size_mpc_h": 25.0, "values": "delta", "index": 3, "redshift": 0.5});
        config["data"][pairs][0] = json!({"condition": "a.npy", "truth": "b.npy", "cubes": cubes});
    }
    config["generation"]["mass_guidance"] = json!({"smoothing_cells": 6.0});
    let resolved = load(&config).unwrap().resolved();
    serde_json::from_str(&resolved).unwrap()
}

fn load(config: &Value) -> Result<RunConfig, TrainingError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    RunConfig::load(&path)
}

/// Every key with its place in a configuration.
fn places() -> Vec<(Key, String)> {
    let mut found = Vec::new();
    keys("", &schema(), &mut found);
    let place = |key: &Key| format!("/{}", key.path.replace("[].", ".0.").replace('.', "/"));
    found
        .into_iter()
        .map(|key| {
            let place = place(&key);
            (key, place)
        })
        .collect()
}

#[test]
fn the_bounds_on_the_page_are_those_that_are_checked() {
    let full = full();
    let mut unseen = Vec::new();
    for (key, place) in places() {
        let number = |bound: &str| key.schema.get(bound).and_then(Value::as_f64);
        let least = number("minimum").filter(|_| number("exclusiveMinimum").is_none());
        let outside = [
            number("exclusiveMinimum"),
            number("exclusiveMaximum"),
            least.map(|least| least - 1.0),
            number("maximum").map(|most| 2.0 * most + 1.0),
        ];
        for value in outside.into_iter().flatten() {
            let mut config = full.clone();
            let Some(there) = config.pointer_mut(&place) else {
                unseen.push(key.path.clone());
                break;
            };
            let whole = there.is_u64() && value >= 0.0;
            *there = if whole { json!(value as u64) } else { json!(value) };
            assert!(load(&config).is_err(), "{} may be {value}", key.path);
        }
    }
    unseen.sort();
    let other = "generation.sampling.levels.schedule.";
    unseen.retain(|path| !path.starts_with(other));
    assert_eq!(unseen, ["generation.margin_cells", "training.minutes"]);
}

#[test]
fn every_choice_on_the_page_is_read() {
    let mut full = full();
    // Settings of one strategy only.
    for key in ["overlap_below_sigma", "mass_guidance"] {
        full["generation"].as_object_mut().unwrap().remove(key);
    }
    let mut choices = 0;
    for (key, place) in places() {
        for value in alternatives(&key.schema).into_iter().filter_map(|one| one.get("const")) {
            let mut config = full.clone();
            *config.pointer_mut(&place).unwrap() = value.clone();
            let read = load(&config);
            assert!(!matches!(read, Err(TrainingError::ConfigSyntax { .. })), "{}: {value}", key.path);
            choices += 1;
        }
    }
    assert!(choices > 10, "only {choices}");
}
