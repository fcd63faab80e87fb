//! Patches gathered for one training step.

use crate::normalised::Normalised;
use crate::{PairError, Symmetry};
use finescale_field::Region;
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
    pub(crate) pair: &'a Normalised,
    pub(crate) region: Region,
    pub(crate) symmetry: Symmetry,
}

impl PatchBatch {
    /// The patches at `places`; where there is none, zeros.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn gather(
        places: &[Option<Place>],
        [conditions, truths]: [usize; 2],
        patch_cells: usize,
    ) -> Result<Self, PairError> {
        let voxels = patch_cells.pow(3);
        let mut condition = vec![0f32; places.len() * conditions * voxels];
        let mut truth = vec![0f32; places.len() * truths * voxels];
        let gather = |condition: &mut [f32], truth: &mut [f32], place: &Option<Place>| {
            let Some(Place { pair, region, symmetry }) = place else { return Ok(()) };
            let windows = pair.windows(region)?;
            let targets = condition.chunks_exact_mut(voxels).chain(truth.chunks_exact_mut(voxels));
            for (window, target) in windows.iter().flatten().zip(targets) {
                let window = window.as_standard_layout();
                symmetry.apply(window.as_slice().expect("just made standard"), target, patch_cells);
            }
            Ok::<_, PairError>(())
        };
        let (of_condition, of_truth) = (conditions * voxels, truths * voxels);
        if places.iter().flatten().all(|place| place.pair.is_in_memory()) {
            let patches = condition.par_chunks_exact_mut(of_condition);
            let patches = patches.zip(truth.par_chunks_exact_mut(of_truth)).zip(places);
            patches.try_for_each(|((condition, truth), place)| gather(condition, truth, place))?;
        } else {
            // One after another: files are read by one thread at a time anyway, and each patch takes its surroundings into memory.
            let patches = condition.chunks_exact_mut(of_condition);
            let mut patches = patches.zip(truth.chunks_exact_mut(of_truth)).zip(places);
            patches.try_for_each(|((condition, truth), place)| gather(condition, truth, place))?;
        }
        Ok(Self { condition, truth, size: places.len(), patch_cells })
    }
}
