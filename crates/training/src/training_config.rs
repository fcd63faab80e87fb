//! The optimization part of a configuration.

use crate::Decay;
use finescale_outpaint::Overlap;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The optimization: JSON key `training`. A key without a default must be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Seed of weights, patches, symmetries, noise, levels, masks and dropout. Another one shows how much of a
    /// result is chance.
    pub seed: u64,
    /// Updates of the weights. Either this or `minutes` is written. More is better as long as the validation
    /// loss falls; the learning rate's `decay` ends with the last. In memory, 0 stands for minutes that have
    /// yet to become a number of updates.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps: u64,
    /// Instead of `steps`, the minutes that all updates, validations and samples shall take on this machine.
    /// When the run begins they become `steps` by the measured time of an update; its config.json and model
    /// have that number in their place, and resuming keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// Patches in an update. A larger batch has a steadier gradient, and takes as much more time and memory.
    pub batch_size: usize,
    /// Parts in which the patches of an update are computed one after another (default 1): the memory of one
    /// part, and the gradient of all. It must divide `batch_size`. Raise it when a batch does not fit in
    /// memory.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Side of a patch in cells; generation uses windows of this size. It must suit the network's levels, and
    /// be wider than the structure that the network should see whole.
    pub patch_cells: usize,
    /// Least share of patches without any known voxel, 0 to 1. A large volume drawn window by window has one
    /// such window, but every other one builds on it; with `joint` generation all windows are of this kind.
    pub unknown_share: f64,
    /// The windows whose masks of known voxels the network learns with, as outpainting in rows and colours meets them in
    /// the first training box (default: the overlap of `generation`, and its margin if it has one).
    #[serde(default)]
    pub masks: Option<Overlap>,
    /// The largest learning rate. Lower it when the loss diverges, and for fine-tuning.
    pub learning_rate: f64,
    /// Updates over which the learning rate rises linearly to its peak; 0 begins with the peak.
    pub warm_up_steps: u64,
    /// What the learning rate does afterwards: `"constant"`, or `{"cosine": {"floor": F}}` to fall to F times
    /// the peak at the last update.
    pub decay: Decay,
    /// Decoupled decay of the weights (AdamW), relative to the learning rate; 0 for none.
    pub weight_decay: f64,
    /// Gradients of a larger norm, all tensors together, are scaled down to it. Lower it when single batches
    /// upset the loss.
    pub gradient_clip_norm: f64,
    /// Decay per update of the averaged weights, which are the model, once it has ramped up: 0.999 averages
    /// over about 1000 updates. A short run wants less.
    pub ema_decay: f64,
    /// Updates between two validations; there is one after the last update, too, and one before the first of a
    /// run that begins with a model.
    pub validate_every_steps: u64,
    /// Patches in a validation, rounded up to whole batches. More of them make its loss less noisy.
    pub validation_patches: usize,
    /// Model file to learn from instead of from the truth (default: none): in each of the few steps of
    /// `generation.sampling`, to go where the teacher goes in several. The run begins with its weights and
    /// normalizers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Samples whose power is compared with the truth's from time to time (default: none): what a loss does not
    /// tell. It is a test of one small region, and as noisy.
    #[serde(default)]
    pub spectrum: Option<SpectrumConfig>,
    /// Whether residual blocks are computed again on the way back instead of kept (default false): less memory,
    /// for a fifth to a third more time. The weights stay the same.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// Minutes between two saves of the run's state, 0 for one after each update; it is also saved at every
    /// validation and at the end. A crash loses at most so much.
    pub save_every_minutes: f64,
}

/// Samples drawn while the network learns: JSON key `training.spectrum`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectrumConfig {
    /// Updates between two comparisons; there is one after the last update, too.
    pub every_steps: u64,
    /// Side in cells of the region that is generated (default 64), a part of the first validation box or of the
    /// held-out region; at most its size. A larger one is less noisy, and takes as much more time as it has
    /// more cells.
    #[serde(default = "spectrum_cells")]
    pub cells: usize,
    /// Samples whose power is averaged (default 1).
    #[serde(default = "one")]
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
