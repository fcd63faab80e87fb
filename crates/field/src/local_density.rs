//! How densely particles lie, where no file says it.

use crate::scheme::{first_voxel, shares};
use crate::{Depositor, Field3, FieldError, Grid, Scheme, coarsen};
use rayon::prelude::*;

/// Particles in the cube over which one is spread: enough that, of particles without order, cubes leave 3 in 10,000 places empty
/// (e^-8).
const NEIGHBOURS: f64 = 8.0;

/// Most cells along an axis of the finest counts.
const MOST_CELLS: usize = 512;

/// Counts of particles on finer and coarser cells of a periodic box, by which each one learns how much room there is around it.
///
/// # Source
/// The number of neighbours is held, as in SPH (Springel & Hernquist 2002, MNRAS 333, 649, section 2), here by the finest of
/// nested grids whose cells have enough of them: it needs no particles in memory.
pub struct LocalDensity {
    /// Particles per cell, the finest cells first; each next grid has half as many along an axis.
    counts: Vec<Field3>,
}

impl LocalDensity {
    /// An empty grid for [`Self::new`] that is as fine as so many particles are worth: one in a cell, on average.
    ///
    /// # Errors
    /// As [`Depositor::new`].
    pub fn depositor(box_size_mpc_h: [f64; 3], particles: u64) -> Result<Depositor, FieldError> {
        Depositor::new(Self::grid(box_size_mpc_h, particles)?, Scheme::Cic)
    }

    fn grid(box_size_mpc_h: [f64; 3], particles: u64) -> Result<Grid, FieldError> {
        let volume: f64 = box_size_mpc_h.iter().product();
        let spacing = (volume / particles.max(1) as f64).cbrt();
        // Powers of two, so that all grids have whole cells.
        let cells = box_size_mpc_h.map(|side| {
            let wanted = (side / spacing).clamp(1.0, MOST_CELLS as f64) as usize;
            1 << wanted.ilog2()
        });
        Grid::new(cells, box_size_mpc_h)
    }

    /// What one takes, with the depositor before it.
    ///
    /// # Errors
    /// As [`Grid::new`].
    pub fn memory_bytes(box_size_mpc_h: [f64; 3], particles: u64) -> Result<u128, FieldError> {
        Ok(Depositor::memory_bytes(&Self::grid(box_size_mpc_h, particles)?))
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
        let mut found = (0.0, &self.counts[0]);
        for counts in &self.counts {
            found = (interpolated(counts, position_mpc_h), counts);
            if found.0 >= NEIGHBOURS {
                break;
            }
        }
        let (count, counts) = found;
        let cell: f64 = counts.grid().voxel_mpc_h().iter().product();
        // In a box of fewer particles, the whole box.
        let whole: f64 = counts.grid().volume_mpc_h3();
        (cell * NEIGHBOURS / count.max(f64::MIN_POSITIVE)).min(whole).cbrt()
    }
}

/// A field between the centres of its cells.
fn interpolated(field: &Field3, position_mpc_h: [f64; 3]) -> f64 {
    let (cells, voxel) = (field.grid().cells(), field.grid().voxel_mpc_h());
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
                sum += share * f64::from(field.values()[[x[i], y[j], z[k]]]);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(size: f64, positions: &[[f64; 3]]) -> Vec<f32> {
        let mut counts = LocalDensity::depositor([size; 3], positions.len() as u64).unwrap();
        counts.add(positions, None).unwrap();
        LocalDensity::new(counts).unwrap().sides_mpc_h(positions)
    }

    #[test]
    fn cubes_of_a_lattice_hold_eight_particles() {
        let lattice: Vec<[f64; 3]> =
            (0..4096).map(|i| [i / 256, i / 16 % 16, i % 16].map(|n| f64::from(n) * 1.5 + 0.3)).collect();
        for side in sides(24.0, &lattice) {
            // Two spacings of 1.5 Mpc/h.
            assert!((side - 3.0).abs() < 1e-5, "{side}");
        }
    }

    #[test]
    fn where_particles_are_sixty_four_times_denser_cubes_have_a_quarter_of_the_side() {
        // Spacings of 2 Mpc/h in one half of the box, and of 0.5 in the other.
        let half = |spacing: f64, start: f64| -> Vec<[f64; 3]> {
            let n = (32.0 / spacing) as usize;
            let place = |i: usize| (i as f64 + 0.5) * spacing;
            let at = |i: usize| [start + place(i / (n * n)), place(i / n % n), place(i % n)];
            (0..n / 2 * n * n).map(at).collect()
        };
        let (sparse, dense) = (half(2.0, 0.0), half(0.5, 16.0));
        let sides = sides(32.0, &[sparse.clone(), dense.clone()].concat());
        let inside = |first: usize, positions: &[[f64; 3]], from: f64, to: f64| -> Vec<f32> {
            let is_inside = |position: &[f64; 3]| position[0] > from && position[0] < to;
            let of = positions.iter().zip(&sides[first..]);
            of.filter(|(position, _)| is_inside(position)).map(|(_, side)| *side).collect()
        };
        for (found, expected) in
            [(inside(0, &sparse, 6.0, 10.0), 4.0), (inside(sparse.len(), &dense, 20.0, 28.0), 1.0)]
        {
            assert!(found.len() > 100);
            assert!(
                found.iter().all(|side| (side / expected - 1.0).abs() < 0.02),
                "{expected}: {:?}",
                &found[..9]
            );
        }
    }

    #[test]
    fn a_lone_particle_has_the_box() {
        assert_eq!(sides(10.0, &[[1.0, 2.0, 3.0]]), [10.0]);
        assert!(LocalDensity::memory_bytes([10.0; 3], u64::MAX).unwrap() < 2 << 30);
    }
}
