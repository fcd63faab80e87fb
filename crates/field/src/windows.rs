//! Values of a grid that are read window by window, wherever they lie.

use crate::{Field3, Grid, Region};
use ndarray::Array3;

/// What keeps a window from being read.
pub type WindowError = Box<dyn std::error::Error + Send + Sync>;

/// Values of a grid that are read window by window: in memory, in a file, or made on the way.
pub trait Windows: Sync {
    /// Cells and box.
    fn grid(&self) -> &Grid;

    /// The periodic window `region`; shape `region.shape`.
    ///
    /// # Errors
    /// If the window is larger than the grid, or its values cannot be read.
    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError>;
}

impl Field3 {
    /// All values of `source`, in memory.
    ///
    /// # Errors
    /// Those of `source`, and [`FieldError::Memory`](crate::FieldError::Memory) if there is no room for the values.
    pub fn read_from(source: &dyn Windows) -> Result<Self, WindowError> {
        let grid = *source.grid();
        let bytes = (grid.voxels() as u128).saturating_mul(size_of::<f32>() as u128);
        crate::check_memory(format_args!("a field of {:?} cells", grid.cells()), bytes)?;
        Ok(Self::new(grid, source.read(&Region::whole(&grid))?)?)
    }
}

impl Windows for Field3 {
    fn grid(&self) -> &Grid {
        self.grid()
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        Ok(self.extract(region)?)
    }
}

/// One value everywhere, as a number: no voxel of it is in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// Cells and box.
    pub grid: Grid,
    /// The value of every voxel.
    pub value: f32,
}

impl Windows for Constant {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        region.check_fits(self.grid.cells())?;
        Ok(Array3::from_elem(region.shape, self.value))
    }
}

/// A window that was read once, for the windows within it.
pub(crate) struct HeldWindow {
    grid: Grid,
    start: [i64; 3],
    held: Field3,
}

impl HeldWindow {
    /// Reads `region`.
    ///
    /// # Errors
    /// Whatever reading `source` reports.
    pub(crate) fn read_from(source: &dyn Windows, region: &Region) -> Result<Self, WindowError> {
        let grid = *source.grid();
        let held = Field3::new(grid.part(region.shape)?, source.read(region)?)?;
        Ok(Self { grid, start: region.start, held })
    }
}

/// Windows beyond what is held are a mistake of the caller's, and panic.
impl Windows for HeldWindow {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let (cells, held) = (self.grid.cells(), self.held.grid().cells());
        let place = |axis: usize| {
            let period = cells[axis] as i64;
            (region.start[axis].rem_euclid(period) - self.start[axis].rem_euclid(period)).rem_euclid(period)
        };
        let start = [0, 1, 2].map(place);
        // Of an axis that is held as a whole, windows go around its face.
        let is_held =
            |axis| held[axis] == cells[axis] || start[axis] as usize + region.shape[axis] <= held[axis];
        assert!((0..3).all(is_held), "{region:?} of {held:?} cells from {:?} on", self.start);
        Ok(self.held.extract(&Region { start, shape: region.shape })?)
    }
}

/// Voxels of the planes that are in memory at once where a whole grid is gone through: 16 MB of f32.
const SLAB_VOXELS: usize = 1 << 22;

/// Gives all values to `look`, plane after plane, as many planes at a time as are small: the number of the first of them,
/// and their values, x slowest.
///
/// # Errors
/// Those of `source`, and of `look`, which end it.
pub fn for_each_slab(
    source: &dyn Windows,
    mut look: impl FnMut(usize, &[f32]) -> Result<(), WindowError>,
) -> Result<(), WindowError> {
    let cells = source.grid().cells();
    let planes = (SLAB_VOXELS / (cells[1] * cells[2])).clamp(1, cells[0]);
    for slab in blocks(cells, [planes, cells[1], cells[2]]) {
        let values = source.read(&slab)?;
        look(slab.start[0] as usize, values.as_standard_layout().as_slice().expect("just made standard"))?;
    }
    Ok(())
}

/// Cells of the blocks in which values are read or written once: whole chunks of a grid file, a MB of f32.
pub const FILE_BLOCK: [usize; 3] = [32, 32, 256];

/// Cuts a grid of `cells` into blocks of `size` cells at most, x slowest.
#[must_use]
pub fn blocks(cells: [usize; 3], size: [usize; 3]) -> Vec<Region> {
    let mut blocks = Vec::new();
    for x in (0..cells[0]).step_by(size[0]) {
        for y in (0..cells[1]).step_by(size[1]) {
            for z in (0..cells[2]).step_by(size[2]) {
                let start = [x, y, z];
                let shape = [0, 1, 2].map(|axis| size[axis].min(cells[axis] - start[axis]));
                blocks.push(Region { start: start.map(|cell| cell as i64), shape });
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_voxel_once() {
        for (cells, size) in [([1; 3], [4; 3]), ([33, 64, 5], [32, 32, 1]), ([7, 4, 10], [7, 1, 3])] {
            let mut counts = Array3::<u32>::zeros(cells);
            for Region { start, shape } in blocks(cells, size) {
                let range = |axis: usize| start[axis] as usize..start[axis] as usize + shape[axis];
                counts.slice_mut(ndarray::s![range(0), range(1), range(2)]).mapv_inplace(|count| count + 1);
            }
            assert!(counts.iter().all(|&count| count == 1), "{cells:?}");
        }
    }

    #[test]
    fn slabs_are_a_grid_in_order() {
        let cells = [5, 1500, 1500]; // one plane a slab, and two of half the size
        for cells in [cells, [5, 1500, 750], [3, 4, 5]] {
            let field = Field3::new(
                Grid::new(cells, [1.0; 3]).unwrap(),
                Array3::from_shape_fn(cells, |(x, y, z)| (x + 10 * y + 3 * z) as f32),
            );
            let field = field.unwrap();
            let (mut slabs, mut values) = (Vec::new(), Vec::new());
            for_each_slab(&field, |first, slab| {
                slabs.push((first, slab.len() / (cells[1] * cells[2])));
                values.extend_from_slice(slab);
                Ok(())
            })
            .unwrap();
            assert_eq!(values, field.as_slice());
            let expected = match cells {
                [5, _, 1500] => vec![(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)],
                [5, ..] => vec![(0, 3), (3, 2)],
                _ => vec![(0, 3)],
            };
            assert_eq!(slabs, expected);
        }
    }

    #[test]
    fn a_constant_is_a_field_of_one_value() {
        let grid = Grid::new([4, 5, 6], [1.0; 3]).unwrap();
        let (constant, region) =
            (Constant { grid, value: 2.5 }, Region { start: [-1, 0, 5], shape: [2, 5, 3] });
        let field = Field3::new(grid, Array3::from_elem(grid.cells(), 2.5)).unwrap();
        assert_eq!(constant.read(&region).unwrap(), field.read(&region).unwrap());
        assert_eq!(Field3::read_from(&constant).unwrap(), field);
        assert!(constant.read(&Region::cube([0; 3], 5)).is_err());
    }
}
