//! Where tiles meet, and where they could as well.

use crate::SpectraError;
use finescale_field::TileFaces;

/// Offsets of all faces across `axis` that touch no face, of equally spaced ones each once.
pub(super) fn free_offsets(faces: &TileFaces, axis: usize, cells: usize) -> Vec<usize> {
    let planes = faces.along(axis);
    let mut is_face = vec![false; cells];
    planes.iter().for_each(|&face| is_face[face] = true);
    let is_free = |offset: &usize| planes.iter().all(|face| !is_face[(face + offset) % cells]);
    (1..faces.period(axis, cells).unwrap_or(cells)).filter(is_free).collect()
}

/// Checks that there are faces, and that they lie in a field of `cells`.
pub(super) fn check(faces: &TileFaces, cells: [usize; 3]) -> Result<(), SpectraError> {
    if faces.is_empty() {
        return Err(error(faces, 0, cells[0]));
    }
    (0..3).try_for_each(|axis| match faces.fits_along(axis, cells[axis]) {
        true => Ok(()),
        false => Err(error(faces, axis, cells[axis])),
    })
}

pub(super) fn error(faces: &TileFaces, axis: usize, cells: usize) -> SpectraError {
    SpectraError::Faces { axis, cells, found: faces.along(axis).to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_that_touch_no_face() {
        let faces = TileFaces::every(4, 3, [12, 10, 4]);
        assert_eq!(free_offsets(&faces, 0, 12), [1, 2, 3]);
        // 1 3 7 moved by 1 is 2 4 8; by 2 it touches 3, by 3 it touches 0 6 4: free.
        assert_eq!(free_offsets(&faces, 1, 10), [1, 3, 5, 7, 9]);
        assert_eq!(check(&faces, [12, 10, 4]), Ok(()));
        assert_eq!(check(&faces, [11, 10, 4]), Err(error(&faces, 0, 11)));
        for none in [[vec![2, 2], vec![], vec![]], [vec![], vec![], vec![]]] {
            assert!(check(&TileFaces::new(none), [9; 3]).is_err());
        }
    }
}
