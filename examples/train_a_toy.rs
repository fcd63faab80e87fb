//! Makes two small universes and trains a tiny network on one of them, for five updates: every step that a real
//! training takes, in some seconds. It learns nothing worth having.
//!
//! ```sh
//! cargo run --release --example train_a_toy
//! ```
#![expect(clippy::print_stdout, reason = "an example may print")]

use candle_core::Device;
use finescale_denoiser::Processor;
use finescale_mock::{MockConfig, make_universe};
use finescale_pairs::PairSet;
use finescale_ranks::Ranks;
use finescale_training::{Event, Model, Origin, Run, RunConfig, Start};
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let never = AtomicBool::new(false); // set by another thread, it would stop what is going on

    // A pair is a folder with condition.hdf5 (coarse dark matter) and truth.hdf5 (fine gas of the same universe).
    let [training, validation] = [1, 2].map(|seed| (seed, folder.path().join(format!("box_{seed}"))));
    for (seed, path) in [&training, &validation] {
        let config = MockConfig {
            box_size_mpc_h: 25.0,
            cells: 32,
            particles_low: 16,
            particles_high: 32,
            steps: 10,
            seed: *seed,
            ..MockConfig::default()
        };
        std::fs::create_dir_all(path)?;
        make_universe(&config, &mut |_| (), &never)?.write_grids(path)?;
    }

    // The weights are known before the data is read: those of a model would bring normalizers of their own.
    let config = configuration(&training.1, &validation.1)?;
    let out = folder.path().join("run");
    let alone = Ranks::alone(); // or the processes that mpirun started: Ranks::start()
    let program = json!({ "program": "train_a_toy" }); // work that another program began is not resumed
    let origin = Origin::find(&config, &out, Start::Fresh, &Processor::Cpu, &program, &alone)?;
    let pairs = PairSet::open(&config.data, origin.normalization())?.in_memory()?;
    let run = Run::new(&config, origin, &pairs)?;
    run.warnings().iter().for_each(|warning| println!("warning: {warning}"));

    let mut tell = |event: &Event| match event {
        Event::Step(update) => println!("update {}: loss {:.4}", update.step, update.loss),
        Event::Validation(found) => println!("validation loss {:.4}", found.validation_loss),
        _ => (),
    };
    run.go(&mut tell, &never)?;

    // What is left is a model, which upscale_a_cube.rs shows how to use.
    let model = Model::load(&out.join("model.safetensors"), &Device::Cpu)?;
    println!("{} numbers were trained in {} updates", model.parameters().count(), model.description.step);
    Ok(())
}

/// docs/src/configuration.md explains every key. A file is read by [`RunConfig::load`].
fn configuration(training: &Path, validation: &Path) -> Result<RunConfig, Box<dyn Error>> {
    let config: RunConfig = serde_json::from_value(json!({
        "data": { "training": [training], "validation": [validation] },
        "network": {
            "base_channels": 8, "channel_multipliers": [1, 2], "residual_blocks": 1, "head_channels": 8,
            "norm_groups": 4, "prediction": { "edm": { "sigma_data": 0.5 } },
        },
        "diffusion": { "training_levels": { "log_normal": { "mean": -0.7, "deviation": 1.5 } } },
        "training": {
            "seed": 1, "steps": 5, "batch_size": 2, "patch_cells": 16, "unknown_share": 0.3,
            "learning_rate": 8e-4, "warm_up_steps": 2, "decay": "constant", "weight_decay": 0.01,
            "gradient_clip_norm": 1.0, "ema_decay": 0.99, "validate_every_steps": 5, "validation_patches": 4,
            "save_every_minutes": 5.0,
        },
        "generation": { "overlap_cells": 4 },
    }))?;
    config.check()?;
    Ok(config)
}
