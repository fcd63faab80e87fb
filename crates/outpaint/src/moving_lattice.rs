//! The moving lattice of windows that joint sampling evaluates at one step.

use crate::tiling::check_windows;
use crate::{Boundary, Joint, OutpaintError};
use finescale_diffusion::{Levels, sigma_of_alpha_bar};
use finescale_field::{Region, position};
use finescale_seed::{KeyedStream, Purpose, Sequence};

/// Windows that cover a volume, with weights that add up to one at every voxel.
///
/// Per periodic axis of N cells, windows of w cells that overlap by o or more: m = ceil(N / (w − o)) windows from
/// floor(i N / m) + shift on. In an open axis they stay inside, from i (w − o) − shift on, and the faces stay.
#[derive(Clone, Debug)]
pub(crate) struct MovingLattice {
    window_cells: usize,
    axes: [Axis; 3],
}

/// Cells in the middle of what windows share, over which one passes to the next. What is nearer to a window's face is
/// its neighbour's: the network sees nothing beyond a face.
const PASSAGE_CELLS: usize = 4;
/// What weighs least, so that an open volume's own faces have a weight: before division by the sum of weights.
const LEAST_WEIGHT: f32 = 1e-4;

#[derive(Clone, Debug)]
struct Axis {
    /// Cells at the ends of windows that weigh nothing.
    weightless: usize,
    starts: Vec<i64>,
    /// Of each window, the weight of each of its cells.
    weights: Vec<Vec<f32>>,
}

impl MovingLattice {
    /// The lattices of the steps of a sample, one for each level of noise: at a keyed shift, and overlapping at little
    /// noise.
    pub(crate) fn at_each_level(
        joint: Joint,
        levels: &Levels,
        seed: u64,
        cells: [usize; 3],
        window_cells: usize,
        boundary: Boundary,
    ) -> Result<Vec<Self>, OutpaintError> {
        check_windows(cells, window_cells, 0)?;
        let shifts = KeyedStream::new(seed, Purpose::WindowShift);
        let lattice = |(step, &alpha_bar): (usize, &f64)| {
            let overlaps = sigma_of_alpha_bar(alpha_bar) < joint.overlap_below_sigma;
            let overlap = if overlaps { joint.overlap_cells } else { 0 };
            let mut sequence = Sequence::new(shifts, step as u32);
            let shift = cells.map(|n| sequence.below(n));
            Self::new(cells, window_cells, overlap, boundary, shift)
        };
        levels.alpha_bars().iter().enumerate().map(lattice).collect()
    }

    /// The lattice at `shift`, any numbers.
    ///
    /// # Errors
    /// [`OutpaintError::SmallerThanWindow`] if an axis is shorter than a window, [`OutpaintError::Overlap`] if the
    /// overlap is not smaller than the window.
    pub(crate) fn new(
        cells: [usize; 3],
        window_cells: usize,
        overlap_cells: usize,
        boundary: Boundary,
        shift: [usize; 3],
    ) -> Result<Self, OutpaintError> {
        check_windows(cells, window_cells, overlap_cells)?;
        let stride = window_cells - overlap_cells;
        let axes = [0, 1, 2].map(|axis| match boundary {
            Boundary::Periodic => Axis::periodic(cells[axis], window_cells, stride, shift[axis]),
            Boundary::Open => Axis::open(cells[axis], window_cells, stride, shift[axis]),
        });
        Ok(Self { window_cells, axes })
    }

    pub(crate) fn windows_per_axis(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.axes[axis].starts.len())
    }

    pub(crate) fn windows(&self) -> usize {
        self.windows_per_axis().iter().product()
    }

    fn position(&self, window: usize) -> [usize; 3] {
        position(window, self.windows_per_axis())
    }

    /// The cells of window `window` (z fastest), in the volume's coordinates before wrapping.
    pub(crate) fn region(&self, window: usize) -> Region {
        let at = self.position(window);
        Region::cube([0, 1, 2].map(|axis| self.axes[axis].starts[at[axis]]), self.window_cells)
    }

    /// Where the weights of windows begin and end, by axis, wrapped, sorted, each once, without the faces of an open
    /// volume.
    pub(crate) fn faces(&self, cells: [usize; 3], boundary: Boundary) -> [Vec<usize>; 3] {
        [0, 1, 2].map(|axis| {
            let (n, w) = (cells[axis] as i64, self.window_cells as i64);
            let Axis { weightless, starts, .. } = &self.axes[axis];
            let weightless = *weightless as i64;
            let ends = starts
                .iter()
                .flat_map(|&start| [(start, start + weightless), (start + w, start + w - weightless)]);
            // An open volume ends where its first and last window do.
            let inner = ends.filter(|&(end, _)| boundary == Boundary::Periodic || (0 < end && end < n));
            let mut faces: Vec<usize> = inner.map(|(_, face)| face.rem_euclid(n) as usize).collect();
            faces.sort_unstable();
            faces.dedup();
            faces
        })
    }

    /// The weights of a window's cells along each axis; a voxel's weight is their product.
    pub(crate) fn weights(&self, window: usize) -> [&[f32]; 3] {
        let at = self.position(window);
        [0, 1, 2].map(|axis| self.axes[axis].weights[at[axis]].as_slice())
    }
}

impl Axis {
    fn periodic(n: usize, w: usize, stride: usize, shift: usize) -> Self {
        let windows = n.div_ceil(stride);
        let starts: Vec<usize> = (0..windows).map(|i| i * n / windows).collect();
        let longest = (0..windows).map(|i| (i + 1) * n / windows - starts[i]).max().unwrap_or(n);
        let shared = if windows == 1 { 0 } else { w - longest };
        Self::weighted(n, w, shared, starts.iter().map(|start| (start + shift % n) as i64).collect())
    }

    fn open(n: usize, w: usize, stride: usize, shift: usize) -> Self {
        let (last, shift) = ((n - w) as i64, (shift % stride) as i64);
        let start = |i: usize| ((i * stride) as i64 - shift).clamp(0, last);
        let mut starts: Vec<i64> = (0..n.div_ceil(stride) + 2).map(start).collect();
        starts.dedup();
        Self::weighted(n, w, w - stride, starts)
    }

    /// Weights that rise over the `shared` cells at each end of a window, but for the weightless ones, divided by their sum.
    fn weighted(n: usize, w: usize, shared: usize, starts: Vec<i64>) -> Self {
        let weightless = shared.saturating_sub(PASSAGE_CELLS) / 2;
        let rise = (shared - 2 * weightless).max(1);
        let ramp = |cell: usize| {
            let depth = cell.min(w - 1 - cell) as f32 + 0.5 - weightless as f32;
            (depth / rise as f32).clamp(LEAST_WEIGHT, 1.0)
        };
        let ramp: Vec<f32> = if shared == 0 { vec![1.0; w] } else { (0..w).map(ramp).collect() };
        let cell_of = |start: i64, offset: usize| (start + offset as i64).rem_euclid(n as i64) as usize;
        let mut sums = vec![0f32; n];
        for &start in &starts {
            ramp.iter().enumerate().for_each(|(offset, weight)| sums[cell_of(start, offset)] += weight);
        }
        let weights = starts.iter().map(|&start| {
            let share = |(offset, weight): (usize, &f32)| weight / sums[cell_of(start, offset)];
            ramp.iter().enumerate().map(share).collect()
        });
        let weights = weights.collect();
        Self { weightless, starts, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_diffusion::SamplingConfig;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_add_up_to_one_at_every_cell(
            n in 4usize..90, w in 4usize..40, overlap in 0usize..20, shift in 0usize..1000, periodic: bool,
        ) {
            let (n, overlap) = (n.max(w), overlap.min(w - 1));
            let boundary = Boundary::from_periodic(periodic);
            let lattice = MovingLattice::new([n; 3], w, overlap, boundary, [shift; 3]).unwrap();
            let axis = &lattice.axes[1];
            let mut sums = vec![0f64; n];
            for (start, weights) in axis.starts.iter().zip(&axis.weights) {
                prop_assert!(periodic || (*start >= 0 && *start as usize + w <= n));
                for (offset, &weight) in weights.iter().enumerate() {
                    sums[(start + offset as i64).rem_euclid(n as i64) as usize] += f64::from(weight);
                }
            }
            // A few units of f32's last place.
            prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
        }

        #[test]
        fn windows_overlap_as_asked(n in 32usize..400, overlap in 0usize..32, shift in 0usize..1000, periodic: bool) {
            let boundary = Boundary::from_periodic(periodic);
            let lattice = MovingLattice::new([n; 3], 32, overlap, boundary, [shift; 3]).unwrap();
            let starts = &lattice.axes[2].starts;
            let around = starts[0] + n as i64;
            let ends = starts.iter().skip(1).copied().chain((periodic && starts.len() > 1).then_some(around));
            for (start, next) in starts.iter().zip(ends) {
                prop_assert!(next - start <= 32 - overlap as i64, "{starts:?}");
            }
        }
    }

    #[test]
    fn a_volume_without_cells_is_refused_before_a_shift_is_drawn() {
        let levels = SamplingConfig::default().levels.levels().unwrap();
        let (cells, boundary) = ([0, 8, 8], Boundary::Periodic);
        let error =
            MovingLattice::at_each_level(Joint::default(), &levels, 0, cells, 32, boundary).unwrap_err();
        assert!(matches!(error, OutpaintError::SmallerThanWindow { cells: [0, 8, 8], .. }), "{error}");
    }

    #[test]
    fn a_shift_moves_every_window_but_those_at_open_faces() {
        let starts = |n, boundary, shift| -> Vec<i64> {
            MovingLattice::new([n; 3], 32, 8, boundary, [shift; 3]).unwrap().axes[0].starts.clone()
        };
        assert_eq!(starts(64, Boundary::Periodic, 0), [0, 21, 42]);
        assert_eq!(starts(64, Boundary::Periodic, 5), [5, 26, 47]);
        assert_eq!(starts(32, Boundary::Periodic, 5), [5, 21]);
        assert_eq!(starts(32, Boundary::Open, 5), [0]);
        assert_eq!(starts(64, Boundary::Open, 0), [0, 24, 32]);
        assert_eq!(starts(64, Boundary::Open, 5), [0, 19, 32]);
    }

    #[test]
    fn windows_meet_inside_of_what_they_share() {
        // Windows of 32 cells from 0, 25, 51, 76, 102 on share six cells or more, and leave one at each end.
        let lattice = MovingLattice::new([128; 3], 32, 6, Boundary::Periodic, [0; 3]).unwrap();
        assert_eq!(lattice.faces([128; 3], Boundary::Periodic)[1], [1, 5, 26, 31, 52, 56, 77, 82, 103, 107]);
        let weights = lattice.weights(0)[0];
        assert!(weights[0] < 1e-3 && weights[31] < 1e-3 && weights[1] > 0.1, "{weights:?}");
        // An open volume has no margins at its own faces.
        let lattice = MovingLattice::new([54; 3], 32, 10, Boundary::Open, [0; 3]).unwrap();
        assert_eq!(lattice.faces([54; 3], Boundary::Open)[0], [25, 29]);
        assert_eq!((lattice.weights(0)[0][0], lattice.weights(7)[0][31]), (1.0, 1.0));
    }

    #[test]
    fn without_overlap_every_voxel_has_one_window() {
        let lattice = MovingLattice::new([128; 3], 32, 0, Boundary::Periodic, [7, 90, 127]).unwrap();
        assert_eq!(lattice.windows(), 64);
        assert!(
            (0..64).all(|window| lattice.weights(window).iter().all(|axis| axis.iter().all(|&w| w == 1.0)))
        );
        assert_eq!(lattice.region(63).start, [103, 186, 223]);
    }
}
