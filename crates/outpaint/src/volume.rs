//! Fields of a volume, in memory or in a raw file: only what is asked for is in memory then.

use crate::OutpaintError;
use crate::journal::Checksum;
use crate::values::{Number, Values, bytes_of};
use finescale_durable::Draft;
use finescale_field::Region;
use finescale_ranks::Ranks;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;

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

    /// Voxels of a plane of equal x.
    pub(crate) fn of_plane(self) -> usize {
        self.cells[1] * self.cells[2]
    }
}

/// The values of a volume's fields, one field after another, z fastest: of all its planes along x, or of those that this
/// process holds.
#[derive(Debug)]
pub(crate) struct Volume<T = f32> {
    shape: Shape,
    /// Of each plane, where it is among those of a field; none if another process has it.
    places: Vec<Option<usize>>,
    /// Planes of a field between those of two fields.
    stride: usize,
    values: Values<T>,
}

impl<T: Number> Volume<T> {
    pub(crate) fn in_memory(shape: Shape) -> Self {
        Self::some_in_memory(shape, 0..shape.cells[0])
    }

    /// Zeros on some planes, in their order.
    pub(crate) fn some_in_memory(shape: Shape, planes: impl IntoIterator<Item = usize>) -> Self {
        let mut places = vec![None; shape.cells[0]];
        let mut stride = 0;
        for plane in planes {
            places[plane] = Some(stride);
            stride += 1;
        }
        let values = vec![T::default(); shape.fields * stride * shape.of_plane()];
        Self { shape, places, stride, values: Values::Memory(values) }
    }

    /// A file of zeros, or the one that is there already.
    pub(crate) fn in_file(path: &Path, shape: Shape, exists: bool) -> Result<Self, OutpaintError> {
        let values =
            if exists { Values::open(path, shape.values())? } else { Values::create(path, shape.values())? };
        Ok(Self::of_all(shape, values))
    }

    /// A file that another rank has made.
    pub(crate) fn in_existing_file(path: &Path, shape: Shape) -> Result<Self, OutpaintError> {
        Ok(Self::of_all(shape, Values::open_existing(path, shape.values())?))
    }

    /// A file of zeros without a name beside the file `path`, for this run only.
    pub(crate) fn unnamed(path: &Path, shape: Shape) -> Result<Self, OutpaintError> {
        Ok(Self::of_all(shape, Values::unnamed(path, shape.values())?))
    }

    /// The same with a name, which other ranks open it by, until the draft is dropped.
    pub(crate) fn draft(path: &Path, shape: Shape) -> Result<(Self, Draft), OutpaintError> {
        let (values, draft) = Values::draft(path, shape.values())?;
        Ok((Self::of_all(shape, values), draft))
    }

    fn of_all(shape: Shape, values: Values<T>) -> Self {
        let planes = shape.cells[0];
        Self { shape, places: (0..planes).map(Some).collect(), stride: planes, values }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn fields(&self) -> usize {
        self.shape.fields
    }

    /// Whether plane `x` is here.
    pub(crate) fn holds(&self, x: usize) -> bool {
        self.places[x].is_some()
    }

    /// The values of a region, one field after another.
    pub(crate) fn read(&self, region: &Region) -> Result<Vec<T>, OutpaintError> {
        let mut window = vec![T::default(); self.shape.fields * region.voxels()];
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
        window: &mut [T],
    ) -> Result<(), OutpaintError> {
        self.runs(region)
            .into_iter()
            .try_for_each(|(to, from, length)| self.read_run(field, from, &mut window[to..to + length]))
    }

    /// The values of one field from voxel `index` on, within a plane.
    pub(crate) fn read_run(&self, field: usize, index: usize, out: &mut [T]) -> Result<(), OutpaintError> {
        self.values.read(self.place(field, index), out)
    }

    /// Overwrites the values of one field from voxel `index` on, within a plane.
    pub(crate) fn write_run(
        &mut self,
        field: usize,
        index: usize,
        values: &[T],
    ) -> Result<(), OutpaintError> {
        self.values.write(self.place(field, index), values)
    }

    /// Overwrites the values of a region.
    pub(crate) fn write(&mut self, region: &Region, window: &[T]) -> Result<(), OutpaintError> {
        self.write_where(region, window, |_| true)
    }

    /// Overwrites the values of those voxels of a region, counted from its first, that are `wanted`.
    pub(crate) fn write_where(
        &mut self,
        region: &Region,
        window: &[T],
        wanted: impl Fn(usize) -> bool,
    ) -> Result<(), OutpaintError> {
        for (field, window) in window.chunks_exact(region.voxels()).enumerate() {
            for (from, to, length) in self.runs(region) {
                let first = self.place(field, to);
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

    /// Sets all values of some planes to zero.
    pub(crate) fn clear(&mut self, planes: Range<usize>) -> Result<(), OutpaintError> {
        let zeros = vec![T::default(); self.shape.of_plane()];
        for field in 0..self.shape.fields {
            for plane in planes.clone() {
                self.write_run(field, plane * zeros.len(), &zeros)?;
            }
        }
        Ok(())
    }

    /// Waits until all that was written survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), OutpaintError> {
        self.values.sync()
    }

    /// SHA-256 of each of some planes: of their values in each of some volumes, field by field.
    fn plane_checksums(volumes: &[Self], planes: Range<usize>) -> Result<Vec<Checksum>, OutpaintError> {
        let of_plane = |plane: usize| -> Result<Checksum, OutpaintError> {
            let mut hash = Sha256::new();
            for volume in volumes {
                let mut values = vec![T::default(); volume.shape.of_plane()];
                for field in 0..volume.shape.fields {
                    volume.read_run(field, plane * volume.shape.of_plane(), &mut values)?;
                    hash.update(bytes_of(&values));
                }
            }
            Ok(hash.finalize().into())
        };
        planes.into_par_iter().map(of_plane).collect()
    }

    /// What tells the values of some volumes of one shape from others: SHA-256 of those of their planes. All ranks call this,
    /// each has its slab, and all have the answer.
    pub(crate) fn checksum(volumes: &[Self], ranks: &Ranks) -> Result<Checksum, OutpaintError> {
        let planes = volumes.first().map_or(0, |volume| volume.shape.cells[0]);
        let ours = Self::plane_checksums(volumes, ranks.share(planes))?;
        Ok(Sha256::digest(ranks.gather(&ours)?.concat().concat()).into())
    }

    /// Where voxel `index` of a field is among the values.
    fn place(&self, field: usize, index: usize) -> usize {
        let of_plane = self.shape.of_plane();
        let plane = self.places[index / of_plane].expect("who reads and writes knows which planes are here");
        (field * self.stride + plane) * of_plane + index % of_plane
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
            let checksum = |volume: &Volume| Volume::checksum(std::slice::from_ref(volume), &Ranks::alone()).unwrap();
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
            volumes[1].clear(0..5).unwrap();
            prop_assert!(volumes[1].read(&region).unwrap().iter().all(|&value| value == 0.0));
        }
    }
}
