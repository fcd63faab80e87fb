//! Samples on disk: written, read back, and known again.

use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::{self, is_npy};
use crate::files::{hex, sha256, with_ending, write_text};
use anyhow::Context as _;
use finescale_outpaint::{Difference, sample_difference};
use finescale_snapshot::{GridFile, GridReader, write_npy_to};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The entry of a sample's provenance that says what it is of.
pub(crate) const IDENTITY: &str = "identity";

/// Writes a sample and makes sure that it can be read again. A numpy cube, which holds values only, gets a file
/// `NAME.npy.json` beside it that says what it is.
pub(crate) fn save(path: &Path, sample: &GridFile) -> anyhow::Result<()> {
    if !is_npy(path) {
        // Grid files are read back before they take their names.
        return fields::save(path, sample);
    }
    // First what the cube is of, so that no kill leaves one that nobody knows.
    let mut hashing = Hashing(Sha256::new());
    write_npy_to(&mut hashing, &sample.field).context("hashing a sample")?;
    let hash = hex(&hashing.0.finalize());
    let beside = json!({ "sha256": hash, "meta": sample.meta });
    write_text(&description_of(path), &format!("{beside:#}\n"))?;
    fields::save(path, sample)?;
    anyhow::ensure!(
        sha256(path)? == hash,
        "{}: what was read back is not what was written; is the disk sound?",
        path.display()
    );
    Ok(())
}

/// A writer that keeps nothing but a hash.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether the sample of `identity` is in `outputs` already, whole; what is there of another one is an error.
pub(crate) fn are_complete(outputs: &[PathBuf], identity: &Value) -> anyhow::Result<bool> {
    let mut complete = true;
    for output in outputs {
        if !output.exists() {
            complete = false;
            continue;
        }
        let found = identity_of(output)?;
        if let Some(Difference { what, expected, found }) = sample_difference(identity, &found) {
            let what = if what.is_empty() { "the identity" } else { &what };
            return Err(bad_input(format!(
                "{}: holds another sample: {what} is {found} there, and {expected} is asked for; choose another \
                 --output, or --overwrite",
                output.display()
            )));
        }
    }
    Ok(complete)
}

/// The files of one field of a sample.
pub(crate) fn files_of(output: &Path) -> Vec<PathBuf> {
    let description = is_npy(output).then(|| description_of(output));
    [output.to_owned()].into_iter().chain(description).collect()
}

/// Refuses to replace what is there.
pub(crate) fn refuse_existing(outputs: &[PathBuf]) -> anyhow::Result<()> {
    let all = outputs.iter().flat_map(|output| files_of(output));
    let Some(output) = all.into_iter().find(|file| file.exists()) else { return Ok(()) };
    let output = output.display();
    Err(bad_input(format!(
        "{output}: is there already; --resume checks that it is this sample and keeps it, --overwrite replaces it"
    )))
}

/// Tells that nothing is left to do.
pub(crate) fn tell_complete(context: &Context, outputs: &[PathBuf]) {
    outputs.iter().for_each(|output| context.say(format_args!("{}: complete already", output.display())));
}

/// What a sample on disk is of; reads all of it, so that damage is found.
fn identity_of(path: &Path) -> anyhow::Result<Value> {
    let provenance = if is_npy(path) { provenance_of_npy(path)? } else { provenance_of_grid(path)? };
    match provenance.get(IDENTITY) {
        Some(identity) if identity.is_object() => Ok(identity.clone()),
        _ => Err(unknown(path, "it does not say which sample it is")),
    }
}

fn provenance_of_grid(path: &Path) -> anyhow::Result<Value> {
    let reader = GridReader::open(path).map_err(|error| unknown(path, &error.to_string()))?;
    let provenance = reader.meta().provenance.clone();
    reader.check_values().map_err(|error| unknown(path, &error.to_string()))?;
    Ok(provenance)
}

fn provenance_of_npy(path: &Path) -> anyhow::Result<Value> {
    let beside = description_of(path);
    let text = std::fs::read_to_string(&beside)
        .map_err(|error| unknown(path, &format!("{}: {error}", beside.display())))?;
    let described: Value = serde_json::from_str(&text).unwrap_or_default();
    if described["sha256"].as_str() != Some(&sha256(path)?) {
        return Err(unknown(path, &format!("{} describes another file", beside.display())));
    }
    Ok(described["meta"]["provenance"].clone())
}

fn unknown(path: &Path, why: &str) -> anyhow::Error {
    let path = path.display();
    bad_input(format!(
        "{path}: is there already, and is not known to be this sample ({why}); choose another --output, or --overwrite"
    ))
}

fn description_of(path: &Path) -> PathBuf {
    with_ending(path, ".json")
}
