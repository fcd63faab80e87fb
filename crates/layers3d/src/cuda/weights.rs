//! Which weights a card has, in the orders that kernels want.

use super::memory::CardMemory;
use candle_core::TensorId;
use std::collections::HashMap;
use std::sync::Arc;

/// The weights that a card has, as they are and packed.
#[derive(Default)]
pub(super) struct Weights {
    pub(super) plain: HashMap<TensorId, Arc<CardMemory>>,
    pub(super) packed: HashMap<(TensorId, Packing), Arc<CardMemory>>,
}

impl Weights {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How the weights (outputs, inputs, taps) of a layer become a matrix (taps, rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packing {
    pub(super) taps: usize,
    /// Rows of the matrix for each tap.
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Distances of neighbouring rows and columns in the weights.
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
    /// The first weight of all.
    pub(super) first: usize,
    /// Whether the last tap comes first.
    pub(super) reversed: bool,
}
