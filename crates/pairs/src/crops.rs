//! Where patches may start.

use finescale_field::{Boundary, Region, position};

/// Which patches are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// Any patch of the box.
    Anywhere,
    /// Patches that share no voxel with the region.
    Outside(Region),
    /// Patches that lie in the region.
    Inside(Region),
}

/// All cubes of one size in one box that are wanted, numbered; none is built before it is asked for.
///
/// A patch misses a region if it misses it in at least one axis. So the patches outside fall into three
/// disjoint sets: those clear in x; those not clear in x but in y; those clear in z only.
#[derive(Clone, Debug)]
pub(crate) struct Crops {
    patch_cells: usize,
    axes: [Axis; 3],
}

/// Starts along one axis.
#[derive(Clone, Debug)]
struct Axis {
    /// The starts that are clear of the region come first.
    starts: Vec<usize>,
    clear: usize,
}

impl Crops {
    pub(crate) fn new(cells: [usize; 3], boundary: Boundary, patch_cells: usize, wanted: Wanted) -> Self {
        let axes = std::array::from_fn(|a| Axis::new(a, cells, boundary, patch_cells, wanted));
        Self { patch_cells, axes }
    }

    /// Number of patches.
    pub(crate) fn len(&self) -> usize {
        let [x, y, z] = &self.axes;
        let x_clear = x.clear * y.all() * z.all();
        let y_clear = x.blocked() * y.clear * z.all();
        x_clear + y_clear + x.blocked() * y.blocked() * z.clear
    }

    /// Patch `number` of `0..len()`.
    pub(crate) fn get(&self, number: usize) -> Region {
        let [x, y, z] = &self.axes;
        let (x_clear, y_clear) = (x.clear * y.all() * z.all(), x.blocked() * y.clear * z.all());
        let index = if number < x_clear {
            position(number, [0, y.all(), z.all()])
        } else if number < x_clear + y_clear {
            let [i, j, k] = position(number - x_clear, [0, y.clear, z.all()]);
            [x.clear + i, j, k]
        } else {
            let [i, j, k] = position(number - x_clear - y_clear, [0, y.blocked(), z.clear]);
            [x.clear + i, y.clear + j, k]
        };
        let start = std::array::from_fn(|a| self.axes[a].starts[index[a]] as i64);
        Region::cube(start, self.patch_cells)
    }
}

impl Axis {
    fn new(axis: usize, cells: [usize; 3], boundary: Boundary, patch_cells: usize, wanted: Wanted) -> Self {
        let n = cells[axis];
        let mut held = vec![false; n];
        if let Wanted::Outside(region) | Wanted::Inside(region) = wanted {
            for offset in 0..region.shape[axis].min(n) {
                held[region.wrapped(axis, offset, cells)] = true;
            }
        }
        let end = if patch_cells > n || patch_cells == 0 {
            0
        } else if boundary.is_periodic() {
            n
        } else {
            n - patch_cells + 1
        };
        let held_cells = |start: usize| (start..start + patch_cells).filter(|c| held[c % n]).count();
        let (clear, mut blocked): (Vec<_>, Vec<_>) = (0..end)
            .filter(|&s| !matches!(wanted, Wanted::Inside(_)) || held_cells(s) == patch_cells)
            .partition(|&s| !matches!(wanted, Wanted::Outside(_)) || held_cells(s) == 0);
        let (count, mut starts) = (clear.len(), clear);
        starts.append(&mut blocked);
        Self { starts, clear: count }
    }

    fn all(&self) -> usize {
        self.starts.len()
    }

    fn blocked(&self) -> usize {
        self.all() - self.clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const CELLS: [usize; 3] = [6, 5, 7];

    fn voxels(region: &Region) -> BTreeSet<[usize; 3]> {
        let mut set = BTreeSet::new();
        for i in 0..region.shape[0] {
            for j in 0..region.shape[1] {
                for k in 0..region.shape[2] {
                    set.insert([0, 1, 2].map(|a| region.wrapped(a, [i, j, k][a], CELLS)));
                }
            }
        }
        set
    }

    /// The oracle: every start of the box, voxel sets compared.
    fn plain(periodic: bool, patch: usize, wanted: Wanted) -> BTreeSet<[i64; 3]> {
        let mut starts = BTreeSet::new();
        for i in 0..CELLS[0] {
            for j in 0..CELLS[1] {
                for k in 0..CELLS[2] {
                    let start = [i, j, k];
                    let crop = Region::cube(start.map(|s| s as i64), patch);
                    let within = periodic || (0..3).all(|a| start[a] + patch <= CELLS[a]);
                    let right = match wanted {
                        Wanted::Anywhere => true,
                        Wanted::Outside(region) => voxels(&crop).is_disjoint(&voxels(&region)),
                        Wanted::Inside(region) => voxels(&crop).is_subset(&voxels(&region)),
                    };
                    if within && right && (0..3).all(|a| patch <= CELLS[a]) {
                        starts.insert(crop.start);
                    }
                }
            }
        }
        starts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn crops_are_those_of_the_plain_search(
            start in prop::array::uniform3(-8i64..8), shape in (1usize..=6, 1usize..=5, 1usize..=7),
            patch in 1usize..7, periodic: bool,
        ) {
            let region = Region { start, shape: shape.into() };
            for wanted in [Wanted::Anywhere, Wanted::Outside(region), Wanted::Inside(region)] {
                let crops = Crops::new(CELLS, Boundary::from_periodic(periodic), patch, wanted);
                let found: Vec<_> = (0..crops.len()).map(|i| crops.get(i).start).collect();
                let distinct: BTreeSet<_> = found.iter().copied().collect();
                prop_assert_eq!(distinct.len(), found.len());
                prop_assert_eq!(distinct, plain(periodic, patch, wanted));
            }
        }
    }

    #[test]
    fn by_hand_along_one_axis() {
        // Planes 8, 9 and 0 of ten are held out.
        let region = Region { start: [8, 0, 0], shape: [3, 10, 10] };
        let crops = Crops::new([10; 3], Boundary::Periodic, 3, Wanted::Outside(region));
        // x starts 1 to 5 stay clear (cells 1 to 7); y and z may start anywhere.
        assert_eq!(crops.len(), 5 * 10 * 10);
        assert!((0..crops.len()).all(|i| (1..=5).contains(&crops.get(i).start[0])));
        let inside = Crops::new([10; 3], Boundary::Periodic, 3, Wanted::Inside(region));
        assert_eq!(inside.len(), 10 * 10);
        assert_eq!(inside.get(0).start[0], 8);
    }
}
