//! Errors of this crate: each names what was asked for, what came instead and what to do. None holds the key, or an address
//! that a server named: those of TNG's data hosts can hold a pass.

use crate::variables;
use std::path::PathBuf;

/// What can go wrong between an address and a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TngError {
    /// An address that names no snapshot.
    #[error("{text}: {problem}; an address is tng:SIMULATION/SNAPSHOT, such as tng:TNG300-1/99")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Fields that no dataset can be called.
    #[error(
        "cannot ask for the field {name:?}; name fields as TNG's documentation does, at least one for each kind of particles"
    )]
    Fields {
        /// The name; empty if there is none.
        name: String,
    },
    /// No key, or none that could be one.
    #[error(
        "the environment variable {variable} {problem}; register at https://www.tng-project.org/data/ and set it to the API \
         key that your profile there shows",
        variable = variables::KEY
    )]
    Key {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A base address that cannot be used.
    #[error(
        "{text}: {problem}; {variable} is https://HOST/PATH, or http:// for a server on this machine, and left out it is TNG's own",
        variable = variables::API
    )]
    Api {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The service does not take the key.
    #[error(
        "{what}: {host} does not take the key in {variable} (status {status}: {message}); it is wrong, or has no right to \
         this; https://www.tng-project.org/data/ shows yours",
        variable = variables::KEY
    )]
    KeyRefused {
        /// What was asked for.
        what: String,
        /// Who answered.
        host: String,
        /// Status of the answer.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// There is no such thing.
    #[error(
        "{what}: {host} has none; https://www.tng-project.org/data/ lists simulations, snapshots and their files"
    )]
    NotFound {
        /// What was asked for.
        what: String,
        /// Who answered.
        host: String,
    },
    /// Somebody refuses for another reason.
    #[error("{what}: {host} refuses{asked} (status {status}: {message}); {hint}", asked = after_space(query))]
    Refused {
        /// What was asked for.
        what: String,
        /// The wanted fields; empty for what has none.
        query: String,
        /// Who answered.
        host: String,
        /// Status of the answer.
        status: u16,
        /// What the server says.
        message: String,
        /// What may be the reason.
        hint: &'static str,
    },
    /// An answer that cannot be understood.
    #[error("{what}: {host} answers with {found}; is it the TNG API? look at {variable}, or try again later", variable = variables::API)]
    Answer {
        /// What was asked for.
        what: String,
        /// Who answered.
        host: String,
        /// What came.
        found: String,
    },
    /// A redirect that is not followed.
    #[error("{what}: {host} sends us {problem}; try again later, and write to TNG if it stays so")]
    Redirect {
        /// What was asked for.
        what: String,
        /// Who answered.
        host: String,
        /// Where to.
        problem: String,
    },
    /// There is no such chunk.
    #[error("{what}: there are only {chunks} chunks, from 0 on; begin with one of them")]
    NoChunk {
        /// What was asked for.
        what: String,
        /// How many there are.
        chunks: usize,
    },
    /// Every attempt failed in a way that can pass.
    #[error(
        "{what}: failed {attempts} times, at last: {problem}; try again later: what came before is not asked for again where \
         the run can be resumed"
    )]
    GaveUp {
        /// What was asked for.
        what: String,
        /// How often.
        attempts: u32,
        /// The last failure.
        problem: String,
    },
    /// More than a chunk can be.
    #[error("{what}: more than {largest} bytes, which no chunk has; try again later")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit.
        largest: u64,
    },
    /// It does not fit the disk.
    #[error("{path}: {what} has {bytes} bytes, and {free} are free; free some space or choose another folder", path = path.display())]
    NoSpace {
        /// The file that was to be written.
        path: PathBuf,
        /// What was asked for.
        what: String,
        /// Its size.
        bytes: u64,
        /// What is free.
        free: u64,
    },
    /// The file could not be written to its end.
    #[error(
        "{path}: cannot write: {source}; {remedy}; nothing half-written was left",
        path = path.display(), remedy = finescale_durable::remedy(source)
    )]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process uses the folder.
    #[error("{path}: {source}; wait for it, or name another folder", path = path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who does.
        source: std::io::Error,
    },
    /// The folder for chunks cannot be used.
    #[error("{path}: {doing} failed: {source}; choose another folder", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody set the flag.
    #[error("{what}: stopped, as asked")]
    Stopped {
        /// What was on its way.
        what: String,
    },
}

impl TngError {
    /// Whether what was asked for is at fault, and not the machine or the service.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::Fields { .. }
            | Self::Key { .. }
            | Self::Api { .. }
            | Self::KeyRefused { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::NoChunk { .. }
            | Self::Busy { .. } => true,
            Self::Answer { .. }
            | Self::Redirect { .. }
            | Self::GaveUp { .. }
            | Self::TooLarge { .. }
            | Self::NoSpace { .. }
            | Self::Write { .. }
            | Self::Folder { .. }
            | Self::Stopped { .. } => false,
        }
    }
}

fn after_space(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}
