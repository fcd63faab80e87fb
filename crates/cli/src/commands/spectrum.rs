//! `finescale spectrum`: power spectra of grids and of the particles of snapshots.

mod measured;
mod modes;
mod particles;
mod place;
mod source;
mod table;

use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::files::{Overwrite, write_text};
use crate::gridding::{Axis, Weight};
use crate::parse::{Assignment, positive};
use crate::units::UnitOptions;
use clap::{Args, ValueEnum};
use finescale_field::Scheme;
use finescale_snapshot::Particles;
use finescale_spectra::LineOfSight;
use place::workspace;
use serde_json::Value;
use source::{Source, check_applies, check_one_part};
use std::path::{Path, PathBuf};
use table::Table;

#[derive(Args, Debug)]
pub(crate) struct SpectrumCommand {
    /// A grid file, a .npy cube of 1 + delta, or a snapshot, whose particles are gridded first
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Another grid, cube or snapshot of the same box: also measure its power, the cross power and the
    /// correlation
    #[arg(long, value_name = "PATH")]
    cross: Option<PathBuf>,
    /// Where to write the spectrum: a name ending in .json or .csv
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    /// Also measure the quadrupole and the hexadecapole of PATH about --line-of-sight
    #[arg(long)]
    multipoles: bool,
    /// Axis of the multipoles: positions along it must be those in redshift space already
    #[arg(long, value_enum, value_name = "AXIS", default_value_t = Axis::Z, requires = "multipoles")]
    line_of_sight: Axis,
    /// Poisson noise of the particles, with its aliases on the grid: show it in a column of its own, or show it
    /// and subtract it from the power [default: neither]
    #[arg(long, value_enum, value_name = "WHAT")]
    shot_noise: Option<ShotNoiseColumn>,
    /// Memory to stay below, in GiB, each process [default: what there is]. Grids whose Fourier modes need more are measured out
    /// of core: the modes lie in a file without a name beside --output, or in the current folder
    #[arg(long, value_name = "GIB", value_parser = positive, allow_negative_numbers = true)]
    memory: Option<f64>,
    #[command(flatten)]
    cube: CubeOptions,
    #[command(flatten)]
    particles: ParticleOptions,
}

/// What a numpy cube does not say of itself.
#[derive(Args, Debug)]
#[command(next_help_heading = "Numpy cubes")]
struct CubeOptions {
    #[command(flatten)]
    cube: Cube,
    /// Mass assignment of a cube that does not say it: none, ngp, cic, tsc or pcs; its window is divided out.
    /// Grid files say theirs; without this option the power of such a cube is that of the field as it is
    #[arg(long, value_name = "SCHEME")]
    assignment: Option<Assignment>,
}

/// How the particles of a snapshot are gridded.
#[derive(Args, Debug)]
#[command(next_help_heading = "Snapshots")]
struct ParticleOptions {
    /// Which particles: gas, dm, stars, bh, several of them such as gas,dm, matter (all that has a mass), or numbers of types such as 1,2,3 [default: the only ones]
    #[arg(long)]
    particles: Option<Particles>,
    /// Which particles of the snapshot --cross [default: those of --particles]
    #[arg(long, value_name = "PARTICLES", requires = "cross")]
    cross_particles: Option<Particles>,
    /// Cells per side [default: about one per particle, at most 512; with a grid, the grid's]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    cells: Option<u32>,
    /// Mass assignment: ngp, cic, tsc or pcs; its window is divided out [default: cic]
    #[arg(long)]
    scheme: Option<Scheme>,
    /// Weight of a particle: mass, count (1), a dataset of the snapshot such as StarFormationRate, or a product of them
    /// with * [default: mass]
    #[arg(long)]
    weight: Option<Weight>,
    /// Assign to two grids half a voxel apart, whose nearest aliases cancel: better power near the Nyquist
    /// wavenumber for twice the memory
    #[arg(long)]
    interlaced: bool,
    #[command(flatten)]
    units: UnitOptions,
}

impl From<Axis> for LineOfSight {
    fn from(axis: Axis) -> Self {
        match axis {
            Axis::X => Self::X,
            Axis::Y => Self::Y,
            Axis::Z => Self::Z,
        }
    }
}

/// What becomes of the shot noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShotNoiseColumn {
    /// In the column shot_noise_mpc_h3; the power holds it
    Show,
    /// In the column shot_noise_mpc_h3, and subtracted from the power
    Subtract,
}

/// The ways to write a spectrum.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Csv,
}

impl SpectrumCommand {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let first = Source::open(context, &self.particles.units, &self.path)?;
        let second = self
            .cross
            .as_deref()
            .map(|path| Source::open(context, &self.particles.units, path))
            .transpose()?;
        let sources: Vec<&Source> = [Some(&first), second.as_ref()].into_iter().flatten().collect();
        let is_first = context.ranks().is_first();
        let output = self.output.as_deref().filter(|_| is_first);
        let format = output.map(|output| check_format(output, &sources, self.overwrite));
        let format = format.transpose()?;
        check_applies(&sources, &self.cube, &self.particles)?;
        check_one_part(&sources)?;
        context.check_files(sources.iter().flat_map(|source| source.files()))?;
        let workspace = workspace(context, &sources, &self.cube.cube, self.memory, self.output.as_deref())?;

        let cells = self.particles.cells.map(|cells| cells as usize);
        let cells = cells.or_else(|| sources.iter().find_map(|source| source.cells()));
        let how = (&self.cube, &self.particles);
        let measured =
            first.measure(context, workspace.as_ref(), how, self.particles.particles.clone(), cells)?;
        let other = match second {
            None => None,
            Some(second) => {
                let species = self.particles.cross_particles.clone().or(self.particles.particles.clone());
                let cells = cells.or(Some(measured.modes.grid().cells()[0]));
                Some(second.measure(context, workspace.as_ref(), how, species, cells)?)
            }
        };
        let line_of_sight = self.multipoles.then(|| self.line_of_sight.into());
        let table = Table::new(context, &measured, other.as_ref(), line_of_sight, self.shot_noise)?;
        let json = table.json();
        match output.zip(format) {
            Some((path, Format::Csv)) => write_text(path, &table.text(","))?,
            Some((path, Format::Json)) => write_text(path, &format!("{json:#}\n"))?,
            None => context.say(table.text("  ").trim_end()),
        }
        Ok(json)
    }
}

/// The format that the output's name asks for; nothing that is read may be replaced.
fn check_format(output: &Path, sources: &[&Source], overwrite: Overwrite) -> anyhow::Result<Format> {
    overwrite.check(output, sources.iter().flat_map(|source| source.files()))?;
    match output.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        _ => Err(bad_input(format!(
            "{}: a spectrum is written as .json or as .csv; choose another --output",
            output.display()
        ))),
    }
}
