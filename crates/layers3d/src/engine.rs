//! The layers with a tape of their own for gradients, on whatever device the arithmetic is.

mod gradients;
mod volume;

pub use volume::Volume;

use crate::arithmetic::{Arithmetic, AttentionShape, ConvolutionShape, NormInput, NormShape};
use crate::{Activation, Cpu, Dropout, Layers};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, bail};
use gradients::Gradients;
use std::cell::RefCell;

/// The backward pass of one layer.
type Backward<A> = Box<dyn FnOnce(&mut Gradients<A>) -> Result<()>>;

/// The layers of one evaluation.
pub struct Engine<A: Arithmetic = Cpu> {
    arithmetic: A,
    /// What has to run backward, in the order of evaluation, if gradients are wanted.
    tape: Option<RefCell<Vec<Backward<A>>>>,
}

impl<A: Arithmetic> std::fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers = self.tape.as_ref().map(|tape| tape.borrow().len());
        f.debug_struct("Engine").field("layers on the tape", &layers).finish_non_exhaustive()
    }
}

impl Engine {
    /// Layers on the CPU that only compute: memory is free for others as soon as no later layer needs it.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Cpu)
    }

    /// Layers on the CPU that keep what their backward pass needs.
    #[must_use]
    pub fn recording() -> Self {
        Self::recording_on(Cpu)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Arithmetic> Engine<A> {
    /// Layers that only compute: memory is free for others as soon as no later layer needs it.
    #[must_use]
    pub fn on(arithmetic: A) -> Self {
        Self { arithmetic, tape: None }
    }

    /// Layers that keep what their backward pass needs.
    #[must_use]
    pub fn recording_on(arithmetic: A) -> Self {
        Self { arithmetic, tape: Some(RefCell::default()) }
    }

    /// A volume as a tensor (b, c, x, y, z) of the host, outside candle's graph.
    ///
    /// # Errors
    /// If `volume` is a concatenation, which no layer has put together yet.
    pub fn output(&self, volume: &Volume<A>) -> Result<Tensor> {
        let part = volume.whole()?;
        let [x, y, z] = volume.extents;
        self.arithmetic.write(&part.values, [volume.batch, part.channels, x, y, z])
    }

    /// Adds to `store` the gradients by all parameters, from the gradient by `output` (b, c, x, y, z).
    ///
    /// # Errors
    /// If the shapes differ, or the layers were not recorded.
    pub fn backward(self, output: &Volume<A>, gradient: &Tensor, store: &mut GradStore) -> Result<()> {
        let gradient = self.input(gradient)?;
        let shape = |v: &Volume<A>| (v.batch, v.extents, v.channels());
        if shape(&gradient) != shape(output) {
            bail!("a gradient of shape {gradient:?} for an output of shape {output:?}");
        }
        let arithmetic = self.arithmetic.clone();
        for (parameter, values) in self.gradients(output, gradient.into_values()?)? {
            let mut gradient = arithmetic.gradient(&values, &parameter)?;
            if let Some(sum) = store.get(&parameter) {
                gradient = (gradient + sum)?;
            }
            store.insert(&parameter, gradient);
        }
        Ok(())
    }

    /// The gradients by all parameters, where they were computed, from the gradient by `output` in the same order as its values.
    ///
    /// # Errors
    /// If the layers were not recorded.
    pub fn gradients(self, output: &Volume<A>, gradient: A::Memory) -> Result<Vec<(Tensor, A::Memory)>> {
        if self.tape.is_none() {
            bail!("the evaluation was not recorded for gradients");
        }
        let mut gradients = Gradients::new(self.arithmetic.clone());
        gradients.begin(output.whole()?, gradient);
        self.run_backward(&mut gradients)?;
        Ok(gradients.into_parameters())
    }

    /// Runs the tape backward; what a layer kept is free as soon as it has run.
    fn run_backward(self, gradients: &mut Gradients<A>) -> Result<()> {
        let mut tape = self.tape.map(RefCell::into_inner).unwrap_or_default();
        while let Some(backward) = tape.pop() {
            backward(gradients)?;
        }
        Ok(())
    }

    fn record(&self, backward: impl FnOnce(&mut Gradients<A>) -> Result<()> + 'static) {
        if let Some(tape) = &self.tape {
            tape.borrow_mut().push(Box::new(backward));
        }
    }
}

/// Checks the weights of a layer and `plus`; returns the number of outputs.
fn check_layer<A: Arithmetic>(
    x: &Volume<A>,
    weight: &Tensor,
    bias: &Tensor,
    taps: usize,
    plus: Option<&Volume<A>>,
) -> Result<usize> {
    let (outputs, inputs) = (weight.dim(0)?, x.channels());
    if weight.elem_count() != outputs * inputs * taps || bias.elem_count() != outputs {
        bail!(
            "{inputs} channels do not fit weights {:?} with biases {:?}: expected (outputs, {inputs}, ...)",
            weight.dims(),
            bias.dims()
        );
    }
    if let Some(plus) = plus
        && (plus.batch, plus.extents, plus.channels()) != (x.batch, x.extents, outputs)
    {
        bail!("{plus:?} is added to {outputs} channels of {x:?}");
    }
    Ok(outputs)
}

/// The values of a volume that has them in one part, if there is one.
fn values_of<A: Arithmetic>(volume: Option<&Volume<A>>) -> Result<Option<&A::Memory>> {
    volume.map(|volume| Ok(&volume.whole()?.values)).transpose()
}

impl<A: Arithmetic> Layers for Engine<A> {
    type Volume = Volume<A>;

    fn input(&self, x: &Tensor) -> Result<Volume<A>> {
        let (batch, channels, nx, ny, nz) = x.dims5()?;
        Ok(Volume::untrained(batch, [nx, ny, nz], channels, self.arithmetic.read(x)?))
    }

    fn conv3(
        &self,
        x: &Volume<A>,
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Volume<A>>,
    ) -> Result<Volume<A>> {
        let outputs = check_layer(x, weight, bias, 27, plus)?;
        let shape = ConvolutionShape { batch: x.batch, inputs: x.channels(), outputs, extents: x.extents };
        let (values, on) = (&x.whole()?.values, &self.arithmetic);
        let values = on.convolve(&shape, values, weight, false, Some(bias), values_of(plus)?)?;
        let output = Volume::new(x.batch, x.extents, outputs, values);
        let (x, weight, bias, plus) = (x.clone(), weight.clone(), bias.clone(), plus.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.parameter(&bias, |on| on.bias_gradient(&gradient, outputs))?;
            gradients.parameter(&weight, |on| on.weight_gradient(&shape, &part.values, &gradient))?;
            gradients.update(part, |on, so_far| {
                on.convolve(&shape.backward(), &gradient, &weight, true, None, so_far.as_ref())
            })?;
            match plus {
                Some(plus) => gradients.give(plus.whole()?, gradient),
                None => Ok(()),
            }
        });
        Ok(output)
    }

    fn conv1(
        &self,
        x: &Volume<A>,
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Volume<A>>,
    ) -> Result<Volume<A>> {
        let outputs = check_layer(x, weight, bias, 1, plus)?;
        let values = self.arithmetic.pointwise(&x.sides(), weight, bias, values_of(plus)?)?;
        let output = Volume::new(x.batch, x.extents, outputs, values);
        let (x, weight, bias, plus) = (x.clone(), weight.clone(), bias.clone(), plus.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            gradients.parameter(&bias, |on| on.bias_gradient(&gradient, outputs))?;
            gradients
                .parameter(&weight, |on| on.pointwise_weight_gradient(&x.sides(), &gradient, &weight))?;
            let mut first = 0;
            for part in &x.parts {
                gradients.update(part, |on, so_far| {
                    on.pointwise_input_gradient(&gradient, &weight, first, part.channels, so_far)
                })?;
                first += part.channels;
            }
            match plus {
                Some(plus) => gradients.give(plus.whole()?, gradient),
                None => Ok(()),
            }
        });
        Ok(output)
    }

    fn group_norm(
        &self,
        x: &Volume<A>,
        groups: usize,
        weight: &Tensor,
        bias: &Tensor,
        scale_shift: Option<&Volume<A>>,
        activation: Activation,
    ) -> Result<Volume<A>> {
        let channels = x.channels();
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!("group_norm: {channels} channels do not split into {groups} groups");
        }
        if weight.elem_count() != channels || bias.elem_count() != channels {
            bail!(
                "group_norm: {channels} channels do not fit weights {:?}, {:?}",
                weight.dims(),
                bias.dims()
            );
        }
        if let Some(s) = scale_shift
            && (s.batch, s.voxels(), s.channels()) != (x.batch, 1, 2 * channels)
        {
            bail!("group_norm: {s:?} do not scale and shift {x:?}");
        }
        let shape =
            NormShape { batch: x.batch, voxels: x.voxels(), groups, silu: activation == Activation::Silu };
        let input = NormInput { sides: x.sides(), weight, bias, scale_shift: values_of(scale_shift)? };
        let (values, norm) = self.arithmetic.group_norm(&shape, &input)?;
        let output = Volume::new(x.batch, x.extents, channels, values);
        let (x, weight, bias, scale_shift) = (x.clone(), weight.clone(), bias.clone(), scale_shift.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let so_far = x.parts.iter().map(|part| gradients.take(part.id)).collect();
            let scales = values_of(scale_shift.as_ref())?;
            let input = NormInput { sides: x.sides(), weight: &weight, bias: &bias, scale_shift: scales };
            let by = gradients.on().group_norm_backward(&shape, &input, &norm, &gradient, so_far)?;
            for (part, values) in x.parts.iter().zip(by.by_sides) {
                gradients.give(part, values)?;
            }
            let [by_weight, by_bias] = by.by_affine;
            gradients.parameter(&weight, |_| Ok(by_weight))?;
            gradients.parameter(&bias, |_| Ok(by_bias))?;
            match (scale_shift, by.by_scale_shift) {
                (Some(volume), Some(by)) => gradients.give(volume.whole()?, by),
                _ => Ok(()),
            }
        });
        Ok(output)
    }

    fn silu(&self, x: &Volume<A>) -> Result<Volume<A>> {
        let part = x.whole()?;
        let output = Volume::new(x.batch, x.extents, part.channels, self.arithmetic.silu(&part.values)?);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            let by = gradients.on().silu_backward(&part.values, gradient)?;
            gradients.give(part, by)
        });
        Ok(output)
    }

    fn average_pool(&self, x: &Volume<A>) -> Result<Volume<A>> {
        if x.extents.iter().any(|n| !n.is_multiple_of(2)) {
            bail!("average_pool: sides {:?} must be even", x.extents);
        }
        let part = x.whole()?;
        let values = self.arithmetic.sum_blocks(&part.values, x.extents, part.channels, 0.125, None)?;
        let output = Volume::new(x.batch, x.extents.map(|n| n / 2), part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.update(part, |on, so_far| {
                on.repeat_blocks(&gradient, x.extents.map(|n| n / 2), part.channels, 0.125, so_far)
            })
        });
        Ok(output)
    }

    fn upsample_nearest(&self, x: &Volume<A>) -> Result<Volume<A>> {
        let part = x.whole()?;
        let values = self.arithmetic.repeat_blocks(&part.values, x.extents, part.channels, 1.0, None)?;
        let output = Volume::new(x.batch, x.extents.map(|n| n * 2), part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.update(part, |on, so_far| {
                on.sum_blocks(&gradient, x.extents.map(|n| n * 2), part.channels, 1.0, so_far)
            })
        });
        Ok(output)
    }

    fn concatenate(&self, a: &Volume<A>, b: &Volume<A>) -> Result<Volume<A>> {
        if (a.batch, a.extents) != (b.batch, b.extents) {
            bail!("{a:?} and {b:?} cannot lie side by side");
        }
        let parts = a.parts.iter().chain(&b.parts).cloned().collect();
        Ok(Volume { parts, ..*a })
    }

    fn attention(&self, qkv: &Volume<A>, heads: usize) -> Result<Volume<A>> {
        let part = qkv.whole()?;
        if heads == 0 || !part.channels.is_multiple_of(3 * heads) {
            bail!("attention: {} channels do not split into q, k and v of {heads} heads", part.channels);
        }
        let (batch, points) = (qkv.batch, qkv.voxels());
        let shape = AttentionShape { batch, points, heads, dim: part.channels / (3 * heads) };
        let (values, kept) = self.arithmetic.attention(shape, &part.values)?;
        let output = Volume::new(qkv.batch, qkv.extents, part.channels / 3, values);
        let (qkv, result, id) = (qkv.clone(), output.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let (part, output) = (qkv.whole()?, &result.whole()?.values);
            let by = gradients.on().attention_backward(shape, &part.values, output, &kept, &gradient)?;
            gradients.give(part, by)
        });
        Ok(output)
    }

    fn dropout(&self, x: &Volume<A>, dropout: Dropout) -> Result<Volume<A>> {
        let part = x.whole()?;
        let factor = dropout.factor();
        let bits = self.arithmetic.bits(&dropout, x.batch * x.voxels() * part.channels)?;
        let values = self.arithmetic.keep(&part.values, &bits, factor)?;
        let output = Volume::new(x.batch, x.extents, part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let by = gradients.on().keep(&gradient, &bits, factor)?;
            gradients.give(x.whole()?, by)
        });
        Ok(output)
    }

    fn checkpoint(
        &self,
        inputs: Vec<Volume<A>>,
        run: impl Fn(&Self, &[Volume<A>]) -> Result<Volume<A>> + 'static,
    ) -> Result<Volume<A>> {
        let output = run(&Self::on(self.arithmetic.clone()), &inputs)?;
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let again = Self::recording_on(gradients.on().clone());
            let output = run(&again, &inputs)?;
            gradients.give(output.whole()?, gradient)?;
            again.run_backward(gradients)
        });
        Ok(output)
    }
}
