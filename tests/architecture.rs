//! The pipeline is the folder list: the manifests may have the edges of the design, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which of our crates a crate may use.
const EDGES: [(&str, &[&str]); 13] = [
    ("seed", &[]),
    ("field", &[]),
    ("snapshot", &["field"]),
    ("mock", &["field", "seed", "snapshot", "spectra"]),
    ("spectra", &["field", "seed"]),
    ("pairs", &["field", "seed", "snapshot"]),
    ("layers3d", &[]),
    ("denoiser", &["layers3d", "seed", "diffusion"]),
    ("diffusion", &["seed"]),
    ("training", &["field", "seed", "pairs", "denoiser", "diffusion", "outpaint", "spectra"]),
    ("outpaint", &["field", "seed", "snapshot", "diffusion"]),
    ("report", &["field", "seed", "spectra"]),
    ("cli", &ALL_BUT_CLI),
];
const ALL_BUT_CLI: [&str; 12] = [
    "seed",
    "field",
    "snapshot",
    "mock",
    "spectra",
    "pairs",
    "layers3d",
    "denoiser",
    "diffusion",
    "training",
    "outpaint",
    "report",
];
/// Libraries that only some crates may name.
const RESERVED: [(&str, &[&str]); 4] = [
    ("hdf5", &["snapshot"]),
    ("ndarray-npy", &["snapshot", "denoiser"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
];
/// Crates of pure numbers, which know no tensors.
const WITHOUT_CANDLE: [&str; 4] = ["seed", "field", "snapshot", "spectra"];
/// What lies visibly at the top, beside folders that git ignores.
const TOP: [&str; 10] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "configs",
    "crates",
    "data",
    "scripts",
    "tests",
];
const TOOL_SETTINGS: [&str; 2] = ["clippy.toml", "rustfmt.toml"];
const IGNORED: [&str; 3] = ["target", "runs", "report"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join("crates").join(folder).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap().parse().unwrap()
}

/// Names of all dependencies, of any kind.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(|targets| targets.as_table()) {
        tables.extend(targets.values().filter_map(|target| target.as_table()));
    }
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            names.extend(
                table.get(kind).and_then(|kind| kind.as_table()).into_iter().flat_map(|t| t.keys().cloned()),
            );
        }
    }
    names
}

fn all() -> BTreeMap<String, BTreeSet<String>> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    folders.map(|folder| (folder.clone(), dependencies(&manifest(&folder)))).collect()
}

#[test]
fn crates_use_only_what_the_design_says() {
    let all = all();
    let known: BTreeSet<&str> = EDGES.iter().map(|(folder, _)| *folder).collect();
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for (folder, allowed) in EDGES {
        for used in all[folder].iter().filter_map(|name| name.strip_prefix("finescale-")) {
            assert!(allowed.contains(&used), "crates/{folder} must not use crates/{used}");
        }
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    let all = all();
    for (library, allowed) in RESERVED {
        for (folder, _) in all.iter().filter(|(_, names)| names.contains(library)) {
            assert!(allowed.contains(&folder.as_str()), "crates/{folder} must not name {library}");
        }
    }
    for folder in WITHOUT_CANDLE {
        let candle = all[folder].iter().find(|name| name.starts_with("candle"));
        assert_eq!(candle, None, "crates/{folder} must not name candle");
    }
}

#[test]
fn names_and_lints_are_the_workspaces() {
    for (folder, _) in EDGES {
        let manifest = manifest(folder);
        let name = manifest["package"]["name"].as_str().unwrap();
        let expected = if folder == "cli" { "finescale".to_owned() } else { format!("finescale-{folder}") };
        assert_eq!(name, expected);
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "crates/{folder}");
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(
                manifest["package"][key]["workspace"].as_bool(),
                Some(true),
                "{key} of crates/{folder}"
            );
        }
    }
}

#[test]
fn the_top_holds_nothing_else() {
    let names =
        std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names.filter(|name| !name.starts_with('.')) {
        let known = [&TOP[..], &TOOL_SETTINGS, &IGNORED].concat();
        assert!(known.contains(&name.as_str()), "{name} does not belong at the top");
    }
    for name in TOP {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}
