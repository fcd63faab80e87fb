//! Training by the binary: killed at any time, in parts, with spectra, planned.

use crate::binary::{fails, finescale};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Files that hold a run, but for its log.
const FILES: [&str; 4] = ["config.json", "state.safetensors", "model.safetensors", "best.safetensors"];
const UPDATES: usize = 24;

fn config() -> Value {
    json!({
        "data": { "training": ["boxes/box_0001"], "validation": ["boxes/box_0002"] },
        "network": {
            "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8,
            "norm_groups": 4, "dropout": 0.1, "known_channels": true, "prediction": { "edm": { "sigma_data": 0.5 } },
        },
        "diffusion": { "training_levels": { "log_normal": { "mean": -1.2, "deviation": 1.2 } } },
        "training": {
            "seed": 1, "steps": UPDATES, "batch_size": 4, "accumulate": 2, "patch_cells": 8, "unknown_share": 0.1,
            "learning_rate": 1e-3, "warm_up_steps": 2, "decay": "constant", "weight_decay": 0.0,
            "gradient_clip_norm": 1.0, "ema_decay": 0.9, "validate_every_steps": 4, "validation_patches": 4,
            "spectrum": { "every_steps": 8, "cells": 8 },
            // Saved after every update: a kill often falls into a save.
            "save_every_minutes": 0.0,
        },
        "generation": {
            "overlap_cells": 4,
            "sampling": { "levels": { "log_uniform": { "steps": 2, "sigma_min": 0.01, "sigma_max": 40.0 } } },
        },
    })
}

fn universe() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let size = ["--box-size", "12.5", "--cells", "16", "--particles-low", "8", "--particles-high", "16"];
    let mut mock = finescale();
    mock.current_dir(folder.path())
        .arg("mock")
        .args(size)
        .args(["--steps", "4", "--boxes", "2", "--seed", "1"]);
    mock.args(["-o", "boxes"]).assert().success();
    std::fs::write(folder.path().join("config.json"), config().to_string()).unwrap();
    folder
}

fn train(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finescale"));
    command.current_dir(folder).args(["train", "config.json", "--threads", "2", "--quiet"]).args(arguments);
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn lines(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().count()
}

/// The log without what depends on the clock.
fn log(run: &Path) -> Vec<Value> {
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("samples_per_second");
        value
    };
    std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().map(line).collect()
}

#[test]
fn a_run_that_is_killed_again_and_again_and_reads_patches_from_files_ends_with_the_same_bits() {
    let folder = universe();
    let [straight, killed]: [PathBuf; 2] = ["straight", "killed"].map(|name| folder.path().join(name));
    assert!(train(folder.path(), &["--out", "straight"]).wait().unwrap().success());
    // Updates, validations and comparisons of spectra.
    assert_eq!(log(&straight).len(), UPDATES + UPDATES / 4 + UPDATES / 8);

    // No pair fits into a KiB.
    let killed_run = ["--out", "killed", "--memory", "1e-6"];
    let mut kills = 0;
    for seen in [1, 5, 6, 13, 19, 24] {
        let start = if killed.join("state.safetensors").exists() { &["--resume"][..] } else { &[] };
        let mut child = train(folder.path(), &[&killed_run, start].concat());
        while lines(&killed.join("metrics.jsonl")) < seen && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    assert!(kills >= 4, "{kills} kills met a running process");
    assert!(train(folder.path(), &[&killed_run[..], &["--resume"]].concat()).wait().unwrap().success());
    for name in FILES {
        let [a, b] = [&straight, &killed].map(|run| std::fs::read(run.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    assert_eq!(log(&straight), log(&killed));
    let events = std::fs::read_dir(&killed).unwrap().map(|entry| entry.unwrap().file_name());
    let events = events.filter(|name| name.to_string_lossy().starts_with("events.out.tfevents."));
    assert!(events.count() > kills, "a file of events for each start");
}

#[test]
fn the_plan_of_a_run_and_its_progress() {
    let folder = universe();
    let plan = finescale()
        .current_dir(folder.path())
        .args(["train", "config.json", "--dry-run", "--json", "--out", "never"])
        .output()
        .unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let number = |key: &str| plan[key].as_f64().unwrap();
    assert_eq!((number("updates"), plan["config"]["training"]["accumulate"].as_u64()), (24.0, Some(2)));
    assert!(number("parameters") > 1000.0 && number("seconds_per_update") > 0.0);
    // Six validations of four patches, and three samples of one window in two steps.
    let seconds =
        24.0 * number("seconds_per_update") + (6.0 * 4.0 + 3.0 * 2.0) * number("seconds_per_evaluation");
    assert!((number("expected_seconds") / seconds - 1.0).abs() < 1e-9);
    // Two pairs of 16³ voxels of 8 bytes; the validation's four patches and two batches of 8³ voxels of 20 bytes.
    assert_eq!(number("data_memory_bytes"), f64::from(2 * 8 * 16 * 16 * 16 + 12 * 20 * 8 * 8 * 8));
    assert_eq!(number("memory_bytes"), number("network_memory_bytes") + number("data_memory_bytes"));
    assert!(!folder.path().join("never").exists());
    let mut plan = finescale();
    plan.current_dir(folder.path()).args(["train", "config.json", "--dry-run", "--json", "--out", "never"]);
    let plan = plan.args(["--memory", "0.00005"]).output().unwrap();
    let said = String::from_utf8(plan.stderr).unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    // A patch of two channels that is read, and its density three times.
    assert_eq!(plan["data_memory_bytes"], 12 * 20 * 8 * 8 * 8 + 5 * 4 * 8 * 8 * 8);
    assert!(said.contains("the fields of the pairs take 66 kB, more than the 54 kB"), "{said}");

    let run = finescale().current_dir(folder.path()).args(["train", "config.json"]).output().unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    let last = stderr.lines().last().unwrap();
    let log = log(&folder.path().join("runs/config"));
    let last_validation = log.iter().rev().find_map(|line| line["validation_loss"].as_f64());
    let validation = format!("validation {:.4}", last_validation.unwrap());
    for text in ["24 of 24 updates", "loss ", "samples/s", &validation, "P(k) off by "] {
        assert!(last.contains(text), "no {text:?} in {last}");
    }
    assert!(stderr.contains("update 16: P(k) of a sample over the truth's "), "{stderr}");
}

#[test]
fn a_plan_fails_where_the_run_would() {
    let folder = universe();
    let command = |arguments: &[&str]| {
        let mut command = finescale();
        command.current_dir(folder.path()).arg("train").args(arguments);
        command
    };
    let write = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut config = config();
        config["training"]["steps"] = json!(2);
        config["training"]["spectrum"] = Value::Null;
        change(&mut config);
        std::fs::write(folder.path().join(name), config.to_string()).unwrap();
    };
    write("short.json", &|_| {});
    command(&["short.json", "--out", "run"]).assert().success();

    write("whole.json", &|config| {
        config["data"]["validation"] = json!([]);
        config["data"]["hold_out"] = json!({ "start": [0, 0, 0], "shape": [16, 16, 16] });
    });
    write("wider.json", &|config| config["network"]["base_channels"] = json!(16));
    let model = "run/model.safetensors";
    let cases: [(&[&str], &[&str]); 3] = [
        (&["whole.json", "--out", "x"], &["no training patch of 8^3 voxels fits", "hold_out"]),
        (&["wider.json", "--out", "x", "--from", model], &[model, "another `network`"]),
        (&["short.json", "--out", "run"], &["run", "already holds a run"]),
    ];
    for (arguments, texts) in cases {
        fails(&mut command(&[arguments, &["--dry-run"]].concat()), texts);
        fails(&mut command(arguments), texts);
    }
    assert!(!folder.path().join("x").exists());

    // What a resumption changes, and that nothing is validated.
    write("longer.json", &|config| config["training"]["steps"] = json!(3));
    write("blind.json", &|config| config["data"]["validation"] = json!([]));
    let warnings = |arguments: &[&str]| {
        let output = command(&[arguments, &["--dry-run"]].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let text = warnings(&["longer.json", "--out", "run", "--resume"]);
    assert!(text.contains("warning: run: training.steps was 2 in the first 2 updates, is 3: "), "{text}");
    let text = warnings(&["blind.json", "--out", "x"]);
    assert!(text.contains("warning: x: nothing will be validated"), "{text}");
}

#[test]
fn minutes_become_updates_once_and_a_model_tells_where_it_comes_from() {
    let folder = universe();
    let mut config = config();
    config["training"].as_object_mut().unwrap().remove("steps");
    config["training"]["minutes"] = json!(0.02);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let run = |command: &str, arguments: &[&str]| {
        let mut run = finescale();
        run.current_dir(folder.path()).arg(command).args(arguments).arg("--json");
        let output = run.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        (serde_json::from_str::<Value>(stdout.lines().last().unwrap()).unwrap(), stderr)
    };
    let (result, told) = run("train", &["config.json", "--out", "run"]);
    let steps = result["summary"]["step"].as_u64().unwrap();
    assert!(told.contains(&format!("training.minutes 0.02: {steps} updates of ")), "{told}");
    let kept: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("run/config.json")).unwrap()).unwrap();
    assert_eq!((&kept["training"]["steps"], &kept["training"]["minutes"]), (&json!(steps), &Value::Null));
    // However fast the machine is when it is resumed.
    let (result, told) = run("train", &["config.json", "--out", "run", "--resume"]);
    assert_eq!(result["summary"]["step"], steps);
    assert!(told.contains(&format!("the {steps} updates that the run was begun with")), "{told}");

    let (_, told) = run("train", &["config.json", "--out", "more", "--from", "run/model.safetensors"]);
    assert!(told.contains("before update 1: validation loss "), "{told}");
    let info = run("info", &["more/model.safetensors"]).0;
    let [own, parent] = [0, 1].map(|line| info["made_by"][line].as_str().unwrap());
    assert!(own.ends_with(" updates on mock gas, 2 files, computed by cpu"), "{own}");
    assert!(parent.starts_with("begun from run/model.safetensors ("), "{parent}");
    assert!(
        parent.ends_with(&format!("): {steps} updates on mock gas, 2 files, computed by cpu")),
        "{parent}"
    );
    let parent = &info["description"]["lineage"]["parents"][0];
    assert_eq!(parent["sha256"], run("info", &["run/model.safetensors"]).0["sha256"]);
}
