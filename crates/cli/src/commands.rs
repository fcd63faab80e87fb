//! One file per command. A command returns what `--json` prints.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod grid;
pub(crate) mod ics;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod join;
pub(crate) mod mock;
pub(crate) mod spectrum;
pub(crate) mod train;
pub(crate) mod upscale;

use crate::context::Context;
use crate::failure::bad_input;
use clap::Subcommand;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Grid, upscale and compare the data of data/demo with the shipped model
    Demo(demo::Demo),
    /// Put the particles of a snapshot on a grid
    Grid(grid::GridCommand),
    /// Train a model
    Train(train::Train),
    /// Draw the high-resolution field of a low-resolution one
    Upscale(upscale::Upscale),
    /// Put the parts of a volume together that `upscale --part` or `grid --part` has made
    Join(join::Join),
    /// Judge samples against the truth: spectra, plots, report
    Compare(compare::Compare),
    /// Measure the power spectrum of a grid, a numpy cube, or the particles of a snapshot
    Spectrum(spectrum::SpectrumCommand),
    /// Turn a checkpoint of the reference implementation into a model
    Import(import::Import),
    /// Make a small universe: snapshots and grids to try everything on
    Mock(mock::Mock),
    /// Write initial conditions of a low-resolution run with the phases of a high-resolution one, for GADGET, AREPO or SWIFT
    Ics(ics::Ics),
    /// Measure seconds per network evaluation on this machine
    Bench(bench::Bench),
    /// Say what this machine offers, and run a self-test of the network's layers on the device
    Doctor(doctor::Doctor),
    /// Say what a snapshot, grid, model or run folder holds
    Info(info::Info),
}

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<Value> {
    let ranks = context.ranks().count();
    let can_be_shared =
        matches!(command, Command::Grid(_) | Command::Upscale(_) | Command::Train(_) | Command::Spectrum(_));
    if ranks > 1 && !can_be_shared {
        return Err(bad_input(format!(
            "of the commands, grid, upscale, train and spectrum can be shared by several processes; start one of this, not {ranks}"
        )));
    }
    let keeps_work = matches!(command, Command::Grid(_) | Command::Upscale(_) | Command::Train(_));
    if context.has_walltime() && !keeps_work {
        return Err(bad_input(
            "--walltime: grid, upscale and train stop in time and keep what is done; leave it out of this",
        ));
    }
    match command {
        Command::Demo(command) => command.run(context),
        Command::Grid(command) => command.run(context),
        Command::Train(command) => command.run(context),
        Command::Upscale(command) => command.run(context),
        Command::Join(command) => command.run(context),
        Command::Compare(command) => command.run(context),
        Command::Spectrum(command) => command.run(context),
        Command::Import(command) => command.run(context),
        Command::Mock(command) => command.run(context),
        Command::Ics(command) => command.run(context),
        Command::Bench(command) => command.run(context),
        Command::Doctor(command) => command.run(context),
        Command::Info(command) => command.run(context),
    }
}
