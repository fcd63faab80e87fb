//! One rank's link to the others: keeps the ranks in step, and cuts messages into parts that the transport can carry.

use crate::RanksError;
use crate::transport::{Gone, Note, Transport};

/// What ranks can be asked to do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Barrier,
    Broadcast,
    Gather,
    GatherFirst,
    Exchange,
    Sum,
    All,
    Any,
    End,
}

impl Operation {
    /// By their codes, with their names.
    const NAMES: [&str; 9] =
        ["barrier", "broadcast", "gather", "gather_first", "exchange", "sum_f64", "all", "any", "the end"];

    /// What tells another rank of it.
    pub(crate) fn note(self, value: u64) -> Note {
        [self as u64, value]
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

const _: () = assert!(Operation::NAMES.len() == Operation::End as usize + 1);

/// In bytes. MPI counts them in 32 bits with a sign.
pub(crate) const LARGEST_PART: usize = 1 << 30;

/// What a rank has of the others.
pub(crate) struct Link {
    pub(crate) rank: usize,
    pub(crate) count: usize,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) largest_part: usize,
    /// Why the ranks are out of step.
    pub(crate) failed: Option<RanksError>,
}

impl Link {
    /// Begins an operation: waits for all ranks, makes sure that they call the same, and hands `values[r]` to rank `r`.
    /// Returns what each rank handed to this one.
    pub(crate) fn begin(&mut self, operation: Operation, values: &[u64]) -> Result<Vec<u64>, RanksError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let notes: Vec<Note> = values.iter().map(|&value| operation.note(value)).collect();
        let received = self.transport.trade(&notes).map_err(|gone| self.fail(operation, gone))?;
        let ours = operation as u64;
        match received.iter().position(|[theirs, _]| *theirs != ours) {
            None => Ok(received.into_iter().map(|[_, value]| value).collect()),
            Some(rank) if received[rank][0] == Operation::End as u64 => Err(self.fail(operation, Gone(rank))),
            Some(rank) => {
                let theirs = Operation::NAMES[received[rank][0] as usize];
                Err(self.failed.insert(RanksError::Order { rank, theirs, ours: operation.name() }).clone())
            }
        }
    }

    /// As [`Link::begin`], with the same value for all.
    pub(crate) fn begin_with(&mut self, operation: Operation, value: u64) -> Result<Vec<u64>, RanksError> {
        self.begin(operation, &vec![value; self.count])
    }

    fn fail(&mut self, operation: Operation, Gone(rank): Gone) -> RanksError {
        self.failed.insert(RanksError::Ended { rank, ours: operation.name() }).clone()
    }

    /// Carries messages whose lengths both ends know, at most one for a pair of ranks, also from this rank to itself.
    pub(crate) fn deliver(
        &mut self,
        operation: Operation,
        outgoing: Vec<(usize, &[u8])>,
        incoming: Vec<(usize, &mut [u8])>,
    ) -> Result<(), RanksError> {
        let (to_itself, outgoing): (Vec<_>, Vec<_>) =
            outgoing.into_iter().partition(|(to, _)| *to == self.rank);
        let (from_itself, incoming): (Vec<_>, Vec<_>) =
            incoming.into_iter().partition(|(from, _)| *from == self.rank);
        for ((_, message), (_, place)) in to_itself.into_iter().zip(from_itself) {
            place.copy_from_slice(message);
        }
        let largest = self.largest_part;
        let outgoing = outgoing
            .into_iter()
            .flat_map(|(to, message)| message.chunks(largest).map(move |part| (to, part)));
        let incoming = incoming
            .into_iter()
            .flat_map(|(from, place)| place.chunks_mut(largest).map(move |part| (from, part)));
        self.transport
            .deliver(outgoing.collect(), incoming.collect())
            .map_err(|gone| self.fail(operation, gone))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.transport.leave(self.failed.is_none());
    }
}
