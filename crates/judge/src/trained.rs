//! Boxes that a model knows from its training.

use finescale_field::Region;
use serde::Serialize;

/// A box that the model of the samples, or one that it comes from, was trained on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainedBox {
    /// Name of the box.
    pub label: String,
    /// Files of it that were among the training data.
    pub files: Vec<String>,
    /// The part of the box that training left out, in its cells; null if there is none.
    pub hold_out: Option<Region>,
    /// Part of the voxels compared that training has seen, from 0 to 1.
    pub trained_share: f64,
}
