//! Reading initial conditions whole: positions, velocities and identifiers of all particles of a species.

use crate::{Snapshot, SnapshotError, Species, Wanted};
use finescale_field::check_memory;
use std::path::Path;

/// Masses of one species may differ by this share.
const SAME_MASS: f32 = 1e-3;
/// Particles read at a time.
const AT_ONCE: usize = 1 << 20;
/// Positions, velocities and identifiers.
const BYTES_PER_PARTICLE: u128 = 24 + 12 + 8;

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
/// # Errors
/// Those of [`Snapshot::for_each_batch`]; [`SnapshotError::Field`] if there is no room; [`SnapshotError::MissingDataset`]
/// without velocities.
pub fn read_ic_particles(snapshot: &Snapshot, species: Species) -> Result<IcParticles, SnapshotError> {
    let particles = species.into();
    let count = snapshot.header().count(&particles);
    let first = snapshot.files().next().unwrap_or(Path::new(""));
    check_memory(format_args!("reading {count} particles"), BYTES_PER_PARTICLE * u128::from(count))
        .map_err(SnapshotError::field(first))?;
    let mut read = IcParticles {
        positions_mpc_h: Vec::new(),
        velocities_km_s: Vec::new(),
        ids: Vec::new(),
        mass_1e10_msun_h: 0.0,
    };
    let (mut first_mass, first_path) = (None, first.to_path_buf());
    let wanted = Wanted { masses: true, velocities: true, ids: true, ..Wanted::default() };
    snapshot.for_each_batch(&particles, &wanted, AT_ONCE, 0, |batch| {
        read.positions_mpc_h.extend(batch.positions_mpc_h);
        read.velocities_km_s.extend(batch.velocities_km_s.unwrap_or_default());
        if let Some(masses) = &batch.masses {
            let first = *first_mass.get_or_insert(masses[0]);
            if let Some(mass) = masses.iter().find(|mass| ((**mass / first) - 1.0).abs() > SAME_MASS) {
                let detail = format!("has masses of {first:e} and {mass:e} (1e10 Msun/h), and particles of equal mass are needed");
                let dataset = format!("{}/Masses", species.group());
                return Err(SnapshotError::Dataset { path: first_path.clone(), dataset, detail });
            }
        }
        read.ids.extend(batch.ids.unwrap_or_default());
        read.mass_1e10_msun_h +=
            batch.masses.unwrap_or_default().iter().map(|&mass| f64::from(mass)).sum::<f64>();
        Ok::<(), SnapshotError>(())
    })?;
    if !read.ids.is_empty() && read.ids.len() != read.positions_mpc_h.len() {
        let detail = "is in some files of the set only".to_owned();
        let dataset = format!("{}/ParticleIDs", species.group());
        return Err(SnapshotError::Dataset { path: first.into(), dataset, detail });
    }
    Ok(read)
}
