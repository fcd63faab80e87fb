//! Memory that is used again: a network asks for the same sizes in every evaluation, and fresh pages cost as much as
//! the arithmetic on them.
#![allow(unsafe_code, reason = "advice to the kernel on memory")]

use memmap2::MmapMut;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Released memory by size in bytes.
static FREE: Mutex<BTreeMap<usize, Vec<MmapMut>>> = Mutex::new(BTreeMap::new());

/// From here on sizes are whole huge pages.
const HUGE_PAGE: usize = 2 << 20;

/// f32 values in memory of the pool. Fresh ones hold what was there before.
pub(crate) struct Buffer {
    /// Taken out only when the buffer is dropped.
    memory: Option<MmapMut>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` values, which the caller sets before it reads them.
    ///
    /// # Panics
    /// If the machine has no such memory.
    pub(crate) fn new(len: usize) -> Self {
        let bytes = (4 * len).max(1);
        let bytes = if bytes < HUGE_PAGE {
            bytes.next_power_of_two().max(4096)
        } else {
            bytes.next_multiple_of(HUGE_PAGE)
        };
        Self { memory: Some(reuse(bytes).unwrap_or_else(|| map(bytes))), len }
    }
}

/// The smallest free memory of at least `bytes`, if it is not much larger.
fn reuse(bytes: usize) -> Option<MmapMut> {
    let mut free = FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (&size, list) = free.range_mut(bytes..=bytes + bytes / 4).next()?;
    let memory = list.pop();
    if list.is_empty() {
        free.remove(&size);
    }
    memory
}

fn map(bytes: usize) -> MmapMut {
    let memory =
        MmapMut::map_anon(bytes).unwrap_or_else(|error| panic!("no memory for {bytes} bytes: {error}"));
    #[cfg(target_os = "linux")]
    if bytes >= HUGE_PAGE {
        // Only faster: without huge pages all works as well.
        let _ = memory.advise(memmap2::Advice::HugePage);
    }
    memory
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            let mut free = FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            free.entry(memory.len()).or_default().push(memory);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        let memory = self.memory.as_ref().expect("only dropped buffers have none");
        &bytemuck::cast_slice(memory)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let memory = self.memory.as_mut().expect("only dropped buffers have none");
        &mut bytemuck::cast_slice_mut(memory)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_memory_is_used_again() {
        // A size that no other test of this process has.
        let len = 3_333_333;
        let mut first = Buffer::new(len);
        first[len - 1] = 7.0;
        let at = first.as_ptr();
        drop(first);
        let second = Buffer::new(len);
        assert!(second.as_ptr() == at && second.len() == len && second[len - 1] == 7.0);
    }
}
