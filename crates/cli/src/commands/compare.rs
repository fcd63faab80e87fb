//! `finescale compare`: samples against the truth.

mod against;
mod verdict;

use against::{Simulation, beside_tng300};
pub(crate) use verdict::tell;

use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::files::{cannot_write, check_output, is_there, lock, sha256};
use crate::inputs::{BoxFiles, BoxInputs, Input, numbered};
use crate::parse::region;
use crate::part::Part;
use crate::provenance::provenance;
use crate::{draws, tiles, training_data};
use anyhow::Context as _;
use clap::Args;
use finescale_field::Region;
use finescale_judge::{
    Against, Beside, BoxSummary, Companion, Comparison, Denominator, Fields, JudgeError, Labelled,
    Measurements, OverComparison, PublishedPair, PublishedSpectrum, TrainedBox, steps,
};
use finescale_report::{Pictures, write};
use finescale_spectra::TileFaces;
use finescale_training::Lineage;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// The true high-resolution field
    #[arg(long, value_name = "GRID", required_unless_present = "boxes", requires = "samples")]
    truth: Option<PathBuf>,
    /// A sample; several, of one model, show the calibration
    #[arg(long = "sample", value_name = "GRID", num_args = 1.., requires = "truth")]
    samples: Vec<PathBuf>,
    /// Name of a sample in the report; give the option once for each --sample, in their order [default: sample 1, ...]
    #[arg(long = "label", value_name = "NAME", requires = "samples")]
    labels: Vec<String>,
    /// The low-resolution field that the samples were drawn from
    #[arg(long, value_name = "GRID", requires = "truth")]
    condition: Option<PathBuf>,
    /// Another field of the truth's universe, such as its fine dark matter: how samples go with it is judged, too
    #[arg(long, value_name = "GRID", requires = "truth")]
    companion: Option<PathBuf>,
    /// The same of each sample, that was drawn together with it: one for each --sample, in their order
    #[arg(long = "companion-sample", value_name = "GRID", num_args = 1.., requires = "companion")]
    companion_samples: Vec<PathBuf>,
    /// Folders of further boxes, one per box, with truth.hdf5, sample*.hdf5 and, if there are such, condition.hdf5,
    /// companion.hdf5 and companion_sample*.hdf5 (or .npy): averages and errors are over all boxes; figures show that of --truth, or else the first
    #[arg(long = "box", value_name = "DIR", num_args = 1..)]
    boxes: Vec<PathBuf>,
    /// Control field made of independently drawn tiles; the seam test has to flag it
    #[arg(long, value_name = "GRID")]
    independent_tiles: Option<PathBuf>,
    /// Test for seams every N cells, from the first cell of a sample's file on, instead of where the files say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    tile_period: Option<u32>,
    /// Compare only a part: first cell of the truth's box and cells, as X,Y,Z:NX,NY,NZ or X,Y,Z:N [default: what the
    /// samples cover]
    #[arg(long, value_parser = region, allow_hyphen_values = true)]
    region: Option<Region>,
    /// Compare only the part of the box that the training of the samples' model left out (its data.hold_out)
    #[arg(long, conflicts_with = "region")]
    held_out: bool,
    /// A published power spectrum to draw in; may be repeated. A table of k in h/Mpc and P in (Mpc/h)^3 without a mass
    /// assignment window, or one of `finescale spectrum -o x.csv`; the fields' windows are divided out beside it
    #[arg(long, value_name = "FILE")]
    truth_spectrum: Vec<PathBuf>,
    /// A field that the power of truth and samples is divided by and that they are correlated with, such as the dark matter
    /// of the box (the first, with --box)
    #[arg(long, value_name = "GRID")]
    over: Option<PathBuf>,
    /// Of --truth-spectrum, in their order: what each is divided by beside --over, such as the dark matter's
    #[arg(long, value_name = "FILE", requires_all = ["over", "truth_spectrum"])]
    over_spectrum: Vec<PathBuf>,
    /// A simulation whose own spectra, which ship with finescale, are drawn in at the truth's redshift, of 0 to 3: the
    /// power of its baryons, and beside --over also P_b/P_dm and r of both
    #[arg(long, value_enum, value_name = "SIMULATION")]
    against: Option<Simulation>,
    #[command(flatten)]
    cube: Cube,
    /// Heading of the report [default: Samples against the truth]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Folder for report.html, report.json, figures and tables
    #[arg(short, long, value_name = "DIR", value_parser = crate::parse::folder())]
    output: PathBuf,
    /// Replace a report that is there
    #[arg(long)]
    overwrite: bool,
}

/// The files that make a folder a report.
const REPORT: [&str; 2] = ["report.html", "report.json"];

/// All that is known before the values of the fields are read.
struct Prepared {
    boxes: Vec<BoxInputs>,
    /// What of each box is compared.
    parts: Vec<Part>,
    published: Vec<PublishedSpectrum>,
    /// What the fields are put beside, and published pairs of spectra with that.
    over: Option<Denominator>,
    published_over: Vec<PublishedPair>,
    /// Whose spectra are the last ones of both.
    against: Option<Against>,
    training_overlap: Option<Vec<TrainedBox>>,
    /// Warnings.
    notes: Vec<String>,
}

impl Compare {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let mut prepared = self.prepare(context)?;
        prepared.notes.iter().for_each(|note| context.warn(note));
        let over = prepared.over.take();
        let Prepared { boxes, parts, published_over, .. } = &prepared;
        let (told, mut found) = (prepared.notes.len(), Vec::new());
        let look = |fields: &Fields<'_>, measured: &Measurements| {
            let over = over.map(|under| OverComparison::new(&under, published_over, fields, measured));
            (Pictures::new(fields), over.transpose())
        };
        let (measured, (pictures, over)) = self.measure(context, &boxes[0], &parts[0], &mut found, look)?;
        let mut summaries = Vec::new();
        for (of_box, part) in boxes.iter().zip(parts).skip(1) {
            context.say(format_args!("{}", of_box.name));
            summaries.push(self.measure(context, of_box, part, &mut found, |_, _| ())?.0.summary);
        }
        prepared.notes.extend(found);
        let beside = Beside { over: over?, ..self.beside(prepared, summaries)? };
        let comparison = Comparison::new(measured, beside)?;
        let folder = finescale_durable::create_folder(&self.output);
        folder.map_err(|error| cannot_write(&self.output, &error))?;
        let _alone = lock(&self.output.join(REPORT[0]))?;
        // Minutes later: what somebody else put there since is not replaced either.
        self.refuse_existing()?;
        let paths = write(&comparison, &pictures, &self.output).context("writing the report")?;
        tell(context, &comparison, told);
        context.say(format_args!("report: {}", paths.html.display()));
        Ok(json!({
            "report": paths.html.to_string_lossy(),
            "report_json": paths.json.to_string_lossy(),
            "verdict": comparison.measured.verdict,
            "goals": comparison.goals,
        }))
    }

    /// Checks all that can be wrong before the values are read.
    fn prepare(&self, context: &Context) -> anyhow::Result<Prepared> {
        self.check_labels()?;
        let files = self.boxes()?;
        self.check_output(&files)?;
        self.refuse_existing()?;
        let mut published =
            self.truth_spectrum.iter().map(|path| table(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut published_over = self.published_over(&published)?;
        let boxes = self.open(context, &files)?;
        let samples: Vec<&Input> = boxes.iter().flat_map(|of_box| &of_box.samples).collect();
        draws::check_files_differ(&samples)?;
        let of_model = draws::check_one_model(&samples)?;
        boxes.iter().try_for_each(|of_box| draws::check_one_condition(&of_box.samples))?;
        boxes.iter().try_for_each(draws::check_companions)?;
        draws::check_companions_of_all(&boxes)?;
        draws::check_boxes_differ(&boxes)?;
        boxes.iter().try_for_each(draws::check_condition)?;
        let lineage = training_data::lineage(&samples);
        let part_of = |of_box| Part::new(of_box, self.asked(of_box, lineage.as_ref())?);
        let parts = boxes.iter().map(part_of).collect::<anyhow::Result<Vec<_>>>()?;
        let of_parents = lineage.as_ref().and_then(training_data::unknown);
        let training_overlap = lineage.map(|lineage| training_data::overlap(&boxes, &parts, &lineage));
        let of_training = training_overlap.iter().flatten().filter_map(training_data::warning);
        let of_window = self.window_warning(&boxes[0]);
        let of_noise = draws::shared_noise(&boxes);
        let of_files = boxes.iter().flat_map(BoxInputs::notes);
        let notes = of_model.into_iter().chain(of_training).chain(of_parents).chain(of_noise).chain(of_files);
        let of_parts = parts.iter().zip(&boxes).filter_map(|(part, of_box)| part.warning(of_box));
        let of_universes = boxes.iter().skip(1).flat_map(|other| other.truth.other_universe(&boxes[0].truth));
        let notes =
            notes.chain(draws::what_they_are(&boxes)).chain(of_universes).chain(of_parts).chain(of_window);
        let mut notes: Vec<String> = notes.collect();
        let over =
            self.over.as_deref().map(|path| Input::open("denominator", path, self.cube)).transpose()?;
        let against = match self.against {
            Some(Simulation::Tng300) => {
                let (found, spectra) = beside_tng300(&boxes[0], over.as_ref(), &mut notes)?;
                published.push(spectra.baryons());
                published_over.push(spectra.baryons_over_dark_matter());
                Some(found)
            }
            None => None,
        };
        let over = over.map(|input| denominator(&input, &boxes[0], &parts[0], &mut notes)).transpose()?;
        Ok(Prepared { notes, boxes, parts, published, over, published_over, against, training_overlap })
    }

    /// The pairs of published spectra that are divided by each other.
    fn published_over(&self, published: &[PublishedSpectrum]) -> anyhow::Result<Vec<PublishedPair>> {
        let (above, below) = (published.len(), self.over_spectrum.len());
        if ![0, above].contains(&below) {
            return Err(bad_input(format!(
                "--over-spectrum: {below} are given for {above} of --truth-spectrum; give one for each, in their order"
            )));
        }
        let below = self.over_spectrum.iter().map(|path| table(path));
        published
            .iter()
            .cloned()
            .zip(below)
            .map(|(above, below)| Ok(PublishedPair::new(above, below?)))
            .collect()
    }

    /// The warning that power cannot stand beside a published one without a window.
    fn window_warning(&self, inputs: &BoxInputs) -> Option<String> {
        let option = match (self.truth_spectrum.is_empty(), self.against) {
            (false, _) => "--truth-spectrum",
            (true, Some(_)) => "--against",
            (true, None) => return None,
        };
        let fields = [&inputs.truth].into_iter().chain(&inputs.condition).chain(&inputs.samples);
        let unknown = fields.into_iter().find(|input| input.meta.assignment.is_none())?;
        Some(format!(
            "{option}: {} does not say its mass assignment, so that all power is shown as gridded, with the windows in \
             it, and a published one has none; grid files say theirs",
            unknown.path.display()
        ))
    }

    /// What stands beside the measurements of the first box.
    fn beside(&self, prepared: Prepared, summaries: Vec<BoxSummary>) -> anyhow::Result<Beside> {
        let Prepared { boxes, parts, published, against, training_overlap, notes, .. } = prepared;
        let mut inputs: Vec<Value> = boxes.iter().flat_map(BoxInputs::all).map(Input::json).collect();
        if let Some(path) = &self.over {
            inputs.push(
                json!({ "role": "denominator", "file": path.to_string_lossy(), "sha256": sha256(path)? }),
            );
        }
        for path in self.truth_spectrum.iter().chain(&self.over_spectrum) {
            inputs.push(json!({ "role": "published spectrum", "file": path.to_string_lossy(), "sha256": sha256(path)? }));
        }
        Ok(Beside {
            title: self.title.clone().unwrap_or_default(),
            boxes: summaries,
            published,
            against,
            region: (!parts[0].is_whole).then_some(parts[0].region),
            training_overlap,
            notes,
            provenance: provenance(json!({ "inputs": inputs, "tile_period": self.tile_period })),
            ..Beside::default()
        })
    }

    /// Checks that every sample has its name, or none.
    fn check_labels(&self) -> anyhow::Result<()> {
        let is_taken = |number: usize| {
            let label = self.labels[number].trim();
            label.is_empty()
                || ["truth", "condition"].contains(&label)
                || self.labels[..number].iter().any(|other| other.trim() == label)
        };
        if let Some(number) = (0..self.labels.len()).find(|&number| is_taken(number)) {
            return Err(bad_input(format!(
                "--label {:?}: is empty, or names something else already; give each sample a name of its own",
                self.labels[number]
            )));
        }
        let (labels, samples) = (self.labels.len(), self.samples.len());
        if labels == 0 || labels == samples {
            return Ok(());
        }
        Err(bad_input(format!(
            "--label: {labels} names are given for {samples} samples; give --label once for each --sample, or leave it out"
        )))
    }

    /// Checks that the report can be written and replaces none of its inputs.
    fn check_output(&self, boxes: &[BoxFiles]) -> anyhow::Result<()> {
        let inputs: Vec<&Path> = boxes
            .iter()
            .flat_map(BoxFiles::all)
            .chain(&self.independent_tiles)
            .chain(&self.truth_spectrum)
            .chain(&self.over_spectrum)
            .chain(&self.over)
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
        for name in REPORT {
            check_output(&self.output.join(name), inputs.iter().copied())?;
        }
        Ok(())
    }

    /// Refuses to replace a report, unless that is wanted.
    fn refuse_existing(&self) -> anyhow::Result<()> {
        if self.overwrite {
            return Ok(());
        }
        for path in REPORT.map(|name| self.output.join(name)) {
            if is_there(&path)? {
                return Err(bad_input(format!(
                    "{}: is there already; choose another --output, or add --overwrite to replace the report",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// The boxes, one at least; of those named as folders, their files.
    fn boxes(&self) -> anyhow::Result<Vec<BoxFiles>> {
        let named = self.truth.as_ref().map(|truth| BoxFiles {
            name: "box 1".to_owned(),
            truth: truth.clone(),
            labels: match self.labels.is_empty() {
                true => numbered(self.samples.len()),
                false => self.labels.clone(),
            },
            samples: self.samples.clone(),
            condition: self.condition.clone(),
            companion: self.companion.clone(),
            companion_samples: self.companion_samples.clone(),
        });
        let folders = self.boxes.iter().map(|folder| BoxFiles::in_folder(folder));
        named.map(Ok).into_iter().chain(folders).collect()
    }

    /// The part of a box that somebody asks for.
    fn asked(&self, inputs: &BoxInputs, lineage: Option<&Lineage>) -> anyhow::Result<Option<Region>> {
        if self.held_out { training_data::held_out(inputs, lineage).map(Some) } else { Ok(self.region) }
    }

    /// What the files of all boxes are; the first has the independent tiles.
    fn open(&self, context: &Context, boxes: &[BoxFiles]) -> anyhow::Result<Vec<BoxInputs>> {
        let mut tiles = self.independent_tiles.as_deref();
        let count = boxes.iter().flat_map(BoxFiles::all).count() + tiles.iter().len();
        let mut progress = context.progress("compare, checksums", "files", count as u64, 0);
        let open = |files| BoxInputs::open(files, tiles.take(), self.cube, &mut progress);
        let opened = boxes.iter().map(open).collect();
        progress.finish();
        opened
    }

    /// All statistics of a part of one box, and what `look` takes from its fields and them.
    fn measure<T>(
        &self,
        context: &Context,
        inputs: &BoxInputs,
        part: &Part,
        notes: &mut Vec<String>,
        look: impl FnOnce(&Fields<'_>, &Measurements) -> T,
    ) -> anyhow::Result<(Measurements, T)> {
        let mut read = |input: &Input| input.read(&part.window(input, &inputs.truth)?, part.grid, notes);
        let truth = read(&inputs.truth)?;
        let condition = inputs.condition.as_ref().map(&mut read).transpose()?;
        let samples = inputs.samples.iter().map(&mut read).collect::<anyhow::Result<Vec<_>>>()?;
        let tiles = inputs.independent_tiles.as_ref().map(&mut read).transpose()?;
        let companion = inputs.companion.as_ref().map(&mut read).transpose()?;
        let companion_samples =
            inputs.companion_samples.iter().map(&mut read).collect::<anyhow::Result<Vec<_>>>()?;
        let values: Vec<_> = inputs.samples.iter().zip(&samples).collect();
        draws::check_values_differ(&values)?;
        notes.extend(draws::truth_among(&truth, &values));
        let boundary = part.boundary;
        let labelled = |label: &str, input: &Input, field| {
            Labelled::new(label, field).with_assignment(input.meta.assignment).with_boundary(boundary)
        };
        let tiled = |label: &str, input: &Input, field| -> anyhow::Result<_> {
            let window = part.window(input, &inputs.truth)?;
            let field = labelled(label, input, field);
            Ok(field.with_faces(self.faces(input, &window)))
        };
        let of_samples = inputs.samples.iter().zip(&samples).zip(&inputs.labels);
        let of_tiles = inputs.independent_tiles.as_ref().zip(tiles.as_ref());
        let fields = Fields {
            truth: labelled("truth", &inputs.truth, &truth),
            condition: inputs
                .condition
                .as_ref()
                .zip(condition.as_ref())
                .map(|(input, field)| labelled("condition", input, field)),
            samples: of_samples
                .map(|((input, field), label)| tiled(label, input, field))
                .collect::<anyhow::Result<_>>()?,
            independent_tiles: of_tiles
                .map(|(input, field)| tiled("independent tiles", input, field))
                .transpose()?,
            companion: inputs.companion.as_ref().zip(companion.as_ref()).map(|(input, truth)| Companion {
                label: input.meta.quantity.replace("unknown", "the other field"),
                truth,
                samples: companion_samples.iter().collect(),
            }),
        };
        let name = &inputs.name;
        let measured = measured(context, name, &fields).with_context(|| format!("comparing {name}"))?;
        let seen = look(&fields, &measured);
        Ok((measured, seen))
    }

    /// Where the tiles of a sample meet in a window of it.
    fn faces(&self, sample: &Input, window: &Region) -> Result<Vec<TileFaces>, String> {
        let grid = &sample.grid;
        let faces = match self.tile_period {
            Some(period) if grid.cells().iter().all(|&n| n <= period as usize) => {
                Err(format!("--tile-period {period}: the field is one tile"))
            }
            Some(period) => Ok(vec![TileFaces::every(period as usize, 0, grid.cells())]),
            None => tiles::faces_of(grid, &sample.meta),
        }?;
        match *window == Region::whole(grid) {
            true => Ok(faces),
            false => tiles::within_all(&faces, grid.cells(), window),
        }
    }
}

fn table(path: &Path) -> anyhow::Result<PublishedSpectrum> {
    let text = finescale_durable::read_text(path).map_err(|error| {
        bad_input(format!("{}: {error}; --truth-spectrum needs a text table", path.display()))
    })?;
    let label = path.file_stem().unwrap_or_default().to_string_lossy();
    PublishedSpectrum::parse(label, path, &text).map_err(|error| bad_input(error.to_string()))
}

/// All statistics of a box, with progress.
fn measured(context: &Context, name: &str, fields: &Fields<'_>) -> Result<Measurements, JudgeError> {
    let progress = context.progress(&format!("compare, {name}"), "statistics", steps(fields), 0);
    let progress = RefCell::new((progress, 0));
    let measured = Measurements::watched(name, fields, &|field, statistic| {
        let (progress, begun) = &mut *progress.borrow_mut();
        progress.remark(format!("{field}: {statistic}"));
        progress.set(*begun);
        *begun += 1;
    });
    let (mut progress, done) = progress.into_inner();
    progress.remark(String::new());
    progress.set(done);
    progress.finish();
    measured
}

/// What truth and samples are put beside: the part of it that is compared.
fn denominator(
    input: &Input,
    of_box: &BoxInputs,
    part: &Part,
    notes: &mut Vec<String>,
) -> anyhow::Result<Denominator> {
    let field = input.read(&part.window(input, &of_box.truth)?, part.grid, notes)?;
    let found = input.other_origin(&of_box.truth).into_iter().chain(input.note.clone());
    notes.extend(found.map(|note| format!("--over: {note}")));
    let label = input.meta.quantity.replace("unknown", "the field of --over");
    Ok(Denominator::new(&Labelled::new(label, &field).with_boundary(part.boundary))?)
}
