//! A snapshot of IllustrisTNG that comes over the web, on a grid.

use super::GridCommand;
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::Range;
use crate::files::{lock, with_ending};
use crate::gridding::{Spread, Unfinished, deposit_remote};
use crate::samples;
use anyhow::Context as _;
use finescale_tng::{Address, Client, Event, Key, Options};
use serde_json::{Value, json};
use std::time::Duration;

/// Waits that are shorter are not worth a word.
const LONG: Duration = Duration::from_secs(10);

impl GridCommand {
    pub(super) fn grid_tng(&self, context: &Context, address: &Address) -> anyhow::Result<Value> {
        let options = &self.snapshot;
        let not_here = [
            ("--number", options.number.is_some()),
            ("--chunks", options.chunks.is_some()),
            ("--memory", options.memory.is_some()),
            ("--dry-run", options.dry_run),
            ("--spread=density", options.spread == Some(Spread::Density)),
            ("--unit-length, --unit-mass", options.units.is_said()),
        ];
        if let Some((name, _)) = not_here.iter().find(|(_, given)| *given) {
            return Err(bad_input(format!(
                "{name}: for snapshots on disk; {address} comes over the web as a whole"
            )));
        }
        let how = self.how()?;
        self.check_output(&[])?;
        let _lock = lock(&self.output)?;
        let stop = context.keep_work_on_stop();
        let told = |event: &Event<'_>| {
            if let Event::Retry { what, problem, wait, .. } = event
                && *wait >= LONG
            {
                tracing::warn!("{what}: {problem}; tried again in {} s", wait.as_secs());
            }
        };
        let client = Client::with_events(Key::from_environment()?, Options::from_environment()?, told)?;
        let remote = client.simulation(address, stop).with_context(|| address.to_string())?;
        context.note(format_args!(
            "{address}: {} files, at redshift {:.3}",
            remote.chunks(),
            remote.redshift()
        ));
        let identity =
            json!({ "how": how.describe(), "address": address.to_string(), "files": remote.chunks() });
        let every = Duration::from_secs(options.save_every.into());
        let mut unfinished = Unfinished::new(&self.output, identity, every);
        let folder = with_ending(&self.output, ".downloads");
        let mut grid = deposit_remote(context, &remote, &how, &folder, &mut unfinished, stop)
            .with_context(|| format!("gridding {address}"))?;
        self.set_scalars(&mut grid.meta);
        samples::save(&self.output, &grid.field, &grid.meta, || Ok(()))?;
        unfinished.remove()?;
        let range = Range::of(grid.field.as_slice());
        super::from_snapshot::warn_of_empty_voxels(context, &how, &range);
        context.say(format_args!("{}: {}", self.output.display(), range.summary(grid.field.grid())));
        Ok(json!({ "grid": self.output.to_string_lossy(), "cells": how.cells, "meta": grid.meta }))
    }
}
