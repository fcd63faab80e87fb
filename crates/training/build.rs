//! Writes down which commit the program was built from; outside a checkout it says "unknown" and never fails.
//!
//! "-dirty-" and a hash say that what is compiled differs from that commit, and tell such programs apart. It is
//! judged anew at each commit and whenever a file that is compiled changes, and by these files alone: what the
//! README or a test says does not change the program. A flag that were left out, or judged less often, would
//! ascribe results to a commit that does not give them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace, from this crate.
const ROOT: &str = "../..";
/// What the program is compiled from, for git: whatever lies in the crates but their tests, benches and
/// examples.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    ":(exclude,glob)crates/*/tests/**",
    ":(exclude,glob)crates/*/benches/**",
    ":(exclude,glob)crates/*/examples/**",
];
/// The same for cargo: what lies in a crate and is not one of these.
const BESIDE: [&str; 3] = ["tests", "benches", "examples"];

fn main() {
    println!("cargo:rerun-if-env-changed=FINESCALE_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let commit = std::env::var("FINESCALE_COMMIT").ok().or_else(checkout_commit);
    println!("cargo:rustc-env=FINESCALE_COMMIT={}", commit.unwrap_or_else(|| "unknown".into()));
}

/// The commit of the checkout that this is, and whether its sources were changed.
fn checkout_commit() -> Option<String> {
    // A folder inside of somebody else's repository has no commit of its own.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?; // grows with each commit
    for path in watched().ok()?.into_iter().chain([PathBuf::from(log)]) {
        println!("cargo:rerun-if-changed={}", Path::new(ROOT).join(path).display());
    }
    let commit = git(&["describe", "--always", "--abbrev=12"])?;
    let changes = git(&[&["diff", "HEAD", "--"], &SOURCES[..]].concat())?;
    if changes.is_empty() {
        return Some(commit);
    }
    // Two changed programs are to be told apart.
    let mut hash = DefaultHasher::new();
    changes.hash(&mut hash);
    Some(format!("{commit}-dirty-{:08x}", hash.finish() >> 32))
}

/// The files and folders of [`SOURCES`], from the top of the workspace.
fn watched() -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock"].map(PathBuf::from).to_vec();
    for folder in std::fs::read_dir(Path::new(ROOT).join("crates"))? {
        let folder = folder?;
        for entry in std::fs::read_dir(folder.path())? {
            let name = entry?.file_name();
            if !BESIDE.iter().any(|beside| name == *beside) {
                paths.push(Path::new("crates").join(folder.file_name()).join(name));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

/// What git says at the top of the workspace.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").current_dir(ROOT).arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    output.status.success().then_some(text)
}
