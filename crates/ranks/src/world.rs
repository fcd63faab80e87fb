//! The processes that a launcher started, by MPI.
//!
//! MPI's own way with errors is kept: it ends all ranks. Calls come from one thread at a time, since a [`Transport`] lies in
//! a mutex, and this is MPI's only user in the process.

use crate::RanksError;
use crate::launch::Launch;
use crate::link::Operation;
use crate::transport::{Gone, Note, Transport, last_words};
use mpi::environment::{Universe, library_version};
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Source};
use mpi::{Rank, Tag, Threading, request};
use std::thread;

/// Messages need no tags: there is one at a time for a pair of ranks, or several in their order.
const TAG: Tag = 0;
/// Exit code of Rust's panics.
const PANICKED: i32 = 101;

/// MPI from its beginning to its end.
pub(crate) struct World {
    universe: Universe,
}

impl World {
    /// Starts MPI.
    pub(crate) fn start(launch: &Launch) -> Result<Self, RanksError> {
        let (universe, offered) =
            mpi::initialize_with_threading(Threading::Serialized).ok_or(RanksError::Started)?;
        if offered < Threading::Serialized {
            return Err(RanksError::Threading { offered: format!("{offered:?}"), library: library() });
        }
        if launch.ranks > 1 && universe.world().size() == 1 {
            let Launch { variable, ranks: launched } = *launch;
            return Err(RanksError::OtherMpi { variable, launched, library: library() });
        }
        Ok(Self { universe })
    }

    pub(crate) fn rank(&self) -> usize {
        self.universe.world().rank() as usize
    }

    pub(crate) fn count(&self) -> usize {
        self.universe.world().size() as usize
    }
}

/// Name and version, of all that the library says of itself.
fn library() -> String {
    let version = library_version().unwrap_or_default();
    let name = version.split([',', '\n']).next().unwrap_or_default();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Transport for World {
    fn trade(&self, notes: &[Note]) -> Result<Vec<Note>, Gone> {
        let mut received = vec![Note::default(); notes.len()];
        self.universe.world().all_to_all_into(notes.as_flattened(), received.as_flattened_mut());
        Ok(received)
    }

    fn deliver(&self, outgoing: Vec<(usize, &[u8])>, incoming: Vec<(usize, &mut [u8])>) -> Result<(), Gone> {
        let world = self.universe.world();
        let process = |rank: usize| world.process_at_rank(rank as Rank);
        request::scope(|scope| {
            let receives: Vec<_> = incoming
                .into_iter()
                .map(|(from, part)| process(from).immediate_receive_into_with_tag(scope, part, TAG))
                .collect();
            let sends: Vec<_> = outgoing
                .into_iter()
                .map(|(to, part)| process(to).immediate_send_with_tag(scope, part, TAG))
                .collect();
            receives.into_iter().for_each(|request| request.wait_without_status());
            sends.into_iter().for_each(|request| request.wait_without_status());
        });
        Ok(())
    }

    /// Before `MPI_Finalize`, which waits for all ranks, and would wait for ever for those that wait for this one.
    fn leave(&self, in_step: bool) {
        if thread::panicking() {
            last_words(self.rank(), self.count(), PANICKED);
            self.abort(PANICKED);
        }
        if in_step {
            let everybody = vec![Operation::End.note(0); self.count()];
            self.trade(&everybody).expect("MPI itself ends ranks whose messages fail");
        }
    }

    fn abort(&self, code: i32) -> ! {
        self.universe.world().abort(code)
    }
}
