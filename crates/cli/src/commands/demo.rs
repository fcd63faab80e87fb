//! `finescale demo`: the whole story on the data that the project brings along.

use crate::commands::compare::tell;
use crate::condition::{Condition, OpenCondition};
use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::fields;
use crate::generation::Generator;
use crate::gridding::{Gridding, deposit};
use crate::provenance::provenance;
use crate::{samples, tiles};
use anyhow::Context as _;
use clap::Args;
use finescale_field::{Boundary, Field3, Grid, Region, Scheme};
use finescale_judge::{Beside, Comparison, Fields, Labelled, Measurements, Upscaled};
use finescale_outpaint::{GenerationConfig, Store};
use finescale_report::{Pictures, write};
use finescale_snapshot::{GridFile, Snapshot, Species};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Folder for the fields and the report
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
    /// Folder with the demo's data and model
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
    /// One window of each volume in few steps: faster and less accurate
    #[arg(long)]
    quick: bool,
}

/// Samples of the mock box, each with a seed of its own.
const SAMPLES: u64 = 2;
/// Windows side by side in the region of the real snapshot.
const REGION_WINDOWS: usize = 2;
/// Sampler steps of the quick demo: fewer lose mass.
const QUICK_STEPS: usize = 10;

/// A low-resolution field, and what the network sees of it.
struct LowResolution {
    density: Field3,
    condition: Condition,
}

impl LowResolution {
    fn new(context: &Context, generator: &Generator, path: &Path, grid: GridFile) -> anyhow::Result<Self> {
        let density = grid.field.clone();
        let fits = generator.description.check_condition(density.grid(), &grid.meta);
        fits.with_context(|| path.display().to_string())?;
        let whole = Region::whole(density.grid());
        let condition =
            OpenCondition::in_memory(path, grid).prepare(context, &generator.description, whole, None)?;
        Ok(Self { density, condition })
    }
}

impl Demo {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let started = Instant::now();
        let generator = Generator::load(context, &self.file("model.safetensors")?)?;
        let config = self.settings(&generator)?;

        context.say(
            "A mock universe that training never saw: its low-resolution field, upscaled, against the truth",
        );
        let (low, truth) = self.mock(context, &generator)?;
        let samples = (0..if self.quick { 1 } else { SAMPLES })
            .map(|number| {
                let config = GenerationConfig { seed: config.seed.wrapping_add(number), ..config };
                let region = Region::whole(low.density.grid());
                self.upscale(
                    context,
                    &generator,
                    &low.condition,
                    region,
                    config,
                    &format!("mock_sample_{}", number + 1),
                )
            })
            .collect::<anyhow::Result<Vec<_>>>()?;

        context.say("A real GADGET-4 snapshot: gridded, and a region of it upscaled");
        let snapshot = self.snapshot(context, &generator)?;
        let region = self.region(&generator, config, snapshot.density.grid());
        let upscaled =
            self.upscale(context, &generator, &snapshot.condition, region, config, "gadget4_sample")?;
        let part = snapshot.density.cut(&region)?;

        let fields = Fields {
            truth: Labelled::new("truth", &truth),
            condition: Some(Labelled::new("condition", &low.density)),
            samples: samples
                .iter()
                .enumerate()
                .map(|(number, sample)| {
                    Labelled::new(format!("sample {}", number + 1), &sample.field)
                        .with_faces(tiles::faces_of(sample.field.grid(), &sample.meta))
                })
                .collect(),
            independent_tiles: None,
            companion: None,
        };
        let (given, drawn) = (Labelled::new("condition", &part), [Labelled::new("sample", &upscaled.field)]);
        let beside = Beside {
            title: "finescale demo".to_owned(),
            upscaled: vec![Upscaled::new("A region of a real GADGET-4 snapshot", &given, &drawn)?],
            provenance: provenance(json!({
                "mock": self.data.join("condition.hdf5").to_string_lossy(),
                "model": samples[0].meta.provenance.get("model"),
                "generation": config,
                "quick": self.quick,
            })),
            ..Beside::default()
        };
        let comparison = Comparison::new(Measurements::new("box 1", &fields)?, beside)?;
        let pictures = Pictures::new(&fields).with_upscaled(&given, &drawn);
        let paths = write(&comparison, &pictures, &self.out).context("writing the report")?;
        tell(context, &comparison, 0);
        let seconds = started.elapsed().as_secs_f64();
        context.say(format_args!("{seconds:.0} s in all; the report is {}", paths.html.display()));
        Ok(json!({
            "report": paths.html.to_string_lossy(),
            "report_json": paths.json.to_string_lossy(),
            "verdict": comparison.measured.verdict,
            "goals": comparison.goals,
            "seconds": seconds,
        }))
    }

    /// A file of the demo's data.
    fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.data.join(name);
        if path.exists() {
            return Ok(path);
        }
        let path = path.display();
        Err(bad_input(format!("{path}: not there; run the demo in the project's folder, or name --data")))
    }

    fn settings(&self, generator: &Generator) -> anyhow::Result<GenerationConfig> {
        let mut config = generator.description.configuration.generation;
        if self.quick {
            config.sampling = config.sampling.with_levels(Some(QUICK_STEPS), None, None)?;
        }
        Ok(config)
    }

    /// Low-resolution field and truth of the mock box; in the quick demo one window of them.
    fn mock(&self, context: &Context, generator: &Generator) -> anyhow::Result<(LowResolution, Field3)> {
        let path = self.file("condition.hdf5")?;
        let mut grid = fields::load(&path, &Cube::default())?;
        let mut truth = fields::load(&self.file("truth.hdf5")?, &Cube::default())?.field;
        if self.quick {
            let window = Region::cube([0; 3], generator.window_cells());
            (grid.field, grid.meta.boundary) = (grid.field.cut(&window)?, Boundary::Open);
            truth = truth.cut(&window)?;
        }
        Ok((LowResolution::new(context, generator, &path, grid)?, truth))
    }

    /// The snapshot on a grid with the model's voxels.
    fn snapshot(&self, context: &Context, generator: &Generator) -> anyhow::Result<LowResolution> {
        let path = self.file("gadget4_dm_64/snapdir_003")?;
        let snapshot = Snapshot::open(&path)?;
        let model = &generator.description;
        let longest = snapshot.header().box_size_mpc_h.into_iter().fold(0.0, f64::max);
        let cells = (longest / model.voxel_mpc_h[0]).round().max(1.0) as usize;
        let scheme = model.condition.assignment.unwrap_or(Scheme::Cic);
        let how = Gridding::density(Species::DarkMatter.into(), cells, scheme);
        let grid = deposit(context, &snapshot, &how, None)?;
        self.save("gadget4_condition", &grid)?;
        LowResolution::new(context, generator, &path, grid)
    }

    /// A few windows in a row; in the quick demo one.
    fn region(&self, generator: &Generator, config: GenerationConfig, grid: &Grid) -> Region {
        let window = generator.window_cells();
        let long = if self.quick {
            window
        } else {
            let overlap = config.strategy.overlap_cells();
            REGION_WINDOWS * (window - overlap) + overlap
        };
        Region { start: [0; 3], shape: [long.min(grid.cells()[0]), window, window] }
    }

    fn upscale(
        &self,
        context: &Context,
        generator: &Generator,
        condition: &Condition,
        region: Region,
        config: GenerationConfig,
        name: &str,
    ) -> anyhow::Result<GridFile> {
        let job = generator.job(context, condition, region, config);
        let stop = AtomicBool::new(false);
        let generated = generator.sample(context, name, condition, &job, &Store::Memory, &stop)?;
        let metas = generator.metas(condition, &job, generated.identity())?;
        let gas = generated.fields().zip(metas).next().context("the demo's model generates gas")?;
        let gas = GridFile { field: fields::in_memory(&gas.0)?, meta: gas.1 };
        self.save(name, &gas)?;
        Ok(gas)
    }

    fn save(&self, name: &str, grid: &GridFile) -> anyhow::Result<()> {
        let path = self.out.join(Path::new(name).with_extension("hdf5"));
        samples::save(&path, &grid.field, &grid.meta, || Ok(()))
    }
}
