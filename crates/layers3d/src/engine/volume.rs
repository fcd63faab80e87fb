//! Batches of volumes in the engine's memory.

use crate::Cpu;
use crate::arithmetic::{Arithmetic, Side};
use candle_core::{Result, bail};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Some channels of a batch, (b, x, y, z, c): what one layer computed.
pub(super) struct Part<M> {
    pub(super) id: u64,
    pub(super) channels: usize,
    /// Whether a parameter had a hand in it: inputs need no gradient.
    pub(super) trained: bool,
    pub(super) values: M,
}

/// A batch of volumes. Its channels may lie in several parts: concatenation copies nothing.
pub struct Volume<A: Arithmetic = Cpu> {
    pub(super) batch: usize,
    pub(super) extents: [usize; 3],
    pub(super) parts: Vec<Arc<Part<A::Memory>>>,
}

impl<A: Arithmetic> Clone for Volume<A> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), ..*self }
    }
}

impl<A: Arithmetic> std::fmt::Debug for Volume<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({} x {} channels x {:?})", self.batch, self.channels(), self.extents)
    }
}

impl<A: Arithmetic> Volume<A> {
    /// What a layer computed.
    pub(super) fn new(batch: usize, extents: [usize; 3], channels: usize, values: A::Memory) -> Self {
        Self::with(batch, extents, channels, values, true)
    }

    /// What comes from outside.
    pub(super) fn untrained(batch: usize, extents: [usize; 3], channels: usize, values: A::Memory) -> Self {
        Self::with(batch, extents, channels, values, false)
    }

    fn with(batch: usize, extents: [usize; 3], channels: usize, values: A::Memory, trained: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { batch, extents, parts: vec![Arc::new(Part { id, channels, trained, values })] }
    }

    pub(super) fn channels(&self) -> usize {
        self.parts.iter().map(|part| part.channels).sum()
    }

    pub(super) fn voxels(&self) -> usize {
        self.extents.iter().product()
    }

    /// The one part that holds all channels.
    pub(super) fn whole(&self) -> Result<&Arc<Part<A::Memory>>> {
        match self.parts.as_slice() {
            [part] => Ok(part),
            parts => bail!("{} concatenated volumes enter a layer that takes one", parts.len()),
        }
    }

    /// Its values (b, x, y, z, c).
    ///
    /// # Errors
    /// If it is a concatenation, which no layer has put together yet.
    pub fn values(&self) -> Result<&A::Memory> {
        Ok(&self.whole()?.values)
    }

    /// Its values, if nobody else has them.
    pub(super) fn into_values(self) -> Result<A::Memory> {
        match <[_; 1]>::try_from(self.parts).map(|[part]| Arc::try_unwrap(part)) {
            Ok(Ok(part)) => Ok(part.values),
            _ => bail!("a volume that others use, too"),
        }
    }

    /// All parts, for layers that take several.
    pub(super) fn sides(&self) -> Vec<Side<'_, A::Memory>> {
        self.parts.iter().map(|part| Side { values: &part.values, channels: part.channels }).collect()
    }

    /// What gradients by this output of a layer go by.
    pub(super) fn id(&self) -> Result<u64> {
        Ok(self.whole()?.id)
    }
}
