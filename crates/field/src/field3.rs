//! A scalar field on a grid.

use crate::{FieldError, Grid, Region, position};
use ndarray::{Array3, ArrayView3};

/// Values on a grid, in standard (row-major) layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Field3 {
    grid: Grid,
    values: Array3<f32>,
}

impl Field3 {
    /// A field of `values` on `grid`.
    ///
    /// # Errors
    /// [`FieldError::Shape`] if `values` does not have the grid's shape.
    pub fn new(grid: Grid, values: Array3<f32>) -> Result<Self, FieldError> {
        check_shape(grid.cells(), values.dim().into())?;
        let values = match values.is_standard_layout() {
            true => values,
            false => values.as_standard_layout().into_owned(),
        };
        Ok(Self { grid, values })
    }

    /// A field that is zero everywhere.
    #[must_use]
    pub fn zeros(grid: Grid) -> Self {
        Self { grid, values: Array3::zeros(grid.cells()) }
    }

    /// Cells and box size.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The values, shape (nx, ny, nz).
    #[must_use]
    pub fn values(&self) -> &Array3<f32> {
        &self.values
    }

    /// The values as one slice, x slowest.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        self.values.as_slice().expect("a field keeps the standard layout")
    }

    /// The values as one slice to change, x slowest.
    pub fn as_slice_mut(&mut self) -> &mut [f32] {
        self.values.as_slice_mut().expect("a field keeps the standard layout")
    }

    /// The values, without a copy.
    #[must_use]
    pub fn into_values(self) -> Array3<f32> {
        self.values
    }

    /// The mean over all voxels, summed in f64: in f32 a 512^3 mean loses three digits.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.as_slice().iter().map(|&v| f64::from(v)).sum::<f64>() / self.grid.voxels() as f64
    }

    /// Applies `function` to every value.
    #[must_use]
    pub fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        Self { grid: self.grid, values: self.values.mapv(function) }
    }

    /// A copy of the periodic window `region`, shape `region.shape`.
    ///
    /// # Errors
    /// [`FieldError::RegionSize`] if the window is larger than the grid.
    pub fn extract(&self, region: &Region) -> Result<Array3<f32>, FieldError> {
        region.check_fits(self.grid.cells())?;
        let mut window = vec![0f32; region.voxels()];
        let source = self.as_slice();
        region.for_each_run(self.grid.cells(), |to, from, length| {
            window[to..to + length].copy_from_slice(&source[from..from + length]);
        });
        Ok(Array3::from_shape_vec(region.shape, window).expect("the window has as many values as voxels"))
    }

    /// The periodic window `region` as a field of its own.
    ///
    /// # Errors
    /// [`FieldError::RegionSize`] if the window is larger than the grid, [`FieldError::Grid`] if it has no cells.
    pub fn cut(&self, region: &Region) -> Result<Self, FieldError> {
        Ok(Self { grid: self.grid.part(region.shape)?, values: self.extract(region)? })
    }

    /// Equal blocks that fill the field, `per_axis` of them along each axis, x slowest; none if they do not divide its
    /// cells.
    pub fn blocks(&self, per_axis: usize) -> Option<impl Iterator<Item = Self>> {
        let cells = self.grid.cells();
        if per_axis == 0 || cells.iter().any(|n| !n.is_multiple_of(per_axis)) {
            return None;
        }
        let shape = cells.map(|n| n / per_axis);
        let block = move |number: usize| {
            let corner = position(number, [per_axis; 3]);
            let region = Region { start: std::array::from_fn(|a| (corner[a] * shape[a]) as i64), shape };
            self.cut(&region).expect("a block lies in the field")
        };
        Some((0..per_axis.pow(3)).map(block))
    }

    /// Overwrites the periodic window `region` with `values`.
    ///
    /// # Errors
    /// [`FieldError::RegionSize`] if the window is larger than the grid, [`FieldError::Shape`] if `values` does
    /// not have the window's shape.
    pub fn insert(&mut self, region: &Region, values: ArrayView3<f32>) -> Result<(), FieldError> {
        let cells = self.grid.cells();
        region.check_fits(cells)?;
        check_shape(region.shape, values.dim().into())?;
        let window = values.as_standard_layout();
        let window = window.as_slice().expect("just made standard");
        let target = self.as_slice_mut();
        region.for_each_run(cells, |from, to, length| {
            target[to..to + length].copy_from_slice(&window[from..from + length]);
        });
        Ok(())
    }
}

fn check_shape(expected: [usize; 3], found: [usize; 3]) -> Result<(), FieldError> {
    if expected == found { Ok(()) } else { Err(FieldError::Shape { expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(cells: [usize; 3]) -> Field3 {
        let values = Array3::from_shape_fn(cells, |(i, j, k)| (100 * i + 10 * j + k) as f32);
        Field3::new(Grid::new(cells, [1.0, 2.0, 3.0]).unwrap(), values).unwrap()
    }

    #[test]
    fn a_window_wraps_around_every_face() {
        let window = numbered([3, 4, 5]).extract(&Region { start: [-1, 3, 4], shape: [2, 2, 3] }).unwrap();
        assert_eq!(window[[0, 0, 0]], 234.0);
        assert_eq!(window[[1, 1, 2]], 1.0);
        assert_eq!(window[[0, 1, 1]], 200.0);
    }

    #[test]
    fn a_part_has_the_voxels_of_the_field_and_blocks_fill_it() {
        let field = numbered([2, 4, 6]);
        let region = Region { start: [1, 3, 5], shape: [1, 2, 3] };
        let part = field.cut(&region).unwrap();
        assert_eq!(*part.values(), field.extract(&region).unwrap());
        assert_eq!(part.grid().voxel_mpc_h(), field.grid().voxel_mpc_h());
        assert!(matches!(field.cut(&Region { shape: [0; 3], ..region }), Err(FieldError::Grid { .. })));
        let blocks: Vec<Field3> = field.blocks(2).unwrap().collect();
        assert_eq!(blocks.len(), 8);
        assert_eq!(blocks[5].as_slice()[0], field.values()[[1, 0, 3]]);
        assert_eq!(blocks.iter().map(Field3::mean).sum::<f64>() / 8.0, field.mean());
        assert!(field.blocks(0).is_none() && field.blocks(4).is_none());
    }

    #[test]
    fn a_window_larger_than_the_box_is_refused() {
        let region = Region { start: [0; 3], shape: [3, 5, 5] };
        let error = numbered([3, 4, 5]).extract(&region).unwrap_err();
        assert_eq!(error, FieldError::RegionSize { shape: [3, 5, 5], cells: [3, 4, 5] });
    }

    #[test]
    fn shapes_must_agree() {
        let grid = Grid::cube(2, 1.0).unwrap();
        let error = Field3::new(grid, Array3::zeros((2, 2, 3))).unwrap_err();
        assert_eq!(error, FieldError::Shape { expected: [2; 3], found: [2, 2, 3] });
        let error =
            Field3::zeros(grid).insert(&Region::whole(&grid), Array3::zeros((1, 2, 2)).view()).unwrap_err();
        assert_eq!(error, FieldError::Shape { expected: [2; 3], found: [1, 2, 2] });
        assert!(matches!(Grid::cube(0, 1.0), Err(FieldError::Grid { .. })));
        assert!(matches!(Grid::cube(4, f64::NAN), Err(FieldError::Grid { .. })));
    }

    proptest! {
        #[test]
        fn extraction_is_plain_indexing_and_insert_undoes_it(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=3, 1usize..=4, 1usize..=5),
        ) {
            let field = numbered([3, 4, 5]);
            let region = Region { start, shape: shape.into() };
            let window = field.extract(&region).unwrap();
            for ((i, j, k), &value) in window.indexed_iter() {
                let at = [region.wrapped(0, i, [3, 4, 5]), region.wrapped(1, j, [3, 4, 5]), region.wrapped(2, k, [3, 4, 5])];
                prop_assert_eq!(value, field.values()[at]);
            }
            let mut copy = field.map(|v| v + 0.5);
            copy.insert(&region, window.view()).unwrap();
            prop_assert_eq!(copy.extract(&region).unwrap(), window);
            let changed = copy.as_slice().iter().zip(field.as_slice()).filter(|(a, b)| a == b).count();
            prop_assert_eq!(changed, region.voxels());
        }
    }
}
