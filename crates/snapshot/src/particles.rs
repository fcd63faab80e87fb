//! Which particles of a snapshot are meant.

use crate::Species;
use std::fmt;
use std::str::FromStr;

/// Types of particles that codes have: gas, dark matter (three kinds of it in zooms), stars, black holes, neutrinos.
pub(crate) const TYPES: usize = 7;
const BLACK_HOLES: usize = 5;
/// Dark matter of all resolutions. In IllustrisTNG, type 3 are tracers, which have no mass.
pub(crate) const DARK: [usize; 3] = [1, 2, 3];

/// One type of particles, or several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Particles {
    name: String,
    types: Vec<usize>,
    is_all_matter: bool,
}

impl Particles {
    /// Everything that has a mass.
    #[must_use]
    pub fn matter() -> Self {
        Self { name: "matter".to_owned(), types: (0..TYPES).collect(), is_all_matter: true }
    }

    /// The numbers in the names of the groups, rising.
    #[must_use]
    pub fn types(&self) -> &[usize] {
        &self.types
    }

    /// What a field of them is the density of: all dark matter is dark matter.
    #[must_use]
    pub fn quantity(&self) -> &str {
        if self.types == DARK { "dm" } else { &self.name }
    }

    /// Whether particles without a mass, such as tracers, are left out.
    pub(crate) fn need_mass(&self) -> bool {
        self.is_all_matter
    }

    fn one(name: &str, kind: usize) -> Self {
        Self { name: name.to_owned(), types: vec![kind], is_all_matter: false }
    }
}

impl From<Species> for Particles {
    fn from(species: Species) -> Self {
        Self::one(&species.to_string(), species.particle_type())
    }
}

impl fmt::Display for Particles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Particles {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Ok(species) = name.parse::<Species>() {
            return Ok(species.into());
        }
        match name {
            "bh" => return Ok(Self::one(name, BLACK_HOLES)),
            "matter" => return Ok(Self::matter()),
            _ => (),
        }
        // As they are asked for, 0,1,5 or gas,dm, and as a grid is named after them.
        let parts = name.strip_prefix("types_").unwrap_or(name).split([',', '_']);
        let types: Option<Vec<usize>> = parts.map(|part| type_of(part.trim())).collect();
        let mut types = types.ok_or_else(|| {
            format!(
                "unknown particles {name:?}: gas, dm, stars, bh, several such as gas,dm, matter, or numbers of types such as 1,2,3"
            )
        })?;
        types.sort_unstable();
        types.dedup();
        let numbers: Vec<String> = types.iter().map(usize::to_string).collect();
        Ok(Self { name: format!("types_{}", numbers.join("_")), types, is_all_matter: false })
    }
}

/// The number of a type, by itself or by its name.
fn type_of(text: &str) -> Option<usize> {
    match (text.parse::<Species>(), text) {
        (Ok(species), _) => Some(species.particle_type()),
        (_, "bh") => Some(BLACK_HOLES),
        _ => text.parse().ok().filter(|kind| *kind < TYPES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particles_are_named_or_numbered() {
        let read = |name: &str| name.parse::<Particles>();
        assert_eq!(read("dm").unwrap(), Species::DarkMatter.into());
        assert_eq!(read("bh").unwrap().types(), [5]);
        assert_eq!(read("matter").unwrap().types(), [0, 1, 2, 3, 4, 5, 6]);
        let several = read("5, 1,1").unwrap();
        assert_eq!((read("1,2,3").unwrap().quantity(), several.quantity()), ("dm", "types_1_5"));
        assert_eq!((several.types(), several.to_string().as_str()), (&[1, 5][..], "types_1_5"));
        assert_eq!(read("dm, bh"), Ok(several.clone()));
        for particles in [several, Particles::matter(), Species::Gas.into()] {
            assert_eq!(read(&particles.to_string()), Ok(particles));
        }
        for wrong in ["neutrinos", "7", "1,", "-1", ""] {
            assert!(read(wrong).unwrap_err().contains("gas, dm, stars"), "{wrong}");
        }
    }
}
