//! What a snapshot says of itself.

use crate::attributes::Attributes;
use crate::objects;
use crate::units::Units;
use crate::{SnapshotError, Species};
use finescale_field::{Cosmology, Grid, shown};
use std::path::Path;

/// Redshifts that a snapshot can have: from the far future to before any structure.
const REDSHIFTS: std::ops::RangeInclusive<f64> = -0.999..=1e6;

/// The attribute of programs of ours.
pub(crate) const ORIGIN: &str = "finescale_origin";

/// The header of a snapshot, in our units, for all its files together.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Side of the periodic cube in comoving Mpc/h.
    pub box_size_mpc_h: f64,
    /// Redshift.
    pub redshift: f64,
    /// Scale factor, 1 today.
    pub scale_factor: f64,
    /// From `/Cosmology`, `/Parameters` or `/Header`, the first that has it.
    pub cosmology: Cosmology,
    /// Particles of each type in the whole snapshot.
    pub counts: Vec<u64>,
    /// Mass of each type's particles in 1e10 Msun/h; 0 where each particle has its own.
    pub mass_table: Vec<f64>,
    /// Which program made it, where a program of ours did.
    pub origin: Option<String>,
    /// Files of the snapshot.
    pub files: usize,
}

impl Header {
    /// Particles of `species` in the whole snapshot.
    #[must_use]
    pub fn count(&self, species: Species) -> u64 {
        self.counts.get(species.particle_type()).copied().unwrap_or(0)
    }

    /// Whether two files can be of one snapshot.
    pub(crate) fn is_of_one_set(&self, other: &Self) -> bool {
        let numbers = |header: &Self| [header.box_size_mpc_h, header.scale_factor];
        (numbers(self), &self.counts, &self.mass_table, self.files)
            == (numbers(other), &other.counts, &other.mass_table, other.files)
    }

    /// The mass that all particles of `species` share, in 1e10 Msun/h, if they do.
    #[must_use]
    pub fn table_mass(&self, species: Species) -> Option<f64> {
        self.mass_table.get(species.particle_type()).copied().filter(|&mass| mass != 0.0)
    }
}

/// The header of one file: the snapshot's, and what is its own.
pub(crate) struct FileHeader {
    pub(crate) snapshot: Header,
    /// Particles of each type in this file.
    pub(crate) counts: Vec<u64>,
    pub(crate) units: Units,
}

impl FileHeader {
    /// Reads `/Header`, `/Parameters` and `/Cosmology` of an open snapshot file.
    pub(crate) fn read(path: &Path, file: &hdf5::File) -> Result<Self, SnapshotError> {
        let group = objects::group(path, file, "Header")?.ok_or_else(|| SnapshotError::NotASnapshot {
            path: path.into(),
            detail: "it has no group /Header".to_owned(),
        })?;
        let header = Attributes::new(path, &group);
        let parameters = objects::group(path, file, "Parameters")?;
        let parameters = parameters.as_ref().map(|group| Attributes::new(path, group));

        let units = Units::read(&header, parameters.as_ref())?;
        let counts = header.counts("NumPart_ThisFile")?;
        let files = read_files(&header)?;
        let (redshift, scale_factor) = read_time(&header)?;
        let snapshot = Header {
            box_size_mpc_h: read_box_size_mpc_h(&header, parameters.as_ref(), units)?,
            redshift,
            scale_factor,
            cosmology: read_cosmology(path, file)?,
            counts: read_totals(&header, &counts, files)?,
            mass_table: read_mass_table(&header, units)?,
            origin: if header.has(ORIGIN) { header.text(ORIGIN).ok().map(|text| shown(&text)) } else { None },
            files,
        };
        Ok(Self { snapshot, counts, units })
    }
}

fn read_files(header: &Attributes) -> Result<usize, SnapshotError> {
    const MOST_FILES: u64 = u32::MAX as u64;
    const NAME: &str = "NumFilesPerSnapshot";
    if !header.has(NAME) {
        return Ok(1);
    }
    let files = header.counts(NAME)?;
    match files[..] {
        [files] if (1..=MOST_FILES).contains(&files) => Ok(usize::try_from(files).expect("fits 32 bits")),
        _ => Err(header.wrong(NAME, "one number of files", format!("{files:?}"))),
    }
}

/// Low words and high words put together: N = low + (high << 32). Files with 64-bit counts have no high words.
fn read_totals(header: &Attributes, counts: &[u64], files: usize) -> Result<Vec<u64>, SnapshotError> {
    const LOW: &str = "NumPart_Total";
    const HIGH: &str = "NumPart_Total_HighWord";
    if !header.has(LOW) && files == 1 {
        return Ok(counts.to_vec());
    }
    let mut totals = header.counts(LOW)?;
    if header.has(HIGH) {
        for (total, high) in totals.iter_mut().zip(header.counts(HIGH)?) {
            if *total <= u64::from(u32::MAX) && high <= u64::from(u32::MAX) {
                *total += high << 32;
            }
        }
    }
    Ok(totals)
}

/// Redshift and scale factor; one is enough.
fn read_time(header: &Attributes) -> Result<(f64, f64), SnapshotError> {
    if let Some(redshift) = header.optional_number("Redshift")? {
        return match REDSHIFTS.contains(&redshift) {
            true => Ok((redshift, 1.0 / (1.0 + redshift))),
            false => Err(header.wrong("Redshift", "a redshift from -0.999 to 1e6", redshift.to_string())),
        };
    }
    let scale_factor = header.number("Time")?;
    let redshift = 1.0 / scale_factor - 1.0;
    match REDSHIFTS.contains(&redshift) {
        true => Ok((redshift, scale_factor)),
        false => Err(header.wrong("Time", "a scale factor from 1e-6 to 1000", scale_factor.to_string())),
    }
}

fn read_box_size_mpc_h(
    header: &Attributes,
    parameters: Option<&Attributes>,
    units: Units,
) -> Result<f64, SnapshotError> {
    const NAME: &str = "BoxSize";
    let group = parameters.filter(|_| !header.has(NAME)).unwrap_or(header);
    let size = group.number(NAME)?;
    let size_mpc_h = size * units.length_mpc_h;
    if Grid::cube(1, size_mpc_h).is_ok() {
        Ok(size_mpc_h)
    } else {
        let found = format!("{size:e}, which is {size_mpc_h:e} Mpc/h");
        Err(group.wrong(NAME, "the side of a periodic box", found))
    }
}

fn read_mass_table(header: &Attributes, units: Units) -> Result<Vec<f64>, SnapshotError> {
    const NAME: &str = "MassTable";
    if !header.has(NAME) {
        return Ok(Vec::new());
    }
    let masses: Vec<f64> = header.numbers(NAME)?.iter().map(|mass| mass * units.mass_1e10_msun_h).collect();
    match masses.iter().find(|mass| !(mass.is_finite() && **mass >= 0.0)) {
        None => Ok(masses),
        Some(mass) => Err(header.wrong(NAME, "masses, none negative", mass.to_string())),
    }
}

/// The order in which Pylians looks, too.
fn read_cosmology(path: &Path, file: &hdf5::File) -> Result<Cosmology, SnapshotError> {
    const MATTER: [&str; 2] = ["Omega0", "Omega_m"];
    const LAMBDA: [&str; 2] = ["OmegaLambda", "Omega_lambda"];
    const BARYONS: [&str; 2] = ["OmegaBaryon", "Omega_b"];
    const HUBBLE: [&str; 2] = ["HubbleParam", "h"];
    for name in ["Cosmology", "Parameters", "Header"] {
        let Some(group) = objects::group(path, file, name)? else { continue };
        let attributes = &Attributes::new(path, &group);
        let first = |names: [&'static str; 2]| names.into_iter().find(move |name| attributes.has(name));
        let (Some(matter), Some(lambda), Some(hubble)) = (first(MATTER), first(LAMBDA), first(HUBBLE)) else {
            continue;
        };
        let number = |name| attributes.number(name).map(Some);
        return Ok(Cosmology {
            omega_m: number(matter)?,
            omega_lambda: number(lambda)?,
            omega_b: first(BARYONS).map(|name| attributes.number(name)).transpose()?,
            hubble: number(hubble)?,
            ..Cosmology::UNKNOWN
        });
    }
    Ok(Cosmology::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{write_array, write_scalar};

    /// A file that holds a header only.
    fn header(write: impl FnOnce(&hdf5::File, &hdf5::Group)) -> Result<FileHeader, SnapshotError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snap.hdf5");
        let file = hdf5::File::create(&path).unwrap();
        let group = file.create_group("Header").unwrap();
        write_scalar(&group, "BoxSize", 205_000f64).unwrap();
        write_scalar(&group, "Time", 0.5f64).unwrap();
        write(&file, &group);
        FileHeader::read(&path, &file)
    }

    #[test]
    fn tng300_has_fifteen_and_a_half_billion_particles() {
        let read = header(|_, group| {
            write_array(group, "NumPart_ThisFile", &[0i32, 26_000_000, 0, 0, 0, 0]).unwrap();
            write_array(group, "NumPart_Total", &[0u32, 2_740_098_112, 0, 0, 0, 0]).unwrap();
            write_array(group, "NumPart_Total_HighWord", &[0u32, 3, 0, 0, 0, 0]).unwrap();
            write_scalar(group, "NumFilesPerSnapshot", 600i32).unwrap();
            write_scalar(group, "Redshift", 1.0f64).unwrap();
        })
        .unwrap();
        assert_eq!(read.snapshot.count(Species::DarkMatter), 15_625_000_000);
        assert_eq!(read.snapshot.files, 600);
        assert_eq!(read.snapshot.box_size_mpc_h, 205.0);
        assert_eq!(read.snapshot.cosmology, Cosmology::UNKNOWN);
    }

    #[test]
    fn counts_of_64_bits_need_no_high_word() {
        let counts = [0u64, 15_625_000_000];
        let read = header(|_, group| {
            write_array(group, "NumPart_ThisFile", &[0u64, 5]).unwrap();
            write_array(group, "NumPart_Total", &counts).unwrap();
            write_array(group, "NumPart_Total_HighWord", &[0u32, 0]).unwrap();
            write_scalar(group, "NumFilesPerSnapshot", 2u32).unwrap();
        })
        .unwrap();
        assert_eq!(read.snapshot.counts, counts);
        assert_eq!(read.snapshot.count(Species::Stars), 0, "a snapshot of two types has no stars");
        assert_eq!((read.snapshot.redshift, read.snapshot.scale_factor), (1.0, 0.5));
    }

    #[test]
    fn cut_outs_have_no_totals() {
        let read = header(|_, group| write_array(group, "NumPart_ThisFile", &[3i32, 4]).unwrap()).unwrap();
        assert_eq!(read.snapshot.counts, [3, 4]);
    }

    #[test]
    fn cosmology_comes_from_the_first_group_that_has_it() {
        let write = |group: &hdf5::Group, omega_m: f64| {
            write_scalar(group, "Omega0", omega_m).unwrap();
            write_scalar(group, "OmegaLambda", 0.7f64).unwrap();
            write_scalar(group, "HubbleParam", 0.7f64).unwrap();
        };
        let read = header(|file, group| {
            write_array(group, "NumPart_ThisFile", &[1i32]).unwrap();
            write(group, 0.1);
            write(&file.create_group("Parameters").unwrap(), 0.3);
        })
        .unwrap();
        assert_eq!(read.snapshot.cosmology.omega_m, Some(0.3));
    }

    #[test]
    fn times_boxes_and_masses_that_cannot_be_are_errors() {
        let refused = |name: &str, value: f64| {
            let read = header(|_, group| {
                write_array(group, "NumPart_ThisFile", &[1i32]).unwrap();
                match group.attr(name) {
                    Ok(attribute) => attribute.write_scalar(&value).unwrap(),
                    Err(_) => write_scalar(group, name, value).unwrap(),
                }
            });
            let error = read.map(|_| ()).unwrap_err();
            assert!(
                matches!(&error, SnapshotError::Attribute { name: named, .. } if named == name),
                "{error}"
            );
        };
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
            refused("Time", value);
            refused("BoxSize", value);
        }
        for value in [-1.0, -2.0, f64::NAN, f64::INFINITY, 1e300] {
            refused("Redshift", value);
        }
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            refused("MassTable", value);
        }
    }

    #[test]
    fn a_header_that_makes_no_sense_is_an_error() {
        let negative = header(|_, group| write_array(group, "NumPart_ThisFile", &[-3i32]).unwrap());
        assert!(matches!(negative, Err(SnapshotError::Attribute { .. })));
        let no_files = header(|_, group| {
            write_array(group, "NumPart_ThisFile", &[3i32]).unwrap();
            write_scalar(group, "NumFilesPerSnapshot", 0i32).unwrap();
        });
        assert!(matches!(no_files, Err(SnapshotError::Attribute { .. })));
    }
}
