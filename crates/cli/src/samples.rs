//! Samples on disk: written, read back, and known again.

use crate::context::Context;
use crate::failure::bad_input;
use crate::files::{cannot_write, is_npy, is_there, sha256, with_ending};
use crate::parts::PART;
use anyhow::Context as _;
use finescale_field::Windows;
use finescale_outpaint::{Difference, difference, sample_difference};
use finescale_snapshot::{GridMeta, GridReader, GridWriter, write_npy_to};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The entry of a sample's provenance that says what it is of.
pub(crate) const IDENTITY: &str = "identity";

/// Writes a field and makes sure that it can be read again; `check` is asked before it gets its name. A numpy cube, which
/// holds values only, gets a file `NAME.npy.json` beside it that says what it is.
pub(crate) fn save(
    path: &Path,
    sample: &dyn Windows,
    meta: &GridMeta,
    check: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if !is_npy(path) {
        let mut writer = GridWriter::create(path, sample.grid(), meta).context("writing a grid")?;
        writer.write_all(sample).map_err(anyhow::Error::from_boxed).context("writing a grid")?;
        check()?;
        // Grid files are read back before they take their names.
        return writer.finish().context("writing a grid");
    }
    let mut hash = Sha256::new();
    let cube = finescale_durable::draft(path, |file| write_npy_to(Hashing { file, hash: &mut hash }, sample));
    let cube = cube.map_err(|error| cannot_write(path, &error))?;
    let (sha256, box_size) = (hex::encode(hash.finalize()), sample.grid().box_size_mpc_h());
    let described = json!({ "sha256": sha256, "box_size_mpc_h": box_size, "meta": meta });
    let description = description_of(path);
    let text = finescale_durable::draft(&description, |file| writeln!(file, "{described:#}"));
    let text = text.map_err(|error| cannot_write(&description, &error))?;
    check()?;
    // First what the cube is of, so that no kill leaves one that nobody knows.
    let named = finescale_durable::commit_together(vec![text, cube]);
    named.map_err(|(path, error)| cannot_write(&path, &error))
}

/// A writer that hashes what passes through it.
struct Hashing<'a, W> {
    file: W,
    hash: &'a mut Sha256,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Whether the fields of `expected` are in `outputs` already, whole; what is there of another sample or field is an error.
pub(crate) fn are_complete(outputs: &[PathBuf], expected: &[GridMeta]) -> anyhow::Result<bool> {
    let mut complete = true;
    for (output, expected) in outputs.iter().zip(expected) {
        if !is_there(output)? {
            complete = false;
            continue;
        }
        let (expected, found) = (read_again(expected), meta_of(output)?);
        let identity = |meta: &Value| meta["provenance"][IDENTITY].clone();
        let part = |meta: &Value| json!({ PART: meta["provenance"][PART] });
        let of_sample = sample_difference(&identity(&expected), &identity(&found))
            .or_else(|| difference(&part(&expected), &part(&found)));
        let other = of_sample.or_else(|| difference(&described(expected), &described(found)));
        if let Some(Difference { what, expected, found }) = other {
            let what = if what.is_empty() { "the identity" } else { &what };
            return Err(bad_input(format!(
                "{}: holds another sample: {what} is {found} there, and {expected} is asked for; choose another \
                 --output, or add --overwrite to replace it",
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
    for output in all {
        if is_there(&output)? {
            return Err(bad_input(format!(
                "{}: is there already; --resume checks that it is this sample and keeps it, --overwrite replaces it",
                output.display()
            )));
        }
    }
    Ok(())
}

/// Tells that nothing is left to do.
pub(crate) fn tell_complete(context: &Context, outputs: &[PathBuf]) {
    outputs.iter().for_each(|output| context.say(format_args!("{}: complete already", output.display())));
}

/// What is said of values, but for how they were made.
fn described(mut meta: Value) -> Value {
    meta.as_object_mut().and_then(|entries| entries.remove("provenance"));
    meta
}

/// As it comes back from a file, with numbers rounded by reading them from text.
fn read_again(meta: &GridMeta) -> Value {
    serde_json::from_str(&json!(meta).to_string()).expect("what was JSON a moment ago is JSON")
}

/// What a sample on disk is; reads all of it, so that damage is found.
fn meta_of(path: &Path) -> anyhow::Result<Value> {
    let meta = if is_npy(path) { meta_of_npy(path)? } else { meta_of_grid(path)? };
    match meta["provenance"].get(IDENTITY) {
        Some(identity) if identity.is_object() => Ok(meta),
        _ => Err(unknown(path, "it does not say which sample it is")),
    }
}

fn meta_of_grid(path: &Path) -> anyhow::Result<Value> {
    let reader = GridReader::open(path).map_err(|error| unknown(path, &error.to_string()))?;
    reader.check_values().map_err(|error| unknown(path, &error.to_string()))?;
    Ok(read_again(reader.meta()))
}

fn meta_of_npy(path: &Path) -> anyhow::Result<Value> {
    let beside = description_of(path);
    let text = finescale_durable::read_text(&beside)
        .map_err(|error| unknown(path, &format!("{}: {error}", beside.display())))?;
    let mut described: Value = serde_json::from_str(&text).unwrap_or_default();
    if described["sha256"].as_str() != Some(&sha256(path)?) {
        return Err(unknown(path, &format!("{} describes another file", beside.display())));
    }
    let meta = meta_from(described["meta"].take())
        .ok_or_else(|| unknown(path, &format!("{} does not describe it", beside.display())))?;
    Ok(read_again(&meta))
}

/// What is said beside a cube, and its box in Mpc/h; one that is about another cube is an error.
pub(crate) fn described_npy(path: &Path) -> anyhow::Result<Option<(GridMeta, [f64; 3])>> {
    let beside = description_of(path);
    if !is_there(&beside)? {
        return Ok(None);
    }
    let text = finescale_durable::read_text(&beside).with_context(|| beside.display().to_string())?;
    let mut described: Value = serde_json::from_str(&text).unwrap_or_default();
    // Indexing would take a list for a mistake of the program.
    let mut taken = |key: &str| described.get_mut(key).map(Value::take).unwrap_or_default();
    let box_size = serde_json::from_value(taken("box_size_mpc_h")).ok();
    let found = meta_from(taken("meta")).zip(box_size);
    if found.is_none() || described["sha256"].as_str() != Some(&sha256(path)?) {
        return Err(bad_input(format!(
            "{}: is not described by {}: one of them is damaged, or was changed; write it again, or remove the description \
             to have it taken for any cube",
            path.display(),
            beside.display()
        )));
    }
    Ok(found)
}

/// What a cube is, from JSON, which has no NaN.
fn meta_from(mut described: Value) -> Option<GridMeta> {
    let redshift = described.get("redshift")?.as_f64().unwrap_or(f64::NAN);
    described["redshift"] = json!(0.0);
    let meta: GridMeta = serde_json::from_value(described).ok()?;
    Some(GridMeta { redshift, ..meta }.with_entries_of_provenance())
}

fn unknown(path: &Path, why: &str) -> anyhow::Error {
    let path = path.display();
    bad_input(format!(
        "{path}: is there already, and is not known to be this sample ({why}); choose another --output, or add \
         --overwrite to replace it"
    ))
}

fn description_of(path: &Path) -> PathBuf {
    with_ending(path, ".json")
}
