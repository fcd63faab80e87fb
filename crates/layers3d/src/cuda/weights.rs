//! Copies of weights on a card, in the orders that kernels want.

use super::card::{Argument, Card};
use super::memory::CardMemory;
use crate::cpu::with_values;
use candle_core::{Result, Tensor, TensorId};
use std::collections::HashMap;
use std::sync::Arc;

/// The weights that a card has, as they are and packed.
#[derive(Default)]
pub(super) struct Weights {
    plain: HashMap<TensorId, Arc<CardMemory>>,
    packed: HashMap<(TensorId, Packing), Arc<CardMemory>>,
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

impl Card {
    /// A parameter on the card.
    pub(super) fn parameter(&self, parameter: &Tensor) -> Result<Arc<CardMemory>> {
        if let Some(known) = self.weights().plain.get(&parameter.id()) {
            return Ok(Arc::clone(known));
        }
        let memory = Arc::new(with_values(parameter, |values| Ok(self.upload(values)?))?);
        self.weights().plain.insert(parameter.id(), Arc::clone(&memory));
        Ok(memory)
    }

    /// The weights of a layer as a matrix.
    pub(super) fn packed(&self, weight: &Tensor, packing: Packing) -> Result<Arc<CardMemory>> {
        let key = (weight.id(), packing);
        if let Some(known) = self.weights().packed.get(&key) {
            return Ok(Arc::clone(known));
        }
        let plain = self.parameter(weight)?;
        let Packing { taps, rows, columns, row_stride, column_stride, first, reversed } = packing;
        let count = taps * rows * columns;
        let packed = self.memory(count)?;
        self.map(
            "pack_weights",
            count,
            &[
                self.pointer_to(&plain, first),
                self.pointer(&packed),
                int(taps),
                int(rows),
                int(columns),
                long(row_stride),
                long(column_stride),
                Argument::Int(reversed.into()),
                long(count),
            ],
        )?;
        let packed = Arc::new(packed);
        self.weights().packed.insert(key, Arc::clone(&packed));
        Ok(packed)
    }
}

/// A number of channels, taps or voxels along an axis, which is far below 2^31.
pub(super) fn int(value: usize) -> Argument {
    Argument::Int(i32::try_from(value).expect("a network has fewer channels and voxels along an axis"))
}

/// A number of values.
pub(super) fn long(value: usize) -> Argument {
    Argument::Long(i64::try_from(value).expect("memory has fewer values"))
}
