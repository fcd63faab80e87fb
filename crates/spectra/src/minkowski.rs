//! Minkowski functionals of excursion sets.

use crate::{SpectraError, values::check_finite};
use finescale_field::Field3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Minkowski functionals per volume of the sets above thresholds, one entry per threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minkowski {
    /// Thresholds, in the units of the field.
    pub thresholds: Vec<f64>,
    /// V0: the fraction of the volume.
    pub volume: Vec<f64>,
    /// V1 = S / 6V in h/Mpc, S the area of the surface.
    pub area_h_mpc: Vec<f64>,
    /// V2 = ∫ (κ1 + κ2)/2 dS / 3πV in (h/Mpc)², positive around balls.
    pub curvature_h_mpc2: Vec<f64>,
    /// V3 = χ / V in (h/Mpc)³, χ the Euler characteristic: bodies and cavities less tunnels.
    pub euler_h_mpc3: Vec<f64>,
}

/// The four Minkowski functionals of the periodic sets {field > threshold}, for `thresholds` that rise.
///
/// Crofton's formula counts the cubes of the set and the faces, edges and vertices that they touch, so that
/// voxels hang together by faces, edges and corners. Area and curvature are those of the three axes'
/// directions, right on average over directions; smooth the field by a few voxels first
/// ([`Smoother`](crate::Smoother)). In cubic voxels these are the numbers of Pylians' `MFs_library` without
/// mask.
///
/// # Errors
/// [`SpectraError::Thresholds`] if they do not rise; [`SpectraError::NotADensity`] if a value is not finite.
/// # Source
/// Schmalzing & Buchert 1997, arXiv:astro-ph/9702130, on Crofton's formula; `MFs_library.Minkowski_slice` of
/// Pylians3.
pub fn minkowski(field: &Field3, thresholds: &[f64]) -> Result<Minkowski, SpectraError> {
    check_thresholds(thresholds)?;
    check_finite(field)?;
    let counts = Counts::new(field, thresholds);
    let voxel = field.grid().voxel_mpc_h();
    let voxels = field.grid().voxels() as f64;
    let mut found = Minkowski {
        thresholds: thresholds.to_vec(),
        volume: Vec::new(),
        area_h_mpc: Vec::new(),
        curvature_h_mpc2: Vec::new(),
        euler_h_mpc3: Vec::new(),
    };
    for [cubes, face_x, face_y, face_z, edge_x, edge_y, edge_z, vertices] in counts.above() {
        let (faces, edges) = ([face_x, face_y, face_z], [edge_x, edge_y, edge_z]);
        // Intervals of the set on lines along each axis, Euler characteristics of its sections across each
        // axis.
        let intervals = |a: usize| (faces[a] - cubes) as f64 / voxel[a];
        let section = |a: usize| {
            let (b, c) = ((a + 1) % 3, (a + 2) % 3);
            (cubes - faces[b] - faces[c] + edges[a]) as f64 / (voxel[b] * voxel[c])
        };
        let euler = vertices - edges.iter().sum::<i64>() + faces.iter().sum::<i64>() - cubes;
        found.volume.push(cubes as f64 / voxels);
        found.area_h_mpc.push(2.0 / 9.0 * (0..3).map(intervals).sum::<f64>() / voxels);
        found.curvature_h_mpc2.push(2.0 / 9.0 * (0..3).map(section).sum::<f64>() / voxels);
        found.euler_h_mpc3.push(euler as f64 / field.grid().volume_mpc_h3());
    }
    Ok(found)
}

/// Thresholds that rise, and at least one.
pub(crate) fn check_thresholds(thresholds: &[f64]) -> Result<(), SpectraError> {
    let rise = thresholds.windows(2).all(|pair| pair[0] < pair[1]);
    if rise && !thresholds.is_empty() && thresholds.iter().all(|t| t.is_finite()) {
        return Ok(());
    }
    Err(SpectraError::Thresholds { found: thresholds.to_vec() })
}

/// Kinds of elements: the cube, the faces across x, y, z, the edges along x, y, z, the vertex. Each voxel owns
/// one of each, on its upper sides.
const KINDS: usize = 8;

/// For each kind, the number of elements by how many thresholds the densest of its cubes exceeds.
struct Counts(Vec<[i64; KINDS]>);

impl Counts {
    fn new(field: &Field3, thresholds: &[f64]) -> Self {
        let [nx, ny, nz] = field.grid().cells();
        let values = field.as_slice();
        let exceeded = |value: f32| thresholds.partition_point(|&t| t < f64::from(value));
        let of_plane = |x: usize| {
            let mut counts = vec![[0i64; KINDS]; thresholds.len() + 1];
            let upper_x = (x + 1) % nx;
            for y in 0..ny {
                let upper_y = (y + 1) % ny;
                let row = |x: usize, y: usize| &values[(x * ny + y) * nz..][..nz];
                let rows = [row(x, y), row(upper_x, y), row(x, upper_y), row(upper_x, upper_y)];
                for z in 0..nz {
                    let upper_z = (z + 1) % nz;
                    let [here, to_x, to_y, to_xy] = rows.map(|row| row[z]);
                    let [to_z, to_xz, to_yz, to_xyz] = rows.map(|row| row[upper_z]);
                    let faces = [here.max(to_x), here.max(to_y), here.max(to_z)];
                    let along_x = faces[1].max(to_z).max(to_yz);
                    let along_y = faces[0].max(to_z).max(to_xz);
                    let along_z = faces[0].max(to_y).max(to_xy);
                    let vertex = along_x.max(to_x).max(to_xy).max(to_xz).max(to_xyz);
                    let elements = [here, faces[0], faces[1], faces[2], along_x, along_y, along_z, vertex];
                    for (kind, &largest) in elements.iter().enumerate() {
                        counts[exceeded(largest)][kind] += 1;
                    }
                }
            }
            counts
        };
        let zeros = || vec![[0i64; KINDS]; thresholds.len() + 1];
        // Integers: the order of the additions does not matter.
        Self((0..nx).into_par_iter().map(of_plane).reduce(zeros, |mut sum, plane| {
            for (sum, plane) in sum.iter_mut().flatten().zip(plane.iter().flatten()) {
                *sum += plane;
            }
            sum
        }))
    }

    /// Elements in the set above each threshold.
    fn above(&self) -> Vec<[i64; KINDS]> {
        let mut sum = [0; KINDS];
        let mut above: Vec<_> = self.0[1..]
            .iter()
            .rev()
            .map(|counts| {
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                sum
            })
            .collect();
        above.reverse();
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;
    use std::f64::consts::PI;

    fn set(grid: Grid, inside: impl Fn(usize, usize, usize) -> bool) -> Field3 {
        let values = Array3::from_shape_fn(grid.cells(), |(i, j, k)| f32::from(u8::from(inside(i, j, k))));
        Field3::new(grid, values).unwrap()
    }

    fn at_half(field: &Field3) -> [f64; 4] {
        let found = minkowski(field, &[0.5]).unwrap();
        [found.volume[0], found.area_h_mpc[0], found.curvature_h_mpc2[0], found.euler_h_mpc3[0]]
    }

    fn assert_close(found: [f64; 4], expected: [f64; 4], relative: f64) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= relative * expected.abs(), "{found} for {expected}");
        }
    }

    #[test]
    fn a_brick_across_a_corner_of_the_box_counted_by_hand() {
        // 2 x 3 x 4 voxels of 1 x 2 x 0.5 Mpc/h in a box of 10 x 16 x 6: sides 2, 6 and 2.
        let grid = Grid::new([10, 8, 12], [10.0, 16.0, 6.0]).unwrap();
        let brick = set(grid, |i, j, k| (i + 1) % 10 < 2 && (j + 1) % 8 < 3 && (k + 2) % 12 < 4);
        let (volume, sides) = (960.0, [2.0, 6.0, 2.0]);
        let projected = sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0];
        // Lines cross it once wherever it projects to; sections across an axis are one piece along its side.
        let expected =
            [24.0 / volume, 2.0 / 9.0 * projected / volume, 2.0 / 9.0 * 10.0 / volume, 1.0 / volume];
        assert_close(at_half(&brick), expected, 1e-13);
        // Its complement: the same surface, curved the other way, one body with a cavity (χ of the torus is 0).
        let [volume, area, ..] = at_half(&brick);
        let around = at_half(&brick.map(|v| 1.0 - v));
        assert!((around[0] - (1.0 - volume)).abs() < 1e-13 && around[1] < area * 1.6 && around[2] < 0.0);
        assert_eq!(around[3], 1.0 / 960.0);
    }

    #[test]
    fn a_ball_has_its_area_curvature_and_one_body() {
        let (radius, length) = (11.3, 40.0); // Mpc/h, voxels of 0.8
        let grid = Grid::cube(50, length).unwrap();
        let ball = set(grid, |i, j, k| {
            let distance2: f64 = [i, j, k].map(|i| (0.8 * i as f64 - 19.7).powi(2)).iter().sum();
            distance2 < radius * radius
        });
        let volume = length.powi(3);
        let expected = [
            4.0 / 3.0 * PI * radius.powi(3) / volume,
            4.0 * PI * radius.powi(2) / (6.0 * volume),
            4.0 * PI * radius / (3.0 * PI * volume),
            1.0 / volume,
        ];
        assert_close(at_half(&ball), expected, 0.012);
    }

    #[test]
    fn a_slab_a_torus_and_a_cavity_have_the_euler_characteristic_of_their_shape() {
        let grid = Grid::cube(20, 20.0).unwrap();
        let slab = at_half(&set(grid, |i, _, _| (5..9).contains(&i)));
        // One interval on each line along x, none that ends along y and z; flat; χ of a plane on a torus is 0.
        assert_close(slab, [0.2, 2.0 / 9.0 / 20.0, 0.0, 0.0], 1e-13);
        let ring = |i: usize, j: usize, k: usize| {
            let flat = i.abs_diff(10).max(j.abs_diff(10));
            (3..=5).contains(&flat) && k.abs_diff(10) <= 1
        };
        assert_eq!(at_half(&set(grid, ring))[3], 0.0);
        let shell = |i: usize, j: usize, k: usize| {
            (3..=6).contains(&i.abs_diff(10).max(j.abs_diff(10)).max(k.abs_diff(10)))
        };
        assert_eq!(at_half(&set(grid, shell))[3], 2.0 / 8000.0);
    }

    #[test]
    fn a_set_lies_strictly_above_its_threshold() {
        let grid = Grid::cube(4, 4.0).unwrap();
        let field = set(grid, |i, j, k| i + j + k == 0);
        assert_eq!(
            minkowski(&field, &[-1.0, 0.0, 0.5, 1.0]).unwrap().volume,
            [1.0, 1.0 / 64.0, 1.0 / 64.0, 0.0]
        );
        for bad in [&[] as &[f64], &[1.0, 1.0], &[f64::NAN], &[2.0, 1.0]] {
            assert!(matches!(minkowski(&field, bad), Err(SpectraError::Thresholds { .. })));
        }
    }
}
