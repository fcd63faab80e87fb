//! Sums in f64, one for each voxel, in memory that the system hands out in large pages.

use crate::{FieldError, available_memory_bytes};
use std::ops::{Deref, DerefMut};

/// As many zeros as a grid has voxels.
///
/// A sum is read before it is written: in ordinary memory, each page would be given twice, first a page of zeros that
/// everybody shares, then one of its own. With pages of 4 kB that second time took two thirds of the time for 1e7 particles on 512^3 voxels (`perf`, two threads).
#[derive(Debug)]
pub(crate) struct Sums(memmap2::MmapMut);

impl Sums {
    /// # Errors
    /// [`FieldError::Memory`] if there is no room for them.
    pub(crate) fn zeros(voxels: usize) -> Result<Self, FieldError> {
        let bytes = voxels * size_of::<f64>();
        let map = memmap2::MmapMut::map_anon(bytes).map_err(|_| FieldError::Memory {
            what: format!("the sums of {voxels} voxels"),
            needed: bytes as u128,
            available: available_memory_bytes(),
        })?;
        // Where the system has no large pages, small ones do.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }
}

impl Deref for Sums {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Sums {
    fn deref_mut(&mut self) -> &mut [f64] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
