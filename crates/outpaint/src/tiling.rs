//! Windows that stay where they are, for outpainting.

use crate::{Boundaries, OutpaintError};
use finescale_field::{Boundary, Region, position};
use ndarray::Array3;
use std::ops::Range;

/// Windows of one size over a volume, numbered in raster order (z fastest).
///
/// Per axis of N cells, windows of w cells that overlap by o or more: m = ceil(N / (w - o)) origins floor(i N / m)
/// in a periodic axis, m = ceil((N - o) / (w - o)) origins floor(i (N - w) / (m - 1)) in an open one, and one
/// window where N = w.
///
/// A periodic axis closes only if the last window lies between voxels known on both sides, which needs strides
/// N / m longer than half a window. Where the overlap asked for is too large for that, m is the largest that closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    cells: [usize; 3],
    window_cells: usize,
    boundaries: Boundaries,
    origins: [Vec<usize>; 3],
    margins: [usize; 3],
}

impl Tiling {
    /// The lattice of windows of `window_cells`^3 over a volume of `cells`, overlapping by `overlap_cells` or more.
    ///
    /// # Errors
    /// [`OutpaintError::SmallerThanWindow`] if an axis is shorter than a window, [`OutpaintError::Overlap`] if the
    /// overlap is not smaller than the window.
    pub fn new(
        cells: [usize; 3],
        window_cells: usize,
        overlap_cells: usize,
        boundaries: impl Into<Boundaries>,
    ) -> Result<Self, OutpaintError> {
        let boundaries = boundaries.into();
        check_windows(cells, window_cells, overlap_cells)?;
        let origins = |axis: usize| {
            let n: usize = cells[axis];
            match boundaries.along(axis) {
                Boundary::Periodic => {
                    let windows = periodic_windows(n, window_cells, overlap_cells);
                    periodic_origins(n, windows)
                }
                Boundary::Open => {
                    let windows = (n - overlap_cells).div_ceil(window_cells - overlap_cells);
                    open_origins(n, window_cells, windows)
                }
            }
        };
        let origins = [0, 1, 2].map(origins);
        Ok(Self { cells, window_cells, boundaries, origins, margins: [0; 3] })
    }

    /// A lattice whose windows of even number share no cell along an axis, and those of odd number neither: the
    /// number of windows is even in a periodic axis, and no two windows two apart meet.
    ///
    /// # Errors
    /// As [`Tiling::new`].
    pub fn alternating(
        cells: [usize; 3],
        window_cells: usize,
        overlap_cells: usize,
        boundaries: impl Into<Boundaries>,
    ) -> Result<Self, OutpaintError> {
        let mut tiling = Self::new(cells, window_cells, overlap_cells, boundaries)?;
        let origins = |axis: usize| {
            let n: usize = cells[axis];
            match tiling.boundaries.along(axis) {
                Boundary::Periodic if n == window_cells => vec![0],
                Boundary::Periodic => {
                    let wanted = n.div_ceil(window_cells - overlap_cells).next_multiple_of(2);
                    // Two strides hold a window; two windows always cover what is shorter than four.
                    periodic_origins(n, wanted.min(2 * n / window_cells / 2 * 2))
                }
                Boundary::Open => {
                    let mut windows = (n - overlap_cells).div_ceil(window_cells - overlap_cells);
                    while windows > 2 && 2 * (n - window_cells) / (windows - 1) < window_cells {
                        windows -= 1;
                    }
                    open_origins(n, window_cells, windows)
                }
            }
        };
        tiling.origins = [0, 1, 2].map(origins);
        Ok(tiling)
    }

    /// The same lattice, whose windows leave the `margin_cells` before their faces to the windows that go on from
    /// there, but less than half of an axis' overlap: a window does not see what lies beyond its faces, and a window
    /// that does draws better what is next to them. No face of the volume has a margin.
    #[must_use]
    pub fn with_margins(mut self, margin_cells: usize) -> Self {
        self.margins = self.overlap_cells().map(|overlap| margin_cells.min(overlap.saturating_sub(1) / 2));
        self
    }

    /// Cells of the volume.
    #[must_use]
    pub fn cells(&self) -> [usize; 3] {
        self.cells
    }

    /// Cells of a window per axis.
    #[must_use]
    pub fn window_cells(&self) -> usize {
        self.window_cells
    }

    /// Windows per axis.
    #[must_use]
    pub fn windows_per_axis(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.origins[axis].len())
    }

    /// Number of windows.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows_per_axis().iter().product()
    }

    fn is_periodic(&self, axis: usize) -> bool {
        self.boundaries.along(axis).is_periodic()
    }

    /// Least overlap of neighbouring windows per axis, in cells; a whole window where there is only one.
    #[must_use]
    pub fn overlap_cells(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| {
            let origins = &self.origins[axis];
            let around = (self.is_periodic(axis) && origins.len() > 1).then_some(self.cells[axis]);
            let ends = origins.iter().skip(1).copied().chain(around);
            let longest_stride = origins.iter().zip(ends).map(|(start, next)| next - start).max();
            self.window_cells - longest_stride.unwrap_or(0)
        })
    }

    /// The cells of window `window`, in the volume's coordinates.
    ///
    /// # Panics
    /// If there is no such window.
    #[must_use]
    pub fn region(&self, window: usize) -> Region {
        let at = self.position(window);
        let start = [0, 1, 2].map(|axis| self.origins[axis][at[axis]] as i64);
        Region::cube(start, self.window_cells)
    }

    /// Which voxels of window `window` are to be generated (1), and which are known from the windows that are
    /// `finished` (0): all of theirs but the margins.
    ///
    /// # Panics
    /// If there is no such window.
    #[must_use]
    pub fn unknown(&self, window: usize, finished: impl Fn(usize) -> bool) -> Array3<f32> {
        let at = self.position(window);
        let mut unknown = Array3::ones([self.window_cells; 3]);
        let shared = [0, 1, 2].map(|axis| self.shared_cells(axis, at[axis]));
        for (i, x_shared) in &shared[0] {
            for (j, y_shared) in &shared[1] {
                for (k, z_shared) in &shared[2] {
                    let [_, ny, nz] = self.windows_per_axis();
                    if finished((i * ny + j) * nz + k) {
                        clear(&mut unknown, [x_shared, y_shared, z_shared]);
                    }
                }
            }
        }
        unknown
    }

    /// The cells that window `window` is to fill, by axis, in coordinates of that window: all but the margins.
    pub(crate) fn core(&self, window: usize) -> [Range<usize>; 3] {
        let at = self.position(window);
        [0, 1, 2].map(|axis| self.core_of(axis, at[axis]))
    }

    fn core_of(&self, axis: usize, index: usize) -> Range<usize> {
        let (n, w, margin) = (self.cells[axis], self.window_cells, self.margins[axis]);
        let start = self.origins[axis][index];
        let goes_on = |inside: bool| n > w && (inside || self.is_periodic(axis));
        let margin_if = |goes_on| if goes_on { margin } else { 0 };
        margin_if(goes_on(start > 0))..w - margin_if(goes_on(start + w < n))
    }

    /// Where what the windows of an axis fill begins and ends, by window.
    pub(crate) fn cores(&self, axis: usize) -> Vec<Range<usize>> {
        let origins = self.origins[axis].iter().enumerate();
        let core = |(index, start): (usize, &usize)| {
            let core = self.core_of(axis, index);
            start + core.start..start + core.end
        };
        origins.map(core).collect()
    }

    /// The windows whose cores window `window` sees, itself among them.
    pub(crate) fn sharing(&self, window: usize) -> Vec<usize> {
        let at = self.position(window);
        let [_, ny, nz] = self.windows_per_axis();
        let shared = [0, 1, 2].map(|axis| self.shared_cells(axis, at[axis]));
        let others = |axis: usize| shared[axis].iter().map(|(other, _)| *other);
        others(0)
            .flat_map(|i| others(1).flat_map(move |j| others(2).map(move |k| (i * ny + j) * nz + k)))
            .collect()
    }

    /// Faces wrapped, sorted, each once, and without the faces of the volume if the axis is open.
    pub(crate) fn inner_faces(&self, axis: usize, faces: impl Iterator<Item = usize>) -> Vec<usize> {
        let n = self.cells[axis];
        let mut faces: Vec<usize> = faces.map(|face| face % n).collect();
        faces.retain(|&face| face > 0 || self.is_periodic(axis));
        faces.sort_unstable();
        faces.dedup();
        faces
    }

    /// Whether the numbers of window `window` are even (0) or odd (1), by axis.
    pub(crate) fn parity(&self, window: usize) -> [usize; 3] {
        self.position(window).map(|index| index % 2)
    }

    /// The windows of an axis whose cores window `index` sees (its own among them), with the runs of cells that it
    /// sees in coordinates of that window.
    fn shared_cells(&self, axis: usize, index: usize) -> Vec<(usize, Vec<(usize, usize)>)> {
        let (n, w) = (self.cells[axis] as i64, self.window_cells as i64);
        let cores: Vec<Range<usize>> = self.cores(axis);
        let origin = |index: usize| self.origins[axis][index] as i64;
        let shared = |other: usize| -> Vec<(usize, usize)> {
            // The other window and its periodic images to both sides.
            let images = [-n, 0, n].map(|image| image - origin(index));
            let (first, end) = (cores[other].start as i64, cores[other].end as i64);
            let clipped = images.map(|image| ((first + image).max(0), (end + image).min(w)));
            let runs = clipped.into_iter().filter(|(start, end_exclusive)| start < end_exclusive);
            runs.map(|(start, end_exclusive)| (start as usize, end_exclusive as usize)).collect()
        };
        let all = (0..self.origins[axis].len()).map(|other| (other, shared(other)));
        all.filter(|(_, runs)| !runs.is_empty()).collect()
    }

    fn position(&self, window: usize) -> [usize; 3] {
        assert!(window < self.windows(), "window {window} of {}", self.windows());
        position(window, self.windows_per_axis())
    }
}

/// Windows of a periodic axis: as the overlap asks, or the most that close.
fn periodic_windows(n: usize, w: usize, overlap: usize) -> usize {
    if n == w { 1 } else { n.div_ceil(w - overlap).min((2 * n).div_ceil(w) - 1) }
}

fn periodic_origins(n: usize, windows: usize) -> Vec<usize> {
    (0..windows).map(|i| i * n / windows).collect()
}

fn open_origins(n: usize, w: usize, windows: usize) -> Vec<usize> {
    (0..windows).map(|i| i * (n - w) / (windows - 1).max(1)).collect()
}

fn clear(unknown: &mut Array3<f32>, runs: [&[(usize, usize)]; 3]) {
    for &(x_start, x_end) in runs[0] {
        for &(y_start, y_end) in runs[1] {
            for &(z_start, z_end) in runs[2] {
                unknown.slice_mut(ndarray::s![x_start..x_end, y_start..y_end, z_start..z_end]).fill(0.0);
            }
        }
    }
}

/// Checks that windows advance and fit, before anything is drawn or counted by them.
pub(crate) fn check_windows(
    cells: [usize; 3],
    window_cells: usize,
    overlap_cells: usize,
) -> Result<(), OutpaintError> {
    if overlap_cells >= window_cells {
        return Err(OutpaintError::Overlap { window_cells, overlap_cells });
    }
    if cells.iter().any(|&n| n < window_cells) {
        return Err(OutpaintError::SmallerThanWindow { cells, window_cells });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::{Field3, Grid};
    use proptest::prelude::*;

    /// How often raster order generates each voxel, by plain indexing.
    fn times_generated(tiling: &Tiling) -> Vec<f32> {
        let mut times = Field3::zeros(Grid::new(tiling.cells(), [1.0; 3]).unwrap());
        for window in 0..tiling.windows() {
            let region = tiling.region(window);
            let before = times.extract(&region).unwrap();
            let unknown = tiling.unknown(window, |other| other < window);
            // What is filled, and nothing else, is known.
            assert_eq!(unknown, before.mapv(|count| if count > 0.0 { 0.0 } else { 1.0 }));
            assert!(unknown.sum() > 0.0, "window {window} has nothing to generate");
            times.insert(&region, (before + &unknown).view()).unwrap();
        }
        times.as_slice().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_voxel_is_generated_exactly_once(
            extra in prop::array::uniform3(0usize..14), window in 1usize..7, overlap in 0usize..6, periodic: bool,
        ) {
            let boundary = Boundary::from_periodic(periodic);
            let cells = extra.map(|n| window + n);
            let tiling = Tiling::new(cells, window, overlap % window, boundary).unwrap();
            prop_assert!(times_generated(&tiling).iter().all(|&count| count == 1.0));
        }

        #[test]
        fn windows_overlap_as_asked_or_as_much_as_closing_allows(n in 32usize..400, overlap in 0usize..32) {
            let overlap_of = |boundary| Tiling::new([n; 3], 32, overlap, boundary).unwrap().overlap_cells()[0];
            prop_assert!(overlap_of(Boundary::Open) >= overlap);
            // Up to a quarter of a window the strides never come down to half a window.
            if overlap <= 8 {
                prop_assert!(overlap_of(Boundary::Periodic) >= overlap);
            }
        }

        #[test]
        fn the_last_window_of_a_periodic_axis_lies_between_known_voxels(extra in 1usize..300, overlap in 0usize..32) {
            let tiling = Tiling::new([32, 32, 32 + extra], 32, overlap, Boundary::Periodic).unwrap();
            let last = tiling.windows() - 1;
            let unknown = tiling.unknown(last, |other| other < last);
            let row: Vec<f32> = unknown.slice(ndarray::s![0, 0, ..]).to_vec();
            let first = row.iter().position(|&u| u == 1.0).unwrap();
            let end = row.iter().rposition(|&u| u == 1.0).unwrap() + 1;
            let shared = tiling.overlap_cells()[2];
            prop_assert!(first >= shared && row.len() - end >= shared, "known {first} and {}, overlap {shared}", 32 - end);
        }
    }

    #[test]
    fn the_lattice_by_hand() {
        let tiling = Tiling::new([64, 48, 32], 32, 8, Boundary::Periodic).unwrap();
        assert_eq!(tiling.windows_per_axis(), [3, 2, 1]);
        assert_eq!(tiling.overlap_cells(), [10, 8, 32]);
        assert_eq!(tiling.region(3).start, [21, 24, 0]);
        assert_eq!(tiling.region(4).start, [42, 0, 0]);
        // The reference's 528^3 at half a window of overlap: 21 windows close the box, 22 would not.
        assert_eq!(Tiling::new([528; 3], 48, 24, Boundary::Periodic).unwrap().windows(), 21 * 21 * 21);
        assert_eq!(Tiling::new([528; 3], 48, 24, Boundary::Open).unwrap().windows(), 21 * 21 * 21);
        assert_eq!(Tiling::new([264; 3], 48, 24, Boundary::Open).unwrap().windows(), 1000);
    }

    #[test]
    fn the_closing_window_knows_both_sides_of_every_axis() {
        let tiling = Tiling::new([64; 3], 32, 8, Boundary::Periodic).unwrap();
        let last = tiling.windows() - 1;
        let unknown = tiling.unknown(last, |other| other < last);
        // Window 42..74 between cells known up to 53 and from 64 on.
        for ((x, y, z), &value) in unknown.indexed_iter() {
            let inside = [x, y, z].iter().all(|cell| (11..22).contains(cell));
            assert_eq!(value == 1.0, inside, "{x} {y} {z}");
        }
    }

    #[test]
    fn margins_are_left_to_windows_that_go_on_from_there() {
        let tiling = |boundary| Tiling::new([64, 64, 32], 32, 8, boundary).unwrap().with_margins(3);
        let periodic = tiling(Boundary::Periodic);
        assert_eq!(periodic.core(0), [3..29, 3..29, 0..32]);
        // Window 42..74 in x lies between cores that end at 21 + 29 and begin at 64 + 3.
        let last = periodic.unknown(6, |other| other < 6);
        let row: Vec<usize> = (0..32).filter(|&x| last[[x, 5, 0]] == 1.0).collect();
        assert_eq!(row, (8..25).collect::<Vec<_>>());
        // An open volume has no margins at its own faces: windows 0, 16, 32.
        let open = tiling(Boundary::Open);
        assert_eq!([0, 3, 6].map(|window| open.core(window)[0].clone()), [0..29, 3..29, 3..32]);
        // Less than half of the overlap, 10 or 16 cells here.
        assert_eq!(periodic.clone().with_margins(9).core(0)[0], 4..28);
        let apart = Tiling::new([64; 3], 32, 0, Boundary::Periodic).unwrap().with_margins(3);
        assert_eq!(apart.core(0), [0..32, 0..32, 0..32]);
    }

    #[test]
    fn impossible_lattices_are_refused() {
        let error = Tiling::new([32, 32, 31], 32, 8, Boundary::Periodic).unwrap_err();
        assert!(matches!(error, OutpaintError::SmallerThanWindow { window_cells: 32, .. }));
        let error = Tiling::new([64; 3], 32, 32, Boundary::Open).unwrap_err();
        assert!(matches!(error, OutpaintError::Overlap { .. }));
    }
}
