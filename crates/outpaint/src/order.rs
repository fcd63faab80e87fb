//! The order in which the windows of a tiling are generated.

use crate::given::GivenPlace;
use crate::{Boundaries, OutpaintError, Overlap, Sequential, Tiling, WindowOrder};
use finescale_field::Region;
use ndarray::Array3;
use std::ops::Range;

/// The windows of a tiling by position in time. A window is conditioned on what earlier windows filled.
#[derive(Clone, Debug)]
pub struct Order {
    tiling: Tiling,
    /// What a window is conditioned on: the windows whose turn comes before its own.
    turns: Vec<usize>,
    /// The window at each position.
    windows: Vec<usize>,
    /// Runs of positions whose windows do not wait for each other.
    groups: Vec<Range<usize>>,
    faces: [Vec<usize>; 3],
    /// Voxels that are given.
    given: Option<GivenPlace>,
}

impl Order {
    /// The order of windows in a volume of `cells`.
    ///
    /// # Errors
    /// As [`Tiling::new`].
    pub fn new(
        Sequential { order, overlap }: Sequential,
        cells: [usize; 3],
        window_cells: usize,
        boundaries: impl Into<Boundaries>,
    ) -> Result<Self, OutpaintError> {
        let Overlap { overlap_cells, margin_cells } = overlap;
        let boundaries = boundaries.into();
        let tiling = || Tiling::new(cells, window_cells, overlap_cells, boundaries);
        let alternating = || Tiling::alternating(cells, window_cells, overlap_cells, boundaries);
        Ok(match order {
            WindowOrder::Raster => Self::raster(tiling()?.with_margins(margin_cells)),
            WindowOrder::Wavefront => Self::wavefront(tiling()?.with_margins(margin_cells)),
            WindowOrder::Colour => Self::colour(alternating()?.with_margins(margin_cells)),
        })
    }

    /// One window after another, z fastest.
    #[must_use]
    pub fn raster(tiling: Tiling) -> Self {
        let windows = tiling.windows();
        let (turns, each) = ((0..windows).collect(), (0..windows).collect::<Vec<_>>());
        Self::grouped(faces_in_a_row(&tiling), tiling, turns, &each)
    }

    /// What each window of a raster is conditioned on, each as soon as that is there. That helps in open volumes only:
    /// the last window of a periodic row closes it, and its neighbours in the next row wait for that.
    #[must_use]
    pub fn wavefront(tiling: Tiling) -> Self {
        // Not the planes i + j + k: a window also waits for the one before it in x and behind it in y.
        let mut waves: Vec<usize> = Vec::with_capacity(tiling.windows());
        for window in 0..tiling.windows() {
            let earlier = tiling.sharing(window).into_iter().filter(|&other| other < window);
            waves.push(earlier.map(|other| waves[other] + 1).max().unwrap_or(0));
        }
        let turns = (0..tiling.windows()).collect();
        Self::grouped(faces_in_a_row(&tiling), tiling, turns, &waves)
    }

    /// Windows of even numbers first, then between them along z, y and x: eight phases.
    #[must_use]
    pub fn colour(tiling: Tiling) -> Self {
        let phase = |window| tiling.parity(window).iter().fold(0, |phase, odd| 2 * phase + odd);
        let phases: Vec<usize> = (0..tiling.windows()).map(phase).collect();
        Self::grouped(faces_of_every_other(&tiling), tiling, phases.clone(), &phases)
    }

    fn grouped(faces: [Vec<usize>; 3], tiling: Tiling, turns: Vec<usize>, groups: &[usize]) -> Self {
        let mut windows: Vec<usize> = (0..tiling.windows()).collect();
        windows.sort_by_key(|&window| (groups[window], window));
        let mut start = 0;
        let groups = windows.chunk_by(|&a, &b| groups[a] == groups[b]).map(|group| {
            start += group.len();
            start - group.len()..start
        });
        let groups = groups.collect();
        Self { tiling, turns, windows, groups, faces, given: None }
    }

    /// The same order around voxels that are given.
    pub(crate) fn around(self, given: Option<GivenPlace>) -> Self {
        Self { given, ..self }
    }

    /// The tiling whose windows are ordered.
    #[must_use]
    pub fn tiling(&self) -> &Tiling {
        &self.tiling
    }

    /// Number of windows.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Runs of positions whose windows do not wait for each other, in order.
    #[must_use]
    pub fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    /// The cells of the window at `position`, in the volume's coordinates.
    ///
    /// # Panics
    /// If there is no such position.
    #[must_use]
    pub fn region(&self, position: usize) -> Region {
        self.tiling.region(self.windows[position])
    }

    /// Which voxels of the window at `position` are to be generated (1), and which are given or known from earlier
    /// windows (0).
    ///
    /// # Panics
    /// If there is no such position.
    #[must_use]
    pub fn unknown(&self, position: usize) -> Array3<f32> {
        let window = self.windows[position];
        let mut unknown = self.tiling.unknown(window, |other| self.turns[other] < self.turns[window]);
        if let Some(given) = self.given {
            given.for_each_block(&self.tiling.region(window), |[x, y, z], _| {
                unknown.slice_mut(ndarray::s![x, y, z]).fill(0.0);
            });
        }
        unknown
    }

    /// Which voxels the window at `position` fills (1): those to be generated, but for its margins, which are left to
    /// later windows.
    ///
    /// # Panics
    /// If there is no such position.
    #[must_use]
    pub fn filled(&self, position: usize) -> Array3<f32> {
        let [x, y, z] = self.tiling.core(self.windows[position]);
        let unknown = self.unknown(position);
        let mut filled = Array3::zeros(unknown.raw_dim());
        let core = ndarray::s![x, y, z];
        filled.slice_mut(core).assign(&unknown.slice(core));
        filled
    }

    /// The planes where a window met what was there before it, by axis, sorted: face x lies between the cells x − 1
    /// and x.
    #[must_use]
    pub fn faces(&self) -> &[Vec<usize>; 3] {
        &self.faces
    }
}

/// Where windows end that go on from each other; the last one closes a periodic axis.
fn faces_in_a_row(tiling: &Tiling) -> [Vec<usize>; 3] {
    [0, 1, 2].map(|axis| {
        let (n, cores) = (tiling.cells()[axis], tiling.cores(axis));
        let ends = cores[..cores.len() - 1].iter().map(|core| core.end);
        tiling.inner_faces(axis, ends.filter(|&end| end < n).chain([cores[0].start]))
    })
}

/// Both ends of the windows of even number, which the others go on from.
fn faces_of_every_other(tiling: &Tiling) -> [Vec<usize>; 3] {
    [0, 1, 2].map(|axis| {
        let even = tiling.cores(axis).into_iter().step_by(2);
        tiling.inner_faces(axis, even.flat_map(|core| [core.start, core.end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Boundary;
    use finescale_field::{Field3, Grid};
    use proptest::prelude::*;

    /// How often each voxel is generated, by plain indexing; no group may fill what another of its windows sees.
    fn check(order: &Order) -> Result<(), TestCaseError> {
        let cells = order.tiling().cells();
        let mut times = Field3::zeros(Grid::new(cells, [1.0; 3]).unwrap());
        for group in order.groups() {
            let before = times.clone();
            for position in group.clone() {
                let region = order.region(position);
                let known = before.extract(&region).unwrap().mapv(|count| f32::from(count > 0.0));
                let unknown = order.unknown(position);
                prop_assert_eq!(&unknown, &known.mapv(|known| 1.0 - known));
                let filled = order.filled(position);
                times.insert(&region, (times.extract(&region).unwrap() + &filled).view()).unwrap();
            }
        }
        prop_assert!(times.as_slice().iter().all(|&count| count == 1.0));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn every_voxel_is_generated_once_whatever_the_order(
            extra in prop::array::uniform3(0usize..14), window in 2usize..9, overlap in 0usize..8,
            margin_cells in 0usize..4, periodic: bool,
        ) {
            let boundary = Boundary::from_periodic(periodic);
            let cells = extra.map(|n| window + n);
            let overlap = Overlap { overlap_cells: overlap % window, margin_cells };
            for order in [WindowOrder::Raster, WindowOrder::Colour] {
                check(&Order::new(Sequential { order, overlap }, cells, window, boundary).unwrap())?;
            }
        }

        #[test]
        fn a_wavefront_is_a_raster_in_another_order(
            extra in prop::array::uniform3(0usize..14), window in 2usize..7, overlap in 0usize..6,
            margin in 0usize..3, periodic: bool,
        ) {
            let boundary = Boundary::from_periodic(periodic);
            let tiling = Tiling::new(extra.map(|n| window + n), window, overlap % window, boundary).unwrap();
            let tiling = tiling.with_margins(margin);
            let (raster, wavefront) = (Order::raster(tiling.clone()), Order::wavefront(tiling));
            let mut seen = vec![false; raster.windows()];
            for group in wavefront.groups() {
                for position in group.clone() {
                    let window = wavefront.windows[position];
                    prop_assert_eq!(wavefront.unknown(position), raster.unknown(window));
                    // All that it waits for is there.
                    let waits = wavefront.tiling().sharing(window).into_iter().filter(|&other| other < window);
                    prop_assert!(waits.into_iter().all(|other| seen[other]));
                }
                group.clone().for_each(|position| seen[wavefront.windows[position]] = true);
            }
        }
    }

    #[test]
    fn colours_are_eight_phases_and_wavefronts_few() {
        for cells in [64, 96, 128, 256] {
            let tiling = Tiling::alternating([cells; 3], 32, 8, Boundary::Periodic).unwrap();
            assert_eq!(Order::colour(tiling).groups().len(), 8, "{cells}");
        }
        // Five windows an axis: 4 i + 2 j + k. In a periodic box each row closes before the next one begins.
        let waves =
            |boundary| Order::wavefront(Tiling::new([128; 3], 32, 8, boundary).unwrap()).groups().len();
        assert_eq!(waves(Boundary::Open), 7 * 4 + 1);
        assert_eq!(waves(Boundary::Periodic), 6 * 6 * 6);
    }

    #[test]
    fn faces_lie_where_windows_met_others() {
        let of =
            |cells, boundary| Order::raster(Tiling::new(cells, 32, 10, boundary).unwrap()).faces().clone();
        // Origins 0, 21, 42: the last window fills the cells from 53 on.
        assert_eq!(of([64, 64, 32], Boundary::Periodic), [vec![0, 32, 53], vec![0, 32, 53], vec![0]]);
        assert_eq!(of([54, 32, 32], Boundary::Open), [vec![32], vec![], vec![]]);
        // Origins 0, 21, 42, 64: the windows 0..32 and 42..74 come first.
        let colour = Order::colour(Tiling::alternating([86; 3], 32, 10, Boundary::Periodic).unwrap());
        assert_eq!(colour.faces()[2], [0, 32, 43, 75]);
    }

    #[test]
    fn given_voxels_are_not_generated() {
        let given = GivenPlace { start: [6; 3], shape: [4; 3], period: [8; 3] };
        let order = Order::raster(Tiling::new([8; 3], 8, 2, Boundary::Periodic).unwrap()).around(Some(given));
        assert_eq!(order.unknown(0).sum(), 512.0 - 64.0);
        assert_eq!(order.unknown(0)[[7, 0, 7]], 0.0);
    }
}
