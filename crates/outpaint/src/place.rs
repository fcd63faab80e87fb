//! Where a volume lies in its box.

use crate::Boundary;
use finescale_field::Region;

/// A volume that is generated, as a part of a box or the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    region: Region,
    /// Cells of the box.
    of: [usize; 3],
    /// Of the box.
    boundary: Boundary,
}

impl Place {
    /// The whole of a box of `cells`.
    #[must_use]
    pub fn whole(cells: [usize; 3], boundary: Boundary) -> Self {
        Self::part(Region { start: [0; 3], shape: cells }, cells, boundary)
    }

    /// A part of a box of `of` cells.
    #[must_use]
    pub fn part(region: Region, of: [usize; 3], boundary: Boundary) -> Self {
        Self { region, of, boundary }
    }

    /// Cells of the box.
    pub(crate) fn of(&self) -> [usize; 3] {
        self.of
    }

    /// What lies beyond the faces of the box.
    pub(crate) fn of_box(&self) -> Boundary {
        self.boundary
    }

    /// The volume's first cell in the box, before wrapping.
    pub(crate) fn first(&self) -> [i64; 3] {
        self.region.start
    }

    /// Cells of the volume.
    pub(crate) fn cells(&self) -> [usize; 3] {
        self.region.shape
    }

    /// Whether the volume fills the box along an axis.
    pub(crate) fn fills(&self, axis: usize) -> bool {
        self.region.shape[axis] == self.of[axis]
    }

    /// What lies beyond the volume's faces across an axis: along one that it fills, it is periodic as its box is.
    fn boundary(&self, axis: usize) -> Boundary {
        if self.fills(axis) { self.boundary } else { Boundary::Open }
    }

    /// Where a window of the box, from `cell` on, begins in a volume that fills the box along an axis; it may reach around the box.
    pub(crate) fn around(&self, axis: usize, cell: i64) -> i64 {
        // A volume that begins where its box does keeps the box's own numbers.
        let (offset, n) = (cell - self.region.start[axis], self.of[axis] as i64);
        if (0..2 * n).contains(&offset) { offset } else { offset.rem_euclid(n) }
    }

    /// The place in the volume of a cell of the box along an axis; it may lie beyond the volume.
    pub(crate) fn inside(&self, axis: usize, cell: i64) -> i64 {
        let offset = cell - self.region.start[axis];
        match self.boundary {
            Boundary::Periodic => offset.rem_euclid(self.of[axis] as i64),
            Boundary::Open => offset,
        }
    }
}

/// What lies beyond the faces of a volume, by axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundaries([Boundary; 3]);

impl Boundaries {
    /// Across one axis.
    pub(crate) fn along(self, axis: usize) -> Boundary {
        self.0[axis]
    }
}

impl From<Boundary> for Boundaries {
    fn from(boundary: Boundary) -> Self {
        Self([boundary; 3])
    }
}

impl From<Place> for Boundaries {
    fn from(place: Place) -> Self {
        Self([0, 1, 2].map(|axis| place.boundary(axis)))
    }
}
