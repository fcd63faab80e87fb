//! Gradients on their way back through the network.

use super::volume::Part;
use crate::arithmetic::Arithmetic;
use candle_core::{Result, Tensor};
use std::collections::HashMap;

/// Gradients by what layers computed, and by the parameters.
pub(super) struct Gradients<A: Arithmetic> {
    on: A,
    parts: HashMap<u64, A::Memory>,
    /// In the order in which they came first, so that all runs add alike.
    parameters: Vec<(Tensor, A::Memory)>,
}

impl<A: Arithmetic> Gradients<A> {
    pub(super) fn new(on: A) -> Self {
        Self { on, parts: HashMap::new(), parameters: Vec::new() }
    }

    /// What computes them.
    pub(super) fn on(&self) -> &A {
        &self.on
    }

    /// Puts in the gradient by the network's output, which may be an input that nothing was done to.
    pub(super) fn begin(&mut self, part: &Part<A::Memory>, gradient: A::Memory) {
        if part.trained {
            self.parts.insert(part.id, gradient);
        }
    }

    /// The gradient by the output of a layer, complete once every later layer has run backward. None if nothing depends
    /// on it.
    pub(super) fn take(&mut self, output: u64) -> Option<A::Memory> {
        self.parts.remove(&output)
    }

    /// Puts in, or adds, a gradient that another layer is done with.
    pub(super) fn give(&mut self, part: &Part<A::Memory>, gradient: A::Memory) -> Result<()> {
        if !part.trained {
            return Ok(());
        }
        match self.parts.get_mut(&part.id) {
            None => drop(self.parts.insert(part.id, gradient)),
            Some(sum) => self.on.add(sum, &gradient)?,
        }
        Ok(())
    }

    /// Lets `add(on, so_far)` make the gradient by a part, of what there is so far.
    pub(super) fn update(
        &mut self,
        part: &Part<A::Memory>,
        add: impl FnOnce(&A, Option<A::Memory>) -> Result<A::Memory>,
    ) -> Result<()> {
        if part.trained {
            let so_far = self.parts.remove(&part.id);
            self.parts.insert(part.id, add(&self.on, so_far)?);
        }
        Ok(())
    }

    /// Adds the gradient by a parameter, if it is trained.
    pub(super) fn parameter(
        &mut self,
        parameter: &Tensor,
        gradient: impl FnOnce(&A) -> Result<A::Memory>,
    ) -> Result<()> {
        if !parameter.track_op() {
            return Ok(());
        }
        let gradient = gradient(&self.on)?;
        match self.parameters.iter_mut().find(|(known, _)| known.id() == parameter.id()) {
            None => self.parameters.push((parameter.clone(), gradient)),
            Some((_, sum)) => self.on.add(sum, &gradient)?,
        }
        Ok(())
    }

    /// Those by all parameters.
    pub(super) fn into_parameters(self) -> Vec<(Tensor, A::Memory)> {
        self.parameters
    }
}
