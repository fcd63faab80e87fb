//! Guidance by the mass of the condition: at little noise the clean estimate of a volume is held to the condition's density where
//! both are smoothed.
//!
//! A network draws the logarithm of a density, and is off by some per cent in the mass of one place or another; power at small k
//! is that of such masses. The condition has them right: what is smoothed over some Mpc/h has moved nowhere in it. So
//! each voxel's estimate ρ is multiplied by S(ρ_c) / S(ρ), with S a smoothing over both, before the solver's step; what
//! is smaller than S is left to the steps that follow, as the network likes it.
//!
//! # Source
//! Guiding a sampler by a known linear measurement of what it draws: Chung et al. 2023, arXiv:2209.14687, and Wang, Yu &
//! Zhang 2023, arXiv:2212.00490, who replace what is measured in each clean estimate. Here the measurement is S of the density.

use crate::{Boundary, Job, MassGuidance, OutpaintError};
use finescale_diffusion::{Levels, sigma_of_alpha_bar};
use finescale_field::{Field3, Grid, Normalizer, Region};
use finescale_ranks::Ranks;
use ndarray::Array3;
use std::ops::Range;

/// Steps of a sum between two whole numbers: sums in whole numbers know no order.
const STEPS: f64 = 16_777_216.0;
/// The most by which a density is multiplied or divided in one step.
const LARGEST_FACTOR: f32 = 2.0;

/// The condition's smoothed density, and where it is used.
pub(crate) struct Mass {
    coarse: Coarse,
    condition: Field3,
    /// Of each step, whether it is guided.
    steps: Vec<bool>,
}

impl Mass {
    /// That of a job, of which each rank reads the planes `slab` of the condition.
    pub(crate) fn of(
        job: &Job,
        guidance: MassGuidance,
        levels: &Levels,
        slab: Range<usize>,
    ) -> Result<Self, OutpaintError> {
        let refused = |expected: &str| {
            let (name, found) = ("mass_guidance", format!("{} cells", guidance.smoothing_cells));
            OutpaintError::Setting { name, found, expected: expected.to_owned() }
        };
        let normalizer = job.condition.density_normalizer().ok_or_else(|| {
            refused("left out: of this condition it is not known which density its values are")
        })?;
        if job.fields() != 1 {
            return Err(refused(
                "left out: this model draws several fields, and not all may have the condition's mass",
            ));
        }
        let coarse = Coarse::new(&job.result_grid()?, guidance.smoothing_cells, job.result_boundary())?;
        let mut sums = coarse.zeros(&slab);
        for x in slab.clone() {
            let [_, ny, nz] = job.region.shape;
            let plane = Region { start: [x as i64, 0, 0], shape: [1, ny, nz] };
            let channels = job.condition.channels(&job.in_box(&plane))?;
            let density: Vec<f32> =
                channels[..plane.voxels()].iter().map(|&y| normalizer.denormalize(y)).collect();
            coarse.add(&mut sums, &slab, &plane, &density);
        }
        let condition = coarse.smoothed(job.ranks, sums)?;
        let is_guided = |&alpha_bar: &f64| sigma_of_alpha_bar(alpha_bar) < guidance.below_sigma;
        Ok(Self { coarse, condition, steps: levels.alpha_bars().iter().map(is_guided).collect() })
    }

    /// Whether the estimate of a step is guided.
    pub(crate) fn guides(&self, step: usize) -> bool {
        self.steps[step]
    }

    /// Sums of the estimated density on this rank's planes, to which [`add`](Self::add) adds.
    pub(crate) fn sums(&self, slab: &Range<usize>) -> Vec<i64> {
        self.coarse.zeros(slab)
    }

    /// Adds the density of a block among the planes `slab`.
    pub(crate) fn add(&self, sums: &mut [i64], slab: &Range<usize>, block: &Region, density: &[f32]) {
        self.coarse.add(sums, slab, block, density);
    }

    /// What the estimated density is to be multiplied by, of the sums of all ranks.
    pub(crate) fn factors(&self, ranks: &Ranks, sums: Vec<i64>) -> Result<Factors<'_>, OutpaintError> {
        let mut factors = self.coarse.smoothed(ranks, sums)?.values().clone();
        factors.zip_mut_with(self.condition.values(), |estimated, &condition| {
            let factor = condition / *estimated;
            // Nothing in both places: nothing to do.
            *estimated =
                if factor.is_nan() { 1.0 } else { factor.clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR) };
        });
        Ok(Factors { coarse: &self.coarse, factors })
    }
}

/// Bytes of the sums and smoothed densities of a volume of these cells.
pub(crate) fn bytes(cells: [usize; 3], guidance: MassGuidance) -> usize {
    let voxels: usize = coarse_cells(cells, guidance.smoothing_cells).iter().product();
    voxels * (2 * size_of::<i64>() + 4 * size_of::<f32>())
}

/// What a density is multiplied by, between the centres of coarse cells.
pub(crate) struct Factors<'a> {
    coarse: &'a Coarse,
    factors: Array3<f32>,
}

impl Factors<'_> {
    /// Multiplies the density of a block that is given in network units.
    pub(crate) fn apply(&self, block: &Region, values: &mut [f32], normalizer: &Normalizer) {
        let [xs, ys, zs] = [0, 1, 2].map(|axis| {
            let cells = block.start[axis] as usize..block.start[axis] as usize + block.shape[axis];
            cells.map(|cell| self.coarse.between(axis, cell)).collect::<Vec<Between>>()
        });
        let mut values = values.iter_mut();
        for x in &xs {
            for y in &ys {
                for z in &zs {
                    let value = values.next().expect("a block has its voxels");
                    let density = normalizer.denormalize(*value);
                    let wanted = density * self.at([x, y, z]);
                    // The difference: a factor of one leaves every bit.
                    *value += normalizer.normalize(wanted) - normalizer.normalize(density);
                }
            }
        }
    }

    fn at(&self, [x, y, z]: [&Between; 3]) -> f32 {
        let along_z = |i, j| z.of(self.factors[[i, j, z.cells[0]]], self.factors[[i, j, z.cells[1]]]);
        let along_y = |i| y.of(along_z(i, y.cells[0]), along_z(i, y.cells[1]));
        x.of(along_y(x.cells[0]), along_y(x.cells[1]))
    }
}

/// Two neighbouring coarse cells, and how far a voxel is from the first one to the second.
struct Between {
    cells: [usize; 2],
    share: f32,
}

impl Between {
    fn of(&self, first: f32, second: f32) -> f32 {
        first + self.share * (second - first)
    }
}

/// A volume in cells about as large as the smoothing.
struct Coarse {
    cells: [usize; 3],
    grid: Grid,
    boundary: Boundary,
}

/// Cells as large as the smoothing, as nearly as a whole number of them allows.
fn coarse_cells(cells: [usize; 3], smoothing_cells: f64) -> [usize; 3] {
    cells.map(|cells| ((cells as f64 / smoothing_cells).round() as usize).clamp(1, cells))
}

impl Coarse {
    fn new(grid: &Grid, smoothing_cells: f64, boundary: Boundary) -> Result<Self, OutpaintError> {
        let cells = grid.cells();
        let grid = Grid::new(coarse_cells(cells, smoothing_cells), grid.box_size_mpc_h())?;
        Ok(Self { cells, grid, boundary })
    }

    /// The coarse cell of a voxel along an axis.
    fn cell(&self, axis: usize, voxel: usize) -> usize {
        voxel * self.grid.cells()[axis] / self.cells[axis]
    }

    /// Coarse cells along x that some planes lie in.
    fn planes(&self, slab: &Range<usize>) -> Range<usize> {
        if slab.is_empty() { 0..0 } else { self.cell(0, slab.start)..self.cell(0, slab.end - 1) + 1 }
    }

    /// Of the coarse cells that some planes lie in.
    fn zeros(&self, slab: &Range<usize>) -> Vec<i64> {
        let [_, ny, nz] = self.grid.cells();
        vec![0; self.planes(slab).len() * ny * nz]
    }

    /// Adds the density of a block among the planes `slab`.
    fn add(&self, sums: &mut [i64], slab: &Range<usize>, block: &Region, density: &[f32]) {
        let ([nx, ny, nz], [_, coarse_y, coarse_z]) = (block.shape, self.grid.cells());
        let [x, y, z] = block.start.map(|start| start as usize);
        let first = self.planes(slab).start;
        for (row, density) in density.chunks_exact(nz).enumerate().take(nx * ny) {
            let (x, y) = (self.cell(0, x + row / ny) - first, self.cell(1, y + row % ny));
            let sums = &mut sums[(x * coarse_y + y) * coarse_z..][..coarse_z];
            for (k, &density) in density.iter().enumerate() {
                sums[self.cell(2, z + k)] += (f64::from(density) * STEPS).round() as i64;
            }
        }
    }

    /// The mean density of the coarse cells, of the sums of all ranks, smoothed over as much as a cell.
    fn smoothed(&self, ranks: &Ranks, sums: Vec<i64>) -> Result<Field3, OutpaintError> {
        let [nx, ny, nz] = self.grid.cells();
        let mut all = vec![0i64; nx * ny * nz];
        for (rank, sums) in ranks.gather(&sums)?.into_iter().enumerate() {
            let first = self.planes(&ranks.share_of(self.cells[0], rank)).start;
            all[first * ny * nz..].iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
        }
        let [x, y, z] = [0, 1, 2].map(|axis| {
            let mut voxels = vec![0usize; self.grid.cells()[axis]];
            (0..self.cells[axis]).for_each(|voxel| voxels[self.cell(axis, voxel)] += 1);
            voxels
        });
        let means = Array3::from_shape_fn([nx, ny, nz], |(i, j, k)| {
            let voxels = x[i] * y[j] * z[k];
            (all[(i * ny + j) * nz + k] as f64 / STEPS / voxels as f64) as f32
        });
        Ok(Field3::new(self.grid, means)?.smoothed(1.0, self.boundary))
    }

    /// Where a voxel lies between the centres of coarse cells; beyond the outermost of an open volume, at that one.
    fn between(&self, axis: usize, voxel: usize) -> Between {
        let coarse = self.grid.cells()[axis];
        let place = (voxel as f64 + 0.5) * coarse as f64 / self.cells[axis] as f64 - 0.5;
        let first = place.floor();
        let (first, share) = (first as i64, (place - first) as f32);
        let wrapped = |cell: i64| match self.boundary {
            Boundary::Periodic => cell.rem_euclid(coarse as i64) as usize,
            Boundary::Open => cell.clamp(0, coarse as i64 - 1) as usize,
        };
        Between { cells: [wrapped(first), wrapped(first + 1)], share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Transform;

    const CELLS: [usize; 3] = [22, 13, 16];

    fn coarse(boundary: Boundary) -> Coarse {
        Coarse::new(&Grid::new(CELLS, CELLS.map(|n| n as f64)).unwrap(), 4.0, boundary).unwrap()
    }

    fn density(scale: f32) -> Vec<f32> {
        (0..CELLS.iter().product()).map(|i| scale * (0.1 + (i * 7 % 23) as f32)).collect()
    }

    fn whole() -> Region {
        Region { start: [0; 3], shape: CELLS }
    }

    /// The estimate `values` in network units, guided towards `condition`.
    fn guided(boundary: Boundary, condition: &[f32], values: &[f32], normalizer: &Normalizer) -> Vec<f32> {
        let (coarse, ranks, slab) = (coarse(boundary), Ranks::alone(), 0..CELLS[0]);
        let sums = |density: &[f32]| {
            let mut sums = coarse.zeros(&slab);
            coarse.add(&mut sums, &slab, &whole(), density);
            sums
        };
        let condition_sums = sums(condition);
        let estimated: Vec<f32> = values.iter().map(|&y| normalizer.denormalize(y)).collect();
        let estimated = sums(&estimated);
        let condition = coarse.smoothed(&ranks, condition_sums).unwrap();
        let mass = Mass { coarse, condition, steps: vec![true] };
        let mut values = values.to_vec();
        mass.factors(&ranks, estimated).unwrap().apply(&whole(), &mut values, normalizer);
        values
    }

    const NORMALIZER: Normalizer = Normalizer {
        mean_count: 4.0,
        transform: Transform::Linear { mu: 0.8, s: 1.5, low: -0.6, high: 9.0 },
    };

    #[test]
    fn coarse_cells_hold_the_mean_and_all_of_the_volume() {
        let coarse = coarse(Boundary::Periodic);
        assert_eq!(coarse.grid.cells(), [6, 3, 4]);
        let slab = 0..CELLS[0];
        let mut sums = coarse.zeros(&slab);
        coarse.add(&mut sums, &slab, &whole(), &density(1.0));
        let exact: f64 = density(1.0).iter().map(|&density| f64::from(density)).sum();
        assert!((sums.iter().sum::<i64>() as f64 / STEPS - exact).abs() < 1e-7 * exact);
        let ones = vec![1.0; whole().voxels()];
        let mut sums = coarse.zeros(&slab);
        coarse.add(&mut sums, &slab, &whole(), &ones);
        let smoothed = coarse.smoothed(&Ranks::alone(), sums).unwrap();
        assert!(smoothed.as_slice().iter().all(|mean| (mean - 1.0).abs() < 1e-6));
    }

    #[test]
    fn ranks_add_up_what_one_process_does() {
        let coarse_sums = |ranks: &Ranks| {
            let coarse = coarse(Boundary::Open);
            let slab = ranks.share(CELLS[0]);
            let mut sums = coarse.zeros(&slab);
            for x in slab.clone() {
                let plane = Region { start: [x as i64, 0, 0], shape: [1, CELLS[1], CELLS[2]] };
                let of_plane = CELLS[1] * CELLS[2];
                coarse.add(&mut sums, &slab, &plane, &density(1.0)[x * of_plane..][..of_plane]);
            }
            coarse.smoothed(ranks, sums).unwrap().into_values()
        };
        let alone = coarse_sums(&Ranks::alone());
        for found in Ranks::on_threads(5, coarse_sums) {
            assert_eq!(found, alone);
        }
    }

    #[test]
    fn an_estimate_that_agrees_stays_to_the_bit() {
        let values: Vec<f32> = density(1.0).iter().map(|&density| NORMALIZER.normalize(density)).collect();
        let same: Vec<f32> = values.iter().map(|&y| NORMALIZER.denormalize(y)).collect();
        assert_eq!(guided(Boundary::Periodic, &same, &values, &NORMALIZER), values);
    }

    #[test]
    fn too_much_or_too_little_mass_is_mended_at_once_if_it_is_the_same_everywhere() {
        for (boundary, scale) in
            [(Boundary::Periodic, 1.07f32), (Boundary::Open, 0.94), (Boundary::Open, 7.0)]
        {
            let values: Vec<f32> =
                density(1.0).iter().map(|&density| NORMALIZER.normalize(density)).collect();
            let found = guided(boundary, &density(scale), &values, &NORMALIZER);
            let bounded = scale.clamp(0.5, 2.0);
            for (&y, density) in found.iter().zip(density(1.0)) {
                let found = NORMALIZER.denormalize(y);
                assert!(
                    (found / (bounded * density) - 1.0).abs() < 1e-4,
                    "{found} for {density} times {bounded}"
                );
            }
        }
    }

    #[test]
    fn mass_moves_to_where_the_condition_has_it() {
        // The condition has half again as much in the upper half along x.
        let values: Vec<f32> = density(1.0).iter().map(|&density| NORMALIZER.normalize(density)).collect();
        let half = values.len() / 2;
        let mut condition = density(1.0);
        condition[half..].iter_mut().for_each(|density| *density *= 1.5);
        let mut values = values;
        for _ in 0..8 {
            values = guided(Boundary::Open, &condition, &values, &NORMALIZER);
        }
        let mass = |values: &[f32]| values.iter().map(|&y| f64::from(NORMALIZER.denormalize(y))).sum::<f64>();
        let ratio = mass(&values[half..]) / mass(&values[..half]);
        let wanted: f64 = condition[half..].iter().map(|&d| f64::from(d)).sum::<f64>()
            / condition[..half].iter().map(|&d| f64::from(d)).sum::<f64>();
        // All but what a sharp edge leaves to finer scales.
        assert!((ratio - 1.0) / (wanted - 1.0) > 0.93 && ratio < wanted, "{ratio} for {wanted}");
    }
}
