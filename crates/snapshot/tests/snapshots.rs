//! Snapshots with every quirk that codes and archives have, written by hand, and two real ones.
#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers, too")]

use finescale_field::Cosmology;
use finescale_snapshot::{
    DatasetColumn, GivenUnit, GivenUnits, Mass, Particles, Snapshot, SnapshotError, SnapshotWriter, Species,
    SpeciesData, Wanted, snapshot_of_run,
};
use std::path::{Path, PathBuf};

/// f32 coordinates of 1e5 kpc/h carry 7 digits.
const F32_MPC_H: f64 = 1e-5;

/// One file of a hand-made snapshot: gas positions in kpc/h, and what the header says.
struct Chunk {
    here: Vec<[f64; 3]>,
    total: u32,
    files: i32,
}

impl Chunk {
    fn write(&self, path: &Path) -> hdf5::File {
        let file = hdf5::File::create(path).unwrap();
        let header = file.create_group("Header").unwrap();
        let count = i32::try_from(self.here.len()).unwrap();
        scalar(&header, "BoxSize", 10_000f64);
        scalar(&header, "Time", 1f64);
        scalar(&header, "NumFilesPerSnapshot", self.files);
        array(&header, "NumPart_ThisFile", &[count, 0]);
        array(&header, "NumPart_Total", &[self.total, 0]);
        if !self.here.is_empty() {
            let group = file.create_group("PartType0").unwrap();
            let positions = ndarray::arr2(&self.here);
            group.new_dataset_builder().with_data(&positions).create("Coordinates").unwrap();
            let masses: Vec<f64> = (0..count).map(f64::from).collect();
            group.new_dataset_builder().with_data(&masses).create("Masses").unwrap();
        }
        file
    }
}

fn scalar<T: hdf5::H5Type>(group: &hdf5::Group, name: &str, value: T) {
    group.new_attr::<T>().create(name).unwrap().write_scalar(&value).unwrap();
}

fn array<T: hdf5::H5Type>(group: &hdf5::Group, name: &str, values: &[T]) {
    group.new_attr::<T>().shape([values.len()]).create(name).unwrap().write_raw(values).unwrap();
}

fn read(
    path: &Path,
    species: Species,
    wanted: &Wanted,
    most: usize,
) -> Result<(Vec<[f64; 3]>, Vec<f32>), SnapshotError> {
    let (mut positions, mut all_masses) = (Vec::new(), Vec::new());
    Snapshot::open(path)?.for_each_batch(&species.into(), wanted, most, 0, |batch| {
        assert!(batch.positions_mpc_h.len() <= most);
        positions.extend(batch.positions_mpc_h);
        all_masses.extend(batch.masses.unwrap_or_default());
        Ok::<_, SnapshotError>(())
    })?;
    Ok((positions, all_masses))
}

fn read_gas(path: &Path) -> Result<Vec<[f64; 3]>, SnapshotError> {
    read(path, Species::Gas, &Wanted::default(), 2).map(|(positions, _)| positions)
}

/// A set of three files, the middle one without gas.
fn three_files(folder: &Path) -> Vec<[f64; 3]> {
    let positions: Vec<[f64; 3]> =
        vec![[0.0, 1.0, 2.0], [10_000.0, -3.0, 5.0], [1e4 + 1e-3, 6.0, 7.0], [8.0; 3], [9.0; 3]];
    for (index, here) in [&positions[..3], &[], &positions[3..]].iter().enumerate() {
        let chunk = Chunk { here: here.to_vec(), total: 5, files: 3 };
        chunk.write(&folder.join(format!("snap_007.{index}.hdf5"))).close().unwrap();
    }
    positions.iter().map(|p| p.map(|x| x * 1e-3)).collect()
}

#[test]
fn a_set_is_found_from_its_folder_any_file_or_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let expected = three_files(folder.path());
    for name in ["", "snap_007.0.hdf5", "snap_007.1.hdf5", "snap_007.2.hdf5", "snap_007"] {
        assert_eq!(read_gas(&folder.path().join(name)).unwrap(), expected, "{name}");
    }
    let snapshot = Snapshot::open(folder.path()).unwrap();
    assert_eq!(snapshot.files().count(), 3);
    let (_, masses) = read(folder.path(), Species::Gas, &Wanted::masses(), 2).unwrap();
    assert_eq!(masses, [0.0, 1.0, 2.0, 0.0, 1.0]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    three_files(folder.path());
    let gone = folder.path().join("snap_007.1.hdf5");
    std::fs::remove_file(&gone).unwrap();
    let error = Snapshot::open(folder.path()).unwrap_err();
    assert!(matches!(&error, SnapshotError::MissingChunk { path, files: 3 } if *path == gone), "{error}");
}

#[test]
fn a_file_of_another_snapshot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    three_files(folder.path());
    let foreign = folder.path().join("snap_007.2.hdf5");
    Chunk { here: vec![[1.0; 3]; 2], total: 6, files: 3 }.write(&foreign).close().unwrap();
    let error = Snapshot::open(folder.path()).unwrap_err();
    assert!(matches!(&error, SnapshotError::ForeignChunk { path, .. } if *path == foreign), "{error}");
}

#[test]
fn a_header_that_promises_billions_of_files_is_believed_only_when_the_last_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap_007.0.hdf5");
    let file = Chunk { here: vec![[1.0; 3]; 2], total: 2, files: 1 }.write(&path);
    let header = file.group("Header").unwrap();
    header.delete_attr("NumFilesPerSnapshot").unwrap();
    scalar(&header, "NumFilesPerSnapshot", u32::MAX);
    file.close().unwrap();
    let missing = |index: u32| {
        let expected = folder.path().join(format!("snap_007.{index}.hdf5"));
        let error = Snapshot::open(folder.path()).unwrap_err();
        assert!(matches!(&error, SnapshotError::MissingChunk { path, .. } if *path == expected), "{error}");
    };
    missing(u32::MAX - 1);
    std::fs::copy(&path, folder.path().join("snap_007.4294967294.hdf5")).unwrap();
    missing(1);
}

#[test]
fn positions_far_outside_of_the_box_are_named() {
    let place = |x: f64| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snap.hdf5");
        Chunk { here: vec![[1.0; 3], [5.0, x, 5.0]], total: 2, files: 1 }.write(&path).close().unwrap();
        read_gas(&path)
    };
    assert!(place(-15_000.0).is_ok());
    for x in [1e308, -1e9] {
        let error = place(x).unwrap_err();
        assert!(matches!(&error, SnapshotError::Outside { index: 1, .. }), "{error}");
        assert!(error.to_string().contains("snap.hdf5: PartType0/Coordinates[1]"), "{error}");
    }
}

#[test]
fn particles_that_were_never_written_are_not_read_as_zeros() {
    let (_folder, path) = spoiled(|file| {
        let group = file.group("PartType0").unwrap();
        group.unlink("Coordinates").unwrap();
        group.new_dataset::<f64>().shape([4, 3]).create("Coordinates").unwrap();
    });
    let error = read_gas(&path).unwrap_err();
    assert!(matches!(&error, SnapshotError::Unwritten { .. }), "{error}");
}

#[test]
fn particles_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.hdf5");
    Chunk { here: vec![[1.0; 3]; 4], total: 4, files: 1 }.write(&other).close().unwrap();
    let (_folder, path) = spoiled(|file| {
        file.unlink("PartType0").unwrap();
        file.link_external(other.to_str().unwrap(), "/PartType0", "PartType0").unwrap();
    });
    let error = read_gas(&path).unwrap_err();
    assert!(matches!(&error, SnapshotError::Elsewhere { .. }), "{error}");
    let (_folder, path) = spoiled(|file| {
        file.unlink("Header").unwrap();
        file.link_external(other.to_str().unwrap(), "/Header", "Header").unwrap();
    });
    assert!(matches!(Snapshot::open(&path), Err(SnapshotError::Elsewhere { .. })));
}

#[test]
fn headers_must_add_up() {
    let folder = tempfile::tempdir().unwrap();
    three_files(folder.path());
    let wrong = folder.path().join("snap_007.2.hdf5");
    Chunk { here: vec![[1.0; 3]; 4], total: 5, files: 3 }.write(&wrong).close().unwrap();
    let error = Snapshot::open(folder.path()).unwrap_err();
    assert!(matches!(error, SnapshotError::ParticleCount { expected: 5, found: 7, .. }), "{error}");
}

#[test]
fn a_renamed_chunk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("download.hdf5");
    Chunk { here: vec![[1.0; 3]; 4], total: 5, files: 3 }.write(&path).close().unwrap();
    assert!(matches!(Snapshot::open(&path), Err(SnapshotError::ChunkWithoutIndex { files: 3, .. })));
}

/// A single file whose contents `change` spoils.
fn spoiled(change: impl FnOnce(&hdf5::File)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap.hdf5");
    let file = Chunk { here: vec![[1.0; 3]; 4], total: 4, files: 1 }.write(&path);
    change(&file);
    file.close().unwrap();
    (folder, path)
}

#[test]
fn damaged_contents_are_named() {
    let (_folder, path) = spoiled(|file| {
        let value = ndarray::arr1(&[f64::NAN]);
        file.dataset("PartType0/Coordinates").unwrap().write_slice(&value, ndarray::s![2, 1..2]).unwrap();
    });
    let error = read_gas(&path).unwrap_err();
    assert!(matches!(&error, SnapshotError::NotFinite { index: 2, .. }), "{error}");
    assert!(error.to_string().contains("PartType0/Coordinates[2]"), "{error}");

    let (_folder, path) = spoiled(|file| {
        let value = ndarray::arr1(&[f64::INFINITY]);
        file.dataset("PartType0/Masses").unwrap().write_slice(&value, ndarray::s![3..4]).unwrap();
    });
    let error = read(&path, Species::Gas, &Wanted::masses(), 2).unwrap_err();
    assert!(matches!(&error, SnapshotError::NotFinite { index: 3, .. }), "{error}");

    let (_folder, path) = spoiled(|file| file.group("PartType0").unwrap().unlink("Masses").unwrap());
    assert_eq!(read_gas(&path).unwrap().len(), 4);
    let error = read(&path, Species::Gas, &Wanted::masses(), 2).unwrap_err();
    assert!(matches!(&error, SnapshotError::MissingDataset { .. }), "{error}");

    let (_folder, path) = spoiled(|file| {
        let header = file.group("Header").unwrap();
        header.attr("NumPart_ThisFile").unwrap().write_raw(&[5i32, 0]).unwrap();
        header.attr("NumPart_Total").unwrap().write_raw(&[5u32, 0]).unwrap();
    });
    let error = read_gas(&path).unwrap_err();
    assert!(matches!(&error, SnapshotError::ChunkCount { expected: 5, .. }), "{error}");

    let (_folder, path) = spoiled(|file| file.unlink("Header").unwrap());
    assert!(matches!(Snapshot::open(&path), Err(SnapshotError::NotASnapshot { .. })));
}

#[test]
fn particles_that_are_not_there_are_named() {
    let (_folder, path) = spoiled(|_| ());
    let error = read(&path, Species::Stars, &Wanted::default(), 2).unwrap_err();
    assert!(matches!(error, SnapshotError::MissingSpecies { .. }), "{error}");
    assert!(error.to_string().contains("PartType0 (4)"), "{error}");
}

#[test]
fn a_snapshot_cut_short_never_reads_as_whole() {
    let (_folder, path) = spoiled(|_| ());
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = read_gas(&path).unwrap_err();
        let known = matches!(error, SnapshotError::Truncated { .. } | SnapshotError::NotHdf5 { .. });
        assert!(known, "{length} bytes: {error}");
    }
}

#[test]
fn every_layout_and_unit_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snap.hdf5");
    let file = hdf5::File::create(&path).unwrap();
    let header = file.create_group("Header").unwrap();
    let parameters = file.create_group("Parameters").unwrap();
    scalar(&header, "BoxSize", 50f32);
    scalar(&header, "Redshift", 3f32);
    scalar(&parameters, "UnitLength_in_cm", 3.085_678e24f64);
    scalar(&parameters, "UnitMass_in_g", 1.989e33f64);
    array(&header, "MassTable", &[0f64, 5e10, 0.0]);
    array(&header, "NumPart_ThisFile", &[0u64, 1000, 0]);
    array(&header, "NumPart_Total", &[0u64, 1000, 0]);
    // As AREPO packs: one HDF5 chunk, shuffle, deflate, fletcher32.
    let positions = ndarray::Array2::from_shape_fn((1000, 3), |(row, axis)| (row * 3 + axis) as f32 * 0.01);
    let group = file.create_group("PartType1").unwrap();
    let packed = group.new_dataset_builder().with_data(&positions).chunk((1000, 3)).shuffle().deflate(9);
    packed.fletcher32().create("Coordinates").unwrap();
    file.close().unwrap();

    let snapshot = Snapshot::open(&path).unwrap();
    assert_eq!(snapshot.header().box_size_mpc_h, [50.0; 3]);
    assert_eq!(snapshot.header().scale_factor, 0.25);
    let (read, masses) = read(&path, Species::DarkMatter, &Wanted::masses(), 300).unwrap();
    assert_eq!(read.len(), 1000);
    for (row, position) in read.iter().enumerate() {
        assert_eq!(*position, [0, 1, 2].map(|axis| f64::from(positions[[row, axis]])));
    }
    assert_eq!(masses, vec![5.0; 1000]);
}

#[test]
fn bits_that_rotted_are_found_by_the_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let real = project_file("data/demo/gadget4_dm_64/snapdir_003");
    for name in ["snapshot_003.0.hdf5", "snapshot_003.1.hdf5"] {
        std::fs::copy(real.join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("snapshot_003.0.hdf5");
    let mut rotten = std::fs::read(&path).unwrap();
    let middle = rotten.len() / 2;
    rotten[middle] ^= 1;
    std::fs::write(&path, rotten).unwrap();
    let error = read(&path, Species::DarkMatter, &Wanted::default(), 1000).unwrap_err();
    assert!(matches!(&error, SnapshotError::Hdf5 { path: named, .. } if *named == path), "{error}");
}

#[test]
fn what_the_writer_writes_is_read() {
    let positions: Vec<[f32; 3]> = (0..10).map(|i| [i as f32, 0.5 * i as f32, 99.9]).collect();
    let masses: Vec<f32> = (0..10).map(|i| 0.1 * i as f32).collect();
    let cosmology = Cosmology {
        omega_m: Some(0.3),
        omega_lambda: Some(0.7),
        omega_b: Some(0.05),
        hubble: Some(0.7),
        ..Cosmology::UNKNOWN
    };
    let gas = SpeciesData {
        species: Species::Gas,
        positions_mpc_h: &positions,
        velocities_km_s: Some(&positions),
        mass: Mass::Each(&masses),
    };
    let dark = SpeciesData {
        species: Species::DarkMatter,
        positions_mpc_h: &positions[..2],
        velocities_km_s: None,
        mass: Mass::Table(32.5),
    };
    for files in [1, 3, 7] {
        let folder = tempfile::tempdir().unwrap();
        let writer = SnapshotWriter { box_size_mpc_h: 100.0, redshift: 1.0, cosmology, origin: None, files };
        let written = writer.write(folder.path(), 4, &[gas, dark]).unwrap();
        assert_eq!(written, folder.path().join("snapdir_004"));
        assert_eq!(std::fs::read_dir(&written).unwrap().count(), files);
        let header = Snapshot::open(&written).unwrap().header().clone();
        assert_eq!((header.box_size_mpc_h, header.redshift, header.files), ([100.0; 3], 1.0, files));
        assert_eq!(header.cosmology, cosmology);
        assert_eq!(header.counts, [10, 2, 0, 0, 0, 0]);
        let (read_positions, read_masses) = read(&written, Species::Gas, &Wanted::masses(), 4).unwrap();
        assert_eq!(read_masses, masses);
        for (read, wrote) in read_positions.iter().flatten().zip(positions.iter().flatten()) {
            assert!((read - f64::from(*wrote)).abs() < F32_MPC_H);
        }
        assert_eq!(read(&written, Species::DarkMatter, &Wanted::masses(), 4).unwrap().1, [32.5; 2]);
    }
}

#[test]
fn the_writer_leaves_nothing_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let cosmology = Cosmology::UNKNOWN;
    let too_few = [1f32];
    let gas = SpeciesData {
        species: Species::Gas,
        positions_mpc_h: &[[1.0; 3]; 4],
        velocities_km_s: None,
        mass: Mass::Each(&too_few),
    };
    let writer = SnapshotWriter { box_size_mpc_h: 100.0, redshift: 0.0, cosmology, origin: None, files: 2 };
    let error = writer.write(folder.path(), 0, &[gas]).unwrap_err();
    assert!(matches!(error, SnapshotError::Write { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path().join("snapdir_000")).unwrap().count(), 0);
}

fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

#[test]
fn a_real_gadget4_snapshot() {
    let path = project_file("data/demo/gadget4_dm_64/snapdir_003");
    let snapshot = Snapshot::open(&path).unwrap();
    let header = snapshot.header();
    assert_eq!((header.box_size_mpc_h, header.files), ([100.0; 3], 2));
    assert_eq!(header.count(&Species::DarkMatter.into()), 64 * 64 * 64);
    assert!(header.redshift.abs() < 1e-12);
    let cosmology = header.cosmology;
    assert_eq!((cosmology.omega_m, cosmology.hubble), (Some(0.3089), Some(0.6774)));
    let (positions, masses) = read(&path, Species::DarkMatter, &Wanted::masses(), 50_000).unwrap();
    assert_eq!(positions.len(), 64 * 64 * 64);
    assert!(positions.iter().flatten().all(|x| (0.0..=100.0).contains(x)));
    // Omega_m times the critical density, 27.7536627 in (1e10 Msun/h) / (Mpc/h)^3, shared among all particles.
    let expected = 0.3089 * 27.753_662_7 * 100f64.powi(3) / 64f64.powi(3);
    assert!((f64::from(masses[0]) / expected - 1.0).abs() < 1e-3, "{} {expected}", masses[0]);
}

#[test]
fn a_real_arepo_snapshot() {
    let path = project_file("tests/data/arepo_gas_32/snapdir_001/snap_001.1.hdf5");
    let snapshot = Snapshot::open(&path).unwrap();
    let header = snapshot.header();
    assert_eq!(
        (header.count(&Species::Gas.into()), header.count(&Species::DarkMatter.into())),
        (32_845, 32_768)
    );
    assert!((header.redshift - 1.019_685).abs() < 1e-6);
    assert_eq!(header.table_mass(0), None);
    assert_eq!(header.cosmology.omega_b, Some(0.0486));
    let (positions, masses) = read(&path, Species::Gas, &Wanted::masses(), 10_000).unwrap();
    assert_eq!((positions.len(), masses.len()), (32_845, 32_845));
    // Gas loses only what has become stars, of which this run has none: Omega_b of the box's mass.
    let total: f64 = masses.iter().map(|&mass| f64::from(mass)).sum();
    let dark: f64 = read(&path, Species::DarkMatter, &Wanted::masses(), 10_000)
        .unwrap()
        .1
        .iter()
        .map(|&m| f64::from(m))
        .sum();
    assert!((total / (total + dark) / (0.0486 / 0.3089) - 1.0).abs() < 5e-3, "{}", total / (total + dark));
}

/// A file of one type of particles as some code writes it: positions and masses 2, 3, 4, ... in its units.
struct Written {
    _folder: tempfile::TempDir,
    file: hdf5::File,
}

impl Written {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = hdf5::File::create(folder.path().join(name)).unwrap();
        Self { _folder: folder, file }
    }

    fn group(&self, name: &str) -> hdf5::Group {
        self.file.group(name).or_else(|_| self.file.create_group(name)).unwrap()
    }

    fn particles(&self, kind: usize, positions: &[[f64; 3]], masses: Option<&str>) -> &Self {
        let group = self.group(&format!("PartType{kind}"));
        group.new_dataset_builder().with_data(&ndarray::arr2(positions)).create("Coordinates").unwrap();
        let of_each: Vec<f64> = (0..positions.len()).map(|i| i as f64 + 2.0).collect();
        if let Some(name) = masses {
            group.new_dataset_builder().with_data(&of_each).create(name).unwrap();
        }
        self
    }

    fn header(&self, box_size: &[f64], counts: &[i64]) -> &Self {
        let header = self.group("Header");
        array(&header, "BoxSize", box_size);
        array(&header, "NumPart_ThisFile", counts);
        scalar(&header, "Redshift", 0f64);
        self
    }

    fn path(&self) -> PathBuf {
        self.file.flush().unwrap();
        PathBuf::from(self.file.filename())
    }
}

fn read_all(path: &Path, particles: &str) -> (Vec<[f64; 3]>, Vec<f32>) {
    let (mut positions, mut masses) = (Vec::new(), Vec::new());
    let particles: Particles = particles.parse().unwrap();
    let visit = |batch: finescale_snapshot::Batch| {
        positions.extend(batch.positions_mpc_h);
        masses.extend(batch.masses.unwrap());
        Ok::<_, SnapshotError>(())
    };
    Snapshot::open(path).unwrap().for_each_batch(&particles, &Wanted::masses(), 100, 0, visit).unwrap();
    (positions, masses)
}

fn near(found: f64, expected: f64) -> bool {
    (found / expected - 1.0).abs() < 1e-5
}

#[test]
fn swift_has_no_h_in_its_units() {
    let swift = Written::new("swift.hdf5");
    swift.header(&[73.8; 3], &[0, 2, 0, 0, 0, 0, 0]).particles(1, &[[36.9; 3], [1.0; 3]], Some("Masses"));
    scalar(&swift.group("Units"), "Unit length in cgs (U_L)", 3.085_677_58e24f64);
    scalar(&swift.group("Units"), "Unit mass in cgs (U_M)", 1.988_41e43f64);
    let cosmology = swift.group("Cosmology");
    for (name, value) in
        [("h", 0.6774f64), ("Omega_m", 0.3089), ("Omega_lambda", 0.6911), ("Omega_b", 0.0486)]
    {
        array(&cosmology, name, &[value]);
    }
    let snapshot = Snapshot::open(&swift.path()).unwrap();
    let header = snapshot.header();
    assert!(near(header.box_size_mpc_h[2], 73.8 * 0.6774) && !header.length_unit_is_assumed);
    assert_eq!(header.cosmology.omega_b, Some(0.0486));
    let (positions, masses) = read_all(&swift.path(), "dm");
    assert!(near(positions[0][0], 36.9 * 0.6774) && near(f64::from(masses[1]), 3.0 * 0.6774), "{masses:?}");
}

#[test]
fn units_that_nobody_says_are_told_and_can_be_given() {
    let bare = Written::new("bare.hdf5");
    bare.header(&[25.0], &[0, 1]).particles(1, &[[12.5; 3]], Some("Masses"));
    let snapshot = Snapshot::open(&bare.path()).unwrap();
    let warnings = snapshot.header().warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("its box 0.025 Mpc/h"), "{warnings:?}");
    let mpc_h = GivenUnits { length: Some(GivenUnit { value: 1.0, per_h: true }), mass: None };
    let snapshot = Snapshot::open_in(&bare.path(), mpc_h, None).unwrap();
    assert_eq!((snapshot.header().box_size_mpc_h, snapshot.header().warnings().len()), ([25.0; 3], 0));
    // A box of parsecs is read as it says, with a word.
    let small = Written::new("small.hdf5");
    small.header(&[25.0], &[0, 1]).particles(1, &[[12.5; 3]], Some("Masses"));
    scalar(&small.group("Header"), "UnitLength_In_CGS", 3.085_678e18f64);
    let snapshot = Snapshot::open(&small.path()).unwrap();
    assert!(near(snapshot.header().box_size_mpc_h[0], 25e-6));
    assert!(snapshot.header().warnings()[0].contains("--unit-length"), "{:?}", snapshot.header().warnings());
}

#[test]
fn boxes_that_are_no_cubes_keep_their_sides() {
    let three = Written::new("three.hdf5");
    three.header(&[50_000.0, 50_000.0, 25_000.0], &[0, 1]).particles(1, &[[1.0; 3]], Some("Masses"));
    let long = Written::new("long.hdf5");
    long.header(&[50_000.0], &[0, 1]).particles(1, &[[1.0; 3]], Some("Masses"));
    scalar(&long.group("Config"), "LONG_Z", 0.5f64);
    let bits = Written::new("bits.hdf5");
    bits.header(&[50_000.0], &[0, 1]).particles(1, &[[1.0; 3]], Some("Masses"));
    scalar(&bits.group("Config"), "LONG_Z_BITS", 1i32);
    for written in [three, long, bits] {
        let snapshot = Snapshot::open(&written.path()).unwrap();
        assert_eq!(snapshot.header().box_size_mpc_h, [50.0, 50.0, 25.0]);
        assert_eq!(snapshot.header().grid(16).unwrap().cells(), [16, 16, 8]);
        let error = snapshot.header().grid(15).unwrap_err();
        assert!(error.to_string().contains("no voxels that are cubes"), "{error}");
    }
}

#[test]
fn integers_are_parts_of_the_box() {
    let integers = Written::new("integers.hdf5");
    integers.header(&[50_000.0], &[0, 2]);
    let positions = ndarray::arr2(&[[0u32, 1 << 31, 3 << 30], [u32::MAX, 0, 0]]);
    let group = integers.group("PartType1");
    group.new_dataset_builder().with_data(&positions).create("IntCoordinates").unwrap();
    group.new_dataset_builder().with_data(&[1f32, 1.0]).create("Masses").unwrap();
    let (positions, _) = read_all(&integers.path(), "dm");
    assert_eq!(positions[0], [0.0, 25.0, 37.5]);
    assert!(positions[1][0] < 50.0 && near(positions[1][0], 50.0));
}

#[test]
fn totals_of_32_bits_are_those_of_all_files() {
    let set = |total: &[i64], here: u32| {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..2 {
            let file = hdf5::File::create(folder.path().join(format!("snap_000.{index}.hdf5"))).unwrap();
            let header = file.create_group("Header").unwrap();
            scalar(&header, "BoxSize", 1e5f64);
            scalar(&header, "Time", 1f64);
            scalar(&header, "NumFilesPerSnapshot", 2i32);
            array(&header, "NumPart_ThisFile", &[0, here]);
            array(&header, "NumPart_Total", total);
        }
        let snapshot = Snapshot::open(folder.path());
        snapshot.map(|snapshot| snapshot.header().count(&Species::DarkMatter.into()))
    };
    // Without a high word, and in a signed type that ran over.
    assert_eq!(set(&[0, 4_400_000_000 - (1 << 32)], 2_200_000_000).unwrap(), 4_400_000_000);
    assert_eq!(set(&[0, 2_400_000_000 - (1 << 32)], 1_200_000_000).unwrap(), 2_400_000_000);
    assert!(matches!(set(&[0, 7], 3), Err(SnapshotError::ParticleCount { .. })));
}

#[test]
fn cut_outs_are_counted_and_catalogues_refused() {
    let cut = Written::new("cut.hdf5");
    let header = cut.group("Header");
    scalar(&header, "BoxSize", 1e5f64);
    scalar(&header, "Time", 1f64);
    cut.particles(0, &[[1.0; 3]; 3], Some("Masses"));
    assert_eq!(read_all(&cut.path(), "gas").0.len(), 3);
    let catalogue = Written::new("groups.hdf5");
    scalar(&catalogue.group("Header"), "Ngroups_Total", 3i32);
    let error = Snapshot::open(&catalogue.path()).unwrap_err();
    assert!(error.to_string().contains("it is a catalogue of groups"), "{error}");
}

#[test]
fn a_joined_set_and_a_link_to_a_file_of_one_are_read() {
    let joined = Written::new("joined.hdf5");
    joined.header(&[1e5], &[2]).particles(0, &[[1.0; 3]; 2], Some("Masses"));
    scalar(&joined.group("Header"), "NumFilesPerSnapshot", 600i32);
    array(&joined.group("Header"), "NumPart_Total", &[2u32]);
    assert_eq!(read_all(&joined.path(), "gas").0.len(), 2);

    let folder = tempfile::tempdir().unwrap();
    let expected = three_files(folder.path());
    let link = folder.path().join("latest.hdf5");
    std::os::unix::fs::symlink("snap_007.1.hdf5", &link).unwrap();
    assert_eq!(read_gas(&link).unwrap(), expected);
}

#[test]
fn matter_is_what_has_a_mass() {
    let zoom = Written::new("zoom.hdf5");
    zoom.header(&[1e5], &[1, 2, 1, 1]);
    zoom.particles(0, &[[1.0; 3]], Some("Mass")).particles(1, &[[2.0; 3], [3.0; 3]], Some("Masses"));
    zoom.particles(2, &[[4.0; 3]], Some("Masses"));
    // Tracers have no place.
    zoom.group("PartType3").new_dataset_builder().with_data(&[7u64]).create("ParentID").unwrap();
    let (positions, masses) = read_all(&zoom.path(), "matter");
    let tags: Vec<f64> = positions.iter().map(|position| (1e3 * position[0]).round()).collect();
    assert_eq!((tags, masses), (vec![1.0, 2.0, 3.0, 4.0], vec![2.0, 2.0, 3.0, 2.0]));
    let share = Snapshot::open(&zoom.path()).unwrap().dark_matter_of_low_resolution().unwrap().unwrap();
    assert!(near(share, 2.0 / 7.0), "{share}");

    // Gas without masses is no matter that may be left out.
    let massless = Written::new("massless.hdf5");
    massless.header(&[1e5], &[1, 1]).particles(0, &[[1.0; 3]], None).particles(
        1,
        &[[1.0; 3]],
        Some("Masses"),
    );
    let snapshot = Snapshot::open(&massless.path()).unwrap();
    let read = snapshot
        .for_each_batch(&Particles::matter(), &Wanted::masses(), 10, 0, |_| Ok::<_, SnapshotError>(()));
    assert!(matches!(read, Err(SnapshotError::MissingDataset { .. })), "{read:?}");
}

#[test]
fn packed_values_are_unpacked() {
    let positions = ndarray::Array2::from_shape_fn((64, 3), |(i, axis)| (i * 3 + axis) as f64);
    let packed = |name: &str, pack: fn(hdf5::DatasetBuilder) -> hdf5::DatasetBuilder| {
        let written = Written::new(name);
        written.header(&[1e5], &[64]);
        let group = written.group("PartType0");
        let builder = pack(group.new_dataset_builder().chunk((16, 3))).with_data(&positions);
        builder.create("Coordinates").unwrap();
        let masses: Vec<f64> = vec![1.0; 64];
        group.new_dataset_builder().with_data(&masses).create("Masses").unwrap();
        read_all(&written.path(), "gas").0
    };
    let expected: Vec<[f64; 3]> =
        positions.outer_iter().map(|row| [row[0] * 1e-3, row[1] * 1e-3, row[2] * 1e-3]).collect();
    assert_eq!(packed("lzf.hdf5", hdf5::DatasetBuilder::lzf), expected);
    assert_eq!(packed("blosc.hdf5", |builder| builder.blosc_zstd(5, true)), expected);
}

#[test]
fn cells_have_the_sides_of_their_volumes() {
    let sides = |written: &Written, particles: &str| -> Result<Vec<f32>, SnapshotError> {
        let mut sides = Vec::new();
        let particles: Particles = particles.parse().unwrap();
        let wanted = Wanted { sides: true, ..Wanted::default() };
        Snapshot::open(&written.path())?.for_each_batch(&particles, &wanted, 1, 0, |batch| {
            sides.extend(batch.sides_mpc_h.unwrap());
            Ok::<_, SnapshotError>(())
        })?;
        Ok(sides)
    };
    let with = |name: &str, values: [f64; 2]| {
        let gas = Written::new("gas.hdf5");
        gas.header(&[1e5], &[2, 1]).particles(0, &[[1.0; 3]; 2], Some("Masses"));
        gas.particles(1, &[[1.0; 3]], Some("Masses"));
        gas.group("PartType0").new_dataset_builder().with_data(&values).create(name).unwrap();
        gas
    };
    // In (kpc/h)^3, and in masses of 2 and 3 over it.
    assert_eq!(sides(&with("Volume", [8e9, 27e9]), "gas").unwrap(), [2.0, 3.0]);
    assert_eq!(sides(&with("Density", [2.0 / 8e9, 3.0 / 27e9]), "0,1").unwrap(), [2.0, 3.0, 0.0]);
    for (name, value) in [("Volume", 0.0), ("Volume", f64::NAN), ("Density", f64::INFINITY)] {
        let error = sides(&with(name, [1.0, value]), "gas").unwrap_err();
        assert!(matches!(error, SnapshotError::NotFinite { index: 1, .. }), "{name} {value}: {error}");
    }
    let error = sides(&with("Temperature", [1.0, 1.0]), "gas").unwrap_err();
    assert!(error.to_string().contains("PartType0/Volume (nor Density, nor SmoothingLength)"), "{error}");
    // A cube with the variance of the kernel: sqrt(12) of its standard deviation, which is half of SWIFT's length.
    let smoothed = sides(&with("SmoothingLengths", [1000.0, 2000.0]), "gas").unwrap();
    assert!(near(f64::from(smoothed[0]), 3f64.sqrt()) && near(f64::from(smoothed[1]), 2.0 * 3f64.sqrt()));
    let of_gadget = sides(&with("SmoothingLength", [1825.742, 1.0]), "gas").unwrap();
    assert!(near(f64::from(of_gadget[0]), 3f64.sqrt()));
}

#[test]
fn masses_that_contradict_each_other_are_refused() {
    let written = Written::new("two_masses.hdf5");
    written.header(&[1e5], &[0, 2]).particles(1, &[[1.0; 3], [2.0; 3]], Some("Masses"));
    array(&written.group("Header"), "MassTable", &[0f64, 77.0]);
    let error = read(&written.path(), Species::DarkMatter, &Wanted::masses(), 10).unwrap_err();
    assert!(error.to_string().contains("the header's MassTable says"), "{error}");
    // Whoever counts needs none.
    assert_eq!(read(&written.path(), Species::DarkMatter, &Wanted::default(), 10).unwrap().0.len(), 2);
}

/// A snapshot in GADGET's binary format 1, or 2 if blocks have names, of two gas and three dark-matter particles.
fn binary(is_named: bool, big_endian: bool, is_double: bool) -> Vec<u8> {
    let number = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let float = |value: f64| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let real = |value: f64| match (is_double, big_endian) {
        (true, _) => float(value).to_vec(),
        (false, true) => (value as f32).to_be_bytes().to_vec(),
        (false, false) => (value as f32).to_le_bytes().to_vec(),
    };
    let record = |bytes: &[u8]| {
        let mark = number(u32::try_from(bytes.len()).unwrap());
        [&mark, bytes, &mark].concat()
    };
    let block = |name: &str, bytes: &[u8]| {
        let next = number(u32::try_from(bytes.len() + 8).unwrap());
        let named = if is_named { record(&[name.as_bytes(), &next].concat()) } else { Vec::new() };
        [named, record(bytes)].concat()
    };
    let mut header = vec![0u8; 256];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let counts = [2u32, 3, 0, 0, 0, 0];
    for (kind, count) in counts.into_iter().enumerate() {
        put(4 * kind, &number(count));
        put(96 + 4 * kind, &number(count));
    }
    put(24 + 8, &float(0.5)); // the mass of dark matter
    put(72, &float(0.5)); // a
    put(80, &float(1.0)); // z
    put(124, &number(1));
    put(128, &float(10_000.0));
    put(136, &float(0.3));
    put(144, &float(0.7));
    put(152, &float(0.7));
    let reals = |values: &[f64]| values.iter().flat_map(|&value| real(value)).collect::<Vec<u8>>();
    let positions: Vec<f64> = (0..15).map(|index| 100.0 * f64::from(index)).collect();
    let velocities: Vec<f64> = (0..15).map(f64::from).collect();
    let ids: Vec<u8> = (1u32..=5).flat_map(number).collect();
    [
        block("HEAD", &header),
        block("POS ", &reals(&positions)),
        block("VEL ", &reals(&velocities)),
        block("ID  ", &ids),
        block("MASS", &reals(&[0.25, 0.125])),
        block("U   ", &reals(&[7.0, 9.0])),
    ]
    .concat()
}

#[test]
fn binary_files_of_both_formats_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (is_named, big_endian, is_double) in
        [(false, false, false), (true, false, true), (false, true, true), (true, true, false)]
    {
        let path = folder.path().join("snapshot_005");
        std::fs::write(&path, binary(is_named, big_endian, is_double)).unwrap();
        let snapshot = Snapshot::open(&path).unwrap();
        let header = snapshot.header();
        assert_eq!((header.redshift, header.scale_factor, header.box_size_mpc_h), (1.0, 0.5, [10.0; 3]));
        assert_eq!((header.cosmology.omega_m, header.cosmology.hubble), (Some(0.3), Some(0.7)));
        assert!(header.length_unit_is_assumed && header.warnings()[0].contains("kpc/h is assumed"));
        let energy = |column| DatasetColumn { dataset: "InternalEnergy".to_owned(), column };
        let wanted =
            Wanted { masses: true, velocities: true, columns: vec![energy(None)], ..Wanted::default() };
        let read = |wanted: &Wanted, particles: &str| {
            let mut batches = Vec::new();
            let visit = |batch| {
                batches.push(batch);
                Ok::<_, SnapshotError>(())
            };
            snapshot.for_each_batch(&particles.parse().unwrap(), wanted, 10, 0, visit).map(|()| batches)
        };
        let gas = &read(&wanted, "gas").unwrap()[0];
        assert!(near(gas.positions_mpc_h[1][2], 0.5), "{gas:?}");
        assert_eq!((gas.masses.as_deref(), &gas.columns[0][..]), (Some(&[0.25, 0.125][..]), &[7.0, 9.0][..]));
        // Peculiar velocities are those of the file times the root of the scale factor.
        assert!(near(gas.velocities_km_s.as_ref().unwrap()[1][0].into(), 3.0 * 0.5f64.sqrt()));
        let dark = &read(&Wanted::masses(), "dm").unwrap()[0];
        assert!(near(dark.positions_mpc_h[2][2], 1.4), "{dark:?}");
        assert_eq!(dark.masses.as_deref(), Some(&[0.5; 3][..]));
        assert!(
            matches!(read(&wanted, "dm"), Err(SnapshotError::MissingDataset { .. })),
            "dark matter has no energy"
        );
        // In a folder, and as one file of a set.
        assert_eq!(Snapshot::open(folder.path()).unwrap().header(), header);
    }
}

#[test]
fn damaged_binary_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot_005");
    let whole = binary(true, false, false);
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Snapshot::open(&path).map(|_| ()).unwrap_err()
    };
    assert!(matches!(open(&whole[..whole.len() - 9]), SnapshotError::Truncated { .. }));
    assert!(matches!(open(&whole[..100]), SnapshotError::Truncated { .. }));
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        open(&changed)
    };
    // The header begins after a record of 8 bytes in marks, and its own mark.
    let header = 16 + 4;
    let more = with(header + 4, &4u32.to_le_bytes());
    assert!(
        matches!(more, SnapshotError::ParticleCount { .. } | SnapshotError::NotASnapshot { .. }),
        "{more}"
    );
    let time = with(header + 72, &f64::NAN.to_le_bytes());
    assert!(time.to_string().contains("Time"), "{time}");
    let redshift = with(header + 80, &3f64.to_le_bytes());
    assert!(redshift.to_string().contains("Redshift"), "{redshift}");
}

#[test]
fn some_files_of_a_set_do_without_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let expected = three_files(folder.path());
    std::fs::remove_file(folder.path().join("snap_007.0.hdf5")).unwrap();
    let open = |files: &[usize]| Snapshot::open_in(folder.path(), GivenUnits::default(), Some(files));
    let snapshot = open(&[1, 2]).unwrap();
    assert_eq!(snapshot.header().count(&Species::Gas.into()), 2);
    assert_eq!(snapshot.count_in_files(0..1, &Species::Gas.into()), 0);
    let mut positions = Vec::new();
    let visit = |batch: finescale_snapshot::Batch| {
        assert_eq!(batch.file, 1, "of the two");
        positions.extend(batch.positions_mpc_h);
        Ok::<_, SnapshotError>(())
    };
    snapshot.for_each_batch(&Species::Gas.into(), &Wanted::default(), 10, 0, visit).unwrap();
    assert_eq!(positions, expected[3..]);
    assert!(matches!(open(&[0]), Err(SnapshotError::MissingChunk { .. })));
    assert!(matches!(open(&[3]), Err(SnapshotError::NoSuchFile { index: 3, files: 3, .. })));
}

#[test]
fn snapshots_of_a_run_are_found_by_number() {
    let folder = tempfile::tempdir().unwrap();
    for number in [7, 99] {
        let inner = folder.path().join(format!("snapdir_{number:03}"));
        std::fs::create_dir(&inner).unwrap();
        three_files(&inner);
    }
    assert_eq!(snapshot_of_run(folder.path(), 99).unwrap(), folder.path().join("snapdir_099"));
    let error = snapshot_of_run(folder.path(), 5).unwrap_err();
    assert!(error.to_string().contains("snapdir_005"), "{error}");
    // Of several, one must be named; a single one is meant.
    let error = Snapshot::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("2 snapshots, from"), "{error}");
    std::fs::remove_dir_all(folder.path().join("snapdir_099")).unwrap();
    assert_eq!(read_gas(folder.path()).unwrap().len(), 5);
}

#[test]
fn datasets_are_read_by_name_and_column() {
    let written = Written::new("metals.hdf5");
    written.header(&[1e5], &[2]).particles(0, &[[1.0; 3]; 2], Some("Masses"));
    let metals = ndarray::arr2(&[[0.1f32, 0.2], [0.3, 0.4]]);
    let group = written.group("PartType0");
    group.new_dataset_builder().with_data(&metals).create("GFM_Metals").unwrap();
    let text = hdf5::types::FixedAscii::<4>::from_ascii("none").unwrap();
    group.new_dataset_builder().with_data(&[text; 2]).create("Names").unwrap();
    let read = |dataset: &str, column| {
        let columns = vec![DatasetColumn { dataset: dataset.to_owned(), column }];
        let mut found = Vec::new();
        let wanted = Wanted { columns, ..Wanted::default() };
        let visit = |batch: finescale_snapshot::Batch| {
            found.extend(batch.columns[0].clone());
            Ok::<_, SnapshotError>(())
        };
        let gas = Species::Gas.into();
        Snapshot::open(&written.path()).unwrap().for_each_batch(&gas, &wanted, 1, 0, visit).map(|()| found)
    };
    assert_eq!(read("GFM_Metals", Some(1)).unwrap(), [0.2, 0.4]);
    assert_eq!(read("Masses", None).unwrap().len(), 2);
    let refused = |dataset: &str, column| read(dataset, column).unwrap_err().to_string();
    assert!(refused("GFM_Metals", None).contains("say which: GFM_Metals:0 to GFM_Metals:1"));
    assert!(refused("GFM_Metals", Some(2)).contains("no number 2"));
    assert!(refused("Names", None).contains("holds no numbers"));
    assert!(refused("Temperature", None).contains("no dataset PartType0/Temperature"));
}
