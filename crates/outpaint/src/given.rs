//! High-resolution densities that are there already.

use crate::OutpaintError;
use finescale_field::{Normalizer, Region, Windows};
use std::ops::Range;

/// High-resolution densities 1 + delta that are there already. The result holds them to the bit, and what is generated
/// goes on from them.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The density of each field, all on one grid.
    pub fields: &'a [&'a dyn Windows],
    /// Their first cell in the condition's box.
    pub start: [i64; 3],
}

/// Where the voxels that are given lie in a volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenPlace {
    /// The first one, in the volume's coordinates.
    pub(crate) start: [i64; 3],
    pub(crate) shape: [usize; 3],
    /// Cells of the box, after which it comes again.
    pub(crate) period: [usize; 3],
}

/// Cells of a window along one axis that are given: those of the window, and the first of them among the given ones.
type Run = (Range<usize>, usize);

impl GivenPlace {
    /// The runs of cells along `axis` of a window that are given.
    fn runs(&self, window: &Region, axis: usize) -> Vec<Run> {
        let period = self.period[axis] as i64;
        // Wrapped before it is subtracted: any start is possible.
        let first = window.start[axis].rem_euclid(period) - self.start[axis].rem_euclid(period);
        let place = |cell: usize| (first + cell as i64).rem_euclid(period) as usize;
        let mut runs: Vec<Run> = Vec::new();
        for cell in (0..window.shape[axis]).filter(|&cell| place(cell) < self.shape[axis]) {
            match runs.last_mut() {
                Some((cells, given))
                    if cells.end == cell && given.wrapping_add(cells.len()) == place(cell) =>
                {
                    cells.end += 1;
                }
                _ => runs.push((cell..cell + 1, place(cell))),
            }
        }
        runs
    }

    /// Calls `visit(cells of the window, given cells)` for each block of a window that is given.
    pub(crate) fn for_each_block(&self, window: &Region, mut visit: impl FnMut([Range<usize>; 3], Region)) {
        let [xs, ys, zs] = [0, 1, 2].map(|axis| self.runs(window, axis));
        for (x, given_x) in &xs {
            for (y, given_y) in &ys {
                for (z, given_z) in &zs {
                    let start = [given_x, given_y, given_z].map(|&cell| cell as i64);
                    let shape = [x.len(), y.len(), z.len()];
                    visit([x.clone(), y.clone(), z.clone()], Region { start, shape });
                }
            }
        }
    }
}

impl GivenPlace {
    /// Puts zeros where a window is given.
    pub(crate) fn leave_out(&self, window: &Region, values: &mut [f32]) {
        let [_, ny, nz] = window.shape;
        self.for_each_block(window, |[xs, ys, zs], _| {
            for x in xs {
                for y in ys.clone() {
                    values[(x * ny + y) * nz..][zs.clone()].fill(0.0);
                }
            }
        });
    }
}

/// What is given in a volume, and what it is to the network.
#[derive(Clone, Copy)]
pub(crate) struct GivenValues<'a> {
    pub(crate) place: GivenPlace,
    pub(crate) fields: &'a [&'a dyn Windows],
    pub(crate) normalizers: &'a [Normalizer],
}

impl GivenValues<'_> {
    /// Lays the given densities of one field over the values of a window, each made by `map` to what belongs there.
    fn lay_over(
        &self,
        field: usize,
        window: &Region,
        values: &mut [f32],
        map: impl Fn(f32) -> f32,
    ) -> Result<(), OutpaintError> {
        let [_, ny, nz] = window.shape;
        let mut blocks = Vec::new();
        self.place.for_each_block(window, |cells, region| blocks.push((cells, region)));
        for ([xs, ys, zs], region) in blocks {
            let given = self.fields[field].read(&region).map_err(OutpaintError::Read)?;
            for (x, plane) in xs.zip(given.outer_iter()) {
                for (y, row) in ys.clone().zip(plane.outer_iter()) {
                    let first = (x * ny + y) * nz;
                    let to = &mut values[first + zs.start..first + zs.end];
                    to.iter_mut().zip(row).for_each(|(to, &density)| *to = map(density));
                }
            }
        }
        Ok(())
    }

    /// Lays the given densities of a field over those of a window.
    pub(crate) fn lay_density_over(
        &self,
        field: usize,
        window: &Region,
        densities: &mut [f32],
    ) -> Result<(), OutpaintError> {
        self.lay_over(field, window, densities, |density| density)
    }

    /// Lays what is given over the values of a window's fields, one after another, in network units.
    pub(crate) fn lay_values_over(&self, window: &Region, values: &mut [f32]) -> Result<(), OutpaintError> {
        let windows = values.chunks_exact_mut(window.voxels()).zip(self.normalizers).enumerate();
        for (field, (values, normalizer)) in windows {
            self.lay_over(field, window, values, |density| normalizer.normalize(density))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::{Field3, Grid, Transform};
    use ndarray::Array3;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_given_lies_where_it_does_in_the_box(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=5, 1usize..=4, 1usize..=7),
            window in prop::array::uniform3(-9i64..9), cells in (1usize..=5, 1usize..=4, 1usize..=7),
        ) {
            let period = [5, 4, 7];
            let place = GivenPlace { start, shape: shape.into(), period };
            let grid = Grid::new(place.shape, [1.0; 3]).unwrap();
            let values = Array3::from_shape_fn(place.shape, |(x, y, z)| (100 * x + 10 * y + z) as f32);
            let field = Field3::new(grid, values).unwrap();
            // Through a field over the whole box.
            let mut whole = Field3::new(Grid::new(period, [1.0; 3]).unwrap(), Array3::from_elem(period, -1.0)).unwrap();
            whole.insert(&Region { start, shape: place.shape }, field.values().view()).unwrap();
            let window = Region { start: window, shape: cells.into() };

            let transform = Transform::Linear { mu: 0.0, s: 1.0, low: -1.0, high: 100.0 };
            let normalizers = [Normalizer { mean_count: 1.0, transform }];
            let fields: [&dyn Windows; 1] = [&field];
            let given = GivenValues { place, fields: &fields, normalizers: &normalizers };
            let mut found = vec![-1.0; window.voxels()];
            given.lay_density_over(0, &window, &mut found).unwrap();
            let expected: Vec<f32> = whole.extract(&window).unwrap().into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
