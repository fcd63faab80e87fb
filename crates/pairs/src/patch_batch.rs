//! Patches gathered for one training step.

use crate::Symmetry;
use finescale_field::{Field3, Region};
use rayon::prelude::*;

/// Normalised patches, flat and contiguous, shape (size, channels, `patch_cells`, `patch_cells`,
/// `patch_cells`).
#[derive(Clone, Debug, PartialEq)]
pub struct PatchBatch {
    /// Low resolution, one channel or more.
    pub condition: Vec<f32>,
    /// High resolution of the same places, a channel for each field.
    pub truth: Vec<f32>,
    /// Number of patches.
    pub size: usize,
    /// Voxels per side.
    pub patch_cells: usize,
}

/// Where one patch comes from.
pub(crate) struct Place<'a> {
    pub(crate) condition: &'a [Field3],
    pub(crate) truth: &'a [Field3],
    pub(crate) region: Region,
    pub(crate) symmetry: Symmetry,
}

impl PatchBatch {
    pub(crate) fn gather(places: &[Place], patch_cells: usize) -> Self {
        let voxels = patch_cells.pow(3);
        let values = |channels: fn(&Place) -> usize| places.first().map_or(1, channels) * voxels;
        let (per_condition, per_truth) = (values(|p| p.condition.len()), values(|p| p.truth.len()));
        let mut condition = vec![0f32; places.len() * per_condition];
        let mut truth = vec![0f32; places.len() * per_truth];
        let patches =
            condition.par_chunks_exact_mut(per_condition).zip(truth.par_chunks_exact_mut(per_truth));
        patches.zip(places).for_each(|((condition, truth), place)| {
            let targets = condition.chunks_exact_mut(voxels).chain(truth.chunks_exact_mut(voxels));
            for (field, target) in place.condition.iter().chain(place.truth).zip(targets) {
                let window = field.extract(&place.region).expect("crops fit their box");
                let window = window.as_slice().expect("windows are contiguous");
                place.symmetry.apply(window, target, patch_cells);
            }
        });
        Self { condition, truth, size: places.len(), patch_cells }
    }
}
