//! Samples beside the truth by environment: where the condition, smoothed, is empty, and where it is dense.

use crate::estimate::{Estimate, jackknife};
use crate::limits::{ENVIRONMENT_EDGES, ENVIRONMENT_VOXELS, FLOOR_DENSITY};
use finescale_field::{Boundary, Field3, Region, blocks};
use rayon::prelude::*;
use serde::Serialize;

/// Number of environments.
pub(crate) const ENVIRONMENTS: usize = ENVIRONMENT_EDGES.len() + 1;
/// Parts of a box along an axis, for the errors of one box.
const PARTS: usize = 2;
/// Voxels that are summed together.
const CHUNK: usize = 1 << 14;
/// Environments with less of the volume are too few to say anything.
const LEAST_VOLUME: f64 = 0.01;

/// What is found in each environment, from the emptiest to the densest.
#[derive(Clone, Debug, Serialize)]
pub struct EnvironmentReport {
    /// Lower and upper density of the smoothed condition; the last has no upper one.
    pub condition_density: Vec<[Option<f64>; 2]>,
    /// Standard deviation of the Gaussian that the condition is smoothed by, in Mpc/h.
    pub smoothing_mpc_h: f64,
    /// Part of the volume.
    pub volume: Vec<f64>,
    /// Mass over the truth's.
    pub mass_ratio: Estimate,
    /// Mean of ln(1 + δ) less the truth's.
    pub log_density_excess: Estimate,
    /// Mean step of ln(1 + δ) between neighbours over the truth's: 1 if right, below for samples that are too smooth.
    pub step_ratio: Estimate,
    /// √((M + 1)/M) rms spread / rms error of the samples' mean of ln(1 + δ); 1 if right.
    pub spread_over_error: Estimate,
    /// Part of the truth's voxels with 0, 1, ... M samples below them; flat if right, ties shared.
    pub ranks: Vec<Vec<f64>>,
    /// Of each environment, the part with a rank below 1, 2, ... M, less what it should be.
    pub rank_excess: Estimate,
}

/// Sums over the voxels of one environment.
#[derive(Clone, Debug)]
struct Sums {
    voxels: f64,
    truth_mass: f64,
    mass: f64,
    log_excess: f64,
    /// Σ |ln(1 + δ) − that of the next voxel| along z, of the truth and mean over the samples.
    truth_steps: f64,
    steps: f64,
    /// Σ over voxels of the variance of the samples, and of the squared error of their mean.
    variance: f64,
    squared_error: f64,
    ranks: Vec<f64>,
}

fn logarithm(density: f32) -> f64 {
    f64::from(density.max(FLOOR_DENSITY)).ln()
}

impl Sums {
    fn zero(samples: usize) -> Self {
        let ranks = vec![0.0; samples + 1];
        Self {
            voxels: 0.0,
            truth_mass: 0.0,
            mass: 0.0,
            log_excess: 0.0,
            truth_steps: 0.0,
            steps: 0.0,
            variance: 0.0,
            squared_error: 0.0,
            ranks,
        }
    }

    fn add_voxel(&mut self, truth: f32, samples: impl Iterator<Item = f32> + Clone) {
        let count = (self.ranks.len() - 1) as f64;
        let (mut below, mut equal, mut mass, mut sum, mut squares) = (0usize, 0usize, 0.0, 0.0, 0.0);
        // From the truth's logarithm on, so that the squares are small.
        let origin = logarithm(truth);
        for sample in samples {
            below += usize::from(sample < truth);
            equal += usize::from(sample == truth);
            mass += f64::from(sample);
            let difference = logarithm(sample) - origin;
            sum += difference;
            squares += difference * difference;
        }
        let mean = sum / count;
        self.voxels += 1.0;
        self.truth_mass += f64::from(truth);
        self.mass += mass / count;
        self.log_excess += mean;
        self.variance += (squares - count * mean * mean) / (count - 1.0);
        self.squared_error += mean * mean;
        // Equal values share the ranks that they could have.
        let share = 1.0 / (equal + 1) as f64;
        self.ranks[below..=below + equal].iter_mut().for_each(|rank| *rank += share);
    }

    fn add(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.truth_mass += other.truth_mass;
        self.mass += other.mass;
        self.log_excess += other.log_excess;
        self.truth_steps += other.truth_steps;
        self.steps += other.steps;
        self.variance += other.variance;
        self.squared_error += other.squared_error;
        self.ranks.iter_mut().zip(&other.ranks).for_each(|(mine, its)| *mine += its);
    }

    /// Part of the truth's voxels with a rank below 1, 2, ... M, less what that is if all ranks are alike.
    fn rank_excess(&self) -> Vec<f64> {
        let ranks = self.ranks.len();
        let mut below = 0.0;
        let excess = |(rank, count): (usize, &f64)| {
            below += count / self.voxels;
            below - (rank + 1) as f64 / ranks as f64
        };
        self.ranks[..ranks - 1].iter().enumerate().map(excess).collect()
    }

    fn spread_over_error(&self) -> f64 {
        let count = (self.ranks.len() - 1) as f64;
        ((count + 1.0) / count * self.variance / self.squared_error).sqrt()
    }
}

impl EnvironmentReport {
    /// Of samples, one at least, of `condition`, all on one grid; `boundary`: of that.
    pub(crate) fn new(truth: &Field3, samples: &[&Field3], condition: &Field3, boundary: Boundary) -> Self {
        let smooth = condition.smoothed(ENVIRONMENT_VOXELS, boundary);
        let parts = sums_by_part(truth, samples, &smooth);
        let total = |left_out: Option<usize>| {
            let mut sums = vec![Sums::zero(samples.len()); ENVIRONMENTS];
            for (_, part) in parts.iter().enumerate().filter(|(number, _)| Some(*number) != left_out) {
                sums.iter_mut().zip(part).for_each(|(sum, more)| sum.add(more));
            }
            sums
        };
        let whole = total(None);
        let voxels = truth.grid().voxels() as f64;
        let is_judged: Vec<bool> = whole.iter().map(|sums| sums.voxels > LEAST_VOLUME * voxels).collect();
        // Of environments that hardly exist, nothing.
        let each = |of: fn(&Sums) -> Vec<f64>| {
            jackknife(parts.len(), |left_out| {
                let of_environment = |(sums, judged): (&Sums, &bool)| {
                    let values = of(sums);
                    if *judged { values } else { vec![f64::NAN; values.len()] }
                };
                total(left_out).iter().zip(&is_judged).flat_map(of_environment).collect()
            })
        };
        let several = samples.len() > 1;
        let if_several = |estimate: Estimate| if several { estimate } else { Estimate::default() };
        let edge = |number: usize| ENVIRONMENT_EDGES.get(number).copied();
        let of_truth: Vec<f64> = whole.iter().map(|sums| sums.truth_mass).collect();
        let of_steps: Vec<f64> = whole.iter().map(|sums| sums.truth_steps).collect();
        Self {
            condition_density: (0..ENVIRONMENTS)
                .map(|number| [Some(number.checked_sub(1).and_then(edge).unwrap_or(0.0)), edge(number)])
                .collect(),
            smoothing_mpc_h: ENVIRONMENT_VOXELS * truth.grid().voxel_mpc_h()[0],
            volume: whole.iter().map(|sums| sums.voxels / voxels).collect(),
            mass_ratio: each(|sums| vec![sums.mass / sums.truth_mass]).over(&of_truth),
            step_ratio: each(|sums| vec![sums.steps / sums.truth_steps]).over(&of_steps),
            log_density_excess: each(|sums| vec![sums.log_excess / sums.voxels]),
            spread_over_error: if_several(each(|sums| vec![sums.spread_over_error()])),
            ranks: whole.iter().map(|sums| sums.ranks.iter().map(|n| n / sums.voxels).collect()).collect(),
            rank_excess: if_several(each(Sums::rank_excess)),
        }
    }
}

/// Sums by environment of each part of a box: its octants, or all of it where the cells are odd.
fn sums_by_part(truth: &Field3, samples: &[&Field3], smooth: &Field3) -> Vec<Vec<Sums>> {
    let cells = truth.grid().cells();
    let size = if cells.iter().all(|n| n % PARTS == 0) { cells.map(|n| n / PARTS) } else { cells };
    let of_part = |part: Region| {
        let cut = |field: &Field3| field.cut(&part).expect("a part of a field lies in it");
        let (truth, smooth) = (cut(truth), cut(smooth));
        let samples: Vec<Field3> = samples.iter().map(|sample| cut(sample)).collect();
        let samples: Vec<&[f32]> = samples.iter().map(Field3::as_slice).collect();
        sums(truth.as_slice(), &samples, smooth.as_slice(), part.shape[2])
    };
    blocks(cells, size).into_iter().map(of_part).collect()
}

/// Sums by environment of values in rows of `row` cells.
fn sums(truth: &[f32], samples: &[&[f32]], smooth: &[f32], row: usize) -> Vec<Sums> {
    let zero = || vec![Sums::zero(samples.len()); ENVIRONMENTS];
    let of_chunk = |chunk: usize| {
        let mut sums = zero();
        for at in chunk * CHUNK..truth.len().min((chunk + 1) * CHUNK) {
            let environment = ENVIRONMENT_EDGES.partition_point(|&edge| edge <= f64::from(smooth[at]));
            let sums = &mut sums[environment];
            sums.add_voxel(truth[at], samples.iter().map(|sample| sample[at]));
            // Along z; rows of a part end inside of the chunk or beyond it.
            if !(at + 1).is_multiple_of(row) && at + 1 < truth.len() {
                let step = |field: &[f32]| (logarithm(field[at + 1]) - logarithm(field[at])).abs();
                sums.truth_steps += step(truth);
                sums.steps += samples.iter().map(|sample| step(sample)).sum::<f64>() / samples.len() as f64;
            }
        }
        sums
    };
    // Chunks in parallel, then in order: the same bits for any number of threads.
    let of_chunks: Vec<_> = (0..truth.len().div_ceil(CHUNK)).into_par_iter().map(of_chunk).collect();
    of_chunks.iter().fold(zero(), |mut sums, more| {
        sums.iter_mut().zip(more).for_each(|(sum, more)| sum.add(more));
        sums
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    fn field(value: impl Fn(usize, usize, usize) -> f32) -> Field3 {
        let grid = Grid::cube(8, 8.0).unwrap();
        Field3::new(grid, Array3::from_shape_fn(grid.cells(), |(x, y, z)| value(x, y, z))).unwrap()
    }

    #[test]
    fn ranks_spread_and_mass_by_hand() {
        // Three samples 1, 2, 4 of a truth of 2, one of them equal to it.
        let mut sums = Sums::zero(3);
        sums.add_voxel(2.0, [1.0, 2.0, 4.0].into_iter());
        assert_eq!(sums.ranks, [0.0, 0.5, 0.5, 0.0]);
        let excess = sums.rank_excess();
        assert!(excess.iter().zip([-0.25, 0.0, 0.25]).all(|(a, b)| (a - b).abs() < 1e-12), "{excess:?}");
        assert!((sums.mass - 7.0 / 3.0).abs() < 1e-12);
        // ln: 0, 1, 2 in units of ln 2; the mean is the truth's, so that there is no error.
        assert!((sums.variance - 2f64.ln().powi(2)).abs() < 1e-12 && sums.squared_error < 1e-20);
    }

    #[test]
    fn an_excess_is_found_where_it_is() {
        let condition = field(|x, _, _| if x < 4 { 0.1 } else { 2.0 });
        let truth = field(|x, y, z| 1.0 + 0.1 * ((x + 2 * y + 3 * z) % 5) as f32);
        let sample = field(|x, y, z| truth.values()[[x, y, z]] * if x < 4 { 1.2 } else { 1.0 });
        let found = EnvironmentReport::new(&truth, &[&sample], &condition, Boundary::Open);
        assert!((found.volume.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // The last ones at the sides of the step, smoothed over two voxels.
        let (emptiest, densest) = (found.mass_ratio.value[1], found.mass_ratio.value[3]);
        assert!(emptiest > 1.19 && densest < 1.06, "{:?}", found.mass_ratio);
        assert!(found.mass_ratio.value[5].is_nan() && found.spread_over_error.value.is_empty());
    }
}
