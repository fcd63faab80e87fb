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
mod parts;
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
use finescale_ranks::Ranks;
use serde_json::json;
use std::process::ExitCode;
use stop::Stop;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Of several ranks that have it one says it. It may be one's alone: `--walltime slurm` asks Slurm.
            let ranks = Ranks::start();
            let is_said = ranks.as_ref().is_ok_and(|ranks| {
                let first_says_it = !first_understands(ranks, false);
                first_says_it && !ranks.is_first()
            });
            if !is_said {
                // Nowhere to tell that nobody listens.
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX));
        }
    };
    finescale_snapshot::follow_links(arguments.options.follow_links);
    let listening =
        finescale_snapshot::end_with_unreadable_files().map_err(Into::into).and_then(|()| Stop::listen());
    let begun = listening.and_then(|stop| {
        let ranks = Ranks::start()?;
        first_understands(&ranks, true);
        let context = Context::new(arguments.options, stop.clone(), ranks)?;
        Ok((context, stop))
    });
    let (context, stop) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            failure::report(&error);
            return ExitCode::from(failure::exit_code(&error));
        }
    };
    let finished = context
        .check_arguments()
        .and_then(|()| commands::run(&context, arguments.command))
        .and_then(|result| context.result(&result));
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stop::wait_if_ending();
            if failure::is_stop(&error) {
                stop.agree(context.ranks());
            }
            if stop.is_in_time() && failure::is_stop(&error) {
                return resume_me(&context, &error);
            }
            let code = stop.exit_code().unwrap_or_else(|| failure::exit_code(&error));
            failure::report_of_rank(&error, code, context.ranks());
            ExitCode::from(code)
        }
    }
}

/// Whether rank 0 understands its command line. All ranks call this, each with whether it does.
fn first_understands(ranks: &Ranks, so: bool) -> bool {
    // That another rank has ended is told by whatever comes next.
    ranks.gather(&[u8::from(so)]).is_ok_and(|all| all[0] == [1])
}

/// Ends what was stopped before its time was over.
fn resume_me(context: &Context, why: &anyhow::Error) -> ExitCode {
    let why = failure::message(why);
    context.say(format_args!("resume me: {why}"));
    match context.result(&json!({ "resume": why })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}
