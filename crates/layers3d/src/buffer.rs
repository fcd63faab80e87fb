//! Memory that is used again: a network asks for the same sizes in every evaluation, and fresh pages cost as much as
//! the arithmetic on them.
//!
//! Built with `--cfg finescale_exact_buffers`, or for Miri, every buffer is an allocation of its own instead, without a
//! value to spare, so that tools that watch memory see whoever reads or writes behind it, or after its end.
use std::ops::{Deref, DerefMut};

#[cfg(any(miri, finescale_exact_buffers))]
use exact::Memory;
#[cfg(not(any(miri, finescale_exact_buffers)))]
use pool::Memory;

/// What debug builds fill buffers with: a signalling NaN, which every sum it enters passes on.
const POISON: f32 = f32::from_bits(0x7FA0_0000);

/// f32 values that hold anything at first: what was there before, or NaN in debug builds.
pub struct Buffer(Memory);

impl Buffer {
    /// A buffer of `len` values, which the caller sets before it reads them.
    ///
    /// # Panics
    /// If the machine has no such memory.
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = Self(Memory::new(len));
        if cfg!(debug_assertions) {
            buffer.fill(POISON);
        }
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.0.values()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.values_mut()
    }
}

#[cfg(not(any(miri, finescale_exact_buffers)))]
mod pool {
    use memmap2::MmapMut;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// Released memory by size in bytes.
    static FREE: Mutex<BTreeMap<usize, Vec<MmapMut>>> = Mutex::new(BTreeMap::new());

    /// From here on sizes are whole huge pages.
    const HUGE_PAGE: usize = 2 << 20;

    /// f32 values in memory of the pool.
    pub(super) struct Memory {
        /// Taken out only when the memory is dropped.
        pages: Option<MmapMut>,
        len: usize,
    }

    impl Memory {
        pub(super) fn new(len: usize) -> Self {
            let bytes = (4 * len).max(1);
            let bytes = if bytes < HUGE_PAGE {
                bytes.next_power_of_two().max(4096)
            } else {
                bytes.next_multiple_of(HUGE_PAGE)
            };
            Self { pages: Some(reuse(bytes).unwrap_or_else(|| map(bytes))), len }
        }

        pub(super) fn values(&self) -> &[f32] {
            let pages = self.pages.as_ref().expect("only dropped memory has none");
            &bytemuck::cast_slice(pages)[..self.len]
        }

        pub(super) fn values_mut(&mut self) -> &mut [f32] {
            let pages = self.pages.as_mut().expect("only dropped memory has none");
            &mut bytemuck::cast_slice_mut(pages)[..self.len]
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            if let Some(pages) = self.pages.take() {
                let mut free = FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                free.entry(pages.len()).or_default().push(pages);
            }
        }
    }

    /// The smallest free memory of at least `bytes`, if it is not much larger.
    fn reuse(bytes: usize) -> Option<MmapMut> {
        let mut free = FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (&size, list) = free.range_mut(bytes..=bytes + bytes / 4).next()?;
        let pages = list.pop();
        if list.is_empty() {
            free.remove(&size);
        }
        pages
    }

    fn map(bytes: usize) -> MmapMut {
        let pages =
            MmapMut::map_anon(bytes).unwrap_or_else(|error| panic!("no memory for {bytes} bytes: {error}"));
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            // Only faster: without huge pages all works as well.
            let _ = pages.advise(memmap2::Advice::HugePage);
        }
        pages
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn released_memory_is_used_again() {
            // A size that no other test of this process has.
            let len = 3_333_333;
            let mut first = Memory::new(len);
            first.values_mut()[len - 1] = 7.0;
            let at = first.values().as_ptr();
            drop(first);
            let second = Memory::new(len);
            assert!(second.values().as_ptr() == at && second.values().len() == len);
            assert_eq!(second.values()[len - 1], 7.0);
        }
    }
}

#[cfg(any(miri, finescale_exact_buffers))]
mod exact {
    /// f32 values in an allocation of their own.
    pub(super) struct Memory(Box<[f32]>);

    impl Memory {
        pub(super) fn new(len: usize) -> Self {
            Self(vec![super::POISON; len].into())
        }

        pub(super) fn values(&self) -> &[f32] {
            &self.0
        }

        pub(super) fn values_mut(&mut self) -> &mut [f32] {
            &mut self.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    fn debug_builds_poison_memory_that_is_used_again() {
        // Sizes that no other test of this process has.
        for len in [1, 7_777, if cfg!(miri) { 8_888 } else { 4_444_444 }] {
            let mut first = Buffer::new(len);
            assert!(first.iter().all(|value| value.is_nan()));
            first.fill(7.0);
            drop(first);
            let second = Buffer::new(len);
            assert!(second.len() == len && second.iter().all(|value| value.is_nan()));
        }
    }
}
