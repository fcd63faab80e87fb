//! What a report shows of the fields themselves.

use crate::slices::Slices;
use crate::volumes::Volumes;
use finescale_judge::{Fields, Labelled};

/// Slices of the fields that a comparison was measured of.
#[derive(Clone, Debug)]
pub struct Pictures {
    pub(crate) slices: Slices,
    pub(crate) volumes: Volumes,
    pub(crate) upscaled: Vec<Slices>,
}

impl Pictures {
    /// Slices through the densest voxel of the truth, and small copies of the fields for the page.
    #[must_use]
    pub fn new(fields: &Fields<'_>) -> Self {
        let Fields { truth, condition, samples, .. } = fields;
        let slices = Slices::through_densest(truth.field, condition.as_ref(), samples, Some(truth));
        Self { volumes: Volumes::new(fields, &slices), slices, upscaled: Vec::new() }
    }

    /// The same with slices through the densest voxel of the first of `samples`, for which no truth is known;
    /// in the order of the comparison's sections.
    #[must_use]
    pub fn with_upscaled(mut self, condition: &Labelled<'_>, samples: &[Labelled<'_>]) -> Self {
        let through = samples.first().map_or(condition.field, |sample| sample.field);
        self.upscaled.push(Slices::through_densest(through, Some(condition), samples, None));
        self
    }
}
