//! Initial conditions for other codes: of a seed, with the modes of its mock universe, or of a finer run's.

use crate::gaussian::gaussian_modes;
use crate::initial::{Factors, for_each_axis};
use crate::lattice::Lattice;
use crate::lattice_order::find_lattice;
use crate::mesh::Mesh;
use crate::power::LinearPower;
use crate::universe::lattice_offset;
use crate::write::CRITICAL_DENSITY;
use crate::{LambdaCdm, MockConfig, MockError};
use finescale_field::{Cosmology, FieldError, Grid, check_memory};
use finescale_snapshot::{IcFile, IcFormat, IcSpecies, Snapshot, Species, read_ic_particles};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What a particle takes while its displacement is made or read.
const BYTES_PER_PARTICLE: u128 = 100;
/// H0 in km/s per Mpc/h.
const HUBBLE_KM_S: f64 = 100.0;

/// Who stands for the baryons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baryons {
    /// Dark matter, which stands for all matter.
    InDarkMatter,
    /// As many particles of gas, half a spacing off along each axis, with the velocity and displacement of all matter there.
    Gas,
}

/// Particles of a periodic cube at an early time, on their way from a lattice.
#[derive(Clone, Debug)]
pub struct InitialConditions {
    /// Side of the cube in comoving Mpc/h.
    pub box_size_mpc_h: f64,
    /// Redshift.
    pub redshift: f64,
    /// The model universe; Ωm, ΩΛ and h are known.
    pub cosmology: Cosmology,
    /// All matter of the box, in 1e10 Msun/h.
    pub mass_1e10_msun_h: f64,
    /// Each species with its share of the mass.
    species: Vec<(Species, f64, Lattice)>,
}

impl InitialConditions {
    /// 2LPT at `config.initial_redshift` of the modes that the mock universe of `config` has on a lattice of `per_side`
    /// particles: below its Nyquist frequency they are the same for every `per_side`. Dark matter is what
    /// [`make_universe`](crate::make_universe) evolves, moved by the offset that it moves its results by.
    ///
    /// # Errors
    /// [`MockError::Config`] if a setting is out of range, [`MockError::Field`] if there is no room.
    /// # Source
    /// Scoccimarro 1998, MNRAS 299, 1097 (astro-ph/9711187), appendix D.
    pub fn from_seed(config: &MockConfig, per_side: usize, baryons: Baryons) -> Result<Self, MockError> {
        config.check()?;
        let universe = &config.cosmology;
        let baryon_share = universe.omega_b / universe.omega_m;
        let mut species = Vec::new();
        if baryons == Baryons::Gas {
            species.push((Species::DarkMatter, 1.0 - baryon_share, displaced(config, per_side, 0.0)?));
            species.push((Species::Gas, baryon_share, displaced(config, per_side, 0.5)?));
        } else {
            species.push((Species::DarkMatter, 1.0, displaced(config, per_side, 0.0)?));
        }
        Ok(Self {
            box_size_mpc_h: config.box_size_mpc_h,
            redshift: config.initial_redshift,
            cosmology: config.cosmology.into(),
            mass_1e10_msun_h: mean_mass(universe.omega_m, config.box_size_mpc_h),
            species,
        })
    }

    /// The initial conditions `snapshot` as `per_side`³ particles of dark matter that stand for all matter: displacements and
    /// velocities of its dark matter and gas, weighted by mass, of the modes below the Nyquist frequency of the new lattice
    /// along every axis. None is aliased.
    ///
    /// # Errors
    /// [`MockError::NotALattice`] if it does not show the sites that its particles left; [`MockError::Source`] if its box is no
    /// cube, it does not say its cosmology, has particles of other types (as a zoom), or fewer than are wanted; those of
    /// [`read_ic_particles`].
    pub fn from_snapshot(snapshot: &Snapshot, per_side: usize) -> Result<Self, MockError> {
        let path: PathBuf = snapshot.files().next().unwrap_or(Path::new("")).into();
        let source = |reason: String| MockError::Source { path: path.clone(), reason };
        let kinds = check_source(snapshot, per_side).map_err(source)?;
        let header = snapshot.header();
        let [box_size, ..] = header.box_size_mpc_h;
        // v = a H f ψ of the growing mode.
        let a = header.scale_factor;
        let universe = LambdaCdm { omega_m: header.cosmology.omega_m.unwrap_or(1.0), ..LambdaCdm::default() };
        let mpc_h_per_km_s = 1.0 / (a * HUBBLE_KM_S * universe.expansion(a) * universe.growth_rate(a));
        let (mut lattices, mut mass) = (Vec::new(), 0.0);
        for species in kinds {
            let particles = read_ic_particles(snapshot, species)?;
            let lattice = find_lattice(&particles, box_size, mpc_h_per_km_s).map_err(|reason| {
                MockError::NotALattice { path: path.clone(), species: species.to_string(), reason }
            })?;
            if lattice.per_side < per_side {
                return Err(source(format!(
                    "has {}^3 particles, and {per_side}^3 are wanted; only fewer hold the modes that it has: choose fewer \
                     --particles",
                    lattice.per_side
                )));
            }
            mass += particles.mass_1e10_msun_h;
            lattices.push((particles.mass_1e10_msun_h, lattice));
        }
        if mass <= 0.0 {
            return Err(source("its particles have no mass; their masses are needed".to_owned()));
        }
        let shares: Vec<(f64, &Lattice)> =
            lattices.iter().map(|(own, lattice)| (own / mass, lattice)).collect();
        let origin = lattices[0].1.origin_mpc_h;
        let coarse = Lattice::truncated(&shares, box_size, per_side, origin);
        Ok(Self {
            box_size_mpc_h: box_size,
            redshift: header.redshift,
            cosmology: header.cosmology,
            mass_1e10_msun_h: mass,
            species: vec![(Species::DarkMatter, 1.0, coarse)],
        })
    }

    /// Particles of each species along a side.
    #[must_use]
    pub fn per_side(&self) -> usize {
        self.species[0].2.per_side
    }

    /// Whether baryons are particles of gas.
    #[must_use]
    pub fn has_gas(&self) -> bool {
        self.species.iter().any(|(species, ..)| *species == Species::Gas)
    }

    /// The mass of the box over that of the mean density of matter: 1, unless matter is missing or the units are others.
    #[must_use]
    pub fn mass_over_mean(&self) -> f64 {
        self.mass_1e10_msun_h / mean_mass(self.cosmology.omega_m.unwrap_or(f64::NAN), self.box_size_mpc_h)
    }
}

/// Writes initial conditions in the `format` of a code; no file appears before all are whole.
///
/// # Errors
/// [`MockError::Snapshot`] names the file that could not be written.
pub fn write_initial_conditions(
    format: IcFormat,
    files: &[(&Path, &InitialConditions)],
) -> Result<(), MockError> {
    let of_all = |ics: &InitialConditions| -> Vec<Vec<[f64; 3]>> {
        ics.species.iter().map(|(_, _, lattice)| lattice.positions_mpc_h()).collect()
    };
    let positions: Vec<_> = files.iter().map(|(_, ics)| of_all(ics)).collect();
    let mut described = Vec::with_capacity(files.len());
    for (&(path, ics), positions) in files.iter().zip(&positions) {
        let species = ics.species.iter().zip(positions);
        let species = species.map(|((species, share, lattice), positions)| IcSpecies {
            species: *species,
            positions_mpc_h: positions,
            velocities_km_s: &lattice.velocities_km_s,
            mass_1e10_msun_h: share * ics.mass_1e10_msun_h / positions.len() as f64,
        });
        let file = IcFile {
            format,
            box_size_mpc_h: ics.box_size_mpc_h,
            redshift: ics.redshift,
            cosmology: ics.cosmology,
            origin: "ics",
            species: species.collect(),
        };
        described.push((path, file));
    }
    Ok(finescale_snapshot::write_initial_conditions(&described)?)
}

/// Mass of matter in a box in 1e10 Msun/h.
fn mean_mass(omega_m: f64, box_size_mpc_h: f64) -> f64 {
    omega_m * CRITICAL_DENSITY * box_size_mpc_h.powi(3)
}

/// All matter's displacements and velocities at the sites (i + `shift`) spacings, and the offset of the mock.
fn displaced(config: &MockConfig, per_side: usize, shift: f64) -> Result<Lattice, FieldError> {
    let (cosmology, box_size): (&LambdaCdm, f64) = (&config.cosmology, config.box_size_mpc_h);
    let grid = Grid::cube(per_side, box_size)?;
    check_memory(
        format_args!("displacing {per_side}^3 particles"),
        BYTES_PER_PARTICLE * grid.voxels() as u128,
    )?;
    let power = LinearPower::new(cosmology);
    let modes = gaussian_modes(&grid, |k| power.at(k), config.seed);
    let a = 1.0 / (1.0 + config.initial_redshift);
    let Factors { d1, d2, p1, p2 } = Factors::new(cosmology, a);
    let to_km_s = (HUBBLE_KM_S / a) as f32; // of a momentum a² dx/dt in H0 · Mpc/h
    let spacing = box_size / per_side as f64;
    let origin = lattice_offset(config).map(|offset| f64::from(offset) + shift * spacing);
    let mut lattice = Lattice::at_rest(per_side, box_size, origin);
    for_each_axis(&Mesh::new(per_side, box_size), &modes, shift, |axis, first, second| {
        let vectors = lattice.displacements_mpc_h.par_iter_mut().zip(&mut lattice.velocities_km_s);
        vectors.zip(first.par_iter().zip(second)).for_each(|((x, v), (&psi1, &gradient2))| {
            x[axis] = d1 * psi1 - d2 * gradient2;
            v[axis] = to_km_s * (p1 * psi1 - p2 * gradient2);
        });
    });
    Ok(lattice)
}

/// The species to read, dark matter first; or why nothing can be made of it.
fn check_source(snapshot: &Snapshot, per_side: usize) -> Result<Vec<Species>, String> {
    let header = snapshot.header();
    let [x, y, z] = header.box_size_mpc_h;
    if x != y || y != z {
        return Err(format!("its box is {x} x {y} x {z} Mpc/h; a cube is needed"));
    }
    let Cosmology { omega_m, omega_lambda, hubble, .. } = header.cosmology;
    let missing: Vec<&str> = [("Omega0", omega_m), ("OmegaLambda", omega_lambda), ("HubbleParam", hubble)]
        .iter()
        .filter_map(|(name, value)| value.is_none().then_some(*name))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "does not say its cosmology ({} in /Header, /Parameters or /Cosmology), which a run needs; write it into /Header, \
             for example with h5py",
            missing.join(", ")
        ));
    }
    let known = [Species::DarkMatter, Species::Gas];
    let is_other = |kind: &usize| known.iter().all(|species| species.particle_type() != *kind);
    let others = (0..header.counts.len()).filter(is_other).find(|&kind| header.counts[kind] > 0);
    if let Some(kind) = others {
        return Err(format!(
            "has particles of PartType{kind}, as zooms and evolved snapshots have; initial conditions of a whole box with dark \
             matter and gas only are needed"
        ));
    }
    let is_there = |species: &Species| header.count(&(*species).into()) > 0;
    let found: Vec<Species> = known.into_iter().filter(is_there).collect();
    if found.is_empty() {
        return Err("has neither dark matter nor gas".to_owned());
    }
    if per_side < 2 {
        return Err(format!("{per_side}^3 particles hold no mode; choose more --particles"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
