//! The ranks of a run, as one of them sees them.

use crate::RanksError;
use crate::launch::{Launch, launch};
use crate::link::{LARGEST_PART, Link, Operation};
use crate::slices::share;
use crate::threads::{Threads, connected};
use crate::transport::{Transport, last_words};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::{env, fmt, panic, process, thread};

/// The ranks that share a run, and which of them this is.
///
/// It may be handed to any thread by reference; operations of several threads follow one another, in an order that must be
/// that of the other ranks. Dropping it ends MPI, which waits for all ranks: on the thread that started it, and last.
pub struct Ranks {
    rank: usize,
    count: usize,
    // One operation at a time: MPI is asked for no more, and the ends of channels belong to one thread.
    link: Mutex<Link>,
}

impl Ranks {
    /// The ranks that a launcher started, or this process alone.
    ///
    /// The environment says whether there was a launcher: mpirun, mpiexec or srun. With the feature `mpi` it starts MPI then.
    ///
    /// # Errors
    /// [`RanksError::WithoutMpi`] without that feature, if there are several copies of this program.
    /// [`RanksError::OtherMpi`], [`RanksError::Threading`] and [`RanksError::Started`] with it.
    pub fn start() -> Result<Self, RanksError> {
        match launch(|variable| env::var(variable).ok()) {
            Some(launch) => Self::launched(&launch),
            None => Ok(Self::alone()),
        }
    }

    #[cfg(feature = "mpi")]
    fn launched(launch: &Launch) -> Result<Self, RanksError> {
        let world = crate::world::World::start(launch)?;
        Ok(Self::over(world.rank(), world.count(), Box::new(world)))
    }

    #[cfg(not(feature = "mpi"))]
    fn launched(launch: &Launch) -> Result<Self, RanksError> {
        match *launch {
            Launch { ranks: 0 | 1, .. } => Ok(Self::alone()),
            Launch { variable, ranks } => Err(RanksError::WithoutMpi { variable, ranks }),
        }
    }

    /// One rank: this process, whatever started it.
    #[must_use]
    pub fn alone() -> Self {
        Self::threads(1).remove(0)
    }

    /// Ranks of one process, each for a thread of its own: for tests and examples. Dropping one tells the others that it
    /// has ended; [`Ranks::on_threads`] starts the threads, too.
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    pub fn threads(count: usize) -> Vec<Self> {
        assert!(count > 0, "a run has a rank");
        let over = |(rank, threads): (usize, Threads)| Self::over(rank, count, Box::new(threads));
        connected(count).into_iter().enumerate().map(over).collect()
    }

    /// What `body` returns on each of `count` threads that are the ranks of a run: for tests and examples.
    ///
    /// # Panics
    /// If `count` is 0, and if a rank does: the others have [`RanksError::Ended`] when they wait for it.
    pub fn on_threads<T: Send>(count: usize, body: impl Fn(&Self) -> T + Sync) -> Vec<T> {
        let body = &body;
        thread::scope(|scope| {
            let ranks = Self::threads(count).into_iter();
            let threads: Vec<_> = ranks.map(|ranks| scope.spawn(move || body(&ranks))).collect();
            let result = |thread: thread::ScopedJoinHandle<T>| {
                thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
            };
            threads.into_iter().map(result).collect()
        })
    }

    fn over(rank: usize, count: usize, transport: Box<dyn Transport>) -> Self {
        let link = Link { rank, count, transport, largest_part: LARGEST_PART, failed: None };
        Self { rank, count, link: Mutex::new(link) }
    }

    /// Cuts messages into parts of at most so many bytes, 1 GiB if not called. The same on all ranks. For tests: MPI
    /// itself carries no messages of 2 GiB and more.
    ///
    /// # Panics
    /// If `bytes` is 0, or more than 1 GiB.
    #[must_use]
    pub fn with_parts_of(self, bytes: usize) -> Self {
        assert!((1..=LARGEST_PART).contains(&bytes), "parts of {bytes} bytes");
        self.link().largest_part = bytes;
        self
    }

    /// Which rank this is, in `0..count()`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether this is rank 0, which speaks for all: to the user, and in files that there is one of.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// This rank's share of some items; see [`Ranks::share_of`].
    #[must_use]
    pub fn share(&self, items: usize) -> Range<usize> {
        self.share_of(items, self.rank)
    }

    /// A rank's share of some items: contiguous, in the order of ranks, and no larger than another by more than one.
    ///
    /// # Panics
    /// If there is no such rank.
    #[must_use]
    pub fn share_of(&self, items: usize, rank: usize) -> Range<usize> {
        assert!(rank < self.count, "rank {rank} of {} has no share", self.count);
        share(items, self.count, rank)
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// [`RanksError::Order`], [`RanksError::Ended`].
    pub fn barrier(&self) -> Result<(), RanksError> {
        self.link().begin_with(Operation::Barrier, 0).map(|_| ())
    }

    /// Whether all ranks say so.
    ///
    /// # Errors
    /// As [`Ranks::barrier`].
    pub fn all(&self, so: bool) -> Result<bool, RanksError> {
        Ok(self.link().begin_with(Operation::All, so.into())?.iter().all(|&so| so != 0))
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// As [`Ranks::barrier`].
    pub fn any(&self, so: bool) -> Result<bool, RanksError> {
        Ok(self.link().begin_with(Operation::Any, so.into())?.iter().any(|&so| so != 0))
    }

    /// Ends the processes of all ranks at once, whatever they do, with an exit code that is not 0. For an error of this rank
    /// alone, after saying what it is.
    ///
    /// Ranks on threads are one process, which ends.
    pub fn abort(&self, code: u8) -> ! {
        last_words(self.rank, self.count, code.into());
        match self.link.try_lock() {
            Ok(link) => link.transport.abort(code.into()),
            Err(TryLockError::Poisoned(link)) => link.into_inner().transport.abort(code.into()),
            // Another thread waits for other ranks, and may for ever; MPI takes no second call. Launchers end all ranks
            // when one ends like this.
            Err(TryLockError::WouldBlock) => process::exit(code.into()),
        }
    }

    /// What the operations are written on. Held from their beginning to their end.
    pub(crate) fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().expect("a rank that panicked within an operation takes part in no other")
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rank {} of {}", self.rank, self.count)
    }
}

#[cfg(all(test, not(feature = "mpi")))]
mod tests {
    use super::*;

    #[test]
    fn without_mpi_there_is_one_process() {
        let launched = |ranks| Ranks::launched(&Launch { variable: "PMI_SIZE", ranks });
        assert_eq!(launched(2).unwrap_err(), RanksError::WithoutMpi { variable: "PMI_SIZE", ranks: 2 });
        assert_eq!(launched(1).unwrap().count(), 1);
    }
}
