//! `finescale`: paints the fine scales into cosmological volumes.

mod arguments;
mod commands;
mod context;
mod failure;
mod fields;
mod files;
mod generation;
mod measurement;
mod progress;
mod provenance;
mod tiles;

use arguments::Arguments;
use clap::Parser;
use context::Context;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let finished = Context::new(arguments.options).and_then(|context| {
        let result = commands::run(&context, arguments.command)?;
        context.result(&result)
    });
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}
