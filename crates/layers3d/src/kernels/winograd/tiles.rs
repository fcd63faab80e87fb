//! The voxels of a batch as tiles, and outputs in memory that tasks share out by tiles.
#![allow(unsafe_code, reason = "tiles are scattered over the memory, and tasks write them side by side")]

use super::tile::Tile;
use crate::arithmetic::ConvolutionShape;
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// The lowest voxel of a tile's outputs.
pub(super) type TilePlace = [usize; 3];

/// Places of tiles, sample after sample.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    size: usize,
    counts: [usize; 3],
    pub(super) total: usize,
}

impl Tiles {
    pub(super) fn new<T: Tile>(shape: &ConvolutionShape) -> Self {
        let counts = shape.extents.map(|n| n.div_ceil(T::OUTPUTS));
        Self { size: T::OUTPUTS, counts, total: shape.batch * counts.iter().product::<usize>() }
    }

    /// Sample and place of tile `index`.
    pub(super) fn place(&self, index: usize) -> (usize, TilePlace) {
        let [nx, ny, nz] = self.counts;
        let (z, rest) = (index % nz, index / nz);
        let (y, rest) = (rest % ny, rest / ny);
        (rest / nx, [rest % nx, y, z].map(|i| i * self.size))
    }
}

/// A range of tiles of the outputs (b, x, y, z, c), which nobody else uses.
pub(super) struct OutputTiles<'a> {
    /// The memory of all tiles.
    at: *mut f32,
    tiles: Tiles,
    range: Range<usize>,
    extents: [usize; 3],
    channels: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: no two of them have a tile in common, and tiles have no voxel in common, so one is as good as a
// `&mut [f32]`.
unsafe impl Send for OutputTiles<'_> {}
// SAFETY: a shared one has the private `part` only, whose callers vouch for different tiles.
unsafe impl Sync for OutputTiles<'_> {}

impl<'a> OutputTiles<'a> {
    /// All tiles of the outputs.
    pub(super) fn new<T: Tile>(values: &'a mut [f32], shape: &ConvolutionShape) -> Self {
        assert_eq!(values.len(), shape.batch * shape.voxels() * shape.outputs);
        let tiles = Tiles::new::<T>(shape);
        Self {
            at: values.as_mut_ptr(),
            tiles,
            range: 0..tiles.total,
            extents: shape.extents,
            channels: shape.outputs,
            memory: PhantomData,
        }
    }

    /// # Safety
    /// The range is part of this one's, and no two parts in use at a time have a tile in common.
    unsafe fn part(&self, range: Range<usize>) -> Self {
        Self { range, ..*self }
    }

    /// A range of these tiles.
    pub(super) fn among(&mut self, range: Range<usize>) -> OutputTiles<'_> {
        assert!(range.start >= self.range.start && range.end <= self.range.end);
        // SAFETY: checked, and these tiles are borrowed for this part alone.
        unsafe { self.part(range) }
    }

    /// `count` tiles after the other, for a task each.
    pub(super) fn par_chunks(self, count: usize) -> impl IndexedParallelIterator<Item = Self> {
        (0..self.range.len().div_ceil(count)).into_par_iter().map(move |chunk| {
            let start = self.range.start + chunk * count;
            // SAFETY: chunks lie within these tiles without overlap, and are all that is left of them.
            unsafe { self.part(start..self.range.end.min(start + count)) }
        })
    }

    /// The tile `index`, counted over the whole batch.
    pub(super) fn tile(&mut self, index: usize) -> OutputTile<'_> {
        assert!(self.range.contains(&index));
        let (sample, place) = self.tiles.place(index);
        let counts = std::array::from_fn(|axis| self.tiles.size.min(self.extents[axis] - place[axis]));
        // SAFETY: `new` checked that the memory holds all samples.
        let at = unsafe { self.at.add(sample * self.extents.iter().product::<usize>() * self.channels) };
        let &mut Self { extents, channels, .. } = self;
        OutputTile { at, place, counts, extents, channels, memory: PhantomData }
    }
}

/// The voxels of one tile, which nobody else uses.
pub(super) struct OutputTile<'a> {
    /// The memory of the whole sample.
    at: *mut f32,
    place: TilePlace,
    counts: [usize; 3],
    extents: [usize; 3],
    channels: usize,
    memory: PhantomData<&'a mut [f32]>,
}

impl OutputTile<'_> {
    /// Voxels along each axis: less than a tile at the far faces of the volume.
    pub(super) fn counts(&self) -> [usize; 3] {
        self.counts
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Values of the sample.
    pub(super) fn sample_len(&self) -> usize {
        self.extents.iter().product::<usize>() * self.channels
    }

    /// Index in the sample of the first channel of the tile's voxel (x, y, 0); z adds [`OutputTile::channels`] each.
    #[inline(always)]
    pub(super) fn line(&self, x: usize, y: usize) -> usize {
        let [_, ny, nz] = self.extents;
        (((self.place[0] + x) * ny + self.place[1] + y) * nz + self.place[2]) * self.channels
    }

    /// Where the value of an index in the sample goes.
    ///
    /// # Safety
    /// The index is that of a channel of one of the tile's voxels.
    #[inline(always)]
    pub(super) unsafe fn at(&mut self, index: usize) -> *mut f32 {
        debug_assert!(index < self.sample_len());
        // SAFETY: voxels of the tile lie within the sample.
        unsafe { self.at.add(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tile::{Four, Two};
    use super::*;

    fn hits<T: Tile>(extents: [usize; 3]) -> Vec<f32> {
        let shape = ConvolutionShape { batch: 2, inputs: 1, outputs: 3, extents };
        let mut values = vec![0f32; 2 * shape.voxels() * 3];
        let mut tiles = OutputTiles::new::<T>(&mut values, &shape);
        let total = Tiles::new::<T>(&shape).total;
        for first in (0..total).step_by(7) {
            let part = tiles.among(first..total.min(first + 7));
            part.par_chunks(2).for_each(|mut tiles| {
                for index in tiles.range.clone() {
                    let mut tile = tiles.tile(index);
                    let [nx, ny, nz] = tile.counts();
                    for (x, y) in (0..nx * ny).map(|line| (line / ny, line % ny)) {
                        for at in (tile.line(x, y)..).take(nz * 3) {
                            // SAFETY: a channel of a voxel of the tile.
                            unsafe { *tile.at(at) += 1.0 };
                        }
                    }
                }
            });
        }
        values
    }

    #[test]
    fn every_voxel_is_in_one_tile() {
        for extents in [[1, 1, 1], [2, 4, 8], [5, 3, 9]] {
            assert!(hits::<Two>(extents).iter().all(|&hits| hits == 1.0));
            assert!(hits::<Four>(extents).iter().all(|&hits| hits == 1.0));
        }
    }

    #[test]
    #[should_panic(expected = "contains")]
    fn a_tile_of_others_is_refused() {
        let shape = ConvolutionShape { batch: 1, inputs: 1, outputs: 1, extents: [4, 4, 4] };
        let mut values = [0f32; 64];
        OutputTiles::new::<Two>(&mut values, &shape).among(2..4).tile(4);
    }
}
