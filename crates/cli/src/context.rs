//! What all commands share: threads, device, output, and whether Ctrl-C was pressed.

use crate::arguments::Options;
use crate::failure::bad_input;
use crate::progress::Progress;
use anyhow::Context as _;
use candle_core::Device;
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit code of a process that a second Ctrl-C ends at once: 128 + SIGINT, as shells say it.
const KILLED: i32 = 130;
/// Signals this close together are one wish: job managers signal a process and its group.
const ONE_WISH: Duration = Duration::from_millis(500);

/// The surroundings of a command.
pub(crate) struct Context {
    options: Options,
    stop: Arc<AtomicBool>,
}

impl Context {
    /// Sets up threads, logging and signals.
    pub(crate) fn new(options: Options) -> anyhow::Result<Self> {
        start_logging(&options.log)?;
        finescale_layers3d::check_instruction_set_wish().map_err(bad_input)?;
        if let Some(threads) = options.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
            pool.build_global().context("starting the threads")?;
        }
        survive_full_disks()?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let mut first: Option<Instant> = None;
        let handler = move || {
            if first.is_some_and(|first| first.elapsed() > ONE_WISH) {
                std::process::exit(KILLED);
            }
            if first.is_none() {
                let _ =
                    writeln!(std::io::stderr(), "\nstopping soon, what is done is kept; Ctrl-C again kills");
            }
            first.get_or_insert_with(Instant::now);
            seen.store(true, Ordering::Relaxed);
        };
        ctrlc::set_handler(handler).context("listening for Ctrl-C")?;
        Ok(Self { options, stop })
    }

    /// Set when the user wants to stop.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// The device that networks run on.
    pub(crate) fn device(&self) -> anyhow::Result<Device> {
        self.options.device.open()
    }

    /// The device's name.
    pub(crate) fn device_name(&self) -> String {
        self.options.device.to_string()
    }

    /// Threads in use.
    pub(crate) fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    /// A line for a person, on stdout.
    pub(crate) fn say(&self, line: impl std::fmt::Display) -> anyhow::Result<()> {
        if self.options.quiet || self.options.json {
            return Ok(());
        }
        print_line(line)
    }

    /// A warning, on stderr.
    pub(crate) fn warn(&self, line: impl std::fmt::Display) {
        // Nowhere to tell that stderr is closed.
        let _ = writeln!(std::io::stderr(), "warning: {line}");
    }

    /// The result as the last line of stdout, if it was asked for.
    pub(crate) fn result(&self, result: &Value) -> anyhow::Result<()> {
        if self.options.json { print_line(result) } else { Ok(()) }
    }

    /// Progress of `total` units of work, `done` of which are there already.
    pub(crate) fn progress(&self, label: &str, unit: &'static str, total: u64, done: u64) -> Progress {
        Progress::new(label, unit, total, done, self.options.quiet)
    }
}

fn print_line(line: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        // `finescale ... | head` is fine.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}

fn start_logging(filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| crate::failure::bad_input(format!("--log {filter}: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    Ok(())
}

/// A file that outgrows its limit (`ulimit -f`) kills the process unless the signal has a handler; with one, the
/// write fails and is reported like any full disk.
#[cfg(unix)]
fn survive_full_disks() -> anyhow::Result<()> {
    const SIGXFSZ: i32 = 25;
    let ignored = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, ignored).context("listening for full disks")?;
    Ok(())
}

#[cfg(not(unix))]
fn survive_full_disks() -> anyhow::Result<()> {
    Ok(())
}
