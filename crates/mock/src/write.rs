//! Universes on disk.

use crate::{MockError, Universe};
use finescale_field::{Field3, Scheme};
use finescale_snapshot::{GridFile, GridMeta, Mass, SnapshotWriter, Species, SpeciesData, write_grids};
use std::path::Path;

/// Critical density today in 1e10 Msun/h per (Mpc/h)³: 3 H0² / 8πG.
pub(crate) const CRITICAL_DENSITY: f64 = 27.753_66;
/// Files per snapshot: more than one, as real ones have.
const FILES: usize = 2;

impl Universe {
    /// Writes `condition.hdf5` (coarse dark matter) and `truth.hdf5` (gas) into `folder`, as grid files.
    /// Neither ever stands beside one of another universe.
    ///
    /// # Errors
    /// [`MockError::Snapshot`] names the file that could not be written.
    pub fn write_grids(&self, folder: &Path) -> Result<(), MockError> {
        let condition = self.grid_file(self.condition()?, "dm", self.low.len());
        let mut truth = self.grid_file(self.truth()?, "gas", self.gas.len());
        truth.meta.is_spread = self.config.spread_gas;
        let paths = ["condition.hdf5", "truth.hdf5"].map(|name| folder.join(name));
        Ok(write_grids(&[(&paths[0], &condition), (&paths[1], &truth)])?)
    }

    /// Writes `low_res/snapdir_000` (dark matter that stands for all matter) and `high_res/snapdir_000` (gas and
    /// dark matter) into `folder`, as snapshots of two files. They hold no velocities.
    ///
    /// # Errors
    /// [`MockError::Snapshot`] names the file that could not be written.
    pub fn write_snapshots(&self, folder: &Path) -> Result<(), MockError> {
        let cosmology = &self.config.cosmology;
        let cold = cosmology.omega_m - cosmology.omega_b;
        let low = [self.species(Species::DarkMatter, &self.low, cosmology.omega_m)];
        let high = [
            self.species(Species::Gas, &self.gas, cosmology.omega_b),
            self.species(Species::DarkMatter, &self.high, cold),
        ];
        let writer = SnapshotWriter {
            box_size_mpc_h: self.config.box_size_mpc_h,
            redshift: self.config.redshift,
            cosmology: self.config.cosmology.into(),
            origin: Some("mock"),
            files: FILES,
        };
        writer.write(&folder.join("low_res"), 0, &low)?;
        writer.write(&folder.join("high_res"), 0, &high)?;
        Ok(())
    }

    /// Particles of equal mass that together have the mean density `omega`.
    fn species<'a>(&self, species: Species, positions: &'a [[f32; 3]], omega: f64) -> SpeciesData<'a> {
        let mass = omega * CRITICAL_DENSITY * self.config.box_size_mpc_h.powi(3) / positions.len() as f64;
        SpeciesData { species, positions_mpc_h: positions, velocities_km_s: None, mass: Mass::Table(mass) }
    }

    /// A field of `particles` particles with its description.
    fn grid_file(&self, field: Field3, quantity: &str, particles: usize) -> GridFile {
        let mean = particles as f64 / field.grid().voxels() as f64;
        let meta = GridMeta {
            cosmology: self.config.cosmology.into(),
            assignment: Some(Scheme::Cic),
            provenance: serde_json::json!({
                "command": "finescale mock",
                "version": env!("CARGO_PKG_VERSION"),
                "mock": self.config,
            }),
            ..GridMeta::new(quantity, self.config.redshift, mean)
        };
        GridFile { field, meta }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MockConfig, make_universe};
    use finescale_snapshot::{Snapshot, SnapshotError, Wanted, read_grid};
    use std::sync::atomic::AtomicBool;

    fn tiny() -> Universe {
        let config = MockConfig {
            box_size_mpc_h: 20.0,
            cells: 10,
            particles_low: 8,
            particles_high: 16,
            steps: 2,
            ..MockConfig::default()
        };
        make_universe(&config, &mut |_| (), &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn grids_are_read_as_written() {
        let (folder, universe) = (tempfile::tempdir().unwrap(), tiny());
        universe.write_grids(folder.path()).unwrap();
        let truth = read_grid(&folder.path().join("truth.hdf5")).unwrap();
        assert_eq!(truth.field, universe.truth().unwrap());
        assert!((truth.field.mean() - 1.0).abs() < 1e-6);
        assert_eq!((truth.meta.quantity.as_str(), truth.meta.mean), ("gas", Some(4.096)));
        let again: MockConfig = serde_json::from_value(truth.meta.provenance["mock"].clone()).unwrap();
        assert_eq!(again, universe.config);
        let condition = read_grid(&folder.path().join("condition.hdf5")).unwrap();
        assert_eq!((condition.meta.quantity.as_str(), condition.meta.mean), ("dm", Some(0.512)));
        assert_eq!(condition.field, universe.condition().unwrap());
    }

    #[test]
    fn snapshots_hold_the_particles_and_the_mass_of_the_box() {
        const LENGTH: f64 = 1e-5; // f32 positions in kpc/h
        let (folder, universe) = (tempfile::tempdir().unwrap(), tiny());
        universe.write_snapshots(folder.path()).unwrap();
        let snapshot = Snapshot::open(&folder.path().join("high_res/snapdir_000")).unwrap();
        assert_eq!(snapshot.files().count(), 2);
        let mut total = 0.0;
        for (species, expected) in [(Species::Gas, &universe.gas), (Species::DarkMatter, &universe.high)] {
            let mut read = Vec::new();
            snapshot
                .for_each_batch(&species.into(), &Wanted::masses(), 1000, 0, |batch| {
                    read.extend(batch.positions_mpc_h);
                    total += batch.masses.unwrap().iter().map(|&m| f64::from(m)).sum::<f64>();
                    Ok::<(), SnapshotError>(())
                })
                .unwrap();
            assert_eq!(read.len(), expected.len());
            for (a, b) in read.iter().zip(expected) {
                assert!(
                    (0..3).all(|axis| (a[axis] - f64::from(b[axis])).abs() < LENGTH),
                    "{a:?} against {b:?}"
                );
            }
        }
        let expected = 0.3089 * CRITICAL_DENSITY * 8000.0;
        assert!((total / expected - 1.0).abs() < 1e-5, "{total} against {expected}");
        let low = Snapshot::open(&folder.path().join("low_res"))
            .or_else(|_| Snapshot::open(&folder.path().join("low_res/snapdir_000")));
        let header = low.unwrap().header().clone();
        assert_eq!(header.count(&Species::DarkMatter.into()), 512);
        assert!(
            (header.table_mass(Species::DarkMatter.particle_type()).unwrap() * 512.0 / expected - 1.0).abs()
                < 1e-9
        );
        assert_eq!(header.cosmology.omega_b, Some(0.0486));
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error_with_its_name() {
        let (folder, universe) = (tempfile::tempdir().unwrap(), tiny());
        let file = folder.path().join("taken");
        std::fs::write(&file, "").unwrap();
        for error in [universe.write_grids(&file), universe.write_snapshots(&file)] {
            let error = error.unwrap_err();
            assert!(
                matches!(error, MockError::Snapshot(_)) && error.to_string().contains("taken"),
                "{error}"
            );
        }
    }
}
