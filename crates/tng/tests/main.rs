//! The client against a server on this machine that misbehaves.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

#[path = "web/server.rs"]
mod server;

#[path = "web/download.rs"]
mod download;
#[path = "web/key.rs"]
mod key;
#[path = "web/prefetch.rs"]
mod prefetch;
#[path = "web/simulation.rs"]
mod simulation;
