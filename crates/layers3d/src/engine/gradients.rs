//! Gradients on their way back through the network.

use super::volume::Part;
use crate::buffer::Buffer;
use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor};
use std::collections::HashMap;

/// Gradients by what layers computed, and by the parameters.
pub(super) struct Gradients<'a> {
    parts: HashMap<u64, Buffer>,
    parameters: &'a mut GradStore,
}

impl<'a> Gradients<'a> {
    pub(super) fn new(parameters: &'a mut GradStore) -> Self {
        Self { parts: HashMap::new(), parameters }
    }

    /// The gradient by the output of a layer, complete once every later layer has run backward. None if nothing depends
    /// on it.
    pub(super) fn take(&mut self, output: u64) -> Option<Buffer> {
        self.parts.remove(&output)
    }

    /// Puts in, or adds, a gradient that another layer is done with.
    pub(super) fn give(&mut self, part: &Part, gradient: Buffer) {
        if !part.trained {
            return;
        }
        match self.parts.get_mut(&part.id) {
            None => drop(self.parts.insert(part.id, gradient)),
            Some(sum) => add(sum, &gradient),
        }
    }

    /// Lets `write(values, add)` write the gradient by a part, or add to it.
    pub(super) fn update(&mut self, part: &Part, write: impl FnOnce(&mut [f32], bool)) {
        if !part.trained {
            return;
        }
        match self.parts.get_mut(&part.id) {
            Some(sum) => write(sum, true),
            None => {
                let mut values = Buffer::new(part.values.len());
                write(&mut values, false);
                self.parts.insert(part.id, values);
            }
        }
    }

    /// Adds the gradient by a parameter, if it is trained.
    pub(super) fn parameter(&mut self, parameter: &Tensor, gradient: impl FnOnce(&mut [f32])) -> Result<()> {
        if !parameter.track_op() {
            return Ok(());
        }
        let mut values = vec![0f32; parameter.elem_count()];
        gradient(&mut values);
        let mut values = Tensor::from_vec(values, parameter.shape(), &Device::Cpu)?;
        if let Some(sum) = self.parameters.get(parameter) {
            values = (values + sum)?;
        }
        self.parameters.insert(parameter, values);
        Ok(())
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    use rayon::prelude::*;
    sum.par_chunks_mut(1 << 14).zip(values.par_chunks(1 << 14)).for_each(|(sum, values)| {
        sum.iter_mut().zip(values).for_each(|(sum, &v)| *sum += v);
    });
}
