//! Kinds of particles.

use std::fmt;
use std::str::FromStr;

/// The particle types whose fields we paint. Numbers as in GADGET: `/PartType0`, `/PartType1`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Species {
    /// Gas cells or SPH particles, type 0.
    Gas,
    /// Dark matter of the highest resolution, type 1.
    DarkMatter,
    /// Stars and wind particles, type 4.
    Stars,
}

impl Species {
    /// All of them, in the order of their types.
    pub const ALL: [Self; 3] = [Self::Gas, Self::DarkMatter, Self::Stars];

    /// The number in the group's name.
    #[must_use]
    pub fn particle_type(self) -> usize {
        match self {
            Self::Gas => 0,
            Self::DarkMatter => 1,
            Self::Stars => 4,
        }
    }

    /// Name of the HDF5 group: `PartType0`, ...
    #[must_use]
    pub fn group(self) -> String {
        format!("PartType{}", self.particle_type())
    }
}

impl fmt::Display for Species {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gas => "gas",
            Self::DarkMatter => "dm",
            Self::Stars => "stars",
        })
    }
}

impl FromStr for Species {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|species| species.to_string() == name)
            .ok_or_else(|| format!("unknown particles {name:?}; known are gas, dm and stars"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for species in Species::ALL {
            assert_eq!(species.to_string().parse(), Ok(species));
        }
        assert!("neutrinos".parse::<Species>().unwrap_err().contains("known are"));
        assert_eq!(Species::Stars.group(), "PartType4");
    }
}
