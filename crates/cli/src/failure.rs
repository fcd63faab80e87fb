//! Errors on their way out: one line, and the exit code.

use crate::terminal::plain;
use finescale_denoiser::DenoiserError;
use finescale_field::FieldError;
use finescale_judge::JudgeError;
use finescale_mock::MockError;
use finescale_outpaint::OutpaintError;
use finescale_pairs::PairError;
use finescale_snapshot::SnapshotError;
use finescale_spectra::SpectraError;
use finescale_tng::TngError;
use finescale_training::TrainingError;
use std::io::Write;

/// Exit code when the input or the usage is wrong, as clap uses it, too.
const BAD_INPUT: u8 = 2;
/// Exit code when something failed that was asked for rightly.
const FAILED: u8 = 1;

/// Input that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

/// The error of input that cannot be used.
pub(crate) fn bad_input(message: impl Into<String>) -> anyhow::Error {
    BadInput(message.into()).into()
}

/// Tells a person what went wrong.
pub(crate) fn report(error: &anyhow::Error) {
    // Nowhere to tell that stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: {}", plain(message(error)));
}

/// The chain of causes, each said once: some messages hold their cause already.
fn message(error: &anyhow::Error) -> String {
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
        .or(error.downcast_ref().map(TngError::is_input));
    said.unwrap_or(
        error.is::<BadInput>()
            || error.is::<SpectraError>()
            || error.is::<JudgeError>()
            || error.is::<DenoiserError>(),
    )
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
