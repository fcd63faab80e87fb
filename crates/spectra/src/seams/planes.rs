//! Statistics by plane of cells, along each axis.

use super::{EXPECTED_PERCENT, SeamScore, faces};
use crate::{SpectraError, one_point::percentile_of_sorted};
use finescale_field::{Field3, TileFaces};
use finescale_seed::{KeyedStream, Sequence};
use rayon::prelude::*;

/// Random offsets that the expected range is made of.
const OFFSETS: usize = 4000;
/// Fewest offsets without faces that have a scatter.
const FEWEST: usize = 2;
/// However much planes are alike, their scatter is worth something.
const FEWEST_INDEPENDENT: f64 = 2.0;
/// The middle of [`EXPECTED_PERCENT`].
const RANGE_PERCENT: [f64; 2] = [(100.0 - EXPECTED_PERCENT) / 2.0, (100.0 + EXPECTED_PERCENT) / 2.0];

/// By axis and plane.
pub(super) struct PlaneStatistics {
    /// Mean |f(x) − f(x − 1)|, periodic.
    pub(super) steps: [Vec<f64>; 3],
    /// Mean of f in plane x.
    pub(super) means: [Vec<f64>; 3],
    /// Variance of f in plane x about its mean.
    pub(super) variances: [Vec<f64>; 3],
}

/// Sums of one x-plane: over itself, over its rows and over its columns.
struct Sums {
    steps: [Vec<f64>; 3],
    values: [Vec<f64>; 3],
    squares: [Vec<f64>; 3],
}

impl PlaneStatistics {
    pub(super) fn new(f: &Field3) -> Self {
        let cells = f.grid().cells();
        let planes: Vec<Sums> = (0..cells[0]).into_par_iter().map(|x| Sums::from_plane(f, x)).collect();
        // Sums of x-planes are added in the order of x: same bits for any number of threads.
        let gather = |part: fn(&Sums) -> &[Vec<f64>; 3]| -> [Vec<f64>; 3] {
            std::array::from_fn(|axis| {
                if axis == 0 {
                    return planes.iter().map(|plane| part(plane)[0][0]).collect();
                }
                let mut total = vec![0.0; cells[axis]];
                for plane in &planes {
                    total.iter_mut().zip(&part(plane)[axis]).for_each(|(total, sum)| *total += sum);
                }
                total
            })
        };
        let per_voxel = |sums: [Vec<f64>; 3]| -> [Vec<f64>; 3] {
            let mut sums = sums;
            for (axis, sums) in sums.iter_mut().enumerate() {
                let area = (f.grid().voxels() / cells[axis]) as f64;
                sums.iter_mut().for_each(|sum| *sum /= area);
            }
            sums
        };
        let (steps, means) = (per_voxel(gather(|s| &s.steps)), per_voxel(gather(|s| &s.values)));
        let mut variances = per_voxel(gather(|s| &s.squares));
        for (squares, means) in variances.iter_mut().flatten().zip(means.iter().flatten()) {
            *squares -= means * means;
        }
        Self { steps, means, variances }
    }

    /// By face: the mean of the variances of the planes at its two sides.
    pub(super) fn variance_around_faces(&self) -> [Vec<f64>; 3] {
        self.variances.each_ref().map(|planes| {
            let n = planes.len();
            (0..n).map(|x| 0.5 * (planes[(x + n - 1) % n] + planes[x])).collect()
        })
    }
}

impl Sums {
    fn from_plane(f: &Field3, x: usize) -> Self {
        let [nx, ny, nz] = f.grid().cells();
        let zeros = || [vec![0.0; 1], vec![0.0; ny], vec![0.0; nz]];
        let mut sums = Self { steps: zeros(), values: zeros(), squares: zeros() };
        let row = |x: usize, y: usize| &f.as_slice()[(x * ny + y) * nz..][..nz];
        for y in 0..ny {
            let (here, below_x, below_y) = (row(x, y), row((x + nx - 1) % nx, y), row(x, (y + ny - 1) % ny));
            for z in 0..nz {
                let value = f64::from(here[z]);
                let step = |from: f32| (value - f64::from(from)).abs();
                let to = [step(below_x[z]), step(below_y[z]), step(here[(z + nz - 1) % nz])];
                for (axis, at) in [0, y, z].into_iter().enumerate() {
                    sums.steps[axis][at] += to[axis];
                    sums.values[axis][at] += value;
                    sums.squares[axis][at] += value * value;
                }
            }
        }
        sums
    }
}

/// Scores at so many places, of which so many tell of each other nothing.
struct Elsewhere {
    scores: Vec<f64>,
    independent: f64,
}

impl Elsewhere {
    /// Scores that scatter as one more of them does about the mean of the others: n independent values scatter about their
    /// own mean by √((n − 1)/(n + 1)) of that.
    fn new(scores: Vec<f64>, planes: &[f64]) -> Self {
        let independent = (scores.len() as f64 / alike(planes)).max(FEWEST_INDEPENDENT);
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let factor = ((independent + 1.0) / (independent - 1.0)).sqrt();
        Self { scores: scores.into_iter().map(|score| mean + factor * (score - mean)).collect(), independent }
    }
}

/// Planes that are worth one: 1 + 2 Σ ρ over the distances at which neighbours are alike.
fn alike(planes: &[f64]) -> f64 {
    let n = planes.len();
    let mean = planes.iter().sum::<f64>() / n as f64;
    let covariance = |distance: usize| {
        (0..n).map(|x| (planes[x] - mean) * (planes[(x + distance) % n] - mean)).sum::<f64>()
    };
    let variance = covariance(0);
    if variance <= 0.0 {
        return 1.0;
    }
    let correlations = (1..n / 2).map(|distance| covariance(distance) / variance);
    1.0 + 2.0 * correlations.take_while(|&correlation| correlation > 0.0).sum::<f64>()
}

/// Mean of `by_face` over the faces, over its median, per axis with faces; expected: the same at random
/// offsets.
pub(super) fn score(
    by_face: &[Vec<f64>; 3],
    faces: &TileFaces,
    offsets: KeyedStream,
) -> Result<SeamScore, SpectraError> {
    let mut axes = [None; 3];
    // By axis with faces: the score at each offset that touches no face.
    let mut elsewhere: Vec<Elsewhere> = Vec::new();
    for (axis, values) in by_face.iter().enumerate().filter(|(axis, _)| !faces.along(*axis).is_empty()) {
        let (cells, planes) = (values.len(), faces.along(axis));
        let free = faces::free_offsets(faces, axis, cells);
        if free.len() < FEWEST {
            return Err(faces::error(faces, axis, cells));
        }
        let median = median(values);
        let at = |offset: usize| {
            let sum: f64 = planes.iter().map(|face| values[(face + offset) % cells]).sum();
            sum / planes.len() as f64 / median
        };
        axes[axis] = Some(at(0));
        elsewhere.push(Elsewhere::new(free.into_iter().map(at).collect(), values));
    }
    let with_faces = elsewhere.len() as f64;
    let mut sequence = Sequence::new(offsets, 0);
    let mut one_of = |scores: &[f64]| scores[sequence.below(scores.len())];
    let draw = |_| elsewhere.iter().map(|of_axis| one_of(&of_axis.scores)).sum::<f64>() / with_faces;
    let mut drawn: Vec<f64> = (0..OFFSETS).map(draw).collect();
    let mean = drawn.iter().sum::<f64>() / OFFSETS as f64;
    let freedom: f64 = elsewhere.iter().map(|of_axis| of_axis.independent - 1.0).sum();
    drawn.iter_mut().for_each(|score| *score = mean + of_few(freedom) * (*score - mean));
    drawn.sort_by(f64::total_cmp);
    Ok(SeamScore {
        at_faces: axes.iter().flatten().sum::<f64>() / with_faces,
        axes,
        expected: RANGE_PERCENT.map(|percent| percentile_of_sorted(&drawn, percent)),
    })
}

/// What a normal range of [`EXPECTED_PERCENT`] is multiplied by, its scatter being known with so many degrees of freedom.
///
/// # Source
/// Abramowitz & Stegun 1964, 26.7.5, to first order.
fn of_few(freedom: f64) -> f64 {
    const QUANTILE: f64 = 1.959_964;
    1.0 + (QUANTILE * QUANTILE + 1.0) / (4.0 * freedom)
}

/// Mean of `by_face` over the faces, over its median, mean over the axes with faces; NaN without any.
pub(super) fn at_faces(by_face: &[Vec<f64>; 3], faces: &TileFaces) -> f64 {
    let of_axis = |(axis, values): (usize, &Vec<f64>)| {
        let planes = faces.along(axis);
        let sum: f64 = planes.iter().map(|&face| values[face]).sum();
        (!planes.is_empty()).then(|| sum / planes.len() as f64 / median(values))
    };
    let axes: Vec<f64> = by_face.iter().enumerate().filter_map(of_axis).collect();
    axes.iter().sum::<f64>() / axes.len() as f64
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile_of_sorted(&sorted, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use finescale_seed::Purpose;
    use ndarray::Array3;

    #[test]
    fn planes_by_hand() {
        let value = |(i, j, k): (usize, usize, usize)| (100 * i + 10 * j * j + k) as f32;
        let grid = Grid::new([3, 4, 2], [1.0; 3]).unwrap();
        let f = Field3::new(grid, Array3::from_shape_fn(grid.cells(), value)).unwrap();
        let planes = PlaneStatistics::new(&f);
        assert_eq!(planes.steps, [vec![200.0, 100.0, 100.0], vec![90.0, 10.0, 30.0, 50.0], vec![1.0, 1.0]]);
        assert_eq!(planes.means[1], [100.5, 110.5, 140.5, 190.5]);
        // Plane y: three values of x at 0, 100, 200 (variance 20000/3) and two of z (variance 1/4).
        for variance in &planes.variances[1] {
            assert!((variance - (20_000.0 / 3.0 + 0.25)).abs() < 1e-9, "{variance}");
        }
        // Face 0 lies between the last plane and the first one.
        let mut planes = planes;
        planes.variances[0] = vec![1.0, 10.0, 100.0];
        assert_eq!(planes.variance_around_faces()[0], [50.5, 5.5, 55.0]);
    }

    #[test]
    fn scores_by_hand() {
        let faces = TileFaces::new([vec![1, 4], vec![2], vec![]]);
        let by_face = [vec![1.0, 6.0, 2.0, 2.0, 4.0, 2.0], vec![3.0, 3.0, 3.0], vec![0.0, 9.0]];
        let found = score(&by_face, &faces, KeyedStream::new(1, Purpose::Bootstrap)).unwrap();
        assert_eq!(found.axes, [Some(2.5), Some(1.0), None]);
        assert_eq!(found.at_faces, 1.75);
        assert_eq!(at_faces(&by_face, &faces), 1.75);
        // Along x, elsewhere is (2 + 2) / 2 / 2 or (1 + 2) / 2 / 2, along y 1, each worth two places: √3 times as wide, and
        // the mean of both; and wider for two degrees of freedom.
        let wide = 3f64.sqrt() * of_few(2.0);
        for (found, sign) in found.expected.iter().zip([-1.0, 1.0]) {
            let expected = (0.875 + sign * wide * 0.125 + 1.0) / 2.0;
            assert!((found - expected).abs() < 0.01, "{found} for {expected}");
        }
        assert!(!found.is_expected());
        let everywhere = TileFaces::new([vec![0, 1, 2, 3, 4, 5], vec![], vec![]]);
        let error = score(&by_face, &everywhere, KeyedStream::new(1, Purpose::Bootstrap));
        assert!(matches!(error, Err(SpectraError::Faces { axis: 0, cells: 6, .. })));
    }

    #[test]
    fn the_range_holds_as_many_seamless_fields_as_it_says() {
        // Planes that are alike over a few cells, as those of a density, and lattices of windows of 26 cells.
        const TRIALS: usize = 1500;
        let noise = KeyedStream::new(3, Purpose::Validation);
        for (cells, correlation) in [(128, 0.7f64), (128, 0.0), (64, 0.7)] {
            let inside = (0..TRIALS).filter(|&trial| {
                let planes = |axis: usize| -> Vec<f64> {
                    let innovation =
                        |i: usize| f64::from(noise.normal((3 * trial + axis) as u32, (i % cells) as u64));
                    // A periodic chain: innovations of the cells before, damped.
                    let value = |x: usize| {
                        (0..24).map(|d| correlation.powi(d) * innovation(x + cells - d as usize)).sum::<f64>()
                    };
                    (0..cells).map(|x| 1.0 + 0.02 * value(x)).collect()
                };
                let by_face = [0, 1, 2].map(planes);
                let faces = TileFaces::every(26, trial % cells, [cells; 3]);
                score(&by_face, &faces, KeyedStream::new(1, Purpose::Bootstrap)).unwrap().is_expected()
            });
            let share = inside.count() as f64 / TRIALS as f64;
            // Three standard errors are 0.017; the range is rather too wide than too narrow.
            assert!((0.933..0.98).contains(&share), "{cells} cells, correlation {correlation}: {share}");
        }
    }
}
