//! Reading grid files window by window.

use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::grid_file::for_each_block;
use crate::grid_writer::{FORMAT, VERSION};
use crate::open::open;
use crate::{GridMeta, SnapshotError};
use finescale_field::{Grid, Region};
use ndarray::{Array3, s};
use std::path::{Path, PathBuf};

/// An open grid file.
#[derive(Debug)]
pub struct GridReader {
    path: PathBuf,
    grid: Grid,
    meta: GridMeta,
    digest: Option<Digest>,
    dataset: hdf5::Dataset,
}

impl GridReader {
    /// Opens `path` and reads what it is, not yet its values.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::NotHdf5`], [`SnapshotError::Truncated`],
    /// [`SnapshotError::NotAGrid`] or [`SnapshotError::Attribute`].
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let file = open(path)?;
        let attributes = Attributes::of(path, &file);
        let not_a_grid = |detail: String| SnapshotError::NotAGrid { path: path.into(), detail };
        check_format(&attributes).map_err(not_a_grid)?;
        let dataset =
            file.dataset("field").map_err(|error| not_a_grid(format!("no dataset /field: {error}")))?;
        let shape = dataset.shape();
        let cells: [usize; 3] = shape[..]
            .try_into()
            .map_err(|_| not_a_grid(format!("/field has shape {shape:?}, not three axes")))?;
        let grid = Grid::new(cells, read_box_size(&attributes)?).map_err(SnapshotError::field(path))?;
        let meta = read_meta(&attributes)?;
        let digest = Digest::read(&attributes)?;
        Ok(Self { path: path.into(), grid, meta, digest, dataset })
    }

    /// Cells and box size.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// What the values are.
    #[must_use]
    pub fn meta(&self) -> &GridMeta {
        &self.meta
    }

    /// Reads the periodic window `region`; shape `region.shape`.
    ///
    /// # Errors
    /// [`SnapshotError::Field`] if the window is larger than the grid, [`SnapshotError::Hdf5`] or
    /// [`SnapshotError::Truncated`] if the file is damaged.
    pub fn read(&self, region: &Region) -> Result<Array3<f32>, SnapshotError> {
        let cells = self.grid.cells();
        region.check_fits(cells).map_err(SnapshotError::field(&self.path))?;
        let read = |[x, y, z]: [std::ops::Range<usize>; 3]| {
            let block = self.dataset.read_slice::<f32, _, ndarray::Ix3>(s![x, y, z]);
            block.map_err(|error| SnapshotError::hdf5(&self.path, "reading /field", &error))
        };
        let mut window = Array3::zeros(region.shape);
        for_each_block(region, cells, |[x, y, z], block| {
            window.slice_mut(s![x, y, z]).assign(&read(block)?);
            Ok(())
        })?;
        Ok(window)
    }

    /// Reads all values; shape `grid().cells()`.
    ///
    /// # Errors
    /// As [`GridReader::read`], and [`SnapshotError::Damaged`] if they are not those that were written.
    pub fn read_all(&self) -> Result<Array3<f32>, SnapshotError> {
        let values = self.read(&Region::whole(&self.grid))?;
        let mut found = Digest::default();
        found.add(self.grid.cells(), [0; 3], values.view());
        self.check_digest(found).map(|()| values)
    }

    /// Reads all values, a few planes at a time, and forgets them: damage is an error.
    ///
    /// # Errors
    /// As [`GridReader::read_all`].
    pub fn check_values(&self) -> Result<(), SnapshotError> {
        let [nx, ny, nz] = self.grid.cells();
        let mut found = Digest::default();
        for start in (0..nx).step_by(PLANES) {
            let start_cell = i64::try_from(start).expect("a grid has fewer cells than that");
            let slab = Region { start: [start_cell, 0, 0], shape: [PLANES.min(nx - start), ny, nz] };
            found.add(self.grid.cells(), [start, 0, 0], self.read(&slab)?.view());
        }
        self.check_digest(found)
    }

    fn check_digest(&self, found: Digest) -> Result<(), SnapshotError> {
        match self.digest {
            Some(expected) if expected != found => Err(SnapshotError::Damaged { path: self.path.clone() }),
            _ => Ok(()),
        }
    }
}

/// Planes that are read at once where all are read: those of one HDF5 chunk of ours.
const PLANES: usize = 32;

fn check_format(attributes: &Attributes) -> Result<(), String> {
    match attributes.text("format") {
        Ok(format) if format == FORMAT => {}
        Ok(format) => return Err(format!("its format is {format:?}, not {FORMAT:?}")),
        Err(_) => return Err(format!("it has no attribute format = {FORMAT:?}")),
    }
    match attributes.counts("version").as_deref() {
        Ok([version]) if *version == u64::from(VERSION) => Ok(()),
        Ok([version]) => Err(format!("it has version {version}, this program reads version {VERSION}")),
        _ => Err("it has no version number".to_owned()),
    }
}

fn read_box_size(attributes: &Attributes) -> Result<[f64; 3], SnapshotError> {
    const NAME: &str = "box_size_mpc_h";
    let sizes = attributes.numbers(NAME)?;
    match sizes[..] {
        [size] => Ok([size; 3]),
        [x, y, z] => Ok([x, y, z]),
        _ => Err(attributes.wrong(NAME, "one or three numbers", format!("{} numbers", sizes.len()))),
    }
}

fn read_meta(attributes: &Attributes) -> Result<GridMeta, SnapshotError> {
    let assignment = attributes.text("assignment")?;
    let provenance = attributes.text("provenance")?;
    Ok(GridMeta {
        quantity: attributes.text("quantity")?,
        redshift: attributes.number("redshift")?,
        mean: attributes.number("mean")?,
        assignment: match assignment.as_str() {
            "none" => None,
            scheme => Some(scheme.parse().map_err(|_| {
                attributes.wrong("assignment", "none, ngp, cic, tsc or pcs", assignment.clone())
            })?),
        },
        periodic: attributes.truth("periodic")?,
        // Text of another program's making is kept as it is.
        provenance: serde_json::from_str(&provenance).unwrap_or(serde_json::Value::String(provenance)),
    })
}
