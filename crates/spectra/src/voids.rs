//! Spherical voids and their sizes.

use crate::{Kernel, Smoother, SpectraError};
use finescale_field::{Field3, Grid, position};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A sphere whose mean density contrast is below the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Void {
    /// The voxel at its centre.
    pub centre: [usize; 3],
    /// Radius in comoving Mpc/h.
    pub radius_mpc_h: f64,
}

/// Voids of a field, the largest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voids {
    /// The voids, in the order found: by radius, then from the emptiest on.
    pub voids: Vec<Void>,
    /// The radii searched, falling, in Mpc/h.
    pub radii_mpc_h: Vec<f64>,
    /// Number of voids of each radius.
    pub counts: Vec<u64>,
    volume_mpc_h3: f64,
}

/// Number density of voids by size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoidSizeFunction {
    /// Middles between neighbouring radii in Mpc/h, falling.
    pub radius_mpc_h: Vec<f64>,
    /// dn/dR in (h/Mpc)⁴: voids of the larger of the two radii per volume and difference of radii.
    pub density_h_mpc4: Vec<f64>,
    /// Number of voids of the larger of the two radii.
    pub counts: Vec<u64>,
}

/// Finds spheres of the given radii in which the mean of δ = `field` − 1 is below `threshold` (such as −0.7)
/// and that do not overlap. From the largest radius down: δ is smoothed with a top hat, and from the emptiest
/// voxel on, each voxel below the threshold becomes the centre of a void if a sphere there keeps clear of all
/// found before.
///
/// `field` is a density in units of the cosmic mean, periodic. Spheres keep clear if their centres are no
/// closer than the sum of their radii (Pylians does the same while voids are few; for many it looks at voxels
/// instead).
///
/// # Errors
/// [`SpectraError::Radius`] if a radius is below one voxel or above half of the box;
/// [`SpectraError::NotADensity`] if a value is not finite.
/// # Source
/// Banerjee & Dalal 2016, arXiv:1606.06167; Pylians `void_library.void_finder`.
pub fn find_voids(field: &Field3, radii_mpc_h: &[f64], threshold: f64) -> Result<Voids, SpectraError> {
    let grid = *field.grid();
    let smallest = grid.voxel_mpc_h().into_iter().fold(0.0, f64::max);
    let largest = 0.5 * grid.box_size_mpc_h().into_iter().fold(f64::INFINITY, f64::min);
    if let Some(&found) = radii_mpc_h.iter().find(|radius| !(smallest..=largest).contains(*radius)) {
        return Err(SpectraError::Radius { found, smallest, largest });
    }
    let mut radii_mpc_h = radii_mpc_h.to_vec();
    radii_mpc_h.sort_by(|a, b| b.total_cmp(a));

    let contrast = Smoother::new(&field.map(|density| density - 1.0))?;
    let (mut voids, mut counts) = (Vec::<Void>::new(), Vec::new());
    for &radius_mpc_h in &radii_mpc_h {
        let candidates = emptiest_first(&contrast.smooth(Kernel::TopHat, radius_mpc_h)?, threshold);
        let before = voids.len();
        if !candidates.is_empty() {
            // Where no centre of this radius can lie any more.
            let mut taken = Taken::new(grid);
            voids.iter().for_each(|void| taken.mark(void.centre, void.radius_mpc_h + radius_mpc_h));
            for centre in candidates {
                if !taken.voxels[centre] {
                    let centre = position(centre, taken.grid.cells());
                    taken.mark(centre, 2.0 * radius_mpc_h);
                    voids.push(Void { centre, radius_mpc_h });
                }
            }
        }
        counts.push((voids.len() - before) as u64);
    }
    Ok(Voids { voids, radii_mpc_h, counts, volume_mpc_h3: grid.volume_mpc_h3() })
}

impl Voids {
    /// dn/dR between neighbouring radii, as Pylians has it: one bin fewer than radii, and the voids of the
    /// smallest radius are in none.
    #[must_use]
    pub fn size_function(&self) -> VoidSizeFunction {
        let edges = || self.radii_mpc_h.windows(2);
        let density =
            |(edge, &count): (&[f64], &u64)| count as f64 / (self.volume_mpc_h3 * (edge[0] - edge[1]));
        VoidSizeFunction {
            radius_mpc_h: edges().map(|edge| 0.5 * (edge[0] + edge[1])).collect(),
            density_h_mpc4: edges().zip(&self.counts).map(density).collect(),
            counts: self.counts[..self.counts.len().saturating_sub(1)].to_vec(),
        }
    }
}

/// Flat indices of the voxels below the threshold, the lowest first; equal ones in the order of the field.
fn emptiest_first(smoothed: &Field3, threshold: f64) -> Vec<usize> {
    let values = smoothed.as_slice();
    let mut below: Vec<usize> =
        (0..values.len()).into_par_iter().filter(|&at| f64::from(values[at]) < threshold).collect();
    below.par_sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    below
}

/// The voxels that are too close to something.
struct Taken {
    grid: Grid,
    voxels: Vec<bool>,
}

impl Taken {
    fn new(grid: Grid) -> Self {
        Self { grid, voxels: vec![false; grid.voxels()] }
    }

    /// Marks the voxels closer than `reach_mpc_h` to `centre`, across the box's faces.
    fn mark(&mut self, centre: [usize; 3], reach_mpc_h: f64) {
        let [_, ny, nz] = self.grid.cells();
        let near: [Vec<(usize, f64)>; 3] = std::array::from_fn(|a| self.near(a, centre[a], reach_mpc_h));
        let reach2 = reach_mpc_h * reach_mpc_h;
        for &(x, x2) in &near[0] {
            for &(y, y2) in &near[1] {
                let row = &mut self.voxels[(x * ny + y) * nz..][..nz];
                for &(z, z2) in &near[2] {
                    if x2 + y2 + z2 < reach2 {
                        row[z] = true;
                    }
                }
            }
        }
    }

    /// Cells within reach of `centre` along an axis, each once, and their squared distances.
    fn near(&self, axis: usize, centre: usize, reach_mpc_h: f64) -> Vec<(usize, f64)> {
        let (n, voxel) = (self.grid.cells()[axis] as i64, self.grid.voxel_mpc_h()[axis]);
        let steps = (reach_mpc_h / voxel) as i64;
        let (first, last) = (-steps.min((n - 1) / 2), steps.min(n / 2));
        let cell = |step: i64| ((centre as i64 + step).rem_euclid(n) as usize, (step as f64 * voxel).powi(2));
        (first..=last).map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    const RADII: [f64; 4] = [6.0, 9.0, 4.5, 7.5];

    /// Empty balls in a full box; voxels of 1.25 x 1 x 1.5 Mpc/h.
    fn box_with(balls: &[([usize; 3], f64)]) -> Field3 {
        let grid = Grid::new([40, 40, 36], [50.0, 40.0, 54.0]).unwrap();
        let mut taken = Taken::new(grid);
        balls.iter().for_each(|&(centre, radius)| taken.mark(centre, radius));
        let density = taken.voxels.iter().map(|&empty| if empty { 0.05 } else { 1.3 }).collect();
        Field3::new(grid, Array3::from_shape_vec(grid.cells(), density).unwrap()).unwrap()
    }

    #[test]
    fn empty_balls_are_found_where_they_are_across_faces_too() {
        // A ball of 9 Mpc/h over a corner of the box, and one of 6 Mpc/h.
        let field = box_with(&[([39, 1, 0], 9.3), ([20, 20, 18], 6.3)]);
        let found = find_voids(&field, &RADII, -0.7).unwrap();
        let expected = [
            Void { centre: [39, 1, 0], radius_mpc_h: 9.0 },
            Void { centre: [20, 20, 18], radius_mpc_h: 6.0 },
        ];
        assert_eq!(found.voids, expected);
        assert_eq!(
            (&found.radii_mpc_h[..], &found.counts[..]),
            (&[9.0, 7.5, 6.0, 4.5][..], &[1, 0, 1, 0][..])
        );
        let sizes = found.size_function();
        assert_eq!(sizes.radius_mpc_h, [8.25, 6.75, 5.25]);
        let volume = 50.0 * 40.0 * 54.0;
        assert_eq!(sizes.density_h_mpc4, [1.0 / (volume * 1.5), 0.0, 1.0 / (volume * 1.5)]);
    }

    #[test]
    fn voids_never_overlap_and_a_full_box_has_none() {
        let field = box_with(&[([10, 10, 10], 12.0), ([17, 19, 14], 10.0), ([30, 30, 30], 11.0)]);
        let found = find_voids(&field, &RADII, -0.2).unwrap();
        assert!(found.voids.len() >= 3, "{} voids", found.voids.len());
        let (cells, sides) = ([40i64, 40, 36], [1.25, 1.0, 1.5]);
        for (number, a) in found.voids.iter().enumerate() {
            for b in &found.voids[..number] {
                let distance2: f64 = (0..3)
                    .map(|axis| {
                        let apart = a.centre[axis].abs_diff(b.centre[axis]) as i64;
                        (apart.min(cells[axis] - apart) as f64 * sides[axis]).powi(2)
                    })
                    .sum();
                assert!(distance2.sqrt() >= a.radius_mpc_h + b.radius_mpc_h, "{a:?} and {b:?}");
            }
        }
        assert!(find_voids(&field.map(|_| 1.0), &RADII, -0.5).unwrap().voids.is_empty());
    }

    #[test]
    fn spheres_that_the_grid_cannot_hold_are_refused() {
        let field = box_with(&[]);
        for bad in [1.4, 20.1, -3.0, f64::NAN] {
            let error = find_voids(&field, &[5.0, bad], -0.7);
            assert!(matches!(error, Err(SpectraError::Radius { smallest: 1.5, largest: 20.0, .. })));
        }
    }
}
