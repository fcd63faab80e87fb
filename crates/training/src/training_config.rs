//! The optimization part of a configuration.

use crate::Decay;
use finescale_outpaint::Overlap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The optimization: JSON key `training`. A key without a default must be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Seed of weights, patches, symmetries, noise, levels, masks and dropout. Another one shows how much of a
    /// result is chance.
    pub seed: u64,
    /// Updates of the weights. Either this or `minutes` is written. More is better as long as the validation
    /// loss falls; the learning rate's `decay` ends with the last. 20000 made the demo's model, hundreds are
    /// enough for fine-tuning.
    // In memory, 0 stands for minutes that have yet to become a number of updates.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("unit" = "updates", "absent" = "required without `minutes`", "exclusiveMinimum" = 0))]
    pub steps: u64,
    /// Instead of `steps`, the minutes that all updates, validations and samples shall take on this machine.
    /// When the run begins they become `steps` by the measured time of an update; its config.json and model
    /// have that number in their place, and resuming keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-3, max = 1e6), extend("absent" = "required without `steps`"))]
    pub minutes: Option<f64>,
    /// Patches in an update. A larger batch has a steadier gradient, and takes time and memory in proportion: 4
    /// to 16 are sane.
    #[schemars(range(min = 1, max = 65536), extend("unit" = "patches"))]
    pub batch_size: usize,
    /// Parts in which the patches of an update are computed one after another: the memory of one part, and the
    /// gradient of all. It must divide `batch_size`. Raise it when a batch does not fit in memory. On several cards or
    /// ranks a multiple of their number: each computes the next part.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 65536), extend("unit" = "parts"))]
    pub accumulate: usize,
    /// Side of a patch; generation uses windows of this size. A multiple of 2 for each halving of the network,
    /// and wider than the structure that the network should see whole: 32 to 48 are sane, 25 to 38 Mpc/h with
    /// voxels of 0.78 Mpc/h.
    #[schemars(range(min = 1, max = 480))]
    pub patch_cells: usize,
    /// Least share of patches in which no voxel is known. The others know voxels at their faces, as windows do
    /// that are drawn one after another, or around a given region: the first of those knows nothing, and all
    /// others build on it. With `joint` generation no window knows a voxel. 0.1 to 0.35 are sane.
    #[schemars(range(min = 0.0, max = 1.0), extend("unit" = "share"))]
    pub unknown_share: f64,
    /// Share of patches whose known voxels are those of a cuboid that begins and ends anywhere, or all around one, as
    /// `--extend` gives them; `unknown_share` is of the others. 0.1 is sane.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub region_share: f64,
    /// The windows whose masks of known voxels the network learns with, as windows drawn one after another meet them
    /// in the first training box.
    #[serde(default)]
    #[schemars(extend("absent" = "the overlap of `generation`, and its margin if it has one"))]
    pub masks: Option<Overlap>,
    /// The largest learning rate (AdamW). Lower it when the loss diverges, and for fine-tuning: 1e-4 to 1e-3.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Updates over which the learning rate rises linearly to its peak; 0 begins with the peak.
    pub warm_up_steps: u64,
    /// What the learning rate does after the warm-up.
    pub decay: Decay,
    /// Decoupled decay of the weights (AdamW), relative to the learning rate: 0 for none, 0.01 is sane.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub weight_decay: f64,
    /// Gradients of a larger norm, all tensors together, are scaled down to it. Lower it when single batches
    /// upset the loss; 1 is sane.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub gradient_clip_norm: f64,
    /// Decay per update of the averaged weights, which are the model, once it has ramped up: 0.999 averages
    /// over about 1000 updates. A run of hundreds wants 0.99.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "unit" = "share"))]
    pub ema_decay: f64,
    /// Updates between two validations. There is one after the last update, too, and one before the first of a
    /// run that begins with a model.
    #[schemars(range(min = 1))]
    pub validate_every_steps: u64,
    /// Patches in a validation, rounded up to whole batches. More of them make its loss less noisy: 32 is sane.
    #[schemars(range(max = 65536))]
    pub validation_patches: usize,
    /// Model file to learn from instead of from the truth: in each of the few steps of `generation.sampling`
    /// (of `ddim`), to go where the teacher goes in several. The run begins with its weights and normalizers, and
    /// `network` must be the teacher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Samples whose power is compared with the truth's from time to time: what a loss does not tell. It is a test
    /// of one small region, and as noisy.
    #[serde(default)]
    pub spectrum: Option<SpectrumConfig>,
    /// Whether residual blocks are computed again on the way back instead of kept: less memory, for a fifth to a
    /// third more time. The weights stay the same.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Minutes between two saves of the run's state, 0 for one after each update; it is also saved at every
    /// validation and at the end. A crash loses at most this much: 5 is sane.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub save_every_minutes: f64,
}

/// Samples drawn while the network learns: JSON key `training.spectrum`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpectrumConfig {
    /// Updates between two comparisons; there is one after the last update, too.
    #[schemars(range(min = 1))]
    pub every_steps: u64,
    /// Side of the region that is generated, a part of the first validation box or of the held-out region: from
    /// `patch_cells` to its size. A larger one is less noisy, and takes time in proportion to its cells: 64 of
    /// them are 50 Mpc/h with voxels of 0.78 Mpc/h.
    #[serde(default = "spectrum_cells")]
    #[schemars(range(min = 1, max = 4096))]
    pub cells: usize,
    /// Samples whose power is averaged.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000), extend("unit" = "samples"))]
    pub samples: usize,
}

fn one() -> usize {
    1
}

fn spectrum_cells() -> usize {
    64
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
