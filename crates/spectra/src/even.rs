//! Transforms of real functions that are even along each axis, on the eighth of the grid that holds them.

use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner};
use rustfft::num_complex::Complex64;
use std::sync::Arc;

/// The planned transforms of even functions on `cells`: indices 0 to n/2 of each axis stand for all n.
pub(crate) struct EvenTransform {
    cells: [usize; 3],
    plans: [Arc<dyn ComplexToReal<f64>>; 3],
}

impl EvenTransform {
    pub(crate) fn new(cells: [usize; 3]) -> Self {
        let mut planner = RealFftPlanner::new();
        Self { cells, plans: cells.map(|n| planner.plan_fft_inverse(n)) }
    }

    fn shape(&self) -> [usize; 3] {
        self.cells.map(|n| n / 2 + 1)
    }

    /// Σ_k e^(i k·x) over the modes in a set that holds each mode with all signs; `contains` gets mode numbers
    /// up to `limit`. Shape: [n/2 + 1] of each axis.
    pub(crate) fn sum_over(
        &self,
        contains: impl Fn([usize; 3]) -> bool + Sync,
        limit: [usize; 3],
    ) -> Vec<f64> {
        let [_, ny, nz] = self.shape();
        let mut values = vec![0.0; self.shape().iter().product()];
        values.par_chunks_mut(nz).enumerate().for_each(|(row, values)| {
            let (x, y) = (row / ny, row % ny);
            if x <= limit[0] && y <= limit[1] {
                for (z, value) in values.iter_mut().enumerate().take(limit[2] + 1) {
                    *value = f64::from(u8::from(contains([x, y, z])));
                }
            }
        });
        for axis in [2, 1, 0] {
            self.along_rows(&mut values, axis);
            values = last_axis_first(&values, self.cells[axis] / 2 + 1);
        }
        values
    }

    /// Transforms rows that lie along `axis`, each on its own.
    fn along_rows(&self, values: &mut [f64], axis: usize) {
        let (plan, cells) = (&self.plans[axis], self.cells[axis]);
        values.par_chunks_mut(cells / 2 + 1).for_each_init(
            || (plan.make_input_vec(), vec![0.0; cells], plan.make_scratch_vec()),
            |(half, full, scratch), row| {
                if row.iter().all(|&value| value == 0.0) {
                    return;
                }
                for (half, &value) in half.iter_mut().zip(row.iter()) {
                    *half = Complex64::new(value, 0.0);
                }
                plan.process_with_scratch(half, full, scratch)
                    .expect("the lengths are those planned for and all is real");
                row.copy_from_slice(&full[..row.len()]);
            },
        );
    }

    /// Mean over all cells of the product of three even functions.
    pub(crate) fn sum_of_products(&self, [a, b, c]: [&[f64]; 3]) -> f64 {
        let [_, ny, nz] = self.shape();
        let weight = |axis: usize, i: usize| if i == 0 || 2 * i == self.cells[axis] { 1.0 } else { 2.0 };
        let along_z: Vec<f64> = (0..nz).map(|z| weight(2, z)).collect();
        let plane = |x: usize| -> f64 {
            let row = |y: usize| -> f64 {
                let at = (x * ny + y) * nz..(x * ny + y + 1) * nz;
                let factors = a[at.clone()].iter().zip(&b[at.clone()]).zip(&c[at]);
                let products = factors.zip(&along_z).map(|(((a, b), c), weight)| a * b * c * weight);
                weight(1, y) * products.sum::<f64>()
            };
            weight(0, x) * (0..ny).map(row).sum::<f64>()
        };
        let planes: Vec<f64> = (0..self.shape()[0]).into_par_iter().map(plane).collect();
        planes.iter().sum::<f64>() / self.cells.iter().map(|&n| n as f64).product::<f64>()
    }
}

/// (x, y, z) -> (z, x, y), rows of `length`.
fn last_axis_first(values: &[f64], length: usize) -> Vec<f64> {
    let rows = values.len() / length;
    let mut rotated = vec![0.0; values.len()];
    rotated.par_chunks_mut(rows).enumerate().for_each(|(z, plane)| {
        for (row, value) in plane.iter_mut().enumerate() {
            *value = values[row * length + z];
        }
    });
    rotated
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn a_set_of_modes_is_a_sum_of_cosines() {
        let cells = [8, 7, 10];
        let transform = EvenTransform::new(cells);
        let found = transform.sum_over(|k| k == [2, 0, 3] || k == [0, 1, 0], [2, 1, 3]);
        for (at, found) in found.iter().enumerate() {
            let x = [at / 24, at / 6 % 4, at % 6];
            let cosine = |axis: usize, k: usize| (TAU * (k * x[axis]) as f64 / cells[axis] as f64).cos();
            let expected = 4.0 * cosine(0, 2) * cosine(2, 3) + 2.0 * cosine(1, 1);
            assert!((found - expected).abs() < 1e-12, "{x:?}: {found} for {expected}");
        }
        // Squares sum to the number of modes.
        let one = transform.sum_over(|k| k == [0; 3], [0; 3]);
        assert!((transform.sum_of_products([&found, &found, &one]) - 6.0).abs() < 1e-12);
    }
}
