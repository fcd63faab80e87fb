//! Fields of a volume, in memory or in a raw file: only what is asked for is in memory then.

use crate::OutpaintError;
use crate::journal::Checksum;
use crate::values::Values;
use finescale_field::Region;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Values read at once where the order does not matter.
const BLOCK: usize = 1 << 16;

/// Cells of a volume, and how many fields it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) cells: [usize; 3],
    pub(crate) fields: usize,
}

impl Shape {
    fn voxels(self) -> usize {
        self.cells.iter().product()
    }

    fn values(self) -> usize {
        self.fields * self.voxels()
    }
}

/// The values of a volume's fields, one field after another, z fastest.
#[derive(Debug)]
pub(crate) struct Volume {
    shape: Shape,
    values: Values,
}

impl Volume {
    pub(crate) fn in_memory(shape: Shape) -> Self {
        Self { shape, values: Values::Memory(vec![0.0; shape.values()]) }
    }

    /// A file of zeros, or the one that is there already.
    pub(crate) fn in_file(path: &Path, shape: Shape, exists: bool) -> Result<Self, OutpaintError> {
        let values =
            if exists { Values::open(path, shape.values())? } else { Values::create(path, shape.values())? };
        Ok(Self { shape, values })
    }

    /// A file of zeros without a name beside the file `path`, for this run only.
    pub(crate) fn unnamed(path: &Path, shape: Shape) -> Result<Self, OutpaintError> {
        Ok(Self { shape, values: Values::unnamed(path, shape.values())? })
    }

    pub(crate) fn fields(&self) -> usize {
        self.shape.fields
    }

    /// The values of a region, one field after another.
    pub(crate) fn read(&self, region: &Region) -> Result<Vec<f32>, OutpaintError> {
        let mut window = vec![0f32; self.shape.fields * region.voxels()];
        for (field, window) in window.chunks_exact_mut(region.voxels()).enumerate() {
            self.read_field(field, region, window)?;
        }
        Ok(window)
    }

    /// The values of one field in a region.
    pub(crate) fn read_field(
        &self,
        field: usize,
        region: &Region,
        window: &mut [f32],
    ) -> Result<(), OutpaintError> {
        let first = field * self.shape.voxels();
        self.runs(region)
            .into_iter()
            .try_for_each(|(to, from, length)| self.values.read(first + from, &mut window[to..to + length]))
    }

    /// Overwrites the values of a region.
    pub(crate) fn write(&mut self, region: &Region, window: &[f32]) -> Result<(), OutpaintError> {
        self.write_where(region, window, |_| true)
    }

    /// Overwrites the values of those voxels of a region, counted from its first, that are `wanted`.
    pub(crate) fn write_where(
        &mut self,
        region: &Region,
        window: &[f32],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<(), OutpaintError> {
        for (field, window) in window.chunks_exact(region.voxels()).enumerate() {
            for (from, to, length) in self.runs(region) {
                let first = field * self.shape.voxels() + to;
                let mut offset = 0;
                while offset < length {
                    let start = offset;
                    let is_wanted = wanted(from + start);
                    while offset < length && wanted(from + offset) == is_wanted {
                        offset += 1;
                    }
                    if is_wanted {
                        self.values.write(first + start, &window[from + start..from + offset])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets all values to zero.
    pub(crate) fn clear(&mut self) -> Result<(), OutpaintError> {
        let zeros = [0f32; BLOCK];
        (0..self.shape.values())
            .step_by(BLOCK)
            .try_for_each(|first| self.values.write(first, &zeros[..BLOCK.min(self.shape.values() - first)]))
    }

    /// Waits until all that was written survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), OutpaintError> {
        self.values.sync()
    }

    /// SHA-256 of all values of some volumes.
    pub(crate) fn checksum(volumes: &[Self]) -> Result<Checksum, OutpaintError> {
        let mut hash = Sha256::new();
        let mut block = vec![0f32; BLOCK];
        for volume in volumes {
            let count = volume.shape.values();
            for first in (0..count).step_by(BLOCK) {
                let block = &mut block[..BLOCK.min(count - first)];
                volume.values.read(first, block)?;
                let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
                hash.update(bytes);
            }
        }
        Ok(hash.finalize().into())
    }

    /// Runs along z: (offset in the region, index in a field, length).
    fn runs(&self, region: &Region) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        region.for_each_run(self.shape.cells, |offset, index, length| runs.push((offset, index, length)));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape { cells: [5, 4, 7], fields: 2 };

    fn number(field: usize, index: usize) -> f32 {
        (1000 * field + index) as f32 + 0.5
    }

    fn filled(mut volume: Volume) -> Volume {
        let whole = Region { start: [0; 3], shape: SHAPE.cells };
        let values: Vec<f32> = (0..2).flat_map(|field| (0..140).map(move |i| number(field, i))).collect();
        volume.write(&whole, &values).unwrap();
        assert_eq!(volume.read(&whole).unwrap(), values);
        volume
    }

    proptest! {
        #[test]
        fn regions_wrap_and_files_hold_what_memory_holds(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=5, 1usize..=4, 1usize..=7), keep in 1usize..5,
        ) {
            let region = Region { start, shape: shape.into() };
            let folder = tempfile::tempdir().unwrap();
            let in_file = Volume::in_file(&folder.path().join("volume"), SHAPE, false).unwrap();
            let mut volumes = [filled(Volume::in_memory(SHAPE)), filled(in_file)];
            let checksum = |volume: &Volume| Volume::checksum(std::slice::from_ref(volume)).unwrap();
            prop_assert_eq!(checksum(&volumes[0]), checksum(&volumes[1]));
            for volume in &mut volumes {
                let before = volume.read(&region).unwrap();
                for (offset, &value) in before.iter().enumerate() {
                    let (field, local) = (offset / region.voxels(), offset % region.voxels());
                    let local = finescale_field::position(local, region.shape);
                    let [x, y, z] = [0, 1, 2].map(|axis| region.wrapped(axis, local[axis], SHAPE.cells));
                    prop_assert_eq!(value, number(field, (x * 4 + y) * 7 + z));
                }
                volume.write_where(&region, &vec![-1.0; before.len()], |voxel| voxel.is_multiple_of(keep)).unwrap();
                for (offset, (old, new)) in before.iter().zip(volume.read(&region).unwrap()).enumerate() {
                    prop_assert_eq!(new, if (offset % region.voxels()).is_multiple_of(keep) { -1.0 } else { *old });
                }
            }
            prop_assert_eq!(checksum(&volumes[0]), checksum(&volumes[1]));
            volumes[1].clear().unwrap();
            prop_assert!(volumes[1].read(&region).unwrap().iter().all(|&value| value == 0.0));
        }
    }
}
