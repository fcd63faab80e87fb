//! The pipeline is the folder list: the manifests may have the edges of the design, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which of our crates a crate uses.
const EDGES: [(&str, &[&str]); 17] = [
    ("durable", &[]),
    ("ranks", &[]),
    ("seed", &[]),
    ("field", &[]),
    ("snapshot", &["durable", "field"]),
    ("tng", &["durable", "field"]),
    ("mock", &["field", "seed", "snapshot", "spectra"]),
    ("spectra", &["durable", "field", "ranks", "seed"]),
    ("pairs", &["field", "seed", "snapshot"]),
    ("layers3d", &["seed"]),
    ("denoiser", &["layers3d", "seed", "diffusion"]),
    ("diffusion", &["seed"]),
    (
        "training",
        &["durable", "field", "seed", "pairs", "denoiser", "diffusion", "outpaint", "ranks", "spectra"],
    ),
    ("outpaint", &["durable", "field", "ranks", "seed", "diffusion"]),
    ("judge", &["field", "seed", "spectra"]),
    ("report", &["durable", "field", "judge"]),
    ("cli", &ALL_BUT_CLI),
];
const ALL_BUT_CLI: [&str; 16] = [
    "durable",
    "ranks",
    "tng",
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
    "judge",
    "report",
];
/// Libraries that only some crates may name.
const RESERVED: [(&str, &[&str]); 8] = [
    ("hdf5", &["snapshot"]),
    ("hdf5-metno-sys", &["snapshot"]),
    ("mpi", &["ranks"]),
    ("ureq", &["tng"]),
    ("zip", &["denoiser"]),
    ("ndarray-npy", &["snapshot", "denoiser"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
];
/// Crates of pure numbers, which know no tensors.
const WITHOUT_CANDLE: [&str; 8] = ["ranks", "seed", "field", "snapshot", "tng", "spectra", "judge", "report"];
/// What lies visibly at the top, beside folders that git ignores.
const TOP: [&str; 15] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "configs",
    "crates",
    "data",
    "docs",
    "examples",
    "scripts",
    "tests",
];
const TOOL_SETTINGS: [&str; 3] = ["clippy.toml", "deny.toml", "rustfmt.toml"];
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
        let used: BTreeSet<&str> =
            all[folder].iter().filter_map(|name| name.strip_prefix("finescale-")).collect();
        assert_eq!(used, allowed.iter().copied().collect(), "crates/{folder}");
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

/// What opens, makes, renames or removes files. `durable` alone does; tests may.
const WRITING: [&str; 15] = [
    "File::create",
    "OpenOptions",
    "fs::write",
    "fs::rename",
    "fs::copy",
    "fs::hard_link",
    "symlink",
    "create_dir",
    "remove_file",
    "remove_dir",
    "set_permissions",
    "set_len",
    "File::append",
    "open_rw",
    "create_excl",
];
/// Lines elsewhere that say one of these words, and why they may.
const MAY_WRITE: [(&str, &str); 8] = [
    // HDF5 makes its files itself, inside of a draft.
    ("snapshot/src/new_file.rs", "create_excl"),
    ("outpaint/src/store.rs", "finescale_durable::remove_file"),
    ("outpaint/src/condition.rs", "finescale_durable::remove_file"),
    ("cli/src/gridding/unfinished.rs", "finescale_durable::remove_file"),
    ("report/src/write.rs", "finescale_durable::remove_file"),
    ("outpaint/src/store/steps.rs", "finescale_durable::remove_file"),
    ("tng/src/leftovers.rs", "finescale_durable::remove_file"),
    ("tng/src/prefetch.rs", "finescale_durable::remove_file"),
];

/// Whether a line has a word that is no part of a longer one, such as `EventFile::create`.
fn says(line: &str, word: &str) -> bool {
    let begins = |(at, _): (usize, &str)| !line[..at].ends_with(|c: char| c.is_alphanumeric());
    line.match_indices(word).any(begins)
}

/// The Rust files of a folder, but for tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        path.extension().is_some_and(|ending| ending == "rs")
            && !name.ends_with("tests")
            && name != "fixtures"
    };
    let files = files.into_iter().filter(is_source);
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn there_is_one_way_to_write() {
    for (folder, _) in EDGES.iter().filter(|(folder, _)| *folder != "durable") {
        for path in sources(&root().join("crates").join(folder).join("src")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code = code.split("#[cfg(test)]\npub(crate) mod ").next().unwrap();
            for (number, line) in code.lines().enumerate() {
                let line = line.trim();
                let word = WRITING.iter().find(|word| says(line, word));
                let Some(word) = word.filter(|_| !line.starts_with("//")) else { continue };
                let may = MAY_WRITE.iter().any(|(file, what)| path.ends_with(file) && line.contains(what));
                assert!(may, "{}:{}: {word}: write through crates/durable", path.display(), number + 1);
            }
        }
    }
}
