//! What points out of a file is followed when that is asked for. A process of its own: the choice holds for all of it.

use finescale_field::{Field3, Grid};
use finescale_snapshot::{GridFile, GridMeta, SnapshotError, follow_links, read_grid, write_grid};
use ndarray::Array3;

#[test]
fn links_are_followed_only_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target.hdf5"), folder.path().join("link.hdf5"));
    let values = Array3::from_shape_fn([2; 3], |(i, j, k)| (4 * i + 2 * j + k) as f32);
    let field = Field3::new(Grid::cube(2, 1.0).unwrap(), values).unwrap();
    let quantity = "dm".to_owned();
    let provenance = serde_json::Value::Null;
    let meta = GridMeta { provenance, ..GridMeta::new(quantity, 0.0, 1.0) };
    let grid = GridFile { field, meta };
    write_grid(&target, &grid).unwrap();
    write_grid(&link, &grid).unwrap();
    let file = hdf5::File::open_rw(&link).unwrap();
    file.unlink("field").unwrap();
    file.link_external("target.hdf5", "/field", "field").unwrap();
    file.close().unwrap();
    assert!(matches!(read_grid(&link), Err(SnapshotError::Elsewhere { .. })));
    follow_links(true);
    assert_eq!(read_grid(&link).unwrap(), grid);
    follow_links(false);
    assert!(matches!(read_grid(&link), Err(SnapshotError::Elsewhere { .. })));
}
