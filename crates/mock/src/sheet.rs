//! Gas that fills space, as cells of gas do: between neighbours on the lattice it is interpolated.
//!
//! Particles in voids are a stretched lattice, and voxels of their size see its holes. Where the sheet of particles is not
//! folded many times over, each particle stands for the piece of it around its own site. In haloes, where neighbours on
//! the lattice are strangers, particles stay particles: it is density that tells, smoothed over a voxel, so haloes of less
//! than some voxels' mass are interpolated like all else.
//!
//! # Source
//! Abel, Hahn & Kaehler 2012, MNRAS 427, 61 (arXiv:1111.3944): the dark matter sheet; here with trilinear interpolation.

use crate::MockError;
use finescale_field::{Boundary, Depositor, Field3};
use rayon::prelude::*;

/// Where dark matter, smoothed over a voxel, is denser than this times the mean, gas stays particles.
const MOST_DENSITY: f32 = 4.0;
/// Pieces per voxel along a side of what a particle stands for, and the most of them.
const PIECES_PER_VOXEL: f32 = 3.0;
const MOST_PIECES: usize = 8;
/// Planes of the lattice that are divided before they are added.
const PLANES: usize = 8;

/// Particles on a lattice of `per_side`³ sites, k fastest, in a periodic box.
pub(crate) struct Sheet<'a> {
    pub(crate) positions: &'a [[f32; 3]],
    pub(crate) per_side: usize,
    pub(crate) box_size_mpc_h: f32,
}

impl Sheet<'_> {
    /// Adds all particles to `depositor`, those outside of what `density` (1 + δ, on the same grid) says is dense as what they
    /// stand for.
    pub(crate) fn deposit(&self, density: &Field3, depositor: &mut Depositor) -> Result<(), MockError> {
        let smooth = density.smoothed(1.0, Boundary::Periodic);
        let [cells, ..] = smooth.grid().cells();
        let voxel = self.box_size_mpc_h / cells as f32;
        let plane = self.per_side * self.per_side;
        for first in (0..self.per_side).step_by(PLANES) {
            // A plane each, for any number of threads: what is added together is rounded together.
            let planes: Vec<usize> = (first..(first + PLANES).min(self.per_side)).collect();
            let divided = planes.into_par_iter().map(|x| {
                let (mut pieces, mut weights) = (Vec::new(), Vec::new());
                for site in x * plane..(x + 1) * plane {
                    let position = self.positions[site];
                    let at = position.map(|x| ((x / voxel) as usize).min(cells - 1));
                    if smooth.values()[at] < MOST_DENSITY {
                        self.divide(site, voxel, &mut pieces);
                    } else {
                        pieces.push(position);
                    }
                    let share = 1.0 / (pieces.len() - weights.len()) as f32;
                    weights.resize(pieces.len(), share);
                }
                (pieces, weights)
            });
            for (pieces, weights) in divided.collect::<Vec<(Vec<[f32; 3]>, Vec<f32>)>>() {
                depositor.add(&pieces, Some(&weights))?;
            }
        }
        Ok(())
    }

    /// Cuts what a particle stands for into pieces no larger than a third of a voxel, if eight are enough.
    fn divide(&self, site: usize, voxel: f32, pieces: &mut Vec<[f32; 3]>) {
        // The particle and its neighbours, as seen from it: [x][y][z], each at -1, 0 and 1.
        let around = self.around(site);
        let length = |step: [f32; 3]| step.iter().map(|x| x * x).sum::<f32>().sqrt();
        let longest = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
            .map(|[x, y, z]| length(around[x][y][z]).max(length(around[2 - x][2 - y][2 - z])));
        let parts =
            longest.map(|length| ((PIECES_PER_VOXEL * length / voxel).ceil() as usize).clamp(1, MOST_PIECES));
        let offset = |part: usize, parts: usize| (part as f32 + 0.5) / parts as f32 - 0.5;
        let position = self.positions[site];
        for x in 0..parts[0] {
            for y in 0..parts[1] {
                for z in 0..parts[2] {
                    let offset = [offset(x, parts[0]), offset(y, parts[1]), offset(z, parts[2])];
                    let step = interpolate(&around, offset);
                    pieces.push([0, 1, 2].map(|axis| position[axis] + step[axis]));
                }
            }
        }
    }

    /// From a particle to its neighbours on the lattice, the short way around the box.
    fn around(&self, site: usize) -> [[[[f32; 3]; 3]; 3]; 3] {
        let n = self.per_side;
        let at = [site / (n * n), site / n % n, site % n];
        let own = self.positions[site];
        let neighbour = |step: [usize; 3]| {
            let [x, y, z] = [0, 1, 2].map(|axis| (at[axis] + n + step[axis] - 1) % n);
            let other = self.positions[(x * n + y) * n + z];
            [0, 1, 2].map(|axis| {
                let far = other[axis] - own[axis];
                far - self.box_size_mpc_h * (far / self.box_size_mpc_h).round()
            })
        };
        std::array::from_fn(|x| std::array::from_fn(|y| std::array::from_fn(|z| neighbour([x, y, z]))))
    }
}

/// Between the centre and the corner of the octant in which `offset` (in lattice spacings) lies.
fn interpolate(around: &[[[[f32; 3]; 3]; 3]; 3], offset: [f32; 3]) -> [f32; 3] {
    let far = offset.map(|offset| if offset < 0.0 { 0 } else { 2 });
    let mut sum = [0.0; 3];
    for corner in 0..8usize {
        let is_far = [corner & 4 != 0, corner & 2 != 0, corner & 1 != 0];
        let at: [usize; 3] = std::array::from_fn(|axis| if is_far[axis] { far[axis] } else { 1 });
        let share: f32 = (0..3)
            .map(|axis| if is_far[axis] { offset[axis].abs() } else { 1.0 - offset[axis].abs() })
            .product();
        for (sum, step) in sum.iter_mut().zip(around[at[0]][at[1]][at[2]]) {
            *sum += share * step;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::{Grid, Scheme};

    const BOX: f64 = 16.0;

    fn deposit(positions: &[[f32; 3]], per_side: usize, is_sheet: bool) -> Field3 {
        let grid = Grid::cube(16, BOX).unwrap();
        let mut depositor = Depositor::new(grid, Scheme::Cic).unwrap();
        if is_sheet {
            let sheet = Sheet { positions, per_side, box_size_mpc_h: BOX as f32 };
            let density = deposit(positions, per_side, false);
            sheet.deposit(&density, &mut depositor).unwrap();
        } else {
            depositor.add(positions, None).unwrap();
        }
        assert!((depositor.total() / per_side.pow(3) as f64 - 1.0).abs() < 1e-6);
        depositor.finish_overdensity().unwrap()
    }

    fn scatter(field: &Field3, expected: impl Fn(usize) -> f64) -> f64 {
        let squares =
            field.values().indexed_iter().map(|((x, ..), &v)| (f64::from(v) / expected(x) - 1.0).powi(2));
        (squares.sum::<f64>() / field.as_slice().len() as f64).sqrt()
    }

    #[test]
    fn a_stretched_lattice_has_no_holes() {
        // One particle in eight voxels.
        let (n, spacing) = (8, 2.0);
        let lattice: Vec<[f32; 3]> = (0..n * n * n)
            .map(|i| [i / (n * n), i / n % n, i % n].map(|m| 0.3 + spacing * m as f32))
            .collect();
        assert!(scatter(&deposit(&lattice, n, false), |_| 1.0) > 0.9);
        let even = scatter(&deposit(&lattice, n, true), |_| 1.0);
        assert!(even < 0.02, "{even}");
        // Pulled apart along x by a wave x = q + A sin q / k: of density 1 / (1 + A cos q).
        let k = 2.0 * std::f64::consts::PI / BOX;
        let moved = |q: f64| q + 0.5 * (k * q).sin() / k;
        let wave: Vec<[f32; 3]> =
            lattice.iter().map(|&[x, y, z]| [moved(f64::from(x)) as f32, y, z]).collect();
        let expected = |x: usize| {
            let (mut q, at) = (x as f64 + 0.5, x as f64 + 0.5);
            (0..100).for_each(|_| q = at - 0.5 * (k * q).sin() / k);
            1.0 / (1.0 + 0.5 * (k * q).cos())
        };
        let (particles, sheet) =
            (scatter(&deposit(&wave, n, false), expected), scatter(&deposit(&wave, n, true), expected));
        assert!(particles > 0.9 && sheet < 0.1, "{particles} {sheet}");
    }

    #[test]
    fn dense_places_keep_their_particles() {
        // In two clumps, as on a chessboard: neighbours on the lattice are strangers, and nothing lies between them.
        let clumps = [[3.5f32, 8.5, 8.5], [10.5, 8.5, 8.5]];
        let site = |i: usize| clumps[(i / 64 + i / 8 + i) % 2];
        let positions: Vec<[f32; 3]> = (0..512).map(site).collect();
        let field = deposit(&positions, 8, true);
        let clumps = [field.values()[[3, 8, 8]], field.values()[[10, 8, 8]]];
        assert_eq!((clumps, field.as_slice().iter().sum::<f32>()), ([2048.0; 2], 4096.0));
    }
}
