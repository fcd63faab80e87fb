//! `finescale`: paints the fine scales into cosmological volumes.

mod arguments;
mod commands;
mod condition;
mod context;
mod cube;
mod draws;
mod failure;
mod fields;
mod files;
mod generation;
mod gridding;
mod inputs;
mod measurement;
mod options;
mod parse;
mod part;
mod progress;
mod provenance;
mod samples;
mod stop;
mod terminal;
mod tiles;
mod training_data;
mod units;

use arguments::Arguments;
use clap::Parser;
use context::Context;
use std::process::ExitCode;
use stop::Stop;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finescale_snapshot::follow_links(arguments.options.follow_links);
    let listening =
        finescale_snapshot::end_with_unreadable_files().map_err(Into::into).and_then(|()| Stop::listen());
    let stop = match listening {
        Ok(stop) => stop,
        Err(error) => {
            failure::report(&error);
            return ExitCode::from(failure::exit_code(&error));
        }
    };
    let finished = Context::new(arguments.options, stop.clone()).and_then(|context| {
        let result = commands::run(&context, arguments.command)?;
        context.result(&result)
    });
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stop::wait_if_ending();
            failure::report(&error);
            ExitCode::from(stop.exit_code().unwrap_or_else(|| failure::exit_code(&error)))
        }
    }
}
