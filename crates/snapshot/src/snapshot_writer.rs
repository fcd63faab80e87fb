//! Writing snapshots as AREPO does, so that mock universes go through the same door as real ones.

use crate::attributes::{write_array, write_scalar, write_text};
use crate::error::io_error;
use crate::header::ORIGIN;
use crate::{SnapshotError, Species, new_file};
use finescale_field::Cosmology;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Particle types of a snapshot, as AREPO and GADGET have them.
const TYPES: usize = 6;
/// AREPO's units: kpc/h, 1e10 Msun/h, km/s.
const UNIT_LENGTH_CM: f64 = 3.085_678e21;
pub(crate) const UNIT_MASS_G: f64 = 1.989e43;
pub(crate) const UNIT_VELOCITY_CM_S: f64 = 1e5;
pub(crate) const KPC_H_PER_MPC_H: f64 = 1000.0;
/// Attributes that AREPO always writes and that say nothing about a mock.
const FLAGS: [&str; 6] = [
    "Flag_Sfr",
    "Flag_Cooling",
    "Flag_StellarAge",
    "Flag_Metals",
    "Flag_Feedback",
    "Composition_vector_length",
];

/// What all files of a snapshot have in common.
#[derive(Clone, Debug)]
pub struct SnapshotWriter {
    /// Side of the periodic cube in comoving Mpc/h.
    pub box_size_mpc_h: f64,
    /// Redshift.
    pub redshift: f64,
    /// The model universe; what is not known is left out.
    pub cosmology: Cosmology,
    /// Which program made it, if that is to be said.
    pub origin: Option<&'static str>,
    /// Files to divide the particles over.
    pub files: usize,
}

/// The particles of one species.
#[derive(Clone, Copy, Debug)]
pub struct SpeciesData<'a> {
    /// Which particles they are.
    pub species: Species,
    /// Comoving positions in Mpc/h.
    pub positions_mpc_h: &'a [[f32; 3]],
    /// Peculiar velocities in km/s, if they are to be written.
    pub velocities_km_s: Option<&'a [[f32; 3]]>,
    /// The masses of the particles.
    pub mass: Mass<'a>,
}

/// Masses of one species, in 1e10 Msun/h.
#[derive(Clone, Copy, Debug)]
pub enum Mass<'a> {
    /// The same for all: goes into the header's table.
    Table(f64),
    /// Each particle its own.
    Each(&'a [f32]),
}

/// Particles of one type, as a header counts them.
pub(crate) struct Counted {
    /// Their type.
    pub(crate) kind: usize,
    /// How many are in this file.
    pub(crate) here: usize,
    /// How many are in all files.
    pub(crate) total: usize,
    /// The mass that they share in 1e10 Msun/h; 0 if each has its own.
    pub(crate) mass: f64,
}

impl SnapshotWriter {
    /// Writes `folder/snapdir_NNN/snap_NNN.INDEX.hdf5` (for one file: without index) and returns the folder
    /// `snapdir_NNN`. No file appears before all are whole.
    ///
    /// # Errors
    /// [`SnapshotError::Write`] if a file cannot be written or velocities or masses are not as many as positions;
    /// no file is half written then.
    pub fn write(
        &self,
        folder: &Path,
        number: u32,
        species: &[SpeciesData],
    ) -> Result<PathBuf, SnapshotError> {
        let folder = folder.join(format!("snapdir_{number:03}"));
        let files = self.files.max(1);
        let mut written = Vec::with_capacity(files);
        for index in 0..files {
            let name = match files {
                1 => format!("snap_{number:03}.hdf5"),
                _ => format!("snap_{number:03}.{index}.hdf5"),
            };
            let path = folder.join(name);
            let (draft, file) = new_file::create(&path).map_err(SnapshotError::write(&path))?;
            self.write_file(file, index, species)
                .map_err(|error| SnapshotError::write(&path)(io_error(&error)))?;
            written.push(draft);
        }
        let named = finescale_durable::commit_together(written);
        named.map_err(|(path, error)| SnapshotError::write(&path)(error))?;
        Ok(folder)
    }

    fn write_file(&self, file: hdf5::File, index: usize, species: &[SpeciesData]) -> hdf5::Result<()> {
        let counted = |data: &SpeciesData| Counted {
            kind: data.species.particle_type(),
            here: self.share(data.positions_mpc_h.len(), index).len(),
            total: data.positions_mpc_h.len(),
            mass: if let Mass::Table(mass) = data.mass { mass } else { 0.0 },
        };
        let counts: Vec<Counted> = species.iter().map(counted).collect();
        self.write_header(&file.create_group("Header")?, &counts, false)?;
        let mut datasets = Vec::new();
        for data in species {
            let range = self.share(data.positions_mpc_h.len(), index);
            // As AREPO: no group where a file has no such particles.
            if !range.is_empty() {
                datasets.extend(self.write_species(
                    &file.create_group(&data.species.group())?,
                    data,
                    range,
                )?);
            }
        }
        // Small data wait in the datasets' buffers. They are flushed while those live: closing them would, too, but
        // errors in closing are lost.
        file.flush()?;
        drop(datasets);
        file.close()
    }

    /// The particles of `count` that go into file `index`.
    fn share(&self, count: usize, index: usize) -> Range<usize> {
        let part = count.div_ceil(self.files.max(1));
        (index * part).min(count)..((index + 1) * part).min(count)
    }

    /// Writes the attributes of `/Header`, of files whose positions are f64 or f32: codes refuse those that they do not expect.
    pub(crate) fn write_header(
        &self,
        group: &hdf5::Group,
        counts: &[Counted],
        positions_are_f64: bool,
    ) -> hdf5::Result<()> {
        let too_many = |_| hdf5::Error::from("more particles in a file than 32 bits count; use more files");
        let mut here = [0i32; TYPES];
        let (mut low, mut high) = ([0u32; TYPES], [0u32; TYPES]);
        let mut table = [0f64; TYPES];
        for counted in counts {
            let (kind, total) = (counted.kind, counted.total as u64);
            here[kind] = i32::try_from(counted.here).map_err(too_many)?;
            low[kind] = u32::try_from(total & 0xffff_ffff).expect("masked to 32 bits");
            high[kind] = u32::try_from(total >> 32).expect("shifted to 32 bits");
            table[kind] = counted.mass;
        }
        let files = i32::try_from(self.files.max(1)).map_err(too_many)?;
        write_array(group, "NumPart_ThisFile", &here)?;
        write_array(group, "NumPart_Total", &low)?;
        write_array(group, "NumPart_Total_HighWord", &high)?;
        write_array(group, "MassTable", &table)?;
        write_scalar(group, "NumFilesPerSnapshot", files)?;
        write_scalar(group, "Time", 1.0 / (1.0 + self.redshift))?;
        write_scalar(group, "Redshift", self.redshift)?;
        write_scalar(group, "BoxSize", self.box_size_mpc_h * KPC_H_PER_MPC_H)?;
        let Cosmology { omega_m, omega_lambda, omega_b, hubble, .. } = self.cosmology;
        let names = ["Omega0", "OmegaLambda", "OmegaBaryon", "HubbleParam"];
        for (name, value) in names.into_iter().zip([omega_m, omega_lambda, omega_b, hubble]) {
            value.map_or(Ok(()), |value| write_scalar(group, name, value))?;
        }
        self.origin.map_or(Ok(()), |origin| write_text(group, ORIGIN, origin))?;
        write_scalar(group, "UnitLength_in_cm", UNIT_LENGTH_CM)?;
        write_scalar(group, "UnitMass_in_g", UNIT_MASS_G)?;
        write_scalar(group, "UnitVelocity_in_cm_per_s", UNIT_VELOCITY_CM_S)?;
        write_scalar(group, "Flag_DoublePrecision", i32::from(positions_are_f64))?;
        FLAGS.iter().try_for_each(|flag| write_scalar(group, flag, 0i32))
    }

    /// Writes the particles of `range`; the datasets are not flushed yet.
    fn write_species(
        &self,
        group: &hdf5::Group,
        data: &SpeciesData,
        range: Range<usize>,
    ) -> hdf5::Result<Vec<hdf5::Dataset>> {
        let scaled = |values: &[[f32; 3]], factor: f64| -> hdf5::Result<ndarray::Array2<f32>> {
            let values = values.get(range.clone()).ok_or("as many velocities as positions are needed")?;
            let flat = values.iter().flatten().map(|&value| to_f32(f64::from(value) * factor)).collect();
            Ok(ndarray::Array2::from_shape_vec((range.len(), 3), flat)?)
        };
        let coordinates = scaled(data.positions_mpc_h, KPC_H_PER_MPC_H)?;
        let mut datasets = vec![group.new_dataset_builder().with_data(&coordinates).create("Coordinates")?];
        if let Some(velocities) = data.velocities_km_s {
            // GADGET's velocity is the peculiar one over sqrt(a).
            let velocities = scaled(velocities, (1.0 + self.redshift).sqrt())?;
            datasets.push(group.new_dataset_builder().with_data(&velocities).create("Velocities")?);
        }
        if let Mass::Each(masses) = data.mass {
            let masses = masses.get(range.clone()).ok_or("as many masses as positions are needed")?;
            datasets.push(group.new_dataset_builder().with_data(masses).create("Masses")?);
        }
        let ids: Vec<u64> = range.map(|index| index as u64 + 1).collect();
        datasets.push(group.new_dataset_builder().with_data(&ids).create("ParticleIDs")?);
        Ok(datasets)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "AREPO writes f32 unless told otherwise")]
fn to_f32(value: f64) -> f32 {
    value as f32
}
