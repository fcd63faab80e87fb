//! What the service says of a snapshot.

use crate::attempts::{Attempts, Stop, Trouble};
use crate::client::Client;
use crate::origin::host;
use crate::request::{Answer, described, media_type, passing, said};
use crate::{Address, TngError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the longest description that is read.
const LONGEST_JSON: u64 = 1 << 20;
/// Files of a snapshot: TNG50-1 has 680.
const MOST_CHUNKS: usize = 1 << 16;

impl Client {
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
        let wrong =
            |what: &str, found| TngError::Answer { what: what.into(), host: self.host().into(), found };
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
