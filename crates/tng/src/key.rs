//! The user's API key.

use crate::{TngError, variables};
use std::fmt;
use ureq::http::HeaderValue;

/// Bytes of a key; TNG's have 32.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=256;
/// What stands for it in texts.
const HIDDEN: &str = "(the key)";

/// A key of the TNG API. It prints nothing of itself, and there is no way to read it outside of this crate.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// The key in the environment variable `TNG_API_KEY`.
    ///
    /// # Errors
    /// [`TngError::Key`] if there is none, or what is there cannot be a key.
    pub fn from_environment() -> Result<Self, TngError> {
        match std::env::var(variables::KEY) {
            Ok(text) => Self::new(&text),
            Err(std::env::VarError::NotPresent) => Err(TngError::Key { problem: "is not set" }),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(TngError::Key { problem: "holds other than ASCII" })
            }
        }
    }

    /// A key; white space around it is left out.
    ///
    /// # Errors
    /// [`TngError::Key`] if it cannot be one; the error says nothing of it.
    pub fn new(text: &str) -> Result<Self, TngError> {
        let text = text.trim();
        let problem = if text.is_empty() {
            "is empty"
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "holds other than letters, digits and signs of ASCII"
        } else if !LENGTHS.contains(&text.len()) {
            "has a length that no key has"
        } else {
            return Ok(Self(text.into()));
        };
        Err(TngError::Key { problem })
    }

    /// The value of the header, which ureq and http show to nobody.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        // Printable ASCII always is one.
        let mut value = HeaderValue::from_str(&self.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a text holds the key, in small or capital letters: names of hosts know no difference.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.to_ascii_lowercase().contains(&self.0.to_ascii_lowercase())
    }

    /// A server's text without the key, should the server repeat it.
    pub(crate) fn hide(&self, text: &str) -> String {
        text.replace(&self.0, HIDDEN)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_nothing_of_itself() {
        let key = Key::new(" 0123456789abcdef\n").unwrap();
        assert_eq!(key.header().unwrap().to_str().unwrap(), "0123456789abcdef");
        for text in [
            format!("{key}"),
            format!("{key:?}"),
            format!("{:?}", key.header()),
            key.hide("<0123456789abcdef>"),
        ] {
            assert!(!text.contains("0123"), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_saying_it() {
        for text in
            ["", "  ", "short", "with a space", "schlüssel-schlüssel", "line\r\nbreak: yes", &"x".repeat(300)]
        {
            let error = Key::new(text).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(matches!(error, TngError::Key { .. }) && error.is_input(), "{said}");
            assert!(said.contains("TNG_API_KEY") || said.contains("tng-project.org/data"), "{said}");
            assert!(text.trim().is_empty() || !said.contains(text), "{said}");
        }
    }
}
