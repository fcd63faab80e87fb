//! What `grid` makes of snapshots: every field, part of a box and part of a set, and what a killed one leaves.

use crate::binary::{fails, finescale};
use assert_cmd::Command;
use finescale_field::{Boundary, Cosmology, Region};
use finescale_snapshot::{GridFile, Mass, SnapshotWriter, Species, SpeciesData, read_grid};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BOX_MPC_H: f64 = 20.0;
const FILES: usize = 5;

/// A folder with a snapshot of dark matter at z = 1 in some files.
struct Bench {
    folder: TempDir,
    positions: Vec<[f32; 3]>,
    velocities: Vec<[f32; 3]>,
    masses: Vec<f32>,
}

impl Bench {
    fn new(particles: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Points of a Kronecker sequence.
        let along =
            |index: usize, axis: i32| ((index as f64) * 1.220_744_084_605_76f64.powi(-axis - 1)).fract();
        let positions: Vec<[f32; 3]> = (1..=particles)
            .map(|index| [0, 1, 2].map(|axis| (BOX_MPC_H * along(index, axis).powi(2)) as f32))
            .collect();
        let velocities: Vec<[f32; 3]> =
            positions.iter().map(|[x, y, _]| [100.0, 50.0 * x - 300.0, 10.0 * y]).collect();
        let masses: Vec<f32> = (0..particles).map(|index| 1.0 + (index % 7) as f32).collect();
        let cosmology = Cosmology {
            omega_m: Some(0.3),
            omega_lambda: Some(0.7),
            hubble: Some(0.7),
            ..Cosmology::UNKNOWN
        };
        let bench = Self { folder, positions, velocities, masses };
        let writer = SnapshotWriter {
            box_size_mpc_h: BOX_MPC_H,
            redshift: 1.0,
            cosmology,
            origin: None,
            files: FILES,
        };
        let data = SpeciesData {
            species: Species::DarkMatter,
            positions_mpc_h: &bench.positions,
            velocities_km_s: Some(&bench.velocities),
            mass: Mass::Each(&bench.masses),
        };
        writer.write(bench.folder.path(), 9, &[data]).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let mut command = finescale();
        command.current_dir(self.folder.path()).args(Self::arguments(name, more));
        command
    }

    fn arguments<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let cells = if more.contains(&"--cells") { &[][..] } else { &["--cells", "16"] };
        [&["grid", "snapdir_009", "--particles", "dm", "-o", name], more, cells].concat()
    }

    fn run(&self, name: &str, more: &[&str]) -> Output {
        let output = self.command(name, more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn grid(&self, name: &str, more: &[&str]) -> GridFile {
        self.run(name, more);
        read_grid(&self.path(name)).unwrap()
    }
}

fn most_different(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_field_is_what_its_definition_says() {
    // One cell of NGP has the sums over all particles.
    let bench = Bench::new(2000);
    let sums = |name: &str, more: &[&str]| {
        let more = [&["--scheme", "ngp", "--cells", "1"], more].concat();
        let grid = bench.grid(name, &more);
        (grid.field.as_slice()[0], grid.meta)
    };
    let mass = |index: usize| f64::from(bench.masses[index]);
    let velocity = |index: usize| f64::from(bench.velocities[index][1]);
    let all = 0..bench.masses.len();
    let total: f64 = all.clone().map(mass).sum();
    let by_mass: f64 = all.clone().map(|index| mass(index) * velocity(index)).sum::<f64>() / total;
    let by_count: f64 = all.clone().map(velocity).sum::<f64>() / all.len() as f64;
    let close = |found: f32, expected: f64| (f64::from(found) / expected - 1.0).abs() < 1e-4;

    let (value, meta) = sums("velocity.hdf5", &["--field", "velocity_y"]);
    assert!(close(value, by_mass), "{value} for {by_mass}");
    assert_eq!((meta.quantity.as_str(), meta.unit.as_deref()), ("dm_velocity_y", Some("km/s")));
    let (value, _) = sums("counted.hdf5", &["--field", "velocity_y", "--weight", "count"]);
    assert!(close(value, by_count), "{value} for {by_count}");
    let (value, _) = sums("momentum.hdf5", &["--field", "momentum_y"]);
    assert!(close(value, by_mass), "{value} for {by_mass}");
    let (value, meta) = sums("mean.hdf5", &["--field", "mean:Masses", "--weight", "count"]);
    assert!(close(value, total / all.len() as f64), "{value}");
    assert_eq!(meta.unit.as_deref(), Some("Masses of the snapshot"));
    let (value, meta) = sums("squares.hdf5", &["--weight", "mass*Masses"]);
    assert!(close(value, 1.0), "{value}");
    assert_eq!((meta.quantity.as_str(), meta.unit), ("dm_mass*Masses", None));
    let squares: f64 = all.map(|index| mass(index).powi(2)).sum();
    let told = meta.provenance["total_weight"].as_f64().unwrap();
    assert!((told / squares - 1.0).abs() < 1e-6, "{told} for {squares}");

    // Only densities are taken for densities.
    let mut spectrum = finescale();
    spectrum.current_dir(bench.folder.path()).args(["spectrum", "velocity.hdf5"]);
    fails(&mut spectrum, &["velocity.hdf5: holds dm_velocity_y in km/s, and a density"]);
    fails(&mut bench.command("x.hdf5", &["--weight", "Temperature"]), &["no dataset PartType1/Temperature"]);
    fails(
        &mut bench.command("x.hdf5", &["--weight", "Velocities"]),
        &["PartType1/Velocities has 3 columns", "Velocities:0"],
    );
    fails(
        &mut bench.command("x.hdf5", &["--weight", "Velocities:1"]),
        &["--weight Velocities:1", "is negative"],
    );
}

#[test]
fn redshift_space_moves_particles_by_their_velocities() {
    let bench = Bench::new(3000);
    let moved = bench.grid("moved.hdf5", &["--redshift-space", "x"]);
    assert_eq!(moved.meta.provenance["redshift_space"], "x");
    // 100 km/s along x at z = 1: (1 + z) / (100 E(z)) Mpc/h per km/s, and E^2 = 0.3 8 + 0.7.
    let shift = 100.0 * 2.0 / (100.0 * 3.1f64.sqrt());
    let mut there = bench.positions.clone();
    there.iter_mut().for_each(|position| position[0] += shift as f32);
    let grid = *moved.field.grid();
    let mut expected = finescale_field::Depositor::new(grid, finescale_field::Scheme::Cic).unwrap();
    expected.add(&there, Some(&bench.masses)).unwrap();
    let expected = expected.finish_overdensity().unwrap();
    assert!(most_different(moved.field.as_slice(), expected.as_slice()) < 1e-3);
}

#[test]
fn parts_of_a_box_are_those_of_the_whole() {
    let bench = Bench::new(20_000);
    for scheme in ["ngp", "cic", "tsc", "pcs"] {
        let whole = bench.grid(&format!("whole_{scheme}.hdf5"), &["--scheme", scheme]);
        // Five voxels from number 13 on: across the face of the box.
        let region = ["--scheme", scheme, "--region", "16.25,2.5,0:6.25,5,20", "--cells", "16"];
        let part = bench.grid(&format!("part_{scheme}.hdf5"), &region);
        assert_eq!((part.field.grid().cells(), part.meta.boundary), ([5, 4, 16], Boundary::Open));
        let expected = whole.field.extract(&Region { start: [13, 2, 0], shape: [5, 4, 16] }).unwrap();
        let expected: Vec<f32> = expected.into_iter().collect();
        assert!(
            most_different(part.field.as_slice(), &expected)
                < 1e-4 * expected.iter().fold(1.0, |a, &b| f32::max(a, b))
        );
        let density = |grid: &GridFile| grid.meta.mean.unwrap();
        assert!((density(&part) / density(&whole) - 1.0).abs() < 1e-9);
    }
    fails(
        &mut bench.command("x.hdf5", &["--region", "0,0,0:30"]),
        &["--region", "has sides of [20.0, 20.0, 20.0]"],
    );
    fails(&mut bench.command("x.hdf5", &["--region", "0,0,0:19,19,19"]), &["--region", "grid the whole box"]);
}

#[test]
fn a_grid_larger_than_memory_is_made_in_passes() {
    let bench = Bench::new(20_000);
    let cells = ["--cells", "96"];
    let whole = bench.grid("whole.hdf5", &cells);
    let planned = |more: &[&str]| -> Value {
        let more = [&cells[..], &["--dry-run", "--json"], more].concat();
        serde_json::from_slice(&bench.run("none.hdf5", &more).stdout).unwrap()
    };
    assert_eq!(planned(&[])["passes"], 1);
    assert!(!bench.path("none.hdf5").exists());
    // Some hundred MB are for sorting and reading, whatever the grid.
    let all = planned(&[])["memory_bytes"].as_f64().unwrap();
    let limit = format!("{}", 0.97 * all / f64::from(1 << 30));
    let some = planned(&["--memory", &limit]);
    assert!(some["passes"].as_u64().unwrap() >= 2, "{some}");
    let output = bench.run("parts.hdf5", &[&cells[..], &["--memory", &limit]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pass 2 of"), "{said}");
    let parts = read_grid(&bench.path("parts.hdf5")).unwrap();
    assert!(most_different(whole.field.as_slice(), parts.field.as_slice()) < 1e-3);
    assert_eq!((parts.meta.mean, parts.meta.boundary), (whole.meta.mean, whole.meta.boundary));
    fails(&mut bench.command("x.npy", &[&cells[..], &["--memory", &limit]].concat()), &["--cells", "needs"]);
}

#[test]
fn standard_output_is_no_file_and_a_grid_is_no_snapshot() {
    let bench = Bench::new(1000);
    fails(&mut bench.command("-", &[]), &["--output -", "name a file"]);
    bench.run("grid.hdf5", &[]);
    let mut again = finescale();
    let arguments = ["grid", "grid.hdf5", "--particles", "dm", "--cells", "4", "-o", "x.hdf5"];
    fails(again.current_dir(bench.folder.path()).args(arguments), &["is a grid file already"]);
    for words in [
        &["mock", "-o", "-"][..],
        &["ics", "--particles", "8", "-o", "-"],
        &["train", "x.json", "--out", "-"],
    ] {
        let mut command = finescale();
        fails(command.current_dir(bench.folder.path()).args(words), &["not standard output"]);
    }
    assert!(!bench.path("-").exists());
}

#[test]
fn some_files_are_gridded_alone() {
    let bench = Bench::new(1000);
    std::fs::remove_file(bench.path("snapdir_009/snap_009.4.hdf5")).unwrap();
    let output = bench.run("some.hdf5", &["--chunks", "0-1,3"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--chunks: a part of a snapshot"));
    let some = read_grid(&bench.path("some.hdf5")).unwrap();
    let particles = some.meta.mean.unwrap() * 16f64.powi(3);
    assert!((particles - 600.0).abs() < 1e-6, "{particles}");
    fails(&mut bench.command("x.hdf5", &[]), &["snap_009.4.hdf5: missing"]);
    fails(&mut bench.command("x.hdf5", &["--chunks", "7"]), &["no file number 7", "0 to 4"]);
    // A folder of snapshots, as illustris_python takes it.
    let mut by_number = finescale();
    let arguments =
        ["grid", ".", "--number", "9", "--chunks", "0", "--particles", "dm", "--cells", "4", "-o", "y.hdf5"];
    by_number.current_dir(bench.folder.path()).args(arguments);
    assert!(by_number.output().unwrap().status.success());
    let mut none = finescale();
    let arguments = ["grid", ".", "--number", "8", "--particles", "dm", "--cells", "4", "-o", "z.hdf5"];
    fails(none.current_dir(bench.folder.path()).args(arguments), &["snapdir_008"]);
}

/// Starts a gridding, and kills it when it has kept something.
fn kill_midway(bench: &Bench, name: &str, more: &[&str]) {
    let kept = bench.path(&format!("{name}.unfinished"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_finescale"));
    command.current_dir(bench.folder.path()).args(Bench::arguments(name, more)).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while !kept.exists() && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(kept.exists() && !bench.path(name).exists(), "it was done before it was killed");
}

fn bytes(path: &Path) -> Vec<f32> {
    read_grid(path).unwrap().field.into_values().into_iter().collect()
}

#[test]
fn a_killed_gridding_goes_on_to_the_same_bits() {
    let bench = Bench::new(200_000);
    let more = ["--cells", "128", "--save-every", "0", "--field", "velocity_x"];
    bench.run("whole.hdf5", &more[..]);
    kill_midway(&bench, "killed.hdf5", &more);
    let output = bench.run("killed.hdf5", &more);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("goes on with file"), "{said}");
    assert_eq!(bytes(&bench.path("whole.hdf5")), bytes(&bench.path("killed.hdf5")));
    assert!(!bench.path("killed.hdf5.unfinished").exists());

    // What is kept of another gridding, and what is damaged, is told.
    kill_midway(&bench, "other.hdf5", &more);
    let kept = bench.path("other.hdf5.unfinished");
    let sound = std::fs::read(&kept).unwrap();
    fails(
        &mut bench.command("other.hdf5", &["--cells", "128"]),
        &["other.hdf5.unfinished: keeps what is done of another"],
    );
    let other_unit = [&more[..], &["--unit-mass", "Msun/h"]].concat();
    fails(&mut bench.command("other.hdf5", &other_unit), &["keeps what is done of another"]);
    assert_eq!(std::fs::read(&kept).unwrap(), sound, "nothing is lost");
    let mut changed = sound.clone();
    *changed.last_mut().unwrap() ^= 1;
    for damaged in [&changed[..], &sound[..sound.len() - 5], b"nonsense\n"] {
        std::fs::write(&kept, damaged).unwrap();
        fails(&mut bench.command("other.hdf5", &more), &["other.hdf5.unfinished", "remove it to begin anew"]);
    }

    // A file that was not summed yet may have been copied again; one that was is another one.
    let copy_again = |index: usize| {
        let path = bench.path(&format!("snapdir_009/snap_009.{index}.hdf5"));
        std::fs::write(&path, std::fs::read(&path).unwrap()).unwrap();
    };
    std::fs::write(&kept, &sound).unwrap();
    copy_again(4);
    bench.run("other.hdf5", &more);
    assert_eq!(bytes(&bench.path("whole.hdf5")), bytes(&bench.path("other.hdf5")));
    kill_midway(&bench, "third.hdf5", &more);
    copy_again(0);
    fails(&mut bench.command("third.hdf5", &more), &["third.hdf5.unfinished", "changed since"]);
}

#[test]
fn numpy_cubes_become_grid_files() {
    let bench = Bench::new(1000);
    let whole = bench.grid("whole.hdf5", &[]);
    let cube =
        finescale_field::Field3::new(*whole.field.grid(), whole.field.values().mapv(|value| value - 1.0))
            .unwrap();
    finescale_snapshot::write_npy(&bench.path("delta.npy"), &cube).unwrap();
    let said = [
        "--box-size",
        "20",
        "--quantity",
        "dm",
        "--assignment",
        "cic",
        "--mean-count",
        "0.24",
        "--scalar",
        "redshift=1",
    ];
    let grid = |more: &[&str]| {
        let mut command = finescale();
        command.current_dir(bench.folder.path()).args(["grid", "delta.npy", "-o", "made.hdf5"]).args(more);
        command
    };
    fails(&mut grid(&said), &["delta.npy", "--delta"]);
    assert!(grid(&[&said[..], &["--delta"]].concat()).output().unwrap().status.success());
    let made = read_grid(&bench.path("made.hdf5")).unwrap();
    assert!(most_different(made.field.as_slice(), whole.field.as_slice()) < 1e-6);
    assert_eq!((made.meta.quantity.as_str(), made.meta.mean, made.meta.redshift), ("dm", Some(0.24), 1.0));
    assert_eq!(made.meta.assignment, Some(finescale_field::Scheme::Cic));
    fails(&mut grid(&["--delta", "--overwrite"]), &["--box-size"]);
    fails(&mut grid(&["--cells", "4"]), &["--cells", "this is a numpy cube"]);
    fails(&mut bench.command("x.hdf5", &["--quantity", "gas"]), &["--quantity", "for .npy cubes only"]);
}

#[test]
fn a_file_that_was_copied_over_another_is_told() {
    let bench = Bench::new(1000);
    let file = |index: usize| bench.path(&format!("snapdir_009/snap_009.{index}.hdf5"));
    std::fs::copy(file(1), file(3)).unwrap();
    fails(&mut bench.command("x.hdf5", &[]), &["snap_009.3.hdf5: holds the particles of file 1 again"]);
    assert!(!bench.path("x.hdf5").exists());
}

#[test]
fn options_and_boxes_that_make_no_sense_are_told() {
    let bench = Bench::new(1000);
    fails(&mut bench.command("x.hdf5", &["--spread"]), &["--spread: dm are no cells of gas"]);
    fails(&mut bench.command("x.hdf5", &["--region", "20000,0,0:10"]), &["--region: begins at", "kpc/h?"]);
    fails(&mut bench.command("x.hdf5", &["--weight", "Nope", "--dry-run"]), &["no dataset PartType1/Nope"]);
    // Positions in Mpc in a box in kpc lie in one corner.
    let squeezed = bench.folder.path().join("squeezed");
    let positions: Vec<[f32; 3]> =
        bench.positions.iter().map(|position| position.map(|x| 1e-3 * x)).collect();
    let writer = SnapshotWriter {
        box_size_mpc_h: BOX_MPC_H,
        redshift: 0.0,
        cosmology: Cosmology::UNKNOWN,
        origin: None,
        files: 1,
    };
    let data = SpeciesData {
        species: Species::DarkMatter,
        positions_mpc_h: &positions,
        velocities_km_s: None,
        mass: Mass::Table(1.0),
    };
    writer.write(&squeezed, 9, &[data]).unwrap();
    let mut command = finescale();
    command.current_dir(&squeezed).args(Bench::arguments("x.hdf5", &[]));
    let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(said.contains("are Coordinates and BoxSize in one unit?"), "{said}");
}

#[test]
fn what_is_spread_by_its_density_goes_on_only_from_the_same_files() {
    let bench = Bench::new(100_000);
    let more = ["--cells", "64", "--save-every", "0", "--spread=density"];
    kill_midway(&bench, "killed.hdf5", &more);
    // The last file was not summed yet, but counted.
    let last = bench.path(&format!("snapdir_009/snap_009.{}.hdf5", FILES - 1));
    std::fs::write(&last, std::fs::read(&last).unwrap()).unwrap();
    fails(
        &mut bench.command("killed.hdf5", &more),
        &["killed.hdf5.unfinished: keeps what is done of another"],
    );
    std::fs::remove_file(bench.path("killed.hdf5.unfinished")).unwrap();
    let field = bench.grid("killed.hdf5", &more).field;
    assert!((field.mean() - 1.0).abs() < 1e-6);
    // A part of it is what it is of the whole, and so are slabs.
    bench.run("part.hdf5", &["--cells", "32", "--region", "5,5,5:10", "--spread=density"]);
    let part = read_grid(&bench.path("part.hdf5")).unwrap().field;
    let cut = field.extract(&Region { start: [16; 3], shape: [32; 3] }).unwrap();
    let worst = part.values().iter().zip(&cut).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn a_type_that_is_not_there_is_told() {
    let bench = Bench::new(1000);
    let mut both = finescale();
    let arguments = ["grid", "snapdir_009", "--particles", "gas,dm", "--cells", "8", "-o", "both.hdf5"];
    let output = both.current_dir(bench.folder.path()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("snapdir_009: holds no PartType0; only the others"),
        "{said}"
    );
}
