//! `finescale grid`: from particles to a field.

use crate::context::Context;
use crate::fields::{self, Gridding, Weight};
use crate::files::{Overwrite, check_grid_name};
use crate::parse::scalar;
use crate::samples;
use crate::units::{UnitOptions, warn_of_matter_left_out};
use anyhow::Context as _;
use clap::Args;
use finescale_field::{Field3, ScalarName, Scheme};
use finescale_snapshot::{Particles, Species};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A larger share of empty voxels of gas is told.
const MOST_EMPTY: f64 = 0.01;

#[derive(Args, Debug)]
pub(crate) struct GridCommand {
    /// A snapshot: a file, any file of a set, or the folder snapdir_NNN
    snapshot: PathBuf,
    /// Which particles: gas, dm, stars, bh, matter (all that has a mass), or numbers of types such as 1,2,3
    #[arg(long)]
    particles: Particles,
    /// Cells along the longest side of the box
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8192))]
    cells: u32,
    /// Mass assignment: ngp, cic, tsc or pcs
    #[arg(long, default_value = "cic")]
    scheme: Scheme,
    /// Weight of a particle: its mass, or 1
    #[arg(long, value_enum, default_value_t = Weight::Mass)]
    weight: Weight,
    /// Spread cells of gas over their volumes (Volume, or mass over Density): where they are larger than voxels, voxels inside
    /// of them are not empty. The window of the mass assignment is in the field as without; that of the cells' own sizes is, too
    #[arg(long)]
    spread: bool,
    /// Store a parameter that the snapshot lacks or has wrong: redshift, omega_m or sigma_8; may be repeated
    #[arg(long = "scalar", value_name = "NAME=VALUE", value_parser = scalar)]
    scalars: Vec<(ScalarName, f64)>,
    /// The grid file to write; a name ending in .npy gives a numpy cube, described by NAME.npy.json beside it
    #[arg(short, long, value_name = "GRID")]
    output: PathBuf,
    #[command(flatten)]
    units: UnitOptions,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl GridCommand {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let snapshot = self.units.open(context, &self.snapshot).context("reading a snapshot")?;
        warn_of_matter_left_out(context, &self.snapshot, &snapshot, &self.particles)?;
        for file in samples::files_of(&self.output) {
            self.overwrite.check(&file, snapshot.files())?;
        }
        check_grid_name(&self.output)?;
        let how = Gridding {
            particles: self.particles.clone(),
            cells: self.cells as usize,
            scheme: self.scheme,
            weight: self.weight,
            spread: self.spread,
        };
        let mut grid = fields::deposit(context, &snapshot, &how).context("gridding a snapshot")?;
        self.warn_of_empty_voxels(context, &grid.field);
        self.scalars.iter().for_each(|&(name, value)| grid.meta.set_scalar(name, value));
        samples::save(&self.output, &grid.field, &grid.meta, || Ok(()))?;
        context.say(format_args!("{}: {}", self.output.display(), fields::summary(&grid.field)?));
        Ok(json!({ "grid": self.output.to_string_lossy(), "cells": self.cells, "meta": grid.meta }))
    }

    /// Gas has no holes: empty voxels are those that its cells are larger than.
    fn warn_of_empty_voxels(&self, context: &Context, field: &Field3) {
        let gas = Species::Gas.particle_type();
        let empty = field.as_slice().iter().filter(|&&value| value == 0.0).count();
        let share = empty as f64 / field.grid().voxels() as f64;
        if self.particles.types().contains(&gas) && !self.spread && share > MOST_EMPTY {
            context.warn(format_args!(
                "{:.0} % of the voxels hold nothing, which gas does not do: its cells are larger than voxels there; spread them \
                 over their volumes with --spread, or use fewer --cells",
                100.0 * share
            ));
        }
    }
}
