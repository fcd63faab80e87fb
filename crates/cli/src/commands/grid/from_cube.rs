//! A grid file of somebody else's cube.

use super::{GridCommand, parameters};
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields;
use crate::parse::Assignment;
use crate::samples;
use finescale_field::{ScalarName, is_plain_name};
use finescale_snapshot::{GridMeta, NpyReader};
use serde_json::{Value, json};
use std::path::PathBuf;

impl GridCommand {
    pub(super) fn grid_cube(&self, context: &Context) -> anyhow::Result<Value> {
        let inputs = [Some(&self.source), self.cube.parameters.as_ref()];
        self.check_output(&inputs.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>())?;
        let open = fields::open(&self.source, &self.cube.cube)?;
        open.note.iter().for_each(|note| context.warn(note));
        open.meta.check_density(&self.source)?;
        let odd = fields::unit_warning(&self.source, open.values.grid());
        odd.iter().for_each(|text| context.warn(text));
        let is_said = |name: ScalarName| self.scalars.iter().any(|(said, _)| *said == name);
        if open.is_cube && !is_said(ScalarName::Redshift) && !fields::says_redshift(&self.source)? {
            context.warn(format_args!(
                "{}: does not say its redshift, and 0 is stored; --scalar redshift=Z says another",
                self.source.display()
            ));
        }
        let values = fields::in_memory(open.values.as_ref())?;
        fields::check_density(&self.source, &values)?;
        let mut meta = open.meta;
        self.say(context, &mut meta)?;
        samples::save(&self.output, &values, &meta, || Ok(()))?;
        context.say(format_args!("{}: {}", self.output.display(), fields::summary(&values)?));
        Ok(json!({ "grid": self.output.to_string_lossy(), "cells": values.grid().cells(), "meta": meta }))
    }

    /// Says in `meta` what is said of the cube.
    fn say(&self, context: &Context, meta: &mut GridMeta) -> anyhow::Result<()> {
        let said = &self.cube;
        if let Some(quantity) = &said.quantity {
            if !is_plain_name(quantity) {
                return Err(bad_input(format!(
                    "--quantity {quantity:?}: letters, digits, _ and - are needed, at most 64"
                )));
            }
            meta.quantity.clone_from(quantity);
        }
        if let Some(Assignment(assignment)) = said.assignment {
            meta.assignment = assignment;
        }
        // What counts or masses were divided by is no number of particles.
        if said.cube.mean.is_some() {
            meta.mean = None;
        }
        if let Some(count) = said.mean_count {
            if !(count.is_finite() && count > 0.0) {
                return Err(bad_input("--mean-count: a positive number of particles per voxel is needed"));
            }
            meta.mean = Some(count);
        }
        if let Some(table) = &said.parameters {
            let Some(index) = said.cube.index else {
                return Err(bad_input(
                    "--parameters: say with --index which cube, and row of the table, is meant",
                ));
            };
            let cubes = NpyReader::open_cube(&self.source, [1.0; 3], Some(index))?.cubes();
            for (name, value) in parameters::read(table, index, cubes)? {
                context.say(format_args!("row {index} of {}: {name} = {value}", table.display()));
                meta.set_scalar(name, value);
            }
        }
        // What is said goes before what a table says.
        self.set_scalars(meta);
        Ok(())
    }
}
