//! A low-resolution and a high-resolution density of the same place.

use crate::source::{Density, Source};
use crate::{GridMeta, PairError, PairFiles};
use finescale_field::{Boundary, Field3, Grid, Region, Scalar, blocks, density_mean, is_plain_name, shown};
use std::path::PathBuf;

/// The quantity of a numpy cube of which nothing more is said.
pub(crate) const UNKNOWN: &str = "unknown";
/// Blocks along an axis over which a condition is compared with its truth, the first that divide the cells.
const BLOCKS: [usize; 2] = [8, 4];
/// Relative difference of lengths that is taken for rounding: headers may hold f32.
const SAME_LENGTH: f64 = 1e-5;
/// Difference of redshifts that is taken for rounding: snapshots at z = 0 say 2e-16, and output times are met
/// roughly.
const SAME_REDSHIFT: f64 = 0.01;
/// Means that a density 1 + delta may have; a small part of a universe is not average.
const MEANS: std::ops::RangeInclusive<f64> = 0.2..=5.0;

/// A condition and its truth, one or more densities 1 + delta on the same grid.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Where they come from: names them in errors.
    pub files: PairFiles,
    /// The low-resolution density.
    pub condition: Density,
    /// The high-resolution densities, one or more.
    pub truth: Vec<Density>,
}

impl Pair {
    /// A pair that was made in memory: periodic, at redshift 0.
    #[must_use]
    pub fn new(condition: Field3, truth: Vec<Field3>) -> Self {
        let density = |field: Field3, quantity: &str| {
            let meta = GridMeta::new(quantity, 0.0, field.mean());
            Density::new(field, meta)
        };
        let files = PairFiles::Folder(PathBuf::from("in memory"));
        let truth =
            truth.into_iter().enumerate().map(|(number, field)| density(field, &format!("truth_{number}")));
        Self { files, condition: density(condition, "condition"), truth: truth.collect() }
    }

    pub(crate) fn grid(&self) -> &Grid {
        self.condition.grid()
    }

    /// Periodic if all its fields are.
    pub(crate) fn boundary(&self) -> Boundary {
        let of_truths = self.truth.iter().map(|truth| truth.meta.boundary);
        of_truths.fold(self.condition.meta.boundary, Boundary::and)
    }

    pub(crate) fn condition_source(&self) -> Source {
        Source::new(self.files.condition(), &self.condition)
    }

    pub(crate) fn truth_sources(&self) -> impl Iterator<Item = Source> {
        self.truths().map(|(path, truth)| Source::new(path, truth))
    }

    /// Correlation of the condition with the truth, the least of several, both averaged over large blocks: near 1 for runs
    /// of the same phases. None for a box that is not divided into blocks, or a field that is the same everywhere.
    ///
    /// # Errors
    /// [`PairError::Read`] if a file cannot be read.
    pub(crate) fn correlation(&self) -> Result<Option<f64>, PairError> {
        let cells = self.grid().cells();
        let divides = |&per_axis: &usize| cells.iter().all(|n| n.is_multiple_of(per_axis));
        let Some(per_axis) = BLOCKS.into_iter().find(divides) else { return Ok(None) };
        let blocks = blocks(cells, cells.map(|n| n / per_axis));
        let condition = block_means(&self.condition_source(), &blocks)?;
        let mut least = Some(f64::INFINITY);
        for truth in self.truth_sources() {
            let with = correlation(&condition, &block_means(&truth, &blocks)?);
            least = least.zip(with).map(|(least, with)| least.min(with));
        }
        Ok(least)
    }

    /// The values of `scalars`, as the condition's file says them.
    ///
    /// # Errors
    /// [`PairError::NoScalar`] names the file and the first that it does not say.
    pub(crate) fn values(&self, scalars: &[Scalar]) -> Result<Vec<f64>, PairError> {
        let value = |scalar: &Scalar| {
            let missing = || PairError::NoScalar { path: self.files.condition(), scalar: scalar.name };
            self.condition.meta.scalar(scalar.name).ok_or_else(missing)
        };
        scalars.iter().map(value).collect()
    }

    /// Checks that all are densities of the same place and time.
    ///
    /// # Errors
    /// [`PairError::NoPair`], [`PairError::Density`], [`PairError::Mean`] or [`PairError::Quantity`]; they name
    /// the files.
    pub(crate) fn check(&self) -> Result<(), PairError> {
        check_values(&self.condition_source())?;
        for (path, truth) in self.truths() {
            if let Some(why) = difference_of_place(&self.condition, truth) {
                return Err(PairError::NoPair { condition: self.files.condition(), truth: path, why });
            }
            check_values(&Source::new(path, truth))?;
        }
        for (path, file) in std::iter::once((self.files.condition(), &self.condition)).chain(self.truths()) {
            if !is_plain_name(&file.meta.quantity) {
                return Err(PairError::Quantity { path, found: shown(&file.meta.quantity) });
            }
        }
        let quantity = |number: usize| &self.truth[number].meta.quantity;
        for (number, (path, truth)) in self.truths().enumerate() {
            if (0..number).any(|earlier| *quantity(earlier) == truth.meta.quantity) {
                let why = format!("two of its high-resolution fields are `{}`", truth.meta.quantity);
                return Err(PairError::NoPair { condition: self.files.condition(), truth: path, why });
            }
        }
        Ok(())
    }

    /// The high-resolution fields with the names of their files.
    fn truths(&self) -> impl Iterator<Item = (PathBuf, &Density)> {
        let names = match &self.files {
            PairFiles::Folder(_) => vec![self.files.truth()[0].clone(); self.truth.len()],
            PairFiles::Files(files) => files.truth.clone(),
        };
        names.into_iter().zip(&self.truth)
    }

    /// Checks that a network can learn from this pair and `first` at once: the same voxels, quantities and
    /// scheme.
    ///
    /// # Errors
    /// [`PairError::Unlike`] names both files and what differs.
    pub(crate) fn check_like(&self, first: &Self) -> Result<(), PairError> {
        let unlike = |path: PathBuf, first: PathBuf, why| Err(PairError::Unlike { path, first, why });
        let (here, there) = (self.files.condition(), first.files.condition());
        let voxels = [self, first].map(|pair| pair.grid().voxel_mpc_h());
        if !(0..3).all(|axis| same_length(voxels[0][axis], voxels[1][axis])) {
            return unlike(
                here,
                there,
                format!("their voxels are {:?} and {:?} Mpc/h", voxels[0], voxels[1]),
            );
        }
        if self.truth.len() != first.truth.len() {
            let counts = [self, first].map(|pair| pair.truth.len());
            let why = format!("they have {} and {} high-resolution fields", counts[0], counts[1]);
            return unlike(here, there, why);
        }
        let conditions = ((here, &self.condition), (there, &first.condition));
        for ((path, here), (first, there)) in
            std::iter::once(conditions).chain(self.truths().zip(first.truths()))
        {
            if let Some(why) = difference_of_kind(&here.meta, &there.meta) {
                return unlike(path, first, why);
            }
        }
        Ok(())
    }
}

/// Pearson's correlation; none if one of the two does not vary.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let covariance = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    let variances = covariance(a, mean_a, a, mean_a) * covariance(b, mean_b, b, mean_b);
    (variances > 0.0).then(|| covariance(a, mean_a, b, mean_b) / variances.sqrt())
}

/// The mean of each block.
fn block_means(density: &Source, blocks: &[Region]) -> Result<Vec<f64>, PairError> {
    let mean = |block: &Region| -> Result<f64, PairError> {
        let sum: f64 = density.window(block)?.iter().map(|&value| f64::from(value)).sum();
        Ok(sum / block.voxels() as f64)
    };
    blocks.iter().map(mean).collect()
}

fn difference_of_place(condition: &Density, truth: &Density) -> Option<String> {
    let [a, b] = [condition, truth].map(|file| *file.grid());
    let same_size = (0..3).all(|axis| same_length(a.box_size_mpc_h()[axis], b.box_size_mpc_h()[axis]));
    let [za, zb] = [condition, truth].map(|file| file.meta.redshift);
    if a.cells() != b.cells() {
        Some(format!("their grids have {:?} and {:?} cells", a.cells(), b.cells()))
    } else if !same_size {
        Some(format!("their boxes are {:?} and {:?} Mpc/h", a.box_size_mpc_h(), b.box_size_mpc_h()))
    } else if (za - zb).abs() > SAME_REDSHIFT {
        Some(format!("their redshifts are {za} and {zb}"))
    } else {
        let [a, b] = [condition, truth].map(|file| file.meta.centring);
        (a != b).then(|| {
            format!("one has its values at voxel {a}s, the other at voxel {b}s: they are half a voxel apart")
        })
    }
}

fn difference_of_kind(here: &GridMeta, there: &GridMeta) -> Option<String> {
    if here.quantity != there.quantity {
        let remedy = match [here, there].iter().any(|meta| meta.quantity == UNKNOWN) {
            true => "; of numpy cubes beside grid files make grid files, which say what they hold",
            false => "",
        };
        Some(format!("their quantities are `{}` and `{}`{remedy}", here.quantity, there.quantity))
    } else {
        (here.assignment != there.assignment)
            .then(|| format!("their mass assignments are {:?} and {:?}", here.assignment, there.assignment))
    }
}

fn check_values(density: &Source) -> Result<(), PairError> {
    let path = density.path();
    let mean = density_mean(density).map_err(|error| PairError::reading(path, error))?;
    if MEANS.contains(&mean) { Ok(()) } else { Err(PairError::Mean { path: path.to_owned(), mean }) }
}

fn same_length(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME_LENGTH * a.abs().max(b.abs())
}
