//! Memory on a card that is used again: a network asks for the same sizes in every evaluation.

use super::CardError;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaSlice, CudaStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that memory is rounded up to. In debug builds every piece is an allocation of its own, without a byte to spare, so that
/// tools that watch a card's memory see whoever reads or writes behind it, or after its end.
const GRAIN: usize = if IS_EXACT { 1 } else { 4 << 10 };
const IS_EXACT: bool = cfg!(debug_assertions);

/// Released memory of one card by its size. All work of a card is in one stream: whoever takes memory again comes after
/// whoever released it.
#[derive(Default)]
pub(super) struct Pool {
    free: Mutex<BTreeMap<usize, Vec<CudaSlice<u8>>>>,
}

impl Pool {
    /// Memory for `len` values of so many bytes, which hold anything at first.
    pub(super) fn take(
        self: &Arc<Self>,
        stream: &Arc<CudaStream>,
        len: usize,
        value_bytes: usize,
    ) -> Result<CardMemory, CardError> {
        let rounded = (len * value_bytes).max(1).next_multiple_of(GRAIN);
        let slice = match self.reuse(rounded) {
            Some(slice) => slice,
            None => match allocate(stream, rounded) {
                // What is free in other sizes may make the room.
                Err(CardError::Memory { .. }) if !self.lock().is_empty() => {
                    self.lock().clear();
                    // It is free when the work before it is done.
                    stream.synchronize().map_err(CardError::driver("waiting for free memory"))?;
                    allocate(stream, rounded)?
                }
                allocated => allocated?,
            },
        };
        Ok(CardMemory { slice: Some(slice), len, value_bytes, pool: Arc::clone(self) })
    }

    /// The smallest free memory of at least `rounded` bytes, if it is not much larger.
    fn reuse(&self, rounded: usize) -> Option<CudaSlice<u8>> {
        let mut free = self.lock();
        let (&size, list) = free.range_mut(rounded..=rounded + rounded / 4).next()?;
        let slice = list.pop();
        if list.is_empty() {
            free.remove(&size);
        }
        slice
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Vec<CudaSlice<u8>>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(unsafe_code, reason = "memory that holds anything at first")]
fn allocate(stream: &Arc<CudaStream>, bytes: usize) -> Result<CudaSlice<u8>, CardError> {
    // SAFETY: whoever takes memory writes all of it before it reads any; any bits are a value.
    unsafe { stream.alloc(bytes) }.map_err(|source| match source.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            let (free, total) = stream.context().mem_get_info().unwrap_or((0, 0));
            CardError::Memory { bytes, free, total }
        }
        _ => CardError::Driver { doing: "allocating", source },
    })
}

/// Values on a card: f32, or as volumes are kept there.
pub struct CardMemory {
    /// Taken out only when the memory is dropped.
    slice: Option<CudaSlice<u8>>,
    len: usize,
    value_bytes: usize,
    pool: Arc<Pool>,
}

impl CardMemory {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of each.
    pub(super) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    pub(super) fn slice(&self) -> &CudaSlice<u8> {
        self.slice.as_ref().expect("only dropped memory has none")
    }

    pub(super) fn slice_mut(&mut self) -> &mut CudaSlice<u8> {
        self.slice.as_mut().expect("only dropped memory has none")
    }
}

/// Values that lie in memory which others may share.
#[derive(Clone)]
pub(super) struct View {
    pub(super) memory: Arc<CardMemory>,
    pub(super) first: usize,
    pub(super) len: usize,
}

impl Drop for CardMemory {
    fn drop(&mut self) {
        let Some(slice) = self.slice.take() else { return };
        if IS_EXACT {
            // Freed here, by a thread that may not have met the card yet. The card remembers an error.
            slice.context().bind_to_thread().ok();
            return;
        }
        self.pool.lock().entry(slice.len()).or_default().push(slice);
    }
}
