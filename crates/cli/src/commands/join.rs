//! `finescale join`: one volume of the parts that jobs have drawn.

use crate::context::Context;
use crate::failure::bad_input;
use crate::fields;
use crate::files::{Overwrite, check_grid_name};
use crate::parts::{FINGERPRINT, PART, Part};
use crate::provenance::provenance;
use crate::samples::{self, IDENTITY};
use anyhow::Context as _;
use clap::Args;
use finescale_field::{Boundary, Grid, Region, TileFaces, WindowError, Windows};
use finescale_outpaint::{Difference, difference, sample_difference};
use finescale_snapshot::{GridMeta, GridReader};
use ndarray::Array3;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The parts that `upscale --part` has drawn of one sample, or `grid --part` has made of one snapshot, all of them, in any order
    #[arg(value_name = "GRID", required = true)]
    parts: Vec<PathBuf>,
    /// The grid file to write; a name ending in .npy gives a numpy cube
    #[arg(short, long, value_name = "GRID")]
    output: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Join {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        for file in samples::files_of(&self.output) {
            self.overwrite.check(&file, self.parts.iter().map(PathBuf::as_path))?;
        }
        check_grid_name(&self.output)?;
        let open = |path: &PathBuf| OpenPart::open(path);
        let parts = self.parts.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        check(&parts)?;
        let joined = Joined::new(parts)?;
        let meta = joined.meta()?;
        if joined.programs().len() > 1 {
            context.warn(format_args!(
                "{}: parts were computed by different versions, devices or instruction sets: where they meet, they agree less well",
                self.output.display()
            ));
        }
        samples::save(&self.output, &joined, &meta, || Ok(()))?;
        context.say(format_args!("{}: {}", self.output.display(), fields::summary(&joined)?));
        Ok(json!({ "grid": self.output.to_string_lossy(), "parts": self.parts.len() }))
    }
}

/// A part on disk.
struct OpenPart {
    path: PathBuf,
    part: Part,
    values: GridReader,
}

impl OpenPart {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let values = GridReader::open(path).context("reading a part")?;
        let part: Option<Part> = serde_json::from_value(values.meta().provenance[PART].clone()).ok();
        let provenance = &values.meta().provenance;
        let says_of_what = provenance[IDENTITY].is_object() || provenance[FINGERPRINT].is_string();
        let is_one = |part: &Part| {
            says_of_what && part.check().is_ok() && part.region().shape == values.grid().cells()
        };
        match part.filter(is_one) {
            Some(part) => {
                values.check_values().context("reading a part")?;
                Ok(Self { path: path.into(), part, values })
            }
            None => Err(bad_input(format!(
                "{}: does not say which part of a volume it is; parts are made by `finescale upscale --part I/N` and `finescale grid --part I/N`",
                path.display()
            ))),
        }
    }
}

/// Checks that all parts of one sample are there, once.
fn check(parts: &[OpenPart]) -> anyhow::Result<()> {
    let [first, ..] = parts else { return Ok(()) };
    for other in parts {
        let like_first = Part { number: first.part.number, ..other.part.clone() };
        let (ours, theirs) = (first.values.meta(), other.values.meta());
        let what = if like_first != first.part {
            Some(format!("{} of {:?} with {} cells around it", PART, other.part.of, other.part.halo_cells))
        } else {
            sample_difference(&of_whole(ours), &of_whole(theirs))
                .or_else(|| difference(&of_grid(ours), &of_grid(theirs)))
                .or_else(|| difference(&described(ours), &described(theirs)))
                .map(|Difference { what, expected, found }| format!("{what}: {found} instead of {expected}"))
        };
        if let Some(what) = what {
            let (ours, theirs) = (first.path.display(), other.path.display());
            return Err(bad_input(format!("{theirs} is no part of the same volume as {ours} ({what})")));
        }
    }
    let found = |number: usize| parts.iter().filter(move |other| other.part.number == number);
    for number in 1..=first.part.count() {
        let mut these = found(number);
        match (these.next(), these.next()) {
            (Some(_), None) => {}
            (None, _) => {
                let (name, halo) = (first.part.named(number), first.part.halo_cells);
                let halo = if halo == 0 { String::new() } else { format!(" --halo {halo}") };
                return Err(bad_input(format!("part {name} is missing; make it with --part {name}{halo}")));
            }
            (Some(one), Some(other)) => {
                let (one, other) = (one.path.display(), other.path.display());
                return Err(bad_input(format!(
                    "{one} and {other} are the same part, {number}; give each once"
                )));
            }
        }
    }
    Ok(())
}

/// What a sample is of, wherever the part lies.
fn of_whole(meta: &GridMeta) -> Value {
    let mut identity = meta.provenance[IDENTITY].clone();
    identity.as_object_mut().and_then(|entries| entries.remove("region"));
    identity
}

/// What a gridded field is of, wherever the part lies.
fn of_grid(meta: &GridMeta) -> Value {
    let keys = [
        FINGERPRINT,
        "total_weight",
        "particles",
        "cells",
        "scheme",
        "weight",
        "field",
        "spread",
        "redshift_space",
    ];
    keys.iter().map(|&key| (key.to_owned(), meta.provenance[key].clone())).collect()
}

/// What is said of the values, but for where they lie and how they were made.
fn described(meta: &GridMeta) -> Value {
    json!(GridMeta {
        boundary: Boundary::Open,
        start_mpc_h: None,
        tile_faces: None,
        earlier_tile_faces: Vec::new(),
        provenance: Value::Null,
        ..meta.clone()
    })
}

/// A volume that is read from its parts: each voxel is the mean of those that have it, weighted as [`Part::weights`] says.
struct Joined {
    grid: Grid,
    parts: Vec<OpenPart>,
    /// By part and axis.
    weights: Vec<[Vec<f64>; 3]>,
}

impl Joined {
    fn new(parts: Vec<OpenPart>) -> anyhow::Result<Self> {
        let Part { cells, box_size_mpc_h, .. } = parts[0].part;
        let weights = parts.iter().map(|part| [0, 1, 2].map(|axis| part.part.weights(axis))).collect();
        Ok(Self { grid: Grid::new(cells, box_size_mpc_h)?, parts, weights })
    }

    fn meta(&self) -> anyhow::Result<GridMeta> {
        let OpenPart { part, values, .. } = &self.parts[0];
        let faces = [0, 1, 2].map(|axis| {
            let first = usize::from(!part.boundary.is_periodic() || part.of[axis] == 1);
            (first..part.of[axis]).map(|place| part.face(axis, place)).collect()
        });
        let identity = of_whole(values.meta());
        let mut meta = GridMeta {
            boundary: part.boundary,
            start_mpc_h: None,
            // Gridded slabs are the field itself.
            tile_faces: identity.is_object().then(|| TileFaces::new(faces)),
            earlier_tile_faces: Vec::new(),
            ..values.meta().clone()
        };
        let entries = meta.provenance.as_object_mut().context("a part says where it comes from")?;
        entries.remove(PART);
        let names: Vec<_> = self.parts.iter().map(|part| part.path.to_string_lossy()).collect();
        if let Value::Object(ours) = provenance(json!({ "joined": names })) {
            entries.extend(ours);
        }
        if let Value::Object(mut of_sample) = identity {
            entries.insert("region".into(), json!(Region::whole(&self.grid)));
            of_sample.insert("region".into(), json!(Region::whole(&self.grid)));
            of_sample.insert(PROGRAMS.into(), self.programs().into());
            of_sample.insert("parts".into(), json!({ "of": part.of, "halo_cells": part.halo_cells }));
            entries.insert(IDENTITY.into(), of_sample.into());
        }
        Ok(meta)
    }
}

/// The entry of a sample's identity that lists who computed it.
const PROGRAMS: &str = "programs";

impl Joined {
    /// Who has computed parts, each once.
    fn programs(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for OpenPart { values, .. } in &self.parts {
            let programs = values.meta().provenance[IDENTITY][PROGRAMS].as_array();
            for program in programs.into_iter().flatten() {
                if !all.contains(program) {
                    all.push(program.clone());
                }
            }
        }
        all
    }
}

impl Windows for Joined {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn read(&self, region: &Region) -> Result<Array3<f32>, WindowError> {
        region.check_fits(self.grid.cells())?;
        let mut sums = Array3::<f64>::zeros(region.shape);
        for (OpenPart { part, values, .. }, weights) in self.parts.iter().zip(&self.weights) {
            let own = part.region();
            // Of each cell of the window along an axis, which one of the part it is.
            let shared: [Vec<(usize, usize)>; 3] = [0, 1, 2].map(|axis| {
                let cells = self.grid.cells()[axis] as i64;
                let of_part = |offset: usize| {
                    (region.start[axis] + offset as i64 - own.start[axis]).rem_euclid(cells) as usize
                };
                let pairs = (0..region.shape[axis]).map(|offset| (offset, of_part(offset)));
                pairs.filter(|(_, cell)| *cell < own.shape[axis]).collect()
            });
            if shared.iter().any(Vec::is_empty) {
                continue;
            }
            let ends = [0, 1, 2].map(|axis| {
                let cells = || shared[axis].iter().map(|(_, cell)| *cell);
                (cells().min().unwrap_or(0), cells().max().unwrap_or(0) + 1)
            });
            let (start, shape) = (ends.map(|(first, _)| first), ends.map(|(first, end)| end - first));
            let block = values.read(&Region { start: start.map(|cell| cell as i64), shape })?;
            for &(x, of_x) in &shared[0] {
                for &(y, of_y) in &shared[1] {
                    let weight = weights[0][of_x] * weights[1][of_y];
                    for &(z, of_z) in &shared[2] {
                        let value = block[[of_x - start[0], of_y - start[1], of_z - start[2]]];
                        sums[[x, y, z]] += weight * weights[2][of_z] * f64::from(value);
                    }
                }
            }
        }
        Ok(sums.mapv(|sum| sum as f32))
    }
}
