//! The service, and what it says of a snapshot.

use crate::attempts::{Attempts, Stop, Trouble};
use crate::key::Key;
use crate::options::Options;
use crate::origin::{Origin, host};
use crate::request::{Answer, described, media_type, passing, said};
use crate::{Address, TngError};
use finescale_field::shown;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;

/// Bytes of the longest description that is read.
const LONGEST_JSON: u64 = 1 << 20;
/// Files of a snapshot: TNG50-1 has 680.
const MOST_CHUNKS: usize = 1 << 16;

/// What happens during downloads, for a display. It comes from several threads.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// So many bytes of a chunk came.
    Received {
        /// How many, beyond those told before.
        bytes: u64,
    },
    /// Something failed, and is tried again after a wait.
    Retry {
        /// What was asked for.
        what: &'a str,
        /// Why it failed.
        problem: &'a str,
        /// How long the wait is.
        wait: Duration,
        /// Bytes that were told as received and come again.
        lost: u64,
    },
}

type Listener = dyn Fn(&Event<'_>) + Send + Sync;

struct Inner {
    key: Key,
    options: Options,
    origin: Origin,
    listener: Box<Listener>,
}

/// The web API of TNG.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl Client {
    /// The service that `options` describe, asked with `key`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TngError::Api`] if the base address is none, or not safe.
    pub fn new(key: Key, options: Options) -> Result<Self, TngError> {
        Self::with_events(key, options, |_| ())
    }

    /// As [`new`](Self::new), and tells `listener` what happens.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_events(
        key: Key,
        options: Options,
        listener: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, TngError> {
        let origin = Origin::parse(&options.api)?;
        Ok(Self(Arc::new(Inner { key, options, origin, listener: Box::new(listener) })))
    }

    /// Asks for the snapshot `address`: whether it exists, and how many chunks it has.
    ///
    /// # Errors
    /// [`TngError::NotFound`] and [`TngError::KeyRefused`] at once, [`TngError::GaveUp`] after several attempts, and
    /// [`TngError::Answer`] for what is no description of a snapshot.
    pub fn simulation(&self, address: &Address, stop: &AtomicBool) -> Result<Remote, TngError> {
        let stop = || stop.load(Ordering::Relaxed);
        let simulation = format!("simulation {}", address.simulation());
        let run: RunAnswer = self.json(&simulation, &format!("{}/", address.simulation()), &stop)?;
        let snapshot = format!("snapshot {} of {}", address.snapshot(), address.simulation());
        let path = format!("{}/snapshots/{}/", address.simulation(), address.snapshot());
        let found: SnapshotAnswer = self.json(&snapshot, &path, &stop)?;
        let wrong = |what: &str, found| TngError::Answer {
            what: what.into(),
            host: self.0.origin.host().into(),
            found,
        };
        let chunks = run.num_files_snapshot;
        if !(1..=MOST_CHUNKS).contains(&chunks) {
            return Err(wrong(&simulation, format!("num_files_snapshot = {chunks}")));
        }
        if found.number != address.snapshot() {
            return Err(wrong(&snapshot, format!("number = {}", found.number)));
        }
        Ok(Remote { client: self.clone(), address: address.clone(), chunks, redshift: found.redshift })
    }

    /// A description, of which nothing but the fields of `T` is read.
    fn json<T: DeserializeOwned>(&self, what: &str, path: &str, stop: Stop<'_>) -> Result<T, TngError> {
        let uri = self.at(path)?;
        Attempts::new(self, what, "", stop).make(|attempts| {
            let Answer { response, uri } = attempts.get(&uri, "application/json")?;
            let (host, media_type) = (self.cleaned(host(&uri)), media_type(&response).to_owned());
            let mut bytes = Vec::new();
            let read = response.into_body().into_reader().take(LONGEST_JSON + 1).read_to_end(&mut bytes);
            read.map_err(|error| passing(format!("{host}: {}", said(&error.into()))))?;
            let wrong = |found| {
                let (what, host) = (what.to_owned(), host.clone());
                Trouble::Lasting(TngError::Answer { what, host, found })
            };
            if bytes.len() as u64 > LONGEST_JSON {
                return Err(wrong("more than a MiB".into()));
            }
            serde_json::from_slice(&bytes).map_err(|error| match error.classify() {
                serde_json::error::Category::Data => wrong(self.cleaned(&format!("other JSON ({error})"))),
                _ => wrong(self.cleaned(&described(&bytes, &media_type))),
            })
        })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn at(&self, path: &str) -> Result<Uri, TngError> {
        self.0.origin.at(path)
    }

    /// The key, if `uri` may have it.
    pub(crate) fn key_for(&self, uri: &Uri) -> Option<&Key> {
        self.0.origin.may_have_key(uri).then_some(&self.0.key)
    }

    /// Whether an address tells the key to somebody who may not have it.
    pub(crate) fn would_tell_key(&self, uri: &Uri) -> bool {
        self.key_for(uri).is_none() && self.0.key.is_in(&uri.to_string())
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.0.listener)(event);
    }

    /// A server's text as one short line for people, without the key.
    pub(crate) fn cleaned(&self, text: &str) -> String {
        let text = self.0.key.hide(text);
        shown(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Something that keeps connections.
    pub(crate) fn agent(&self) -> Agent {
        let options = self.options();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("finescale/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_per_read(Some(options.stall_timeout))
            .timeout_per_write(Some(options.stall_timeout));
        // What is on this machine is not asked through a proxy, which would see the key.
        let config = if self.0.origin.is_local() { config.proxy(None) } else { config };
        config.build().new_agent()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// What the API says of a run; there is more in it.
#[derive(Deserialize)]
struct RunAnswer {
    num_files_snapshot: usize,
}

/// What the API says of a snapshot; there is more in it.
#[derive(Deserialize)]
struct SnapshotAnswer {
    number: u32,
    redshift: f64,
}

/// A snapshot at the service.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) client: Client,
    address: Address,
    chunks: usize,
    redshift: f64,
}

impl Remote {
    /// What was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many files the snapshot has.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// Its redshift, as the API says it.
    #[must_use]
    pub fn redshift(&self) -> f64 {
        self.redshift
    }
}
