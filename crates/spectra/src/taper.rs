//! A window that lets an open box end softly.

use finescale_field::Boundary;
use std::f64::consts::FRAC_PI_2;

/// Part of a side, at each of its ends, over which the window falls to zero.
const EDGE: f64 = 0.25;

/// By axis the weights of the cells, of mean square 1; none for a periodic box.
pub(crate) struct Taper(Option<[Vec<f64>; 3]>);

impl Taper {
    pub(crate) fn new(cells: [usize; 3], boundary: Boundary) -> Self {
        Self((!boundary.is_periodic()).then(|| cells.map(weights)))
    }

    /// Multiplies row x ny + y of a field.
    pub(crate) fn apply(&self, row: usize, values: &mut [f32]) {
        let Some([x, y, z]) = &self.0 else { return };
        let of_row = x[row / y.len()] * y[row % y.len()];
        for (value, z) in values.iter_mut().zip(z) {
            *value = (f64::from(*value) * of_row * z) as f32;
        }
    }
}

fn weights(n: usize) -> Vec<f64> {
    let edge = (EDGE * n as f64).max(1.0);
    let of_cell = |i: usize| {
        let depth = (i.min(n - 1 - i) as f64 + 0.5) / edge;
        (FRAC_PI_2 * depth.min(1.0)).sin().powi(2)
    };
    let weights: Vec<f64> = (0..n).map(of_cell).collect();
    let square = weights.iter().map(|w| w * w).sum::<f64>() / n as f64;
    weights.into_iter().map(|w| w / square.sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_soft_and_keeps_the_power() {
        for n in [1, 2, 7, 40] {
            let weights = weights(n);
            assert!((weights.iter().map(|w| w * w).sum::<f64>() / n as f64 - 1.0).abs() < 1e-12);
            assert!((0..n).all(|i| (weights[i] - weights[n - 1 - i]).abs() < 1e-12));
        }
        let weights = weights(40);
        assert!(weights[0] < 0.1 && (weights[20] - weights[12]).abs() < 1e-12);
        let mut row = [2.0];
        Taper::new([4; 3], Boundary::Periodic).apply(3, &mut row);
        assert_eq!(row, [2.0]);
    }
}
