//! How a command ends when a person or a job manager stops it.
//!
//! Most commands end at once: what they write appears whole or not at all, so nothing is lost but time. Those that keep
//! what is done finish what is in progress first, and say how long that may take. A second signal ends them, too.
//!
//! SIGUSR1, which batch systems send some time before they end a job, and a time limit are no failures: whoever keeps what is done
//! stops in time and exits with 0, to be resumed.

use anyhow::Context as _;
use finescale_ranks::Ranks;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Signals this close together are one wish: job managers signal a process and its group.
const ONE_WISH: Duration = Duration::from_millis(500);
/// How long a process waits for its last line to be read.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Time before a limit that it takes to keep what is done, beside what two units of work take.
const TO_KEEP: Duration = Duration::from_secs(10);
/// How often the time is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Exit codes of processes that a signal ends begin here, as shells have it.
const BY_SIGNAL: i32 = 128;

/// What signals and commands tell each other.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Whether the command keeps what is done.
    keeps: AtomicBool,
    /// Whether it is to stop.
    wanted: AtomicBool,
    /// Whether another process speaks for this one.
    is_quiet: AtomicBool,
    /// The first signal.
    signal: AtomicI32,
    /// The longest that one unit of work has taken so far, in milliseconds.
    longest: AtomicU64,
    /// When the unit in progress began.
    began: Mutex<Option<Instant>>,
    /// When the process began.
    started: OnceLock<Instant>,
    /// Whether it was told to stop in time before anything is there to keep.
    is_due: AtomicBool,
}

impl Stop {
    /// Listens to signals from now on.
    pub(crate) fn listen() -> anyhow::Result<Arc<Self>> {
        let stop = Arc::new(Self { started: Instant::now().into(), ..Self::default() });
        stop.begins();
        let seen = Arc::clone(&stop);
        let mut wishes = vec![SIGINT, SIGTERM, SIGUSR1];
        if !is_ignored(SIGHUP) {
            wishes.push(SIGHUP);
        }
        let mut signals = Signals::new(wishes).context("listening for signals")?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let mut first: Option<Instant> = None;
                for signal in signals.forever() {
                    match first {
                        // Batch systems may say it twice.
                        Some(_) if signal == SIGUSR1 => {}
                        Some(first) if first.elapsed() <= ONE_WISH => {}
                        None if seen.keeps.load(Ordering::SeqCst) => seen.wish(signal),
                        // What keeps what is done has yet to begin, and will.
                        None if signal == SIGUSR1 => {
                            seen.is_due.store(true, Ordering::SeqCst);
                            seen.stop_if_due();
                        }
                        _ => seen.end(signal),
                    }
                    first.get_or_insert_with(Instant::now);
                }
            })
            .context("listening for signals")?;
        Ok(stop)
    }

    /// Leaves it to another process to say what happens.
    pub(crate) fn be_quiet(&self) {
        self.is_quiet.store(true, Ordering::SeqCst);
    }

    /// The command keeps what is done when this is set.
    pub(crate) fn keep_work(&self) -> &AtomicBool {
        self.keeps.store(true, Ordering::SeqCst);
        self.stop_if_due();
        &self.wanted
    }

    fn stop_if_due(&self) {
        if self.keeps.load(Ordering::SeqCst) && self.is_due.swap(false, Ordering::SeqCst) {
            self.wish(SIGUSR1);
        }
    }

    /// Exit code of a command that ended because of a signal.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::SeqCst);
        if signal == 0 { None } else { u8::try_from(BY_SIGNAL + signal).ok() }
    }

    /// Whether it is stopped before its time is over, to be resumed.
    pub(crate) fn is_in_time(&self) -> bool {
        self.signal.load(Ordering::SeqCst) == SIGUSR1
    }

    /// The first signal that any rank had, as that of all: they stop together.
    pub(crate) fn agree(&self, ranks: &Ranks) {
        let ours = self.signal.load(Ordering::SeqCst);
        if let Ok(all) = ranks.gather(&[ours]) {
            let first = all.into_iter().flatten().find(|&signal| signal != 0);
            self.signal.store(first.unwrap_or(ours), Ordering::SeqCst);
        }
    }

    /// Stops in time what keeps what is done, if the process takes more than `limit`.
    pub(crate) fn within(self: &Arc<Self>, limit: Duration) -> anyhow::Result<()> {
        let (stop, begun) = (Arc::clone(self), *self.started.get_or_init(Instant::now));
        let watch = move || {
            while !stop.wanted.load(Ordering::SeqCst) {
                let longest = Duration::from_millis(stop.longest.load(Ordering::Relaxed));
                let is_late = begun.elapsed() + 2 * longest + TO_KEEP >= limit;
                if is_late && stop.keeps.load(Ordering::SeqCst) {
                    stop.wish_because(SIGUSR1, "--walltime is nearly over: ");
                }
                std::thread::sleep(BETWEEN_LOOKS);
            }
        };
        std::thread::Builder::new().name("walltime".to_owned()).spawn(watch).context("watching the time")?;
        Ok(())
    }

    /// A unit of work begins.
    pub(crate) fn begins(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// A unit of work has taken so long.
    pub(crate) fn took(&self, unit: Duration) {
        self.longest.fetch_max(u64::try_from(unit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn wish(&self, signal: i32) {
        self.wish_because(signal, "");
    }

    fn wish_because(&self, signal: i32, why: &str) {
        let longest = Duration::from_millis(self.longest.load(Ordering::Relaxed));
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let time = match began.filter(|_| longest.is_zero()) {
            Some(began) => format!("after what is in progress, {} so far", seconds(began.elapsed())),
            None => format!("within about {}", seconds(longest)),
        };
        self.signal.store(signal, Ordering::SeqCst);
        self.wanted.store(true, Ordering::SeqCst);
        let next = if why.is_empty() { "another signal" } else { "a signal" };
        self.say(format!("{why}stopping {time}, what is done is kept; {next} ends this at once"));
    }

    fn end(&self, signal: i32) -> ! {
        ENDS.store(true, Ordering::SeqCst);
        finescale_durable::remove_drafts();
        let said = self.say(match self.keeps.load(Ordering::SeqCst) {
            true => "stopped at once; what was finished before is kept, go on with --resume".to_owned(),
            false => "stopped; nothing half-written was left".to_owned(),
        });
        // Whoever does not read it does not keep the process.
        let begun = Instant::now();
        while !said.is_finished() && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::process::exit(BY_SIGNAL + signal);
    }

    /// Prints a line from a thread of its own: nobody may read what is printed, and then writing never ends.
    fn say(&self, line: String) -> JoinHandle<()> {
        let is_quiet = self.is_quiet.load(Ordering::SeqCst);
        std::thread::spawn(move || {
            if !is_quiet {
                // Nowhere to tell that stderr is closed.
                let _ = writeln!(std::io::stderr(), "\n{line}");
            }
        })
    }
}

/// Whether the process is about to end at once.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Waits for the end if it is near: errors of work that is cut short are none.
pub(crate) fn wait_if_ending() {
    while ENDS.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64().ceil().max(1.0))
}

/// Whether `nohup` or a shell has turned a signal off for us.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
