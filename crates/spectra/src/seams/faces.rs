//! Where tiles meet.

use crate::SpectraError;

/// The planes where tiles meet, per axis: face `x` lies between the cells x − 1 and x, face 0 between the last
/// and the first. An axis without entries has no seams to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// Offsets of all faces across `axis` that touch no face, of equally spaced ones each once.
    pub(crate) fn free_offsets(&self, axis: usize, cells: usize) -> Vec<usize> {
        let mut is_face = vec![false; cells];
        self.planes[axis].iter().for_each(|&face| is_face[face] = true);
        let is_free = |offset: &usize| self.planes[axis].iter().all(|face| !is_face[(face + offset) % cells]);
        (1..self.period(axis, cells).unwrap_or(cells)).filter(is_free).collect()
    }

    pub(crate) fn check(&self, cells: [usize; 3]) -> Result<(), SpectraError> {
        if self.planes.iter().all(Vec::is_empty) {
            return Err(self.error(0, cells[0]));
        }
        for (axis, planes) in self.planes.iter().enumerate() {
            let rise = planes.windows(2).all(|pair| pair[0] < pair[1]);
            if !rise || planes.last().is_some_and(|&last| last >= cells[axis]) {
                return Err(self.error(axis, cells[axis]));
            }
        }
        Ok(())
    }

    pub(crate) fn error(&self, axis: usize, cells: usize) -> SpectraError {
        SpectraError::Faces { axis, cells, found: self.planes[axis].clone() }
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
        assert_eq!(faces.free_offsets(0, 12), [1, 2, 3]);
        // 1 3 7 moved by 1 is 2 4 8; by 2 it touches 3, by 3 it touches 0 6 4: free.
        assert_eq!(faces.free_offsets(1, 10), [1, 3, 5, 7, 9]);
        assert_eq!(faces.check([12, 10, 4]), Ok(()));
        assert_eq!(faces.check([11, 10, 4]), Err(faces.error(0, 11)));
        for none in [[vec![2, 2], vec![], vec![]], [vec![], vec![], vec![]]] {
            assert!(TileFaces::new(none).check([9; 3]).is_err());
        }
    }
}
