//! Copies of weights on a card, made when a layer first asks for them.

use super::card::{Argument, Card, int, long};
use super::memory::CardMemory;
use super::weights::Packing;
use crate::cpu::with_values;
use candle_core::{Result, Tensor};
use std::sync::Arc;

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
        let [all_rows, all_columns] = [rows, columns].map(|channels| self.whole_units(channels));
        let count = taps * all_rows * all_columns;
        let (kernel, packed) = match self.has_tensor_products() {
            true => ("pack_weights_for_tensor_cores", self.volume(count)?),
            false => ("pack_weights", self.memory(count)?),
        };
        self.map(
            kernel,
            count,
            &[
                self.pointer_to(&plain, first),
                self.pointer(&packed),
                int(taps),
                int(all_rows),
                int(all_columns),
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
