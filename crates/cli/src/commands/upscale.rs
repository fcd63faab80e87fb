//! `finescale upscale`: the high-resolution field of a low-resolution one.

use crate::condition::{Condition, OpenCondition};
use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::fields::{self, OpenField, Watched};
use crate::files::{check_grid_name, check_output, lock, with_ending};
use crate::generation::{BATCH, Generator};
use crate::inputs;
use crate::measurement::{
    Bench, Work, available_memory_bytes, bytes, give_memory_back, median, peak_memory_bytes,
};
use crate::parse::{region, scalar, three};
use crate::parts::{Part, PartNumber, check_is_grid, part_number};
use crate::progress::duration;
use crate::samples;
use crate::units::UnitOptions;
use clap::Args;
use finescale_diffusion::Sampler;
use finescale_field::{Boundary, Grid, Region, ScalarName, Windows, is_plain_name};
use finescale_outpaint::{
    Existing, GenerationConfig, Given, Job, MassGuidance, Overlap, Plan, PreparedCondition, RanksPlan, Store,
    Strategy, StrategyName, identity,
};
use finescale_snapshot::GridMeta;
use finescale_training::{ModelDescription, RunConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Upscale {
    /// The model to sample from: a .safetensors file, or the folder of a training run
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The low-resolution field: a grid, a .npy cube, or a snapshot, which is gridded as the model needs it
    #[arg(long, value_name = "GRID|SNAPSHOT")]
    condition: PathBuf,
    #[command(flatten)]
    cube: Cube,
    #[command(flatten)]
    units: UnitOptions,
    /// Set a parameter that the model is conditioned on (redshift, omega_m, sigma_8) by hand, in place of what the
    /// condition's file says; may be repeated
    #[arg(long = "scalar", value_name = "NAME=VALUE", value_parser = scalar)]
    scalars: Vec<(ScalarName, f64)>,
    /// The grid file to write; a name ending in .npy gives a numpy cube. Of a model of several fields, one file for
    /// each, NAME_FIELD
    #[arg(short, long, value_name = "GRID")]
    output: PathBuf,
    /// How neighbouring windows are made to agree: joint (the whole volume is denoised together, without seams), raster
    /// (one after another, as in the paper), wavefront (raster's result, faster in open volumes) or colour (eight groups)
    /// [default: the model's]
    #[arg(long, value_parser = strategy)]
    strategy: Option<StrategyName>,
    /// Sampler: ddpm, ddim, dpm_solver++2m or sde_dpm_solver++2m [default: the model's]
    #[arg(long)]
    sampler: Option<Sampler>,
    /// Only a part: first cell and cells, as X,Y,Z:NX,NY,NZ or X,Y,Z:N
    #[arg(long, value_parser = region, allow_hyphen_values = true)]
    region: Option<Region>,
    /// Only part I of N slabs along x, or of NX x NY x NZ boxes, with --halo cells around it: jobs that know nothing of each other draw
    /// all parts of one sample, and `finescale join` puts them together
    #[arg(long, value_name = "I/N", value_parser = part_number, conflicts_with_all = ["region", "extend"])]
    part: Option<PartNumber>,
    /// Cells that a part has beyond its own, which it shares with its neighbours [default: half a window]
    #[arg(long, value_name = "CELLS", requires = "part")]
    halo: Option<usize>,
    /// High-resolution field to go on from, a grid of the same voxels; the result holds it to the bit. Give it once per
    /// field if the model draws several
    #[arg(long, value_name = "GRID")]
    extend: Vec<PathBuf>,
    /// Where its first cell lies in the condition's box
    #[arg(long, value_name = "X,Y,Z", value_parser = three::<i64>, requires = "extend", default_value = "0", allow_hyphen_values = true)]
    extend_at: [i64; 3],
    /// Windows that the network evaluates at once: more memory, the same result
    #[arg(long, value_name = "N", default_value_t = BATCH as u32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Steps of the sampler [default: the model's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Noise that the sampler begins with, as a multiple of the normalized field's unit (the demo model: 12) [default:
    /// the model's]
    #[arg(long, value_name = "SIGMA")]
    sigma_max: Option<f64>,
    /// Noise of the sampler's last step; what is less is left to the network's last estimate [default: the model's]
    #[arg(long, value_name = "SIGMA")]
    sigma_min: Option<f64>,
    /// Least overlap of neighbouring windows in cells [default: the model's]
    #[arg(long, value_name = "CELLS")]
    overlap: Option<usize>,
    /// Outermost cells of a window that are thrown away and drawn again by its neighbour, at most half of the overlap; not
    /// used by joint [default: what the model was trained with]
    #[arg(long, value_name = "CELLS")]
    margin: Option<usize>,
    /// Hold the sample to the mass of the condition where both are smoothed over so many cells, in joint sampling; 0: do not
    /// [default: the model's]
    #[arg(long, value_name = "CELLS")]
    mass_guidance: Option<f64>,
    /// Seed of the first sample; another seed, or another condition, is another draw [default: the model's]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Give samples of all conditions with one seed the same noise, to see what a small change of the condition does. Their
    /// small scales are then much alike: not for ensembles of universes
    #[arg(long)]
    shared_noise: bool,
    /// Samples to draw, with consecutive seeds: out.hdf5 becomes out_SEED.hdf5, such as out_1.hdf5, out_2.hdf5, ...
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    samples: u64,
    /// Go on with what an interrupted run left; a sample that is there already, and is this one, is kept
    #[arg(long)]
    resume: bool,
    /// Like --resume, even if another version, device or instruction set began: the bits are then those of neither
    #[arg(long)]
    resume_anyway: bool,
    /// Replace outputs that are there; with --resume, unless they are this sample
    #[arg(long)]
    overwrite: bool,
    /// Print the plan and stop
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: say what it takes each of so many ranks
    #[arg(long, value_name = "R", requires = "dry_run", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    ranks: Option<u32>,
}

impl Upscale {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        give_memory_back();
        let generator = Generator::load(context, &self.model)?;
        let model = &generator.description;
        let open =
            OpenCondition::open(context, model, &self.condition, &self.cube, &self.units, &self.scalars)?;
        let part = self.part_of(open.grid(), open.meta().boundary, generator.window_cells())?;
        let part = part.as_ref();
        let whole = Region::whole(open.grid());
        let region = part.map_or(self.region.unwrap_or(whole), Part::region);
        let config = self.settings(&model.configuration)?;
        // What cannot be is told before anything is read.
        let (cells, boundary) = (open.grid().cells(), open.meta().boundary);
        Plan::check(&config, &region, cells, generator.window_cells(), boundary)?;
        check_guidance(context, model, &config, (region.shape, self.mass_guidance == Some(0.0)))?;
        let given = self.given(context, &generator, open.meta())?;
        let fields: Vec<&dyn Windows> = given.iter().map(|field| field.values.as_ref()).collect();
        let given = (!fields.is_empty()).then_some(Given { fields: &fields, start: self.extend_at });
        let last = config.seed.checked_add(self.samples - 1);
        let last =
            last.ok_or_else(|| bad_input("--seed, --samples: seeds end at 2^64 - 1; choose a lower --seed"))?;
        // All samples are checked before the first one takes its time.
        for seed in config.seed..=last {
            self.checked_outputs(seed, &generator, &open.files)?;
        }
        // A plan needs none of the channels.
        let of_channels = if self.dry_run { Region { shape: [0; 3], ..region } } else { region };
        let condition =
            open.prepare(context, model, of_channels, (!self.dry_run).then_some(self.output.as_path()))?;
        let job =
            Job { given, batch: self.batch as usize, ..generator.job(context, &condition, region, config) };
        if job.windows_are_independent()? {
            let name = serde_json::to_value(config.strategy.name())?;
            context.warn(format_args!(
                "--strategy {}: no window sees another one's voxels with {:?} cells, windows of {} and an overlap of {}: \
                 there will be seams; use joint, a larger overlap or, for colour, another --region",
                name.as_str().unwrap_or_default(),
                region.shape,
                job.window_cells,
                config.strategy.overlap_cells()
            ));
        }
        if part.is_some() && !matches!(config.strategy, Strategy::Joint(_)) {
            context.warn("--part: without --strategy joint parts have windows of their own, and agree less well where they meet");
        }
        if job.is_covered() {
            context.warn("--extend: what is given covers the whole volume: nothing is left to draw");
        }
        if self.dry_run {
            return self.plan(context, &generator, &job);
        }
        if context.ranks().is_first() {
            condition.tell_if_unlike(context, model, &region)?;
        }
        job.plan()?;
        let mut samples = Vec::new();
        for seed in config.seed..=last {
            let config = GenerationConfig { seed, ..config };
            let job = Job { config, ..job };
            let outputs = self.sample(context, &generator, &condition, &job, part)?;
            for (output, field) in outputs.iter().zip(&generator.description.truth) {
                samples.push(
                    json!({ "grid": output.to_string_lossy(), "field": field.quantity, "seed": config.seed }),
                );
            }
        }
        Ok(json!({ "samples": samples, "region": region, "generation": config }))
    }

    /// The part that --part asks for.
    fn part_of(&self, whole: &Grid, boundary: Boundary, window_cells: usize) -> anyhow::Result<Option<Part>> {
        if self.part.is_some() {
            check_is_grid(&self.output)?;
        }
        let halo = self.halo.unwrap_or(window_cells / 2);
        let part = |number| Part::new(number, halo, (whole.cells(), whole.box_size_mpc_h()), boundary);
        self.part.map(part).transpose()
    }

    /// The model's settings with those of the command line.
    fn settings(&self, model: &RunConfig) -> anyhow::Result<GenerationConfig> {
        let mut config = model.generation;
        let other_steps = self.steps.is_some()
            || self.sampler.is_some()
            || self.sigma_min.is_some()
            || self.sigma_max.is_some();
        if let Some(teacher) = model.training.teacher.as_ref().filter(|_| other_steps) {
            return Err(bad_input(format!(
                "--steps, --sampler, --sigma-min, --sigma-max: this model has learned the steps of its own sampler and no others; \
                 leave them out, or take its teacher ({})",
                teacher.display()
            )));
        }
        config.strategy = self.windows(model)?;
        config.seed = self.seed.unwrap_or(config.seed);
        config.shared_noise |= self.shared_noise;
        config.sampling.sampler = self.sampler.unwrap_or(config.sampling.sampler);
        let levels = |error| bad_input(format!("--steps, --sigma-min or --sigma-max: {error}"));
        let sampling = config.sampling.with_levels(
            self.steps.map(|steps| steps as usize),
            self.sigma_min,
            self.sigma_max,
        );
        config.sampling = sampling.map_err(levels)?;
        config.sampling.levels.levels().map_err(levels)?;
        Ok(config)
    }

    /// The model's strategy with the settings of the command line. Windows that follow each other have the margins that
    /// the network saw in training, unless somebody says otherwise.
    fn windows(&self, model: &RunConfig) -> anyhow::Result<Strategy> {
        let of_model = model.generation.strategy;
        let name = self.strategy.unwrap_or(of_model.name());
        let mut strategy = if name == of_model.name() { of_model } else { Strategy::new(name, 0) };
        let overlap_cells = self.overlap.unwrap_or(of_model.overlap_cells());
        match &mut strategy {
            Strategy::Joint(_) if self.margin.is_some() => {
                return Err(bad_input("--margin: joint sampling has none to set; leave it out"));
            }
            Strategy::Joint(joint) => {
                joint.overlap_cells = overlap_cells;
                if let Some(smoothing_cells) = self.mass_guidance {
                    let of_model = joint.mass_guidance.unwrap_or(MassGuidance::over(smoothing_cells));
                    let guidance = MassGuidance { smoothing_cells, ..of_model };
                    joint.mass_guidance = Some(guidance).filter(|_| smoothing_cells != 0.0);
                    let check = joint.mass_guidance.map_or(Ok(()), |guidance| guidance.check());
                    check.map_err(|error| bad_input(format!("--mass-guidance: {error}")))?;
                }
            }
            Strategy::Sequential(_) if self.mass_guidance.is_some_and(|cells| cells != 0.0) => {
                return Err(bad_input("--mass-guidance: only joint sampling has it; leave it out"));
            }
            Strategy::Sequential(sequential) => {
                let of_model = match of_model {
                    Strategy::Sequential(sequential) => sequential.overlap.margin_cells,
                    Strategy::Joint(_) => model.masks().margin_cells,
                };
                let margin_cells = self.margin.unwrap_or(of_model.min(overlap_cells / 2));
                sequential.overlap = Overlap { overlap_cells, margin_cells };
                let wrong = |error| bad_input(format!("--overlap, --margin: {error}"));
                sequential.overlap.check().map_err(wrong)?;
            }
        }
        Ok(strategy)
    }

    /// The fields to extend, in the order of those that the model generates.
    fn given(
        &self,
        context: &Context,
        generator: &Generator,
        condition: &GridMeta,
    ) -> anyhow::Result<Vec<OpenField>> {
        let mut given: Vec<(&PathBuf, OpenField)> = Vec::new();
        for path in &self.extend {
            given.push((path, fields::open(path, &Cube::default())?));
        }
        let truth = &generator.description.truth;
        let makes = truth.iter().map(|field| field.quantity.as_str()).collect::<Vec<_>>().join(" and ");
        for (path, grid) in &given {
            check_given(context, path, &grid.meta, condition)?;
            let (path, found) = (path.display(), &grid.meta.quantity);
            if !truth.iter().any(|field| field.quantity == *found) {
                return Err(bad_input(format!(
                    "{path}: holds {found}, and the model makes {makes}: give such a field"
                )));
            }
        }
        if given.len() != self.extend.len().min(1) * truth.len() {
            return Err(bad_input(format!(
                "--extend: {} grids are given, and the model makes {makes}: give one of each",
                given.len()
            )));
        }
        let place = |grid: &OpenField| truth.iter().position(|field| field.quantity == grid.meta.quantity);
        given.sort_by_key(|(_, grid)| place(grid));
        if let Some(twice) = given.windows(2).find(|two| place(&two[0].1) == place(&two[1].1)) {
            let (a, b) = (twice[0].0.display(), twice[1].0.display());
            return Err(bad_input(format!("{a} and {b} hold the same field, and the model makes {makes}")));
        }
        Ok(given.into_iter().map(|(_, field)| field).collect())
    }

    /// The name of a sample, and of one of its fields if there are several.
    fn output_of(&self, seed: u64, field: Option<&str>) -> PathBuf {
        let number = (self.samples > 1).then(|| seed.to_string());
        let more: Vec<String> = number.into_iter().chain(field.map(str::to_owned)).collect();
        if more.is_empty() {
            return self.output.clone();
        }
        let mut name = self.output.file_stem().unwrap_or_default().to_owned();
        name.push(format!("_{}.", more.join("_")));
        name.push(self.output.extension().unwrap_or("hdf5".as_ref()));
        self.output.with_file_name(name)
    }

    /// The files of a sample.
    fn outputs(&self, seed: u64, generator: &Generator) -> anyhow::Result<Vec<PathBuf>> {
        let [first, others @ ..] = &generator.description.truth[..] else { return Ok(Vec::new()) };
        if others.is_empty() {
            return Ok(vec![self.output_of(seed, None)]);
        }
        let file = |quantity: &String| match is_plain_name(quantity) {
            true => Ok(self.output_of(seed, Some(quantity))),
            false => Err(bad_input(format!(
                "{}: a field's name, {quantity:?}, makes no file name; letters, digits, - and _ do",
                self.model.display()
            ))),
        };
        [first].into_iter().chain(others).map(|field| file(&field.quantity)).collect()
    }

    /// The files of a sample, which can be written, replace no input, and are not there unless that is wanted.
    fn checked_outputs(
        &self,
        seed: u64,
        generator: &Generator,
        of_condition: &[PathBuf],
    ) -> anyhow::Result<Vec<PathBuf>> {
        let outputs = self.outputs(seed, generator)?;
        for file in outputs.iter().flat_map(|output| samples::files_of(output)) {
            let named = [&self.model, &self.condition].into_iter().chain(&self.extend);
            check_output(&file, named.chain(of_condition).map(PathBuf::as_path))?;
        }
        outputs.iter().try_for_each(|output| check_grid_name(output))?;
        self.refuse_existing(&outputs)?;
        Ok(outputs)
    }

    fn refuse_existing(&self, outputs: &[PathBuf]) -> anyhow::Result<()> {
        let wanted = self.resume || self.resume_anyway || self.overwrite;
        if wanted { Ok(()) } else { samples::refuse_existing(outputs) }
    }

    /// Whether this sample is there already; another one is an error, unless it may be replaced.
    fn are_complete(&self, outputs: &[PathBuf], expected: &[GridMeta]) -> anyhow::Result<bool> {
        self.refuse_existing(outputs)?;
        if !self.resume && !self.resume_anyway {
            return Ok(false);
        }
        match samples::are_complete(outputs, expected) {
            Err(_) if self.overwrite => Ok(false),
            complete => complete,
        }
    }

    /// Draws a sample, and says where its fields are.
    fn sample(
        &self,
        context: &Context,
        generator: &Generator,
        condition: &Condition,
        job: &Job,
        part: Option<&Part>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let seed = job.config.seed;
        let outputs = self.checked_outputs(seed, generator, &condition.files)?;

        // Nobody else works on this sample until its work folder is gone.
        let name = self.output_of(seed, None);
        let ranks = context.ranks();
        let lock = ranks.is_first().then(|| lock(&name)).transpose()?;
        let locked = || {
            let moved = |error| {
                anyhow::anyhow!(
                    "{}: {error} while its sample was generated; go on with --resume where the work folder is now",
                    name.display()
                )
            };
            lock.as_ref().map_or(Ok(()), |lock| lock.check().map_err(moved))
        };
        let existing = match (self.resume, self.resume_anyway) {
            (_, true) => Existing::ResumeAnyway,
            (true, false) => Existing::Resume,
            (false, false) => Existing::Refuse,
        };
        let store = Store::Folder { path: with_ending(&name, ".work"), existing };
        let identity = identity(job)?;
        let metas = |identity: &Value| -> anyhow::Result<Vec<GridMeta>> {
            let mut metas = generator.metas(condition, job, identity)?;
            if let Some(part) = part {
                metas.iter_mut().for_each(|meta| part.say(meta));
            }
            Ok(metas)
        };
        let expected = metas(&identity)?;
        let is_complete = ranks.is_first() && self.are_complete(&outputs, &expected)?;
        if is_complete {
            store.remove_of(&identity)?;
            samples::tell_complete(context, &outputs);
        }
        if ranks.any(is_complete)? {
            return Ok(outputs);
        }

        let label = format!("upscale, seed {seed}");
        let stop = context.keep_work_on_stop();
        let generated = generator.sample(context, &label, condition, job, &store, stop)?;
        // Rank 0 writes what all have made.
        generated.serve()?;
        if !ranks.is_first() {
            drop(generated);
            ranks.barrier()?;
            return Ok(outputs);
        }
        // Hours later: what somebody else put there since is not replaced either.
        locked()?;
        self.are_complete(&outputs, &expected)?;
        // What is given was read window by window all the time, and is read again to be written.
        let is_unchanged = || {
            anyhow::ensure!(
                job.given.is_none() || finescale_outpaint::identity(job)? == identity,
                "{}: changed while {} was generated around it; remove {} and begin again",
                self.extend[0].display(),
                name.display(),
                with_ending(&name, ".work").display()
            );
            Ok(())
        };
        let metas = metas(generated.identity())?;
        let mut summaries = Vec::new();
        for ((output, field), meta) in outputs.iter().zip(generated.fields()).zip(&metas) {
            // Read once: ranks send what it is.
            let field = Watched::new(&field);
            samples::save(output, &field, meta, is_unchanged)?;
            summaries.push(format!("{}: {}", output.display(), field.range().summary(field.grid())));
        }
        generated.read_all()?;
        // Nobody has a file of the work folder open any more.
        ranks.barrier()?;
        locked()?;
        store.remove()?;
        summaries.iter().for_each(|summary| context.say(format_args!("{summary}")));
        Ok(outputs)
    }

    /// Says what it will take each of several ranks, which have threads like these.
    fn plan_on(&self, context: &Context, job: &Job, ranks: usize, seconds: f64) -> anyhow::Result<RanksPlan> {
        let plan = job.plan_on(ranks)?.ok_or_else(|| {
            bad_input("--ranks: ranks share the windows of joint sampling evenly; what others take depends on which wait")
        })?;
        let samples = self.samples as f64;
        let sent = plan.received_bytes.max(plan.sent_bytes) as f64 / NETWORK;
        context.say(format_args!(
            "{ranks} {} like this process: {} of computing, the evaluations shared to {:.0} % of the ideal, and {} of sending at \
             10 Gbit/s ({} to each, {} from each for a sample); {} of memory beside that of one rank for what others own",
            if ranks == 1 { "rank" } else { "ranks" },
            duration(samples * seconds * plan.evaluations as f64),
            100.0 * plan.efficiency,
            duration(samples * sent),
            bytes(plan.received_bytes as u64),
            bytes(plan.sent_bytes as u64),
            bytes(plan.halo_bytes as u64),
        ));
        if plan.efficiency < WASTEFUL {
            context.warn(format_args!(
                "--ranks {ranks}: they wait for most of the time, since a step has too few windows for them; take fewer"
            ));
        }
        Ok(plan)
    }

    /// What the generation will take, with the network timed on this machine.
    fn plan(&self, context: &Context, generator: &Generator, job: &Job) -> anyhow::Result<Value> {
        // What is given is checked, too.
        identity(job)?;
        let plan = job.plan()?;
        let network = generator.denoiser.config();
        let bench = Bench::new(network, generator.window_cells(), job.batch, &generator.processor)?;
        let seconds = median(bench.seconds(Work::Forward, 1)?) / job.batch as f64;
        let total = seconds * (plan.evaluations as u64 * self.samples) as f64;
        let memory = peak_memory_bytes().map(|peak| peak + plan.buffer_bytes as u64);
        let conditioning = generator.description.conditioning();
        let condition_bytes = PreparedCondition::bytes(&conditioning, &job.region) as u64;
        let (work_bytes, result_bytes) = (plan.work_bytes as u64, plan.result_bytes as u64);
        let results = self.samples * result_bytes;
        let disk = condition_bytes + work_bytes + results;
        let [x, y, z] = plan.cells;
        context.say(format_args!(
            "{x} x {y} x {z} cells in {} windows of {}^3: {} sampling steps, {} network evaluations, {:.1} per voxel",
            plan.windows, plan.window_cells, plan.steps, plan.evaluations, plan.evaluations_per_voxel
        ));
        context.say(format_args!(
            "{} sample(s), expected to take {}, at {seconds:.3} s an evaluation here",
            self.samples,
            duration(total)
        ));
        context.say(format_args!(
            "{} of memory ({} available); {} of disk while it runs, {} of it for the result",
            memory.map_or("unknown".to_owned(), bytes),
            available_memory_bytes().map_or("unknown".to_owned(), bytes),
            bytes(disk),
            bytes(results),
        ));
        if let Some(guidance) = job.config.strategy.mass_guidance() {
            context.say(format_args!(
                "held to the mass of the condition over {} cells ({:.1} Mpc/h) in {} of {} steps",
                guidance.smoothing_cells,
                guidance.smoothing_cells * generator.description.voxel_mpc_h[0],
                guidance.count_guided(&job.config.sampling.levels.levels()?),
                plan.steps
            ));
        }
        let these = Some(context.ranks().count()).filter(|&count| count > 1);
        let on_ranks = self.ranks.map(|ranks| ranks as usize).or(these);
        let on_ranks = on_ranks.map(|ranks| self.plan_on(context, job, ranks, seconds));
        Ok(json!({
            "plan": plan,
            "on_ranks": on_ranks.transpose()?,
            "samples": self.samples,
            "generation": job.config,
            "seconds_per_evaluation": seconds,
            "expected_seconds": total,
            "memory_bytes": memory,
            "condition_bytes": condition_bytes,
            "disk_bytes": disk,
        }))
    }
}

/// Below this scale gas and dark matter do not have the same mass, and a coarse run has few particles.
const LEAST_GUIDANCE_MPC_H: f64 = 4.0;
/// Bytes a second of a network of 10 Gbit/s.
const NETWORK: f64 = 1.25e9;
/// Share of the ideal below which ranks are told to wait.
const WASTEFUL: f64 = 0.5;

/// Checks that a field to go on from is of the condition's time and place.
fn check_given(context: &Context, path: &Path, given: &GridMeta, condition: &GridMeta) -> anyhow::Result<()> {
    let path = path.display();
    if given.centring != condition.centring {
        return Err(bad_input(format!(
            "{path}: has its values at voxel {}s, the condition at voxel {}s: half a voxel apart; make both alike",
            given.centring, condition.centring
        )));
    }
    if (given.redshift - condition.redshift).abs() > inputs::SAME_REDSHIFT {
        context.warn(format_args!(
            "{path}: is at redshift {:.2}, the condition at {:.2}: the result will be of both",
            given.redshift, condition.redshift
        ));
    }
    Ok(())
}

/// Checks that the mass of the condition can be kept, and says where it may not be right.
fn check_guidance(
    context: &Context,
    model: &ModelDescription,
    config: &GenerationConfig,
    (cells, is_refused): ([usize; 3], bool),
) -> anyhow::Result<()> {
    let Some(guidance) = config.strategy.mass_guidance() else {
        if !is_refused
            && model.configuration.generation.strategy.mass_guidance().is_some()
            && !matches!(config.strategy, Strategy::Joint(_))
        {
            context.warn("--strategy: without joint sampling the sample is not held to the condition's mass, as this model's are");
        }
        return Ok(());
    };
    let (condition, truth) = (&model.condition, &model.truth);
    let normalizers = model.normalizers();
    guidance.check_model(&condition.normalizer, &normalizers.truth, &config.sampling.levels.levels()?)?;
    let space = |space: &Option<String>| space.clone().unwrap_or_else(|| "real space".to_owned());
    let (coarse, fine) = (space(&condition.redshift_space), space(&truth[0].redshift_space));
    if coarse != fine {
        return Err(bad_input(format!(
            "--mass-guidance: the condition is in {coarse}, the samples in {fine}: their mass lies in other places; leave it out, or give 0"
        )));
    }
    let [voxel, ..] = model.voxel_mpc_h;
    let scale = guidance.smoothing_cells * voxel;
    if scale < LEAST_GUIDANCE_MPC_H {
        context.warn(format_args!(
            "--mass-guidance: {} cells are {scale:.1} Mpc/h; over less than {LEAST_GUIDANCE_MPC_H} Mpc/h gas has not the mass of dark \
             matter, and a coarse run's shot noise shows",
            guidance.smoothing_cells
        ));
    }
    if let Some(side) = cells.into_iter().min()
        && 4.0 * guidance.smoothing_cells > side as f64
    {
        context.warn(format_args!(
            "--mass-guidance: over {} cells of a volume of {cells:?} little more than its mean is held",
            guidance.smoothing_cells
        ));
    }
    if !["gas", "dm", "matter", "truth", "unknown"].contains(&truth[0].quantity.as_str()) {
        context.warn(format_args!(
            "--mass-guidance: the samples are of {}, and are held to the mass of {}: is it in the same places?",
            truth[0].quantity, condition.quantity
        ));
    }
    Ok(())
}

fn strategy(name: &str) -> Result<StrategyName, String> {
    serde_json::from_value(Value::String(name.to_owned())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read() {
        for (name, expected) in ["joint", "raster", "wavefront", "colour"].into_iter().zip(StrategyName::ALL)
        {
            assert_eq!(strategy(name), Ok(expected));
        }
        assert!(strategy("spiral").unwrap_err().contains("raster"));
    }
}
