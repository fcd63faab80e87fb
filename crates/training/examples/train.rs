//! Trains a network with plain lines as output: `train CONFIG OUT [--resume]`. Ctrl-C finishes the step, saves and
//! stops; `--resume` goes on from there.
#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use finescale_training::{Event, RunConfig, Start, TrainingError, train};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Steps between two printed lines.
const PRINT_EVERY: u64 = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (config, out, start) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [config, out] => (*config, *out, Start::Fresh),
        [config, out, "--resume"] => (*config, *out, Start::Resume),
        _ => {
            eprintln!("usage: train CONFIG.json OUT [--resume]");
            return ExitCode::from(2);
        }
    };
    match run(Path::new(config), Path::new(out), start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Path, out: &Path, start: Start) -> Result<(), TrainingError> {
    let config = RunConfig::load(config)?;
    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    ctrlc::set_handler(move || handler.store(true, Ordering::Relaxed)).expect("one handler, set once");
    let began = Instant::now();
    let mut observer = |event: &Event| print(event, began.elapsed().as_secs_f64());
    let summary = train(&config, out, start, &candle_core::Device::Cpu, &mut observer, &stop)?;
    println!("{summary:?}");
    Ok(())
}

fn print(event: &Event, seconds: f64) {
    match event {
        Event::Step(m) if m.step % PRINT_EVERY == 0 || m.step <= 3 => println!(
            "{seconds:9.1} s  step {:7}  loss {:.5}  rate {:.2e}  gradient {:.3}  {:.2} patches/s",
            m.step, m.loss, m.learning_rate, m.gradient_norm, m.samples_per_second
        ),
        Event::Step(_) => {}
        Event::Validation(m) => {
            let levels: Vec<String> = m
                .levels
                .iter()
                .map(|l| format!("{:.4} (sigma {:.3}-{:.3})", l.loss, l.sigma_min, l.sigma_max))
                .collect();
            println!(
                "{seconds:9.1} s  step {:7}  validation {:.5}  {}",
                m.step,
                m.validation_loss,
                levels.join("  ")
            );
        }
        Event::Saved { step } => println!("{seconds:9.1} s  step {step:7}  saved"),
        other => println!("{seconds:9.1} s  {other:?}"),
    }
}
