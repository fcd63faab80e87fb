//! Whole fields for the page, small enough to be embedded: logarithms in one byte per voxel.

use crate::slices::Slices;
use finescale_field::{Field3, coarsen};
use finescale_judge::Fields;

/// More voxels along x or y are averaged over blocks.
const LARGEST_SIDE: usize = 128;
/// Bytes of all fields together: 4/3 of that in the page.
const LARGEST_TOTAL: usize = 4_300_000;
/// Samples shown.
const SAMPLES_SHOWN: usize = 3;

/// The fields of the interactive slices.
#[derive(Clone, Debug)]
pub(crate) struct Volumes {
    /// Name and bytes of each field, x slowest; 0 to 255 over the range of the slices.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// Cells as shown.
    pub(crate) cells: [usize; 3],
    /// Voxels of the fields in one cell as shown, per axis.
    pub(crate) block: [usize; 3],
    /// The cell through which the first slice goes.
    pub(crate) first: usize,
}

impl Volumes {
    /// Of condition, samples and truth, on the colour scale of `slices`, which begin at its plane.
    pub(crate) fn new(fields: &Fields<'_>, slices: &Slices) -> Self {
        let Fields { truth, condition, samples, .. } = fields;
        let cells = truth.field.grid().cells();
        let shown: Vec<_> =
            condition.iter().chain(samples.iter().take(SAMPLES_SHOWN)).chain([truth]).collect();
        let block = block(cells, shown.len());
        let bytes = |field: &Field3| match coarsen(field, block) {
            Ok(coarse) => coarse.as_slice().iter().map(|&v| quantised(v, slices.range)).collect(),
            Err(_) => Vec::new(),
        };
        let plane = (slices.depth_mpc_h / slices.thickness_mpc_h) as usize;
        Self {
            fields: shown.iter().map(|f| (f.label.clone(), bytes(f.field))).collect(),
            cells: std::array::from_fn(|a| cells[a] / block[a]),
            block,
            first: plane / block[2],
        }
    }
}

/// The smallest blocks that divide the cells and leave little enough.
fn block(cells: [usize; 3], fields: usize) -> [usize; 3] {
    let divisor = |n: usize, least: usize| (least.max(1)..=n).find(|d| n.is_multiple_of(*d)).unwrap_or(n);
    let mut block = cells.map(|n| divisor(n, n.div_ceil(LARGEST_SIDE)));
    let bytes = |block: &[usize; 3]| fields * (0..3).map(|a| cells[a] / block[a]).product::<usize>();
    // Planes along z are dropped first: each is seen one at a time.
    while bytes(&block) > LARGEST_TOTAL && block[2] < cells[2] {
        block[2] = divisor(cells[2], block[2] + 1);
    }
    block
}

fn quantised(density: f32, (low, high): (f64, f64)) -> u8 {
    let position = (f64::from(density.max(0.0)).log10() - low) / (high - low);
    (position.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_fields_are_thinned_along_z_first() {
        assert_eq!(block([64; 3], 4), [1; 3]);
        assert_eq!(block([128; 3], 4), [1, 1, 2]);
        assert_eq!(block([256, 250, 100], 2), [2, 2, 1]);
        assert_eq!(block([512; 3], 5), [4, 4, 16]);
        assert_eq!(block([131, 8, 8], 2), [131, 1, 1]);
    }

    #[test]
    fn densities_become_bytes() {
        assert_eq!([0.0, 0.1, 1.0, 10.0, 1e9].map(|v| quantised(v, (-1.0, 1.0))), [0, 0, 128, 255, 255]);
    }
}
