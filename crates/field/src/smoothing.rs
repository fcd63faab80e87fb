//! Smoothing by a narrow Gaussian.

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
        let reach = (CUT * cells).ceil() as i64;
        let weight =
            |offset: i64| if offset == 0 { 1.0 } else { (-0.5 * (offset as f64 / cells).powi(2)).exp() };
        let kernel: Vec<(i64, f64)> = (-reach..=reach).map(|offset| (offset, weight(offset))).collect();
        let mut values = self.values().clone();
        for axis in 0..3 {
            Zip::from(values.lanes_mut(Axis(axis))).par_for_each(|mut line| {
                let smooth = smoothed_line(&line.to_vec(), &kernel, boundary);
                line.assign(&Array1::from_vec(smooth));
            });
        }
        Self::new(*self.grid(), values).expect("smoothing keeps the shape")
    }
}

fn smoothed_line(line: &[f32], kernel: &[(i64, f64)], boundary: Boundary) -> Vec<f32> {
    let n = line.len() as i64;
    let at = |cell: i64| match boundary {
        Boundary::Periodic => Some(cell.rem_euclid(n)),
        Boundary::Open => (0..n).contains(&cell).then_some(cell),
    };
    let smooth = |cell: i64| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for &(offset, weight) in kernel {
            if let Some(cell) = at(cell + offset) {
                sum += weight * f64::from(line[cell as usize]);
                weights += weight;
            }
        }
        (sum / weights) as f32
    };
    (0..n).map(smooth).collect()
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
