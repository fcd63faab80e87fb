//! A grid file of somebody else's cube.

use super::GridCommand;
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields;
use crate::parse::Assignment;
use crate::samples;
use finescale_snapshot::GridMeta;
use serde_json::{Value, json};

impl GridCommand {
    pub(super) fn from_cube(&self, context: &Context) -> anyhow::Result<Value> {
        self.check_output(&[&self.source])?;
        let open = fields::open(&self.source, &self.cube.cube)?;
        open.note.iter().for_each(|note| context.warn(note));
        let values = fields::in_memory(open.values.as_ref())?;
        fields::check_density(&self.source, &values)?;
        let mut meta = open.meta;
        self.say(&mut meta)?;
        samples::save(&self.output, &values, &meta, || Ok(()))?;
        context.say(format_args!("{}: {}", self.output.display(), fields::summary(&values)?));
        Ok(json!({ "grid": self.output.to_string_lossy(), "cells": values.grid().cells(), "meta": meta }))
    }

    /// Says in `meta` what is said of the cube.
    fn say(&self, meta: &mut GridMeta) -> anyhow::Result<()> {
        let said = &self.cube;
        if let Some(quantity) = &said.quantity {
            meta.quantity.clone_from(quantity);
        }
        if let Some(Assignment(assignment)) = said.assignment {
            meta.assignment = assignment;
        }
        if let Some(count) = said.mean_count {
            if !(count.is_finite() && count > 0.0) {
                return Err(bad_input("--mean-count: a positive number of particles per voxel is needed"));
            }
            meta.mean = Some(count);
        }
        self.set_scalars(meta);
        Ok(())
    }
}
