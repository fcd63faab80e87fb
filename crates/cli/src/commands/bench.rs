//! `finescale bench`: seconds per network evaluation here.

pub(crate) mod limits;

use crate::context::Context;
use crate::failure::bad_input;
use crate::measurement::{Bench as Measured, Work, bytes, median, peak_memory_bytes};
use anyhow::Context as _;
use clap::Args;
use finescale_training::RunConfig;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Configuration file, of which `network` and `training.patch_cells` are used
    #[arg(long, value_name = "CONFIG")]
    config: PathBuf,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Work::Forward)]
    mode: Work,
    /// Patches evaluated at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Evaluations to measure; their median is reported
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: usize,
    /// Do not measure, but count: operations and bytes of each kind of work, memory on a card, and the least time that two kinds of
    /// cards can need for it
    #[arg(long, conflicts_with = "repeat")]
    count: bool,
}

impl Bench {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let config =
            RunConfig::load(&self.config).with_context(|| format!("reading {}", self.config.display()))?;
        let cells = config.training.patch_cells;
        let batch = usize::from(self.batch);
        if self.count {
            return limits::said(context, &config, self.mode, batch);
        }
        let patch_flop = config.network.flop_per_evaluation(cells)? as f64 * self.mode.flop_factor();
        let flop = patch_flop * f64::from(self.batch);
        let processor = context.processor()?;
        if self.mode == Work::Train && processor.one_by_one().len() > 1 {
            return Err(bad_input("bench --mode train measures one card: --device cuda:0"));
        }
        let bench = Measured::new(&config.network, cells, batch, &processor)?
            .with_checkpointing(config.training.gradient_checkpointing);
        let seconds = median(bench.seconds(self.mode, self.repeat)?);
        let gflops = flop / seconds / 1e9;
        let memory = peak_memory_bytes();
        context.say(format_args!(
            "{}: {seconds:.3} s per evaluation of {batch} x {cells}^3 cells, {:.1} GFLOP, {gflops:.0} GFLOP/s, \
             {} threads, peak {}",
            self.mode.name(),
            flop / 1e9,
            context.threads(),
            memory.map_or("unknown".to_owned(), bytes),
        ));
        Ok(json!({
            "mode": self.mode.name(),
            "cells": cells,
            "batch": batch,
            "parameters": config.network.parameter_count()?,
            "seconds_per_evaluation": seconds,
            "gflop_per_evaluation": flop / 1e9,
            "effective_gflops": gflops,
            "peak_memory_bytes": memory,
            "threads": context.threads(),
            "device": context.device_name(),
            "simd": finescale_layers3d::instruction_set_name(),
            "repeat": self.repeat,
            "version": env!("CARGO_PKG_VERSION"),
            "commit": finescale_training::COMMIT,
        }))
    }
}
