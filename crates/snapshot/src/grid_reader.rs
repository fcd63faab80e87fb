//! Reading grid files window by window.

use crate::attributes::Attributes;
use crate::columns::chunk_bytes;
use crate::digest::Digest;
use crate::grid_meta::{FORMAT, VERSION};
use crate::objects;
use crate::open::open;
use crate::reading::Reading;
use crate::zstd::while_chunks_have;
use crate::{GridMeta, SnapshotError};
use finescale_field::{
    Boundary, Cosmology, FILE_BLOCK, Grid, Region, WindowError, Windows, blocks, check_memory, shown,
};
use ndarray::{Array3, s};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Characters of the name of a quantity.
const LONGEST_QUANTITY: usize = 200;

/// An open grid file, read window by window.
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
    /// [`SnapshotError::NotFound`], [`SnapshotError::NotHdf5`], [`SnapshotError::Locked`],
    /// [`SnapshotError::Truncated`], [`SnapshotError::NotAGrid`], [`SnapshotError::Attribute`];
    /// [`SnapshotError::Elsewhere`], [`SnapshotError::Source`] or [`SnapshotError::Unwritten`] if its values are not
    /// all in this file.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let _reading = Reading::of(path);
        let file = open(path)?;
        let attributes = Attributes::new(path, &file);
        let not_a_grid = |detail: String| SnapshotError::NotAGrid { path: path.into(), detail };
        let version = check_format(&attributes).map_err(not_a_grid)?;
        let dataset = objects::dataset(path, &file, "field")?
            .ok_or_else(|| not_a_grid("no dataset /field".to_owned()))?;
        let shape = dataset.shape();
        let cells: [usize; 3] = shape[..]
            .try_into()
            .map_err(|_| not_a_grid(format!("/field has {} axes, not three", shape.len())))?;
        let grid = Grid::new(cells, read_box_size(&attributes)?).map_err(SnapshotError::field(path))?;
        let meta = read_meta(&attributes)?;
        let digest = Digest::read(&attributes)?;
        if digest.is_none() && version >= 2 {
            return Err(SnapshotError::Damaged { path: path.into() });
        }
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

    /// A sum over all voxels, as they were written: files of the same values have the same. None of files of version 1.
    #[must_use]
    pub fn values_digest(&self) -> Option<u64> {
        self.digest.map(Digest::number)
    }

    /// Reads the periodic window `region`; shape `region.shape`.
    ///
    /// # Errors
    /// [`SnapshotError::Field`] if the window is larger than the grid or than memory, [`SnapshotError::Hdf5`] or
    /// [`SnapshotError::Truncated`] if the file is damaged.
    pub fn read(&self, region: &Region) -> Result<Array3<f32>, SnapshotError> {
        let _reading = Reading::of(&self.path);
        let cells = self.grid.cells();
        region.check_fits(cells).map_err(SnapshotError::field(&self.path))?;
        let read = |[x, y, z]: [std::ops::Range<usize>; 3]| {
            let read = || self.dataset.read_slice::<f32, _, ndarray::Ix3>(s![x, y, z]);
            let block = while_chunks_have(chunk_bytes(&self.dataset), read);
            block.map_err(|error| SnapshotError::hdf5(&self.path, "reading /field", &error))
        };
        let whole = *region == Region::whole(&self.grid);
        self.check_memory(region, if whole { 1 } else { 2 })?;
        if whole {
            return read(cells.map(|n| 0..n));
        }
        let mut window = Array3::zeros(region.shape);
        for [[x, y, z], block] in region.parts(cells) {
            window.slice_mut(s![x, y, z]).assign(&read(block)?);
        }
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
        self.check_sum(found.number()).map(|()| values)
    }

    /// Reads all values, block by block, and forgets them: damage is an error.
    ///
    /// # Errors
    /// As [`GridReader::read_all`].
    pub fn check_values(&self) -> Result<(), SnapshotError> {
        self.check_sum(self.sum_of_part(0, 1)?)
    }

    /// A sum over the voxels of part `part` of `parts`, block by block: of all parts together that of the file, modulo 2^64.
    pub(crate) fn sum_of_part(&self, part: usize, parts: usize) -> Result<u64, SnapshotError> {
        let cells = self.grid.cells();
        let mut found = Digest::default();
        for block in blocks(cells, FILE_BLOCK).into_iter().skip(part).step_by(parts) {
            let start = [0, 1, 2].map(|axis| block.wrapped(axis, 0, cells));
            found.add(cells, start, self.read(&block)?.view());
        }
        Ok(found.number())
    }

    /// What the file says of its values.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest
    }

    fn check_sum(&self, found: u64) -> Result<(), SnapshotError> {
        match self.values_digest() {
            Some(expected) if expected != found => Err(SnapshotError::Damaged { path: self.path.clone() }),
            _ => Ok(()),
        }
    }
}

impl Windows for GridReader {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        // All values can be compared with what was written.
        Ok(if *region == Region::whole(&self.grid) { self.read_all()? } else { self.read(region)? })
    }
}

impl GridReader {
    /// Checks that so many copies of a window can be had, and one chunk of the file beside.
    fn check_memory(&self, region: &Region, copies: u128) -> Result<(), SnapshotError> {
        let product =
            |sizes: &[usize]| sizes.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
        let width = self.dataset.dtype().map_or(8, |kind| kind.size()) as u128;
        let chunk = self.dataset.chunk().map_or(0, |chunk| product(&chunk).saturating_mul(width));
        let window = product(&region.shape).saturating_mul(copies * size_of::<f32>() as u128);
        check_memory(format_args!("reading {:?} cells", region.shape), window.saturating_add(chunk))
            .map_err(SnapshotError::field(&self.path))
    }
}

/// The version of a grid of ours.
fn check_format(attributes: &Attributes) -> Result<u64, String> {
    match attributes.text("format") {
        Ok(format) if format == FORMAT => {}
        Ok(format) => return Err(format!("its format is {:?}, not {FORMAT:?}", shown(&format))),
        Err(_) if attributes.has("format") => return Err(format!("its format is no text, not {FORMAT:?}")),
        Err(_) => return Err(format!("it has no attribute format = {FORMAT:?}")),
    }
    match attributes.counts("version").as_deref() {
        Ok([version]) if (1..=u64::from(VERSION)).contains(version) => Ok(*version),
        Ok([version]) => {
            Err(format!("it has version {version}, this program reads versions up to {VERSION}"))
        }
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
    // Who makes a grid file of other data may not know how they were made.
    let (assignment, provenance) = ("assignment", "provenance");
    let assignment = attributes.has(assignment).then(|| attributes.text(assignment)).transpose()?;
    let provenance =
        attributes.has(provenance).then(|| attributes.text_or_what_resembles_it(provenance)).transpose()?;
    let unit = attributes.has("unit").then(|| short_name(attributes, "unit")).transpose()?;
    let quantity = short_name(attributes, "quantity")?;
    let meta =
        GridMeta {
            quantity,
            unit,
            redshift: attributes.number("redshift")?,
            mean: finite(attributes, "mean")?,
            assignment: match assignment.as_deref() {
                None | Some("none") => None,
                Some(scheme) => Some(scheme.parse().map_err(|_| {
                    attributes.wrong("assignment", "none, ngp, cic, tsc or pcs", shown(scheme))
                })?),
            },
            redshift_space: attributes.has("redshift_space").then(|| read_axis(attributes)).transpose()?,
            start_mpc_h: attributes.has("start_mpc_h").then(|| read_start(attributes)).transpose()?,
            is_spread: attributes.has("spread") && attributes.truth("spread")?,
            cosmology: Cosmology::find(|name| finite(attributes, name))?,
            boundary: Boundary::from_periodic(attributes.truth("periodic")?),
            centring: optional_text(attributes, "centring", "cell or corner")?.unwrap_or_default(),
            tile_faces: read_faces(
                attributes,
                "tile_faces",
                "the planes of faces by axis, such as [[0, 32], [], []]",
            )?,
            earlier_tile_faces: read_faces(
                attributes,
                "earlier_tile_faces",
                "the planes of faces by axis of each step, such as [[[0, 32], [], []], [[5, 37], [], []]]",
            )?
            .unwrap_or_default(),
            // Text of another program's making is kept as it is.
            provenance: provenance
                .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
        };
    Ok(meta.with_entries_of_provenance())
}

fn read_axis(attributes: &Attributes) -> Result<String, SnapshotError> {
    const NAME: &str = "redshift_space";
    let axis = attributes.text(NAME)?;
    match axis.as_str() {
        "x" | "y" | "z" => Ok(axis),
        _ => Err(attributes.wrong(NAME, "x, y or z", shown(&axis))),
    }
}

fn read_start(attributes: &Attributes) -> Result<[f64; 3], SnapshotError> {
    const NAME: &str = "start_mpc_h";
    match attributes.numbers(NAME)?[..] {
        [x, y, z] if x.is_finite() && y.is_finite() && z.is_finite() => Ok([x, y, z]),
        ref other => Err(attributes.wrong(NAME, "three finite numbers", format!("{} numbers", other.len()))),
    }
}

/// A name for people, such as that of a quantity.
fn short_name(attributes: &Attributes, name: &str) -> Result<String, SnapshotError> {
    let text = attributes.text(name)?;
    if text.chars().count() > LONGEST_QUANTITY || text.chars().any(char::is_control) {
        return Err(attributes.wrong(name, "a short name without control characters", shown(&text)));
    }
    Ok(text)
}

/// A finite number, or nothing where there is no such attribute.
fn finite(attributes: &Attributes, name: &str) -> Result<Option<f64>, SnapshotError> {
    match attributes.optional_number(name)? {
        Some(value) if !value.is_finite() => {
            Err(attributes.wrong(name, "a finite number", value.to_string()))
        }
        value => Ok(value),
    }
}

/// A text that is a name of something, or nothing where there is no such attribute.
fn optional_text<T: FromStr>(
    attributes: &Attributes,
    name: &str,
    expected: &'static str,
) -> Result<Option<T>, SnapshotError> {
    if !attributes.has(name) {
        return Ok(None);
    }
    let text = attributes.text(name)?;
    text.parse().map(Some).map_err(|_| attributes.wrong(name, expected, shown(&text)))
}

/// The planes of faces by axis, of one step or several, as JSON.
fn read_faces<T: DeserializeOwned>(
    attributes: &Attributes,
    name: &str,
    expected: &'static str,
) -> Result<Option<T>, SnapshotError> {
    if !attributes.has(name) {
        return Ok(None);
    }
    let text = attributes.text(name)?;
    serde_json::from_str(&text).map(Some).map_err(|_| attributes.wrong(name, expected, shown(&text)))
}
