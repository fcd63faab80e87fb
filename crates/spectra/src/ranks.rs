//! Where the truth ranks among samples.

use crate::{SpectraError, blocks::block_means, values::check_finite};
use finescale_field::Field3;
use finescale_seed::KeyedStream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Fewest samples that have a spread.
const FEWEST: usize = 2;

/// How often the truth is the lowest, second lowest, ... of the M + 1 values of a voxel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankHistogram {
    /// Number of voxels or blocks by the number of samples below the truth, 0 to M. Flat if the truth could be
    /// one of the samples, hollow if they vary too much, high at both ends if too little, sloping if they are
    /// biased.
    pub counts: Vec<u64>,
}

impl RankHistogram {
    /// Σ (count − mean)² / mean. Over independent voxels whose truth could be one of the samples: χ² of M
    /// degrees of freedom. Neighbours are not independent: it is larger by about the number of voxels that vary
    /// together.
    #[must_use]
    pub fn chi_square(&self) -> f64 {
        let mean = self.counts.iter().sum::<u64>() as f64 / self.counts.len() as f64;
        self.counts.iter().map(|&count| (count as f64 - mean).powi(2) / mean).sum()
    }

    /// M, the degrees of freedom of [`Self::chi_square`].
    #[must_use]
    pub fn degrees_of_freedom(&self) -> usize {
        self.counts.len() - 1
    }
}

/// Ranks of `truth` among `samples` in means of blocks of `block`³ voxels (1: voxels), of which every
/// `stride`-th along each axis counts: a stride beyond the length over which the errors correlate makes them
/// independent. Ties are broken by the number of `ties` that belongs to the block, so that equal values give
/// flat ranks.
///
/// # Errors
/// As [`fair_crps`](crate::fair_crps); [`SpectraError::Blocks`] for a stride of zero, too.
/// # Source
/// Hamill 2001, Mon. Wea. Rev. 129, 550.
pub fn rank_histogram(
    truth: &Field3,
    samples: &[&Field3],
    block: usize,
    stride: usize,
    ties: KeyedStream,
) -> Result<RankHistogram, SpectraError> {
    check_ensemble(truth, samples)?;
    if stride == 0 {
        return Err(SpectraError::Blocks { block: stride, cells: truth.grid().cells() });
    }
    let truth = block_means(truth, block)?;
    let samples = samples.iter().map(|sample| block_means(sample, block)).collect::<Result<Vec<_>, _>>()?;
    let [nx, ny, nz] = truth.grid().cells();
    let of_plane = |x: usize| {
        let mut counts = vec![0u64; samples.len() + 1];
        for y in (0..ny).step_by(stride) {
            for at in (0..nz).step_by(stride).map(|z| (x * ny + y) * nz + z) {
                let value = truth.as_slice()[at];
                let (mut below, mut equal) = (0, 0);
                for sample in &samples {
                    below += usize::from(sample.as_slice()[at] < value);
                    equal += usize::from(sample.as_slice()[at] == value);
                }
                let of_tie = match equal {
                    0 => 0,
                    _ => ((ties.uniform(0, at as u64) * (equal + 1) as f64) as usize).min(equal),
                };
                counts[below + of_tie] += 1;
            }
        }
        counts
    };
    let planes: Vec<Vec<u64>> =
        (0..nx.div_ceil(stride)).into_par_iter().map(|i| of_plane(i * stride)).collect();
    let mut counts = vec![0; samples.len() + 1];
    for plane in &planes {
        counts.iter_mut().zip(plane).for_each(|(count, more)| *count += more);
    }
    Ok(RankHistogram { counts })
}

/// At least two samples on the truth's grid, all finite.
pub(crate) fn check_ensemble(truth: &Field3, samples: &[&Field3]) -> Result<(), SpectraError> {
    if samples.len() < FEWEST {
        return Err(SpectraError::Samples { needed: FEWEST, found: samples.len() });
    }
    check_finite(truth)?;
    for sample in samples {
        if sample.grid() != truth.grid() {
            let (expected, found) = (Box::new(*truth.grid()), Box::new(*sample.grid()));
            return Err(SpectraError::Grids { expected, found });
        }
        check_finite(sample)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use finescale_seed::Purpose;
    use ndarray::Array3;

    fn field(cells: [usize; 3], value: impl Fn(usize) -> f32) -> Field3 {
        let flat = |(i, j, k): (usize, usize, usize)| value((i * cells[1] + j) * cells[2] + k);
        Field3::new(Grid::new(cells, [1.0; 3]).unwrap(), Array3::from_shape_fn(cells, flat)).unwrap()
    }

    #[test]
    fn ranks_by_hand() {
        let cells = [2, 3, 4];
        let truth = field(cells, |i| i as f32);
        let samples = [field(cells, |_| 4.5), field(cells, |_| 20.5), field(cells, |_| 9.5)];
        let samples: Vec<_> = samples.iter().collect();
        let ties = KeyedStream::new(1, Purpose::Validation);
        let found = rank_histogram(&truth, &samples, 1, 1, ties).unwrap();
        assert_eq!(found.counts, [5, 5, 11, 3]);
        assert_eq!((found.chi_square(), found.degrees_of_freedom()), ((1.0 + 1.0 + 25.0 + 9.0) / 6.0, 3));
        // Every second voxel: 0, 2 of rows 0 and 2 of plane 0.
        assert_eq!(rank_histogram(&truth, &samples, 1, 2, ties).unwrap().counts, [2, 1, 1, 0]);
        // A block: the mean of 0, 1, 4, 5, 12, ... is 8.5; two columns of the same.
        let (truth, samples) =
            (field([2, 2, 4], |i| i as f32), [field([2, 2, 4], |_| 7.0), field([2, 2, 4], |_| 6.4)]);
        let samples: Vec<_> = samples.iter().collect();
        // Means 6.5 and 8.5.
        assert_eq!(rank_histogram(&truth, &samples, 2, 1, ties).unwrap().counts, [0, 1, 1]);
        let zero = rank_histogram(&truth, &samples, 1, 0, ties);
        assert!(matches!(zero, Err(SpectraError::Blocks { block: 0, .. })));
    }

    #[test]
    fn ties_are_broken_evenly_and_the_same_each_time() {
        let cells = [20, 20, 10];
        let all: Vec<_> = (0..4).map(|_| field(cells, |_| 0.0)).collect();
        let samples: Vec<_> = all[1..].iter().collect();
        let ties = KeyedStream::new(3, Purpose::Validation);
        let found = rank_histogram(&all[0], &samples, 1, 1, ties).unwrap();
        // χ² of 3 degrees of freedom: 16.3 at one in a thousand.
        assert!(found.chi_square() < 16.3 && found.counts.iter().all(|&n| n > 0), "{found:?}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| rank_histogram(&all[0], &samples, 1, 1, ties)).unwrap(), found);
    }

    #[test]
    fn ensembles_that_are_none_are_refused() {
        let (truth, other) = (field([2, 2, 2], |_| 1.0), field([2, 2, 4], |_| 1.0));
        let bad = truth.map(|_| f32::NAN);
        assert_eq!(check_ensemble(&truth, &[&truth]), Err(SpectraError::Samples { needed: 2, found: 1 }));
        assert!(matches!(check_ensemble(&truth, &[&truth, &other]), Err(SpectraError::Grids { .. })));
        assert!(matches!(check_ensemble(&truth, &[&truth, &bad]), Err(SpectraError::NotADensity { .. })));
    }
}
