//! What to do when something fails: wait and try again, unless it would fail again.

use crate::client::{Client, Event};
use crate::origin::{at_host, host};
use crate::{Options, TngError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Uri;

/// How often it is looked whether to stop.
const GLANCE: Duration = Duration::from_millis(30);
/// Failures of a data host after which another one is asked.
const PATIENCE: u32 = 2;

/// Whether to stop; asked by several threads.
pub(crate) type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// A failed attempt.
pub(crate) enum Trouble {
    /// The next one would fail, too.
    Lasting(TngError),
    /// It may pass.
    Passing {
        problem: String,
        /// The wait that the server asks for.
        wait: Option<Duration>,
    },
}

impl From<TngError> for Trouble {
    fn from(error: TngError) -> Self {
        Self::Lasting(error)
    }
}

/// What attempts at one thing have in common.
pub(crate) struct Attempts<'a> {
    pub(crate) client: &'a Client,
    /// What is asked for, for people.
    pub(crate) what: &'a str,
    /// The wanted fields; none of what is no chunk.
    pub(crate) query: &'a str,
    pub(crate) stop: Stop<'a>,
    pub(crate) agent: Agent,
    pub(crate) hosts: DataHosts<'a>,
    /// Bytes of the running attempt.
    pub(crate) received: u64,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(client: &'a Client, what: &'a str, query: &'a str, stop: Stop<'a>) -> Self {
        let hosts = DataHosts { known: &client.options().data_hosts, failures: BTreeMap::new() };
        // An agent of its own, whose connections a stop closes: nobody else's.
        Self { client, what, query, stop, agent: client.agent(), hosts, received: 0 }
    }

    /// The result of the first of several attempts that works.
    pub(crate) fn make<T>(
        mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, TngError> {
        let (agent, stop) = (self.agent.clone(), self.stop);
        closing_connections_on(stop, &agent, || {
            let mut number = 0;
            loop {
                number += 1;
                self.check_stop()?;
                self.received = 0;
                let trouble = match attempt(&mut self) {
                    Ok(made) => return Ok(made),
                    Err(trouble) => trouble,
                };
                // Closed connections look like failures.
                self.check_stop()?;
                let (problem, asked) = match trouble {
                    Trouble::Lasting(error) => return Err(error),
                    Trouble::Passing { problem, wait } => (problem, wait),
                };
                let options = self.client.options();
                if number >= options.attempts {
                    return Err(TngError::GaveUp { what: self.what.into(), attempts: number, problem });
                }
                let asked = asked.map_or(Duration::ZERO, |wait| wait.min(options.longest_retry_after));
                let wait = backoff(options, self.what, number).max(asked);
                let lost = self.received;
                self.client.tell(&Event::Retry { what: self.what, problem: &problem, wait, lost });
                self.wait(wait)?;
            }
        })
    }

    fn check_stop(&self) -> Result<(), TngError> {
        match (self.stop)() {
            true => Err(TngError::Stopped { what: self.what.into() }),
            false => Ok(()),
        }
    }

    fn wait(&self, time: Duration) -> Result<(), TngError> {
        let end = Instant::now() + time;
        loop {
            self.check_stop()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(GLANCE));
        }
    }
}

/// Hosts that have the same files, and how often each failed for one thing.
pub(crate) struct DataHosts<'a> {
    known: &'a [String],
    failures: BTreeMap<String, u32>,
}

impl DataHosts<'_> {
    /// The same file at another data host, if `uri` is at one that keeps failing, although the API was asked again each
    /// time, and the other one failed less.
    pub(crate) fn instead_of(&self, uri: &Uri) -> Option<Uri> {
        let named = host(uri);
        let failed = |host: &str| self.failures.get(host).copied().unwrap_or(0);
        if failed(named) < PATIENCE || !self.known.iter().any(|known| known == named) {
            return None;
        }
        let other = self.known.iter().filter(|known| *known != named).min_by_key(|known| failed(known))?;
        at_host(uri, other).filter(|_| failed(other) < failed(named))
    }

    pub(crate) fn failed(&mut self, uri: &Uri) {
        *self.failures.entry(host(uri).into()).or_default() += 1;
    }
}

/// The wait after attempt `number`, which doubles with each, give or take a quarter, so that several downloads that failed
/// together do not come back together.
fn backoff(options: &Options, what: &str, number: u32) -> Duration {
    let doubled = options.first_wait.saturating_mul(1_u32.checked_shl(number - 1).unwrap_or(u32::MAX));
    let dice = crc32fast::hash(format!("{what} {number}").as_bytes());
    doubled.min(options.longest_wait).mul_f64(0.75 + 0.5 * f64::from(dice) / f64::from(u32::MAX))
}

/// Does `work`, and closes the connections of `agent` as soon as `stop` says so: what waits for a byte then fails.
fn closing_connections_on<T>(stop: Stop<'_>, agent: &Agent, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                if stop() {
                    agent.clone().shutdown();
                    return;
                }
                thread::park_timeout(GLANCE);
            }
        });
        // Also when `work` panics: the scope waits for the watcher.
        let _end = AtEnd(|| {
            done.store(true, Ordering::Release);
            watcher.thread().unpark();
        });
        work()
    })
}

/// Calls a function when dropped.
pub(crate) struct AtEnd<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ_between_downloads() {
        let options = Options::default();
        let waits: Vec<f64> =
            (1..=40).map(|number| backoff(&options, "chunk 1", number).as_secs_f64()).collect();
        for (number, wait) in waits.iter().enumerate() {
            let middle = (2.0 * f64::from(2_u32).powi(i32::try_from(number).unwrap())).min(120.0);
            assert!((0.75 * middle..=1.25 * middle).contains(wait), "{number}: {wait}");
        }
        assert_ne!(backoff(&options, "chunk 1", 3), backoff(&options, "chunk 2", 3));
        assert_eq!(backoff(&options, "chunk 1", 3), backoff(&options, "chunk 1", 3));
    }

    #[test]
    fn another_data_host_is_asked_after_two_failures_and_the_first_again_after_two_of_that() {
        let known = ["data.tng-project.org".to_owned(), "data-eu.tng-project.org".to_owned()];
        let mut hosts = DataHosts { known: &known, failures: BTreeMap::new() };
        let us: Uri = "https://data.tng-project.org/x?token=1".parse().unwrap();
        let eu: Uri = "https://data-eu.tng-project.org/x?token=1".parse().unwrap();
        hosts.failed(&us);
        assert_eq!(hosts.instead_of(&us), None);
        hosts.failed(&us);
        assert_eq!(hosts.instead_of(&us), Some(eu.clone()));
        assert_eq!(hosts.instead_of(&eu), None);
        hosts.failed(&eu);
        assert_eq!(hosts.instead_of(&us), Some(eu.clone()));
        hosts.failed(&eu);
        assert_eq!(hosts.instead_of(&us), None);
        // The API itself is not exchanged.
        let api: Uri = "https://www.tng-project.org/x".parse().unwrap();
        (0..3).for_each(|_| hosts.failed(&api));
        assert_eq!(hosts.instead_of(&api), None);
    }
}
