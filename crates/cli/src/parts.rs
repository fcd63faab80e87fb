//! Parts of a volume that are drawn by jobs that know nothing of each other, and what is around them.

use crate::failure::bad_input;
use crate::files::is_npy;
use finescale_field::{Boundary, Region};
use finescale_snapshot::GridMeta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// The entry of a part's provenance that says which it is.
pub(crate) const PART: &str = "part";
/// The entry that tells the files that a gridded part was made of.
pub(crate) const FINGERPRINT: &str = "fingerprint_of_sources";

/// Refuses outputs that do not say which part they hold.
pub(crate) fn check_is_grid(output: &Path) -> anyhow::Result<()> {
    match is_npy(output) {
        false => Ok(()),
        true => Err(bad_input(format!(
            "--part: {}: a numpy cube does not say which part it is, so that it could not be joined; name a grid file (.hdf5); join \
             writes cubes",
            output.display()
        ))),
    }
}

/// Cells along an axis that a volume may have.
const MOST_CELLS: usize = usize::MAX >> 4;

/// One of the boxes into which a volume is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartNumber {
    /// From 1 on, the last axis fastest.
    number: usize,
    /// Parts along each axis.
    of: [usize; 3],
}

impl std::fmt::Display for PartNumber {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.of {
            [slabs, 1, 1] => write!(out, "{}/{slabs}", self.number),
            [x, y, z] => write!(out, "{}/{x}x{y}x{z}", self.number),
        }
    }
}

/// I/N for slabs along x, or I/NXxNYxNZ.
pub(crate) fn part_number(text: &str) -> Result<PartNumber, String> {
    let expected = || "I/N, such as 1/4 for the first of four slabs, or I/NXxNYxNZ is needed".to_owned();
    let (number, of) = text.split_once('/').ok_or_else(expected)?;
    let number = number.trim().parse().map_err(|_| expected())?;
    let counts: Option<Vec<usize>> = of.split('x').map(|count| count.trim().parse().ok()).collect();
    let of = match counts.as_deref() {
        Some(&[slabs]) => [slabs, 1, 1],
        Some(&[x, y, z]) => [x, y, z],
        _ => return Err(expected()),
    };
    let all = of.iter().try_fold(1usize, |all, &count| all.checked_mul(count)).unwrap_or(0);
    match (1..=all).contains(&number) {
        true => Ok(PartNumber { number, of }),
        false => Err(format!("there is no part {number} of {of:?}: they are numbered from 1 on")),
    }
}

/// A part and what it shares with others: what the file of a part says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: usize,
    pub(crate) of: [usize; 3],
    /// Cells that a part has beyond its own along axes that are divided.
    pub(crate) halo_cells: usize,
    /// Of the whole volume.
    pub(crate) cells: [usize; 3],
    pub(crate) box_size_mpc_h: [f64; 3],
    pub(crate) boundary: Boundary,
}

impl Part {
    /// The part of a volume.
    ///
    /// # Errors
    /// If parts are so thin that more than two share a cell along an axis.
    pub(crate) fn new(
        PartNumber { number, of }: PartNumber,
        halo_cells: usize,
        (cells, box_size_mpc_h): ([usize; 3], [f64; 3]),
        boundary: Boundary,
    ) -> anyhow::Result<Self> {
        let part = Self { number, of, halo_cells, cells, box_size_mpc_h, boundary };
        part.check()?;
        Ok(part)
    }

    /// What a file says of its part is not taken on trust.
    ///
    /// # Errors
    /// As [`new`](Self::new); if there is no such part.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let &Self { number, of, halo_cells, cells, .. } = self;
        for axis in 0..3 {
            let least = cells[axis].checked_div(of[axis]).unwrap_or(0);
            // So many that sums with a halo stay within integers.
            let is_countable = cells[axis] <= MOST_CELLS;
            if !is_countable || least == 0 || (of[axis] > 1 && least / 2 < halo_cells) {
                return Err(bad_input(format!(
                    "--part: {} parts of {} cells along {} have {least} cells each, and need at least one, and twice the --halo of \
                     {halo_cells}; take fewer parts, or a smaller --halo",
                    of[axis],
                    cells[axis],
                    ["x", "y", "z"][axis]
                )));
            }
        }
        let all = of.iter().try_fold(1usize, |all, &count| all.checked_mul(count));
        if all.is_some_and(|all| (1..=all).contains(&number)) {
            return Ok(());
        }
        Err(bad_input(format!("--part: there is no part {number} of {of:?}")))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.of.iter().product()
    }

    /// Another part of the same volume, as `--part` has it.
    pub(crate) fn named(&self, number: usize) -> PartNumber {
        PartNumber { number, of: self.of }
    }

    /// Cells of the whole volume.
    pub(crate) fn voxels_of_volume(&self) -> f64 {
        self.cells.iter().map(|&n| n as f64).product()
    }

    /// Its place among the parts along each axis.
    fn place(&self) -> [usize; 3] {
        finescale_field::position(self.number - 1, self.of)
    }

    /// Where a part along an axis begins, and the one before it ends.
    pub(crate) fn face(&self, axis: usize, part: usize) -> usize {
        // At most the number of cells.
        (part as u128 * self.cells[axis] as u128 / self.of[axis] as u128) as usize
    }

    /// Cells that it shares below and above, along an axis.
    fn halo(&self, axis: usize) -> [usize; 2] {
        let (place, last) = (self.place()[axis], self.of[axis] - 1);
        let shares = |is_outer: bool| self.of[axis] > 1 && (self.boundary.is_periodic() || !is_outer);
        [place == 0, place == last].map(|is_outer| if shares(is_outer) { self.halo_cells } else { 0 })
    }

    /// Its cells and its halo; it may begin before the first cell of a periodic volume.
    pub(crate) fn region(&self) -> Region {
        let along = |axis: usize| {
            let (place, [below, above]) = (self.place()[axis], self.halo(axis));
            let (start, end) =
                (self.face(axis, place) as i64 - below as i64, self.face(axis, place + 1) + above);
            (start, (end as i64 - start) as usize)
        };
        let [x, y, z] = [along(0), along(1), along(2)];
        Region { start: [x.0, y.0, z.0], shape: [x.1, y.1, z.1] }
    }

    /// Where it begins in its volume, whose cells all are inside.
    fn start_mpc_h(&self) -> [f64; 3] {
        let (start, cells) = (self.region().start, self.cells);
        let voxel = |axis: usize| self.box_size_mpc_h[axis] / cells[axis] as f64;
        [0, 1, 2].map(|axis| start[axis].rem_euclid(cells[axis] as i64) as f64 * voxel(axis))
    }

    /// Says of a field that it is this part.
    pub(crate) fn say(&self, meta: &mut GridMeta) {
        meta.start_mpc_h = Some(self.start_mpc_h());
        meta.provenance[PART] = json!(self);
    }

    /// What each of its cells along an axis counts for: 1, and in what is shared with a neighbour a share that falls towards the outer
    /// end, so that both have 1 together.
    pub(crate) fn weights(&self, axis: usize) -> Vec<f64> {
        let (cells, [below, above]) = (self.region().shape[axis], self.halo(axis));
        let rise = |cells_from_end: usize, halo: usize| {
            let place = (cells_from_end as f64 + 0.5) / (2 * halo) as f64;
            if halo == 0 || place >= 1.0 { 1.0 } else { (std::f64::consts::FRAC_PI_2 * place).sin().powi(2) }
        };
        (0..cells).map(|cell| rise(cell, below) * rise(cells - 1 - cell, above)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: usize, of: [usize; 3], boundary: Boundary) -> Part {
        Part::new(PartNumber { number, of }, 3, ([23, 20, 14], [23.0, 20.0, 14.0]), boundary).unwrap()
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(part_number("2/4"), Ok(PartNumber { number: 2, of: [4, 1, 1] }));
        assert_eq!(part_number("12/2x3x2"), Ok(PartNumber { number: 12, of: [2, 3, 2] }));
        for wrong in ["", "1", "0/4", "5/4", "1/0", "1/2x2", "a/2", "1/4294967296x4294967296x4294967296"] {
            assert!(part_number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_by_hand() {
        let first = part(1, [2, 1, 2], Boundary::Periodic).region();
        assert_eq!((first.start, first.shape), ([-3, 0, -3], [11 + 6, 20, 7 + 6]));
        let last = part(4, [2, 1, 2], Boundary::Open).region();
        assert_eq!((last.start, last.shape), ([8, 0, 4], [15, 20, 10]));
        let thin =
            Part::new(PartNumber { number: 1, of: [4, 1, 1] }, 3, ([23, 20, 14], [1.0; 3]), Boundary::Open);
        assert!(thin.unwrap_err().to_string().contains("5 cells each"));
        // A file may say anything.
        let crafted =
            |number, of, halo_cells| Part { number, of, halo_cells, ..part(1, [2, 1, 2], Boundary::Open) };
        for wrong in [
            crafted(0, [1; 3], 0),
            crafted(9, [2; 3], 0),
            crafted(1, [0, 1, 1], 0),
            crafted(1, [24, 1, 1], 0),
            crafted(1, [2, 1, 1], usize::MAX),
            Part { cells: [usize::MAX; 3], ..crafted(1, [usize::MAX; 3], 0) },
            Part { cells: [usize::MAX, 20, 14], ..crafted(2, [3, 1, 1], 0) },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        let long = Part { cells: [MOST_CELLS, 20, 14], ..crafted(2, [3, 1, 1], 1) };
        long.check().unwrap();
        assert_eq!(long.region().shape[0], MOST_CELLS / 3 + 2);
    }

    #[test]
    fn every_cell_counts_once() {
        for boundary in [Boundary::Periodic, Boundary::Open] {
            for axis in 0..3 {
                let of = [0, 1, 2].map(|other| if other == axis { 2 } else { 1 });
                let mut sums = vec![0.0; part(1, of, boundary).cells[axis]];
                for number in 1..=2 {
                    let part = part(number, of, boundary);
                    let region = part.region();
                    for (offset, weight) in part.weights(axis).into_iter().enumerate() {
                        sums[region.wrapped(axis, offset, part.cells)] += weight;
                    }
                }
                assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-15), "{sums:?}");
            }
        }
    }
}
