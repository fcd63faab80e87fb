//! Where the tiles of a generated volume meet, if its file says so.

use finescale_field::{Grid, TileFaces};
use finescale_snapshot::GridMeta;

/// The faces that a grid's file names, or why there are none to look at.
pub(crate) fn faces_of(grid: &Grid, meta: &GridMeta) -> Result<TileFaces, String> {
    match &meta.tile_faces {
        None => {
            Err("the sample does not say its `tile_faces`; name --tile-period if it was made of tiles"
                .to_owned())
        }
        Some(faces) if faces.is_empty() => Err("the sample was made in one piece".to_owned()),
        Some(faces) if !faces.fits(grid.cells()) => {
            Err("the sample's `tile_faces` lie outside of it".to_owned())
        }
        Some(faces) => Ok(faces.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_those_of_the_file_or_the_reason_is_said() {
        let grid = Grid::cube(64, 50.0).expect("a cube");
        let faces = |planes: Option<[Vec<usize>; 3]>| {
            let tile_faces = planes.map(TileFaces::new);
            faces_of(&grid, &GridMeta { tile_faces, ..GridMeta::new("gas", 0.0, 1.0) })
        };
        let known = [vec![0, 32], vec![32], vec![]];
        assert_eq!(faces(Some(known.clone())), Ok(TileFaces::new(known)));
        assert!(faces(None).unwrap_err().contains("--tile-period"));
        assert!(faces(Some([vec![], vec![], vec![]])).unwrap_err().contains("one piece"));
        assert!(faces(Some([vec![64], vec![], vec![]])).unwrap_err().contains("outside"));
    }
}
