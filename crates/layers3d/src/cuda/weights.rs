//! Which weights a card has, in the orders that kernels want.

use super::memory::{CardMemory, View};
use candle_core::{Storage, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The weights that a card has, as they are and packed.
#[derive(Default)]
pub(super) struct Weights {
    plain: HashMap<Place, Plain>,
    packed: HashMap<(Place, Packing), Arc<CardMemory>>,
}

struct Plain {
    view: View,
    /// Whether the card's values are the newer ones: they are trained there.
    is_trained: bool,
    /// Keeps the host's memory, by which the weights are known, from being another's.
    _tensor: Tensor,
}

/// Where a tensor has its values on the host: tensors that share them are the same weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    storage: usize,
    first: usize,
    len: usize,
}

impl Place {
    pub(super) fn of(tensor: &Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        let storage: *const Storage = &raw const *storage;
        Self { storage: storage.addr(), first: layout.start_offset(), len: tensor.elem_count() }
    }
}

impl Weights {
    pub(super) fn plain(&self, tensor: &Tensor) -> Option<View> {
        Some(self.plain.get(&Place::of(tensor))?.view.clone())
    }

    pub(super) fn put_plain(&mut self, tensor: &Tensor, view: View) {
        let plain = Plain { view, is_trained: false, _tensor: tensor.clone() };
        self.plain.insert(Place::of(tensor), plain);
    }

    /// From here on the card's values are those of `tensor`.
    pub(super) fn train(&mut self, tensor: &Tensor, view: View) {
        self.forget(tensor);
        let plain = Plain { view, is_trained: true, _tensor: tensor.clone() };
        self.plain.insert(Place::of(tensor), plain);
    }

    pub(super) fn packed(&self, tensor: &Tensor, packing: Packing) -> Option<Arc<CardMemory>> {
        self.packed.get(&(Place::of(tensor), packing)).cloned()
    }

    pub(super) fn put_packed(&mut self, tensor: &Tensor, packing: Packing, memory: &Arc<CardMemory>) {
        self.packed.insert((Place::of(tensor), packing), Arc::clone(memory));
    }

    /// Forgets those that the host may have changed.
    pub(super) fn forget_copies(&mut self) {
        self.plain.retain(|_, plain| plain.is_trained);
        self.packed.retain(|(place, _), _| self.plain.contains_key(place));
    }

    /// Forgets how trained ones were packed: they have changed.
    pub(super) fn repack_trained(&mut self) {
        self.packed.retain(|(place, _), _| self.plain.get(place).is_some_and(|plain| !plain.is_trained));
    }

    /// Forgets the weights of `tensor`.
    pub(super) fn forget(&mut self, tensor: &Tensor) {
        let place = Place::of(tensor);
        self.plain.remove(&place);
        self.packed.retain(|(packed, _), _| *packed != place);
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
