//! Guidance by the mass of the condition: at little noise the clean estimate of a volume is held to the condition's density where
//! both are smoothed.
//!
//! A network draws the logarithm of a density, and is off by some per cent in the mass of one place or another; power at small k
//! is that of such masses. The condition has them right where fine and coarse runs have moved mass alike. So
//! each voxel's estimate ρ is multiplied by S(ρ_c) / S(ρ), with S a smoothing over both, before the solver's step; the
//! steps that follow may change it again. A wave of which S leaves a share s is held by 1 − (1 − s)^n after n guided steps, if
//! the network keeps what it was given.
//!
//! # Source
//! Replacing what is known of each clean estimate by a linear measurement: Wang, Yu & Zhang 2023, arXiv:2212.00490. Here what is
//! measured is S of a density, and the network draws its logarithm, so the estimate is multiplied, which is no projection.

use crate::given::GivenPlace;
use crate::place::{Boundaries, Place};
use crate::updates::by_blocks;
use crate::{Boundary, Job, MassGuidance, OutpaintError};
use finescale_field::{Field3, Grid, Normalizer, Region};
use finescale_ranks::Ranks;
use ndarray::Array3;
use std::ops::Range;

/// Steps of a sum between two whole numbers: sums in whole numbers know no order.
const STEPS: f64 = 16_777_216.0;
/// The most by which a density is multiplied or divided in one step.
const LARGEST_FACTOR: f32 = 2.0;

/// The condition's smoothed density, and where it is used. What is given counts on neither side.
pub(crate) struct Mass {
    coarse: Coarse,
    condition: Field3,
    steps: Vec<bool>,
    given: Option<GivenPlace>,
}

impl Mass {
    /// That of a job, of which each rank reads the planes `slab` of the condition.
    ///
    /// # Panics
    /// If the job was not checked.
    pub(crate) fn of(
        job: &Job,
        guidance: MassGuidance,
        place: &Place,
        slab: Range<usize>,
    ) -> Result<Self, OutpaintError> {
        let normalizer = job.condition.density_normalizer().expect("a density that is known");
        let coarse = Coarse::new(place, guidance.smoothing_cells);
        let given = job.given_values().map(|given| given.place);
        let (condition, box_cells, first) = (job.condition, job.grid().cells(), job.region.start);
        let first = [0, 1, 2].map(|axis| first[axis].rem_euclid(box_cells[axis] as i64));
        let density = |block: &Region| -> Result<Vec<f32>, OutpaintError> {
            let in_box = Region { start: [0, 1, 2].map(|axis| first[axis] + block.start[axis]), ..*block };
            let mut density = condition.channels(&in_box)?;
            density.truncate(block.voxels());
            density.iter_mut().for_each(|value| *value = normalizer.denormalize(*value));
            Ok(density)
        };
        let mut made = Self {
            condition: Field3::zeros(coarse.grid()),
            coarse,
            steps: guidance.guided_steps(&job.config.sampling.levels.levels()?),
            given,
        };
        made.condition = made.smoothed(job.ranks, &job.result_grid()?, slab, density)?;
        Ok(made)
    }

    /// Whether the estimate of a step is guided.
    pub(crate) fn guides(&self, step: usize) -> bool {
        self.steps[step]
    }

    /// What a density is to be multiplied by that `read` gives, block by block, on this rank's planes.
    pub(crate) fn factors(
        &self,
        ranks: &Ranks,
        grid: &Grid,
        slab: Range<usize>,
        read: impl Fn(&Region) -> Result<Vec<f32>, OutpaintError> + Sync,
    ) -> Result<Factors<'_>, OutpaintError> {
        let mut factors = self.smoothed(ranks, grid, slab, read)?.values().clone();
        factors.zip_mut_with(self.condition.values(), |estimated, &condition| {
            let factor = condition / *estimated;
            // Nothing in both places: nothing to do.
            *estimated =
                if factor.is_nan() { 1.0 } else { factor.clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR) };
        });
        Ok(Factors { coarse: &self.coarse, factors })
    }

    /// A density, smoothed, on coarse cells; of all ranks.
    fn smoothed(
        &self,
        ranks: &Ranks,
        grid: &Grid,
        slab: Range<usize>,
        read: impl Fn(&Region) -> Result<Vec<f32>, OutpaintError> + Sync,
    ) -> Result<Field3, OutpaintError> {
        let drawn = |block: &Region| {
            let mut density = read(block)?;
            if let Some(given) = self.given {
                given.leave_out(block, &mut density);
            }
            Ok(density)
        };
        let mut sums = self.coarse.zeros(&slab);
        by_blocks(grid, slab.clone(), drawn, |block, density| {
            self.coarse.add(&mut sums, &slab, block, &density);
            Ok(())
        })?;
        self.coarse.smoothed(ranks, sums)
    }
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
            cells.map(|cell| self.coarse.axes[axis].between(cell)).collect::<Vec<Between>>()
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

/// A volume in cells about as large as the smoothing. They are cells of its box, whatever part of it the volume is; at the faces
/// of a part they may be cut.
struct Coarse {
    axes: [Axis; 3],
}

/// One axis of it.
struct Axis {
    /// Voxels of the volume, and of its box; the first one in the box.
    voxels: usize,
    of_box: usize,
    first: usize,
    /// Coarse cells of the box, and of the volume.
    coarse_of_box: usize,
    coarse: usize,
    boundary: Boundary,
}

impl Axis {
    fn new(place: &Place, axis: usize, smoothing_cells: f64) -> Self {
        let (voxels, of_box) = (place.cells()[axis], place.of()[axis]);
        // As nearly as a whole number of them allows.
        let coarse_of_box = ((of_box as f64 / smoothing_cells).round() as usize).clamp(1, of_box);
        let boundary = Boundaries::from(*place).along(axis);
        let first = place.first()[axis].rem_euclid(of_box as i64) as usize;
        let mut made = Self { voxels, of_box, first, coarse_of_box, coarse: coarse_of_box, boundary };
        if !boundary.is_periodic() {
            made.coarse = made.before_closing(voxels - 1) + 1;
        }
        made
    }

    /// The coarse cell of a voxel, from that of the first voxel on; where the volume closes, the last one is the first one.
    fn before_closing(&self, voxel: usize) -> usize {
        let in_box = |voxel: usize| (self.first + voxel) * self.coarse_of_box / self.of_box;
        in_box(voxel) - in_box(0)
    }

    /// The coarse cell of a voxel.
    fn cell(&self, voxel: usize) -> usize {
        self.before_closing(voxel) % self.coarse
    }

    /// Voxels of each coarse cell.
    fn voxels(&self) -> Vec<usize> {
        let mut voxels = vec![0; self.coarse];
        (0..self.voxels).for_each(|voxel| voxels[self.cell(voxel)] += 1);
        voxels
    }

    /// Where a voxel lies between the centres of coarse cells; beyond the outermost of an open volume, at that one.
    fn between(&self, voxel: usize) -> Between {
        let in_box =
            ((self.first + voxel) as f64 + 0.5) * self.coarse_of_box as f64 / self.of_box as f64 - 0.5;
        let place = in_box - (self.first * self.coarse_of_box / self.of_box) as f64;
        let (below, coarse) = (place.floor(), self.coarse as i64);
        let wrapped = |cell: i64| match self.boundary {
            Boundary::Periodic => cell.rem_euclid(coarse) as usize,
            Boundary::Open => cell.clamp(0, coarse - 1) as usize,
        };
        Between { cells: [wrapped(below as i64), wrapped(below as i64 + 1)], share: (place - below) as f32 }
    }
}

impl Coarse {
    fn new(place: &Place, smoothing_cells: f64) -> Self {
        Self { axes: [0, 1, 2].map(|axis| Axis::new(place, axis, smoothing_cells)) }
    }

    fn cells(&self) -> [usize; 3] {
        self.axes.each_ref().map(|axis| axis.coarse)
    }

    /// In units of coarse cells.
    fn grid(&self) -> Grid {
        Grid::new(self.cells(), self.cells().map(|cells| cells as f64)).expect("there are cells")
    }

    /// Coarse cells along x that some planes lie in.
    fn planes(&self, slab: &Range<usize>) -> Range<usize> {
        let x = &self.axes[0];
        if slab.is_empty() { 0..0 } else { x.before_closing(slab.start)..x.before_closing(slab.end - 1) + 1 }
    }

    /// Of the coarse cells that some planes lie in.
    fn zeros(&self, slab: &Range<usize>) -> Vec<i64> {
        let [_, ny, nz] = self.cells();
        vec![0; self.planes(slab).len() * ny * nz]
    }

    /// Adds the density of a block among the planes `slab`.
    fn add(&self, sums: &mut [i64], slab: &Range<usize>, block: &Region, density: &[f32]) {
        let ([_, ny, nz], [_, coarse_y, coarse_z]) = (block.shape, self.cells());
        let [x, y, z] = block.start.map(|start| start as usize);
        let [along_x, along_y, along_z] = &self.axes;
        let first = self.planes(slab).start;
        let to: Vec<usize> = (z..z + nz).map(|z| along_z.cell(z)).collect();
        for (row, density) in density.chunks_exact(nz).enumerate() {
            let (x, y) = (along_x.before_closing(x + row / ny) - first, along_y.cell(y + row % ny));
            let sums = &mut sums[(x * coarse_y + y) * coarse_z..][..coarse_z];
            for (&to, &density) in to.iter().zip(density) {
                sums[to] += (f64::from(density) * STEPS).round() as i64;
            }
        }
    }

    /// The mean density of the coarse cells, of the sums of all ranks, smoothed over as much as a cell.
    fn smoothed(&self, ranks: &Ranks, sums: Vec<i64>) -> Result<Field3, OutpaintError> {
        let [nx, ny, nz] = self.cells();
        let mut all = vec![0i64; nx * ny * nz];
        for (rank, sums) in ranks.gather(&sums)?.into_iter().enumerate() {
            let planes = self.planes(&ranks.share_of(self.axes[0].voxels, rank));
            for (plane, sums) in planes.zip(sums.chunks_exact(ny * nz)) {
                let all = &mut all[plane % nx * ny * nz..][..ny * nz];
                all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            }
        }
        let [x, y, z] = self.axes.each_ref().map(Axis::voxels);
        let means = Array3::from_shape_fn([nx, ny, nz], |(i, j, k)| {
            let voxels = x[i] * y[j] * z[k];
            (all[(i * ny + j) * nz + k] as f64 / STEPS / voxels as f64) as f32
        });
        let boundaries = self.axes.each_ref().map(|axis| axis.boundary);
        Ok(Field3::new(self.grid(), means)?.smoothed_within(1.0, boundaries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Transform;

    const CELLS: [usize; 3] = [22, 13, 16];

    fn coarse(boundary: Boundary) -> Coarse {
        Coarse::new(&Place::whole(CELLS, boundary), 4.0)
    }

    fn grid() -> Grid {
        Grid::new(CELLS, CELLS.map(|n| n as f64)).unwrap()
    }

    fn density(scale: f32) -> Vec<f32> {
        (0..CELLS.iter().product()).map(|i| scale * (0.1 + (i * 7 % 23) as f32)).collect()
    }

    fn whole() -> Region {
        Region { start: [0; 3], shape: CELLS }
    }

    /// What a block of a whole field is.
    fn part_of(field: &[f32]) -> impl Fn(&Region) -> Result<Vec<f32>, OutpaintError> + Sync + use<> {
        let field = Field3::new(grid(), Array3::from_shape_vec(CELLS, field.to_vec()).unwrap()).unwrap();
        move |block| Ok(field.extract(block)?.into_iter().collect())
    }

    /// That holds to `condition`.
    fn mass(boundary: Boundary, condition: &[f32], given: Option<GivenPlace>) -> Mass {
        let coarse = coarse(boundary);
        let mut mass = Mass { condition: Field3::zeros(coarse.grid()), coarse, steps: vec![true], given };
        mass.condition = mass.smoothed(&Ranks::alone(), &grid(), 0..CELLS[0], part_of(condition)).unwrap();
        mass
    }

    /// The estimate `values` in network units, guided by `mass`.
    fn guided(mass: &Mass, values: &[f32]) -> Vec<f32> {
        let estimated: Vec<f32> = values.iter().map(|&y| NORMALIZER.denormalize(y)).collect();
        let factors = mass.factors(&Ranks::alone(), &grid(), 0..CELLS[0], part_of(&estimated)).unwrap();
        let mut values = values.to_vec();
        factors.apply(&whole(), &mut values, &NORMALIZER);
        values
    }

    fn normalized(density: &[f32]) -> Vec<f32> {
        density.iter().map(|&density| NORMALIZER.normalize(density)).collect()
    }

    const NORMALIZER: Normalizer = Normalizer {
        mean_count: 4.0,
        transform: Transform::Linear { mu: 0.8, s: 1.5, low: -0.6, high: 9.0 },
    };

    #[test]
    fn coarse_cells_hold_the_mean_and_all_of_the_volume() {
        let coarse = coarse(Boundary::Periodic);
        assert_eq!(coarse.cells(), [6, 3, 4]);
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
    fn parts_have_the_coarse_cells_of_their_box() {
        // From 15 on, six voxels along x, around the box along y, all of it along z from 3 on.
        let part = Region { start: [15, -4, 3], shape: [6, 9, 16] };
        let coarse = Coarse::new(&Place::part(part, CELLS, Boundary::Periodic), 4.0);
        let in_box = |axis: usize, voxel: usize| {
            let (n, of) = (CELLS[axis], [6, 3, 4][axis]);
            (part.start[axis].rem_euclid(n as i64) as usize + voxel) % n * of / n
        };
        for axis in 0..3 {
            let along = &coarse.axes[axis];
            for voxel in 0..part.shape[axis] - 1 {
                let [here, next] = [0, 1].map(|i| along.cell(voxel + i));
                let [box_here, box_next] = [0, 1].map(|i| in_box(axis, voxel + i));
                assert_eq!(here == next, box_here == box_next, "{axis} {voxel}");
            }
            assert_eq!(along.voxels().iter().sum::<usize>(), part.shape[axis]);
            // Between the same centres, as far from them: those of cell 0 lie where they do in the box.
            let [first, last] = [0, part.shape[axis] - 1].map(|voxel| along.between(voxel));
            assert!((0.0..1.0).contains(&first.share) && (0.0..1.0).contains(&last.share));
        }
        assert_eq!(
            coarse.axes.each_ref().map(|axis| axis.boundary),
            [Boundary::Open, Boundary::Open, Boundary::Periodic]
        );
        assert_eq!(coarse.axes[2].coarse, 4);
        // The whole box and this axis agree on where a voxel is, up to which cell is counted first.
        let whole = Coarse::new(&Place::whole(CELLS, Boundary::Periodic), 4.0);
        for voxel in 0..16 {
            let (of_part, of_box) = (coarse.axes[2].between(voxel), whole.axes[2].between((voxel + 3) % 16));
            assert_eq!((of_part.cells, of_part.share), (of_box.cells, of_box.share));
        }
    }

    #[test]
    fn ranks_add_up_what_one_process_does() {
        // More than there are planes, and a box that closes within a coarse cell.
        let part = Region { start: [3, 0, 0], shape: CELLS };
        let smoothed = |ranks: &Ranks| {
            let coarse = Coarse::new(&Place::part(part, CELLS, Boundary::Periodic), 4.0);
            let mass =
                Mass { condition: Field3::zeros(coarse.grid()), coarse, steps: vec![true], given: None };
            let field = density(1.0);
            let density = part_of(&field);
            mass.smoothed(ranks, &grid(), ranks.share(CELLS[0]), density).unwrap().into_values()
        };
        let alone = smoothed(&Ranks::alone());
        for count in [5, 25] {
            for found in Ranks::on_threads(count, smoothed) {
                assert_eq!(found, alone);
            }
        }
    }

    #[test]
    fn an_estimate_that_agrees_stays_to_the_bit() {
        let values = normalized(&density(1.0));
        let same: Vec<f32> = values.iter().map(|&y| NORMALIZER.denormalize(y)).collect();
        assert_eq!(guided(&mass(Boundary::Periodic, &same, None), &values), values);
    }

    #[test]
    fn too_much_or_too_little_mass_is_mended_at_once_if_it_is_the_same_everywhere() {
        for (boundary, scale) in
            [(Boundary::Periodic, 1.07f32), (Boundary::Open, 0.94), (Boundary::Open, 7.0)]
        {
            let found = guided(&mass(boundary, &density(scale), None), &normalized(&density(1.0)));
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
        let half = whole().voxels() / 2;
        let mut condition = density(1.0);
        condition[half..].iter_mut().for_each(|density| *density *= 1.5);
        let mass = mass(Boundary::Open, &condition, None);
        let mut values = normalized(&density(1.0));
        for _ in 0..8 {
            values = guided(&mass, &values);
        }
        let sum = |values: &[f32]| values.iter().map(|&y| f64::from(NORMALIZER.denormalize(y))).sum::<f64>();
        let ratio = sum(&values[half..]) / sum(&values[..half]);
        let wanted: f64 = condition[half..].iter().map(|&d| f64::from(d)).sum::<f64>()
            / condition[..half].iter().map(|&d| f64::from(d)).sum::<f64>();
        // All but what a sharp edge leaves to finer scales.
        assert!((ratio - 1.0) / (wanted - 1.0) > 0.93 && ratio < wanted, "{ratio} for {wanted}");
    }

    #[test]
    fn nobody_pays_for_the_mass_of_what_is_given() {
        // Ten times too much in a given corner: around it all agrees.
        let place = GivenPlace { start: [2, 3, 4], shape: [5, 4, 6], period: CELLS };
        let values = normalized(&density(1.0));
        let mut estimated: Vec<f32> = values.iter().map(|&y| NORMALIZER.denormalize(y)).collect();
        let mass = mass(Boundary::Periodic, &estimated, Some(place));
        place.for_each_block(&whole(), |[xs, ys, zs], _| {
            for x in xs {
                for y in ys.clone() {
                    for z in zs.clone() {
                        estimated[(x * CELLS[1] + y) * CELLS[2] + z] *= 10.0;
                    }
                }
            }
        });
        let heavy = normalized(&estimated);
        assert_eq!(guided(&mass, &heavy), heavy);
    }
}
