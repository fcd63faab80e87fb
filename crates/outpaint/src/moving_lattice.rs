//! The moving lattice of windows that joint sampling evaluates at one step.

use crate::tiling::check_windows;
use crate::{Boundaries, Boundary, Joint, OutpaintError, Place};
use finescale_diffusion::{Levels, sigma_of_alpha_bar};
use finescale_field::{Region, position};
use finescale_seed::{KeyedStream, Purpose, Sequence};

/// Windows that cover a volume, with weights that add up to one at every voxel.
///
/// Per periodic axis of N cells, windows of w cells that overlap by o or more: m = ceil(N / (w − o)) windows from
/// floor(i N / m) + shift on. In an open axis they stay inside, from i (w − o) − shift on, and the faces stay.
///
/// A part of a box has the windows of the whole box that lie within it, so that parts agree with each other and with the whole, and at
/// faces where these leave something out one more, which counts there only.
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
        place: &Place,
        window_cells: usize,
    ) -> Result<Vec<Self>, OutpaintError> {
        check_windows(place.cells(), window_cells, 0)?;
        let shifts = KeyedStream::new(seed, Purpose::WindowShift);
        let lattice = |(step, &alpha_bar): (usize, &f64)| {
            let overlaps = sigma_of_alpha_bar(alpha_bar) < joint.overlap_below_sigma;
            let overlap = if overlaps { joint.overlap_cells } else { 0 };
            let mut sequence = Sequence::new(shifts, step as u32);
            let shift = place.of().map(|n| sequence.below(n));
            Self::new(place, window_cells, overlap, shift)
        };
        levels.alpha_bars().iter().enumerate().map(lattice).collect()
    }

    /// The lattice at `shift`, any numbers.
    ///
    /// # Errors
    /// [`OutpaintError::SmallerThanWindow`] if an axis is shorter than a window, [`OutpaintError::Overlap`] if the
    /// overlap is not smaller than the window.
    pub(crate) fn new(
        place: &Place,
        window_cells: usize,
        overlap_cells: usize,
        shift: [usize; 3],
    ) -> Result<Self, OutpaintError> {
        check_windows(place.cells(), window_cells, overlap_cells)?;
        let (w, stride) = (window_cells, window_cells - overlap_cells);
        let axes = [0, 1, 2].map(|axis| {
            let (n, of) = (place.cells()[axis], place.of()[axis]);
            let row = match place.of_box() {
                Boundary::Periodic => Row::periodic(of, w, stride, shift[axis]),
                Boundary::Open => Row::open(of, w, stride, shift[axis]),
            };
            match place.fills(axis) {
                true => {
                    let starts: Vec<i64> =
                        row.starts.iter().map(|&start| place.around(axis, start)).collect();
                    Axis::weighted(n, &row, &starts, &[], w)
                }
                false => Axis::of_part(n, &row, |start| place.inside(axis, start), w),
            }
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
    /// axis.
    pub(crate) fn faces(&self, place: &Place) -> [Vec<usize>; 3] {
        let boundaries = Boundaries::from(*place);
        [0, 1, 2].map(|axis| {
            let (n, w) = (place.cells()[axis] as i64, self.window_cells as i64);
            let Axis { weightless, starts, .. } = &self.axes[axis];
            let weightless = *weightless as i64;
            let ends = starts
                .iter()
                .flat_map(|&start| [(start, start + weightless), (start + w, start + w - weightless)]);
            // An open axis ends where its first and last window do.
            let is_periodic = boundaries.along(axis).is_periodic();
            let inner = ends.filter(|&(end, _)| is_periodic || (0 < end && end < n));
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

/// The windows of the axis of a box.
struct Row {
    starts: Vec<i64>,
    /// Cells that neighbours share.
    shared: usize,
}

impl Row {
    fn periodic(n: usize, w: usize, stride: usize, shift: usize) -> Self {
        let windows = n.div_ceil(stride);
        let starts: Vec<usize> = (0..windows).map(|i| i * n / windows).collect();
        let longest = (0..windows).map(|i| (i + 1) * n / windows - starts[i]).max().unwrap_or(n);
        let shared = if windows == 1 { 0 } else { w - longest };
        Self { starts: starts.iter().map(|start| (start + shift % n) as i64).collect(), shared }
    }

    fn open(n: usize, w: usize, stride: usize, shift: usize) -> Self {
        let (last, shift) = ((n - w) as i64, (shift % stride) as i64);
        let start = |i: usize| ((i * stride) as i64 - shift).clamp(0, last);
        let mut starts: Vec<i64> = (0..n.div_ceil(stride) + 2).map(start).collect();
        starts.dedup();
        Self { starts, shared: w - stride }
    }

    /// Cells at the ends of windows that weigh nothing.
    fn weightless(&self) -> usize {
        self.shared.saturating_sub(PASSAGE_CELLS) / 2
    }

    /// Weights of a window's cells that rise over the shared ones at each end, but for the weightless ones.
    fn ramp(&self, w: usize) -> Vec<f32> {
        let (shared, weightless) = (self.shared, self.weightless());
        let rise = (shared - 2 * weightless).max(1);
        let ramp = |cell: usize| {
            let depth = cell.min(w - 1 - cell) as f32 + 0.5 - weightless as f32;
            (depth / rise as f32).clamp(LEAST_WEIGHT, 1.0)
        };
        if shared == 0 { vec![1.0; w] } else { (0..w).map(ramp).collect() }
    }
}

impl Axis {
    /// The axis of a part of `n` cells of a box; `inside`: where in it a window of the box begins.
    fn of_part(n: usize, row: &Row, inside: impl Fn(i64) -> i64, w: usize) -> Self {
        let last = (n - w) as i64;
        let starts = row.starts.iter().map(|&start| inside(start));
        let mut starts: Vec<i64> = starts.filter(|start| (0..=last).contains(start)).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut ends = vec![0, last];
        ends.dedup();
        ends.retain(|end| !starts.contains(end));
        Self::weighted(n, row, &starts, &ends, w)
    }

    /// Windows of w cells at `starts`, their ramps divided by the sum of all; and windows at `ends`, which count where no other does.
    fn weighted(n: usize, row: &Row, starts: &[i64], ends: &[i64], w: usize) -> Self {
        let ramp = row.ramp(w);
        let cell_of = |start: i64, offset: usize| (start + offset as i64).rem_euclid(n as i64) as usize;
        let mut sums = vec![0f32; n];
        for &start in starts {
            ramp.iter().enumerate().for_each(|(offset, weight)| sums[cell_of(start, offset)] += weight);
        }
        let is_left_out: Vec<bool> = sums.iter().map(|&sum| sum == 0.0).collect();
        for &end in ends {
            let cells = ramp.iter().enumerate().map(|(offset, weight)| (cell_of(end, offset), weight));
            cells.filter(|(cell, _)| is_left_out[*cell]).for_each(|(cell, weight)| sums[cell] += weight);
        }
        let share = |start: i64, is_end: bool| -> Vec<f32> {
            let share = |(offset, weight): (usize, &f32)| {
                let cell = cell_of(start, offset);
                if is_end && !is_left_out[cell] { 0.0 } else { weight / sums[cell] }
            };
            ramp.iter().enumerate().map(share).collect()
        };
        let all = starts.iter().map(|&start| (start, share(start, false)));
        let mut windows: Vec<_> = all.chain(ends.iter().map(|&end| (end, share(end, true)))).collect();
        // Those of a whole box stay in the order that they have.
        if !ends.is_empty() {
            windows.sort_by_key(|(start, _)| *start);
        }
        let (starts, weights) = windows.into_iter().unzip();
        Self { weightless: row.weightless(), starts, weights }
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
            let lattice = MovingLattice::new(&Place::whole([n; 3], boundary), w, overlap, [shift; 3]).unwrap();
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
            let lattice = MovingLattice::new(&Place::whole([n; 3], boundary), 32, overlap, [shift; 3]).unwrap();
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
        let place = Place::whole([0, 8, 8], Boundary::Periodic);
        let error = MovingLattice::at_each_level(Joint::default(), &levels, 0, &place, 32).unwrap_err();
        assert!(matches!(error, OutpaintError::SmallerThanWindow { cells: [0, 8, 8], .. }), "{error}");
    }

    #[test]
    fn a_shift_moves_every_window_but_those_at_open_faces() {
        let starts = |n, boundary, shift| -> Vec<i64> {
            MovingLattice::new(&Place::whole([n; 3], boundary), 32, 8, [shift; 3]).unwrap().axes[0]
                .starts
                .clone()
        };
        assert_eq!(starts(64, Boundary::Periodic, 0), [0, 21, 42]);
        assert_eq!(starts(64, Boundary::Periodic, 5), [5, 26, 47]);
        assert_eq!(starts(32, Boundary::Periodic, 5), [5, 21]);
        assert_eq!(starts(32, Boundary::Open, 5), [0]);
        assert_eq!(starts(64, Boundary::Open, 0), [0, 24, 32]);
        assert_eq!(starts(64, Boundary::Open, 5), [0, 19, 32]);
    }

    proptest! {
        #[test]
        fn parts_have_the_windows_and_weights_of_the_whole(
            n in 20usize..90, start in -90i64..90, cells in 12usize..90, overlap in 0usize..6, shift in 0usize..1000, periodic: bool,
        ) {
            let (w, cells) = (12, cells.min(n));
            let boundary = Boundary::from_periodic(periodic);
            let start = if periodic { start } else { start.rem_euclid((n - cells + 1) as i64) };
            let whole = Place::whole([n; 3], boundary);
            let region = Region { start: [0, start, 0], shape: [n, cells, n] };
            let part = Place::part(region, [n; 3], boundary);
            let lattice = |place| MovingLattice::new(place, w, overlap, [shift; 3]).unwrap();
            let [whole_axes, part_axes] = [lattice(&whole), lattice(&part)].map(|lattice| lattice.axes);
            prop_assert_eq!(&whole_axes[0].starts, &part_axes[0].starts);
            let mut sums = vec![0f64; cells];
            for (first, weights) in part_axes[1].starts.iter().zip(&part_axes[1].weights) {
                prop_assert!(cells == n || (*first >= 0 && *first as usize + w <= cells));
                for (offset, &weight) in weights.iter().enumerate() {
                    sums[(first + offset as i64).rem_euclid(cells as i64) as usize] += f64::from(weight);
                }
            }
            prop_assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{:?}", sums);
            // A window of the whole that lies deep inside is there, with its weights: to the bit where no more than two overlap.
            for (first, weights) in whole_axes[1].starts.iter().zip(&whole_axes[1].weights) {
                let inside = part.inside(1, *first);
                if cells == n || (inside >= w as i64 && inside as usize + 2 * w <= cells) {
                    let is_here = |start: &i64| start.rem_euclid(n as i64) == inside.rem_euclid(n as i64);
                    let found = part_axes[1].starts.iter().position(is_here);
                    prop_assert_eq!(found.map(|window| &part_axes[1].weights[window]), Some(weights));
                }
            }
        }
    }

    #[test]
    fn windows_meet_inside_of_what_they_share() {
        // Windows of 32 cells from 0, 25, 51, 76, 102 on share six cells or more, and leave one at each end.
        let periodic = Place::whole([128; 3], Boundary::Periodic);
        let lattice = MovingLattice::new(&periodic, 32, 6, [0; 3]).unwrap();
        assert_eq!(lattice.faces(&periodic)[1], [1, 5, 26, 31, 52, 56, 77, 82, 103, 107]);
        let weights = lattice.weights(0)[0];
        assert!(weights[0] < 1e-3 && weights[31] < 1e-3 && weights[1] > 0.1, "{weights:?}");
        // An open volume has no margins at its own faces.
        let open = Place::whole([54; 3], Boundary::Open);
        let lattice = MovingLattice::new(&open, 32, 10, [0; 3]).unwrap();
        assert_eq!(lattice.faces(&open)[0], [25, 29]);
        assert_eq!((lattice.weights(0)[0][0], lattice.weights(7)[0][31]), (1.0, 1.0));
    }

    #[test]
    fn without_overlap_every_voxel_has_one_window() {
        let periodic = Place::whole([128; 3], Boundary::Periodic);
        let lattice = MovingLattice::new(&periodic, 32, 0, [7, 90, 127]).unwrap();
        assert_eq!(lattice.windows(), 64);
        assert!(
            (0..64).all(|window| lattice.weights(window).iter().all(|axis| axis.iter().all(|&w| w == 1.0)))
        );
        assert_eq!(lattice.region(63).start, [103, 186, 223]);
    }
}
