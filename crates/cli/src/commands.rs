//! One file per command. A command returns what `--json` prints.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod grid;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod mock;
pub(crate) mod spectrum;
pub(crate) mod train;
pub(crate) mod upscale;

use crate::arguments::Command;
use crate::context::Context;
use serde_json::Value;

/// Runs a command.
pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<Value> {
    match command {
        Command::Demo(command) => command.run(context),
        Command::Grid(command) => command.run(context),
        Command::Train(command) => command.run(context),
        Command::Upscale(command) => command.run(context),
        Command::Compare(command) => command.run(context),
        Command::Spectrum(command) => command.run(context),
        Command::Import(command) => command.run(context),
        Command::Mock(command) => command.run(context),
        Command::Bench(command) => command.run(context),
        Command::Doctor(command) => command.run(context),
        Command::Info(command) => command.run(context),
    }
}
