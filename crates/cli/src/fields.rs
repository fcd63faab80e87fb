//! Fields from whatever file holds them.

use crate::cube::Cube;
use crate::failure::bad_input;
use crate::provenance::provenance;
use crate::samples;
use anyhow::Context as _;
use finescale_field::{FILE_BLOCK, Field3, FieldError, Grid, Region, WindowError, Windows, blocks};
use finescale_ranks::{Ranks, RanksError};
use finescale_snapshot::{CubeReader, GridFile, GridMeta, GridReader, NpyReader, Source, read_grid};
use ndarray::Array3;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Voxels of simulations in Mpc/h: beyond, a box is likely to be in other units.
const PLAUSIBLE_VOXELS_MPC_H: std::ops::RangeInclusive<f64> = 1e-3..=50.0;

/// Means of cubes that may hold 1 + delta: beyond, they are counts or masses.
const PLAUSIBLE_MEANS: std::ops::RangeInclusive<f64> = 0.2..=5.0;
/// Means of whole boxes of 1 + delta are as close to 1 as this.
const MEAN_TOLERANCE: f64 = 0.01;

/// Values that are read window by window, and what they are.
pub(crate) struct OpenField {
    pub(crate) values: Box<dyn Windows>,
    pub(crate) meta: GridMeta,
    /// What somebody should know of how its values are taken.
    pub(crate) note: Option<String>,
    /// Whether it is the numpy cube of somebody else.
    pub(crate) is_cube: bool,
    /// The grid file whose values have yet to be checked, if it is one.
    unchecked: Option<PathBuf>,
}

impl OpenField {
    pub(crate) fn in_memory(field: Field3, meta: GridMeta) -> Self {
        Self { values: Box::new(field), meta, note: None, is_cube: false, unchecked: None }
    }

    /// Reads all values of a grid file once: damage is an error.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Some(path) = &self.unchecked else { return Ok(()) };
        GridReader::open(path).and_then(|reader| reader.check_values()).context("reading a grid")
    }
}

/// Opens a grid file, whose values are checked, a sample of ours as a numpy cube, or another cube of which this is said.
pub(crate) fn open(path: &Path, cube: &Cube) -> anyhow::Result<OpenField> {
    let field = open_header(path, cube)?;
    field.check()?;
    Ok(field)
}

/// The same; of a grid file only the header is read.
pub(crate) fn open_header(path: &Path, cube: &Cube) -> anyhow::Result<OpenField> {
    if Source::of(path)? == Source::Cube {
        return open_npy(path, cube);
    }
    let reader = GridReader::open(path).context("reading a grid")?;
    let meta = reader.meta().clone();
    meta.check_density(path)?;
    Ok(OpenField { values: Box::new(reader), meta, note: None, is_cube: false, unchecked: Some(path.into()) })
}

/// The same in memory.
pub(crate) fn load(path: &Path, cube: &Cube) -> anyhow::Result<GridFile> {
    if Source::of(path)? != Source::Cube {
        let grid = read_grid(path).context("reading a grid")?;
        grid.meta.check_density(path)?;
        return Ok(grid);
    }
    let OpenField { values, meta, .. } = open_npy(path, cube)?;
    Ok(GridFile { field: in_memory(values.as_ref())?, meta })
}

/// All values, in memory.
pub(crate) fn in_memory(values: &dyn Windows) -> anyhow::Result<Field3> {
    Field3::read_from(values).map_err(anyhow::Error::from_boxed).context("reading values")
}

/// A sample of ours, which says what it is, or the cube of somebody else.
fn open_npy(path: &Path, cube: &Cube) -> anyhow::Result<OpenField> {
    let Cube { box_size: box_size_mpc_h, index, .. } = *cube;
    check_is_there(path)?;
    let reader = |box_size| NpyReader::open_cube(path, box_size, index).context("reading a numpy cube");
    if let Some((meta, of_sample)) = samples::described_npy(path)? {
        if let Some(said) = box_size_mpc_h.filter(|said| *said != of_sample) {
            return Err(bad_input(format!(
                "{}: fills {of_sample:?} Mpc/h, says its description, not {said:?}: leave --box-size out",
                path.display()
            )));
        }
        let values = Box::new(reader(box_size_mpc_h.unwrap_or(of_sample))?);
        return Ok(OpenField { values, meta, note: None, is_cube: true, unchecked: None });
    }
    let box_size_mpc_h = box_size_mpc_h.ok_or_else(|| without_box(path))?;
    let holds = cube.values();
    let values = CubeReader::open(path, box_size_mpc_h, index, holds).context("reading a numpy cube")?;
    let provenance = provenance(json!({ "sources": [path.to_string_lossy()] }));
    // A mean that was said is that of counts or masses.
    let meta = GridMeta { provenance, ..GridMeta::new("unknown", 0.0, values.unit(holds)) };
    let note = values.note().map(str::to_owned);
    Ok(OpenField { values: Box::new(values), meta, note, is_cube: true, unchecked: None })
}

/// The grid of a numpy cube, whose values are not read.
pub(crate) fn grid_of_cube(path: &Path, cube: &Cube) -> anyhow::Result<Grid> {
    check_is_there(path)?;
    let described = samples::described_npy(path)?.map(|(_, of_sample)| of_sample);
    let box_size_mpc_h = cube.box_size.or(described).ok_or_else(|| without_box(path))?;
    let reader = NpyReader::open_cube(path, box_size_mpc_h, cube.index).context("reading a numpy cube")?;
    Ok(*reader.grid())
}

fn check_is_there(path: &Path) -> anyhow::Result<()> {
    match path.try_exists().with_context(|| path.display().to_string())? {
        true => Ok(()),
        false => Err(bad_input(format!("{}: no such file", path.display()))),
    }
}

fn without_box(path: &Path) -> anyhow::Error {
    bad_input(format!("{}: a .npy cube needs --box-size, in Mpc/h", path.display()))
}

/// Whether a numpy cube has its redshift in a description beside it.
pub(crate) fn says_redshift(path: &Path) -> anyhow::Result<bool> {
    Ok(samples::described_npy(path)?.is_some())
}

/// Refuses a field that is no density 1 + delta: negative, or not finite.
pub(crate) fn check_density(path: &Path, field: &Field3) -> anyhow::Result<()> {
    finescale_field::check_density(field).map_err(|error| match error {
        FieldError::Density { voxel, value } if value < 0.0 => negative(path, value, voxel),
        other => bad_input(format!("{}: {other}", path.display())),
    })
}

/// What is odd about the values of a whole periodic box of a grid file, which are no counts and have no sign.
///
/// # Errors
/// If they are no density.
pub(crate) fn check_box(path: &Path, values: &dyn Windows) -> anyhow::Result<Option<String>> {
    let range = Range::new(values)?;
    let (lowest, mean) = (range.lowest, range.mean());
    match lowest < 0.0 {
        true => Err(bad_input(format!(
            "{}: holds negative values ({lowest}): this looks like delta, or a logarithm; store 1 + delta (of a .npy cube that holds delta say --delta)",
            path.display()
        ))),
        // Whoever reads what is no number names the voxel.
        false if !mean.is_finite() => Ok(None),
        false => check_box_mean(path, mean),
    }
}

/// What is odd about the mean of a whole periodic box of a grid file, which is 1 in units of the cosmic mean.
///
/// # Errors
/// If no box of a density has such a mean.
pub(crate) fn check_box_mean(path: &Path, mean: f64) -> anyhow::Result<Option<String>> {
    let path = path.display();
    if !PLAUSIBLE_MEANS.contains(&mean) {
        return Err(bad_input(format!(
            "{path}: the mean of its values is {mean:.4e}, and that of a periodic box in units of the cosmic mean, 1 + delta, is \
             1; if they are counts or masses, divide them by their mean"
        )));
    }
    let is_one = (mean - 1.0).abs() <= MEAN_TOLERANCE;
    Ok((!is_one).then(|| {
        format!("{path}: the mean of its values is {mean:.4}, and not 1, as that of a periodic box in units of the cosmic mean")
    }))
}

fn negative(path: &Path, value: f32, voxel: [usize; 3]) -> anyhow::Error {
    bad_input(format!(
        "{}: holds negative values ({value} in voxel {voxel:?}): this looks like delta, or a logarithm; store 1 + delta (of a .npy cube that holds delta say --delta)",
        path.display()
    ))
}

/// A warning about voxels that no simulation has.
pub(crate) fn unit_warning(path: &Path, grid: &Grid) -> Option<String> {
    let voxel = grid.voxel_mpc_h();
    voxel.iter().any(|size| !PLAUSIBLE_VOXELS_MPC_H.contains(size)).then(|| {
        format!(
            "{}: voxels of {} Mpc/h: is the box, {:?} Mpc/h, in kpc/h?",
            path.display(),
            voxel[0],
            grid.box_size_mpc_h()
        )
    })
}

/// What the values of a field range over.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) lowest: f32,
    pub(crate) highest: f32,
    /// Voxels of 0.
    pub(crate) empty: u64,
    pub(crate) voxels: u64,
    sum: f64,
}

impl Range {
    /// That of no values.
    const NONE: Self =
        Self { lowest: f32::INFINITY, highest: f32::NEG_INFINITY, empty: 0, voxels: 0, sum: 0.0 };

    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a f32>) -> Self {
        values.into_iter().fold(Self::NONE, |Self { lowest, highest, empty, voxels, sum }, &value| Self {
            lowest: lowest.min(value),
            highest: highest.max(value),
            empty: empty + u64::from(value == 0.0),
            voxels: voxels + 1,
            sum: sum + f64::from(value),
        })
    }

    /// Reads a field, block by block.
    pub(crate) fn new(values: &dyn Windows) -> anyhow::Result<Self> {
        let watched = Watched::new(values);
        for block in blocks(values.grid().cells(), FILE_BLOCK) {
            watched.read(&block).map_err(anyhow::Error::from_boxed)?;
        }
        Ok(watched.range())
    }

    /// Of these values and others.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
            empty: self.empty + other.empty,
            voxels: self.voxels + other.voxels,
            sum: self.sum + other.sum,
        }
    }

    /// Of what all ranks have.
    pub(crate) fn of_ranks(self, ranks: &Ranks) -> Result<Self, RanksError> {
        let Self { lowest, highest, empty, voxels, sum } = self;
        let extremes = ranks.gather(&[lowest, highest])?;
        let (counts, sums) = (ranks.gather(&[empty, voxels])?, ranks.gather(&[sum])?);
        let all = extremes.iter().zip(&counts).zip(&sums).map(|((extremes, counts), sums)| Self {
            lowest: extremes[0],
            highest: extremes[1],
            empty: counts[0],
            voxels: counts[1],
            sum: sums[0],
        });
        Ok(all.fold(Self::NONE, Self::and))
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.voxels as f64
    }

    /// What a person wants to know at once of the field of which these are all values.
    pub(crate) fn summary(&self, grid: &Grid) -> String {
        let ([x, y, z], size, mean) = (grid.cells(), grid.box_size_mpc_h(), self.mean());
        let Self { lowest, highest, .. } = self;
        format!(
            "{x} x {y} x {z} cells, {size:?} Mpc/h, mean {mean:.6}, lowest {lowest:.4}, highest {highest:.4}"
        )
    }
}

/// Values that are read once, window by window, by whom they are for: what they range over is seen on the way.
pub(crate) struct Watched<'a> {
    values: &'a dyn Windows,
    seen: Mutex<Range>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(values: &'a dyn Windows) -> Self {
        Self { values, seen: Mutex::new(Range::NONE) }
    }

    /// Of what has been read.
    pub(crate) fn range(&self) -> Range {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Windows for Watched<'_> {
    fn grid(&self) -> &Grid {
        self.values.grid()
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        let window = self.values.read(region)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = seen.and(Range::of(&window));
        Ok(window)
    }
}

/// What a person wants to know of a field at once.
pub(crate) fn summary(values: &dyn Windows) -> anyhow::Result<String> {
    Ok(Range::new(values)?.summary(values.grid()))
}
