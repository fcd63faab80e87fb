//! `finescale mock`: small universes.

use crate::context::Context;
use crate::failure::bad_input;
use crate::files::{Overwrite, is_there};
use anyhow::Context as _;
use clap::Args;
use finescale_mock::{MockConfig, Progress, Stage, Universe, make_universe};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

#[derive(Args, Debug)]
pub(crate) struct Mock {
    /// Settings as JSON; options below change single ones [default: 100 Mpc/h on 128^3 cells]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of the first universe
    #[arg(long)]
    seed: Option<u64>,
    /// Universes to make, with consecutive seeds; more than one go into folders box_SEED
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    boxes: u64,
    /// Side of the box in Mpc/h
    #[arg(long, value_name = "MPC_H")]
    box_size: Option<f64>,
    /// Cells per side of the grids
    #[arg(long)]
    cells: Option<usize>,
    /// Particles per side of the low-resolution run
    #[arg(long, value_name = "N")]
    particles_low: Option<usize>,
    /// Particles per side of the high-resolution run
    #[arg(long, value_name = "N")]
    particles_high: Option<usize>,
    /// Time steps of each run
    #[arg(long)]
    steps: Option<usize>,
    /// Redshift of the output
    #[arg(long)]
    redshift: Option<f64>,
    /// Density of matter over the critical density, today
    #[arg(long)]
    omega_m: Option<f64>,
    /// Linear rms overdensity in spheres of 8 Mpc/h, today
    #[arg(long)]
    sigma_8: Option<f64>,
    /// Deposit the gas as particles, whose lattice shows in voids. Without, gas fills the space between them, as cells of gas do,
    /// where it is not dense. Snapshots hold the particles: of them `finescale grid` makes the field with this option
    #[arg(long)]
    gas_particles: bool,
    /// Also write the particles as AREPO snapshots, into low_res/ and high_res/
    #[arg(long)]
    snapshots: bool,
    /// Print the settings and stop
    #[arg(long)]
    dry_run: bool,
    /// Folder to write condition.hdf5 and truth.hdf5 into
    #[arg(short, long, value_name = "DIR", value_parser = crate::parse::folder())]
    output: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Mock {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let config = self.settings()?;
        config.check_universe().with_context(|| match &self.config {
            Some(path) => path.display().to_string(),
            None => "in the settings of the mock".to_owned(),
        })?;
        if self.dry_run {
            context.say(format_args!("{:#}", json!(config)));
            return Ok(json!({ "config": config, "boxes": self.boxes }));
        }
        let folder_of = |seed: u64| match self.boxes {
            1 => self.output.clone(),
            _ => self.output.join(format!("box_{seed:04}")),
        };
        let mut folders = Vec::new();
        let last = config.seed.checked_add(self.boxes - 1);
        let last =
            last.ok_or_else(|| bad_input("--seed, --boxes: seeds end at 2^64 - 1; choose a lower --seed"))?;
        for folder in (config.seed..=last).map(folder_of) {
            self.check_folder(&folder)?;
        }
        for seed in config.seed..=last {
            let config = MockConfig { seed, ..config.clone() };
            let folder = folder_of(seed);
            let universe = make(context, &config)?;
            self.write(&universe, &folder).with_context(|| format!("writing {}", folder.display()))?;
            context.say(format_args!(
                "{}: condition.hdf5 and truth.hdf5 of seed {}",
                folder.display(),
                config.seed
            ));
            folders.push(folder.to_string_lossy().into_owned());
        }
        Ok(json!({ "folders": folders, "config": config }))
    }

    /// Checks that a universe can be written into `folder`, and stands beside nothing of another one.
    fn check_folder(&self, folder: &Path) -> anyhow::Result<()> {
        for name in ["condition.hdf5", "truth.hdf5"] {
            self.overwrite.check(&folder.join(name), self.config.as_deref())?;
        }
        for path in ["low_res", "high_res"].map(|name| folder.join(name)) {
            if !is_there(&path)? || self.snapshots && self.overwrite.overwrite {
                continue;
            }
            return Err(bad_input(format!(
                "{}: is there already; choose another --output, or add --overwrite and --snapshots to replace it",
                path.display()
            )));
        }
        Ok(())
    }

    fn settings(&self) -> anyhow::Result<MockConfig> {
        let mut config = match &self.config {
            Some(path) => read_settings(path)?,
            None => MockConfig::default(),
        };
        if let (Some(path), Some(redshift), Some(_)) = (&self.config, self.redshift, &config.gas)
            && redshift != config.redshift
        {
            return Err(bad_input(format!(
                "--redshift {redshift}: {} has the gas of redshift {}; leave its key \"gas\" out for gas of that redshift, or write the \
                 redshift into the file, too, to keep it",
                path.display(),
                config.redshift
            )));
        }
        let set = |target: &mut usize, value: Option<usize>| *target = value.unwrap_or(*target);
        set(&mut config.cells, self.cells);
        set(&mut config.particles_low, self.particles_low);
        set(&mut config.particles_high, self.particles_high);
        set(&mut config.steps, self.steps);
        config.seed = self.seed.unwrap_or(config.seed);
        config.box_size_mpc_h = self.box_size.unwrap_or(config.box_size_mpc_h);
        config.redshift = self.redshift.unwrap_or(config.redshift);
        config.cosmology.omega_m = self.omega_m.unwrap_or(config.cosmology.omega_m);
        config.cosmology.sigma_8 = self.sigma_8.unwrap_or(config.cosmology.sigma_8);
        config.spread_gas &= !self.gas_particles;
        config.gas = Some(config.gas_model());
        Ok(config)
    }

    fn write(&self, universe: &Universe, folder: &Path) -> anyhow::Result<()> {
        universe.write_grids(folder)?;
        if self.snapshots {
            universe.write_snapshots(folder)?;
        }
        Ok(())
    }
}

/// Settings of a mock universe from a file.
pub(crate) fn read_settings(path: &Path) -> anyhow::Result<MockConfig> {
    let text = finescale_durable::read_text_of_any(path)
        .map_err(|error| bad_input(format!("{}: {error}", path.display())))?;
    serde_json::from_str(&text).map_err(|error| bad_input(format!("{}: {error}", path.display())))
}

fn make(context: &Context, config: &MockConfig) -> anyhow::Result<Universe> {
    // A step of the fine run is the unit; a coarse one costs its share of particles.
    let share = (config.particles_low as f64 / config.particles_high as f64).powi(3);
    let label = format!("universe {}", config.seed);
    let mut progress = context.progress(&label, "steps", config.steps as u64, 0);
    let mut tell = |at: Progress| {
        let done = match at.stage {
            Stage::LowRes => at.step as f64 * share,
            Stage::HighRes => at.step as f64,
        };
        progress.set((done as u64).min(config.steps as u64));
    };
    let universe = make_universe(config, &mut tell, &AtomicBool::new(false)).context("making a universe")?;
    progress.finish();
    Ok(universe)
}
