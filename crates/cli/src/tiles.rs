//! Where the tiles of a generated volume meet, as its provenance says it.

use finescale_field::Grid;
use finescale_outpaint::{Boundary, Strategy, Tiling};
use finescale_snapshot::GridMeta;
use finescale_spectra::TileFaces;
use serde_json::Value;

/// The key of the provenance that holds faces by axis.
pub(crate) const KEY: &str = "tile_faces";

/// The planes where a window met what was there before it, by axis: face x lies between the cells x − 1 and x.
pub(crate) fn faces(tiling: &Tiling, strategy: Strategy, boundary: Boundary) -> [Vec<usize>; 3] {
    match strategy {
        // Each window goes on where the one before it ended; the last one closes a periodic axis at face 0.
        Strategy::Raster => std::array::from_fn(|axis| {
            let cells = tiling.cells()[axis];
            let regions = (0..tiling.windows()).map(|window| tiling.region(window));
            let mut origins: Vec<usize> =
                regions.map(|region| region.start[axis].rem_euclid(cells as i64) as usize).collect();
            origins.sort_unstable();
            origins.dedup();
            origins.pop();
            let ends = origins.iter().map(|origin| origin + tiling.window_cells());
            let closing = (boundary == Boundary::Periodic).then_some(0);
            let mut faces: Vec<usize> = ends.filter(|&end| end < cells).chain(closing).collect();
            faces.sort_unstable();
            faces.dedup();
            faces
        }),
    }
}

/// The faces that a grid's provenance names, or why they are not known.
pub(crate) fn of(grid: &Grid, meta: &GridMeta) -> Result<TileFaces, String> {
    let provenance = meta.provenance.get(KEY).cloned().unwrap_or(Value::Null);
    let planes: [Vec<usize>; 3] = serde_json::from_value(provenance).map_err(|_| {
        format!("the sample's provenance has no `{KEY}`; name --tile-period if it was made of tiles")
    })?;
    let outside = (0..3).any(|axis| planes[axis].iter().any(|&face| face >= grid.cells()[axis]));
    if outside || planes.iter().all(Vec::is_empty) {
        return Err("the sample was made in one piece".to_owned());
    }
    Ok(TileFaces::new(planes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_lie_where_windows_end() {
        let of = |cells, boundary| {
            let tiling = Tiling::new(cells, 32, 10, boundary).expect("windows fit");
            faces(&tiling, Strategy::Raster, boundary)
        };
        // Origins 0, 21, 42: the last window fills the cells from 53 on.
        assert_eq!(of([64, 64, 32], Boundary::Periodic), [vec![0, 32, 53], vec![0, 32, 53], vec![0]]);
        assert_eq!(of([54, 32, 32], Boundary::Open), [vec![32], vec![], vec![]]);
    }

    #[test]
    fn provenance_is_read_back_or_the_reason_is_said() {
        let grid = Grid::cube(64, 50.0).expect("a cube");
        let meta = |provenance| GridMeta {
            quantity: "gas".to_owned(),
            redshift: 0.0,
            mean: 1.0,
            assignment: None,
            periodic: true,
            provenance,
        };
        let known = of(&grid, &meta(serde_json::json!({ KEY: [[0, 32], [32], []] })));
        assert_eq!(known, Ok(TileFaces::new([vec![0, 32], vec![32], vec![]])));
        assert!(of(&grid, &meta(serde_json::json!({}))).unwrap_err().contains("--tile-period"));
        assert!(
            of(&grid, &meta(serde_json::json!({ KEY: [[], [], []] }))).unwrap_err().contains("one piece")
        );
        assert!(of(&grid, &meta(serde_json::json!({ KEY: [[64], [], []] }))).is_err());
    }
}
