//! Whether the truth lies among the samples in several numbers at once: expected coverage of summaries of sub-volumes.

use crate::estimate::{Estimate, jackknife, mean_of};
use crate::limits::FLOOR_DENSITY;
use finescale_field::{Field3, position};
use finescale_spectra::SpectraError;
use rayon::prelude::*;
use serde::Serialize;

/// Sub-volumes along an axis, where they divide the cells and have enough of them.
const BLOCKS_PER_AXIS: [usize; 2] = [4, 2];
const FEWEST_CELLS: usize = 8;
/// Numbers of a summary.
const NUMBERS: usize = NAMES.len();
/// Their names.
pub(crate) const NAMES: [&str; 7] = [
    "mass",
    "mean of ln(1 + δ)",
    "deviation of ln(1 + δ)",
    "mean square density",
    "steps of ln(1 + δ) along x",
    "steps of ln(1 + δ) along y",
    "steps of ln(1 + δ) along z",
];

/// Where the truth's summary lies among the samples'.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageReport {
    /// Number of sub-volumes.
    pub sub_volumes: usize,
    /// Part of the truth's summaries with 0, 1, ... M − 1 samples nearer to another sample; flat if right.
    pub ranks: Vec<f64>,
    /// Part with a rank below 1, 2, ... M − 1, less what it should be.
    pub rank_excess: Estimate,
    /// The same of each number of the summary by itself.
    pub numbers: Vec<NumberCoverage>,
}

/// Where the truth's lies among the samples' in one number.
#[derive(Clone, Debug, Serialize)]
pub struct NumberCoverage {
    /// Its name.
    pub number: &'static str,
    /// Part of the sub-volumes with 0, 1, ... M samples below the truth; flat if right.
    pub ranks: Vec<f64>,
    /// Part with a rank below 1, 2, ... M, less what it should be.
    pub rank_excess: Estimate,
}

/// See [`NAMES`].
type Summary = [f64; NUMBERS];

impl CoverageReport {
    /// Of a truth and samples on one grid.
    ///
    /// # Errors
    /// [`SpectraError::Samples`] for fewer than two samples; [`SpectraError::SubVolumes`] if none divide the grid.
    /// # Source
    /// Lemos et al. 2023, arXiv:2302.03026: the distance from a reference has a flat rank among those of draws of the
    /// posterior, whatever of the data the reference depends on. Here each sample in turn is the reference of the others.
    pub(crate) fn new(truth: &Field3, samples: &[&Field3]) -> Result<Self, SpectraError> {
        if samples.len() < 2 {
            return Err(SpectraError::Samples { needed: 2, found: samples.len() });
        }
        let cells = truth.grid().cells();
        let fits =
            |per_axis: &&usize| cells.iter().all(|n| n % **per_axis == 0 && n / **per_axis >= FEWEST_CELLS);
        let per_axis = *BLOCKS_PER_AXIS
            .iter()
            .find(fits)
            .ok_or(SpectraError::SubVolumes { blocks_per_axis: 2, cells })?;
        let of = |field: &Field3| -> Vec<Summary> {
            let blocks: Vec<Field3> = field.blocks(per_axis).into_iter().flatten().collect();
            blocks.par_iter().map(summary).collect()
        };
        let (truth, samples) = (of(truth), samples.iter().map(|sample| of(sample)).collect::<Vec<_>>());
        let unit = spread(&samples);
        let of_block = |block: usize| samples.iter().map(|sample| &sample[block]).collect::<Vec<&Summary>>();
        let by_distance: Vec<Vec<f64>> =
            (0..truth.len()).map(|block| ranks(&truth[block], &of_block(block), &unit)).collect();
        let by_number = |number: usize| -> Vec<Vec<f64>> {
            let of = |block: usize| rank(truth[block][number], of_block(block).iter().map(|s| s[number]));
            (0..truth.len()).map(of).collect()
        };
        // Sub-volumes of one octant together.
        let octant = |block: usize| {
            let [x, y, z] = position(block, [per_axis; 3]).map(|at| at / (per_axis / 2));
            (x * 2 + y) * 2 + z
        };
        let mean = |ranks: &[Vec<f64>], left_out: Option<usize>| {
            let kept = ranks.iter().enumerate().filter(|(block, _)| Some(octant(*block)) != left_out);
            mean_of(kept.map(|(_, ranks)| ranks.as_slice()))
        };
        let excess = |ranks: Vec<f64>| {
            let share = 1.0 / ranks.len() as f64;
            let mut below = 0.0;
            let of_rank = |part: &f64| {
                below += part - share;
                below
            };
            ranks[..ranks.len() - 1].iter().map(of_rank).collect::<Vec<_>>()
        };
        let judged =
            |ranks: &[Vec<f64>]| (mean(ranks, None), jackknife(8, |left_out| excess(mean(ranks, left_out))));
        let (ranks, rank_excess) = judged(&by_distance);
        let of_number = |(number, name): (usize, &&'static str)| {
            let (ranks, rank_excess) = judged(&by_number(number));
            NumberCoverage { number: name, ranks, rank_excess }
        };
        let numbers = NAMES.iter().enumerate().map(of_number).collect();
        Ok(Self { sub_volumes: by_distance.len(), ranks, rank_excess, numbers })
    }

    /// All excesses: those by distance, then those of each number.
    pub(crate) fn excesses(&self) -> Estimate {
        let all = || [&self.rank_excess].into_iter().chain(self.numbers.iter().map(|n| &n.rank_excess));
        Estimate {
            freedom: all().flat_map(|e| &e.freedom).copied().collect(),
            ..Estimate::new(
                all().flat_map(|e| &e.value).copied().collect(),
                all().flat_map(|e| &e.standard_error).copied().collect(),
            )
        }
    }
}

/// The rank of a value among others, 0 to their number; equal ones share theirs.
fn rank(value: f64, others: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let below = others.clone().filter(|other| *other < value).count();
    let equal = others.clone().filter(|other| *other == value).count();
    let mut found = vec![0.0; others.count() + 1];
    found[below..=below + equal].iter_mut().for_each(|part| *part = 1.0 / (equal + 1) as f64);
    found
}

/// Of each number, the rms scatter of the samples of a sub-volume about their mean: the unit of distances.
fn spread(samples: &[Vec<Summary>]) -> Summary {
    let count = samples.len() as f64;
    std::array::from_fn(|number| {
        let of_block = |block: usize| {
            let values = samples.iter().map(|sample| sample[block][number]);
            let mean = values.clone().sum::<f64>() / count;
            values.map(|value| (value - mean).powi(2)).sum::<f64>()
        };
        let sum = (0..samples[0].len()).map(of_block).sum::<f64>();
        let unit = (sum / (count - 1.0) / samples[0].len() as f64).sqrt();
        // What does not vary tells nothing.
        if unit > 0.0 { unit } else { f64::INFINITY }
    })
}

/// How often the truth is the nearest, second nearest, ... to one of the samples, among the others.
fn ranks(truth: &Summary, samples: &[&Summary], unit: &Summary) -> Vec<f64> {
    let distance =
        |a: &Summary, b: &Summary| (0..NUMBERS).map(|i| ((a[i] - b[i]) / unit[i]).powi(2)).sum::<f64>();
    let mut found = vec![0.0; samples.len()];
    for (number, reference) in samples.iter().enumerate() {
        let of_truth = distance(truth, reference);
        let others = samples.iter().enumerate().filter(|(other, _)| *other != number);
        let nearer = others.filter(|(_, other)| distance(other, reference) < of_truth).count();
        found[nearer] += 1.0 / samples.len() as f64;
    }
    found
}

fn summary(block: &Field3) -> Summary {
    let voxels = block.grid().voxels() as f64;
    let (mut sum, mut square) = (0.0, 0.0);
    for &density in block.as_slice() {
        let density = f64::from(density);
        (sum, square) = (sum + density, square + density * density);
    }
    let logarithm = block.map(|density| density.max(FLOOR_DENSITY).ln());
    let (mut log_sum, mut log_square) = (0.0, 0.0);
    for &value in logarithm.as_slice() {
        let value = f64::from(value);
        (log_sum, log_square) = (log_sum + value, log_square + value * value);
    }
    let mean = log_sum / voxels;
    let positive = |value: f64| value.max(f64::MIN_POSITIVE).ln();
    let [x, y, z] = steps(&logarithm).map(positive);
    let deviation = (log_square / voxels - mean * mean).max(0.0).sqrt();
    [positive(sum / voxels), mean, deviation, positive(square / voxels), x, y, z]
}

/// Mean |f(i + 1) − f(i)| along each axis.
fn steps(f: &Field3) -> [f64; 3] {
    let [nx, ny, nz] = f.grid().cells();
    let values = f.as_slice();
    let step = |from: usize, to: usize| (f64::from(values[to]) - f64::from(values[from])).abs();
    let mut sums = [0.0; 3];
    for (at, [x, y, z]) in (0..values.len()).map(|at| (at, position(at, [nx, ny, nz]))) {
        let next = [(x + 1 < nx).then_some(ny * nz), (y + 1 < ny).then_some(nz), (z + 1 < nz).then_some(1)];
        for (sum, next) in sums.iter_mut().zip(next) {
            *sum += next.map_or(0.0, |next| step(at, at + next));
        }
    }
    sums.map(|sum| sum / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use finescale_seed::{KeyedStream, Purpose};

    /// Noise of ln(1 + δ) of so large a mean and spread in the field number `number`.
    fn draw(number: u64, mean: f32, spread: f32) -> Field3 {
        let grid = Grid::cube(32, 32.0).unwrap();
        let mut values = vec![0f32; grid.voxels()];
        KeyedStream::new(number, Purpose::Validation).fill_normal(0, 0, &mut values);
        // Each sub-volume of eight cells has its own level, so that summaries scatter.
        let levels = KeyedStream::new(number, Purpose::Bootstrap);
        let mut field = Field3::zeros(grid);
        for (at, value) in field.as_slice_mut().iter_mut().enumerate() {
            let [x, y, z] = position(at, [32; 3]).map(|cell| cell / 8);
            let level = levels.normal(0, ((x * 4 + y) * 4 + z) as u64);
            *value = (mean + spread * (0.2 * values[at] + 0.3 * level)).exp();
        }
        field
    }

    #[test]
    fn draws_cover_the_truth_and_others_do_not() {
        let truth = draw(100, 0.0, 1.0);
        let of = |mean: f32, spread: f32| {
            let samples: Vec<Field3> = (0..8).map(|number| draw(number, mean, spread)).collect();
            let found = CoverageReport::new(&truth, &samples.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!((found.sub_volumes, found.ranks.len()), (64, 8));
            found.excesses().value.iter().fold(0.0f64, |worst, excess| worst.max(excess.abs()))
        };
        // 64 independent sub-volumes: a standard error of 0.06 at most, at many places.
        assert!(of(0.0, 1.0) < 0.2, "{}", of(0.0, 1.0));
        let wrong = [of(0.3, 1.0), of(0.0, 0.5), of(0.0, 2.0)];
        assert!(wrong.iter().all(|&excess| excess > 0.2), "{wrong:?}");
    }

    #[test]
    fn what_cannot_be_covered_says_why() {
        let odd = Field3::zeros(Grid::cube(9, 9.0).unwrap());
        assert!(matches!(CoverageReport::new(&odd, &[&odd, &odd]), Err(SpectraError::SubVolumes { .. })));
        assert!(matches!(CoverageReport::new(&odd, &[&odd]), Err(SpectraError::Samples { .. })));
    }
}
