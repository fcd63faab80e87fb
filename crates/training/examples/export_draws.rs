//! A tool of scripts/compare_training.py, and no example of how to use the library: PyTorch repeats a run's
//! first steps with what this writes.
//!
//! `export_draws CONFIG OUT STEPS` writes the initial weights of a run and what it is shown in its first steps.

use finescale_training::{RunConfig, export_draws};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [config, out, steps] => steps.parse().ok().map(|steps| (Path::new(config), Path::new(out), steps)),
        _ => None,
    };
    let Some((config, out, steps)) = parsed else {
        eprintln!("usage: export_draws CONFIG.json OUT STEPS");
        return ExitCode::from(2);
    };
    match RunConfig::load(config).and_then(|config| export_draws(&config, out, steps)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
