//! The particles of a snapshot on a grid.

use super::GridCommand;
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::Range;
use crate::files::{fingerprint, is_npy, lock};
use crate::gridding::{
    Gridding, Quantity, Spread, Unfinished, Weight, deposit, deposit_in_passes, deposit_on_ranks,
    planes_of_slabs, slab_bytes,
};
use crate::parse::GIB;
use crate::parts::{FINGERPRINT, check_is_grid};
use crate::samples;
use crate::units::warn_of_matter_left_out;
use anyhow::Context as _;
use finescale_field::{Grid, ScalarName, Scheme, available_memory_bytes, readable_bytes};
use finescale_snapshot::{GridMeta, GridReader, Snapshot, Species, snapshot_of_run};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// A larger share of empty voxels of gas is told.
const MOST_EMPTY: f64 = 0.01;

impl GridCommand {
    pub(super) fn grid_snapshot(&self, context: &Context) -> anyhow::Result<Value> {
        let how = self.how()?;
        let options = &self.snapshot;
        let path = match options.number {
            None => Cow::Borrowed(self.source.as_path()),
            Some(number) => Cow::Owned(snapshot_of_run(&self.source, number as usize)?),
        };
        let chunks = options.chunks.as_ref().map(|chunks| chunks.0.as_slice());
        let snapshot = options.units.open_some(context, &path, chunks).context("reading a snapshot")?;
        self.check_output(&snapshot.files().collect::<Vec<_>>())?;
        context.check_files(snapshot.files())?;
        if how.part.is_some() {
            check_is_grid(&self.output)?;
        }
        how.check_use()?;
        self.check_scalars(&how)?;
        snapshot.check(&how.particles, &how.wanted()).context("reading a snapshot")?;
        let planes = match context.ranks().count() {
            1 => self.planes(&snapshot, &how)?,
            ranks => {
                self.check_ranks(ranks, &how)?;
                Some(snapshot.header().grid(how.cells)?.cells()[0].div_ceil(ranks))
            }
        };
        if context.has_walltime() && planes.is_some() {
            return Err(bad_input(
                "--walltime: nothing is kept of a gridding by several ranks, or in passes, that is stopped; give it the time that it needs, and leave this out",
            ));
        }
        if options.dry_run {
            return Self::dry_run(context, &snapshot, &how, planes);
        }
        warn_of_matter_left_out(context, &path, &snapshot, &how.particles)?;
        if chunks.is_some() {
            context.warn(format_args!(
                "--chunks: a part of a snapshot; its voxels hold what these files have of the box, in units of their own mean"
            ));
        }
        let _lock = context.ranks().is_first().then(|| lock(&self.output)).transpose()?;
        let say = |meta: &mut GridMeta| self.set_scalars(meta);
        let (meta, grid, range) = match planes {
            _ if context.ranks().count() > 1 => {
                deposit_on_ranks(context, &snapshot, &how, &self.output, say)?
            }
            None => self.at_once(context, &snapshot, &how)?,
            Some(planes) => {
                let meta = deposit_in_passes(context, &snapshot, &how, planes, &self.output, say)?;
                let grid = GridReader::open(&self.output).context("reading a grid")?;
                (meta, *grid.grid(), Range::new(&grid)?)
            }
        };
        warn_of_empty_voxels(context, &how, &range);
        let unit = meta.unit.as_ref().map_or_else(String::new, |unit| format!(" ({unit})"));
        context.say(format_args!("{}: {}{unit}", self.output.display(), range.summary(&grid)));
        Ok(json!({ "grid": self.output.to_string_lossy(), "cells": how.cells, "meta": meta }))
    }

    /// The whole grid in memory: what it is, and what its values range over.
    fn at_once(
        &self,
        context: &Context,
        snapshot: &Snapshot,
        how: &Gridding,
    ) -> anyhow::Result<(GridMeta, Grid, Range)> {
        let every = Duration::from_secs(self.snapshot.save_every.into());
        let identity = json!({
            "how": how.describe(),
            "files": stamps(snapshot)?,
            // Counts, masses and units of each file, and what the header says.
            "snapshot": format!("{snapshot:?}"),
        });
        let mut unfinished = Unfinished::new(&self.output, identity, every);
        let of_part = how.part.map(|_| fingerprint(snapshot.files())).transpose()?;
        let mut grid =
            deposit(context, snapshot, how, Some(&mut unfinished)).context("gridding a snapshot")?;
        self.set_scalars(&mut grid.meta);
        if let Some(fingerprint) = of_part {
            grid.meta.provenance[FINGERPRINT] = fingerprint.into();
        }
        samples::save(&self.output, &grid.field, &grid.meta, || Ok(()))?;
        unfinished.remove()?;
        Ok((grid.meta, *grid.field.grid(), Range::of(grid.field.as_slice())))
    }

    /// What several ranks grid: a whole box, into a grid file.
    fn check_ranks(&self, ranks: usize, how: &Gridding) -> anyhow::Result<()> {
        let refused = [
            ("--region", how.section.is_some()),
            ("--part", how.part.is_some()),
            ("a .npy cube", is_npy(&self.output)),
            ("--memory", self.snapshot.memory.is_some()),
        ];
        match refused.into_iter().find(|(_, is_asked)| *is_asked) {
            Some((what, _)) => Err(bad_input(format!(
                "{what}: {ranks} ranks grid whole boxes into grid files, a slab in the memory of each; start one process for this"
            ))),
            None => Ok(()),
        }
    }

    /// Planes of a slab, if the grid does not fit into memory at once.
    fn planes(&self, snapshot: &Snapshot, how: &Gridding) -> anyhow::Result<Option<usize>> {
        let header = snapshot.header();
        let (needed, available) = (how.memory_bytes(header)?, available_memory_bytes());
        let all = header.grid(how.cells).map(|grid| grid.cells()[0]);
        let given = self.snapshot.memory.map(|gib| (gib * GIB) as u64);
        let Some(limit) = given.or(available).filter(|limit| needed > u128::from(*limit)) else {
            return Ok(None);
        };
        if how.section.is_some() || how.part.is_some() || is_npy(&self.output) {
            return Err(bad_input(format!(
                "--cells: needs {} of memory, and there are {}; take fewer cells, or more slabs (--part; whole boxes in grid files are gridded some planes at a time)",
                readable_bytes(needed),
                readable_bytes(limit.into())
            )));
        }
        // What every slab needs is not cut.
        let counts = how.local_density_bytes(header)?;
        let left = limit.saturating_sub(u64::try_from(counts)?);
        planes_of_slabs(all?, needed - counts, left).map(Some)
    }

    pub(super) fn how(&self) -> anyhow::Result<Gridding> {
        let options = &self.snapshot;
        let particles = options.particles.clone().ok_or_else(|| {
            bad_input(
                "--particles: which particles? gas, dm, stars, bh, matter, or numbers of types such as 1,2,3",
            )
        })?;
        let cells =
            options.cells.ok_or_else(|| bad_input("--cells: how many cells along the longest side?"))?;
        Ok(Gridding {
            particles,
            cells: cells as usize,
            scheme: options.scheme.unwrap_or(Scheme::Cic),
            weight: options.weight.clone().unwrap_or_else(Weight::mass),
            quantity: options.field.clone().unwrap_or(Quantity::Density),
            spread: options.spread,
            section: options.region,
            part: options.part,
            redshift_space: options.redshift_space,
        })
    }

    /// What moves particles is read of the snapshot: a parameter that is said for the file would contradict it.
    fn check_scalars(&self, how: &Gridding) -> anyhow::Result<()> {
        let used = [ScalarName::Redshift, ScalarName::OmegaM];
        let said = self.scalars.iter().find(|(name, _)| used.contains(name));
        match (said, how.redshift_space) {
            (Some((name, _)), Some(_)) => Err(bad_input(format!(
                "--scalar {name}: --redshift-space moves particles by what the snapshot itself says of it; correct its header instead"
            ))),
            _ => Ok(()),
        }
    }

    fn dry_run(
        context: &Context,
        snapshot: &Snapshot,
        how: &Gridding,
        planes: Option<usize>,
    ) -> anyhow::Result<Value> {
        let header = snapshot.header();
        let (particles, files) = (header.count(&how.particles), snapshot.files().count());
        let (needed, passes) = match planes {
            None => (how.memory_bytes(header)?, 1),
            Some(planes) => {
                (slab_bytes(snapshot, how, planes)?, header.grid(how.cells)?.cells()[0].div_ceil(planes))
            }
        };
        // Ranks take turns at reading.
        let passes = if context.ranks().count() > 1 { 1 } else { passes };
        let passes = passes + usize::from(how.spread == Some(Spread::Density));
        context.say(format_args!(
            "{particles} {} in {files} files, read {passes} times; memory needed: {}, available: {}",
            how.particles,
            readable_bytes(needed),
            available_memory_bytes().map_or("unknown".to_owned(), |bytes| readable_bytes(bytes.into()))
        ));
        Ok(json!({
            "particles": particles,
            "files": files,
            "passes": passes,
            "memory_bytes": u64::try_from(needed).unwrap_or(u64::MAX),
            "available_bytes": available_memory_bytes(),
        }))
    }
}

/// The files of a snapshot, and what changes when they do.
fn stamps(snapshot: &Snapshot) -> anyhow::Result<Vec<Value>> {
    let stamp = |path: &Path| -> anyhow::Result<Value> {
        let found = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        Ok(json!([path.to_string_lossy(), found.len(), found.dev(), found.ino(), times]))
    };
    snapshot.files().map(stamp).collect()
}

/// Gas has no holes: empty voxels are those that its cells are larger than.
pub(super) fn warn_of_empty_voxels(context: &Context, how: &Gridding, range: &Range) {
    let has_gas = how.particles.types().contains(&Species::Gas.particle_type());
    if !how.quantity.is_mean() && !has_gas {
        return;
    }
    let &Range { empty, voxels, .. } = range;
    let share = empty as f64 / voxels as f64;
    if how.quantity.is_mean() && empty > 0 {
        context.warn(format_args!(
            "{empty} voxels ({:.3} %) are 0: they hold no particles, and nothing has a mean there, or their mean is 0; fewer --cells, \
             a wider --scheme, or, of gas, --spread leave fewer without particles",
            100.0 * share
        ));
    }
    if share > MOST_EMPTY && !how.quantity.is_mean() && how.spread.is_none() {
        context.warn(format_args!(
            "{:.0} % of the voxels hold nothing, which gas does not do: its cells are larger than voxels there; spread them \
             over their volumes with --spread (or by their density with --spread=density), or use fewer --cells",
            100.0 * share
        ));
    }
}
