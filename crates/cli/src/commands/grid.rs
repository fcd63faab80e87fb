//! `finescale grid`: from particles, or somebody else's cube, to a grid file.

mod from_cube;
mod from_snapshot;
mod from_tng;
mod parameters;

use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::files::{Overwrite, check_grid_name};
use crate::gridding::{Axis, Quantity, Section, Spread, Weight, section};
use crate::parse::{Assignment, positive, scalar};
use crate::parts::{PartNumber, part_number};
use crate::samples;
use crate::units::UnitOptions;
use anyhow::Context as _;
use clap::Args;
use finescale_field::{ScalarName, Scheme};
use finescale_snapshot::{GridMeta, Particles, Source};
use finescale_tng::Address;
use serde_json::Value;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct GridCommand {
    /// A snapshot: a file, any file of a set, the folder snapdir_NNN, or with --number the folder that holds those; one of
    /// IllustrisTNG over the web, as tng:TNG300-1/99 (its key in TNG_API_KEY); or a .npy cube, of which a grid file is made
    #[arg(value_name = "SNAPSHOT")]
    source: PathBuf,
    /// The grid file to write; a name ending in .npy gives a numpy cube, described by NAME.npy.json beside it
    #[arg(short, long, value_name = "GRID")]
    output: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
    /// Store a parameter that the input lacks or has wrong: redshift, omega_m or sigma_8; may be repeated
    #[arg(long = "scalar", value_name = "NAME=VALUE", value_parser = scalar)]
    scalars: Vec<(ScalarName, f64)>,
    #[command(flatten)]
    snapshot: SnapshotOptions,
    #[command(flatten)]
    cube: CubeOptions,
}

/// What of a snapshot is gridded, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Snapshots")]
struct SnapshotOptions {
    /// Which particles: gas, dm, stars, bh, several of them such as gas,dm, matter (all that has a mass), or numbers of types such as 1,2,3
    #[arg(long)]
    particles: Option<Particles>,
    /// Cells along the longest side of the box, or of --region
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    cells: Option<u32>,
    /// Mass assignment: ngp, cic, tsc or pcs [default: cic]
    #[arg(long)]
    scheme: Option<Scheme>,
    /// Weight of a particle: mass, count (1), a dataset of the snapshot such as StarFormationRate (DATASET:COLUMN if it has
    /// several columns), or a product of them such as mass*GFM_Metallicity [default: mass]
    #[arg(long)]
    weight: Option<Weight>,
    /// What of the particles: density (of their weights, in units of its mean), momentum_x (y, z; the mean velocity times
    /// 1 + delta, in km/s), velocity_x (y, z; the mean of the peculiar velocities in each voxel, in km/s; 0 where nothing is),
    /// or mean:DATASET (the mean of a dataset by weight in each voxel, in the snapshot's units) [default: density]
    #[arg(long, value_name = "WHAT")]
    field: Option<Quantity>,
    /// Spread particles, so that voxels inside of what is larger than a voxel are not empty: gas over the volumes of its cells
    /// (Volume, mass over Density, or SmoothingLength), or, with --spread=density, each particle over the cube that holds eight
    /// of them at the density around it, for which all files are read once more. The window of the mass assignment is in the
    /// field as without; that of the sizes is, too
    #[arg(long, value_enum, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "cells")]
    spread: Option<Spread>,
    /// Grid this part of the box, in Mpc/h from its corner; it may lie across the faces. Values are in units of the mean of
    /// the whole box
    #[arg(long, value_name = "X,Y,Z:DX,DY,DZ", value_parser = section, allow_hyphen_values = true)]
    region: Option<Section>,
    /// Grid only slab I of N along x, with every particle read: jobs that know nothing of each other grid all slabs of one field, each
    /// in the memory of its own, and `finescale join` puts them together
    #[arg(long, value_name = "I/N", value_parser = part_number, conflicts_with = "region")]
    part: Option<PartNumber>,
    /// Move particles along this axis to where their redshifts put them, by their peculiar velocities
    #[arg(long, value_enum, value_name = "AXIS")]
    redshift_space: Option<Axis>,
    /// Number of the snapshot, if SNAPSHOT is the folder that holds snapdir_NNN, as IllustrisTNG's `output`
    #[arg(long, value_name = "NNN")]
    number: Option<u32>,
    /// Only these files of a set, such as 0-9,20; the others need not be there. The mean is that of these files
    #[arg(long, value_name = "LIST", value_parser = numbers)]
    chunks: Option<Numbers>,
    /// Memory to stay below, in GiB [default: what there is]. A whole box that needs more is gridded some planes at a time, each
    /// time from all particles
    #[arg(long, value_name = "GIB", value_parser = positive, allow_negative_numbers = true)]
    memory: Option<f64>,
    /// Say what it would take, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Seconds between two times that what is done of a set of files is kept beside the output, at least: a killed command
    /// goes on from there
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    save_every: u32,
    #[command(flatten)]
    units: UnitOptions,
}

/// What a numpy cube does not say of itself.
#[derive(Args, Debug)]
#[command(next_help_heading = "Numpy cubes")]
struct CubeOptions {
    #[command(flatten)]
    cube: Cube,
    /// What a cube is the density of: dm, gas, ...
    #[arg(long, value_name = "NAME")]
    quantity: Option<String>,
    /// Table with the parameters of a stack's cubes, a row each, separated by blanks, such as CAMELS' params_LH_IllustrisTNG.txt:
    /// omega_m and sigma_8 of row --index are stored. A line that begins with # and holds these names says which columns; in a
    /// table without such lines they are the first two
    #[arg(long, value_name = "TABLE")]
    parameters: Option<PathBuf>,
    /// Mass assignment of a cube: ngp, cic, tsc or pcs, whose window is divided out of its spectra, or none [default: none]
    #[arg(long, value_name = "SCHEME")]
    assignment: Option<Assignment>,
    /// Particles per voxel on average, for shot noise [default: unknown]
    #[arg(long, value_name = "N")]
    mean_count: Option<f64>,
}

fn check_alone(is_shared: bool, what: &str) -> anyhow::Result<()> {
    match is_shared {
        true => Err(bad_input(format!(
            "{what} are gridded by one process; start one, and several for snapshots on disk"
        ))),
        false => Ok(()),
    }
}

/// Some of the numbers of files, rising.
#[derive(Clone, Debug, PartialEq)]
struct Numbers(Vec<usize>);

/// Numbers and ranges of them, both ends included: 0-9,20.
fn numbers(text: &str) -> Result<Numbers, String> {
    const MOST: usize = 1 << 20;
    let wrong = || format!("{text:?}: numbers of files and ranges of them are needed, such as 0-9,20");
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < MOST);
        let (Some(first), Some(last)) = (number(first), number(last)) else { return Err(wrong()) };
        if first > last {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Ok(Numbers(all))
}

impl GridCommand {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let is_shared = context.ranks().count() > 1;
        if let Some(address) = self.source.to_str().map(Address::parse).transpose()?.flatten() {
            self.check_applies(false)?;
            check_alone(is_shared, "snapshots over the web")?;
            if self.snapshot.part.is_some() {
                return Err(bad_input(
                    "--part: snapshots over the web are gridded in one piece; --region cuts one out",
                ));
            }
            return self.grid_tng(context, &address);
        }
        let of_run = self.snapshot.number.is_some();
        let source =
            if of_run { Source::Snapshot } else { Source::of(&self.source).context("reading a file")? };
        if source == Source::Grid {
            return Err(bad_input(format!(
                "{}: is a grid file already, which all commands take as it is; to grid, name a snapshot or a .npy cube",
                self.source.display()
            )));
        }
        let is_cube = source == Source::Cube;
        self.check_applies(is_cube)?;
        match is_cube {
            true => check_alone(is_shared, ".npy cubes").and_then(|()| self.grid_cube(context)),
            false => self.grid_snapshot(context),
        }
    }

    /// Checks that the output can be written and replaces none of the inputs.
    fn check_output(&self, inputs: &[&Path]) -> anyhow::Result<()> {
        for file in samples::files_of(&self.output) {
            self.overwrite.check(&file, inputs.iter().copied())?;
        }
        check_grid_name(&self.output)
    }

    /// Options that the input has no use for are mistakes.
    fn check_applies(&self, is_cube: bool) -> anyhow::Result<()> {
        let SnapshotOptions {
            particles,
            cells,
            scheme,
            weight,
            field,
            spread,
            region,
            part,
            redshift_space,
            number,
            chunks,
            memory,
            dry_run,
            save_every: _,
            units,
        } = &self.snapshot;
        let of_snapshots = [
            ("--particles", particles.is_some()),
            ("--cells", cells.is_some()),
            ("--scheme (of a cube: --assignment)", scheme.is_some()),
            ("--weight", weight.is_some()),
            ("--field", field.is_some()),
            ("--spread", spread.is_some()),
            ("--region", region.is_some()),
            ("--part", part.is_some()),
            ("--redshift-space", redshift_space.is_some()),
            ("--number", number.is_some()),
            ("--chunks", chunks.is_some()),
            ("--memory", memory.is_some()),
            ("--dry-run", *dry_run),
            ("--unit-length, --unit-mass", units.is_said()),
        ];
        let of_cubes = [
            ("--box-size", self.cube.cube.box_size.is_some()),
            ("--mean", self.cube.cube.mean.is_some()),
            ("--index", self.cube.cube.index.is_some()),
            ("--delta", self.cube.cube.delta),
            ("--quantity", self.cube.quantity.is_some()),
            ("--parameters", self.cube.parameters.is_some()),
            ("--assignment", self.cube.assignment.is_some()),
            ("--mean-count", self.cube.mean_count.is_some()),
        ];
        let (options, what) = match is_cube {
            true => (&of_snapshots[..], "for snapshots only; this is a numpy cube"),
            false => (&of_cubes[..], "for .npy cubes only"),
        };
        let given: Vec<&str> = options.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given.is_empty() {
            true => Ok(()),
            false => Err(bad_input(format!("{}: {what}", given.join(", ")))),
        }
    }

    fn set_scalars(&self, meta: &mut GridMeta) {
        self.scalars.iter().for_each(|&(name, value)| meta.set_scalar(name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_files_are_read() {
        assert_eq!(numbers("0-2,7, 5"), Ok(Numbers(vec![0, 1, 2, 5, 7])));
        for wrong in ["", "3-1", "a", "-1", "0-99999999999"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
