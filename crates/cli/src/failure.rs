//! Errors on their way out: one line, and the exit code.

use crate::terminal::plain;
use finescale_denoiser::DenoiserError;
use finescale_field::FieldError;
use finescale_judge::JudgeError;
use finescale_mock::MockError;
use finescale_outpaint::OutpaintError;
use finescale_pairs::PairError;
use finescale_ranks::{Ranks, RanksError};
use finescale_snapshot::SnapshotError;
use finescale_spectra::SpectraError;
use finescale_tng::TngError;
use finescale_training::TrainingError;
use std::io::Write;
use std::time::Duration;

/// Exit code when the input or the usage is wrong, as clap uses it, too.
const BAD_INPUT: u8 = 2;
/// How long a rank leaves it to the others to say what is wrong.
const FOR_OTHERS: Duration = Duration::from_secs(1);
/// Exit code when something failed that was asked for rightly.
const FAILED: u8 = 1;

/// Input that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

/// A command that was stopped, and has kept what is done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stopped(String);

/// The error of a command that was stopped, and has kept what is done.
pub(crate) fn stopped(message: impl Into<String>) -> anyhow::Error {
    Stopped(message.into()).into()
}

/// The error of input that cannot be used.
pub(crate) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

/// Tells a person what went wrong.
pub(crate) fn report(error: &anyhow::Error) {
    // Nowhere to tell that stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: {}", plain(message(error)));
}

/// The same on one of several ranks, which ends all of them, unless they all stop together. An error that all have is said once,
/// by rank 0, and that another rank has ended is said by that rank.
pub(crate) fn report_of_rank(error: &anyhow::Error, code: u8, ranks: &Ranks) {
    let has_ended = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(RanksError::Ended { .. }))
    };
    if ranks.count() == 1 || is_stop(error) {
        if ranks.is_first() {
            report(error);
        }
        return;
    }
    if !ranks.is_first() || error.chain().any(has_ended) {
        std::thread::sleep(FOR_OTHERS);
    }
    report(&anyhow::anyhow!("rank {}: {}", ranks.rank(), message(error)));
    ranks.abort(code);
}

/// Whether it was stopped, all ranks of it, and has kept what is done.
pub(crate) fn is_stop(error: &anyhow::Error) -> bool {
    let is_cancelled = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<Stopped>()
            || matches!(cause.downcast_ref(), Some(OutpaintError::Cancelled))
            || matches!(cause.downcast_ref(), Some(TngError::Stopped { .. }))
    };
    error.chain().any(is_cancelled)
}

/// The chain of causes, each said once: some messages hold their cause already.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(|cause| cause.to_string()).filter(|cause| !cause.is_empty()) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// 2 for bad input, 1 for other failures.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.chain().any(is_bad_input) { BAD_INPUT } else { FAILED }
}

fn is_bad_input(error: &(dyn std::error::Error + 'static)) -> bool {
    let said = None
        .or(error.downcast_ref().map(SnapshotError::is_input))
        .or(error.downcast_ref().map(FieldError::is_input))
        .or(error.downcast_ref().map(PairError::is_input))
        .or(error.downcast_ref().map(TrainingError::is_input))
        .or(error.downcast_ref().map(OutpaintError::is_input))
        .or(error.downcast_ref().map(MockError::is_input))
        .or(error.downcast_ref().map(TngError::is_input))
        .or(error.downcast_ref().map(SpectraError::is_input))
        .or(error.downcast_ref().map(RanksError::is_input));
    said.unwrap_or(error.is::<BadInput>() || error.is::<JudgeError>() || error.is::<DenoiserError>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("bad sector");
        let error = SnapshotError::Io { path: "a.hdf5".into(), doing: "listing", source: cause };
        let error = Err::<(), _>(error).context("reading").unwrap_err();
        assert_eq!(message(&error), "reading: a.hdf5: listing failed: bad sector");
    }

    #[test]
    fn bad_input_and_failures_have_their_codes() {
        let missing = SnapshotError::NotFound { path: "a.hdf5".into() };
        let full =
            SnapshotError::Write { path: "a.hdf5".into(), source: std::io::ErrorKind::StorageFull.into() };
        let code = |error: SnapshotError| exit_code(&Err::<(), _>(error).context("reading").unwrap_err());
        assert_eq!((code(missing), code(full)), (2, 1));
        assert_eq!(exit_code(&bad_input("no")), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("bad luck")), 1);
        assert_eq!(exit_code(&TrainingError::from(PairError::NoTraining).into()), 2);
    }
}
