//! What carries bytes from rank to rank: threads, or MPI. Neither knows what they mean.

use std::io::{self, Write};

/// What each rank tells each other one as an operation begins: which operation, and a number.
pub(crate) type Note = [u64; 2];

/// A rank that is no longer there.
#[derive(Debug)]
pub(crate) struct Gone(pub(crate) usize);

/// All operations are made of the first two.
pub(crate) trait Transport: Send {
    /// Hands `notes[r]` to rank `r`, this one too; returns what each handed to this one. Nobody returns before all came.
    fn trade(&self, notes: &[Note]) -> Result<Vec<Note>, Gone>;

    /// Sends each part to its rank and fills each other part with what its rank sends: parts of one pair in their order,
    /// all at once otherwise. Both ends know the lengths. No part is empty, and none is for this rank.
    fn deliver(&self, outgoing: Vec<(usize, &[u8])>, incoming: Vec<(usize, &mut [u8])>) -> Result<(), Gone>;

    /// Is called last. `in_step`: the other ranks are where this one is, or on their way there.
    fn leave(&self, in_step: bool);

    /// Ends all ranks at once.
    fn abort(&self, code: i32) -> !;
}

/// Says which rank ends all, which not every launcher does, after what was said before. MPI may end us before that is on
/// its way; a stream that cannot be written to is no reason to go on.
pub(crate) fn last_words(rank: usize, count: usize, code: i32) {
    let _ = io::stdout().flush();
    if count > 1 {
        // In one piece: other ranks may speak, too.
        let words = format!("rank {rank} of {count} ends all ranks, exit code {code}\n");
        let _ = io::stderr().write_all(words.as_bytes());
    }
    let _ = io::stderr().flush();
}
