//! What a run starts from and is shown, as files, so that another program can repeat its first steps.

use crate::noised_batch::NoisedBatch;
use crate::patch_source::PatchSource;
use crate::state::fresh_weights;
use crate::tensor_file::{self, named};
use crate::tensor_header::Metadata;
use crate::{NamedTensors, Precision, RunConfig, TrainingError};
use candle_core::Device;
use finescale_pairs::PairSet;
use finescale_ranks::Ranks;
use std::path::Path;

/// Writes, into the folder `out`, what a fresh run of `config` has before its first update and what it is shown
/// in its first `steps`:
/// - `weights.safetensors`, the initial weights;
/// - `step_00001.safetensors` and so on, the tensors `condition` (b, c, n, n, n), `clean` and `noise` (b,
///   fields, n, n, n), and `mask` (1 where a voxel is to be generated) and `weight` (of a voxel in the loss),
///   each (b, 1, n, n, n), and in the metadata `alpha_bars`, the b noise levels as JSON.
///
/// # Errors
/// Whatever the configuration, the data and writing report.
pub fn export_draws(config: &RunConfig, out: &Path, steps: u32) -> Result<(), TrainingError> {
    config.check()?;
    let pairs = PairSet::load(&config.data)?;
    export(config, &pairs, out, steps)
}

fn export(config: &RunConfig, pairs: &PairSet, out: &Path, steps: u32) -> Result<(), TrainingError> {
    finescale_durable::create_folder(out)
        .map_err(|source| TrainingError::Write { path: out.into(), source })?;
    let device = Device::Cpu;
    let weights = fresh_weights(config, &device)?;
    let path = out.join("weights.safetensors");
    tensor_file::write(&path, &Metadata::new(), &named(&weights), Precision::F32)?;

    let source = PatchSource::new(config, pairs, &Ranks::alone())?;
    for step in 0..steps {
        let NoisedBatch { condition, clean, noise, mask, weight, alpha_bars } = source.training(step)?;
        let tensors = [
            ("condition", condition),
            ("clean", clean),
            ("noise", noise),
            ("mask", mask),
            ("weight", weight),
        ];
        let tensors: NamedTensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into();
        // As text: the tensors of a file have 32 bits, and levels of little noise would round to 1.
        let alpha_bars = serde_json::to_string(&alpha_bars).expect("a list of numbers is JSON");
        let metadata = [("alpha_bars".to_owned(), alpha_bars)].into();
        let path = out.join(format!("step_{:05}.safetensors", step + 1));
        tensor_file::write(&path, &metadata, &tensors, Precision::F32)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use finescale_denoiser::Parameters;

    #[test]
    fn files_hold_the_weights_and_batches_of_the_run() {
        let (config, folder) = (fixtures::config(), tempfile::tempdir().unwrap());
        let pairs = fixtures::pairs(config.data.normalization()).unwrap();
        export(&config, &pairs, folder.path(), 2).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        let read = |name: &str| tensor_file::read(&folder.path().join(name), &Device::Cpu).unwrap();
        let bits = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();

        let weights = Parameters::init(&config.network, config.training.seed, &Device::Cpu).unwrap();
        let (_, found, _) = read("weights.safetensors");
        assert_eq!(found.len(), weights.vars().count());
        assert!(weights.tensors().all(|(name, tensor)| bits(tensor) == bits(&found[name])));

        let batch = PatchSource::new(&config, &pairs, &Ranks::alone()).unwrap().training(1).unwrap();
        let (metadata, found, _) = read("step_00002.safetensors");
        let levels: Vec<f64> = serde_json::from_str(&metadata["alpha_bars"]).unwrap();
        assert_eq!(levels, batch.alpha_bars);
        let expected = [
            ("clean", batch.clean),
            ("condition", batch.condition),
            ("mask", batch.mask),
            ("noise", batch.noise),
            ("weight", batch.weight),
        ];
        assert!(found.keys().eq(expected.iter().map(|(name, _)| name)));
        for (name, tensor) in &expected {
            assert_eq!(found[*name].dims(), tensor.dims());
            assert_eq!(bits(&found[*name]), bits(tensor), "{name}");
        }
    }
}
