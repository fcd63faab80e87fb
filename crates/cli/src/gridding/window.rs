//! Which part of the box becomes a grid.

use super::Gridding;
use crate::failure::bad_input;
use crate::parse::three;
use finescale_field::{Boundary, Field3, FieldError, Grid, Region, Scheme, wrapped};
use finescale_snapshot::Header;

/// Boxes from the corner of the first one within which a region may begin.
const FARTHEST_BOXES: f64 = 1.0;

/// A box within the box, in Mpc/h. Its start may lie anywhere, since the box is periodic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Section {
    pub(crate) start_mpc_h: [f64; 3],
    pub(crate) sides_mpc_h: [f64; 3],
}

/// Where it begins and its sides: X,Y,Z:DX,DY,DZ in Mpc/h.
pub(crate) fn section(text: &str) -> Result<Section, String> {
    let (start, sides) = text.split_once(':').ok_or("X,Y,Z:DX,DY,DZ in Mpc/h is needed")?;
    let (start_mpc_h, sides_mpc_h): ([f64; 3], [f64; 3]) = (three(start)?, three(sides)?);
    let are_sides = sides_mpc_h.iter().all(|side| side.is_finite() && *side > 0.0);
    if are_sides && start_mpc_h.iter().all(|start| start.is_finite()) {
        return Ok(Section { start_mpc_h, sides_mpc_h });
    }
    Err("its sides must be positive, and all its numbers finite".to_owned())
}

/// A grid of a part of the box, or of all of it. Along axes on which it is a part, voxels are added at both ends that hold
/// what is assigned across its faces, and are cut off in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// With the added voxels.
    pub(super) grid: Grid,
    /// Sides of the box, after which positions repeat.
    pub(super) periods_mpc_h: [f64; 3],
    /// Where the grid begins.
    pub(super) start_mpc_h: [f64; 3],
    /// What of the grid is wanted.
    inner: Region,
}

impl Window {
    /// The whole box, or the section that is asked for, with `how.cells` along its longest side.
    pub(super) fn new(header: &Header, how: &Gridding) -> anyhow::Result<Self> {
        let sides = header.box_size_mpc_h;
        let Some(Section { start_mpc_h, sides_mpc_h }) = how.section else {
            return Ok(Self::whole(header.grid(how.cells)?));
        };
        if (0..3).any(|axis| start_mpc_h[axis].abs() > FARTHEST_BOXES * sides[axis]) {
            return Err(bad_input(format!(
                "--region: begins at {start_mpc_h:?} Mpc/h, outside of the box of {sides:?} Mpc/h; is it in kpc/h?"
            )));
        }
        for axis in 0..3 {
            if sides_mpc_h[axis] > sides[axis]
                || (sides_mpc_h[axis] == sides[axis] && start_mpc_h[axis] != 0.0)
            {
                return Err(bad_input(format!(
                    "--region: the box has sides of {sides:?} Mpc/h; a region has shorter ones, or begins at 0"
                )));
            }
        }
        let inner = Grid::with_cubic_voxels(sides_mpc_h, how.cells)?;
        Self::whole(inner).as_part(start_mpc_h, sides, how.scheme)
    }

    fn whole(grid: Grid) -> Self {
        let inner = Region::whole(&grid);
        Self { grid, periods_mpc_h: grid.box_size_mpc_h(), start_mpc_h: [0.0; 3], inner }
    }

    /// The same grid as a part of a box with such sides.
    fn as_part(self, start_mpc_h: [f64; 3], periods_mpc_h: [f64; 3], scheme: Scheme) -> anyhow::Result<Self> {
        let (cells, voxel, sides) = (self.grid.cells(), self.grid.voxel_mpc_h(), self.grid.box_size_mpc_h());
        let added = [0, 1, 2].map(|axis| if sides[axis] < periods_mpc_h[axis] { scheme.order() } else { 0 });
        let padded = [0, 1, 2].map(|axis| cells[axis] + 2 * added[axis]);
        let padded_sides = [0, 1, 2]
            .map(|axis| if added[axis] == 0 { sides[axis] } else { padded[axis] as f64 * voxel[axis] });
        if (0..3).any(|axis| padded_sides[axis] > periods_mpc_h[axis]) {
            return Err(bad_input(format!(
                "--region: with the voxels around it that the mass assignment needs, {padded_sides:?} Mpc/h, it is larger than the box \
                 of {periods_mpc_h:?} Mpc/h; grid the whole box"
            )));
        }
        let start = [0, 1, 2].map(|axis| start_mpc_h[axis] - added[axis] as f64 * voxel[axis]);
        let inner = Region { start: added.map(|cells| cells as i64), shape: cells };
        Ok(Self { grid: Grid::new(padded, padded_sides)?, periods_mpc_h, start_mpc_h: start, inner })
    }

    /// Planes of this grid, which is the whole box, as a part of it.
    pub(super) fn planes(&self, first: usize, planes: usize, scheme: Scheme) -> anyhow::Result<Self> {
        let [nx, ny, nz] = self.grid.cells();
        let [_, size_y, size_z] = self.grid.box_size_mpc_h();
        if planes == nx {
            return Ok(*self);
        }
        let voxel = self.grid.voxel_mpc_h()[0];
        let slab = Grid::new([planes, ny, nz], [planes as f64 * voxel, size_y, size_z])?;
        Self::whole(slab).as_part([first as f64 * voxel, 0.0, 0.0], self.periods_mpc_h, scheme)
    }

    /// Whether what has this place along x, and this side around it, may be in the grid. Places repeat after the box.
    pub(super) fn reaches(&self, x_mpc_h: f64, side_mpc_h: f64) -> bool {
        let (length, period) = (self.grid.box_size_mpc_h()[0], self.periods_mpc_h[0]);
        let from_start = wrapped(x_mpc_h + 0.5 * side_mpc_h - self.start_mpc_h[0], period);
        // A place that is no number is everybody's, who will say so.
        length + side_mpc_h >= period || from_start.is_nan() || from_start < length + side_mpc_h
    }

    /// The grid of what is wanted.
    pub(super) fn wanted(&self) -> Result<Grid, FieldError> {
        if self.inner == Region::whole(&self.grid) { Ok(self.grid) } else { self.grid.part(self.inner.shape) }
    }

    /// What of a field on the grid is wanted.
    pub(super) fn cut(&self, field: Field3) -> Result<Field3, FieldError> {
        if self.inner == Region::whole(&self.grid) {
            return Ok(field);
        }
        Field3::new(self.wanted()?, field.extract(&self.inner)?)
    }

    /// What lies beyond its faces.
    pub(super) fn boundary(&self) -> Boundary {
        match self.grid.box_size_mpc_h() == self.periods_mpc_h {
            true => Boundary::Periodic,
            false => Boundary::Open,
        }
    }

    /// Moves a position, which is periodic, to the grid's own coordinates.
    pub(super) fn moved(&self, position_mpc_h: [f64; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| position_mpc_h[axis] - self.start_mpc_h[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read() {
        let expected = Section { start_mpc_h: [-1.0, 0.0, 2.5], sides_mpc_h: [10.0; 3] };
        assert_eq!(section("-1,0,2.5:10"), Ok(expected));
        for wrong in ["1,2,3", "1,2,3:0", "1,2,3:4,5", "nan:4", "1:-4"] {
            assert!(section(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_has_room_for_what_is_assigned_across_its_faces() {
        let whole = Window::whole(Grid::cube(20, 40.0).unwrap());
        let slab = whole.planes(5, 6, Scheme::Pcs).unwrap();
        assert_eq!((slab.grid.cells(), slab.start_mpc_h), ([14, 20, 20], [2.0, 0.0, 0.0]));
        assert_eq!(slab.wanted().unwrap().cells(), [6, 20, 20]);
        assert_eq!((slab.boundary(), whole.boundary()), (Boundary::Open, Boundary::Periodic));
        assert!(whole.planes(0, 14, Scheme::Pcs).is_err());
    }
}
