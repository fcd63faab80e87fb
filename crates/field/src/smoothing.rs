//! Smoothing by a Gaussian.

use crate::{Boundary, Field3, Region, WindowError, Windows};
use ndarray::{Array3, Axis, Zip};

/// Standard deviations at which the Gaussian is cut off.
const CUT: f64 = 4.0;

impl Field3 {
    /// The field smoothed by a Gaussian of standard deviation `cells` per axis, cut off at four deviations. At an open
    /// face the weights inside are scaled up to one, so that a constant stays.
    #[must_use]
    pub fn smoothed(&self, cells: f64, boundary: Boundary) -> Self {
        self.smoothed_within(cells, [boundary; 3])
    }

    /// The same where what lies beyond the faces differs from axis to axis.
    #[must_use]
    pub fn smoothed_within(&self, cells: f64, boundaries: [Boundary; 3]) -> Self {
        let kernel = Kernel::gaussian(cells);
        let mut values = self.values().clone();
        for (axis, boundary) in boundaries.into_iter().enumerate() {
            let line = Line::whole(self.grid().cells()[axis], boundary);
            values = kernel.smooth_along(&values, axis, &line);
        }
        Self::new(*self.grid(), values).expect("smoothing keeps the shape")
    }
}

/// Cells beyond a window that a Gaussian of standard deviation `cells` reaches.
pub(crate) fn reach_cells(cells: f64) -> usize {
    Kernel::gaussian(cells).reach() as usize
}

/// What lies within `reach` cells of a window of a box of `cells`: of an axis that is not longer, all of it.
pub(crate) fn within_reach(cells: [usize; 3], region: &Region, reach: usize, boundary: Boundary) -> Region {
    let lines = lines(cells, region, reach as i64, boundary);
    Region { start: lines.each_ref().map(|line| line.first), shape: lines.map(|line| line.there as usize) }
}

/// A window of what [`Field3::smoothed`] makes of a whole box, to the bit, from the values within reach of it.
///
/// # Errors
/// Whatever reading `density` reports.
pub(crate) fn smoothed_window(
    density: &dyn Windows,
    region: &Region,
    cells: f64,
    boundary: Boundary,
) -> Result<Array3<f32>, WindowError> {
    let (kernel, of_box) = (Kernel::gaussian(cells), density.grid().cells());
    let mut values = density.read(&within_reach(of_box, region, reach_cells(cells), boundary))?;
    for (axis, line) in lines(of_box, region, kernel.reach(), boundary).iter().enumerate() {
        values = kernel.smooth_along(&values, axis, line);
    }
    Ok(values)
}

fn lines(cells: [usize; 3], region: &Region, reach: i64, boundary: Boundary) -> [Line; 3] {
    [0, 1, 2].map(|axis| Line::part(cells[axis], region.start[axis], region.shape[axis], reach, boundary))
}

/// The cells of one axis that are there, and those of them that are smoothed.
struct Line {
    /// Cells of the axis.
    cells: i64,
    boundary: Boundary,
    /// The first cell that is there, before wrapping, and how many are.
    first: i64,
    there: i64,
    /// The first cell that is smoothed, counted from `first`, and how many are.
    offset: i64,
    smoothed: i64,
}

impl Line {
    fn whole(cells: usize, boundary: Boundary) -> Self {
        Self::part(cells, 0, cells, 0, boundary)
    }

    /// `length` cells from `start` on, and what lies within `reach` of them: of an axis that is not longer, all cells.
    fn part(cells: usize, start: i64, length: usize, reach: i64, boundary: Boundary) -> Self {
        let (cells, smoothed) = (cells as i64, length as i64);
        let start = start.rem_euclid(cells);
        let (first, there) = match boundary {
            _ if smoothed + 2 * reach >= cells => (0, cells),
            Boundary::Periodic => (start - reach, smoothed + 2 * reach),
            Boundary::Open => {
                let first = (start - reach).max(0);
                (first, (start + smoothed + reach).min(cells) - first)
            }
        };
        Self { cells, boundary, first, there, offset: start - first, smoothed }
    }

    /// Where a cell, counted from `first`, lies in what is there; beyond an open end it is nowhere.
    fn place(&self, cell: i64) -> Option<usize> {
        let place = match self.boundary {
            Boundary::Periodic => cell.rem_euclid(self.cells),
            Boundary::Open => cell,
        };
        (0..self.there).contains(&place).then_some(place as usize)
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

    /// Cells on either side.
    fn reach(&self) -> i64 {
        (self.0.len() / 2) as i64
    }

    /// Smooths all lines along `axis`: of the cells that are there, those of `line` are left.
    fn smooth_along(&self, values: &Array3<f32>, axis: usize, line: &Line) -> Array3<f32> {
        let mut shape = values.raw_dim();
        shape[axis] = line.smoothed as usize;
        let mut smooth = Array3::zeros(shape);
        let weights = self.sums(line, |_| 1.0);
        Zip::from(smooth.lanes_mut(Axis(axis))).and(values.lanes(Axis(axis))).par_for_each(|mut to, from| {
            let sums = self.sums(line, |place| f64::from(from[place]));
            to.iter_mut().zip(sums).zip(&weights).for_each(|((to, sum), weight)| *to = (sum / weight) as f32);
        });
        smooth
    }

    /// Σ weight · value around each cell of a line; beyond an open end there is nothing.
    fn sums(&self, line: &Line, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let cells = line.offset - self.reach()..line.offset + line.smoothed + self.reach();
        let padded: Vec<f64> = cells.map(|cell| line.place(cell).map_or(0.0, &value)).collect();
        let mut sums = vec![0.0; line.smoothed as usize];
        // All cells at once, offset by offset: as many weights as a wide Gaussian has are then affordable.
        for (weight, shifted) in self.0.iter().zip(padded.windows(sums.len())) {
            sums.iter_mut().zip(shifted).for_each(|(sum, value)| *sum += weight * value);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;
    use proptest::prelude::*;

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
                let values = Array3::from_shape_vec((1, 23, 1), line.clone()).unwrap();
                let found = Kernel::gaussian(cells).smooth_along(&values, 1, &Line::whole(23, boundary));
                let found: Vec<f32> = found.into_iter().collect();
                assert_eq!(found, plain(&line, cells, boundary), "{boundary:?}, {cells} cells");
            }
        }
    }

    proptest! {
        #[test]
        fn a_window_has_the_bits_of_the_whole(
            start in prop::array::uniform3(-40i64..40), shape in (1usize..=9, 1usize..=14, 1usize..=40),
            tenths in 0u32..40, periodic: bool,
        ) {
            let cells = [9, 14, 40];
            let grid = Grid::new(cells, [1.0; 3]).unwrap();
            let value = |(x, y, z): (usize, usize, usize)| ((x * 7 + y * 3 + z) as f32 * 0.7).sin().exp();
            let field = Field3::new(grid, Array3::from_shape_fn(cells, value)).unwrap();
            let boundary = Boundary::from_periodic(periodic);
            let mut region = Region { start, shape: shape.into() };
            if !periodic {
                // Windows of an open box lie inside of it.
                for (axis, start) in region.start.iter_mut().enumerate() {
                    *start = start.rem_euclid((cells[axis] - region.shape[axis] + 1) as i64);
                }
            }
            let sigma = f64::from(tenths) / 10.0;
            let whole = field.smoothed(sigma, boundary).extract(&region).unwrap();
            prop_assert_eq!(smoothed_window(&field, &region, sigma, boundary).unwrap(), whole);
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
