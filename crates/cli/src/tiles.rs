//! Where the tiles of a generated volume meet, if its file says so.

use finescale_field::{Grid, Region, TileFaces};
use finescale_snapshot::GridMeta;

/// The faces that a grid's file names, by step, or why there are none to look at.
pub(crate) fn faces_of(grid: &Grid, meta: &GridMeta) -> Result<Vec<TileFaces>, String> {
    match &meta.tile_faces {
        None => {
            Err("the sample does not say its `tile_faces`; name --tile-period if it was made of tiles"
                .to_owned())
        }
        Some(faces) if faces.is_empty() => Err("the sample was made in one piece".to_owned()),
        Some(faces) => {
            let of_steps = meta.earlier_tile_faces.iter().chain([faces]);
            if of_steps.clone().any(|faces| !faces.fits(grid.cells())) {
                return Err("the sample's `tile_faces` lie outside of it".to_owned());
            }
            Ok(of_steps.cloned().collect())
        }
    }
}

/// The faces of all steps that lie in `window` of a field of `cells`; empty ones of a step that has none there.
pub(crate) fn within_all(
    faces: &[TileFaces],
    cells: [usize; 3],
    window: &Region,
) -> Result<Vec<TileFaces>, String> {
    let (last, earlier) = faces.split_last().ok_or("no tiles are known")?;
    let last = within(last, cells, window)?;
    // A step without faces in the part keeps its place.
    let none = || TileFaces::new([vec![], vec![], vec![]]);
    let earlier = earlier.iter().map(|faces| within(faces, cells, window).unwrap_or_else(|_| none()));
    Ok(earlier.chain([last]).collect())
}

/// The faces that lie in `window` of a field of `cells`, by its own cells. Its first plane has no neighbour, unless the
/// window goes all around the box.
fn within(faces: &TileFaces, cells: [usize; 3], window: &Region) -> Result<TileFaces, String> {
    let inside = |axis: usize| {
        let (n, start, shape) = (cells[axis], window.wrapped(axis, 0, cells), window.shape[axis]);
        let moved = faces.along(axis).iter().map(|face| (face + n - start) % n);
        let mut planes: Vec<usize> = moved.filter(|&face| face < shape && (face > 0 || shape == n)).collect();
        planes.sort_unstable();
        planes
    };
    let planes = [0, 1, 2].map(inside);
    if planes.iter().all(Vec::is_empty) {
        return Err("no tiles meet in the part that is compared".to_owned());
    }
    Ok(TileFaces::new(planes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_move_with_the_window_and_its_edges_are_none() {
        let faces = TileFaces::new([vec![0, 4, 8], vec![2, 6], vec![]]);
        let within = |start, shape| within(&faces, [12, 12, 12], &Region { start, shape });
        let whole = within([3, 0, 0], [12, 12, 12]);
        assert_eq!(whole, Ok(TileFaces::new([vec![1, 5, 9], vec![2, 6], vec![]])));
        // Planes 4 and 8 of x are 0 and 4 of the window; the first is its edge.
        assert_eq!(within([4, 3, 0], [6, 3, 12]), Ok(TileFaces::new([vec![4], vec![], vec![]])));
        // Over the face of the box.
        assert_eq!(within([10, 3, 0], [6, 3, 12]), Ok(TileFaces::new([vec![2], vec![], vec![]])));
        assert!(within([5, 3, 0], [2, 3, 12]).unwrap_err().contains("no tiles meet"));
    }

    #[test]
    fn faces_are_those_of_the_file_or_the_reason_is_said() {
        let grid = Grid::cube(64, 50.0).expect("a cube");
        let faces = |planes: Option<[Vec<usize>; 3]>| {
            let tile_faces = planes.map(TileFaces::new);
            faces_of(&grid, &GridMeta { tile_faces, ..GridMeta::new("gas", 0.0, 1.0) })
        };
        let known = [vec![0, 32], vec![32], vec![]];
        assert_eq!(faces(Some(known.clone())), Ok(vec![TileFaces::new(known)]));
        assert!(faces(None).unwrap_err().contains("--tile-period"));
        assert!(faces(Some([vec![], vec![], vec![]])).unwrap_err().contains("one piece"));
        assert!(faces(Some([vec![64], vec![], vec![]])).unwrap_err().contains("outside"));
    }
}
