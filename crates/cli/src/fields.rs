//! Fields from whatever file holds them.

use crate::cube::{Cube, Mean};
use crate::failure::bad_input;
use crate::provenance::provenance;
use crate::samples;
use anyhow::Context as _;
use finescale_field::{FILE_BLOCK, Field3, FieldError, Grid, Region, WindowError, Windows, blocks};
use finescale_snapshot::{GridFile, GridMeta, GridReader, NpyReader, Source, read_grid};
use ndarray::Array3;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Voxels of the rows that are read at once.
const BLOCK_VOXELS: usize = 1 << 18;

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
    let Cube { box_size: box_size_mpc_h, mean: said, index, delta } = *cube;
    if !path.try_exists().with_context(|| path.display().to_string())? {
        return Err(bad_input(format!("{}: no such file", path.display())));
    }
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
    let box_size_mpc_h = box_size_mpc_h
        .ok_or_else(|| bad_input(format!("{}: a .npy cube needs --box-size, in Mpc/h", path.display())))?;
    let values = InUnits { values: reader(box_size_mpc_h)?, unit: 1.0, added: if delta { 1.0 } else { 0.0 } };
    let mean = mean(path, &values)?;
    if !(mean.is_finite() && mean > 0.0) {
        let path = path.display();
        if mean.is_nan() {
            return Err(bad_input(format!(
                "{path}: has voxels that are no numbers (NaN); find what made them"
            )));
        }
        return Err(bad_input(format!(
            "{path}: the mean is {mean:.3e}; a density with a positive mean is needed (if this is delta, say --delta)"
        )));
    }
    let unit = match said {
        Some(Mean::Own) => mean,
        Some(Mean::Given(given)) => given,
        None => 1.0,
    };
    let note = check_cube_mean(path, said, mean / unit)?;
    let provenance = provenance(json!({ "sources": [path.to_string_lossy()] }));
    // A mean that was said is that of counts or masses.
    let meta = GridMeta { provenance, ..GridMeta::new("unknown", 0.0, said.map(|_| unit)) };
    Ok(OpenField { values: Box::new(InUnits { unit, ..values }), meta, note, is_cube: true, unchecked: None })
}

/// Refuses a cube that is no 1 + delta, and tells of one that may be none; `mean`: of its values as they are taken.
fn check_cube_mean(path: &Path, said: Option<Mean>, mean: f64) -> anyhow::Result<Option<String>> {
    let path = path.display();
    if !PLAUSIBLE_MEANS.contains(&mean) {
        let mean = if (1e-3..1e6).contains(&mean) { format!("{mean:.4}") } else { format!("{mean:.3e}") };
        let (what, remedy) = match said {
            None => {
                ("values", "if they are counts or masses, say their mean in the whole universe with --mean")
            }
            Some(_) => ("values over --mean", "give the mean of the whole universe, in the cube's units"),
        };
        return Err(bad_input(format!(
            "{path}: the mean of the {what} is {mean}, and 1 + delta, a density in units of the cosmic mean, is needed; \
             {remedy}"
        )));
    }
    let is_one = (mean - 1.0).abs() <= MEAN_TOLERANCE;
    Ok((!is_one).then(|| match said {
        None => format!(
            "{path}: is taken for 1 + delta as it is, with a mean of {mean:.4}; of counts or masses say their mean in the \
             whole universe with --mean"
        ),
        Some(_) => format!("{path}: its mean over --mean is {mean:.4}: is it a part of a box, or 1 + delta already?"),
    }))
}

/// Whether a numpy cube has its redshift in a description beside it.
pub(crate) fn says_redshift(path: &Path) -> anyhow::Result<bool> {
    Ok(samples::described_npy(path)?.is_some())
}

/// A cube over a number, or with one added.
struct InUnits {
    values: NpyReader,
    unit: f64,
    added: f64,
}

impl Windows for InUnits {
    fn grid(&self) -> &Grid {
        self.values.grid()
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        Ok(self.values.read(region)?.mapv_into(|value| (f64::from(value) / self.unit + self.added) as f32))
    }
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
    let Range { lowest, mean, .. } = Range::new(values)?;
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

/// The mean of a density, summed row by row as [`Field3::mean`] sums.
fn mean(path: &Path, values: &dyn Windows) -> anyhow::Result<f64> {
    let cells = values.grid().cells();
    let mut sum = 0.0;
    for rows in blocks(cells, [1, (BLOCK_VOXELS / cells[2]).max(1), cells[2]]) {
        let rows = values.read(&rows).map_err(anyhow::Error::from_boxed)?;
        if let Some(value) = rows.iter().find(|value| **value < 0.0) {
            return Err(bad_input(format!(
                "{}: holds negative values ({value}): this looks like delta, or a logarithm; store 1 + delta (of a .npy cube that holds delta say --delta)",
                path.display()
            )));
        }
        sum = rows.iter().fold(sum, |sum, &value| sum + f64::from(value));
    }
    Ok(sum / values.grid().voxels() as f64)
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

/// Lowest and highest value, and the mean.
pub(crate) struct Range {
    pub(crate) lowest: f32,
    pub(crate) highest: f32,
    pub(crate) mean: f64,
}

impl Range {
    pub(crate) fn new(values: &dyn Windows) -> anyhow::Result<Self> {
        let (mut lowest, mut highest, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
        for block in blocks(values.grid().cells(), FILE_BLOCK) {
            for &value in &values.read(&block).map_err(anyhow::Error::from_boxed)? {
                (lowest, highest, sum) = (lowest.min(value), highest.max(value), sum + f64::from(value));
            }
        }
        Ok(Self { lowest, highest, mean: sum / values.grid().voxels() as f64 })
    }
}

/// What a person wants to know of a field at once.
pub(crate) fn summary(values: &dyn Windows) -> anyhow::Result<String> {
    let ([x, y, z], size) = (values.grid().cells(), values.grid().box_size_mpc_h());
    let Range { lowest, highest, mean } = Range::new(values)?;
    Ok(format!(
        "{x} x {y} x {z} cells, {size:?} Mpc/h, mean {mean:.6}, lowest {lowest:.4}, highest {highest:.4}"
    ))
}
