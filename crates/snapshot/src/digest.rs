//! A sum over all voxels of a grid, which tells whether they are those that were written.
//!
//! HDF5's own checksum of a chunk calls one of zeros right, as a lost write leaves it.

use crate::SnapshotError;
use crate::attributes::{Attributes, write_scalar};
use ndarray::ArrayView3;

/// The attribute that holds it.
const NAME: &str = "values_digest";

/// A sum over voxels that tells two fields apart, whatever the order in which windows come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Writes it beside the values.
    pub(crate) fn write(self, file: &hdf5::File) -> hdf5::Result<()> {
        write_scalar(file, NAME, self.0)
    }

    /// The one that a file has for its values; files of earlier versions have none.
    pub(crate) fn read(attributes: &Attributes) -> Result<Option<Self>, SnapshotError> {
        if !attributes.has(NAME) {
            return Ok(None);
        }
        match attributes.counts(NAME)?[..] {
            [sum] => Ok(Some(Self(sum))),
            _ => Err(attributes.wrong(NAME, "one number", "several".to_owned())),
        }
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// Adds a block at `start` of a grid of `cells`.
    pub(crate) fn add(&mut self, cells: [usize; 3], start: [usize; 3], block: ArrayView3<f32>) {
        let [_, ny, nz] = cells;
        for (x, plane) in block.outer_iter().enumerate() {
            for (y, row) in plane.outer_iter().enumerate() {
                let first = ((start[0] + x) * ny + start[1] + y) * nz + start[2];
                let voxels = (first as u64..).zip(row);
                let sum =
                    voxels.fold(0u64, |sum, (voxel, value)| sum.wrapping_add(mixed(voxel, value.to_bits())));
                self.0 = self.0.wrapping_add(sum);
            }
        }
    }
}

/// A number that looks random, of a voxel and its value.
///
/// # Source
/// The finalizer of SplitMix64: Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195.
fn mixed(voxel: u64, bits: u32) -> u64 {
    let mut z =
        voxel.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(bits).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, s};

    #[test]
    fn it_knows_every_voxel_and_no_order() {
        let values = Array3::from_shape_fn((3, 4, 5), |(x, y, z)| (x * 20 + y * 5 + z) as f32);
        let cells = [3, 4, 5];
        let of = |values: &Array3<f32>| {
            let mut digest = Digest::default();
            digest.add(cells, [0; 3], values.view());
            digest
        };
        let mut in_parts = Digest::default();
        in_parts.add(cells, [1, 0, 2], values.slice(s![1.., .., 2..]));
        in_parts.add(cells, [0; 3], values.slice(s![..1, .., ..]));
        in_parts.add(cells, [1, 0, 0], values.slice(s![1.., .., ..2]));
        assert_eq!(in_parts, of(&values));
        let mut swapped = values.clone();
        swapped.swap([0, 0, 0], [2, 3, 4]);
        assert_ne!(of(&swapped), of(&values));
        let mut zeros = values.clone();
        zeros.slice_mut(s![1.., .., ..]).fill(0.0);
        assert_ne!(of(&zeros), of(&values));
    }
}
