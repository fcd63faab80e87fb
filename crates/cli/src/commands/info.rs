//! `finescale info`: what a file holds.

use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::Range;
use crate::samples;
use crate::units::UnitOptions;
use anyhow::Context as _;
use clap::Args;
use finescale_field::Windows as _;
use finescale_snapshot::{GridReader, NpyReader, Source};
use finescale_training::ModelSummary;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Info {
    /// A snapshot, grid file, .npy cube, model or run folder
    file: PathBuf,
    #[command(flatten)]
    units: UnitOptions,
}

impl Info {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let info = describe(context, &self.file, &self.units)?;
        context.say(format_args!("{info:#}"));
        Ok(info)
    }
}

fn describe(context: &Context, path: &Path, units: &UnitOptions) -> anyhow::Result<Value> {
    if path.join("metrics.jsonl").is_file() {
        return run_folder(path);
    }
    if path.extension().is_some_and(|ending| ending == "safetensors") {
        return model(path);
    }
    match Source::of(path).context("reading a file")? {
        Source::Snapshot | Source::Catalogue => snapshot(context, path, units),
        Source::Cube => {
            refuse_units(units)?;
            cube(path)
        }
        Source::Grid => {
            refuse_units(units)?;
            Ok(grid(path, &GridReader::open(path).context("reading a grid")?))
        }
    }
}

/// Units are those of snapshots.
fn refuse_units(units: &UnitOptions) -> anyhow::Result<()> {
    match units.is_said() {
        true => Err(bad_input("--unit-length, --unit-mass: for snapshots only; other files have theirs")),
        false => Ok(()),
    }
}

fn grid(path: &Path, reader: &GridReader) -> Value {
    let grid = reader.grid();
    json!({
        "kind": "grid",
        "file": path.to_string_lossy(),
        "cells": grid.cells(),
        "box_size_mpc_h": grid.box_size_mpc_h(),
        "voxel_mpc_h": grid.voxel_mpc_h(),
        "meta": reader.meta(),
        "values_digest": reader.values_digest(),
    })
}

/// A numpy cube says its cells only, unless it is a sample with its description beside it.
fn cube(path: &Path) -> anyhow::Result<Value> {
    let described = samples::described_npy(path)?;
    let box_size = described.as_ref().map(|(_, box_size)| *box_size);
    // Any box will do to look at the values.
    let reader = NpyReader::open(path, box_size.unwrap_or([1.0; 3])).context("reading a numpy cube")?;
    let range = Range::new(&reader)?;
    Ok(json!({
        "kind": "numpy cube",
        "file": path.to_string_lossy(),
        "cells": reader.grid().cells(),
        "box_size_mpc_h": box_size,
        "mean": range.mean(),
        "lowest": range.lowest,
        "highest": range.highest,
        "meta": described.map(|(meta, _)| meta),
    }))
}

fn snapshot(context: &Context, path: &Path, units: &UnitOptions) -> anyhow::Result<Value> {
    let snapshot = units.open(context, path).context("reading a snapshot")?;
    let header = snapshot.header();
    Ok(json!({
        "kind": "snapshot",
        "files": snapshot.files().map(Path::to_string_lossy).collect::<Vec<_>>(),
        "box_size_mpc_h": header.box_size_mpc_h,
        "length_unit_mpc_h": header.length_unit_mpc_h,
        "length_unit_is_assumed": header.length_unit_is_assumed,
        "redshift": header.redshift,
        "scale_factor": header.scale_factor,
        "cosmology": header.cosmology,
        "particles_by_type": header.counts,
        "mass_table_1e10_msun_h": header.mass_table,
    }))
}

fn model(path: &Path) -> anyhow::Result<Value> {
    let model = ModelSummary::read(path).context("reading a model")?;
    Ok(json!({
        "kind": "model",
        "file": path.to_string_lossy(),
        "sha256": model.sha256,
        "parameters": model.parameters,
        "made_by": model.description.lineage.lines(model.description.step),
        "description": model.description,
    }))
}

fn run_folder(path: &Path) -> anyhow::Result<Value> {
    let metrics = path.join("metrics.jsonl");
    let text = finescale_durable::read_text(&metrics)
        .map_err(|error| bad_input(format!("{}: {error}", metrics.display())))?;
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last = |key: &str| lines.iter().rev().find(|line| line.get(key).is_some()).cloned();
    let file = path.join("model.safetensors");
    Ok(json!({
        "kind": "run",
        "folder": path.to_string_lossy(),
        "last_update": last("loss"),
        "last_validation": last("validation_loss"),
        "model": if file.is_file() { Some(model(&file)?) } else { None },
    }))
}
