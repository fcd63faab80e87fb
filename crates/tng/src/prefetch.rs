//! Chunk after chunk, while the next ones come in.

use crate::TngError;
use crate::address::{Fields, query};
use crate::attempts::AtEnd;
use crate::leftovers::Names;
use crate::remote::Remote;
use finescale_durable::{Lock, create_folder, is_busy, remove_folder};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Name of the lock in the folder.
const LOCK: &str = "lock";
/// How often it is looked whether to stop.
const GLANCE: Duration = Duration::from_millis(30);

/// What is wrong with the file of a chunk, if anything.
type ChunkCheck<'a> = &'a (dyn Fn(usize, &Path) -> Result<(), String> + Sync);

/// Chunks of a snapshot in their order, from `first` on, several downloads at a time. In `folder`, which is this run's
/// alone, are at most one file more than downloads at once; each is deleted after use.
#[derive(Clone, Copy)]
pub struct Prefetch<'a> {
    /// The snapshot.
    pub remote: &'a Remote,
    /// The wanted fields.
    pub wanted: &'a [Fields],
    /// Where the files are in the meantime: made if needed, locked, and removed at the end if it was made. Whole files
    /// that a killed process left there for the same snapshot and fields are used if they pass `check`; its other ones
    /// are removed.
    pub folder: &'a Path,
    /// The chunk to begin with.
    pub first: usize,
    /// Says what is wrong with a file, as for [`Remote::fetch`]; called by several threads.
    pub check: ChunkCheck<'a>,
    /// Set to end everything within a moment.
    pub stop: &'a AtomicBool,
}

impl Prefetch<'_> {
    /// Does `work` with the chunks. When it returns, downloads under way end, and no files are left.
    ///
    /// # Errors
    /// Those of `work`, and before it begins [`TngError::Fields`], [`TngError::NoChunk`], [`TngError::Busy`] and
    /// [`TngError::Folder`].
    pub fn run<R, E: From<TngError>>(
        &self,
        work: impl FnOnce(&mut Chunks<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (remote, query) = (self.remote, query(self.wanted)?);
        if self.first > remote.chunks() {
            let what = format!("{}, chunk {}", remote.address(), self.first);
            return Err(TngError::NoChunk { what, chunks: remote.chunks() }.into());
        }
        let names = Names::new(self.folder, remote.address(), &query);
        let limit = remote.client.options().connections.max(1) + 1;
        let left = self.first..remote.chunks();
        let first_ones = left.start..left.end.min(left.start + limit);
        let folder = Folder::open(self.folder)?;
        let found = names
            .tidy(&first_ones)
            .map_err(folder_error(self.folder, "looking for files of earlier runs"))?;
        let shared = Shared {
            plan: Mutex::new(Plan::new(left, limit)),
            changed: Condvar::new(),
            quit: AtomicBool::new(false),
        };
        let worker = Worker { prefetch: self, query: &query, names: &names, found: &found, shared: &shared };
        let done = thread::scope(|scope| {
            // Also when a thread cannot be started, or `work` panics: the scope waits for those that run.
            let _end = AtEnd(|| shared.end());
            for number in 1..limit {
                let named = thread::Builder::new().name(format!("download {number}"));
                let started = named.spawn_scoped(scope, || worker.run());
                started.map_err(folder_error(self.folder, "starting a download"))?;
            }
            work(&mut Chunks { shared: &shared, names: &names, prefetch: self, turn: self.first })
        });
        // What was downloaded and not used.
        let tidied = names.tidy(&(0..0)).map_err(folder_error(self.folder, "removing chunks"));
        drop(folder);
        let done = done?;
        tidied?;
        Ok(done)
    }
}

/// The folder for chunks, locked.
struct Folder<'a> {
    path: &'a Path,
    was_there: bool,
    lock: Option<Lock>,
}

impl<'a> Folder<'a> {
    fn open(path: &'a Path) -> Result<Self, TngError> {
        let was_there = path.exists();
        create_folder(path).map_err(folder_error(path, "making the folder"))?;
        let lock = Lock::acquire(&path.join(LOCK)).map_err(|source| match is_busy(&source) {
            true => TngError::Busy { path: path.into(), source },
            false => TngError::Folder { path: path.into(), doing: "locking the folder", source },
        })?;
        Ok(Self { path, was_there, lock: Some(lock) })
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        drop(self.lock.take());
        if !self.was_there {
            // It stays if there is something else in it, or somebody else was faster.
            let _ = remove_folder(self.path, &[]);
        }
    }
}

fn folder_error(path: &Path, doing: &'static str) -> impl Fn(std::io::Error) -> TngError {
    move |source| TngError::Folder { path: path.into(), doing, source }
}

/// What the threads know together.
struct Shared {
    plan: Mutex<Plan>,
    changed: Condvar,
    /// Nobody wants any more.
    quit: AtomicBool,
}

struct Plan {
    /// Chunks that nobody has begun.
    waiting: Range<usize>,
    /// Files that there may be now: begun, finished or handed out.
    files: usize,
    most_files: usize,
    finished: BTreeMap<usize, Result<(), TngError>>,
}

impl Plan {
    fn new(waiting: Range<usize>, most_files: usize) -> Self {
        Self { waiting, files: 0, most_files, finished: BTreeMap::new() }
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changed, or it is time to look whether to stop.
    fn wait<'p>(&self, plan: MutexGuard<'p, Plan>) -> MutexGuard<'p, Plan> {
        self.changed.wait_timeout(plan, GLANCE).unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self) {
        self.quit.store(true, Ordering::Release);
        self.changed.notify_all();
    }
}

/// What downloads.
#[derive(Clone, Copy)]
struct Worker<'a> {
    prefetch: &'a Prefetch<'a>,
    query: &'a str,
    names: &'a Names<'a>,
    /// Files of an earlier run.
    found: &'a BTreeSet<usize>,
    shared: &'a Shared,
}

impl Worker<'_> {
    fn stopped(&self) -> bool {
        self.shared.quit.load(Ordering::Acquire) || self.prefetch.stop.load(Ordering::Relaxed)
    }

    fn run(&self) {
        // A panic in here ends all: whoever waits for this chunk would wait forever.
        let _end = AtEnd(|| {
            if thread::panicking() {
                self.shared.end();
            }
        });
        while let Some(chunk) = self.next() {
            let fetched = self.bring(chunk);
            let mut plan = self.shared.plan();
            if fetched.is_err() {
                // Nobody comes to what is after this one.
                plan.waiting.end = plan.waiting.start;
            }
            plan.finished.insert(chunk, fetched);
            drop(plan);
            self.shared.changed.notify_all();
        }
    }

    /// The next chunk that nobody has begun, as soon as there may be a file more.
    fn next(&self) -> Option<usize> {
        let mut plan = self.shared.plan();
        loop {
            if self.stopped() {
                return None;
            }
            if plan.files < plan.most_files {
                let next = plan.waiting.next()?;
                plan.files += 1;
                return Some(next);
            }
            plan = self.shared.wait(plan);
        }
    }

    fn bring(&self, chunk: usize) -> Result<(), TngError> {
        let path = self.names.path(chunk);
        let check = |path: &Path| (self.prefetch.check)(chunk, path);
        if self.found.contains(&chunk) {
            if check(&path).is_ok() {
                return Ok(());
            }
            let removed = finescale_durable::remove_file(&path);
            removed
                .map_err(folder_error(self.prefetch.folder, "removing a damaged chunk of an earlier run"))?;
        }
        self.prefetch.remote.fetch_until(chunk, self.query, &path, &check, &|| self.stopped())?;
        Ok(())
    }
}

/// The chunks that come in.
pub struct Chunks<'a> {
    shared: &'a Shared,
    names: &'a Names<'a>,
    prefetch: &'a Prefetch<'a>,
    turn: usize,
}

impl Chunks<'_> {
    /// The next chunk, as soon as it is there; none after the last one. Before the next call it must be dropped, which
    /// deletes its file.
    ///
    /// # Errors
    /// Those of [`Remote::fetch`] for this chunk; after one, [`TngError::Stopped`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, TngError> {
        let mut plan = self.shared.plan();
        loop {
            if let Some(fetched) = plan.finished.remove(&self.turn) {
                if let Err(error) = fetched {
                    // What comes after it is no whole snapshot.
                    self.shared.end();
                    return Err(error);
                }
                let number = self.turn;
                self.turn += 1;
                return Ok(Some(Chunk { shared: self.shared, number, path: self.names.path(number) }));
            }
            if self.prefetch.stop.load(Ordering::Relaxed) || self.shared.quit.load(Ordering::Acquire) {
                let what = format!("{}, chunk {}", self.prefetch.remote.address(), self.turn);
                return Err(TngError::Stopped { what });
            }
            if self.turn >= plan.waiting.end {
                return Ok(None);
            }
            plan = self.shared.wait(plan);
        }
    }
}

/// The file of a chunk, which is deleted when this is dropped.
pub struct Chunk<'a> {
    shared: &'a Shared,
    number: usize,
    path: PathBuf,
}

impl Chunk<'_> {
    /// Which chunk it is.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        if let Err(error) = finescale_durable::remove_file(&self.path) {
            tracing::warn!("{}: cannot remove: {error}; it takes room on the disk", self.path.display());
        }
        self.shared.plan().files -= 1;
        self.shared.changed.notify_all();
    }
}
