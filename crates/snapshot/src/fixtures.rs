//! What several tests use.

use crate::{GridFile, GridMeta};
use finescale_field::{Cosmology, Field3, Grid, Scheme, TileFaces};
use ndarray::Array3;
use serde_json::json;

pub(crate) fn example(cells: [usize; 3]) -> GridFile {
    let values = Array3::from_shape_fn(cells, |(i, j, k)| (100 * i + 10 * j + k) as f32 * 0.5);
    let field = Field3::new(Grid::new(cells, [1.0, 2.0, 3.5]).unwrap(), values).unwrap();
    let meta = GridMeta {
        cosmology: Cosmology { omega_m: Some(0.3089), hubble: Some(0.6774), ..Cosmology::UNKNOWN },
        assignment: Some(Scheme::Cic),
        tile_faces: Some(TileFaces::new([vec![0, 2], vec![], vec![1]])),
        earlier_tile_faces: vec![TileFaces::new([vec![1], vec![], vec![]])],
        provenance: json!({"command": "grid – ü", "seed": 7, "sources": ["a.hdf5"]}),
        ..GridMeta::new("gas", 1.5, 849.0)
    };
    GridFile { field, meta }
}
