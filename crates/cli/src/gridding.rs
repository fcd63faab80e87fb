//! From the particles of a snapshot to a field.

mod passes;
mod quantity;
mod remote;
mod slabs;
mod sums;
mod unfinished;
mod window;

pub(crate) use passes::{deposit_in_passes, planes_of_slabs, slab_bytes};
pub(crate) use quantity::{Axis, Quantity, Weight};
pub(crate) use remote::deposit_remote;
pub(crate) use slabs::deposit_on_ranks;
pub(crate) use unfinished::Unfinished;
pub(crate) use window::{Section, section};

use crate::context::Context;
use crate::failure::{bad_input, stopped};
use crate::parts::{Part, PartNumber};
use crate::provenance::provenance;
use anyhow::Context as _;
use finescale_field::{Boundary, Depositor, Grid, LocalDensity, Region, Scheme};
use finescale_snapshot::{GridFile, GridMeta, Header, Particles, SizeOf, Snapshot, Species, Wanted};
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::Ordering;
use sums::{Mark, Sums};
use window::Window;

/// Particles of a batch: 50 MB of positions; up to three batches are in memory.
const PARTICLES_AT_ONCE: usize = 1 << 21;
/// Bytes of a particle in memory while it waits: position, mass, size, velocity.
const BYTES_PER_PARTICLE: u128 = 24 + 4 + 4 + 12;

/// Over what particles are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Spread {
    /// Gas over the volumes of its cells, which the snapshot says
    Cells,
    /// Each particle over the cube that holds eight of them at the density around it
    Density,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cells => "cells",
            Self::Density => "density",
        })
    }
}

/// How particles become a field.
#[derive(Clone, Debug)]
pub(crate) struct Gridding {
    pub(crate) particles: Particles,
    /// Along the longest side of what is gridded.
    pub(crate) cells: usize,
    pub(crate) scheme: Scheme,
    pub(crate) weight: Weight,
    pub(crate) quantity: Quantity,
    /// Over what particles are spread, if they are.
    pub(crate) spread: Option<Spread>,
    /// Not the whole box, but this part of it.
    pub(crate) section: Option<Section>,
    /// Not the whole box, but one of some slabs along x.
    pub(crate) part: Option<PartNumber>,
    /// The axis along which particles are where their redshifts put them.
    pub(crate) redshift_space: Option<Axis>,
}

impl Gridding {
    /// The density of mass in the whole box.
    pub(crate) fn density(particles: Particles, cells: usize, scheme: Scheme) -> Self {
        let (weight, quantity) = (Weight::mass(), Quantity::Density);
        Self {
            particles,
            cells,
            scheme,
            weight,
            quantity,
            spread: None,
            section: None,
            part: None,
            redshift_space: None,
        }
    }

    /// Options that change nothing are mistakes.
    pub(crate) fn check_use(&self) -> anyhow::Result<()> {
        let gas = Species::Gas.particle_type();
        match self.spread == Some(Spread::Cells) && !self.particles.types().contains(&gas) {
            true => Err(bad_input(format!(
                "--spread: {} are no cells of gas, and have no size; --spread=density takes the room that each of them has",
                self.particles
            ))),
            false => Ok(()),
        }
    }

    /// What must be read of each particle.
    pub(crate) fn wanted(&self) -> Wanted {
        let wanted = self.quantity.wanted(&self.weight);
        let velocities = wanted.velocities || self.redshift_space.is_some();
        Wanted { velocities, sides: self.spread == Some(Spread::Cells), ..wanted }
    }

    /// The slab that is gridded, if it is one.
    fn slab(&self, header: &Header) -> anyhow::Result<Option<Part>> {
        let Some(number) = self.part else { return Ok(None) };
        let whole = Window::new(header, self)?.grid;
        let part = Part::new(number, 0, (whole.cells(), whole.box_size_mpc_h()), Boundary::Periodic)?;
        let [_, y, z] = part.of;
        match (y, z) {
            (1, 1) => Ok(Some(part)),
            _ => Err(bad_input("--part: grids are divided into slabs along x; say I/N")),
        }
    }

    /// What is gridded: the whole box, or a part of it.
    fn window(&self, header: &Header) -> anyhow::Result<Window> {
        let whole = Window::new(header, self)?;
        let Some(slab) = self.slab(header)? else { return Ok(whole) };
        let Region { start, shape } = slab.region();
        whole.planes(usize::try_from(start[0])?, shape[0], self.scheme)
    }

    /// The whole box, in cells like those of what is gridded.
    fn whole_box(&self, header: &Header) -> anyhow::Result<Grid> {
        let voxel = Window::new(header, self)?.grid.voxel_mpc_h();
        let sides = header.box_size_mpc_h;
        let cells = [0, 1, 2].map(|axis| (sides[axis] / voxel[axis]).ceil() as usize);
        Ok(Grid::new(cells, sides)?)
    }

    /// What a grid file says of how it was made.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "particles": self.particles.to_string(),
            "cells": self.cells,
            "scheme": self.scheme,
            "weight": self.weight.to_string(),
            "field": self.quantity.to_string(),
            "spread": self.spread.map(|spread| spread.to_string()),
            "region_mpc_h": self.section.map(|section| [section.start_mpc_h, section.sides_mpc_h]),
            "redshift_space": self.redshift_space.map(|axis| axis.to_string()),
            "part": self.part.map(|part| part.to_string()),
        })
    }

    /// Bytes of memory that gridding takes.
    pub(crate) fn memory_bytes(&self, header: &Header) -> anyhow::Result<u128> {
        self.bytes_on(&self.window(header)?.grid, header)
    }

    /// The same on a grid; with the batches of particles that are in memory.
    fn bytes_on(&self, grid: &Grid, header: &Header) -> anyhow::Result<u128> {
        let grids = if self.quantity.is_mean() { 2 } else { 1 };
        let batches = 3 * PARTICLES_AT_ONCE as u128 * BYTES_PER_PARTICLE;
        Ok(grids * Depositor::memory_bytes(grid) + self.local_density_bytes(header)? + batches)
    }

    /// What the counts by which particles are spread take, if there are some.
    pub(crate) fn local_density_bytes(&self, header: &Header) -> anyhow::Result<u128> {
        match self.spread {
            Some(Spread::Density) => Ok(LocalDensity::memory_bytes(&self.whole_box(header)?)?),
            _ => Ok(0),
        }
    }
}

/// Puts the particles of `snapshot` on a grid. What is done is kept in `unfinished` from time to time, if there is one.
///
/// # Errors
/// Those of reading and of gridding, and of a gridding that is stopped.
pub(crate) fn deposit(
    context: &Context,
    snapshot: &Snapshot,
    how: &Gridding,
    unfinished: Option<&mut Unfinished>,
) -> anyhow::Result<GridFile> {
    let window = how.window(snapshot.header()).with_context(|| format!("--cells {}", how.cells))?;
    let local_density = local_density(context, snapshot, how)?;
    let mut sums = Sums::new(window, how, snapshot.header(), local_density.as_ref())
        .with_context(|| format!("--cells {}", how.cells))?;
    gather(context, snapshot, how, &mut sums, unfinished)?;
    finish(context, sums, snapshot.header(), how, &names_of(snapshot))
}

/// How densely the particles lie, where they are spread by that: all files are read once for it.
fn local_density(
    context: &Context,
    snapshot: &Snapshot,
    how: &Gridding,
) -> anyhow::Result<Option<LocalDensity>> {
    if how.spread != Some(Spread::Density) {
        return Ok(None);
    }
    let header = snapshot.header();
    let particles = header.count(&how.particles);
    let mut counts = LocalDensity::depositor(&how.whole_box(header)?)?;
    let mut progress = context.progress("counting", "particles", particles, 0);
    let mut done = 0;
    let turns = (context.ranks().rank(), context.ranks().count());
    snapshot.for_own_batches(&how.particles, &Wanted::default(), PARTICLES_AT_ONCE, turns, |batch| {
        counts.add(&batch.positions_mpc_h, None)?;
        done += batch.positions_mpc_h.len() as u64;
        progress.set(turns.1 as u64 * done);
        anyhow::Ok(())
    })?;
    progress.finish();
    if context.ranks().count() > 1 {
        let (values, total) = counts.state();
        let mut values = [values, &[total]].concat();
        context.ranks().sum_f64(&mut values)?;
        let total = values.pop().unwrap_or_default();
        counts.resume(total, |sums| {
            sums.copy_from_slice(&values);
            anyhow::Ok(())
        })?;
    }
    Ok(Some(LocalDensity::new(counts)?))
}

/// The field of sums that are whole, and what it is.
fn finish(
    context: &Context,
    sums: Sums<'_>,
    header: &Header,
    how: &Gridding,
    sources: &[String],
) -> anyhow::Result<GridFile> {
    sums.warn_of_volumes(context);
    sums.warn_of_positions(context);
    let (done, total, boundary, sizes_from) = (sums.done, sums.total, sums.boundary(), sums.sizes_from);
    let field = sums.finish().with_context(|| sources.first().cloned().unwrap_or_default())?;
    // Tracers were counted, and have no place.
    let slab = how.slab(header)?;
    let mean = match &slab {
        // The same number in slabs of any number of planes.
        Some(slab) => done as f64 / slab.voxels_of_volume(),
        None => {
            let volume: f64 = header.box_size_mpc_h.iter().product();
            done as f64 / volume * field.grid().volume_mpc_h3() / field.grid().voxels() as f64
        }
    };
    let mut meta = GridMeta { boundary, ..meta(header, how, sources, mean, total) };
    say_sizes(&mut meta, how, sizes_from);
    if let Some(slab) = slab {
        slab.say(&mut meta);
    }
    Ok(GridFile { field, meta })
}

/// Says what the sizes of spread particles come from.
fn say_sizes(meta: &mut GridMeta, how: &Gridding, sizes_from: Option<SizeOf>) {
    let name = match how.spread {
        Some(Spread::Density) => Some("the density of particles around each".to_owned()),
        _ => sizes_from.map(|name| name.to_string()),
    };
    if let (Some(name), Some(entries)) = (name, meta.provenance.as_object_mut()) {
        entries.insert("spread_by".to_owned(), name.into());
    }
}

fn names_of(snapshot: &Snapshot) -> Vec<String> {
    snapshot.files().map(|path| path.to_string_lossy().into_owned()).collect()
}

fn gather(
    context: &Context,
    snapshot: &Snapshot,
    how: &Gridding,
    sums: &mut Sums<'_>,
    mut unfinished: Option<&mut Unfinished>,
) -> anyhow::Result<()> {
    let files = snapshot.files().count();
    let stop = unfinished.as_ref().filter(|_| files > 1).map(|_| context.keep_work_on_stop());
    let first = match &mut unfinished {
        Some(unfinished) => unfinished.restore(context, sums)?,
        None => 0,
    };
    let total = snapshot.header().count(&how.particles);
    let mut progress = context.progress("gridding", "particles", total, sums.done);
    let mut file = first;
    snapshot.for_each_batch(&how.particles, &how.wanted(), PARTICLES_AT_ONCE, first, |batch| {
        if batch.file != file
            && let Some(unfinished) = &mut unfinished
        {
            file = batch.file;
            let is_stopped = stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
            unfinished.keep(context, file, sums, is_stopped)?;
            if is_stopped {
                let goes_on = "the same command goes on from there";
                return Err(stopped(format!("stopped before file {file} of {files}; {goes_on}")));
            }
        }
        let name =
            || snapshot.files().nth(batch.file).map_or_else(String::new, |path| path.display().to_string());
        sums.check_new(Mark::new(&batch, batch.file)).with_context(name)?;
        sums.add(batch, how)?;
        progress.set(sums.done);
        anyhow::Ok(())
    })?;
    progress.finish();
    Ok(())
}

fn meta(header: &Header, how: &Gridding, sources: &[String], mean: f64, total: f64) -> GridMeta {
    let mut provenance = provenance(json!({
        "sources": sources,
        "origin": header.origin,
        "total_weight": total,
    }));
    if let (Some(entries), Value::Object(described)) = (provenance.as_object_mut(), how.describe()) {
        entries.extend(described);
    }
    GridMeta {
        cosmology: header.cosmology,
        assignment: Some(how.scheme),
        unit: how.quantity.unit(),
        is_spread: how.spread.is_some(),
        redshift_space: how.redshift_space.map(|axis| axis.to_string()),
        start_mpc_h: how.section.map(|section| section.start_mpc_h),
        provenance,
        ..GridMeta::new(how.quantity.name(&how.particles, &how.weight), header.redshift, mean)
    }
}
