//! The whole story on a universe of 16³ cells: mock, train, upscale, compare, each by the binary.

use crate::binary::{fails, finescale, names, project};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with two universes, a configuration and a model of a few updates.
pub(crate) struct Story {
    folder: TempDir,
}

impl Story {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Value {
        let output = finescale()
            .current_dir(self.folder.path())
            .arg(command)
            .args(arguments)
            .args(["--json", "--threads", "2"])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {arguments:?}\n{stderr}");
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    pub(crate) fn begun() -> Self {
        let story = Self { folder: tempfile::tempdir().unwrap() };
        let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
        let more = ["--steps", "4", "--boxes", "2", "--seed", "1", "-o", "boxes"];
        story.run("mock", &[&size[..], &more].concat());
        std::fs::write(story.path("config.json"), config().to_string()).unwrap();
        story.run("train", &["config.json", "--out", "run"]);
        story
    }
}

fn config() -> Value {
    json!({
        "data": { "training": ["boxes/box_0001"], "validation": ["boxes/box_0002"] },
        "network": {
            "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8,
            "norm_groups": 4, "known_channels": true, "prediction": { "edm": { "sigma_data": 0.5 } },
        },
        "diffusion": { "training_levels": { "log_normal": { "mean": -1.2, "deviation": 1.2 } } },
        "training": {
            "seed": 1, "steps": 4, "batch_size": 2, "patch_cells": 8, "unknown_share": 0.1,
            "learning_rate": 1e-3, "warm_up_steps": 2, "decay": "constant", "weight_decay": 0.0,
            "gradient_clip_norm": 1.0, "ema_decay": 0.9, "validate_every_steps": 2, "validation_patches": 2,
            "save_every_minutes": 5.0,
        },
        "generation": {
            "overlap_cells": 4,
            "sampling": { "levels": { "log_uniform": { "steps": 3, "sigma_min": 0.1, "sigma_max": 40.0 } } },
        },
    })
}

pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

pub(crate) const CONDITION: [&str; 4] =
    ["--model", "run/model.safetensors", "--condition", "boxes/box_0002/condition.hdf5"];

#[test]
fn from_nothing_to_a_report() {
    let story = Story::begun();
    let info = story.run("info", &["run/model.safetensors"]);
    assert_eq!(info["description"]["step"], 4);
    assert_eq!(info["description"]["lineage"]["devices"], json!(["cpu"]));
    assert_eq!(info["description"]["voxel_mpc_h"][0], 12.5 / 16.0);

    // The plan is what is then done.
    let upscale = [&CONDITION[..], &["--samples", "2", "-o", "out/sample.hdf5"]].concat();
    let plan = story.run("upscale", &[&upscale[..], &["--dry-run"]].concat());
    // Joint sampling: windows of 8 side by side in 16 cells at noise 40 and 2, and overlapping by 4 at the end.
    assert_eq!(plan["plan"]["windows"], 64);
    assert_eq!(plan["plan"]["evaluations"], 8 + 8 + 64);
    assert!(!story.path("out").exists(), "a plan writes nothing");
    story.run("upscale", &upscale);
    assert_eq!(names(&story.path("out")), ["sample_0.hdf5", "sample_1.hdf5"]);
    let info = story.run("info", &["out/sample_1.hdf5"]);
    assert_eq!((&info["meta"]["quantity"], &info["meta"]["periodic"]), (&json!("gas"), &json!(true)));
    assert_eq!(info["meta"]["provenance"]["generation"]["seed"], 1);

    // The training box is like the training, and one without structure is not.
    let said = |condition: &str| {
        let arguments = [
            "--model",
            "run/model.safetensors",
            "--condition",
            condition,
            "-o",
            "out/like.hdf5",
            "--overwrite",
        ];
        let output =
            finescale().current_dir(story.folder.path()).arg("upscale").args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains("it is not like the conditions of the training")
    };
    let mut plain = finescale_snapshot::read_grid(&story.path("boxes/box_0001/condition.hdf5")).unwrap();
    plain.field = plain.field.map(|v| (1.0 + 0.1 * (f64::from(v) - 1.0)) as f32);
    finescale_snapshot::write_grid(&story.path("plain.hdf5"), &plain).unwrap();
    assert!(!said("boxes/box_0001/condition.hdf5") && said("plain.hdf5"));
    std::fs::remove_file(story.path("out/like.hdf5")).unwrap();

    // The same seed, other threads and batches: the same field; a wavefront is a raster.
    let values = |more: &[&str]| {
        let arguments =
            [&CONDITION[..], &["--seed", "1", "--overwrite", "-o", "out/values.npy"], more].concat();
        finescale().current_dir(story.folder.path()).arg("upscale").args(arguments).assert().success();
        let values = bytes(&story.path("out/values.npy"));
        std::fs::remove_file(story.path("out/values.npy")).unwrap();
        values
    };
    for strategy in ["joint", "raster", "colour"] {
        let plain = values(&["--strategy", strategy, "--threads", "1", "--batch", "1"]);
        assert!(plain == values(&["--strategy", strategy, "--threads", "2"]), "{strategy}");
        assert!(plain == values(&["--strategy", strategy, "--threads", "4", "--batch", "3"]), "{strategy}");
    }
    // In a part of the box, which is open, windows of a wavefront do not wait for each other.
    let part = |strategy| values(&["--strategy", strategy, "--region", "1,2,3:16,14,15", "--batch", "3"]);
    assert!(part("raster") == part("wavefront"));

    let samples = ["--sample", "out/sample_0.hdf5", "--sample", "out/sample_1.hdf5"];
    let fields = ["--truth", "boxes/box_0002/truth.hdf5", "--condition", "boxes/box_0002/condition.hdf5"];
    story.run("compare", &[&samples[..], &fields, &["-o", "report"]].concat());
    let report: Value = serde_json::from_slice(&bytes(&story.path("report/report.json"))).unwrap();
    assert_eq!(report["samples"].as_array().unwrap().len(), 2);
    let bins = report["k_h_mpc"].as_array().unwrap().len();
    for key in ["power", "ratio", "transfer", "cross_correlation"] {
        assert_eq!(report["samples"][1][key].as_array().unwrap().len(), bins, "{key}");
    }
    assert!(bytes(&story.path("report/report.html")).starts_with(b"<!"));
    // The last windows of 8 began every 4 cells, as the sample's file says.
    let seams = &report["samples"][0]["seams"];
    for axis in seams["faces"].as_array().unwrap() {
        let faces: Vec<u64> = axis.as_array().unwrap().iter().map(|face| face.as_u64().unwrap()).collect();
        assert!(faces.len() == 4 && faces.windows(2).all(|pair| pair[1] - pair[0] == 4), "{faces:?}");
    }
    for field in ["field", "truth"] {
        assert!(seams[field]["gradient"]["at_faces"].as_f64().unwrap() > 0.0, "{field}");
    }
    let inputs = report["provenance"]["inputs"].as_array().unwrap();
    assert!(inputs.len() == 4 && inputs.iter().all(|input| input["sha256"].as_str().unwrap().len() == 64));
    for file in ["figures/power.svg", "figures/slices.png", "tables/goals.csv", "tables/power.csv"] {
        assert!(story.path("report").join(file).is_file(), "{file}");
    }
    many_boxes_and_a_published_spectrum(&story);
}

/// Boxes in folders, and a table of someone else's power.
fn many_boxes_and_a_published_spectrum(story: &Story) {
    std::fs::copy(story.path("out/sample_0.hdf5"), story.path("boxes/box_0002/sample_0.hdf5")).unwrap();
    let other = ["--condition", "boxes/box_0001/condition.hdf5", "-o", "boxes/box_0001/sample_0.hdf5"];
    story.run("upscale", &[&["--model", "run/model.safetensors"], &other[..]].concat());
    std::fs::write(story.path("theory.txt"), "# k P\n0.1 1e4\n100 1e-2\n").unwrap();
    let boxes = ["--box", "boxes/box_0001", "boxes/box_0002", "--truth-spectrum", "theory.txt"];
    let told = story.run("compare", &[&boxes[..], &["-o", "all"]].concat());
    assert_eq!(told["goals"].as_array().unwrap().len(), 19);
    let report: Value = serde_json::from_slice(&bytes(&story.path("all/report.json"))).unwrap();
    assert_eq!(
        (&report["pooled"]["boxes"], &report["pooled"]["errors_from"]),
        (&json!(2), &json!("nothing"))
    );
    assert_eq!(report["boxes"][1]["label"], "box_0002");
    assert_eq!(report["published"][0]["label"], "theory");
    // The first box is the one that the model was trained on, as its sample says.
    let overlap = report["training_overlap"].as_array().unwrap();
    assert_eq!((overlap.len(), &overlap[0]["label"]), (1, &json!("box_0001")));
    assert_eq!(
        (overlap[0]["files"].as_array().unwrap().len(), &overlap[0]["trained_share"]),
        (2, &json!(1.0))
    );

    let compare = |arguments: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.folder.path()).arg("compare").args(arguments).args(["-o", "none"]);
        command
    };
    fails(&mut compare(&["--box", "run"]), &["run", "truth.hdf5", "sample*.hdf5"]);
    fails(&mut compare(&["--box", "nowhere"]), &["nowhere", "folder"]);
    std::fs::write(story.path("theory.txt"), "0.1 1e4\n0.1 1e3\n").unwrap();
    fails(&mut compare(&boxes), &["theory.txt, line 2", "does not rise", "k in h/Mpc"]);
    assert!(!story.path("none").exists(), "a comparison that fails writes nothing");
}

#[test]
fn the_smaller_commands() {
    let story = Story::begun();
    // A second run begins with the weights of the first.
    story.run("train", &["config.json", "--out", "more", "--from", "run/model.safetensors"]);
    let plan = story.run("train", &["config.json", "--out", "never", "--dry-run"]);
    assert!(plan["expected_seconds"].as_f64().unwrap() > 0.0 && !story.path("never").exists());

    for mode in ["forward", "train"] {
        let bench = story.run("bench", &["--config", "config.json", "--repeat", "1", "--mode", mode]);
        for key in ["seconds_per_evaluation", "gflop_per_evaluation", "effective_gflops", "peak_memory_bytes"]
        {
            assert!(bench[key].as_f64().unwrap() > 0.0, "{key}");
        }
        assert_eq!((&bench["threads"], &bench["mode"]), (&json!(2), &json!(mode)));
    }

    let pair = ["boxes/box_0001/truth.hdf5", "--cross", "boxes/box_0001/condition.hdf5"];
    let spectrum = story.run("spectrum", &[&pair[..], &["-o", "spectrum.csv"]].concat());
    let correlation = spectrum["cross_correlation"][0].as_f64().unwrap();
    assert!(correlation > 0.9 && correlation <= 1.0, "{correlation}");
    let table = String::from_utf8(bytes(&story.path("spectrum.csv"))).unwrap();
    assert!(table.starts_with("k_h_mpc,modes,power_mpc_h3,other_power_mpc_h3,"), "{table}");
    assert_eq!(table.lines().count(), 1 + spectrum["power_mpc_h3"].as_array().unwrap().len());

    // Particles written by `mock` give the grid that `mock` wrote.
    let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    let more = ["--steps", "4", "--seed", "1", "--snapshots", "-o", "particles"];
    story.run("mock", &[&size[..], &more].concat());
    let snapshot = ["particles/low_res/snapdir_000", "--particles", "dm", "--cells", "16", "-o", "grid.hdf5"];
    story.run("grid", &snapshot);
    let pair = ["grid.hdf5", "--cross", "boxes/box_0001/condition.hdf5"];
    let correlation = story.run("spectrum", &pair)["cross_correlation"].clone();
    assert!(correlation.as_array().unwrap().iter().all(|r| r.as_f64().unwrap() > 0.9999), "{correlation}");
}

#[test]
fn a_student_samples_in_the_steps_that_it_learned() {
    let story = Story::begun();
    let mut config = config();
    config["training"]["teacher"] = json!("run/model.safetensors");
    config["generation"]["sampling"] = json!({
        "sampler": "ddim", "levels": { "log_uniform": { "steps": 2, "sigma_min": 0.1, "sigma_max": 40.0 } },
    });
    let write = |config: &Value| std::fs::write(story.path("student.json"), config.to_string()).unwrap();
    let train = |more: &[&str]| {
        let mut command = finescale();
        command
            .current_dir(story.folder.path())
            .args(["train", "student.json", "--out", "student"])
            .args(more);
        command
    };
    write(&config);
    train(&["--dry-run"]).assert().success();
    train(&[]).assert().success();

    let student = ["--model", "student/model.safetensors", "--condition", "boxes/box_0002/condition.hdf5"];
    let plan = story.run("upscale", &[&student[..], &["-o", "x.hdf5", "--dry-run"]].concat());
    assert_eq!(plan["plan"]["evaluations"], 8 + 64);
    for other in [["--steps", "3"], ["--sampler", "ddpm"], ["--sigma-max", "9"]] {
        let mut command = finescale();
        command
            .current_dir(story.folder.path())
            .arg("upscale")
            .args(student)
            .args(["-o", "x.hdf5"])
            .args(other);
        fails(&mut command, &["has learned the steps of its own sampler", "run/model.safetensors"]);
    }
    story.run("upscale", &[&student[..], &["-o", "x.hdf5"]].concat());

    config["training"]["teacher"] = json!("nobody.safetensors");
    write(&config);
    fails(&mut train(&["--resume"]), &["training.teacher", "nobody.safetensors"]);
    config["generation"]["sampling"]["sampler"] = json!("ddpm");
    write(&config);
    fails(&mut train(&["--resume"]), &["generation.sampling.sampler", "ddim"]);
}

#[test]
fn work_that_was_killed_goes_on_with_the_same_bits() {
    let story = Story::begun();
    story.run("upscale", &[&CONDITION[..], &["-o", "whole.npy"]].concat());

    // Killed somewhere: the work folder stays, the result does not appear.
    let cut = [&CONDITION[..], &["-o", "cut.npy"]].concat();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_finescale"))
        .current_dir(story.folder.path())
        .args(["upscale", "--quiet", "--threads", "1"])
        .args(&cut)
        .spawn()
        .unwrap();
    let journal = story.path("cut.npy.work/journal");
    while std::fs::metadata(&journal).map_or(0, |file| file.len()) < 1000
        && child.try_wait().unwrap().is_none()
    {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!story.path("cut.npy").exists() || !journal.exists());

    if journal.exists() {
        let mut again = finescale();
        again.current_dir(story.folder.path()).arg("upscale").args(&cut);
        fails(&mut again, &["cut.npy.work", "resume"]);
    }
    story.run("upscale", &[&cut[..], &["--resume"]].concat());
    assert_eq!(bytes(&story.path("cut.npy")), bytes(&story.path("whole.npy")));
    assert!(!story.path("cut.npy.work").exists());

    // Training: half of the updates, then the rest, end in the same model.
    let mut half = config();
    half["training"]["steps"] = json!(2);
    std::fs::write(story.path("half.json"), half.to_string()).unwrap();
    story.run("train", &["half.json", "--out", "halves"]);
    let mut again = finescale();
    again.current_dir(story.folder.path()).args(["train", "config.json", "--out", "halves"]);
    fails(&mut again, &["halves", "--resume"]);
    story.run("train", &["config.json", "--out", "halves", "--resume"]);
    assert_eq!(bytes(&story.path("halves/model.safetensors")), bytes(&story.path("run/model.safetensors")));
}

#[test]
fn conditions_that_do_not_fit_the_model() {
    let story = Story::begun();
    let size = ["--box-size", "25", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    story.run("mock", &[&size[..], &["--steps", "2", "-o", "coarse"]].concat());
    let upscale = |condition: &str, more: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.folder.path()).args(["upscale", "--model", "run/model.safetensors"]);
        command.args(["--condition", condition, "-o", "out.hdf5"]).args(more);
        command
    };
    let voxels = ["coarse/condition.hdf5", "0.78125", "1.5625", "grid the snapshot"];
    fails(&mut upscale("coarse/condition.hdf5", &[]), &voxels);
    fails(&mut upscale("boxes/box_0002/condition.hdf5", &["--region", "0,0,0:64"]), &["region", "64"]);
    fails(&mut upscale("boxes/box_0002/condition.hdf5", &["--region", "0,0,0:4"]), &["window"]);
    fails(&mut upscale("boxes/box_0002/condition.hdf5", &["--margin", "1"]), &["--margin", "joint"]);
    let raster = ["--strategy", "raster", "--margin", "3"];
    fails(
        &mut upscale("boxes/box_0002/condition.hdf5", &raster),
        &["--margin", "margin_cells: found 3", "4 cells", "--overlap"],
    );
    assert!(!story.path("out.hdf5").exists() && !story.path("out.hdf5.work").exists());

    // Another redshift is a warning that says what it means.
    let other = ["--redshift", "1", "--steps", "2", "-o", "early"];
    let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    story.run("mock", &[&size[..], &other].concat());
    let output = upscale("early/condition.hdf5", &["--dry-run"]).output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("warning: early/condition.hdf5: the model was trained at redshift 0")
    );
}

#[test]
fn surroundings_and_numbers_of_a_universe_as_channels() {
    let story = Story::begun();
    let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    let other = ["--sigma-8", "0.7", "--redshift", "0.5", "--steps", "4", "--snapshots", "-o", "other"];
    story.run("mock", &[&size[..], &other].concat());
    let mut config = config();
    config["data"]["training"] = json!(["boxes/box_0001", "other"]);
    config["data"]["surroundings_smoothing_cells"] = json!(3);
    config["data"]["scalars"] = json!([
        { "name": "redshift", "centre": 0.25, "width": 0.25 }, { "name": "sigma_8", "centre": 0.75, "width": 0.05 },
    ]);
    config["data"]["baseline_smoothing_cells"] = json!(0.8);
    config["network"]["baseline"] = json!(true);
    let write = |name: &str, config: &Value| std::fs::write(story.path(name), config.to_string()).unwrap();
    write("channels.json", &config);
    let command = |arguments: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.folder.path()).args(arguments);
        command
    };
    fails(
        &mut command(&["train", "channels.json", "--out", "x"]),
        &["condition_channels", "write 5", "surroundings"],
    );
    config["network"]["condition_channels"] = json!(5);
    write("channels.json", &config);
    story.run("train", &["channels.json", "--out", "told"]);

    // Numbers of the file, others, and some that no training pair had.
    let upscale = |condition: &str, more: &[&str]| {
        let upscale = ["upscale", "--model", "told/model.safetensors", "--condition", condition];
        command(&[&upscale[..], &["--steps", "2"], more].concat())
    };
    let warnings = |more: &[&str]| {
        let output = upscale("boxes/box_0002/condition.hdf5", more).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        stderr.lines().filter(|line| line.starts_with("warning")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&["-o", "own.npy"]), [""; 0]);
    assert_eq!(warnings(&["-o", "low.npy", "--scalar", "sigma_8=0.7"]), [""; 0]);
    assert_ne!(bytes(&story.path("own.npy")), bytes(&story.path("low.npy")));
    let beyond = warnings(&["-o", "early.hdf5", "--scalar", "sigma_8=0.7", "--scalar", "redshift=2"]);
    assert!(beyond.len() == 1 && beyond[0].contains("redshift from 0 to 0.5"), "{beyond:?}");
    let meta = &story.run("info", &["early.hdf5"])["meta"];
    assert_eq!((&meta["redshift"], &meta["cosmology"]["sigma_8"]), (&json!(2.0), &json!(0.7)));

    // What a file does not say.
    let grid = ["grid", "other/low_res/snapdir_000", "--particles", "dm", "--cells", "16", "-o", "grid.hdf5"];
    command(&grid).assert().success();
    let remedy = ["grid.hdf5: does not say its sigma_8", "--scalar sigma_8=VALUE"];
    fails(&mut upscale("grid.hdf5", &["-o", "x"]), &remedy);
    config["data"]["training"] = json!([{ "condition": "grid.hdf5", "truth": "other/truth.hdf5" }]);
    write("grid.json", &config);
    fails(&mut command(&["train", "grid.json", "--out", "x"]), &remedy);
    command(&[&grid[..], &["--scalar", "sigma_8=0.7", "--overwrite"]].concat()).assert().success();
    upscale("grid.hdf5", &["-o", "y.npy"]).assert().success();
    let cube = ["-o", "x", "--box-size", "12.5", "--scalar", "sigma_8=0.7"];
    fails(&mut upscale("own.npy", &cube), &["own.npy", "redshift=VALUE"]);
    fails(&mut upscale("grid.hdf5", &["-o", "x", "--scalar", "omega_m=0.3"]), &["takes no omega_m"]);
    assert!(!story.path("x").exists());
}

#[test]
fn gas_and_dark_matter_at_once() {
    let story = Story { folder: tempfile::tempdir().unwrap() };
    let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    story.run("mock", &[&size[..], &["--steps", "4", "--snapshots", "-o", "box"]].concat());
    let high = ["box/high_res/snapdir_000", "--particles", "dm", "--cells", "16", "-o", "box/dm.hdf5"];
    story.run("grid", &high);

    let mut config = config();
    let both = json!(["box/truth.hdf5", "box/dm.hdf5"]);
    config["data"] = json!({ "training": [{ "condition": "box/condition.hdf5", "truth": both }], "baseline_smoothing_cells": 0.8 });
    (config["network"]["baseline"], config["network"]["condition_channels"]) = (json!(true), json!(3));
    config["training"]["spectrum"] = Value::Null;
    let write = |config: &Value| std::fs::write(story.path("config.json"), config.to_string()).unwrap();
    write(&config);
    let command = |arguments: &[&str]| {
        let mut command = finescale();
        command.current_dir(story.folder.path()).args(arguments);
        command
    };
    fails(&mut command(&["train", "config.json", "--out", "run"]), &["network.fields", "write 2"]);
    config["network"]["fields"] = json!(2);
    write(&config);
    story.run("train", &["config.json", "--out", "run", "--dry-run"]);
    story.run("train", &["config.json", "--out", "run"]);
    let truth = story.run("info", &["run/model.safetensors"])["description"]["truth"].clone();
    assert_eq!((&truth[0]["quantity"], &truth[1]["quantity"]), (&json!("gas"), &json!("dm")));

    let upscale = ["upscale", "--model", "run/model.safetensors", "--condition", "box/condition.hdf5"];
    let upscale = |more: &[&str]| command(&[&upscale[..], more].concat());
    for strategy in ["joint", "raster", "colour"] {
        let files =
            |name: &str| ["gas", "dm"].map(|field| bytes(&story.path(&format!("{name}_1_{field}.npy"))));
        let two = ["--strategy", strategy, "--samples", "2", "--seed", "1", "--overwrite"];
        upscale(&[&two[..], &["--threads", "1", "-o", "a.npy"]].concat()).assert().success();
        upscale(&[&two[..], &["--batch", "1", "-o", "b.npy"]].concat()).assert().success();
        assert!(files("a") == files("b") && files("a")[0] != files("a")[1], "{strategy}");
    }
    upscale(&["-o", "out.hdf5"]).assert().success();
    for field in ["gas", "dm"] {
        assert_eq!(story.run("info", &[&format!("out_{field}.hdf5")])["meta"]["quantity"], field);
    }
    assert!(!story.path("out.hdf5").exists() && !story.path("out.hdf5.work").exists());

    // What is given is given of each field, in any order.
    let both = ["--extend", "box/dm.hdf5", "--extend", "box/truth.hdf5"];
    let done = upscale(&[&both[..], &["-o", "given.hdf5"]].concat()).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && said.contains("nothing is left to draw"), "{said}");
    let given = story.run("spectrum", &["given_gas.hdf5", "--cross", "box/truth.hdf5"]);
    assert!(given["cross_correlation"].as_array().unwrap().iter().all(|r| r.as_f64().unwrap() > 0.999_999));
    fails(&mut upscale(&["--extend", "box/dm.hdf5", "-o", "x"]), &["--extend", "gas and dm", "one of each"]);
    let twice = ["--extend", "box/dm.hdf5", "--extend", "box/dm.hdf5", "-o", "x"];
    fails(&mut upscale(&twice), &["hold the same field"]);
}

#[test]
fn a_checkpoint_of_the_reference_becomes_a_model() {
    let story = Story::begun();
    let mut config: Value = serde_json::from_slice(&bytes(&project("configs/tng300.json"))).unwrap();
    config["network"]["base_channels"] = json!(32);
    config["network"]["channel_multipliers"] = json!([1, 2]);
    config["training"]["patch_cells"] = json!(8);
    config["generation"]["overlap_cells"] = json!(3);
    std::fs::write(story.path("reference.json"), config.to_string()).unwrap();
    let checkpoint = project("tests/golden/palette_small.pth");
    let import = [checkpoint.to_str().unwrap(), "--config", "reference.json", "-o", "imported.safetensors"];
    let imported = story.run("import", &[&import[..], &["--box-size", "12.5", "--cells", "16"]].concat());
    assert!(imported["parameters"].as_u64().unwrap() > 1_000_000);
    let upscale = ["--model", "imported.safetensors", "--condition", "boxes/box_0001/condition.hdf5"];
    story.run("upscale", &[&upscale[..], &["--steps", "2", "-o", "imported.hdf5"]].concat());

    let mut other = finescale();
    let own = "config.json";
    other.current_dir(story.folder.path()).arg("import").arg(&checkpoint).args(["--config", own, "-o", "x"]);
    fails(&mut other, &["config.json", "normalization"]);
    let mut wrong = finescale();
    let import = ["import", "config.json", "--config", "reference.json", "-o", "x"];
    fails(wrong.current_dir(story.folder.path()).args(import), &["config.json"]);
    assert!(!story.path("x").exists());
}

#[test]
fn a_box_under_another_name_validates_nothing() {
    let story = Story::begun();
    std::fs::copy(story.path("boxes/box_0001/truth.hdf5"), story.path("copy.hdf5")).unwrap();
    let mut config = config();
    config["data"]["validation"] =
        json!([{ "condition": "boxes/box_0002/condition.hdf5", "truth": "copy.hdf5" }]);
    std::fs::write(story.path("copied.json"), config.to_string()).unwrap();
    let mut train = finescale();
    train.current_dir(story.folder.path()).args(["train", "copied.json", "--out", "other"]);
    fails(&mut train, &["copy.hdf5 in `validation` has the contents of boxes/box_0001/truth.hdf5"]);
}

#[test]
fn cells_that_are_spread_leave_no_holes() {
    let folder = tempfile::tempdir().unwrap();
    // 32,845 cells of AREPO, of which those in voids are larger than voxels.
    let snapshot = project("tests/data/arepo_gas_32/snapdir_001");
    let grid = |name: &str, more: &[&str]| {
        let arguments = ["--particles", "gas", "--cells", "64", "-o", name];
        let mut command = finescale();
        command.current_dir(folder.path()).arg("grid").arg(&snapshot).args(arguments).args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (finescale_snapshot::read_grid(&folder.path().join(name)).unwrap(), said)
    };
    let empty = |grid: &finescale_snapshot::GridFile| {
        let values = grid.field.as_slice();
        values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len() as f64
    };
    let (particles, said) = grid("particles.hdf5", &[]);
    assert!(empty(&particles) > 0.05 && said.contains("of the voxels hold nothing"), "{said}");
    let (cells, said) = grid("cells.hdf5", &["--spread"]);
    // The cells fill the box, which is told if they do not.
    assert!(
        empty(&cells) < 0.001 * empty(&particles) && !said.contains("warning"),
        "{}: {said}",
        empty(&cells)
    );
    assert_eq!(cells.meta.provenance["spread"], json!("cells"));
    let (by_density, said) = grid("by_density.hdf5", &["--spread=density"]);
    assert!(empty(&by_density) < 0.001 * empty(&particles) && !said.contains("warning"), "{said}");
    assert_eq!(by_density.meta.provenance["spread_by"], json!("the density of particles around each"));
    for field in [&cells.field, &by_density.field] {
        assert!((field.mean() - 1.0).abs() < 1e-6);
    }
    // Both say the same of what is sparse.
    let (of_cells, of_density) = (cells.field.as_slice(), by_density.field.as_slice());
    let near = of_cells.iter().zip(of_density).filter(|(a, b)| (*a / *b).ln().abs() < 1.0).count();
    assert!(near as f64 > 0.9 * of_cells.len() as f64, "{near} of {}", of_cells.len());
}
