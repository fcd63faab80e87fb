//! How the service is asked.

use crate::{TngError, variables};
use std::time::Duration;

/// TNG's own.
const API: &str = "https://www.tng-project.org/api";
/// Hosts that the API sends downloads to. TNG documents no list: these are the two that public programs meet and exchange
/// for one another. A third one would be used wherever the API names it, and not exchanged.
const DATA_HOSTS: [&str; 2] = ["data.tng-project.org", "data-eu.tng-project.org"];

/// How the service is asked. The defaults are for TNG's own.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base address of the API.
    pub api: String,
    /// How often one thing is tried, the first time included.
    pub attempts: u32,
    /// Downloads at once; the service throttles each.
    pub connections: usize,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest time without a byte. The service reads the wanted fields out of its files before it sends the first one.
    pub stall_timeout: Duration,
    /// Wait before the second attempt; it doubles with each.
    pub first_wait: Duration,
    /// Longest wait of our own choice.
    pub longest_wait: Duration,
    /// Longest wait that the service may ask for by `Retry-After`.
    pub longest_retry_after: Duration,
    /// Largest file in bytes.
    pub largest_file: u64,
    /// Hosts (with their port, if it is no usual one) that have the same files under the same paths.
    pub data_hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api: API.into(),
            attempts: 8,
            connections: 4,
            connect_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(120),
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(120),
            longest_retry_after: Duration::from_secs(600),
            largest_file: 64 << 30,
            data_hosts: DATA_HOSTS.map(String::from).to_vec(),
        }
    }
}

impl Options {
    /// The defaults, with the base address that `FINESCALE_TNG_API` names, if it is set.
    ///
    /// # Errors
    /// [`TngError::Api`] if it is no text.
    pub fn from_environment() -> Result<Self, TngError> {
        match std::env::var(variables::API) {
            Ok(api) => Ok(Self { api, ..Self::default() }),
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(std::env::VarError::NotUnicode(text)) => Err(TngError::Api {
                text: finescale_field::shown(&text.to_string_lossy()),
                problem: "is no text",
            }),
        }
    }
}
