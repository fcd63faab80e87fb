//! The device cuda:0 against the CPU: a card, or what stands in for one (scripts/check_cuda.sh).

use crate::binary::finescale;
use crate::pipeline::{CONDITION, Story, bytes};
use serde_json::Value;

/// f32 sums in another order, through three steps of a sampler.
const REL: f64 = 1e-4;

#[test]
fn a_card_is_checked() {
    for precision in ["f32", "bf16"] {
        let arguments = ["doctor", "--device", "cuda:0", "--precision", precision, "--untimed", "--json"];
        let output = finescale().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["layers"].as_array().unwrap().iter().all(|layer| layer["right"] == true), "{told}");
        assert_eq!(told["card"]["losses"].as_array().unwrap().len(), 11);
        assert!(told["card"]["memory_bytes"].as_u64().unwrap() > 0);
        // Values that were rounded are not those of f32.
        let worst = told["layers"][0]["relative_error"].as_f64().unwrap();
        assert_eq!(worst > 1e-3, precision == "bf16", "{told}");
    }
}

#[test]
fn nothing_is_computed_otherwise_than_asked_for() {
    let refused = |arguments: &[&str], capability| {
        let arguments = ["doctor", "--precision", "bf16"].iter().chain(arguments);
        let output =
            finescale().args(arguments).env("FINESCALE_STAND_IN_CAPABILITY", capability).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&[], "80");
    assert!(said.contains("--precision bf16: for cards"), "{said}");
    // Of a real card the capability is its own.
    if std::env::var_os("LD_LIBRARY_PATH").is_some_and(|path| path.to_string_lossy().contains("stand_in")) {
        let said = refused(&["--device", "cuda:0"], "75");
        assert!(said.contains("bf16 needs compute capability 8.0, and this card has 7.5"), "{said}");
    }
}

#[test]
fn training_and_generation_are_those_of_the_cpu() {
    // The same configuration, trained on the CPU as `run`.
    let story = Story::begun();
    story.run("train", &["config.json", "--out", "on_card", "--device", "cuda:0"]);
    let losses = |run: &str| -> Vec<f64> {
        let text = String::from_utf8(bytes(&story.path(run).join("metrics.jsonl"))).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line["loss"].as_f64().or(line["validation_loss"].as_f64())).collect()
    };
    let info = story.run("info", &["on_card/model.safetensors"]);
    assert_eq!(info["description"]["lineage"]["devices"], serde_json::json!(["cuda"]));
    let (here, there) = (losses("on_card"), losses("run"));
    assert!(here.len() >= 4 && here.len() == there.len(), "{here:?}");
    for (here, there) in here.iter().zip(&there) {
        assert!((here / there - 1.0).abs() < REL, "{here} instead of {there}");
    }

    let sample = |device: &str| {
        let name = format!("{}.hdf5", device.replace(':', "_"));
        let arguments = [&CONDITION[..], &["--seed", "1", "--device", device, "-o", &name]].concat();
        story.run("upscale", &arguments);
        finescale_snapshot::read_grid(&story.path(&name)).unwrap().field
    };
    let (here, there) = (sample("cuda:0"), sample("cpu"));
    let difference = here.as_slice().iter().zip(there.as_slice()).map(|(a, b)| f64::from(a - b).abs());
    let most = there.as_slice().iter().fold(0f32, |most, value| most.max(*value));
    let worst = difference.fold(0.0, f64::max) / f64::from(most);
    assert!(worst < REL, "a voxel is off by {worst:.1e} of the highest");
}

#[test]
fn two_cards_have_the_results_of_one() {
    let story = Story::begun();
    let mut config: Value = serde_json::from_slice(&bytes(&story.path("config.json"))).unwrap();
    config["training"]["accumulate"] = 2.into();
    std::fs::write(story.path("parts.json"), config.to_string()).unwrap();
    story.run("train", &["parts.json", "--out", "on_one", "--device", "cuda:1"]);
    story.run("train", &["parts.json", "--out", "on_two", "--device", "cuda:0,1"]);
    let [one, two] = ["on_one", "on_two"].map(|run| bytes(&story.path(run).join("state.safetensors")));
    assert!(one == two, "states of {} and {} bytes differ", one.len(), two.len());

    let sample = |device: &str| {
        let name = format!("{}.hdf5", device.replace(':', "_"));
        let arguments =
            [&CONDITION[..], &["--seed", "1", "--batch", "3", "--device", device, "-o", &name]].concat();
        story.run("upscale", &arguments);
        finescale_snapshot::read_grid(&story.path(&name)).unwrap().field
    };
    let (one, two) = (sample("cuda:0"), sample("cuda:0,1"));
    assert!(one.as_slice() == two.as_slice());

    let mut command = finescale();
    command.current_dir(story.path("."));
    let output =
        command.args(["train", "config.json", "--out", "on_none", "--device", "cuda:0,1"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`training.accumulate` is 1: it must be a multiple of 2"), "{said}");
}

#[test]
fn there_is_no_tenth_card() {
    let output = finescale().args(["doctor", "--device", "cuda:9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--device cuda:9: there is no cuda:9: this machine has"), "{said}");
}
