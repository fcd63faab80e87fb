//! Our grid file: an HDF5 file with the dataset `/field` and attributes that say what it is.

use crate::{GridReader, GridWriter, SnapshotError};
use finescale_field::{
    Boundary, Centring, Cosmology, FILE_BLOCK, Field3, Region, ScalarName, Scheme, TileFaces, blocks,
};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// What the values of a grid file are and where they come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridMeta {
    /// What is in the voxels, in units of its cosmic mean (1 + delta): `dm`, `gas`, `stars`, ...
    pub quantity: String,
    /// Redshift.
    pub redshift: f64,
    /// Particles per voxel on average; times the field these are counts, unless particles were weighted by mass.
    pub mean: f64,
    /// The universe that it is of, as far as it is known.
    #[serde(default)]
    pub cosmology: Cosmology,
    /// What lies beyond the faces of the box. In files: whether it is `periodic`.
    #[serde(rename = "periodic", with = "as_periodic")]
    pub boundary: Boundary,
    /// How particles were assigned to voxels, if they were.
    pub assignment: Option<Scheme>,
    /// Where in its voxel a value is taken.
    #[serde(default)]
    pub centring: Centring,
    /// Where the tiles meet that a generated field is made of; without faces if it was made in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile_faces: Option<TileFaces>,
    /// How it was made: command, seed, model hash, source files. Free JSON.
    pub provenance: Value,
}

impl GridMeta {
    /// A periodic field of nothing else that is known.
    #[must_use]
    pub fn new(quantity: impl Into<String>, redshift: f64, mean: f64) -> Self {
        Self {
            quantity: quantity.into(),
            redshift,
            mean,
            cosmology: Cosmology::UNKNOWN,
            boundary: Boundary::Periodic,
            assignment: None,
            centring: Centring::Cell,
            tile_faces: None,
            provenance: Value::Null,
        }
    }

    /// A number that holds for the whole box, if it is known.
    #[must_use]
    pub fn scalar(&self, name: ScalarName) -> Option<f64> {
        let value =
            if name == ScalarName::Redshift { Some(self.redshift) } else { self.cosmology.scalar(name) };
        value.filter(|value| value.is_finite())
    }

    /// Says a number that holds for the whole box, in place of what was known.
    pub fn set_scalar(&mut self, name: ScalarName, value: f64) {
        match name {
            ScalarName::Redshift => self.redshift = value,
            ScalarName::OmegaM => self.cosmology.omega_m = Some(value),
            ScalarName::Sigma8 => self.cosmology.sigma_8 = Some(value),
        }
    }

    /// With what versions before 0.2 said in the provenance only: cosmology, at its top or one level down, and the faces
    /// of tiles.
    #[must_use]
    pub fn with_entries_of_provenance(mut self) -> Self {
        let Some(entries) = self.provenance.as_object() else { return self };
        if self.cosmology == Cosmology::UNKNOWN {
            let inner = entries.values().filter_map(|entry| entry.get("cosmology"));
            let found = entries.get("cosmology").into_iter().chain(inner).find(|entry| entry.is_object());
            let cosmology = found.and_then(|entry| serde_json::from_value(entry.clone()).ok());
            self.cosmology = cosmology.unwrap_or_default();
        }
        if self.tile_faces.is_none() {
            let faces = entries.get("tile_faces");
            self.tile_faces = faces.and_then(|faces| serde_json::from_value(faces.clone()).ok());
        }
        self
    }
}

/// A boundary as the truth value that files hold.
mod as_periodic {
    use finescale_field::Boundary;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(boundary: &Boundary, to: S) -> Result<S::Ok, S::Error> {
        boundary.is_periodic().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Boundary, D::Error> {
        bool::deserialize(from).map(Boundary::from_periodic)
    }
}

/// A field and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct GridFile {
    /// The values, in units of the cosmic mean.
    pub field: Field3,
    /// What they are.
    pub meta: GridMeta,
}

/// Reads the whole grid file `path`.
///
/// # Errors
/// [`SnapshotError::NotFound`], [`SnapshotError::NotHdf5`], [`SnapshotError::Truncated`],
/// [`SnapshotError::NotAGrid`], [`SnapshotError::Attribute`] and [`SnapshotError::Damaged`] name the file and what is
/// wrong with it.
pub fn read_grid(path: &Path) -> Result<GridFile, SnapshotError> {
    let reader = GridReader::open(path)?;
    let values = reader.read_all()?;
    let field = Field3::new(*reader.grid(), values).map_err(SnapshotError::field(path))?;
    Ok(GridFile { field, meta: reader.meta().clone() })
}

/// Reads the periodic window `region` of the grid file `path`; shape `region.shape`.
///
/// # Errors
/// As [`read_grid`], and [`SnapshotError::Field`] if the window is larger than the grid.
pub fn read_grid_window(path: &Path, region: Region) -> Result<Array3<f32>, SnapshotError> {
    GridReader::open(path)?.read(&region)
}

/// Writes a grid file; it appears under `path` when it is whole.
///
/// # Errors
/// [`SnapshotError::Write`] if the file cannot be made or the disk is full; nothing is left behind then.
pub fn write_grid(path: &Path, grid: &GridFile) -> Result<(), SnapshotError> {
    write_grids(&[(path, grid)])
}

/// Writes grid files that belong together; they appear when all are whole, and never beside an earlier one of the others.
///
/// # Errors
/// As [`write_grid`].
pub fn write_grids(grids: &[(&Path, &GridFile)]) -> Result<(), SnapshotError> {
    let drafts = grids.iter().map(|(path, grid)| {
        let mut writer = GridWriter::create(path, grid.field.grid(), &grid.meta)?;
        for block in blocks(grid.field.grid().cells(), FILE_BLOCK) {
            let values = grid.field.extract(&block).map_err(SnapshotError::field(path))?;
            writer.write(&block, values.view())?;
        }
        writer.close()
    });
    let drafts = drafts.collect::<Result<_, _>>()?;
    finescale_durable::commit_together(drafts).map_err(|(path, error)| SnapshotError::write(&path)(error))
}

/// The runs of a periodic window along `axis`, each contiguous in the grid: (cell of the window, cell of the
/// grid, length).
pub(crate) fn runs(region: &Region, axis: usize, cells: [usize; 3]) -> Vec<(usize, usize, usize)> {
    let mut runs = Vec::with_capacity(2);
    let mut offset = 0;
    while offset < region.shape[axis] {
        let cell = region.wrapped(axis, offset, cells);
        let length = (cells[axis] - cell).min(region.shape[axis] - offset);
        runs.push((offset, cell, length));
        offset += length;
    }
    runs
}

/// Calls `visit(window box, grid box)` for each of the at most eight blocks that a periodic window has in the file.
pub(crate) fn for_each_block(
    region: &Region,
    cells: [usize; 3],
    mut visit: impl FnMut([std::ops::Range<usize>; 3], [std::ops::Range<usize>; 3]) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    for (wx, gx, nx) in runs(region, 0, cells) {
        for (wy, gy, ny) in runs(region, 1, cells) {
            for (wz, gz, nz) in runs(region, 2, cells) {
                visit([wx..wx + nx, wy..wy + ny, wz..wz + nz], [gx..gx + nx, gy..gy + ny, gz..gz + nz])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use finescale_field::Grid;
    use proptest::prelude::*;
    use serde_json::json;

    pub(crate) fn example(cells: [usize; 3]) -> GridFile {
        let values = Array3::from_shape_fn(cells, |(i, j, k)| (100 * i + 10 * j + k) as f32 * 0.5);
        let field = Field3::new(Grid::new(cells, [1.0, 2.0, 3.5]).unwrap(), values).unwrap();
        let meta = GridMeta {
            cosmology: Cosmology { omega_m: Some(0.3089), hubble: Some(0.6774), ..Cosmology::UNKNOWN },
            assignment: Some(Scheme::Cic),
            tile_faces: Some(TileFaces::new([vec![0, 2], vec![], vec![1]])),
            provenance: json!({"command": "grid – ü", "seed": 7, "sources": ["a.hdf5"]}),
            ..GridMeta::new("gas", 1.5, 849.0)
        };
        GridFile { field, meta }
    }

    #[test]
    fn scalars_are_found_and_can_be_said() {
        let names = [ScalarName::Redshift, ScalarName::OmegaM, ScalarName::Sigma8];
        let mut meta = example([1; 3]).meta;
        let scalars = |meta: &GridMeta| names.map(|name| meta.scalar(name));
        assert_eq!(scalars(&meta), [Some(1.5), Some(0.3089), None]);
        meta.set_scalar(ScalarName::Sigma8, 0.9);
        meta.set_scalar(ScalarName::Redshift, 2.0);
        assert_eq!(scalars(&meta), [Some(2.0), Some(0.3089), Some(0.9)]);
        (meta.redshift, meta.cosmology.omega_m) = (f64::NAN, Some(f64::INFINITY));
        assert_eq!(scalars(&meta), [None, None, Some(0.9)]);
    }

    #[test]
    fn what_earlier_versions_said_in_the_provenance_is_found() {
        let said = |provenance: Value| {
            let meta = GridMeta { provenance, ..GridMeta::new("dm", 0.0, 1.0) }.with_entries_of_provenance();
            ([meta.cosmology.omega_m, meta.cosmology.sigma_8], meta.tile_faces)
        };
        assert_eq!(said(json!("some text")), ([None; 2], None));
        let of_mock = json!({"cosmology": null, "mock": {"cosmology": {"omega_m": 0.3, "sigma_8": 0.8}}});
        assert_eq!(said(of_mock), ([Some(0.3), Some(0.8)], None));
        let of_sample = json!({"cosmology": {"omega_m": 0.31}, "tile_faces": [[0, 32], [], []]});
        let faces = TileFaces::new([vec![0, 32], vec![], vec![]]);
        assert_eq!(said(of_sample), ([Some(0.31), None], Some(faces)));
        // What the file says itself goes first.
        let mut meta = example([1; 3]).meta;
        meta.provenance = json!({"cosmology": {"omega_m": 0.2}, "tile_faces": [[], [], []]});
        let found = meta.clone().with_entries_of_provenance();
        assert_eq!(found, meta);
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/grid.hdf5");
        let mut grid = example([3, 40, 5]);
        write_grid(&path, &grid).unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
        // Writing again replaces the file.
        grid.meta.assignment = None;
        grid.meta.boundary = Boundary::Open;
        grid.meta.tile_faces = None;
        grid.meta.centring = Centring::Corner;
        write_grid(&path, &grid).unwrap();
        assert_eq!(read_grid(&path).unwrap(), grid);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_window_larger_than_the_grid_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grid.hdf5");
        write_grid(&path, &example([3, 4, 5])).unwrap();
        let error = read_grid_window(&path, Region::cube([0; 3], 4)).unwrap_err();
        assert!(matches!(error, SnapshotError::Field { .. }), "{error}");
    }

    #[test]
    fn files_that_are_no_grids_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        crate::attributes::write_text(&file, "format", "something else").unwrap();
        file.close().unwrap();
        let error = read_grid(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::NotAGrid { .. }), "{error}");

        let path = folder.path().join("newer.hdf5");
        write_grid(&path, &example([3, 4, 5])).unwrap();
        let file = hdf5::File::open_rw(&path).unwrap();
        file.attr("version").unwrap().write_scalar(&3u32).unwrap();
        file.close().unwrap();
        let error = read_grid(&path).unwrap_err();
        assert!(error.to_string().contains("version 3"), "{error}");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = write_grid(&file.join("grid.hdf5"), &example([3, 4, 5])).unwrap_err();
        assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn windows_agree_with_the_field(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=3, 1usize..=4, 1usize..=5),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("grid.hdf5");
            let grid = example([3, 4, 5]);
            write_grid(&path, &grid).unwrap();
            let region = Region { start, shape: shape.into() };
            prop_assert_eq!(read_grid_window(&path, region).unwrap(), grid.field.extract(&region).unwrap());
        }
    }
}
