//! What a snapshot says of itself.

use crate::attributes::Attributes;
use crate::objects;
use crate::particles::TYPES;
use crate::units::{GivenUnits, Places, Units};
use crate::{Particles, SnapshotError};
use finescale_field::{Cosmology, FieldError, Grid, shown};
use std::path::Path;

/// Redshifts that a snapshot can have: from the far future to before any structure.
const REDSHIFTS: std::ops::RangeInclusive<f64> = -0.999..=1e6;

/// Boxes of simulations: beyond, the unit is likely to be another one.
const PLAUSIBLE_MPC_H: std::ops::RangeInclusive<f64> = 1.0..=1e4;

const HERE: &str = "NumPart_ThisFile";

/// The attribute of programs of ours.
pub(crate) const ORIGIN: &str = "finescale_origin";

/// The header of a snapshot, in our units, for all its files together.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Sides of the periodic box in comoving Mpc/h.
    pub box_size_mpc_h: [f64; 3],
    /// Redshift.
    pub redshift: f64,
    /// Scale factor, 1 today.
    pub scale_factor: f64,
    /// What the file says as `Time`, where it is not the scale factor of its `Redshift`, as codes that follow the expansion
    /// write it.
    pub contradicting_time: Option<f64>,
    /// From `/Cosmology`, `/Parameters` or `/Header`, the first that has it.
    pub cosmology: Cosmology,
    /// Particles of each type in the whole snapshot.
    pub counts: Vec<u64>,
    /// Mass of each type's particles in 1e10 Msun/h; 0 where each particle has its own.
    pub mass_table: Vec<f64>,
    /// The unit of length of its files in comoving Mpc/h.
    pub length_unit_mpc_h: f64,
    /// Whether no file says the unit of length, so that kpc/h was assumed.
    pub length_unit_is_assumed: bool,
    /// Which program made it, where a program of ours did.
    pub origin: Option<String>,
    /// Files of the snapshot.
    pub files: usize,
}

/// How far a scale factor may be from that of the redshift.
const SAME_TIME: f64 = 1e-3;

impl Header {
    /// How many of these particles there are in the whole snapshot.
    #[must_use]
    pub fn count(&self, particles: &Particles) -> u64 {
        let of_type = |kind: &usize| self.counts.get(*kind).copied().unwrap_or(0);
        particles.types().iter().map(of_type).fold(0, u64::saturating_add)
    }

    /// The grid of the box with `cells` along its longest side, and voxels that are cubes.
    ///
    /// # Errors
    /// [`FieldError::Sides`] if the other sides are no whole number of voxels.
    pub fn grid(&self, cells: usize) -> Result<Grid, FieldError> {
        Grid::with_cubic_voxels(self.box_size_mpc_h, cells)
    }

    /// What a reader must know of how the files were taken, without their name.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let [x, y, z] = self.box_size_mpc_h;
        let sides = if x == y && y == z { format!("{x}") } else { format!("{x} x {y} x {z}") };
        let assumed = self.length_unit_is_assumed.then(|| {
            format!(
                "does not say its unit of length; kpc/h is assumed, which makes its box {sides} Mpc/h: if that is wrong, say the \
                 unit with --unit-length"
            )
        });
        let is_odd = self.box_size_mpc_h.iter().any(|side| !PLAUSIBLE_MPC_H.contains(side));
        let odd = (is_odd && assumed.is_none()).then(|| {
            format!("has a box of {sides} Mpc/h by its own units: if that is wrong, say the unit of length with --unit-length")
        });
        let contradicting = self.contradicting_time.map(|time| {
            format!(
                "says Time = {time} and Redshift = {}, which is no scale factor {time}: the redshift is taken; if the other one is right, \
                 correct the attribute",
                self.redshift
            )
        });
        assumed.into_iter().chain(odd).chain(contradicting).collect()
    }

    /// The mass that all particles of type `kind` share, in 1e10 Msun/h, if they do.
    #[must_use]
    pub fn table_mass(&self, kind: usize) -> Option<f64> {
        self.mass_table.get(kind).copied().filter(|&mass| mass != 0.0)
    }
}

/// The header of one file: the snapshot's, and what is its own.
pub(crate) struct FileHeader {
    pub(crate) snapshot: Header,
    /// Particles of each type in this file.
    pub(crate) counts: Vec<u64>,
    pub(crate) units: Units,
    /// Sides of the box and masses of the table in its units.
    in_code_units: Vec<f64>,
}

impl FileHeader {
    /// Whether two files can be of one snapshot. A file without particles may not know units that others say on theirs.
    pub(crate) fn is_of_one_set(&self, other: &Self) -> bool {
        let (mine, its) = (&self.snapshot, &other.snapshot);
        let knows = |header: &Header| !header.length_unit_is_assumed;
        let same_units = self.units == other.units || !(knows(mine) && knows(its));
        (mine.scale_factor, &mine.counts, mine.files, &self.in_code_units)
            == (its.scale_factor, &its.counts, its.files, &other.in_code_units)
            && same_units
    }

    /// Reads `/Header`, `/Parameters`, `/Units`, `/Config` and `/Cosmology` of an open snapshot file, and attributes of
    /// particles. Units that are `given` go before what the file says.
    pub(crate) fn read(path: &Path, file: &hdf5::File, given: GivenUnits) -> Result<Self, SnapshotError> {
        let group = objects::group(path, file, "Header")?.ok_or_else(|| SnapshotError::NotASnapshot {
            path: path.into(),
            detail: "it has no group /Header".to_owned(),
        })?;
        let header = Attributes::new(path, &group);
        refuse_catalogue(path, &header)?;
        let groups = ["Parameters", "Units", "Config"].map(|name| objects::group(path, file, name));
        let [parameters, units, config] = groups;
        let [parameters, units, config] = [parameters?, units?, config?];
        let [parameters, units, config] = [&parameters, &units, &config]
            .map(|group| group.as_ref().map(|group| Attributes::new(path, group)));

        let (redshift, scale_factor) = read_time(&header)?;
        // Of SWIFT it is an age; it has the scale factor, too, as EAGLE has.
        let has_another = ["Scale-factor", "ExpansionFactor"].iter().any(|name| header.has(name));
        let time = if has_another || !header.has("Time") { None } else { header.number("Time").ok() };
        let cosmology = read_cosmology(path, file)?;
        let counts = read_counts(path, file, &header)?;
        // EAGLE has names in the singular, too.
        let names = [&["Coordinates"][..], &["Masses", "Mass"], &["Velocities", "Velocity"]];
        let [coordinates, masses, velocities] = names.map(|names| some_dataset(path, file, &counts, names));
        let [coordinates, masses, velocities] = [coordinates?, masses?, velocities?];
        let places = Places {
            groups: std::iter::once(Attributes::new(path, &group))
                .chain([&parameters, &units].into_iter().flatten().copied())
                .collect(),
            coordinates: coordinates.as_ref().map(|dataset| Attributes::new(path, dataset)),
            masses: masses.as_ref().map(|dataset| Attributes::new(path, dataset)),
            velocities: velocities.as_ref().map(|dataset| Attributes::new(path, dataset)),
            hubble: cosmology.hubble,
            scale_factor,
        };
        let (units, length_unit_is_assumed) = Units::read(&places, given)?;
        let files = read_files(&header)?;
        let snapshot = Header {
            box_size_mpc_h: read_box_size_mpc_h(&header, parameters.as_ref(), config.as_ref(), units)?,
            redshift,
            scale_factor,
            contradicting_time: time.filter(|time| (time / scale_factor - 1.0).abs() > SAME_TIME),
            cosmology,
            counts: read_totals(&header, &counts, files)?,
            mass_table: read_mass_table(&header, units)?,
            length_unit_mpc_h: units.length_mpc_h,
            length_unit_is_assumed,
            origin: if header.has(ORIGIN) { header.text(ORIGIN).ok().map(|text| shown(&text)) } else { None },
            files,
        };
        Ok(Self::new(snapshot, counts, units))
    }

    /// The header of a file with `counts` particles of each type.
    pub(crate) fn new(snapshot: Header, counts: Vec<u64>, units: Units) -> Self {
        let masses = snapshot.mass_table.iter().map(|mass| mass / units.mass_1e10_msun_h);
        let sides = snapshot.box_size_mpc_h.iter().map(|side| side / units.length_mpc_h);
        let in_code_units = sides.chain(masses).map(rounded).collect();
        Self { snapshot, counts, units, in_code_units }
    }
}

/// A number without its last digits, which two ways to it may not share.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Whether a file is a catalogue of haloes.
pub(crate) fn is_catalogue(path: &Path, file: &hdf5::File) -> Result<bool, SnapshotError> {
    let group = objects::group(path, file, "Header")?;
    Ok(group.is_some_and(|group| of_catalogue(&Attributes::new(path, &group))))
}

fn of_catalogue(header: &Attributes) -> bool {
    let counts_groups =
        ["Ngroups_ThisFile", "Ngroups_Total", "Nsubgroups_Total"].iter().any(|name| header.has(name));
    counts_groups && !header.has(HERE)
}

/// A catalogue of haloes is no snapshot.
fn refuse_catalogue(path: &Path, header: &Attributes) -> Result<(), SnapshotError> {
    if of_catalogue(header) {
        let detail = "it is a catalogue of groups, which holds no particles".to_owned();
        return Err(SnapshotError::NotASnapshot { path: path.into(), detail });
    }
    Ok(())
}

/// Particles of each type in this file: as its header says, or, of cut-outs whose header does not, as its datasets hold.
fn read_counts(path: &Path, file: &hdf5::File, header: &Attributes) -> Result<Vec<u64>, SnapshotError> {
    if header.has(HERE) {
        return header.counts(HERE);
    }
    let mut counts = Vec::new();
    for kind in 0..TYPES {
        let dataset = format!("PartType{kind}/Coordinates");
        let rows =
            objects::dataset(path, file, &dataset)?.and_then(|dataset| dataset.shape().first().copied());
        counts.push(rows.unwrap_or(0) as u64);
    }
    match counts.iter().any(|&count| count > 0) {
        true => Ok(counts),
        // As the header should have said it.
        false => header.counts(HERE),
    }
}

/// A dataset of the first type of particles that this file has.
fn some_dataset(
    path: &Path,
    file: &hdf5::File,
    counts: &[u64],
    names: &[&str],
) -> Result<Option<hdf5::Dataset>, SnapshotError> {
    for kind in (0..counts.len()).filter(|&kind| counts[kind] > 0) {
        for name in names {
            // What points out of the file is told by whoever reads it.
            if let Ok(Some(dataset)) = objects::dataset(path, file, &format!("PartType{kind}/{name}")) {
                return Ok(Some(dataset));
            }
        }
    }
    Ok(None)
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
    let mut totals = header.low_words(LOW)?;
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

/// Sides of the box: three numbers, or one, of which AREPO and GADGET-4 may stretch or cut some (`LONG_X`, `LONG_X_BITS`).
fn read_box_size_mpc_h(
    header: &Attributes,
    parameters: Option<&Attributes>,
    config: Option<&Attributes>,
    units: Units,
) -> Result<[f64; 3], SnapshotError> {
    const NAME: &str = "BoxSize";
    let group = parameters.filter(|_| !header.has(NAME)).unwrap_or(header);
    let sizes = match group.numbers(NAME)?[..] {
        [size] => [size; 3],
        [x, y, z] => [x, y, z],
        ref other => {
            return Err(group.wrong(NAME, "one number, or three", format!("{} numbers", other.len())));
        }
    };
    let mut sizes_mpc_h = sizes.map(|size| size * units.length_mpc_h);
    for (axis, letter) in ["X", "Y", "Z"].into_iter().enumerate() {
        let Some(config) = &config else { continue };
        let number = |name: String| config.has(&name).then(|| config.number_or_text(&name)).transpose();
        if let Some(factor) = number(format!("LONG_{letter}"))? {
            sizes_mpc_h[axis] *= factor;
        }
        if let Some(bits) = number(format!("LONG_{letter}_BITS"))? {
            sizes_mpc_h[axis] *= (-bits).exp2();
        }
    }
    if Grid::new([1; 3], sizes_mpc_h).is_ok() {
        Ok(sizes_mpc_h)
    } else {
        let found = format!("{sizes:?}, which is {sizes_mpc_h:?} Mpc/h");
        Err(group.wrong(NAME, "the sides of a periodic box", found))
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
    use crate::Species;
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
        FileHeader::read(&path, &file, GivenUnits::default())
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
        assert_eq!(read.snapshot.count(&Species::DarkMatter.into()), 15_625_000_000);
        assert_eq!(read.snapshot.files, 600);
        assert_eq!(read.snapshot.box_size_mpc_h, [205.0; 3]);
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
        assert_eq!(read.snapshot.count(&Species::Stars.into()), 0, "a snapshot of two types has no stars");
        assert_eq!((read.snapshot.redshift, read.snapshot.scale_factor), (1.0, 0.5));
    }

    #[test]
    fn a_time_that_is_not_the_redshifts_is_told() {
        let warnings = |redshift: f64| {
            let write = |_: &hdf5::File, group: &hdf5::Group| {
                write_array(group, "NumPart_ThisFile", &[3i32]).unwrap();
                write_scalar(group, "Redshift", redshift).unwrap();
            };
            header(write).unwrap().snapshot.warnings().join("\n")
        };
        assert!(!warnings(1.0).contains("Time"));
        let told = warnings(2.0);
        assert!(
            told.contains("Time = 0.5 and Redshift = 2") && told.contains("the redshift is taken"),
            "{told}"
        );
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
