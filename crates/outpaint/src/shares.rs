//! Which rank evaluates which windows of a step, and which planes beyond its own it needs for that.

use crate::moving_lattice::MovingLattice;
use finescale_field::Region;
use finescale_ranks::{Ranks, share};
use std::ops::Range;

/// The windows of a step that are left to evaluate, dealt to ranks.
///
/// In the order of their first plane, so that windows lie about where the planes of their rank do.
pub(crate) struct Shares {
    /// This rank's windows.
    pub(crate) windows: Vec<usize>,
    /// By rank, whole planes that its windows reach into and others own.
    pub(crate) halos: Vec<Vec<Region>>,
}

impl Shares {
    /// Deals the windows of a lattice over a volume of `cells`, of which some are left: to whom all would be dealt, so that what is left
    /// lies about the planes of its rank, too.
    pub(crate) fn new(
        lattice: &MovingLattice,
        is_left: impl Fn(usize) -> bool,
        cells: [usize; 3],
        ranks: &Ranks,
    ) -> Self {
        let dealt = dealt(lattice, cells);
        let count = ranks.count();
        let windows =
            |rank| dealt[share(dealt.len(), count, rank)].iter().copied().filter(|&window| is_left(window));
        let halo = |rank| {
            let reached = reached(lattice, windows(rank), cells, share(cells[0], count, rank));
            planes(&reached).map(|planes| slab(&planes, cells)).collect()
        };
        Self { windows: windows(ranks.rank()).collect(), halos: (0..count).map(halo).collect() }
    }
}

/// What each of `count` ranks has to do in a step: how many windows it evaluates, and how many planes of others they reach into.
pub(crate) fn burdens(
    lattice: &MovingLattice,
    cells: [usize; 3],
    count: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let dealt = dealt(lattice, cells);
    (0..count).map(move |rank| {
        let windows = &dealt[share(dealt.len(), count, rank)];
        let reached = reached(lattice, windows.iter().copied(), cells, share(cells[0], count, rank));
        (windows.len(), reached.into_iter().filter(|&reached| reached).count())
    })
}

/// The windows of a lattice in the order of their first plane.
fn dealt(lattice: &MovingLattice, cells: [usize; 3]) -> Vec<usize> {
    let mut windows: Vec<usize> = (0..lattice.windows()).collect();
    windows.sort_by_key(|&window| lattice.region(window).wrapped(0, 0, cells));
    windows
}

/// Whether a plane that is not one of `own` is reached by one of `windows`.
fn reached(
    lattice: &MovingLattice,
    windows: impl Iterator<Item = usize>,
    cells: [usize; 3],
    own: Range<usize>,
) -> Vec<bool> {
    let mut reached = vec![false; cells[0]];
    for window in windows {
        let region = lattice.region(window);
        (0..region.shape[0]).for_each(|plane| reached[region.wrapped(0, plane, cells)] = true);
    }
    reached[own].fill(false);
    reached
}

/// Runs of planes that are `reached`.
fn planes(reached: &[bool]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    reached.chunk_by(|a, b| a == b).filter_map(move |run| {
        let planes = start..start + run.len();
        start = planes.end;
        run[0].then_some(planes)
    })
}

/// Whole planes of a volume.
pub(crate) fn slab(planes: &Range<usize>, [_, ny, nz]: [usize; 3]) -> Region {
    Region { start: [planes.start as i64, 0, 0], shape: [planes.len(), ny, nz] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Boundary, Place};
    use std::collections::BTreeSet;

    const CELLS: [usize; 3] = [40, 12, 9];

    fn lattice(shift: usize, boundary: Boundary) -> MovingLattice {
        MovingLattice::new(&Place::whole(CELLS, boundary), 9, 3, [shift; 3]).unwrap()
    }

    #[test]
    fn every_window_is_someones_and_what_it_reaches_into_is_there() {
        for (boundary, shift) in
            [(Boundary::Periodic, 0), (Boundary::Periodic, 33), (Boundary::Open, 0), (Boundary::Open, 4)]
        {
            for count in [1, 2, 3, 7, 45] {
                let lattice = lattice(shift, boundary);
                let shares = Ranks::on_threads(count, |ranks| {
                    let shares = Shares::new(&lattice, |_| true, CELLS, ranks);
                    let some = Shares::new(&lattice, |window| window % 3 == 0, CELLS, ranks);
                    let left = shares.windows.iter().copied().filter(|window| window % 3 == 0);
                    assert!(some.windows.into_iter().eq(left), "what is left stays where it was");
                    let halo: BTreeSet<usize> = shares.halos[ranks.rank()]
                        .iter()
                        .flat_map(|region| (0..region.shape[0]).map(|x| region.wrapped(0, x, CELLS)))
                        .collect();
                    let own = ranks.share(CELLS[0]);
                    assert!(own.clone().all(|plane| !halo.contains(&plane)));
                    for &window in &shares.windows {
                        let region = lattice.region(window);
                        let reached = (0..9).map(|x| region.wrapped(0, x, CELLS));
                        assert!(reached.into_iter().all(|x| own.contains(&x) || halo.contains(&x)));
                    }
                    (shares.windows, halo.len())
                });
                let mut windows: Vec<usize> =
                    shares.iter().flat_map(|(windows, _)| windows).copied().collect();
                windows.sort_unstable();
                assert_eq!(windows, (0..lattice.windows()).collect::<Vec<_>>());
                assert!(count > 1 || shares[0].1 == 0, "one rank needs no halo");
                // At most a window's planes on either side, and what shares of windows and of planes are apart.
                assert!(count != 3 || shares.iter().all(|(_, halo)| *halo <= 18), "{shares:?}");
            }
        }
    }
}
