//! Copies of weights on a card, made when a layer first asks for them.

use super::card::{Argument, Card, int, long};
use super::memory::{CardMemory, View};
use super::weights::Packing;
use crate::cpu::with_values;
use candle_core::{Result, Tensor};
use std::sync::Arc;

impl Card {
    /// A parameter on the card.
    pub(super) fn parameter(&self, parameter: &Tensor) -> Result<View> {
        if let Some(known) = self.weights().plain(parameter) {
            return Ok(known);
        }
        let memory = Arc::new(with_values(parameter, |values| Ok(self.upload(values)?))?);
        let view = View { first: 0, len: memory.len(), memory };
        self.weights().put_plain(parameter, view.clone());
        Ok(view)
    }

    /// The weights of a layer as a matrix.
    pub(super) fn packed(&self, weight: &Tensor, packing: Packing) -> Result<Arc<CardMemory>> {
        if let Some(known) = self.weights().packed(weight, packing) {
            return Ok(known);
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
                self.pointer_into(&plain, first),
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
        self.weights().put_packed(weight, packing, &packed);
        Ok(packed)
    }
}
