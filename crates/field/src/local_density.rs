//! How densely particles lie, where no file says it.

use crate::scheme::{first_voxel, shares};
use crate::{Depositor, Field3, FieldError, Grid, Scheme, coarsen};
use rayon::prelude::*;

/// Particles in the cube over which one is spread: enough that, of particles without order, cubes leave 3 in 10,000 places empty
/// (e^-8).
const NEIGHBOURS: f64 = 8.0;
/// Other particles per cell from which on a grid is fine enough to tell the density: its counts, interpolated, are those of about
/// nine cells together.
const ENOUGH: f64 = 1.0;
/// Most cells along an axis of the finest counts.
const MOST_CELLS: usize = 512;

/// Counts of particles on finer and coarser cells of a periodic box, by which each one learns how much room there is around it.
///
/// The estimate is that of the finest cells with at least one other particle each, interpolated between them. Of particles without
/// order it is up to 12 % high in the median, since the grid is chosen by the counts themselves; it does not see what is smaller than
/// these cells.
///
/// # Source
/// The number of neighbours is held, as in SPH (Springel & Hernquist 2002, MNRAS 333, 649, section 2), here by nested grids: they need
/// no particles in memory.
pub struct LocalDensity {
    /// Particles per cell, the finest cells first; each next grid has half as many along an axis.
    counts: Vec<Field3>,
}

impl LocalDensity {
    /// An empty grid for [`Self::new`], for fields of so many cells along each side of the box: as fine as these, but at most 512.
    ///
    /// # Errors
    /// As [`Depositor::new`].
    pub fn depositor(of_fields: &Grid) -> Result<Depositor, FieldError> {
        Depositor::new(Self::grid(of_fields)?, Scheme::Cic)
    }

    fn grid(of_fields: &Grid) -> Result<Grid, FieldError> {
        // Powers of two, so that all grids have whole cells.
        let cells = of_fields.cells().map(|cells| cells.next_power_of_two().min(MOST_CELLS));
        Grid::new(cells, of_fields.box_size_mpc_h())
    }

    /// What one takes, with the depositor before it.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn memory_bytes(of_fields: &Grid) -> Result<u128, FieldError> {
        Ok(Depositor::memory_bytes(&Self::grid(of_fields)?))
    }

    /// From the counts of all particles.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn new(counts: Depositor) -> Result<Self, FieldError> {
        let mut counts = vec![counts.finish()];
        loop {
            let finer = &counts[counts.len() - 1];
            let factor = finer.grid().cells().map(|cells| if cells > 1 { 2 } else { 1 });
            let cells: usize = factor.iter().product();
            if cells == 1 {
                return Ok(Self { counts });
            }
            let mut coarser = coarsen(finer, factor)?;
            coarser.as_slice_mut().iter_mut().for_each(|count| *count *= cells as f32);
            counts.push(coarser);
        }
    }

    /// Sides in Mpc/h of the cubes around `positions_mpc_h` that hold eight particles at the density there.
    #[must_use]
    pub fn sides_mpc_h(&self, positions_mpc_h: &[[f64; 3]]) -> Vec<f32> {
        positions_mpc_h.par_iter().map(|position| self.side_mpc_h(*position) as f32).collect()
    }

    fn side_mpc_h(&self, position_mpc_h: [f64; 3]) -> f64 {
        let whole = self.counts[0].grid().volume_mpc_h3();
        // Of a particle that has no others, the whole box.
        let mut volume = whole;
        for counts in &self.counts {
            let others = others(counts, position_mpc_h);
            if others > 0.0 {
                let cell: f64 = counts.grid().voxel_mpc_h().iter().product();
                volume = (cell * NEIGHBOURS / others).min(whole);
            }
            if others >= ENOUGH {
                break;
            }
        }
        volume.cbrt()
    }
}

/// Particles per cell around one, without itself: counts between the centres of cells.
fn others(counts: &Field3, position_mpc_h: [f64; 3]) -> f64 {
    let (cells, voxel) = (counts.grid().cells(), counts.grid().voxel_mpc_h());
    let along = |axis: usize| {
        let (first, t) = first_voxel::<2>(position_mpc_h[axis] / voxel[axis]);
        let place = |offset: i64| (first + offset).rem_euclid(cells[axis] as i64) as usize;
        ([place(0), place(1)], shares::<2>(t))
    };
    let [(x, share_x), (y, share_y), (z, share_z)] = [along(0), along(1), along(2)];
    let mut sum = 0.0;
    for i in 0..2 {
        for j in 0..2 {
            for k in 0..2 {
                let share = share_x[i] * share_y[j] * share_z[k];
                // Of itself there is as large a share in the cell.
                sum += share * (f64::from(counts.values()[[x[i], y[j], z[k]]]) - share);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(size: f64, cells: usize, positions: &[[f64; 3]]) -> Vec<f32> {
        let mut counts = LocalDensity::depositor(&Grid::cube(cells, size).unwrap()).unwrap();
        counts.add(positions, None).unwrap();
        LocalDensity::new(counts).unwrap().sides_mpc_h(positions)
    }

    fn lattice(spacing: f64, n: usize, start: [f64; 3]) -> impl Iterator<Item = [f64; 3]> {
        let place = move |i: usize, axis: usize| start[axis] + (i as f64 + 0.5) * spacing;
        (0..n.pow(3)).map(move |i| [place(i / n / n, 0), place(i / n % n, 1), place(i % n, 2)])
    }

    #[test]
    fn cubes_of_a_lattice_hold_eight_particles() {
        for (n, cells) in [(16, 64), (16, 100), (20, 64), (31, 64)] {
            let spacing = 24.0 / n as f64;
            let lattice: Vec<[f64; 3]> = lattice(spacing, n, [0.1; 3]).collect();
            // On a lattice nobody is near: others are fewer than of particles without order.
            for side in sides(24.0, cells, &lattice) {
                assert!((f64::from(side) / (2.0 * spacing) - 1.0).abs() < 0.25, "{n}, {cells}: {side}");
            }
        }
    }

    #[test]
    fn particles_without_order_have_room_for_eight() {
        // SplitMix64, Steele, Lea & Flood 2014.
        let uniform = |i: u64| {
            let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
        };
        let place = |i: u64| [0, 1, 2].map(|axis| 10.0 * uniform(3 * i + axis));
        let points: Vec<[f64; 3]> = (0..8000).map(place).collect();
        for cells in [16, 20, 32, 64] {
            let filled: f64 = sides(10.0, cells, &points).iter().map(|side| f64::from(*side).powi(3)).sum();
            // Eight times over, less what the choice of the grid costs, more for what is uncertain.
            assert!((6.5..11.0).contains(&(filled / 1e3)), "{cells}: {}", filled / 1e3);
        }
    }

    #[test]
    fn beside_dense_matter_the_sparse_stays_sparse() {
        // A cube of 8 Mpc/h with spacings of 0.5 in a box of 32 with spacings of 2: 64 times the density.
        let is_outside = |at: &[f64; 3]| at.iter().any(|x| *x > 8.0);
        let sparse: Vec<[f64; 3]> = lattice(2.0, 16, [0.0; 3]).filter(is_outside).collect();
        let dense: Vec<[f64; 3]> = lattice(0.5, 16, [0.0; 3]).collect();
        let found = sides(32.0, 64, &[sparse.clone(), dense.clone()].concat());
        let median = |mut sides: Vec<f32>| {
            sides.sort_by(f32::total_cmp);
            sides[sides.len() / 2]
        };
        let beyond = |from: f64, to: f64| -> Vec<f32> {
            let distance = |at: &[f64; 3]| at.iter().map(|x| (x - 8.0).max(-x)).fold(f64::MIN, f64::max);
            let of = sparse.iter().zip(&found).filter(|(at, _)| (from..to).contains(&distance(at)));
            of.map(|(_, side)| *side).collect()
        };
        assert!((median(found[sparse.len()..].to_vec()) - 1.0).abs() < 0.05);
        // Two spacings away nothing is seen of it, and one away little.
        for (from, to, least) in [(4.0, 9.0, 3.6), (2.0, 4.0, 2.8), (0.0, 2.0, 1.3)] {
            let side = median(beyond(from, to));
            assert!((least..4.4).contains(&side), "{from} to {to}: {side}");
        }
    }

    #[test]
    fn a_clump_smaller_than_the_spacing_is_dense() {
        let clump =
            (0..200u32).map(|i| [5.0 + 0.001 * f64::from(i % 20), 5.02, 5.0 + 0.002 * f64::from(i / 20)]);
        let positions: Vec<[f64; 3]> = lattice(10.0 / 16.0, 16, [0.0; 3]).chain(clump).collect();
        let of_clump = &sides(10.0, 64, &positions)[4096..];
        // Not larger than a voxel, of 0.16 Mpc/h: nothing is spread.
        assert!(of_clump.iter().all(|side| *side < 10.0 / 64.0), "{:?}", &of_clump[..3]);
    }

    #[test]
    fn a_lone_particle_has_the_box() {
        assert_eq!(sides(10.0, 32, &[[1.0, 2.0, 3.0]]), [10.0]);
        let huge = Grid::cube(1 << 19, 10.0).unwrap();
        assert!(LocalDensity::memory_bytes(&huge).unwrap() < 2 << 30);
    }
}
