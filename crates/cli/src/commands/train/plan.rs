//! What a training run will take on this machine, said.

use crate::commands::bench::limits::training_bytes;
use crate::context::Context;
use crate::measurement::bytes;
use crate::progress::duration;
use finescale_training::{Plan, Run, RunConfig};
use serde_json::{Value, json};
use std::path::Path;

/// Sizes of cards' memory.
const CARDS_GB: [u64; 6] = [8, 12, 16, 24, 40, 80];

/// Says the resolved configuration, and what the run will take.
pub(super) fn print(context: &Context, config: &RunConfig, run: Run, out: &Path) -> anyhow::Result<Value> {
    context.say(config.resolved());
    let plan = run.plan()?;
    for line in lines(&plan) {
        context.say(line);
    }
    let at_once = config.training.batch_size.div_ceil(config.training.accumulate);
    let [least, most] = training_bytes(config, at_once, context.precision(), context.cards())?;
    context.say(format_args!(
        "on an NVIDIA card: {} to {} of its memory, {}",
        bytes(least),
        bytes(most),
        cards_for(most)
    ));
    context.say(format_args!("the run goes to {}", out.display()));
    let mut result = json!(plan);
    result["card_memory_bytes"] = json!([least, most]);
    (result["config"], result["run"]) = (json!(config), json!(out.to_string_lossy()));
    Ok(result)
}

/// Which cards have so much memory, in words.
fn cards_for(needed: u64) -> String {
    // What drivers and programs take of it is not for volumes.
    let usable = |gigabytes: u64| (0.94 * 1e9 * gigabytes as f64) as u64;
    match CARDS_GB.into_iter().find(|&gigabytes| needed <= usable(gigabytes)) {
        Some(gigabytes) => format!("which cards of {gigabytes} GB have"),
        None => "more than cards have: set training.accumulate or gradient_checkpointing".to_owned(),
    }
}

fn lines(plan: &Plan) -> [String; 3] {
    let memory = |count: Option<u64>| count.map_or("unknown".to_owned(), bytes);
    let done = match plan.updates_done {
        0 => String::new(),
        done => format!(", {done} of them done"),
    };
    [
        format!(
            "{} parameters, {} updates of {:.3} s each here{done}",
            plan.parameters, plan.updates, plan.seconds_per_update
        ),
        format!(
            "expected time with validation: {}, an evaluation takes {:.3} s",
            duration(plan.expected_seconds),
            plan.seconds_per_evaluation
        ),
        format!(
            "memory: {}, of which data {}, network, optimizer and the rest {}",
            memory(plan.memory_bytes),
            bytes(plan.data_memory_bytes),
            memory(plan.network_memory_bytes)
        ),
    ]
}
