//! Statistics that a field may be too small, too plain or too little known for.

use serde::Serialize;
use std::fmt::Display;

/// A statistic, or why there is none. In report.json: the statistic itself, or `{"skipped": "the reason"}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measured<T> {
    /// The statistic.
    Done(T),
    /// None, for a reason.
    Skipped {
        /// The reason, for a person.
        skipped: String,
    },
}

impl<T> Measured<T> {
    /// None, because of `reason`.
    #[must_use]
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped { skipped: reason.into() }
    }

    /// The statistic, if there is one.
    #[must_use]
    pub fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Skipped { .. } => None,
        }
    }

    /// Why there is none.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done(_) => None,
            Self::Skipped { skipped } => Some(skipped),
        }
    }
}

impl<T, E: Display> From<Result<T, E>> for Measured<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) => Self::skipped(error.to_string()),
        }
    }
}
