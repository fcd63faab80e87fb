//! Our grid file: an HDF5 file with the dataset `/field` and attributes that say what it is.

use crate::{GridReader, GridWriter, SnapshotError};
use finescale_field::{Boundary, FILE_BLOCK, Field3, Region, ScalarName, Scheme, blocks};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    /// How particles were assigned to voxels, if they were.
    pub assignment: Option<Scheme>,
    /// Whether the box is periodic.
    pub periodic: bool,
    /// How it was made: command, seed, model hash, source files.
    pub provenance: Value,
}

impl GridMeta {
    /// What lies beyond the faces of the box.
    #[must_use]
    pub fn boundary(&self) -> Boundary {
        if self.periodic { Boundary::Periodic } else { Boundary::Open }
    }

    /// Cosmological parameters by name: the entry `cosmology` of the provenance, at its top or one level down.
    #[must_use]
    pub fn cosmology(&self) -> Option<&Value> {
        let entries = self.provenance.as_object()?;
        let inner = entries.values().filter_map(|entry| entry.get("cosmology"));
        entries.get("cosmology").into_iter().chain(inner).find(|cosmology| cosmology.is_object())
    }

    /// A number that holds for the whole box, if it is known.
    #[must_use]
    pub fn scalar(&self, name: ScalarName) -> Option<f64> {
        let value = match name {
            ScalarName::Redshift => self.redshift,
            ScalarName::OmegaM | ScalarName::Sigma8 => self.cosmology()?[name.to_string()].as_f64()?,
        };
        value.is_finite().then_some(value)
    }

    /// Says a number that holds for the whole box, in place of what was known.
    pub fn set_scalar(&mut self, name: ScalarName, value: f64) {
        if name == ScalarName::Redshift {
            self.redshift = value;
            return;
        }
        let mut cosmology = self.cosmology().cloned().unwrap_or_else(|| json!({}));
        cosmology[name.to_string()] = json!(value);
        if !self.provenance.is_object() {
            self.provenance = json!({ "provenance": self.provenance });
        }
        self.provenance["cosmology"] = cosmology;
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

    pub(crate) fn example(cells: [usize; 3]) -> GridFile {
        let values = Array3::from_shape_fn(cells, |(i, j, k)| (100 * i + 10 * j + k) as f32 * 0.5);
        let field = Field3::new(Grid::new(cells, [1.0, 2.0, 3.5]).unwrap(), values).unwrap();
        let provenance = serde_json::json!({"command": "grid – ü", "seed": 7, "sources": ["a.hdf5"]});
        let (quantity, assignment) = ("gas".to_owned(), Some(Scheme::Cic));
        let meta = GridMeta { quantity, redshift: 1.5, mean: 849.0, assignment, periodic: true, provenance };
        GridFile { field, meta }
    }

    #[test]
    fn scalars_are_found_where_programs_write_them_and_can_be_said() {
        let names = [ScalarName::Redshift, ScalarName::OmegaM, ScalarName::Sigma8];
        let mut meta = example([1; 3]).meta;
        let scalars = |meta: &GridMeta| names.map(|name| meta.scalar(name));
        assert_eq!(scalars(&meta), [Some(1.5), None, None]);
        meta.provenance = json!({"cosmology": null, "mock": {"cosmology": {"omega_m": 0.3, "sigma_8": 0.8}}});
        assert_eq!(scalars(&meta), [Some(1.5), Some(0.3), Some(0.8)]);
        meta.set_scalar(ScalarName::Sigma8, 0.9);
        meta.set_scalar(ScalarName::Redshift, 2.0);
        assert_eq!(scalars(&meta), [Some(2.0), Some(0.3), Some(0.9)]);
        assert_eq!(meta.provenance["mock"]["cosmology"]["sigma_8"], 0.8);

        (meta.redshift, meta.provenance) = (f64::NAN, json!("some text"));
        assert_eq!(scalars(&meta), [None; 3]);
        meta.set_scalar(ScalarName::OmegaM, 0.25);
        assert_eq!(
            (meta.scalar(ScalarName::OmegaM), &meta.provenance["provenance"]),
            (Some(0.25), &json!("some text"))
        );
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
        grid.meta.periodic = false;
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
