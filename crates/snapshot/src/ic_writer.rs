//! Writing initial conditions as GADGET-4, AREPO and SWIFT read them.

use crate::attributes::{write_array, write_scalar, write_text};
use crate::error::io_error;
use crate::header::ORIGIN;
use crate::snapshot_writer::{Counted, KPC_H_PER_MPC_H, UNIT_MASS_G, UNIT_VELOCITY_CM_S};
use crate::units::{MPC_CM, SWIFT_LENGTH, SWIFT_TIME};
use crate::{SnapshotError, SnapshotWriter, Species, new_file};
use finescale_field::Cosmology;
use ndarray::{Array2, s};
use std::path::Path;

/// Particles converted at once.
const SLAB: usize = 1 << 20;
/// SWIFT's first guess of a smoothing length, in mean separations of the particles: its default resolution, η.
const SMOOTHING_PER_SEPARATION: f64 = 1.2348;

/// Codes that begin with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcFormat {
    /// GADGET-4 and AREPO (their `ICFormat 3`): kpc/h, 1e10 Msun/h, and velocities over √a in km/s.
    Gadget,
    /// SWIFT: Mpc, 1e10 Msun and peculiar velocities in km/s, without h.
    Swift,
}

/// One file of initial conditions of a periodic cube.
#[derive(Clone, Debug)]
pub struct IcFile<'a> {
    /// Who is to read it.
    pub format: IcFormat,
    /// Side of the cube in comoving Mpc/h.
    pub box_size_mpc_h: f64,
    /// Redshift.
    pub redshift: f64,
    /// The model universe; SWIFT's units need its h.
    pub cosmology: Cosmology,
    /// Which program made it.
    pub origin: &'static str,
    /// The particles; identifiers rise through all of them from 1, in this order.
    pub species: Vec<IcSpecies<'a>>,
}

/// The particles of one species.
#[derive(Clone, Copy, Debug)]
pub struct IcSpecies<'a> {
    /// Which particles they are.
    pub species: Species,
    /// Comoving positions in Mpc/h, each in [0, box).
    pub positions_mpc_h: &'a [[f64; 3]],
    /// Peculiar velocities a dx/dt in km/s, as many.
    pub velocities_km_s: &'a [[f32; 3]],
    /// Mass of one particle in 1e10 Msun/h.
    pub mass_1e10_msun_h: f64,
}

/// Writes files of initial conditions: positions in f64, which displacements of early times need, all else in f32. Gas has no
/// thermal energy: codes take their own initial temperature. No file appears before all are whole.
///
/// # Errors
/// [`SnapshotError::Write`] names the file that cannot be written; velocities that are not as many as positions, and a file
/// for SWIFT without h, cannot be.
pub fn write_initial_conditions(files: &[(&Path, IcFile)]) -> Result<(), SnapshotError> {
    let mut written = Vec::with_capacity(files.len());
    for (path, ics) in files {
        let (draft, file) = new_file::create(path).map_err(SnapshotError::write(path))?;
        ics.write(&file).map_err(|error| SnapshotError::write(path)(io_error(&error)))?;
        file.close().map_err(|error| SnapshotError::write(path)(io_error(&error)))?;
        written.push(draft);
    }
    let named = finescale_durable::commit_together(written);
    named.map_err(|(path, error)| SnapshotError::write(&path)(error))
}

/// Our units in those of a file.
struct Scales {
    length: f64,
    velocity: f64,
    mass: f64,
}

impl IcFile<'_> {
    fn write(&self, file: &hdf5::File) -> hdf5::Result<()> {
        let scales = self.scales()?;
        let header = file.create_group("Header")?;
        match self.format {
            IcFormat::Gadget => self.write_gadget_header(&header)?,
            IcFormat::Swift => self.write_swift_groups(file, &header, &scales)?,
        }
        let (mut first_id, mut datasets) = (1, Vec::new());
        for data in &self.species {
            let group = file.create_group(&data.species.group())?;
            datasets.extend(self.write_species(&group, data, &scales, first_id)?);
            first_id += data.positions_mpc_h.len() as u64;
        }
        // Flushed while the datasets live: errors in closing them are lost.
        file.flush()
    }

    fn scales(&self) -> hdf5::Result<Scales> {
        match self.format {
            IcFormat::Gadget => {
                let velocity = (1.0 + self.redshift).sqrt();
                Ok(Scales { length: KPC_H_PER_MPC_H, velocity, mass: 1.0 })
            }
            IcFormat::Swift => {
                let hubble = self.cosmology.hubble.ok_or("the units of SWIFT need the Hubble parameter h")?;
                Ok(Scales { length: 1.0 / hubble, velocity: 1.0, mass: 1.0 / hubble })
            }
        }
    }

    /// The mass that a header says, where its reader takes it from there. Gas has masses of its own: cells exchange some.
    fn counts(&self) -> Vec<Counted> {
        let counted = |data: &IcSpecies| Counted {
            kind: data.species.particle_type(),
            here: data.positions_mpc_h.len(),
            total: data.positions_mpc_h.len(),
            mass: if self.masses_are_written(data.species) { 0.0 } else { data.mass_1e10_msun_h },
        };
        self.species.iter().map(counted).collect()
    }

    fn masses_are_written(&self, species: Species) -> bool {
        species == Species::Gas || self.format == IcFormat::Swift
    }

    fn write_gadget_header(&self, header: &hdf5::Group) -> hdf5::Result<()> {
        let common = SnapshotWriter {
            box_size_mpc_h: self.box_size_mpc_h,
            redshift: self.redshift,
            cosmology: self.cosmology,
            origin: Some(self.origin),
            files: 1,
        };
        common.write_header(header, &self.counts(), true)
    }

    /// `/Header`, `/Units`, `/RuntimePars`, and `/Cosmology`, which SWIFT itself writes into snapshots and reads from none.
    fn write_swift_groups(
        &self,
        file: &hdf5::File,
        header: &hdf5::Group,
        scales: &Scales,
    ) -> hdf5::Result<()> {
        let mut counts = [0u64; 6];
        self.counts().iter().for_each(|counted| counts[counted.kind] = counted.total as u64);
        write_scalar(header, "Dimension", 3i32)?;
        write_array(header, "BoxSize", &[self.box_size_mpc_h * scales.length; 3])?;
        write_array(header, "NumPart_Total", &counts)?;
        write_array(header, "NumPart_Total_HighWord", &[0u32; 6])?;
        write_array(header, "NumPart_ThisFile", &counts)?;
        write_array(header, "MassTable", &[0f64; 6])?;
        write_scalar(header, "NumFilesPerSnapshot", 1i32)?;
        write_scalar(header, "Flag_Entropy_ICs", 0i32)?;
        write_scalar(header, "Time", 1.0 / (1.0 + self.redshift))?;
        write_scalar(header, "Redshift", self.redshift)?;
        write_text(header, ORIGIN, self.origin)?;
        write_scalar(&file.create_group("RuntimePars")?, "PeriodicBoundariesOn", 1i32)?;
        let units = file.create_group("Units")?;
        write_scalar(&units, SWIFT_LENGTH, MPC_CM)?;
        write_scalar(&units, "Unit mass in cgs (U_M)", UNIT_MASS_G)?;
        write_scalar(&units, SWIFT_TIME, MPC_CM / UNIT_VELOCITY_CM_S)?;
        write_scalar(&units, "Unit current in cgs (U_I)", 1.0)?;
        write_scalar(&units, "Unit temperature in cgs (U_T)", 1.0)?;
        let group = file.create_group("Cosmology")?;
        let Cosmology { omega_m, omega_lambda, omega_b, hubble, .. } = self.cosmology;
        let names = ["Omega_m", "Omega_lambda", "Omega_b", "h"];
        names
            .into_iter()
            .zip([omega_m, omega_lambda, omega_b, hubble])
            .try_for_each(|(name, value)| value.map_or(Ok(()), |value| write_scalar(&group, name, value)))
    }

    /// The datasets are not flushed yet.
    fn write_species(
        &self,
        group: &hdf5::Group,
        data: &IcSpecies,
        scales: &Scales,
        first_id: u64,
    ) -> hdf5::Result<Vec<hdf5::Dataset>> {
        let count = data.positions_mpc_h.len();
        if data.velocities_km_s.len() != count {
            return Err("as many velocities as positions are needed".into());
        }
        let box_size = self.box_size_mpc_h * scales.length;
        // What rounds up to the box is at its beginning.
        let inside = |x: f64| if x * scales.length < box_size { x * scales.length } else { 0.0 };
        let velocity = |v: f32| to_f32(f64::from(v) * scales.velocity);
        let mut datasets = vec![
            write_vectors(group, "Coordinates", data.positions_mpc_h, inside)?,
            write_vectors(group, "Velocities", data.velocities_km_s, velocity)?,
        ];
        let ids: Vec<u64> = (first_id..first_id + count as u64).collect();
        datasets.push(group.new_dataset_builder().with_data(&ids).create("ParticleIDs")?);
        let mut same_for_all = |name: &str, value: f64| -> hdf5::Result<()> {
            let values = vec![to_f32(value); count];
            datasets.push(group.new_dataset_builder().with_data(&values).create(name)?);
            Ok(())
        };
        if self.masses_are_written(data.species) {
            same_for_all("Masses", data.mass_1e10_msun_h * scales.mass)?;
        }
        if data.species == Species::Gas {
            same_for_all("InternalEnergy", 0.0)?;
            if self.format == IcFormat::Swift {
                let separation = box_size / (count as f64).cbrt();
                same_for_all("SmoothingLength", SMOOTHING_PER_SEPARATION * separation)?;
            }
        }
        Ok(datasets)
    }
}

/// Writes a dataset of shape (particles, 3), slab by slab.
fn write_vectors<T: Copy, U: hdf5::H5Type + Copy>(
    group: &hdf5::Group,
    name: &str,
    vectors: &[[T; 3]],
    convert: impl Fn(T) -> U,
) -> hdf5::Result<hdf5::Dataset> {
    let dataset = group.new_dataset::<U>().shape((vectors.len(), 3)).create(name)?;
    for (slab, part) in vectors.chunks(SLAB).enumerate() {
        let flat = part.iter().flatten().map(|&value| convert(value)).collect();
        let start = slab * SLAB;
        dataset.write_slice(
            &Array2::from_shape_vec((part.len(), 3), flat)?,
            s![start..start + part.len(), ..],
        )?;
    }
    Ok(dataset)
}

#[expect(clippy::cast_possible_truncation, reason = "codes keep these in f32")]
fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Snapshot, Wanted, read_ic_particles};

    const POSITIONS: [[f64; 3]; 2] = [[0.0, 1.0, 9.5], [9.999_999_999, 3.0, 4.0]];
    const VELOCITIES: [[f32; 3]; 2] = [[100.0, -30.0, 0.0], [1.0, 2.0, 3.0]];
    const COSMOLOGY: Cosmology = Cosmology {
        omega_m: Some(0.3),
        omega_lambda: Some(0.7),
        omega_b: Some(0.05),
        hubble: Some(0.5),
        ..Cosmology::UNKNOWN
    };

    fn example(format: IcFormat) -> IcFile<'static> {
        let of = |species, mass_1e10_msun_h| IcSpecies {
            species,
            positions_mpc_h: &POSITIONS,
            velocities_km_s: &VELOCITIES,
            mass_1e10_msun_h,
        };
        let species = vec![of(Species::DarkMatter, 2.5), of(Species::Gas, 0.5)];
        IcFile { format, box_size_mpc_h: 10.0, redshift: 3.0, cosmology: COSMOLOGY, origin: "ics", species }
    }

    #[test]
    fn a_gadget_header_says_of_which_precision_positions_are() {
        // AREPO and GADGET read positions as f32 where it does not, and AREPO stops where it expects f64.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ics.hdf5");
        write_initial_conditions(&[(&path, example(IcFormat::Gadget))]).unwrap();
        let file = hdf5::File::open(&path).unwrap();
        let flag = file.group("Header").unwrap().attr("Flag_DoublePrecision").unwrap();
        assert_eq!(flag.read_scalar::<i32>().unwrap(), 1);
        let positions = file.dataset("PartType1/Coordinates").unwrap();
        assert_eq!(positions.dtype().unwrap().size(), 8);
    }

    #[test]
    fn what_is_written_is_read_again() {
        const REL: f64 = 1e-6; // f32 velocities and masses, and a rounded solar mass
        let folder = tempfile::tempdir().unwrap();
        for format in [IcFormat::Gadget, IcFormat::Swift] {
            let path = folder.path().join(format!("{format:?}.hdf5"));
            write_initial_conditions(&[(&path, example(format))]).unwrap();
            let snapshot = Snapshot::open(&path).unwrap();
            let header = snapshot.header();
            assert_eq!((header.redshift, header.cosmology), (3.0, COSMOLOGY), "{format:?}");
            assert_eq!((header.box_size_mpc_h, header.origin.as_deref()), ([10.0; 3], Some("ics")));
            assert!(header.warnings().is_empty());
            for (species, mass, ids) in [(Species::DarkMatter, 2.5, [1, 2]), (Species::Gas, 0.5, [3, 4])] {
                let read = read_ic_particles(&snapshot, species).unwrap();
                assert_eq!(read.ids, ids);
                assert!((read.mass_1e10_msun_h / (2.0 * mass) - 1.0).abs() < REL, "{format:?} {species}");
                for (found, expected) in read.positions_mpc_h.iter().flatten().zip(POSITIONS.iter().flatten())
                {
                    assert!((found - expected).abs() < 1e-12, "{format:?}: {found}, not {expected}");
                }
                for (found, expected) in
                    read.velocities_km_s.iter().flatten().zip(VELOCITIES.iter().flatten())
                {
                    assert!(f64::from((found - expected).abs()) <= 100.0 * REL, "{format:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn gadget_has_velocities_over_the_root_of_a_and_swift_has_no_h() {
        let folder = tempfile::tempdir().unwrap();
        let read = |format, name: &str| -> Vec<f64> {
            let path = folder.path().join(format!("{format:?}.hdf5"));
            write_initial_conditions(&[(&path, example(format))]).unwrap();
            hdf5::File::open(&path).unwrap().dataset(name).unwrap().read_raw::<f64>().unwrap()
        };
        // z = 3: 1/√a = 2; h = 0.5.
        assert_eq!(read(IcFormat::Gadget, "PartType1/Velocities")[..2], [200.0, -60.0]);
        assert_eq!(read(IcFormat::Gadget, "PartType1/Coordinates")[1..3], [1000.0, 9500.0]);
        assert_eq!(read(IcFormat::Gadget, "PartType0/Masses"), [0.5; 2]);
        assert_eq!(read(IcFormat::Gadget, "PartType0/InternalEnergy"), [0.0; 2]);
        assert_eq!(read(IcFormat::Swift, "PartType1/Velocities")[..2], [100.0, -30.0]);
        assert_eq!(read(IcFormat::Swift, "PartType1/Coordinates")[1..3], [2.0, 19.0]);
        assert_eq!(read(IcFormat::Swift, "PartType1/Masses"), [5.0; 2]);
        let smoothing = read(IcFormat::Swift, "PartType0/SmoothingLength")[0];
        assert!((smoothing / (1.2348 * 20.0 / 2f64.cbrt()) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_does_not_fit_together_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (path, good) = (folder.path().join("ics.hdf5"), folder.path().join("good.hdf5"));
        let mut short = example(IcFormat::Gadget);
        short.species[1].velocities_km_s = &VELOCITIES[..1];
        let without_h = IcFile { cosmology: Cosmology::UNKNOWN, ..example(IcFormat::Swift) };
        for (wrong, text) in [(short, "as many velocities"), (without_h, "the Hubble parameter")] {
            let files = [(good.as_path(), example(IcFormat::Gadget)), (path.as_path(), wrong)];
            let error = write_initial_conditions(&files).unwrap_err();
            assert!(matches!(error, SnapshotError::Write { .. }));
            assert!(error.to_string().contains(text) && error.to_string().contains("ics.hdf5"), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn masses_of_all_types_are_those_of_the_box() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ics.hdf5");
        write_initial_conditions(&[(&path, example(IcFormat::Gadget))]).unwrap();
        let mut total = 0.0;
        let snapshot = Snapshot::open(&path).unwrap();
        snapshot
            .for_each_batch(&crate::Particles::matter(), &Wanted::masses(), 10, 0, |batch: Batch| {
                let masses = batch.masses.as_deref();
                total += masses.unwrap().iter().sum::<f32>();
                Ok::<(), SnapshotError>(())
            })
            .unwrap();
        assert_eq!(total, 6.0);
    }
}
