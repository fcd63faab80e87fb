//! `finescale ics`: initial conditions of matched runs, for other codes.

use crate::commands::mock::read_settings;
use crate::context::Context;
use crate::failure::bad_input;
use crate::files::{Overwrite, is_there, write_text};
use crate::units::UnitOptions;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use finescale_mock::{Baryons, InitialConditions, MockConfig, write_initial_conditions};
use finescale_snapshot::{IcFormat, Snapshot, SnapshotError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A larger part of the mean density that is missing, or too much, is told.
const MASS_OFF: f64 = 0.01;
/// What we call ourselves in the header.
const ORIGIN: &str = "ics";

#[derive(Args, Debug)]
pub(crate) struct Ics {
    /// Make the low-resolution run of these initial conditions: a file, any file of a set, or the folder of the set
    #[arg(long, value_name = "SNAPSHOT", conflicts_with_all = [
        "config", "seed", "box_size", "redshift", "omega_m", "sigma_8", "particles_high", "gas",
    ])]
    from: Option<PathBuf>,
    /// Settings as JSON, as those of `mock`; options below change single ones [default: 100 Mpc/h]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed: the modes are those of the universe that `mock` makes of it
    #[arg(long, required_unless_present_any = ["from", "config"])]
    seed: Option<u64>,
    /// Side of the box in Mpc/h
    #[arg(long, value_name = "MPC_H")]
    box_size: Option<f64>,
    /// Particles per side of the low-resolution run
    #[arg(long, value_name = "N")]
    particles: usize,
    /// Also write the high-resolution partner, of so many particles per side
    #[arg(long, value_name = "N")]
    particles_high: Option<usize>,
    /// Give the high-resolution partner gas: as many particles of gas as of dark matter, half a spacing off
    #[arg(long, requires = "particles_high")]
    gas: bool,
    /// Redshift of the initial conditions [default: 9]
    #[arg(long)]
    redshift: Option<f64>,
    /// Density of matter over the critical density, today
    #[arg(long)]
    omega_m: Option<f64>,
    /// Linear rms overdensity in spheres of 8 Mpc/h, today
    #[arg(long)]
    sigma_8: Option<f64>,
    /// Code to write for
    #[arg(long, value_enum, default_value_t = Code::Gadget)]
    format: Code,
    /// Folder to write low_res.hdf5 into, and high_res.hdf5, each with the parameter values to run it
    #[arg(short, long, value_name = "DIR", value_parser = crate::parse::folder())]
    output: PathBuf,
    #[command(flatten)]
    units: UnitOptions,
    #[command(flatten)]
    overwrite: Overwrite,
}

/// A code that begins with the files.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Code {
    /// GADGET-4 and AREPO: kpc/h, velocities over the root of a; with NAME_param.txt
    Gadget,
    /// SWIFT: Mpc, peculiar velocities, no h; with NAME.yml
    Swift,
}

impl Code {
    fn format(self) -> IcFormat {
        match self {
            Self::Gadget => IcFormat::Gadget,
            Self::Swift => IcFormat::Swift,
        }
    }

    /// The name of the file of parameters of a run.
    fn parameter_file(self, run: &str) -> String {
        match self {
            Self::Gadget => format!("{run}_param.txt"),
            Self::Swift => format!("{run}.yml"),
        }
    }
}

impl Ics {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let source = self.from.as_deref().map(|path| self.units.open(context, path)).transpose();
        let source = source.context("reading initial conditions")?;
        let runs: &[&str] =
            if self.particles_high.is_some() { &["low_res", "high_res"] } else { &["low_res"] };
        self.check_outputs(runs, source.as_ref())?;
        let ics = match &source {
            Some(source) => vec![self.coarse(context, source)?],
            None => self.of_seed()?,
        };
        let paths: Vec<PathBuf> = runs.iter().map(|run| self.output.join(format!("{run}.hdf5"))).collect();
        let files: Vec<(&Path, &InitialConditions)> = paths.iter().map(PathBuf::as_path).zip(&ics).collect();
        write_initial_conditions(self.format.format(), &files).context("writing initial conditions")?;
        let mut written = Vec::new();
        for (run, (path, ics)) in runs.iter().zip(files) {
            let parameters = self.output.join(self.format.parameter_file(run));
            write_text(&parameters, &ics.run_parameters(self.format.format(), run))?;
            let gas = if ics.has_gas() { " and as many of gas" } else { "" };
            context.say(format_args!(
                "{}: {}^3 particles of dark matter{gas} in {} Mpc/h at z = {}; to run it: {}",
                path.display(),
                ics.per_side(),
                ics.box_size_mpc_h,
                ics.redshift,
                parameters.display()
            ));
            written.push(json!({
                "file": path.to_string_lossy(),
                "parameters": parameters.to_string_lossy(),
                "particles": ics.per_side(),
                "gas": ics.has_gas(),
                "box_size_mpc_h": ics.box_size_mpc_h,
                "redshift": ics.redshift,
                "cosmology": ics.cosmology,
            }));
        }
        Ok(json!({ "runs": written }))
    }

    /// Nothing is replaced that nobody wants replaced, and no HDF5 file that is not ours.
    fn check_outputs(&self, runs: &[&str], source: Option<&Snapshot>) -> anyhow::Result<()> {
        let inputs = || source.into_iter().flat_map(Snapshot::files).chain(self.config.as_deref());
        for run in runs {
            let path = self.output.join(format!("{run}.hdf5"));
            for path in [&path, &self.output.join(self.format.parameter_file(run))] {
                self.overwrite.check(path, inputs())?;
            }
            if !is_there(&path)? || is_ours(&path) {
                continue;
            }
            return Err(bad_input(format!(
                "{}: is an HDF5 file that finescale ics did not write, and is not replaced; choose another --output, or remove it \
                 yourself",
                path.display()
            )));
        }
        Ok(())
    }

    /// The low-resolution run of a file, with a warning if that does not hold all matter.
    fn coarse(&self, context: &Context, source: &Snapshot) -> anyhow::Result<InitialConditions> {
        let ics = InitialConditions::from_snapshot(source, self.particles)
            .context("making low-resolution initial conditions")?;
        let mass = ics.mass_over_mean();
        if (mass - 1.0).abs() > MASS_OFF {
            let path = source.files().next().unwrap_or(Path::new(""));
            context.warn(format_args!(
                "{}: its particles have {:.1} % of the mass that its Omega0 and box say, and so will the low-resolution run; is \
                 a species missing, or a unit wrong (--unit-mass, --unit-length)?",
                path.display(),
                100.0 * mass
            ));
        }
        Ok(ics)
    }

    /// The runs of a seed: low resolution, then high if that is wanted.
    fn of_seed(&self) -> anyhow::Result<Vec<InitialConditions>> {
        let mut config = match &self.config {
            Some(path) => read_settings(path)?,
            None => MockConfig::default(),
        };
        config.particles_low = self.particles;
        config.particles_high = self.particles_high.unwrap_or(self.particles);
        config.seed = self.seed.unwrap_or(config.seed);
        config.box_size_mpc_h = self.box_size.unwrap_or(config.box_size_mpc_h);
        config.initial_redshift = self.redshift.unwrap_or(config.initial_redshift);
        config.cosmology.omega_m = self.omega_m.unwrap_or(config.cosmology.omega_m);
        config.cosmology.sigma_8 = self.sigma_8.unwrap_or(config.cosmology.sigma_8);
        config.check().context("in the settings of the initial conditions")?;
        let made = |per_side, baryons| {
            InitialConditions::from_seed(&config, per_side, baryons).context("making initial conditions")
        };
        let mut runs = vec![made(self.particles, Baryons::InDarkMatter)?];
        if let Some(per_side) = self.particles_high {
            runs.push(made(per_side, if self.gas { Baryons::Gas } else { Baryons::InDarkMatter })?);
        }
        Ok(runs)
    }
}

/// Whether a file is of this command, or no HDF5 file that somebody can miss.
fn is_ours(path: &Path) -> bool {
    match Snapshot::open(path) {
        Ok(there) => there.header().origin.as_deref() == Some(ORIGIN),
        Err(SnapshotError::NotHdf5 { .. } | SnapshotError::Truncated { .. }) => true,
        Err(_) => false,
    }
}
