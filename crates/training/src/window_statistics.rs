//! What a network sees of its conditions, in two numbers a scale: whether another condition is like them.

use finescale_field::{Boundary, Field3, Grid, Region};
use finescale_spectra::{Bands, Modes};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// Windows per axis of a volume that are looked at, at most.
const WINDOWS_PER_AXIS: usize = 4;
/// Smaller windows hold too few waves.
const FEWEST_CELLS: usize = 8;
/// Bands of k, from two waves a window to the Nyquist wavenumber.
const BANDS: usize = 4;
/// Values of the normalised density below which voxels are counted.
const EDGES: [f32; 6] = [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0];

/// Standard errors that a difference must have to be told,
const TOLD_ERRORS: f64 = 5.0;
/// and how much of the power,
const TOLD_POWER: f64 = 0.1;
/// or of the voxels, it must be.
const TOLD_SHARE: f64 = 0.02;

/// The normalised density that a network sees, over windows of a box: its power, and how many of its voxels are how dense.
/// Means over windows, and the scatter between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowStatistics {
    /// Windows that were looked at.
    pub windows: usize,
    /// Cells of each per axis.
    pub window_cells: usize,
    /// Power by band of k, in voxels³, of windows that are tapered.
    pub power: Vec<Moments>,
    /// Share of voxels below some values.
    pub share_below: Vec<Moments>,
}

/// A number over windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation between windows.
    pub deviation: f64,
}

impl WindowStatistics {
    /// The windows of `window_cells`³ of a volume that are looked at: 64 at most, spread evenly.
    #[must_use]
    pub fn places(volume: &Region, window_cells: usize) -> Vec<Region> {
        let starts = [0, 1, 2].map(|axis| {
            let (first, cells) = (volume.start[axis], volume.shape[axis]);
            let count = (cells / window_cells).min(WINDOWS_PER_AXIS);
            (0..count).map(move |i| first + (i * cells / count) as i64).collect::<Vec<_>>()
        });
        let [xs, ys, zs] = &starts;
        let mut places = Vec::new();
        for &x in xs {
            for &y in ys {
                places.extend(zs.iter().map(|&z| Region { start: [x, y, z], shape: [window_cells; 3] }));
            }
        }
        places
    }

    /// Of windows of `window_cells`³ normalised densities each; none of none, or of small ones. One window has no scatter.
    ///
    /// # Errors
    /// Those of the windows.
    pub fn new<E>(
        windows: impl Iterator<Item = Result<Vec<f32>, E>>,
        window_cells: usize,
    ) -> Result<Option<Self>, E> {
        if window_cells < FEWEST_CELLS {
            return Ok(None);
        }
        let bands =
            Bands::logarithmic(2.0 * TAU / window_cells as f64, PI, BANDS).expect("they are in order");
        let (mut power, mut shares) = (Vec::new(), Vec::new());
        for window in windows {
            let window = window?;
            shares.push(EDGES.map(|edge| part_below(&window, edge)).to_vec());
            power.push(power_of(window, window_cells, &bands));
        }
        let windows = power.len();
        let of = |numbers: &[Vec<f64>]| (0..numbers[0].len()).map(|i| Moments::of(numbers, i)).collect();
        Ok((windows > 0).then(|| Self { windows, window_cells, power: of(&power), share_below: of(&shares) }))
    }

    /// Whether every number is one that [`new`](Self::new) makes of windows of so many cells.
    pub(crate) fn is_sound(&self, window_cells: usize) -> bool {
        let sound = |most: f64| {
            move |m: &Moments| (0.0..=most).contains(&m.mean) && (0.0..=most).contains(&m.deviation)
        };
        self.windows > 0
            && self.window_cells == window_cells
            && window_cells >= FEWEST_CELLS
            && (self.power.len(), self.share_below.len()) == (BANDS, EDGES.len())
            && self.power.iter().all(sound(1e12))
            && self.share_below.iter().all(sound(1.0))
    }

    /// What another condition differs by, if it is more than chance.
    pub(crate) fn difference(&self, found: &Self) -> Option<String> {
        // Few windows of a skewed distribution hardly know their scatter.
        let error = |mine: &Moments, its: &Moments| {
            let largest = mine.deviation.max(its.deviation);
            let variance = |deviation: f64, windows: usize| deviation.powi(2) / windows as f64;
            (variance(mine.deviation, self.windows) + variance(largest, found.windows)).sqrt()
        };
        let is_told = |mine: &Moments, its: &Moments, least: f64| {
            let apart = (its.mean - mine.mean).abs();
            apart > least && apart > TOLD_ERRORS * error(mine, its)
        };
        let power = self.power.iter().zip(&found.power).enumerate();
        let power = power.filter(|(_, (mine, its))| is_told(mine, its, TOLD_POWER * mine.mean));
        let farthest = power.max_by(|a, b| off_by(a.1).total_cmp(&off_by(b.1)));
        let of_power = farthest.map(|(band, (mine, its))| {
            let voxels = |band: usize| {
                let from = 2.0 / self.window_cells as f64;
                1.0 / (from * (0.5 / from).powf(band as f64 / BANDS as f64))
            };
            format!(
                "its power on scales of {:.0} to {:.0} voxels is {:.2} of theirs",
                voxels(band),
                voxels(band + 1),
                its.mean / mine.mean
            )
        });
        let shares = self.share_below.iter().zip(&found.share_below);
        let shares = shares.filter(|(mine, its)| is_told(mine, its, TOLD_SHARE));
        let farthest =
            shares.max_by(|a, b| (a.0.mean - a.1.mean).abs().total_cmp(&(b.0.mean - b.1.mean).abs()));
        let of_shares = farthest.map(|(mine, its)| {
            format!(
                "{:.0} % of its voxels are below a density that {:.0} % of theirs are below",
                100.0 * its.mean,
                100.0 * mine.mean
            )
        });
        let told: Vec<String> = of_power.into_iter().chain(of_shares).collect();
        (!told.is_empty()).then(|| {
            format!(
                "it is not like the conditions of the training: {}; the network was shown nothing like it",
                told.join(", and ")
            )
        })
    }
}

impl Moments {
    fn of(numbers: &[Vec<f64>], i: usize) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|numbers| numbers[i]).sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|numbers| (numbers[i] - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

/// |ln| of the ratio of two means.
fn off_by((mine, its): (&Moments, &Moments)) -> f64 {
    (its.mean / mine.mean).ln().abs()
}

fn part_below(values: &[f32], edge: f32) -> f64 {
    values.iter().filter(|&&value| value < edge).count() as f64 / values.len() as f64
}

/// The power of a window in bands of k, in units of voxels.
fn power_of(mut values: Vec<f32>, cells: usize, bands: &Bands) -> Vec<f64> {
    let grid = Grid::cube(cells, cells as f64).expect("a window has cells");
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    // Modes are those of a density, 1 + δ.
    values.iter_mut().for_each(|value| *value = (1.0 + f64::from(*value) - mean) as f32);
    let values = Array3::from_shape_vec([cells; 3], values).expect("a window is a cube");
    let field = Field3::new(grid, values).expect("it has the grid's shape");
    let modes = Modes::within(&field, None, Boundary::Open).expect("its mean is 1");
    modes.power_in(bands).power
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_seed::{KeyedStream, Purpose};

    const CELLS: usize = 16;

    /// Windows of noise, smoothed along z by `smoothing` of a cell's neighbour, of standard deviation `amplitude`.
    fn statistics(windows: u32, smoothing: f64, amplitude: f64) -> WindowStatistics {
        let window = |number: u32| -> Result<Vec<f32>, ()> {
            let stream = KeyedStream::new(7, Purpose::Validation);
            let noise: Vec<f64> = (0..=(CELLS as u64).pow(3))
                .map(|i| (12.0f64).sqrt() * (stream.uniform(number, i) - 0.5))
                .collect();
            let norm = amplitude / (1.0 + smoothing * smoothing).sqrt();
            Ok(noise.windows(2).map(|pair| (norm * (pair[0] + smoothing * pair[1])) as f32).collect())
        };
        WindowStatistics::new((0..windows).map(window), CELLS).unwrap().unwrap()
    }

    #[test]
    fn white_noise_has_the_power_of_its_variance() {
        let found = statistics(20, 0.0, 1.5);
        for power in &found.power {
            let error = power.deviation / 20f64.sqrt();
            assert!((power.mean - 2.25).abs() < 4.0 * error && error < 0.15, "{power:?}");
        }
        // Uniform between ±1.5 √3: half is below 0.
        assert!((found.share_below[2].mean - 0.5).abs() < 0.01, "{:?}", found.share_below);
        assert!(found.is_sound(CELLS) && !found.is_sound(2 * CELLS));
        let mut wrong = found.clone();
        wrong.share_below[0].mean = 5.0;
        assert!(!wrong.is_sound(CELLS));
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<WindowStatistics>(&text).unwrap(), found);
    }

    #[test]
    fn the_same_is_like_itself_and_what_is_otherwise_is_told() {
        let training = statistics(40, 0.0, 1.0);
        assert_eq!(training.difference(&statistics(8, 0.0, 1.0)), None);
        // More noise on large scales, of the same variance.
        let smooth = training.difference(&statistics(8, 0.5, 1.0)).unwrap();
        assert!(smooth.contains("its power on scales of 6 to 4 voxels is 1.5"), "{smooth}");
        let wide = training.difference(&statistics(8, 0.0, 1.3)).unwrap();
        assert!(wide.contains("voxels are below") && wide.contains("1.7"), "{wide}");
        // One window is told by the scatter of the training's.
        assert_eq!(training.difference(&statistics(1, 0.0, 1.0)), None);
        assert!(training.difference(&statistics(1, 0.0, 3.0)).is_some());
        // Little, though certain, is not told.
        assert_eq!(training.difference(&statistics(40, 0.0, 1.01)), None);
    }

    #[test]
    fn windows_are_spread_evenly_and_few() {
        let volume = Region { start: [-3, 0, 5], shape: [300, 64, 40] };
        let places = WindowStatistics::places(&volume, 32);
        let starts = |axis: usize| {
            let mut starts: Vec<i64> = places.iter().map(|place| place.start[axis]).collect();
            starts.sort_unstable();
            starts.dedup();
            starts
        };
        assert_eq!((starts(0), starts(1), starts(2)), (vec![-3, 72, 147, 222], vec![0, 32], vec![5]));
        assert!(WindowStatistics::places(&volume, 41).is_empty());
        let none = WindowStatistics::new(std::iter::empty::<Result<Vec<f32>, ()>>(), 32);
        assert_eq!(none, Ok(None));
    }
}
