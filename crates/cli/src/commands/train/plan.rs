//! What a training run will take on this machine, said.

use crate::context::Context;
use crate::measurement::bytes;
use crate::progress::duration;
use finescale_training::{Plan, Run, RunConfig};
use serde_json::{Value, json};
use std::path::Path;

/// Says the resolved configuration, and what the run will take.
pub(super) fn print(context: &Context, config: &RunConfig, run: Run, out: &Path) -> anyhow::Result<Value> {
    context.say(config.resolved());
    let plan = run.plan()?;
    for line in lines(&plan) {
        context.say(line);
    }
    context.say(format_args!("the run goes to {}", out.display()));
    let mut result = json!(plan);
    (result["config"], result["run"]) = (json!(config), json!(out.to_string_lossy()));
    Ok(result)
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
