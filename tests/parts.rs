//! One volume made in parts by commands that know nothing of each other.

use crate::binary::{fails, finescale, project};
use crate::pipeline::{CONDITION, Story};
use serde_json::json;

/// The half, without the halo, of a sample of 16 cells.
fn draw(story: &Story, part: &str, output: &str, more: &[&str]) {
    story.run("upscale", &[&CONDITION[..], &["--part", part, "--halo", "2", "-o", output], more].concat());
}

#[test]
fn parts_are_joined_to_the_sample_of_one_command() {
    let story = Story::begun();
    story.run("upscale", &[&CONDITION[..], &["-o", "whole.hdf5"]].concat());
    draw(&story, "1/2", "first.hdf5", &[]);
    draw(&story, "2/2", "second.hdf5", &["--resume"]);
    story.run("join", &["second.hdf5", "first.hdf5", "-o", "joined.hdf5"]);
    let [whole, joined, first] = ["whole", "joined", "first"]
        .map(|name| finescale_snapshot::read_grid(&story.path(&format!("{name}.hdf5"))).unwrap());
    assert_eq!(first.field.grid().cells(), [12, 16, 16]);
    assert_eq!(joined.field.grid(), whole.field.grid());
    assert!(joined.meta.boundary.is_periodic() && !first.meta.boundary.is_periodic());
    assert_eq!(joined.meta.tile_faces.as_ref().unwrap().along(0), [0, 8]);
    assert_eq!(joined.meta.provenance["identity"]["parts"], json!({"of": [2, 1, 1], "halo_cells": 2}));

    // The network knows next to nothing, but the windows are those of the whole.
    let log = |field: &finescale_field::Field3| -> Vec<f64> {
        field.as_slice().iter().map(|&value| f64::from(value.max(1e-3)).ln()).collect()
    };
    let (a, b) = (log(&whole.field), log(&joined.field));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let product = |a: &[f64], of_a: f64, b: &[f64], of_b: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - of_a) * (b - of_b)).sum()
    };
    let norm = (product(&a, mean_a, &a, mean_a) * product(&b, mean_b, &b, mean_b)).sqrt();
    let correlation = product(&a, mean_a, &b, mean_b) / norm;
    assert!(correlation > 0.95, "{correlation}");

    // Parts that reach around the box have all of its windows, wherever they begin.
    for (part, name) in [("1/2", "around_1.hdf5"), ("2/2", "around_2.hdf5")] {
        story.run("upscale", &[&CONDITION[..], &["--part", part, "--halo", "4", "-o", name]].concat());
    }
    story.run("join", &["around_1.hdf5", "around_2.hdf5", "-o", "around.hdf5"]);
    let around = finescale_snapshot::read_grid(&story.path("around.hdf5")).unwrap();
    let difference = |(a, b): (&f32, &f32)| (a - b).abs() / (1.0 + a.abs());
    let largest =
        whole.field.as_slice().iter().zip(around.field.as_slice()).map(difference).fold(0f32, f32::max);
    assert!(largest < 1e-4, "{largest}");

    // Boxes along two axes, all of the volume; it is a sample like others.
    for part in 1..=4 {
        draw(&story, &format!("{part}/2x1x2"), &format!("quarter_{part}.hdf5"), &[]);
    }
    let quarters = [1, 2, 3, 4].map(|part| format!("quarter_{part}.hdf5"));
    let quarters: Vec<&str> = quarters.iter().map(String::as_str).collect();
    story.run("join", &[&quarters[..], &["-o", "quarters.hdf5"]].concat());
    let truth = ["--truth", "boxes/box_0002/truth.hdf5", "-o", "report"];
    story.run("compare", &[&["--sample", "quarters.hdf5"], &truth[..]].concat());
}

#[test]
fn what_is_no_part_of_one_sample_is_told() {
    let story = Story::begun();
    draw(&story, "1/2", "first.hdf5", &[]);
    draw(&story, "2/2", "second.hdf5", &["--seed", "7"]);
    story.run("upscale", &[&CONDITION[..], &["-o", "whole.hdf5"]].concat());
    let join = |parts: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.path(".")).arg("join").args(parts).args(["-o", "joined.hdf5"]);
        command
    };
    fails(&mut join(&["first.hdf5"]), &["part 2/2 is missing", "--part 2/2"]);
    fails(&mut join(&["first.hdf5", "second.hdf5"]), &["second.hdf5", "same volume", "seed", "7"]);
    fails(&mut join(&["first.hdf5", "first.hdf5"]), &["first.hdf5 and first.hdf5", "the same part, 1"]);
    fails(&mut join(&["whole.hdf5"]), &["whole.hdf5", "--part I/N"]);
    assert!(!story.path("joined.hdf5").exists());
    let to = |output: &str, more: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.path(".")).arg("upscale").args(CONDITION).args(["-o", output]).args(more);
        command
    };
    let upscale = |more: &[&str]| to("out.hdf5", more);
    fails(&mut upscale(&["--part", "1/8", "--halo", "2"]), &["--part", "2 cells each", "fewer"]);
    fails(&mut upscale(&["--part", "3/2"]), &["there is no part 3"]);
    fails(&mut upscale(&["--part", "1/2", "--region", "0:8"]), &["--part", "--region"]);
    fails(&mut upscale(&["--halo", "2"]), &["--part"]);
    fails(&mut to("part.npy", &["--part", "1/2", "--halo", "2"]), &["part.npy", "--part", ".hdf5"]);
    fails(&mut to("whole.hdf5", &["--part", "1/1", "--resume"]), &["whole.hdf5", "another sample", "part"]);

    // A voxel that is not what was written.
    draw(&story, "2/2", "damaged.hdf5", &[]);
    let path = story.path("damaged.hdf5");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    fails(&mut join(&["first.hdf5", "damaged.hdf5"]), &["damaged.hdf5"]);
}

#[test]
fn gridded_slabs_are_joined_to_the_grid_of_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = project("data/demo/gadget4_dm_64/snapdir_003");
    let grid = |more: &[&str]| {
        let mut command = finescale();
        command.current_dir(folder.path()).arg("grid").arg(&snapshot);
        command.args(["--particles", "dm", "--scheme", "tsc", "--cells", "48"]).args(more);
        command
    };
    grid(&["-o", "whole.hdf5"]).assert().success();
    for part in ["1", "2", "3"] {
        let (number, output) = (format!("{part}/3"), format!("slab_{part}.hdf5"));
        grid(&["--part", &number, "-o", &output]).assert().success();
    }
    let join = |slabs: &[&str], output: &str| {
        let mut command = finescale();
        command.current_dir(folder.path()).arg("join").args(slabs).args(["-o", output]);
        command
    };
    join(&["slab_1.hdf5", "slab_2.hdf5", "slab_3.hdf5"], "joined.hdf5").assert().success();
    let read = |name: &str| finescale_snapshot::read_grid(&folder.path().join(name)).unwrap();
    let [whole, joined, slab] = ["whole.hdf5", "joined.hdf5", "slab_2.hdf5"].map(read);
    assert_eq!((slab.field.grid().cells(), slab.meta.start_mpc_h.unwrap()[0]), ([16, 48, 48], 100.0 / 3.0));
    assert_eq!(joined.field.grid(), whole.field.grid());
    assert_eq!(
        (joined.meta.boundary, joined.meta.start_mpc_h),
        (whole.meta.boundary, whole.meta.start_mpc_h)
    );
    // Places are rounded otherwise in a slab, in f32.
    let difference = |(a, b): (&f32, &f32)| (a - b).abs() / (1.0 + a.abs());
    let values = whole.field.as_slice().iter().zip(joined.field.as_slice());
    let largest = values.map(difference).fold(0f32, f32::max);
    assert!(largest < 1e-4, "{largest}");

    // Slabs that are not alike.
    let five = [1, 2, 3, 4, 5].map(|part| format!("fifth_{part}.hdf5"));
    for (number, output) in (1..).zip(&five) {
        grid(&["--part", &format!("{number}/5"), "-o", output]).assert().success();
    }
    let five: Vec<&str> = five.iter().map(String::as_str).collect();
    join(&five, "of_five.hdf5").assert().success();
    let of_five = read("of_five.hdf5");
    let largest =
        whole.field.as_slice().iter().zip(of_five.field.as_slice()).map(difference).fold(0f32, f32::max);
    assert!(largest < 1e-4, "{largest}");

    grid(&["--part", "3/3", "--weight", "count", "-o", "other.hdf5"]).assert().success();
    let mixed = ["slab_1.hdf5", "slab_2.hdf5", "other.hdf5"];
    fails(&mut join(&mixed, "wrong.hdf5"), &["other.hdf5", "same volume"]);
    fails(&mut grid(&["--part", "1/2x2x1", "-o", "wrong.hdf5"]), &["--part", "slabs along x"]);
    fails(&mut grid(&["--part", "1/2", "-o", "wrong.npy"]), &["--part", "wrong.npy"]);
    grid(&["--part", "3/3", "--scalar", "redshift=2", "-o", "later.hdf5"]).assert().success();
    fails(
        &mut join(&["slab_1.hdf5", "slab_2.hdf5", "later.hdf5"], "wrong.hdf5"),
        &["later.hdf5", "redshift"],
    );
}
