//! `finescale compare`: samples against the truth.

use crate::context::Context;
use crate::failure::bad_input;
use crate::files::{Stamp, cannot_write, check_output, sha256};
use crate::parse::three;
use crate::provenance::provenance;
use crate::{fields, tiles};
use anyhow::Context as _;
use clap::Args;
use finescale_judge::{Beside, Comparison, Fields, Judgement, Labelled, Measurements, PublishedSpectrum};
use finescale_report::{Pictures, write};
use finescale_snapshot::GridFile;
use finescale_spectra::TileFaces;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// The true high-resolution field
    #[arg(long, value_name = "GRID", required_unless_present = "boxes", requires = "samples")]
    truth: Option<PathBuf>,
    /// A sample; give the option once for each
    #[arg(long = "sample", value_name = "GRID", num_args = 1.., requires = "truth")]
    samples: Vec<PathBuf>,
    /// The low-resolution field that the samples were drawn from
    #[arg(long, value_name = "GRID", requires = "truth")]
    condition: Option<PathBuf>,
    /// Folders of further boxes, each with truth.hdf5, sample*.hdf5 and, if there is one, condition.hdf5 (or .npy):
    /// the goals are judged by the mean over all boxes; without --truth the first one is shown
    #[arg(long = "box", value_name = "DIR", num_args = 1..)]
    boxes: Vec<PathBuf>,
    /// Tiles that were drawn without knowing of each other: must show seams
    #[arg(long, value_name = "GRID")]
    independent_tiles: Option<PathBuf>,
    /// The samples are made of tiles of N cells, from cell 0 on, whatever their files say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    tile_period: Option<u32>,
    /// A published power spectrum to draw in: a table of k in h/Mpc and P in (Mpc/h)^3
    #[arg(long, value_name = "FILE")]
    truth_spectrum: Vec<PathBuf>,
    /// Side of .npy cubes in Mpc/h, one or three numbers
    #[arg(long, value_name = "MPC_H", value_parser = three::<f64>)]
    box_size: Option<[f64; 3]>,
    /// Folder for report.html, report.json, figures and tables
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// The files of one box.
#[derive(Clone, Debug)]
struct BoxFiles {
    name: String,
    truth: PathBuf,
    samples: Vec<PathBuf>,
    condition: Option<PathBuf>,
}

impl Compare {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let mut boxes = self.boxes()?;
        self.check_output(&boxes)?;
        let published =
            self.truth_spectrum.iter().map(|path| table(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let first = boxes.remove(0);
        let tiles = self.independent_tiles.as_deref();
        let (measured, pictures, mut inputs) = self.measure(&first, tiles, Pictures::new)?;
        let mut summaries = Vec::new();
        for files in &boxes {
            context.say(format_args!("{}", files.name));
            let (other, (), of_box) = self.measure(files, None, |_| ())?;
            summaries.push(other.summary);
            inputs.extend(of_box);
        }
        for path in &self.truth_spectrum {
            inputs.push(json!({ "role": "published spectrum", "file": path.to_string_lossy(), "sha256": sha256(path)? }));
        }
        let beside = Beside {
            boxes: summaries,
            published,
            provenance: provenance(json!({ "inputs": inputs, "tile_period": self.tile_period })),
            ..Beside::default()
        };
        let comparison = Comparison::new(measured, beside)?;
        let paths = write(&comparison, &pictures, &self.output).context("writing the report")?;
        tell(context, &comparison);
        context.say(format_args!("report: {}", paths.html.display()));
        Ok(json!({
            "report": paths.html.to_string_lossy(),
            "report_json": paths.json.to_string_lossy(),
            "verdict": comparison.measured.verdict,
            "goals": comparison.goals,
        }))
    }

    /// Checks that the report can be written and replaces none of its inputs.
    fn check_output(&self, boxes: &[BoxFiles]) -> anyhow::Result<()> {
        let of_boxes = boxes.iter().flat_map(|files| {
            let others = files.condition.iter().chain(&files.samples);
            others.chain([&files.truth])
        });
        let inputs: Vec<&Path> = of_boxes
            .chain(&self.independent_tiles)
            .chain(&self.truth_spectrum)
            .map(PathBuf::as_path)
            .collect();
        let folder = |name: &str| self.output.join(name).canonicalize().ok();
        let folders = ["figures", "tables"].map(folder);
        for input in &inputs {
            let inside = |folder: &PathBuf| input.canonicalize().is_ok_and(|input| input.starts_with(folder));
            if folders.iter().flatten().any(inside) {
                return Err(bad_input(format!(
                    "{}: lies in the report that is to be written; choose another --output",
                    input.display()
                )));
            }
        }
        // What lies in the folders of a report is replaced, and what links lead to with it.
        for folder in folders.iter().flatten() {
            let names = std::fs::read_dir(folder).map_err(|error| cannot_write(folder, &error))?;
            let names: Vec<PathBuf> =
                names.filter_map(|entry| Some(entry.ok()?.file_name().into())).collect();
            finescale_durable::refuse_links(folder, names.iter().map(PathBuf::as_path))
                .map_err(|error| cannot_write(folder, &error))?;
        }
        for name in ["report.json", "report.html"] {
            check_output(&self.output.join(name), inputs.iter().copied())?;
        }
        Ok(())
    }

    /// The boxes, one at least; of those named as folders, their files.
    fn boxes(&self) -> anyhow::Result<Vec<BoxFiles>> {
        let named = self.truth.as_ref().map(|truth| BoxFiles {
            name: "box 1".to_owned(),
            truth: truth.clone(),
            samples: self.samples.clone(),
            condition: self.condition.clone(),
        });
        let folders = self.boxes.iter().map(|folder| box_in(folder));
        named.map(Ok).into_iter().chain(folders).collect()
    }

    /// All statistics of one box, what `look` takes from its fields, and what its files are.
    fn measure<T>(
        &self,
        files: &BoxFiles,
        independent_tiles: Option<&Path>,
        look: impl FnOnce(&Fields<'_>) -> T,
    ) -> anyhow::Result<(Measurements, T, Vec<Value>)> {
        let all = files.condition.iter().chain(&files.samples).chain([&files.truth]).map(PathBuf::as_path);
        let stamp = |path: &Path| Ok((path.to_owned(), Stamp::of(path)?));
        let stamps = all.chain(independent_tiles).map(stamp).collect::<anyhow::Result<Vec<_>>>()?;
        let truth = fields::load(&files.truth, self.box_size)?;
        let load = |path: &Path| -> anyhow::Result<GridFile> {
            let grid = fields::load(path, self.box_size)?;
            same_grid(path, &grid, &files.truth, &truth)?;
            Ok(grid)
        };
        let condition = files.condition.as_deref().map(load).transpose()?;
        let samples = files.samples.iter().map(|path| load(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let tiles = independent_tiles.map(load).transpose()?;
        let fields = Fields {
            truth: Labelled::new("truth", &truth.field),
            condition: condition.as_ref().map(|grid| Labelled::new("condition", &grid.field)),
            samples: samples
                .iter()
                .enumerate()
                .map(|(number, sample)| {
                    Labelled::new(format!("sample {}", number + 1), &sample.field)
                        .with_faces(self.faces(sample))
                })
                .collect(),
            independent_tiles: tiles
                .as_ref()
                .map(|grid| Labelled::new("independent tiles", &grid.field).with_faces(self.faces(grid))),
        };
        let measured =
            Measurements::new(&files.name, &fields).with_context(|| format!("comparing {}", files.name))?;
        let seen = look(&fields);

        let mut inputs = Vec::new();
        let mut add = |role: &str, path: &Path, grid: &GridFile| -> anyhow::Result<()> {
            let (_, stamp) = stamps.iter().find(|(of, _)| of == path).expect("every file has its stamp");
            let (hash, provenance) = (stamp.sha256(path)?, &grid.meta.provenance);
            inputs.push(json!({ "role": role, "file": path.to_string_lossy(), "sha256": hash, "provenance": provenance }));
            Ok(())
        };
        add("truth", &files.truth, &truth)?;
        if let (Some(path), Some(grid)) = (&files.condition, &condition) {
            add("condition", path, grid)?;
        }
        files.samples.iter().zip(&samples).try_for_each(|(path, grid)| add("sample", path, grid))?;
        if let (Some(path), Some(grid)) = (independent_tiles, &tiles) {
            add("independent tiles", path, grid)?;
        }
        Ok((measured, seen, inputs))
    }

    /// Where the tiles of a sample meet.
    fn faces(&self, sample: &GridFile) -> Result<TileFaces, String> {
        let grid = sample.field.grid();
        match self.tile_period {
            Some(period) if grid.cells().iter().all(|&n| n <= period as usize) => {
                Err(format!("--tile-period {period}: the field is one tile"))
            }
            Some(period) => Ok(TileFaces::every(period as usize, 0, grid.cells())),
            None => tiles::faces_of(grid, &sample.meta),
        }
    }
}

/// The files of a box by their names in its folder.
fn box_in(folder: &Path) -> anyhow::Result<BoxFiles> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| bad_input(format!("{shown}: {error}; --box needs a folder")))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let named = |path: &PathBuf, stem: &str| {
        let is_grid = path.extension().is_some_and(|ending| ending == "hdf5" || ending == "npy");
        is_grid && path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with(stem))
    };
    // Not some `truth_old` beside it.
    let one = |stem: &str| {
        files.iter().find(|path| named(path, stem) && path.file_stem() == Some(stem.as_ref())).cloned()
    };
    let samples: Vec<PathBuf> = files.iter().filter(|path| named(path, "sample")).cloned().collect();
    let (Some(truth), false) = (one("truth"), samples.is_empty()) else {
        return Err(bad_input(format!("{shown}: a box needs truth.hdf5 and sample*.hdf5 (or .npy)")));
    };
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    Ok(BoxFiles { name, truth, samples, condition: one("condition") })
}

fn table(path: &Path) -> anyhow::Result<PublishedSpectrum> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        bad_input(format!("{}: {error}; --truth-spectrum needs a text table", path.display()))
    })?;
    let label = path.file_stem().unwrap_or_default().to_string_lossy();
    PublishedSpectrum::parse(label, path, &text).map_err(|error| bad_input(error.to_string()))
}

/// The verdict in lines for a person.
pub(crate) fn tell(context: &Context, comparison: &Comparison) {
    let verdict = &comparison.measured.verdict;
    let beside =
        |number: Option<f64>| number.map_or(String::new(), |number| format!(" (condition: {number:.3})"));
    let [low, high] = verdict.quoted_band_h_mpc;
    context.say(format_args!(
        "mean |ln P/P_truth| over the bands: {:.3}{}",
        verdict.mean_abs_ln_ratio,
        beside(verdict.condition_mean_abs_ln_ratio)
    ));
    context.say(format_args!(
        "r with the truth at k = {low:.2} to {high:.2} h/Mpc: {:.3}{}",
        verdict.cross_correlation,
        beside(verdict.condition_cross_correlation)
    ));
    context.say(format_args!(
        "99.9th percentile over the truth's: {:.3}{}; mass: {:.4}",
        verdict.percentile_99_9_ratio,
        beside(verdict.condition_percentile_99_9_ratio),
        verdict.mass_ratio
    ));
    comparison.goals.iter().for_each(|goal| context.say(line(goal)));
}

fn line(goal: &Judgement) -> String {
    let found = match (goal.found, goal.standard_error) {
        (Some(found), Some(error)) => format!("{found:.4} +- {error:.4}"),
        // The note on seams says how many.
        (Some(found), None) if goal.key != "seams" => format!("{found:.4}"),
        _ => String::new(),
    };
    let k = goal.at_k_h_mpc.map_or(String::new(), |k| format!(" at k = {k:.2}"));
    let note = goal.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    format!("{:>12}  {:<45} {found}{k}{note}", goal.outcome.name(), goal.goal).trim_end().to_owned()
}

fn same_grid(path: &Path, grid: &GridFile, truth_path: &Path, truth: &GridFile) -> anyhow::Result<()> {
    let (found, expected) = (grid.field.grid(), truth.field.grid());
    if found == expected {
        return Ok(());
    }
    Err(bad_input(format!(
        "{}: {:?} cells over {:?} Mpc/h, but {} has {:?} cells over {:?} Mpc/h; only fields of one box on one grid \
         can be compared",
        path.display(),
        found.cells(),
        found.box_size_mpc_h(),
        truth_path.display(),
        expected.cells(),
        expected.box_size_mpc_h(),
    )))
}
