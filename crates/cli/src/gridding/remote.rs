//! Snapshots of IllustrisTNG that come over the web, file by file.

use super::sums::{Mark, Sums};
use super::unfinished::Unfinished;
use super::window::Window;
use super::{Gridding, PARTICLES_AT_ONCE};
use crate::context::Context;
use crate::failure::{bad_input, stopped};
use crate::inputs::SAME_REDSHIFT;
use anyhow::Context as _;
use finescale_snapshot::{GivenUnits, GridFile, Header, Particles, Snapshot};
use finescale_tng::{Chunks, Fields, Prefetch, Remote};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Types of particles and what the web API calls them. Tracers have neither mass nor place, and black holes are few.
const NAMES: [(usize, &str); 4] = [(0, "gas"), (1, "dm"), (4, "stars"), (5, "bhs")];
const DARK_MATTER: usize = 1;
const GAS: usize = 0;

/// What must come of each file.
///
/// # Errors
/// If particles are asked for that TNG's simulations do not have.
pub(crate) fn fields(how: &Gridding) -> anyhow::Result<Vec<Fields>> {
    let wanted = how.wanted();
    let of_type = |&(kind, name): &(usize, &str)| {
        let mut datasets = vec!["Coordinates".to_owned()];
        let mut want = |is_wanted: bool, dataset: &str| {
            if is_wanted && !datasets.iter().any(|known| known == dataset) {
                datasets.push(dataset.to_owned());
            }
        };
        // All dark matter has one mass, which the header says.
        want(kind != DARK_MATTER && (wanted.masses || (wanted.sides && kind == GAS)), "Masses");
        want(wanted.velocities, "Velocities");
        want(wanted.sides && kind == GAS, "Density");
        wanted.columns.iter().for_each(|column| want(true, &column.dataset));
        Fields::new(name, datasets)
    };
    let fields: Vec<Fields> =
        NAMES.iter().filter(|(kind, _)| how.particles.types().contains(kind)).map(of_type).collect();
    if fields.is_empty() {
        return Err(bad_input(format!(
            "--particles {}: TNG's snapshots have gas, dm, stars and bh",
            how.particles
        )));
    }
    Ok(fields)
}

/// Grids a snapshot that comes over the web, as [`super::deposit`] does one on disk; files are kept in `folder` until they
/// are read.
///
/// # Errors
/// Those of the web, of reading and of gridding, and of a gridding that is stopped.
pub(crate) fn deposit_remote(
    context: &Context,
    remote: &Remote,
    how: &Gridding,
    folder: &Path,
    unfinished: &mut Unfinished,
    stop: &AtomicBool,
) -> anyhow::Result<GridFile> {
    let (wanted, fields) = (how.wanted(), fields(how)?);
    let check = |_: usize, path: &Path| {
        let opened = Snapshot::open_one(path, GivenUnits::default());
        opened.and_then(|snapshot| snapshot.check(&how.particles, &wanted)).map_err(|error| error.to_string())
    };
    let first = unfinished.next_file()?;
    let prefetch = Prefetch { remote, wanted: &fields, folder, first, check: &check, stop };
    let mut state = State {
        how,
        first,
        counted: counted(how)?,
        header: None,
        said: Value::Null,
        sums: None,
        promised: 0,
    };
    prefetch
        .run(|chunks| state.take(context, chunks, remote.chunks(), remote.redshift(), unfinished, stop))?;
    state.finish(context, remote)
}

/// The particles that come, which of all matter are those that TNG has.
fn counted(how: &Gridding) -> anyhow::Result<Particles> {
    let kinds = NAMES.iter().map(|(kind, _)| kind).filter(|kind| how.particles.types().contains(kind));
    let kinds: Vec<String> = kinds.map(usize::to_string).collect();
    kinds.join(",").parse().map_err(bad_input)
}

/// A gridding under way.
struct State<'a> {
    how: &'a Gridding,
    first: usize,
    counted: Particles,
    /// Of the first file that came.
    header: Option<Header>,
    /// What all files say of the snapshot.
    said: Value,
    sums: Option<Sums<'static>>,
    /// Particles in all files, as the first one says.
    promised: u64,
}

impl State<'_> {
    fn take(
        &mut self,
        context: &Context,
        chunks: &mut Chunks<'_>,
        files: usize,
        redshift: f64,
        unfinished: &mut Unfinished,
        stop: &AtomicBool,
    ) -> anyhow::Result<()> {
        let mut progress = context.progress("files", "files", files as u64, self.first as u64);
        while let Some(chunk) = chunks.next_chunk()? {
            let number = chunk.number();
            let snapshot = Snapshot::open_one(chunk.path(), GivenUnits::default())?;
            self.begin(context, &snapshot, redshift, unfinished).with_context(|| format!("file {number}"))?;
            let (how, sums) = (self.how, self.sums.as_mut().context("a gridding has begun")?);
            let particles = &how.particles;
            if snapshot.header().count(particles) > 0 {
                snapshot.for_each_batch(particles, &how.wanted(), PARTICLES_AT_ONCE, 0, |batch| {
                    sums.check_new(Mark::new(&batch, number)).with_context(|| format!("file {number}"))?;
                    sums.add(batch, how)
                })?;
            }
            progress.set(number as u64 + 1);
            let is_stopped = stop.load(Ordering::Relaxed);
            // Whoever goes on learns of the snapshot from the file that comes first: one must be left.
            if number + 1 < files {
                unfinished.keep(context, number + 1, sums, is_stopped)?;
            }
            if is_stopped {
                let goes_on = "the same command goes on from there";
                return Err(stopped(format!("stopped after file {number} of {files}; {goes_on}")));
            }
        }
        progress.finish();
        Ok(())
    }

    /// Makes the grid when the first file tells the box, and checks that the others are of the same one.
    fn begin(
        &mut self,
        context: &Context,
        snapshot: &Snapshot,
        redshift: f64,
        unfinished: &mut Unfinished,
    ) -> anyhow::Result<()> {
        let (header, promised) = (snapshot.header(), snapshot.promised(&self.counted));
        let said = json!({
            "box_size_mpc_h": header.box_size_mpc_h,
            "scale_factor": header.scale_factor,
            "mass_table": header.mass_table,
            "length_unit_mpc_h": header.length_unit_mpc_h,
            "files": header.files,
            "promised": promised,
        });
        if self.header.is_some() {
            anyhow::ensure!(
                self.said == said,
                "is of another snapshot than the files before (box, time, masses or counts differ): {said}, and {}",
                self.said
            );
            return Ok(());
        }
        anyhow::ensure!(
            (header.redshift - redshift).abs() <= SAME_REDSHIFT,
            "is at redshift {}, and the service says that the snapshot is at {redshift}",
            header.redshift
        );
        unfinished.snapshot = said.clone();
        let window = Window::new(header, self.how).with_context(|| format!("--cells {}", self.how.cells))?;
        let mut sums = Sums::new(window, self.how, header, None)?;
        unfinished.restore(context, &mut sums)?;
        (self.header, self.said, self.sums, self.promised) =
            (Some(header.clone()), said, Some(sums), promised);
        Ok(())
    }

    fn finish(self, context: &Context, remote: &Remote) -> anyhow::Result<GridFile> {
        let (header, sums) = (self.header.context("no file came")?, self.sums.context("no file came")?);
        anyhow::ensure!(
            sums.done == self.promised,
            "{}: its files hold {} particles, and their headers promise {}; the service has changed, or a file is not whole",
            remote.address(),
            sums.done,
            self.promised
        );
        super::finish(context, sums, &header, self.how, &[remote.address().to_string()])
    }
}
