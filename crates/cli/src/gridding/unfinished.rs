//! What is kept of a gridding that is not done, so that a killed one goes on.

use super::sums::Sums;
use crate::context::Context;
use crate::failure::bad_input;
use crate::files::{cannot_write, with_ending};
use anyhow::Context as _;
use finescale_field::Depositor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Sums that are written or read at once.
const BLOCK: usize = 1 << 16;
/// Times longer than writing takes that passes before it is done again: it then costs a twentieth.
const REST: u32 = 20;
/// The longest first line.
const LONGEST_LINE: u64 = 1 << 24;

/// The file beside an output that keeps the sums over the snapshot's first files.
pub(crate) struct Unfinished {
    path: PathBuf,
    /// What is gridded, and how: only the same goes on.
    identity: Value,
    /// Time between two writes, at least.
    every: Duration,
    last: Instant,
    took: Duration,
    /// What is known of the snapshot when its first file is there.
    pub(super) snapshot: Value,
    has_failed: bool,
}

/// The first line of the file; the sums follow.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    identity: Value,
    /// What was known of the snapshot.
    snapshot: Value,
    /// Of each file and type: what its first particles sum up to.
    seen: Vec<(u64, usize, usize)>,
    /// The number of the first file of the snapshot that is not in the sums.
    next_file: usize,
    done: u64,
    /// Bits of f64, which a text does not round.
    total: u64,
    filled_mpc_h3: u64,
    totals: Vec<u64>,
    /// Of the sums.
    sha256: String,
}

impl Unfinished {
    /// For an output; `every`: the time between two writes.
    pub(crate) fn new(output: &Path, identity: Value, every: Duration) -> Self {
        let path = with_ending(output, ".unfinished");
        let (last, took) = (Instant::now(), Duration::ZERO);
        Self { path, identity, every, last, took, snapshot: Value::Null, has_failed: false }
    }

    /// The file of the snapshot to go on with, if something was kept of the same gridding.
    pub(super) fn next_file(&self) -> anyhow::Result<usize> {
        match self.open()? {
            None => Ok(0),
            Some((first, _)) if self.is_same(&first) => Ok(first.next_file),
            Some(_) => Err(self.of_another()),
        }
    }

    /// Fills `sums` with what was kept of the same gridding, if there is such a file, and gives the number of the file of the
    /// snapshot to go on with.
    pub(super) fn restore(&mut self, context: &Context, sums: &mut Sums<'_>) -> anyhow::Result<usize> {
        let shown = self.path.display();
        let Some((first, mut from)) = self.open()? else { return Ok(0) };
        let damaged = |what: &str| self.damaged(what);
        if !self.is_same(&first) || first.snapshot != self.snapshot {
            return Err(self.of_another());
        }
        if first.totals.len() != sums.depositors.len() {
            return Err(damaged("it has another number of grids"));
        }
        let mut hash = Sha256::new();
        for (depositor, &total) in sums.depositors.iter_mut().zip(&first.totals) {
            let read = depositor.resume(f64::from_bits(total), |to| read_sums(&mut from, to, &mut hash));
            read.map_err(|error| damaged(&format!("it ends early ({error})")))?;
        }
        if hex::encode(hash.finalize()) != first.sha256 {
            return Err(damaged("its sums are not those that were written"));
        }
        (sums.done, sums.total, sums.seen) = (first.done, f64::from_bits(first.total), first.seen);
        sums.filled_mpc_h3 = f64::from_bits(first.filled_mpc_h3);
        context.note(format_args!("goes on with file {} of the snapshot, from {shown}", first.next_file));
        Ok(first.next_file)
    }

    /// Whether it was kept of the same gridding. Files that are not in its sums may have been mended since.
    fn is_same(&self, first: &FirstLine) -> bool {
        // By their density all particles are in every sum.
        let is_by_density = self.identity["how"]["spread"] == "density";
        let summed = if is_by_density { usize::MAX } else { first.next_file };
        let of_sums = |identity: &Value| {
            let mut identity = identity.clone();
            let files = identity.get_mut("files").and_then(Value::as_array_mut);
            for stamp in files.into_iter().flatten().skip(summed) {
                // Its name stays.
                stamp.as_array_mut().into_iter().for_each(|stamp| stamp.truncate(1));
            }
            identity
        };
        of_sums(&first.identity) == of_sums(&self.identity)
    }

    /// The first line of what was kept, if there is something, and what follows it.
    fn open(&self) -> anyhow::Result<Option<(FirstLine, BufReader<File>)>> {
        let file = match finescale_durable::open_to_read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(|| format!("{}: opening", self.path.display()))?,
        };
        let mut from = BufReader::with_capacity(8 * BLOCK, file);
        let mut line = String::new();
        let read = from.by_ref().take(LONGEST_LINE).read_line(&mut line);
        read.map_err(|_| self.damaged("its first line is no text"))?;
        let first = serde_json::from_str(&line)
            .map_err(|_| self.damaged("its first line is not that of a gridding"))?;
        Ok(Some((first, from)))
    }

    fn damaged(&self, what: &str) -> anyhow::Error {
        bad_input(format!("{}: {what}; remove it to begin anew", self.path.display()))
    }

    /// The error of work that another command began, which is not thrown away unasked.
    fn of_another(&self) -> anyhow::Error {
        bad_input(format!(
            "{}: keeps what is done of another gridding of this name, or of files that have changed since; repeat that command, choose \
             another --output, or remove it to begin anew",
            self.path.display()
        ))
    }

    /// As [`Self::offer`]; that nothing can be kept is told, and ends no gridding.
    pub(super) fn keep(
        &mut self,
        context: &Context,
        next_file: usize,
        sums: &Sums<'_>,
        now: bool,
    ) -> anyhow::Result<()> {
        match self.offer(next_file, sums, now) {
            Err(error) if !now => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    context.warn(format_args!("{error}; a killed gridding will begin anew"));
                }
                Ok(())
            }
            kept => kept,
        }
    }

    /// Keeps the sums over all files before `next_file`, if it is time or `now`.
    fn offer(&mut self, next_file: usize, sums: &Sums<'_>, now: bool) -> anyhow::Result<()> {
        if !now && (self.has_failed || self.last.elapsed() < self.every.max(REST * self.took)) {
            return Ok(());
        }
        let began = Instant::now();
        let mut hash = Sha256::new();
        let states = || sums.depositors.iter().map(Depositor::state);
        states().for_each(|(values, _)| blocks_of(values, |bytes| hash.update(bytes)));
        let first = FirstLine {
            identity: self.identity.clone(),
            snapshot: self.snapshot.clone(),
            seen: sums.seen.clone(),
            next_file,
            done: sums.done,
            total: sums.total.to_bits(),
            filled_mpc_h3: sums.filled_mpc_h3.to_bits(),
            totals: states().map(|(_, total)| total.to_bits()).collect(),
            sha256: hex::encode(hash.finalize()),
        };
        let line = serde_json::to_string(&first)?;
        let written = finescale_durable::write(&self.path, |file| {
            writeln!(file, "{line}")?;
            let mut written = Ok(());
            for (values, _) in states() {
                blocks_of(values, |bytes| {
                    if written.is_ok() {
                        written = file.write_all(bytes);
                    }
                });
            }
            written
        });
        written.map_err(|error| cannot_write(&self.path, &error))?;
        (self.took, self.last) = (began.elapsed(), Instant::now());
        Ok(())
    }

    /// Removes the file; the output is there.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        match finescale_durable::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(&self.path, &error)),
            _ => Ok(()),
        }
    }
}

/// Hands on the bytes of some values, a block at a time.
fn blocks_of(values: &[f64], mut to: impl FnMut(&[u8])) {
    let mut bytes = Vec::with_capacity(8 * BLOCK);
    for block in values.chunks(BLOCK) {
        bytes.clear();
        block.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        to(&bytes);
    }
}

fn read_sums(from: &mut BufReader<File>, to: &mut [f64], hash: &mut Sha256) -> io::Result<()> {
    let mut bytes = vec![0; 8 * BLOCK];
    for block in to.chunks_mut(BLOCK) {
        let bytes = &mut bytes[..8 * block.len()];
        from.read_exact(bytes)?;
        hash.update(&*bytes);
        let (values, _) = bytes.as_chunks::<8>();
        block.iter_mut().zip(values).for_each(|(value, bytes)| *value = f64::from_le_bytes(*bytes));
    }
    Ok(())
}
