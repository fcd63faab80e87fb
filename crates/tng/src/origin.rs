//! Who may have the key, and where redirects lead.

use crate::TngError;
use crate::variables::API;
use finescale_field::shown;
use ureq::http::Uri;
use ureq::http::uri::{Authority, PathAndQuery, Scheme};

/// TNG's domain.
const DOMAIN: &str = "tng-project.org";
/// This machine.
const LOCAL: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// The base address of the API, and with it who may have the key.
#[derive(Debug)]
pub(crate) struct Origin {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Origin {
    /// The base address `text`: over https, or a server on this machine.
    pub(crate) fn parse(text: &str) -> Result<Self, TngError> {
        let refuse = |problem| TngError::Api { text: shown(text), problem };
        let uri: Uri = text.trim().parse().map_err(|_| refuse("is no address"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(refuse("is no address with a host"));
        };
        if authority.as_str().contains('@') {
            // It may be a password: not to be shown.
            return Err(TngError::Api { text: API.into(), problem: "names a user" });
        }
        if scheme != Scheme::HTTPS && (scheme != Scheme::HTTP || !is_local(&authority)) {
            return Err(refuse("everybody on the way could read it; use https"));
        }
        let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(refuse("has a query"));
        }
        Ok(Self { scheme, authority, path: path.path().trim_end_matches('/').into() })
    }

    /// Whether the API is on this machine: no proxy is asked for it then, and no other host gets the key.
    pub(crate) fn is_local(&self) -> bool {
        is_local(&self.authority)
    }

    /// Its host, with the port.
    pub(crate) fn host(&self) -> &str {
        self.authority.as_str()
    }

    /// The address of what lies at `path` under the base address.
    pub(crate) fn at(&self, path: &str) -> Result<Uri, TngError> {
        let text = format!("{}/{path}", self.path);
        build(&self.scheme, &self.authority, &text)
            .ok_or_else(|| TngError::Api { text: shown(self.authority.as_str()), problem: "is no address" })
    }

    /// Whether the key may be sent to `uri`: to TNG's hosts over https; if the API is on this machine, there only.
    pub(crate) fn may_have_key(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        if self.is_local() {
            return *scheme == self.scheme
                && authority.as_str().eq_ignore_ascii_case(self.authority.as_str());
        }
        *scheme == Scheme::HTTPS && is_tng(authority) && matches!(authority.port_u16(), None | Some(443))
    }
}

fn is_local(authority: &Authority) -> bool {
    LOCAL.iter().any(|host| authority.host().eq_ignore_ascii_case(host))
}

fn is_tng(authority: &Authority) -> bool {
    let host = authority.host().to_ascii_lowercase();
    host == DOMAIN || host.strip_suffix(DOMAIN).is_some_and(|rest| rest.ends_with('.'))
}

fn build(scheme: &Scheme, authority: &Authority, path: &str) -> Option<Uri> {
    let parts = Uri::builder().scheme(scheme.clone()).authority(authority.clone());
    parts.path_and_query(path).build().ok()
}

/// Where a redirect from `from` to `location` leads. Within TNG, http becomes https, since servers behind a proxy do not
/// always know by which of the two they were asked.
///
/// # Errors
/// Why it is not followed.
pub(crate) fn follow(from: &Uri, location: &str) -> Result<Uri, &'static str> {
    const NOWHERE: &str = "to what is no address";
    let (Some(scheme), Some(authority)) = (from.scheme(), from.authority()) else { return Err(NOWHERE) };
    let location = location.split('#').next().unwrap_or_default();
    let before_path = location.split(['/', '?']).next().unwrap_or_default();
    let to: Option<Uri> = if before_path.contains(':') {
        location.parse().ok()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}").parse().ok()
    } else if location.starts_with('/') {
        build(scheme, authority, location)
    } else if location.is_empty() {
        None
    } else {
        let folder = from.path().rfind('/').map_or("/", |end| &from.path()[..=end]);
        let base = if location.starts_with('?') { from.path() } else { folder };
        build(scheme, authority, &format!("{base}{location}"))
    };
    let parts = to.ok_or(NOWHERE)?.into_parts();
    let (Some(to_scheme), Some(to)) = (parts.scheme, parts.authority) else { return Err(NOWHERE) };
    if to.as_str().contains('@') {
        return Err("to an address with a user's name");
    }
    let path = parts.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
    if to_scheme == Scheme::HTTP && is_tng(&to) && matches!(to.port_u16(), None | Some(80)) {
        let host = to.host().parse().map_err(|_| NOWHERE)?;
        return build(&Scheme::HTTPS, &host, path.as_str()).ok_or(NOWHERE);
    }
    if to_scheme == Scheme::HTTP && *scheme == Scheme::HTTPS {
        return Err("from https to http, where anybody could change what comes");
    }
    if to_scheme != Scheme::HTTP && to_scheme != Scheme::HTTPS {
        return Err("to what is neither http nor https");
    }
    build(&to_scheme, &to, path.as_str()).ok_or(NOWHERE)
}

/// The same file at another host.
pub(crate) fn at_host(uri: &Uri, host: &str) -> Option<Uri> {
    build(uri.scheme()?, &host.parse().ok()?, uri.path_and_query()?.as_str())
}

/// The host of an address, with its port; only this of an address is told, since the rest can hold a pass.
pub(crate) fn host(uri: &Uri) -> &str {
    uri.authority().map_or("", Authority::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn the_key_is_for_tng_over_https() {
        let tng = Origin::parse("https://www.tng-project.org/api/").unwrap();
        assert_eq!(tng.at("TNG300-1/").unwrap(), uri("https://www.tng-project.org/api/TNG300-1/"));
        for text in [
            "https://tng-project.org/",
            "https://www.tng-project.org/x",
            "https://data-eu.TNG-project.org/x?token=1",
            "https://data.tng-project.org:443/x",
        ] {
            assert!(tng.may_have_key(&uri(text)), "{text}");
        }
        for text in [
            "http://www.tng-project.org/",
            "https://nottng-project.org/",
            "https://tng-project.org.evil.com/",
            "https://www.tng-project.org@evil.com/",
            "https://evil.com/www.tng-project.org",
            "https://tng-project.org./",
            "https://www.tng-project.org:8443/",
            "https://127.0.0.1/",
            "http://localhost/",
            "https://tng-project.com/",
            "https://user@www.tng-project.org/",
        ] {
            assert!(!tng.may_have_key(&uri(text)), "{text}");
        }
    }

    #[test]
    fn a_server_on_this_machine_has_the_key_alone() {
        let local = Origin::parse("http://127.0.0.1:8000/api").unwrap();
        assert!(local.is_local() && local.may_have_key(&uri("http://127.0.0.1:8000/x")));
        for text in [
            "http://127.0.0.1:8001/",
            "http://127.0.0.1/",
            "http://localhost:8000/",
            "http://127.0.0.2:8000/",
            "https://127.0.0.1:8000/",
            "https://www.tng-project.org/",
        ] {
            assert!(!local.may_have_key(&uri(text)), "{text}");
        }
        for text in ["http://[::1]:80/a", "http://LOCALHOST:1/", "https://localhost/"] {
            assert!(Origin::parse(text).unwrap().is_local(), "{text}");
        }
        let mirror = Origin::parse("https://mirror.example.org/api").unwrap();
        assert!(!mirror.is_local() && !mirror.may_have_key(&uri("https://mirror.example.org/api/x")));
    }

    #[test]
    fn other_base_addresses_are_refused() {
        for text in [
            "",
            "www.tng-project.org",
            "/api",
            "ftp://a/b",
            "http://www.tng-project.org/api",
            "http://127.0.0.2/",
            "http://localhost.evil.com/",
            "https://a.org/?x=1",
            "https://a b/",
            "https://me:secret@a.org/",
        ] {
            let error = Origin::parse(text).unwrap_err();
            assert!(matches!(error, TngError::Api { .. }), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn redirects_are_resolved() {
        let from = uri("https://www.tng-project.org/api/a/b?gas=Masses");
        for (location, to) in [
            ("https://data-eu.tng-project.org/x?token=1#part", "https://data-eu.tng-project.org/x?token=1"),
            ("//data.tng-project.org/x", "https://data.tng-project.org/x"),
            ("/login/", "https://www.tng-project.org/login/"),
            ("c?d=/e", "https://www.tng-project.org/api/a/c?d=/e"),
            ("c?at=10:30", "https://www.tng-project.org/api/a/c?at=10:30"),
            ("?dm=Masses", "https://www.tng-project.org/api/a/b?dm=Masses"),
            ("http://www.tng-project.org/y?z=1", "https://www.tng-project.org/y?z=1"),
            ("http://www.tng-project.org:80/y", "https://www.tng-project.org/y"),
            ("https://example.org", "https://example.org/"),
        ] {
            assert_eq!(follow(&from, location).unwrap(), uri(to), "{location}");
        }
    }

    #[test]
    fn redirects_to_what_is_less_safe_are_not_followed() {
        let from = uri("https://www.tng-project.org/api/a/b");
        for location in [
            "http://example.org/x",
            "http://127.0.0.1:80/",
            "http://www.tng-project.org:8080/",
            "ftp://a/b",
            "file:///etc/x",
            "javascript:1",
            "",
            "https://",
            "https://www.tng-project.org@evil.com/",
            "https://a b/",
        ] {
            assert!(follow(&from, location).is_err(), "{location}");
        }
        // From one server on this machine to another: no less safe.
        let local = uri("http://127.0.0.1:80/");
        assert_eq!(follow(&local, "http://127.0.0.2:81/x").unwrap(), uri("http://127.0.0.2:81/x"));
    }
}
