//! Smoothing by a Gaussian.

use crate::Field3;
use ndarray::{Array1, Axis, Zip};
use serde::{Deserialize, Serialize};

/// Standard deviations at which the Gaussian is cut off.
const CUT: f64 = 4.0;

/// What lies beyond the faces of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Its other side.
    Periodic,
    /// Nothing.
    Open,
}

impl Field3 {
    /// The field smoothed by a Gaussian of standard deviation `cells` per axis, cut off at four deviations. At an open
    /// face the weights inside are scaled up to one, so that a constant stays.
    #[must_use]
    pub fn smoothed(&self, cells: f64, boundary: Boundary) -> Self {
        let kernel = Kernel::gaussian(cells);
        let mut values = self.values().clone();
        for axis in 0..3 {
            Zip::from(values.lanes_mut(Axis(axis))).par_for_each(|mut line| {
                let smooth = kernel.smoothed(&line.to_vec(), boundary);
                line.assign(&Array1::from_vec(smooth));
            });
        }
        Self::new(*self.grid(), values).expect("smoothing keeps the shape")
    }
}

/// The weights of the cells within reach of one.
struct Kernel(Vec<f64>);

impl Kernel {
    fn gaussian(cells: f64) -> Self {
        let reach = (CUT * cells).ceil() as i64;
        let weight =
            |offset: i64| if offset == 0 { 1.0 } else { (-0.5 * (offset as f64 / cells).powi(2)).exp() };
        Self((-reach..=reach).map(weight).collect())
    }

    fn smoothed(&self, line: &[f32], boundary: Boundary) -> Vec<f32> {
        let values = self.sums(line.len(), boundary, |cell| f64::from(line[cell]));
        let weights = self.sums(line.len(), boundary, |_| 1.0);
        values.iter().zip(weights).map(|(value, weight)| (value / weight) as f32).collect()
    }

    /// Σ weight · value over the cells around each of a line of `n`; beyond an open end there is nothing.
    fn sums(&self, n: usize, boundary: Boundary, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let reach = (self.0.len() / 2) as i64;
        let length = n as i64;
        let at = |cell: i64| match boundary {
            Boundary::Periodic => value(cell.rem_euclid(length) as usize),
            Boundary::Open if (0..length).contains(&cell) => value(cell as usize),
            Boundary::Open => 0.0,
        };
        let padded: Vec<f64> = (-reach..length + reach).map(at).collect();
        let mut sums = vec![0.0; n];
        // All cells at once, offset by offset: as many weights as a wide Gaussian has are then affordable.
        for (weight, shifted) in self.0.iter().zip(padded.windows(n)) {
            sums.iter_mut().zip(shifted).for_each(|(sum, value)| *sum += weight * value);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;
    use ndarray::Array3;

    #[test]
    fn a_point_becomes_a_gaussian_around_the_periodic_faces() {
        let mut field = Field3::zeros(Grid::cube(16, 1.0).unwrap());
        field.as_slice_mut()[0] = 1.0;
        let smooth = field.smoothed(1.5, Boundary::Periodic);
        assert!((smooth.mean() * 4096.0 - 1.0).abs() < 1e-6);
        let ratio = |at: [usize; 3]| f64::from(smooth.values()[at] / smooth.values()[[0, 0, 0]]);
        for (at, squared) in [([1, 0, 0], 1.0), ([15, 2, 0], 5.0), ([0, 14, 13], 13.0)] {
            let expected = (-0.5 * squared / (1.5f64 * 1.5)).exp();
            assert!((ratio(at) / expected - 1.0).abs() < 1e-5, "{at:?}");
        }
    }

    /// The sum as it is written, cell by cell.
    fn plain(line: &[f32], cells: f64, boundary: Boundary) -> Vec<f32> {
        let (n, reach) = (line.len() as i64, (CUT * cells).ceil() as i64);
        let smooth = |cell: i64| {
            let (mut sum, mut weights) = (0.0, 0.0);
            for offset in -reach..=reach {
                let at = cell + offset;
                if boundary == Boundary::Periodic || (0..n).contains(&at) {
                    let weight = (-0.5 * (offset as f64 / cells).powi(2)).exp();
                    sum += weight * f64::from(line[at.rem_euclid(n) as usize]);
                    weights += weight;
                }
            }
            (sum / weights) as f32
        };
        (0..n).map(smooth).collect()
    }

    #[test]
    fn lines_have_the_bits_of_the_plain_sum_however_far_the_gaussian_reaches() {
        let line: Vec<f32> = (0..23).map(|i| (i as f32 * 0.7).sin().exp()).collect();
        for boundary in [Boundary::Periodic, Boundary::Open] {
            for cells in [0.4, 1.5, 4.0, 17.0] {
                let found = Kernel::gaussian(cells).smoothed(&line, boundary);
                assert_eq!(found, plain(&line, cells, boundary), "{boundary:?}, {cells} cells");
            }
        }
    }

    #[test]
    fn constants_stay_and_no_smoothing_is_none() {
        let grid = Grid::new([5, 6, 7], [1.0; 3]).unwrap();
        let constant = Field3::new(grid, Array3::from_elem([5, 6, 7], 2.5)).unwrap();
        for boundary in [Boundary::Periodic, Boundary::Open] {
            let smooth = constant.smoothed(1.2, boundary);
            assert!(smooth.as_slice().iter().all(|value| (value - 2.5).abs() < 1e-6));
        }
        let any =
            Field3::new(grid, Array3::from_shape_fn([5, 6, 7], |(x, y, z)| (x * y + z) as f32)).unwrap();
        assert_eq!(any.smoothed(0.0, Boundary::Open), any);
    }
}
