//! The service, and who may have the key.

use crate::TngError;
use crate::key::Key;
use crate::options::Options;
use crate::origin::Origin;
use finescale_field::shown;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;

/// What happens during downloads, for a display. It comes from several threads.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// So many bytes of a chunk came.
    Received {
        /// How many, beyond those told before.
        bytes: u64,
    },
    /// Something failed, and is tried again after a wait.
    Retry {
        /// What was asked for.
        what: &'a str,
        /// Why it failed.
        problem: &'a str,
        /// How long the wait is.
        wait: Duration,
        /// Bytes that were told as received and come again.
        lost: u64,
    },
}

type Listener = dyn Fn(&Event<'_>) + Send + Sync;

struct Inner {
    key: Key,
    options: Options,
    origin: Origin,
    listener: Box<Listener>,
}

/// The web API of TNG.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl Client {
    /// The service that `options` describe, asked with `key`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`TngError::Api`] if the base address is none, or not safe.
    pub fn new(key: Key, options: Options) -> Result<Self, TngError> {
        Self::with_events(key, options, |_| ())
    }

    /// As [`new`](Self::new), and tells `listener` what happens.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_events(
        key: Key,
        options: Options,
        listener: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, TngError> {
        let origin = Origin::parse(&options.api)?;
        Ok(Self(Arc::new(Inner { key, options, origin, listener: Box::new(listener) })))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    /// The host of the API.
    pub(crate) fn host(&self) -> &str {
        self.0.origin.host()
    }

    pub(crate) fn at(&self, path: &str) -> Result<Uri, TngError> {
        self.0.origin.at(path)
    }

    /// The key, if `uri` may have it.
    pub(crate) fn key_for(&self, uri: &Uri) -> Option<&Key> {
        self.0.origin.may_have_key(uri).then_some(&self.0.key)
    }

    /// Whether an address tells the key to somebody who may not have it.
    pub(crate) fn would_tell_key(&self, uri: &Uri) -> bool {
        self.key_for(uri).is_none() && self.0.key.is_in(&uri.to_string())
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        (self.0.listener)(event);
    }

    /// A server's text as one short line for people, without the key.
    pub(crate) fn cleaned(&self, text: &str) -> String {
        let text = self.0.key.hide(text);
        shown(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Something that keeps connections.
    pub(crate) fn agent(&self) -> Agent {
        let options = self.options();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("finescale/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_per_read(Some(options.stall_timeout))
            .timeout_per_write(Some(options.stall_timeout));
        // What is on this machine is not asked through a proxy, which would see the key.
        let config = if self.0.origin.is_local() { config.proxy(None) } else { config };
        config.build().new_agent()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.0.options).finish_non_exhaustive()
    }
}
