//! Reading initial conditions whole: positions, velocities and identifiers of all particles of a species.

use crate::attributes::Attributes;
use crate::objects;
use crate::open::open;
use crate::units::{IN_CGS, POWER_OF_A, SWIFT_LENGTH};
use crate::{Masses, Snapshot, SnapshotError, Species};
use finescale_field::check_memory;
use std::path::Path;

/// Particles read at a time.
const AT_ONCE: usize = 1 << 20;
/// Positions, velocities and identifiers.
const BYTES_PER_PARTICLE: u128 = 24 + 12 + 8;
const CM_PER_KM: f64 = 1e5;

/// All particles of one species, in the order of the files.
#[derive(Clone, Debug)]
pub struct IcParticles {
    /// Comoving positions in Mpc/h, as the files have them (not wrapped into the box).
    pub positions_mpc_h: Vec<[f64; 3]>,
    /// Peculiar velocities a dx/dt in km/s, as many.
    pub velocities_km_s: Vec<[f32; 3]>,
    /// Identifiers; none if the files have none.
    pub ids: Vec<u64>,
    /// Mass of all of them together in 1e10 Msun/h.
    pub mass_1e10_msun_h: f64,
}

/// Reads all particles of `species` into memory.
///
/// Velocities are in units that the file says (`UnitVelocity_in_cm_per_s`, SWIFT's `/Units`, attributes of the dataset), else
/// km/s. GADGET's are over √a, SWIFT's are not.
///
/// # Errors
/// Those of [`Snapshot::for_each_chunk`]; [`SnapshotError::Field`] if there is no room; [`SnapshotError::MissingDataset`]
/// without velocities; [`SnapshotError::ChunkCount`] if velocities or identifiers are not as many as positions;
/// [`SnapshotError::NotFinite`] for a velocity that is no number.
pub fn read_ic_particles(snapshot: &Snapshot, species: Species) -> Result<IcParticles, SnapshotError> {
    let particles = species.into();
    let count = snapshot.header().count(&particles);
    let first = snapshot.files().next().unwrap_or(Path::new(""));
    check_memory(format_args!("reading {count} particles"), BYTES_PER_PARTICLE * u128::from(count))
        .map_err(SnapshotError::field(first))?;
    let (mut positions_mpc_h, mut mass) = (Vec::new(), 0.0);
    snapshot.for_each_chunk(&particles, Masses::Read, AT_ONCE, |positions, masses| {
        positions_mpc_h.extend_from_slice(positions);
        mass += masses.unwrap_or_default().iter().map(|&mass| f64::from(mass)).sum::<f64>();
        Ok::<(), SnapshotError>(())
    })?;
    let (mut velocities, mut ids) = (Vec::new(), Vec::new());
    for path in snapshot.files() {
        let file = open(path)?;
        velocities.extend(read_velocities(path, &file, species, snapshot.header().scale_factor)?);
        ids.extend(read_ids(path, &file, species)?);
    }
    let group = species.group();
    if velocities.is_empty() {
        return Err(SnapshotError::MissingDataset {
            path: first.into(),
            dataset: format!("{group}/Velocities"),
        });
    }
    for (found, name) in [(velocities.len(), "Velocities"), (ids.len(), "ParticleIDs")] {
        if found != positions_mpc_h.len() && !(found == 0 && name == "ParticleIDs") {
            let (path, dataset) = (first.into(), format!("{group}/{name}"));
            return Err(SnapshotError::ChunkCount { path, dataset, expected: count, found: vec![found] });
        }
    }
    Ok(IcParticles { positions_mpc_h, velocities_km_s: velocities, ids, mass_1e10_msun_h: mass })
}

/// Peculiar velocities of one file in km/s; none if it has no such particles.
fn read_velocities(
    path: &Path,
    file: &hdf5::File,
    species: Species,
    scale_factor: f64,
) -> Result<Vec<[f32; 3]>, SnapshotError> {
    let name = format!("{}/Velocities", species.group());
    let Some(dataset) = objects::dataset(path, file, &name)? else { return Ok(Vec::new()) };
    let shape = dataset.shape();
    if shape.len() != 2 || shape[1] != 3 {
        let expected = shape.first().copied().unwrap_or(0) as u64;
        return Err(SnapshotError::ChunkCount { path: path.into(), dataset: name, expected, found: shape });
    }
    let unit = velocity_unit_km_s(path, file, &dataset, scale_factor)?;
    let failed = |error: hdf5::Error| SnapshotError::hdf5(path, format!("reading {name}"), &error);
    let values = dataset.read_raw::<f32>().map_err(failed)?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let index = index.div_euclid(3);
        return Err(SnapshotError::NotFinite { path: path.into(), dataset: name, index });
    }
    Ok(values.chunks_exact(3).map(|v| [v[0], v[1], v[2]].map(|v| to_f32(f64::from(v) * unit))).collect())
}

/// What a number of the dataset is as a peculiar velocity in km/s.
fn velocity_unit_km_s(
    path: &Path,
    file: &hdf5::File,
    dataset: &hdf5::Dataset,
    scale_factor: f64,
) -> Result<f64, SnapshotError> {
    const NAMES: [&str; 2] = ["UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS"];
    const SWIFT_TIME: &str = "Unit time in cgs (U_t)";
    let of_dataset = Attributes::new(path, dataset);
    let (mut cgs, mut power_of_a) = (None, 0.5);
    for group in ["Header", "Parameters", "Units"] {
        let Some(group) = objects::group(path, file, group)? else { continue };
        let group = Attributes::new(path, &group);
        for name in NAMES.into_iter().filter(|name| group.has(name)) {
            cgs = Some(group.number(name)?);
        }
        if group.has(SWIFT_LENGTH) && group.has(SWIFT_TIME) {
            cgs = Some(group.number(SWIFT_LENGTH)? / group.number(SWIFT_TIME)?);
            power_of_a = 0.0;
        }
    }
    for name in IN_CGS.into_iter().filter(|name| of_dataset.has(name)) {
        let said = of_dataset.number(name)?;
        // Some files have a zero where nobody filled it in.
        cgs = cgs.or(Some(said).filter(|said| *said > 0.0));
    }
    for name in POWER_OF_A.into_iter().filter(|name| of_dataset.has(name)) {
        power_of_a = of_dataset.number(name)?;
    }
    let cgs = cgs.unwrap_or(CM_PER_KM);
    if !(cgs.is_finite() && cgs > 0.0) {
        return Err(of_dataset.wrong(NAMES[0], "a positive unit of velocity", cgs.to_string()));
    }
    Ok(cgs / CM_PER_KM * scale_factor.powf(power_of_a))
}

/// Identifiers of one file; none if it has none.
fn read_ids(path: &Path, file: &hdf5::File, species: Species) -> Result<Vec<u64>, SnapshotError> {
    let name = format!("{}/ParticleIDs", species.group());
    let Some(dataset) = objects::dataset(path, file, &name)? else { return Ok(Vec::new()) };
    let failed = |error: hdf5::Error| SnapshotError::hdf5(path, format!("reading {name}"), &error);
    dataset.read_raw::<u64>().map_err(failed)
}

#[expect(clippy::cast_possible_truncation, reason = "velocities have no more digits in a snapshot")]
fn to_f32(value: f64) -> f32 {
    value as f32
}
