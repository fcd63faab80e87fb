//! Where the tiles of a generated volume meet, as its provenance says it.

use finescale_field::Grid;
use finescale_snapshot::GridMeta;
use finescale_spectra::TileFaces;
use serde_json::Value;

/// The key of the provenance that holds faces by axis.
pub(crate) const KEY: &str = "tile_faces";

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
