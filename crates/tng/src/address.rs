//! What a user asks for: a snapshot, and some fields of it.

use crate::TngError;
use finescale_field::{is_plain_name, shown};
use std::fmt;

/// How an address begins.
const SCHEME: &str = "tng:";
/// Number of the last snapshot of a TNG run, which is at redshift 0.
const LAST_SNAPSHOT: u32 = 99;

/// A snapshot of a TNG run: `tng:TNG300-1/99`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    simulation: String,
    snapshot: u32,
}

impl Address {
    /// The address that `text` is; none if it does not begin with `tng:`.
    ///
    /// # Errors
    /// [`TngError::Address`] if it begins so, and goes on in a way that names no snapshot.
    pub fn parse(text: &str) -> Result<Option<Self>, TngError> {
        let Some(rest) = text.strip_prefix(SCHEME) else { return Ok(None) };
        let refuse = |problem| TngError::Address { text: shown(text), problem };
        let (simulation, number) =
            rest.split_once('/').ok_or(refuse("the number of the snapshot is missing"))?;
        if !is_plain_name(simulation) {
            return Err(refuse("the simulation has a name of letters, digits, - and _"));
        }
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let snapshot = number.parse().ok().filter(|&number| digits && number <= LAST_SNAPSHOT);
        let snapshot = snapshot.ok_or(refuse("the snapshot has a number from 0 to 99"))?;
        Ok(Some(Self { simulation: simulation.into(), snapshot }))
    }

    /// The run's name, such as `TNG300-1`.
    #[must_use]
    pub fn simulation(&self) -> &str {
        &self.simulation
    }

    /// Number of the snapshot.
    #[must_use]
    pub fn snapshot(&self) -> u32 {
        self.snapshot
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.simulation, self.snapshot)
    }
}

/// Datasets of one kind of particles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    particle: String,
    names: Vec<String>,
}

impl Fields {
    /// Datasets `names` of `particle` in the API's words: `gas`, `dm`, `stars` or `bhs`.
    #[must_use]
    pub fn new<N: Into<String>>(particle: &str, names: impl IntoIterator<Item = N>) -> Self {
        Self { particle: particle.into(), names: names.into_iter().map(Into::into).collect() }
    }
}

/// What follows the `?`: `gas=Coordinates,Masses&dm=Coordinates`.
pub(crate) fn query(wanted: &[Fields]) -> Result<String, TngError> {
    let mut parts = Vec::with_capacity(wanted.len());
    for fields in wanted {
        let words = std::iter::once(&fields.particle).chain(&fields.names);
        if let Some(word) = words.into_iter().find(|word| !is_plain_name(word)) {
            return Err(TngError::Fields { name: shown(word) });
        }
        parts.push(format!("{}={}", fields.particle, fields.names.join(",")));
    }
    // Without any, the API would send the whole chunk: gigabytes.
    match wanted.is_empty() || wanted.iter().any(|fields| fields.names.is_empty()) {
        true => Err(TngError::Fields { name: String::new() }),
        false => Ok(parts.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_run_and_a_snapshot() {
        let address = Address::parse("tng:TNG300-1/99").unwrap().unwrap();
        assert_eq!((address.simulation(), address.snapshot()), ("TNG300-1", 99));
        assert_eq!(address.to_string(), "tng:TNG300-1/99");
        assert_eq!(Address::parse("tng:TNG50-4-Dark/004").unwrap().unwrap().snapshot(), 4);
        for other in ["snapdir_099", "./tng:TNG300-1/99", "TNG300-1/99", ""] {
            assert_eq!(Address::parse(other).unwrap(), None);
        }
    }

    #[test]
    fn what_names_no_snapshot_is_refused() {
        for text in [
            "tng:",
            "tng:TNG300-1",
            "tng:TNG300-1/",
            "tng:/99",
            "tng:../99",
            "tng:TNG300-1/100",
            "tng:TNG300-1/-1",
            "tng:TNG300-1/+9",
            "tng:TNG300-1/99/3",
            "tng:TNG300-1/../../x/99",
            "tng:a b/3",
            "tng:TNG%2f/3",
            "tng:TNG300-1?x/3",
            "tng:TNG300-1/9 ",
            "tng:TNG300-1/0099",
            "tng:TNG300-1/９",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(matches!(error, TngError::Address { .. }), "{text}: {error}");
            assert!(error.is_input() && error.to_string().contains("tng:TNG300-1/99"), "{error}");
        }
        let error = Address::parse("tng:\u{1b}[31m/9").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    #[test]
    fn only_the_named_fields_are_asked_for() {
        let wanted = [Fields::new("gas", ["Coordinates", "Masses"]), Fields::new("dm", ["Coordinates"])];
        assert_eq!(query(&wanted).unwrap(), "gas=Coordinates,Masses&dm=Coordinates");
        let bad = [
            vec![],
            vec![Fields::new("gas", [""; 0])],
            vec![Fields::new("gas", ["Masses&dm=Coordinates"])],
            vec![Fields::new("gas/../..", ["Masses"])],
            vec![Fields::new("gas", ["a b"])],
        ];
        for wanted in bad {
            assert!(matches!(query(&wanted), Err(TngError::Fields { .. })), "{wanted:?}");
        }
    }
}
