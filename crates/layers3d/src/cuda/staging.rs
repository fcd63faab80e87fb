//! Host memory from which a card copies while the host goes on.
#![allow(unsafe_code, reason = "memory of the driver's, that it reads while others must not write")]

use super::CardError;
use cudarc::driver::{CudaContext, result};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that pieces are rounded up to.
const GRAIN: usize = 64 << 10;
/// Most bytes that are staged: what is larger is copied once in a run.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Pieces of page-locked memory. A piece is used again after the card has been waited for.
#[derive(Default)]
pub(super) struct Staging(Mutex<Pieces>);

#[derive(Default)]
struct Pieces {
    free: Vec<Piece>,
    /// From which copies may be under way.
    busy: Vec<Piece>,
}

/// Page-locked memory.
pub(super) struct Piece {
    start: NonNull<u8>,
    bytes: usize,
    context: Arc<CudaContext>,
}

// SAFETY: a piece has one owner, and the driver's memory belongs to no thread.
unsafe impl Send for Piece {}

impl Staging {
    /// A piece that begins with these values.
    pub(super) fn piece(&self, context: &Arc<CudaContext>, values: &[u8]) -> Result<Piece, CardError> {
        let mut pieces = self.lock();
        let fits = |(_, piece): &(usize, &Piece)| piece.bytes >= values.len();
        let found = pieces.free.iter().enumerate().filter(fits).min_by_key(|(_, piece)| piece.bytes);
        let piece = match found.map(|(index, _)| index) {
            Some(index) => pieces.free.swap_remove(index),
            None => Piece::new(context, values.len().next_multiple_of(GRAIN))?,
        };
        // SAFETY: the piece is at least as long, no copy reads it, and the values are elsewhere.
        unsafe { piece.start.copy_from_nonoverlapping(NonNull::from(values).cast(), values.len()) };
        Ok(piece)
    }

    /// Takes back a piece from which a copy is under way.
    pub(super) fn put(&self, piece: Piece) {
        self.lock().busy.push(piece);
    }

    /// The pieces from which copies are under way at this moment: free again when all work that was begun before is done.
    pub(super) fn busy(&self) -> Vec<Piece> {
        std::mem::take(&mut self.lock().busy)
    }

    /// Takes back pieces from which no copy is under way any more.
    pub(super) fn put_free(&self, pieces: Vec<Piece>) {
        self.lock().free.extend(pieces);
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Piece {
    fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CardError> {
        let failed = || CardError::driver("locking memory of the host for copies");
        let bytes = bytes.max(GRAIN);
        context.bind_to_thread().map_err(failed())?;
        // SAFETY: asks for memory, which belongs to this piece alone.
        let start = unsafe { result::malloc_host(bytes, 0) }.map_err(failed())?;
        let start = NonNull::new(start.cast()).expect("the driver gives memory or an error");
        Ok(Self { start, bytes, context: Arc::clone(context) })
    }

    /// Its first bytes.
    pub(super) fn first(&self, bytes: usize) -> &[u8] {
        assert!(bytes <= self.bytes);
        // SAFETY: the piece is as long, was written where it was made, and nobody writes it while it lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), bytes) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.context.bind_to_thread().ok();
        // SAFETY: it came from there, and pieces are dropped after the card was waited for, or else forgotten.
        unsafe { result::free_host(self.start.as_ptr().cast()) }.ok();
    }
}
