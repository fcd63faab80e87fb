//! What all commands share: threads, device, output, and how they end when somebody stops them.

use crate::failure::bad_input;
use crate::files::fingerprint;
use crate::options::{Options, Products};
use crate::parse::GIB;
use crate::progress::Progress;
use crate::stop::Stop;
use crate::terminal::plain;
use anyhow::Context as _;
use finescale_denoiser::Processor;
use finescale_field::available_memory_bytes;
use finescale_ranks::Ranks;
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// The surroundings of a command.
pub(crate) struct Context {
    options: Options,
    stop: Arc<Stop>,
    ranks: Ranks,
    /// Why a line could not be said.
    unsaid: Mutex<Option<anyhow::Error>>,
}

impl Context {
    /// Sets up threads, logging and signals for one of the processes that share the work.
    pub(crate) fn new(options: Options, stop: Arc<Stop>, ranks: Ranks) -> anyhow::Result<Self> {
        start_logging(if ranks.is_first() { &options.log } else { "error" })?;
        if !ranks.is_first() {
            stop.be_quiet();
        }
        finescale_layers3d::check_instruction_set_wish().map_err(bad_input)?;
        if let Some(threads) = options.threads.map(usize::from).or(own_share_of_cores(&ranks)?) {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global().context("starting the threads")?;
        }
        survive_full_disks()?;
        open_many_files();
        options.walltime.map_or(Ok(()), |limit| stop.within(limit))?;
        Ok(Self { options, stop, ranks, unsaid: Mutex::new(None) })
    }

    /// The processes that share the work. Rank 0 speaks for all of them.
    pub(crate) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// How many of them run on this machine.
    pub(crate) fn ranks_of_machine(&self) -> anyhow::Result<usize> {
        ranks_at(&self.ranks, &machine())
    }

    /// Bytes of memory for this process, the same on all ranks: what was said, or its share of what the machine has.
    pub(crate) fn memory(&self, gib: Option<f64>) -> anyhow::Result<Option<u64>> {
        if let Some(gib) = gib {
            return Ok(Some((gib * GIB) as u64));
        }
        let here = self.ranks_of_machine()? as u64;
        let ours = available_memory_bytes().map(|bytes| bytes / here);
        let all = self.ranks.gather(ours.as_slice())?;
        Ok(all.into_iter().flatten().min())
    }

    /// Makes sure that all ranks read the same, as far as [`fingerprint`] tells.
    pub(crate) fn check_files<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
        if self.ranks.count() == 1 {
            return Ok(());
        }
        let files: Vec<&Path> = files.into_iter().collect();
        let ours = fingerprint(files.iter().copied())?;
        let names = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        self.check_same(&ours, |rank| {
            format!(
                "{names}: holds something else for rank {rank} than for rank 0; all must read the same files"
            )
        })
    }

    /// Ranks of other programs, commands or options would make something of which each has another idea. How many threads each has
    /// is its own matter.
    pub(crate) fn check_arguments(&self) -> anyhow::Result<()> {
        let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        let mut ours = vec![env!("CARGO_PKG_VERSION").to_owned(), finescale_training::COMMIT.to_owned()];
        while let Some(word) = words.next() {
            match word.as_str() {
                "--threads" => drop(words.next()),
                other if other.starts_with("--threads=") => {}
                _ => ours.push(word),
            }
        }
        self.check_same(&ours.join("\0"), |rank| {
            format!("rank {rank} was started with other options than rank 0, or is another version of finescale; give all the same")
        })
    }

    /// An error, on all ranks, if one has another text than rank 0.
    fn check_same(&self, ours: &str, told: impl FnOnce(usize) -> String) -> anyhow::Result<()> {
        let all = self.ranks.gather(ours.as_bytes())?;
        match all.iter().position(|theirs| *theirs != all[0]) {
            Some(rank) => Err(bad_input(told(rank))),
            None => Ok(()),
        }
    }

    /// Whether nobody hears what is said.
    fn is_quiet(&self) -> bool {
        self.options.quiet || !self.ranks.is_first()
    }

    /// Whether the time that this may take was said.
    pub(crate) fn has_walltime(&self) -> bool {
        self.options.walltime.is_some()
    }

    /// From here on a signal does not end the process: it sets what is returned, and whoever works keeps what is done.
    pub(crate) fn keep_work_on_stop(&self) -> &AtomicBool {
        self.stop.keep_work()
    }

    /// Who computes: what the last bits of a result depend on beside its inputs.
    ///
    /// # Errors
    /// If a card does not say what it is.
    pub(crate) fn program(&self, processor: &Processor) -> anyhow::Result<Value> {
        let program = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": finescale_training::COMMIT,
            "device": self.options.kind_of_device(),
            "instruction_set": finescale_layers3d::instruction_set_name(),
        });
        match processor {
            Processor::Cpu => Ok(program),
            #[cfg(feature = "cuda")]
            Processor::Cards(cards) => {
                let properties = cards.first().properties()?;
                let mut program = program;
                program["card"] =
                    json!([properties.name, properties.capability, properties.driver, properties.compiler]);
                Ok(program)
            }
        }
    }

    /// What computes networks.
    pub(crate) fn processor(&self) -> anyhow::Result<Processor> {
        self.options.processor()
    }

    /// How cards compute.
    pub(crate) fn precision(&self) -> Products {
        self.options.precision
    }

    /// The device's name.
    pub(crate) fn device_name(&self) -> String {
        self.options.device_name()
    }

    /// Cards in use.
    pub(crate) fn cards(&self) -> usize {
        self.options.cards()
    }

    /// Threads in use.
    pub(crate) fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    /// A line for a person, on stdout. That it cannot be written is told at the end, and ends no work.
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        if self.is_quiet() || self.options.json {
            return;
        }
        if let Err(error) = print_line(plain(line)) {
            self.unsaid.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    /// A remark on how it goes, on stderr.
    pub(crate) fn note(&self, line: impl std::fmt::Display) {
        if !self.is_quiet() {
            let _ = writeln!(std::io::stderr(), "{}", plain(line));
        }
    }

    /// A warning, on stderr.
    pub(crate) fn warn(&self, line: impl std::fmt::Display) {
        if self.ranks.is_first() {
            // Nowhere to tell that stderr is closed.
            let _ = writeln!(std::io::stderr(), "warning: {}", plain(line));
        }
    }

    /// The result as the last line of stdout, if it was asked for.
    pub(crate) fn result(&self, result: &Value) -> anyhow::Result<()> {
        if let Some(error) = self.unsaid.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        if self.options.json && self.ranks.is_first() { print_line(result) } else { Ok(()) }
    }

    /// Progress of `total` units of work, `done` of which are there already.
    pub(crate) fn progress(&self, label: &str, unit: &'static str, total: u64, done: u64) -> Progress {
        Progress::new(label, unit, total, done, self.is_quiet(), Arc::clone(&self.stop))
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

/// Threads for one of several ranks, so that those of a node that may run on the same cores do not crowd them.
fn own_share_of_cores(ranks: &Ranks) -> anyhow::Result<Option<usize>> {
    if ranks.count() == 1 {
        return Ok(None);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cores = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default();
    let sharing = ranks_at(ranks, &(machine() + cores))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Some((cores / sharing).max(1)))
}

/// What tells this machine from others.
fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// How many ranks are at the same place as this one.
fn ranks_at(ranks: &Ranks, place: &str) -> anyhow::Result<usize> {
    let places = ranks.gather(place.as_bytes())?.into_iter();
    Ok(places.filter(|other| other == place.as_bytes()).count())
}

fn start_logging(filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| crate::failure::bad_input(format!("--log {filter}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    Ok(())
}

/// The pairs of a training stay open, two files or more each: as many as the system allows (`ulimit -Hn`), not as few as it
/// begins with.
#[cfg(unix)]
fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is not allowed, the files that are too many are told.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

#[cfg(not(unix))]
fn open_many_files() {}

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
