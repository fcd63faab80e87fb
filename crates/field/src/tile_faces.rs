//! Where tiles meet.

use serde::{Deserialize, Serialize};

/// The planes where tiles meet, per axis: face `x` lies between the cells x − 1 and x, face 0 between the last
/// and the first. An axis without entries has no seams to look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TileFaces {
    planes: [Vec<usize>; 3],
}

impl TileFaces {
    /// Any faces, each once and rising along each axis.
    #[must_use]
    pub fn new(planes: [Vec<usize>; 3]) -> Self {
        Self { planes }
    }

    /// The faces of tiles of `period_cells` that start at cell `origin` and fill `cells` along each axis; the
    /// last tile is shorter where they do not divide the cells. An axis of a single tile or less has none.
    #[must_use]
    pub fn every(period_cells: usize, origin: usize, cells: [usize; 3]) -> Self {
        let planes = cells.map(|n| {
            if period_cells == 0 || period_cells >= n {
                return Vec::new();
            }
            let mut planes: Vec<usize> =
                (0..n).step_by(period_cells).map(|face| (face + origin) % n).collect();
            planes.sort_unstable();
            planes
        });
        Self { planes }
    }

    /// Whether there are none: a volume of one piece.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.planes.iter().all(Vec::is_empty)
    }

    /// Whether each face lies in a field of `cells`, once and rising along its axis.
    #[must_use]
    pub fn fits(&self, cells: [usize; 3]) -> bool {
        (0..3).all(|axis| self.fits_along(axis, cells[axis]))
    }

    /// Whether the faces across `axis` lie in `cells` cells, once and rising.
    #[must_use]
    pub fn fits_along(&self, axis: usize, cells: usize) -> bool {
        let planes = &self.planes[axis];
        planes.windows(2).all(|pair| pair[0] < pair[1]) && planes.last().is_none_or(|&last| last < cells)
    }

    /// The faces across `axis`.
    #[must_use]
    pub fn along(&self, axis: usize) -> &[usize] {
        &self.planes[axis]
    }

    /// Cells between neighbouring faces across `axis`, if they are equal and there are at least two faces.
    #[must_use]
    pub fn period(&self, axis: usize, cells: usize) -> Option<usize> {
        let planes = &self.planes[axis];
        let period = cells.checked_div(planes.len())?;
        let equal = planes.windows(2).all(|pair| pair[1] - pair[0] == period);
        (planes.len() > 1 && equal && period * planes.len() == cells).then_some(period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_of_equal_and_of_ragged_tiles() {
        let faces = TileFaces::every(4, 3, [12, 10, 4]);
        assert_eq!(faces.planes, [vec![3, 7, 11], vec![1, 3, 7], vec![]]);
        assert_eq!([faces.period(0, 12), faces.period(1, 10), faces.period(2, 4)], [Some(4), None, None]);
        assert!(faces.fits([12, 10, 4]) && !faces.fits([11, 10, 4]) && !faces.is_empty());
        assert!(!TileFaces::new([vec![2, 2], vec![], vec![]]).fits([9; 3]));
        assert!(TileFaces::new([vec![], vec![], vec![]]).is_empty());
        assert_eq!(serde_json::to_string(&faces).unwrap(), "[[3,7,11],[1,3,7],[]]");
    }
}
