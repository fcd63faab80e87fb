//! One attempt to get an answer: redirects by hand, so that the key goes no further than it may.

use crate::TngError;
use crate::attempts::{Attempts, Trouble};
use crate::key::Key;
use crate::origin::{follow, host};
use finescale_field::shown;
use std::io::{self, Read};
use std::time::Duration;
use ureq::Body;
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderName, Response, Uri};

/// The header that carries the key.
const KEY_HEADER: &str = "api-key";
/// Redirects that are followed in one attempt.
const MOST_REDIRECTS: u32 = 10;
/// Bytes of a refusal that are read.
const LONGEST_REFUSAL: u64 = 4096;

/// Why a chunk can be refused.
const FIELDS_HINT: &str =
    "does this snapshot have these fields? dark matter has no Masses, and mini snapshots have few fields";

/// An answer with status 200.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) uri: Uri,
}

/// Whom is asked, and how it came to that.
struct Asked {
    uri: Uri,
    with_key: bool,
    /// It was not the API that sent us there, but we tried another data host.
    exchanged: bool,
}

impl Attempts<'_> {
    /// Asks for `uri`, and goes where redirects lead.
    pub(crate) fn get(&mut self, uri: &Uri, accept: &'static str) -> Result<Answer, Trouble> {
        let mut asked = Asked { uri: uri.clone(), with_key: false, exchanged: false };
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&mut asked, accept)?;
            match response.status().as_u16() {
                200 => return Ok(Answer { response, uri: asked.uri }),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                    let to = follow(&asked.uri, location.unwrap_or_default());
                    asked.uri = to.map_err(|problem| self.redirect(&asked.uri, problem.into()))?;
                    let other = self.hosts.instead_of(&asked.uri);
                    asked.exchanged = other.is_some();
                    asked.uri = other.unwrap_or(asked.uri);
                    if self.client.would_tell_key(&asked.uri) {
                        return Err(
                            self.redirect(uri, "to somebody else, with the key in the address".into())
                        );
                    }
                }
                status => return Err(self.refusal(&asked, status, response)),
            }
        }
        Err(self.redirect(&asked.uri, format!("on and on, {MOST_REDIRECTS} times")))
    }

    fn ask(&mut self, asked: &mut Asked, accept: &'static str) -> Result<Response<Body>, Trouble> {
        let mut request = self.agent.get(asked.uri.clone()).header(ACCEPT, accept);
        let key = self.client.key_for(&asked.uri).and_then(Key::header);
        asked.with_key = key.is_some();
        if let Some(key) = key {
            request = request.header(HeaderName::from_static(KEY_HEADER), key);
        }
        request.call().map_err(|error| {
            self.hosts.failed(&asked.uri);
            passing(format!("{}: {}", self.client.cleaned(host(&asked.uri)), said(&error)))
        })
    }

    fn redirect(&self, from: &Uri, problem: String) -> Trouble {
        let host = self.client.cleaned(host(from));
        Trouble::Lasting(TngError::Redirect { what: self.what.into(), host, problem })
    }

    /// What a status other than 200 means.
    fn refusal(&mut self, asked: &Asked, status: u16, response: Response<Body>) -> Trouble {
        let wait = retry_after(&response);
        let mut text = Vec::new();
        // What came before a failure is enough.
        let _ = response.into_body().into_reader().take(LONGEST_REFUSAL).read_to_end(&mut text);
        let message = self.client.cleaned(&message(&text));
        let (what, host) = (self.what.to_owned(), self.client.cleaned(host(&asked.uri)));
        match status {
            408 | 425 | 429 | 500..=599 => {
                if status >= 500 {
                    self.hosts.failed(&asked.uri);
                }
                Trouble::Passing { problem: format!("{host}: status {status}: {message}"), wait }
            }
            // The other host may want another pass, or have other paths: the one that the API names can still work.
            _ if asked.exchanged => {
                self.hosts.failed(&asked.uri);
                passing(format!("{host}, asked in place of another, answers with status {status}"))
            }
            401 | 403 if asked.with_key => TngError::KeyRefused { what, host, status, message }.into(),
            404 => TngError::NotFound { what, host }.into(),
            _ => {
                let hint = match (status, self.query.is_empty()) {
                    (401 | 403, _) => "it was asked without the key, which only TNG gets",
                    (_, true) => "is it the TNG API? look at FINESCALE_TNG_API",
                    (_, false) => FIELDS_HINT,
                };
                // Our own words: the query of an address that a server named can hold a pass.
                let query = self.query.to_owned();
                TngError::Refused { what, query, host, status, message, hint }.into()
            }
        }
    }
}

/// A trouble that may pass, with no wish for a wait.
pub(crate) fn passing(problem: String) -> Trouble {
    Trouble::Passing { problem, wait: None }
}

/// Seconds that the server asks us to wait. It can name a date instead, for which our own wait has to do.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The length that the server promises.
pub(crate) fn length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The type that the server says its answer has.
pub(crate) fn media_type(response: &Response<Body>) -> &str {
    let text = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    text.unwrap_or_default()
}

/// What a failure says, without addresses, which some variants repeat.
pub(crate) fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::HostNotFound => "its address cannot be found; is there a network?".into(),
        ureq::Error::Io(error) => said_by_system(error),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            "the proxy does not let us through".into()
        }
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => "its address cannot be used".into(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => "its answer is no HTTP".into(),
        ureq::Error::Rustls(error) => unsafe_connection(error),
        error => shown(&error.to_string()),
    }
}

fn said_by_system(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "the connection was cut".into(),
        // What rustls finds wrong comes so: nothing else in here reads data that can be invalid.
        io::ErrorKind::InvalidData => unsafe_connection(error),
        _ => shown(&error.to_string()),
    }
}

fn unsafe_connection(error: &dyn std::error::Error) -> String {
    shown(&format!("no safe connection: {error}; is there a proxy in between that opens https?"))
}

/// What a refusal says: the field `detail` of JSON, as Django writes it, the title of a page, or the text.
fn message(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    if let Some(detail) = json.as_ref().and_then(|json| json.get("detail")?.as_str()) {
        return detail.into();
    }
    match (title(&text), text.trim().is_empty()) {
        (Some(title), _) => title.into(),
        (None, true) => "it says no more".into(),
        (None, false) => text.into_owned(),
    }
}

/// The title of an HTML page.
fn title(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let start = lower.find("<title>")? + "<title>".len();
    let end = start + lower[start..].find("</title>")?;
    Some(text[start..end].trim())
}

/// What came instead of what was asked for.
pub(crate) fn described(bytes: &[u8], media_type: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    let begin = text.trim_start().to_ascii_lowercase();
    if begin.starts_with("<!doctype html")
        || begin.starts_with("<html")
        || media_type.starts_with("text/html")
    {
        return match title(&text) {
            Some(title) => format!("an HTML page, {title:?}"),
            None => "an HTML page".into(),
        };
    }
    if bytes.is_empty() {
        return "nothing".into();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("the text {text:?}"),
        Err(_) => "other bytes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_in_their_own_words() {
        for (bytes, expected) in [
            (&br#"{"detail": "Invalid token."}"#[..], "Invalid token."),
            (b"<html><TITLE> Bad Gateway </TITLE></html>", "Bad Gateway"),
            (b" \n", "it says no more"),
            (b"no such field", "no such field"),
            (br#"{"error": 1}"#, r#"{"error": 1}"#),
            (b"<title>never ended", "<title>never ended"),
        ] {
            assert_eq!(message(bytes), expected);
        }
    }

    #[test]
    fn what_came_is_described() {
        assert_eq!(described(b" <!DOCTYPE html><title>Login</title>", ""), r#"an HTML page, "Login""#);
        assert_eq!(described(b"Please log in", "text/html; charset=utf-8"), "an HTML page");
        assert_eq!(described(b"", ""), "nothing");
        assert_eq!(described(b"hello", ""), r#"the text "hello""#);
        assert_eq!(described(b"\xff\xfe", ""), "other bytes");
    }

    #[test]
    fn failures_say_no_address() {
        let secret = "https://data.tng-project.org/?token=secret".to_owned();
        for error in [
            ureq::Error::BadUri(secret.clone()),
            ureq::Error::RequireHttpsOnly(secret.clone()),
            ureq::Error::ConnectProxyFailed(secret),
        ] {
            assert!(!said(&error).contains("secret"));
        }
    }
}
