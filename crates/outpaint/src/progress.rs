//! How far a generation is, told to who may stop it.

use crate::OutpaintError;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far a generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Told once, before the first evaluation.
    Begun {
        /// Evaluations of windows that earlier runs have made durable.
        done: usize,
        /// Evaluations that the whole volume takes.
        evaluations: usize,
    },
    /// The network has evaluated some more windows.
    Evaluated {
        /// Number of windows.
        windows: usize,
    },
}

/// Who hears of progress, and may stop it.
pub(crate) struct Listener<'a> {
    pub(crate) progress: &'a mut dyn FnMut(Progress),
    pub(crate) cancel: &'a AtomicBool,
}

impl Listener<'_> {
    /// Tells of `windows` evaluations.
    ///
    /// # Errors
    /// [`OutpaintError::Cancelled`] if the user wants to stop.
    pub(crate) fn evaluated(&mut self, windows: usize) -> Result<(), OutpaintError> {
        (self.progress)(Progress::Evaluated { windows });
        if self.is_cancelled() { Err(OutpaintError::Cancelled) } else { Ok(()) }
    }

    /// Whether the user wants to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
