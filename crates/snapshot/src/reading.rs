//! Which file is being read, for when the HDF5 library dies of it or never comes back.
//!
//! Damaged files make libhdf5 crash, or loop for ever, where it should return an error (`scripts/mutate_files.py` finds
//! some in every version). Nothing can be saved then, as after a SIGKILL, but a person can be told which file it was.

#![allow(unsafe_code, reason = "a signal's handler; each call has its reason beside it")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a path that a crash tells; of longer ones, the last.
const PATH_BYTES: usize = 1024;
/// How long a thread may compute in one call, and how much longer for a file's bytes: packed ones are slow.
const LEAST_ALLOWED: Duration = Duration::from_secs(20);
const BYTES_PER_SECOND: f64 = 1e7;
/// How long the last words may take.
const SECONDS_TO_SPEAK: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Signals of a program that went wrong.
const DEADLY: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];
/// As other errors of input that cannot be used, and of the program itself.
const BAD_INPUT: c_int = 2;
const FAILED: c_int = 1;

/// The path that this thread reads, or read last, where a signal's handler finds it: no allocation, no lock.
struct Place {
    bytes: [Cell<u8>; PATH_BYTES],
    length: Cell<usize>,
    /// How many [`Reading`]s there are.
    depth: Cell<usize>,
}

thread_local! {
    static PLACE: Place = const {
        Place { bytes: [const { Cell::new(0) }; PATH_BYTES], length: Cell::new(0), depth: Cell::new(0) }
    };
}

/// The threads that are reading.
static READERS: Mutex<Vec<Reader>> = Mutex::new(Vec::new());

#[derive(Clone, Debug)]
struct Reader {
    thread: i32,
    path: PathBuf,
    /// What the thread had computed when it began.
    began: Duration,
}

/// While one lives, its thread is inside of the HDF5 library, or close to it, because of one file. Of several in one
/// thread, the first counts.
#[derive(Debug)]
pub(crate) struct Reading {
    // Of this thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Reading {
    pub(crate) fn of(path: &Path) -> Self {
        PLACE.with(|place| {
            place.depth.set(place.depth.get() + 1);
            if place.depth.get() > 1 {
                return;
            }
            let name = finescale_field::shown(&path.to_string_lossy());
            let name = &name.as_bytes()[name.len().saturating_sub(PATH_BYTES)..];
            place.length.set(0);
            place.bytes.iter().zip(name).for_each(|(to, from)| to.set(*from));
            place.length.set(name.len());
            let reader = Reader { thread: this_thread(), path: path.into(), began: computed_here() };
            READERS.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        });
        Self { _not_send: std::marker::PhantomData }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        PLACE.with(|place| {
            place.depth.set(place.depth.get() - 1);
            if place.depth.get() == 0 {
                let thread = this_thread();
                READERS
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain(|reader| reader.thread != thread);
            }
        });
    }
}

/// From now on, this process ends with an error that names the file when the HDF5 library crashes in reading one, or
/// computes in one read for more than 20 s and a second for each 10 MB of the file. For programs, not for libraries: it takes over the signals of crashes.
///
/// # Errors
/// Those of the system, which may have no more threads.
pub fn end_with_unreadable_files() -> io::Result<()> {
    for signal in DEADLY {
        handle(signal)?;
    }
    std::thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
    Ok(())
}

fn handle(signal: c_int) -> io::Result<()> {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = died;
    // SAFETY: all-zero bytes are a valid `sigaction`; the handler does what handlers may do, see there. The alternative stack
    // is the one that Rust gives its threads.
    let status = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says which file it was, and ends. Allocates nothing and takes no lock, as the crash may have come in the middle of
/// either; a thread-local without a destructor is plain memory.
extern "C" fn died(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system hands over what it knows of the signal; `signal`, `raise` and `alarm` may be called here.
    unsafe {
        if (*info).si_code == libc::SI_USER {
            // Somebody else sent it, and nothing crashed.
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
            return;
        }
        // Nobody may be reading stderr: that must not hold up the end.
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(SECONDS_TO_SPEAK);
    }
    PLACE.with(|place| {
        let mut said = Said { bytes: [0; PATH_BYTES + 512], length: 0 };
        let path = || place.bytes.iter().take(place.length.get()).map(Cell::get);
        if place.depth.get() > 0 {
            said.add(b"error: ".iter().copied());
            said.add(path());
            said.add(
                b": the HDF5 library crashed in reading it: the file, or one that its virtual datasets take values from, is damaged; \
                  copy or download it again\n"
                    .iter()
                    .copied(),
            );
        } else {
            said.add(
                b"error: finescale crashed, which is a mistake in it: please report what you did"
                    .iter()
                    .copied(),
            );
            if place.length.get() > 0 {
                said.add(b". The last file read was ".iter().copied());
                said.add(path());
            }
            said.add(b"\n".iter().copied());
        }
        said.write();
        // SAFETY: ends the process at once, as a handler may.
        unsafe { libc::_exit(if place.depth.get() > 0 { BAD_INPUT } else { FAILED }) }
    });
}

/// A message of limited length.
struct Said {
    bytes: [u8; PATH_BYTES + 512],
    length: usize,
}

impl Said {
    fn add(&mut self, bytes: impl Iterator<Item = u8>) {
        for (to, from) in self.bytes[self.length..].iter_mut().zip(bytes) {
            *to = from;
            self.length += 1;
        }
    }

    fn write(&self) {
        // SAFETY: the bytes are there. A closed stderr takes no message, and nothing else can.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.length) };
    }
}

/// Ends the process once a thread computes for too long in one call.
fn watch() {
    loop {
        std::thread::sleep(LOOK_EVERY);
        let readers = READERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reader in readers {
            let bytes = std::fs::metadata(&reader.path).map_or(0, |found| found.len());
            let allowed = LEAST_ALLOWED + Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
            let Some(computed) = computed_by(reader.thread).map(|total| total.saturating_sub(reader.began))
            else {
                continue;
            };
            // It may have gone on with another file since.
            let still = || {
                let readers = READERS.lock().unwrap_or_else(PoisonError::into_inner);
                readers.iter().any(|now| (now.thread, now.began) == (reader.thread, reader.began))
            };
            if computed > allowed && still() {
                // SAFETY: may be called anywhere. Nobody may be reading stderr: that must not hold up the end.
                unsafe { libc::alarm(SECONDS_TO_SPEAK) };
                let mut said = Said { bytes: [0; PATH_BYTES + 512], length: 0 };
                let seconds = computed.as_secs();
                let message = format!(
                    "error: {}: the HDF5 library has computed for {seconds} s in reading it, without an end: the file is \
                     damaged; copy or download it again\n",
                    finescale_field::shown(&reader.path.to_string_lossy())
                );
                said.add(message.bytes());
                said.write();
                // SAFETY: ends the process at once; whatever else HDF5 has to end would wait for that thread.
                unsafe { libc::_exit(BAD_INPUT) }
            }
        }
    }
}

fn this_thread() -> i32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::gettid() }
}

/// What this thread has computed since it began.
fn computed_here() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanoseconds.unwrap_or(0))
}

/// The same of another thread of this process, if it still runs.
fn computed_by(thread: i32) -> Option<Duration> {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    status.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn readers_are_known_while_they_read_and_what_they_compute_is_counted() {
        let thread = this_thread();
        let readers = || -> Vec<Reader> {
            let all = READERS.lock().unwrap();
            all.iter().filter(|reader| reader.thread == thread).cloned().collect()
        };
        let first = Reading::of(Path::new("snap.hdf5"));
        let second = Reading::of(Path::new("another.hdf5"));
        let [reader] = &readers()[..] else { panic!("one of each thread: {:?}", readers()) };
        assert_eq!(reader.path, Path::new("snap.hdf5"));
        let begin = Instant::now();
        while computed_here() < reader.began + Duration::from_millis(50) {
            assert!(begin.elapsed() < Duration::from_mins(2));
        }
        let computed = computed_by(thread).unwrap().saturating_sub(reader.began);
        assert!((40..10_000).contains(&computed.as_millis()), "{computed:?}");
        drop(second);
        assert_eq!(readers().len(), 1);
        drop(first);
        assert!(readers().is_empty());
        PLACE.with(|place| assert_eq!((place.depth.get(), place.length.get()), (0, 9)));
        assert_eq!(computed_by(-1), None);
    }
}
