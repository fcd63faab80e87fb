//! The layers on the CPU in f32: our kernels, channels last, with memory that is used again and a tape of their own
//! for gradients.

mod gradients;
mod volume;

pub use volume::Volume;

use crate::buffer::Buffer;
use crate::kernels::{self, AttentionShape, ConvolutionShape, Extra, NormShape, Part, PartGradient, Weights};
use crate::{Activation, Layers};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, bail};
use gradients::Gradients;
use std::cell::RefCell;
use volume::with_values;

/// The backward pass of one layer.
type Backward = Box<dyn FnOnce(&mut Gradients<'_>) -> Result<()>>;

/// The layers of one evaluation.
#[derive(Default)]
pub struct Engine {
    /// What has to run backward, in the order of evaluation, if gradients are wanted.
    tape: Option<RefCell<Vec<Backward>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layers = self.tape.as_ref().map(|tape| tape.borrow().len());
        f.debug_struct("Engine").field("layers on the tape", &layers).finish()
    }
}

impl Engine {
    /// Layers that only compute: memory is free for others as soon as no later layer needs it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Layers that keep what their backward pass needs.
    #[must_use]
    pub fn recording() -> Self {
        Self { tape: Some(RefCell::default()) }
    }

    /// A volume as a tensor (b, c, x, y, z), outside candle's graph.
    ///
    /// # Errors
    /// If `volume` is a concatenation, which no layer has put together yet.
    pub fn output(&self, volume: &Volume) -> Result<Tensor> {
        volume.to_tensor()
    }

    /// Adds to `store` the gradients by all parameters, from the gradient by `output` (b, c, x, y, z).
    ///
    /// # Errors
    /// If the shapes differ, or the layers were not recorded.
    pub fn backward(self, output: &Volume, gradient: &Tensor, store: &mut GradStore) -> Result<()> {
        if self.tape.is_none() {
            bail!("the evaluation was not recorded for gradients");
        }
        let gradient = Volume::from_tensor(gradient)?;
        let shape = |v: &Volume| (v.batch, v.extents, v.channels());
        if shape(&gradient) != shape(output) {
            bail!("a gradient of shape {gradient:?} for an output of shape {output:?}");
        }
        let mut gradients = Gradients::new(store);
        let values = &gradient.whole()?.values;
        gradients.update(output.whole()?, |to, _| to.copy_from_slice(values));
        self.run_backward(&mut gradients)
    }

    /// Runs the tape backward; what a layer kept is free as soon as it has run.
    fn run_backward(self, gradients: &mut Gradients<'_>) -> Result<()> {
        let mut tape = self.tape.map(RefCell::into_inner).unwrap_or_default();
        while let Some(backward) = tape.pop() {
            backward(gradients)?;
        }
        Ok(())
    }

    fn record(&self, backward: impl FnOnce(&mut Gradients<'_>) -> Result<()> + 'static) {
        if let Some(tape) = &self.tape {
            tape.borrow_mut().push(Box::new(backward));
        }
    }
}

/// Checks the weights of a layer and `plus`; returns the number of outputs.
fn check_layer(
    x: &Volume,
    weight: &Tensor,
    bias: &Tensor,
    taps: usize,
    plus: Option<&Volume>,
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

fn plus_values(plus: Option<&Volume>) -> Result<Option<&[f32]>> {
    plus.map(|plus| Ok(&*plus.whole()?.values)).transpose()
}

fn norm_parts(x: &Volume) -> Vec<Part<'_>> {
    x.parts.iter().map(|part| Part { values: &part.values, channels: part.channels }).collect()
}

impl Layers for Engine {
    type Volume = Volume;

    fn input(&self, x: &Tensor) -> Result<Volume> {
        Volume::from_tensor(x)
    }

    fn conv3(&self, x: &Volume, weight: &Tensor, bias: &Tensor, plus: Option<&Volume>) -> Result<Volume> {
        let outputs = check_layer(x, weight, bias, 27, plus)?;
        let shape = ConvolutionShape { batch: x.batch, inputs: x.channels(), outputs, extents: x.extents };
        let mut values = Buffer::new(x.batch * x.voxels() * outputs);
        with_values(weight, |weight| {
            with_values(bias, |bias| {
                let plus = plus_values(plus)?;
                kernels::convolve(&shape, &x.whole()?.values, weight, false, Some(bias), plus, &mut values);
                Ok(())
            })
        })?;
        let output = Volume::new(x.batch, x.extents, outputs, values);
        let (x, weight, bias, plus) = (x.clone(), weight.clone(), bias.clone(), plus.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.parameter(&bias, |by| kernels::bias_gradient(&gradient, outputs, by))?;
            gradients
                .parameter(&weight, |by| kernels::weight_gradient(&shape, &part.values, &gradient, by))?;
            if part.trained {
                let so_far = gradients.take(part.id);
                let mut by_x = Buffer::new(part.values.len());
                with_values(&weight, |weight| {
                    let plus = so_far.as_deref();
                    kernels::convolve(&shape.backward(), &gradient, weight, true, None, plus, &mut by_x);
                    Ok(())
                })?;
                gradients.give(part, by_x);
            }
            if let Some(plus) = plus {
                gradients.give(plus.whole()?, gradient);
            }
            Ok(())
        });
        Ok(output)
    }

    fn conv1(&self, x: &Volume, weight: &Tensor, bias: &Tensor, plus: Option<&Volume>) -> Result<Volume> {
        let outputs = check_layer(x, weight, bias, 1, plus)?;
        let inputs = x.channels();
        let mut values = Buffer::new(x.batch * x.voxels() * outputs);
        with_values(weight, |weight| {
            with_values(bias, |bias| {
                let plus = plus_values(plus)?;
                let mut first_input = 0;
                for part in &x.parts {
                    let weights = Weights { values: weight, inputs, first_input };
                    let extra = match first_input {
                        0 => Extra { bias: Some(bias), plus, add: false },
                        _ => Extra { bias: None, plus: None, add: true },
                    };
                    kernels::pointwise(&part.values, part.channels, weights, outputs, extra, &mut values);
                    first_input += part.channels;
                }
                Ok(())
            })
        })?;
        let output = Volume::new(x.batch, x.extents, outputs, values);
        let (x, weight, bias, plus) = (x.clone(), weight.clone(), bias.clone(), plus.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            gradients.parameter(&bias, |by| kernels::bias_gradient(&gradient, outputs, by))?;
            gradients.parameter(&weight, |by| {
                let mut first = 0;
                for part in &x.parts {
                    let (values, channels) = (&part.values, part.channels);
                    kernels::pointwise_weight_gradient(
                        values, channels, &gradient, outputs, inputs, first, by,
                    );
                    first += channels;
                }
            })?;
            with_values(&weight, |weight| {
                let mut first_input = 0;
                for part in &x.parts {
                    let weights = Weights { values: weight, inputs, first_input };
                    gradients.update(part, |by, add| {
                        kernels::pointwise_input_gradient(
                            &gradient,
                            outputs,
                            weights,
                            part.channels,
                            add,
                            by,
                        );
                    });
                    first_input += part.channels;
                }
                Ok(())
            })?;
            if let Some(plus) = plus {
                gradients.give(plus.whole()?, gradient);
            }
            Ok(())
        });
        Ok(output)
    }

    fn group_norm(
        &self,
        x: &Volume,
        groups: usize,
        weight: &Tensor,
        bias: &Tensor,
        scale_shift: Option<&Volume>,
        activation: Activation,
    ) -> Result<Volume> {
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
        let shape = NormShape { voxels: x.voxels(), groups, silu: activation == Activation::Silu };
        let affine = Affine::new(x.batch, weight, bias, scale_shift)?;
        let parts = norm_parts(x);
        let moments = kernels::moments(&shape, &parts);
        let mut values = Buffer::new(x.batch * x.voxels() * channels);
        kernels::normalize(&shape, &parts, &moments, &affine.scale, &affine.shift, &mut values);
        drop(parts);
        let output = Volume::new(x.batch, x.extents, channels, values);
        let (x, weight, bias, scale_shift) = (x.clone(), weight.clone(), bias.clone(), scale_shift.cloned());
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let (mut by_scale, mut by_shift) =
                (vec![0f32; affine.scale.len()], vec![0f32; affine.scale.len()]);
            let mut targets: Vec<(bool, Buffer)> = x
                .parts
                .iter()
                .map(|part| match gradients.take(part.id) {
                    Some(so_far) => (true, so_far),
                    None => (false, Buffer::new(part.values.len())),
                })
                .collect();
            let by_parts =
                targets.iter_mut().map(|(add, values)| PartGradient { values, add: *add }).collect();
            kernels::normalize_backward(
                &shape,
                &norm_parts(&x),
                &moments,
                [&affine.scale, &affine.shift],
                &gradient,
                by_parts,
                [&mut by_scale, &mut by_shift],
            );
            for (part, (_, values)) in x.parts.iter().zip(targets) {
                gradients.give(part, values);
            }
            affine.backward(gradients, &weight, &bias, scale_shift.as_ref(), &by_scale, &by_shift)
        });
        Ok(output)
    }

    fn silu(&self, x: &Volume) -> Result<Volume> {
        let part = x.whole()?;
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let mut values = Buffer::new(part.values.len());
        values.iter_mut().zip(part.values.iter()).for_each(|(to, &x)| *to = x * sigmoid(x));
        let output = Volume::new(x.batch, x.extents, part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(mut gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            for (g, &x) in gradient.iter_mut().zip(part.values.iter()) {
                let s = sigmoid(x);
                *g *= s * (1.0 + x * (1.0 - s));
            }
            gradients.give(part, gradient);
            Ok(())
        });
        Ok(output)
    }

    fn average_pool(&self, x: &Volume) -> Result<Volume> {
        if x.extents.iter().any(|n| !n.is_multiple_of(2)) {
            bail!("average_pool: sides {:?} must be even", x.extents);
        }
        let part = x.whole()?;
        let mut values = Buffer::new(part.values.len() / 8);
        kernels::sum_blocks(&part.values, x.extents, part.channels, 0.125, false, &mut values);
        let output = Volume::new(x.batch, x.extents.map(|n| n / 2), part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.update(part, |by, add| {
                kernels::repeat_blocks(&gradient, x.extents.map(|n| n / 2), part.channels, 0.125, add, by);
            });
            Ok(())
        });
        Ok(output)
    }

    fn upsample_nearest(&self, x: &Volume) -> Result<Volume> {
        let part = x.whole()?;
        let mut values = Buffer::new(part.values.len() * 8);
        kernels::repeat_blocks(&part.values, x.extents, part.channels, 1.0, false, &mut values);
        let output = Volume::new(x.batch, x.extents.map(|n| n * 2), part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let part = x.whole()?;
            gradients.update(part, |by, add| {
                kernels::sum_blocks(&gradient, x.extents.map(|n| n * 2), part.channels, 1.0, add, by);
            });
            Ok(())
        });
        Ok(output)
    }

    fn concatenate(&self, a: &Volume, b: &Volume) -> Result<Volume> {
        if (a.batch, a.extents) != (b.batch, b.extents) {
            bail!("{a:?} and {b:?} cannot lie side by side");
        }
        let parts = a.parts.iter().chain(&b.parts).cloned().collect();
        Ok(Volume { parts, ..*a })
    }

    fn attention(&self, qkv: &Volume, heads: usize) -> Result<Volume> {
        let part = qkv.whole()?;
        if heads == 0 || !part.channels.is_multiple_of(3 * heads) {
            bail!("attention: {} channels do not split into q, k and v of {heads} heads", part.channels);
        }
        let shape = AttentionShape { points: qkv.voxels(), heads, dim: part.channels / (3 * heads) };
        let mut values = Buffer::new(part.values.len() / 3);
        let denominators = kernels::attention(shape, &part.values, &mut values);
        let output = Volume::new(qkv.batch, qkv.extents, part.channels / 3, values);
        let (qkv, result, id) = (qkv.clone(), output.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let (part, output) = (qkv.whole()?, &result.whole()?.values);
            let mut by = Buffer::new(part.values.len());
            kernels::attention_backward(shape, &part.values, output, &denominators, &gradient, &mut by);
            gradients.give(part, by);
            Ok(())
        });
        Ok(output)
    }

    fn keep(&self, x: &Volume, bits: Vec<u32>, factor: f32) -> Result<Volume> {
        let part = x.whole()?;
        if 32 * bits.len() < part.values.len() {
            bail!("{} bits are too few for {} units", 32 * bits.len(), part.values.len());
        }
        let mut values = Buffer::new(part.values.len());
        kernels::keep(&part.values, &bits, factor, &mut values);
        let output = Volume::new(x.batch, x.extents, part.channels, values);
        let (x, id) = (x.clone(), output.id()?);
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let mut by = Buffer::new(gradient.len());
            kernels::keep(&gradient, &bits, factor, &mut by);
            gradients.give(x.whole()?, by);
            Ok(())
        });
        Ok(output)
    }

    fn checkpoint(
        &self,
        inputs: Vec<Volume>,
        run: impl Fn(&Self, &[Volume]) -> Result<Volume> + 'static,
    ) -> Result<Volume> {
        let output = run(&Self::new(), &inputs)?;
        let id = output.id()?;
        self.record(move |gradients| {
            let Some(gradient) = gradients.take(id) else { return Ok(()) };
            let again = Self::recording();
            let output = run(&again, &inputs)?;
            gradients.give(output.whole()?, gradient);
            again.run_backward(gradients)
        });
        Ok(output)
    }

    fn units(&self, x: &Volume) -> usize {
        x.batch * x.voxels() * x.channels()
    }
}

/// The two affine maps after a norm as one: (weight (1 + scale), bias (1 + scale) + shift) per sample and channel.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    fn new(batch: usize, weight: &Tensor, bias: &Tensor, scale_shift: Option<&Volume>) -> Result<Self> {
        let (weight, bias) = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
        let channels = weight.len();
        let Some(scale_shift) = scale_shift else {
            return Ok(Self { scale: weight.repeat(batch), shift: bias.repeat(batch) });
        };
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for row in scale_shift.whole()?.values.chunks_exact(2 * channels) {
            let (scales, shifts) = row.split_at(channels);
            scale.extend(weight.iter().zip(scales).map(|(w, s)| w * (1.0 + s)));
            shift.extend(bias.iter().zip(scales).zip(shifts).map(|((b, s), t)| b * (1.0 + s) + t));
        }
        Ok(Self { scale, shift })
    }

    /// From the gradients by both (b, c) to those of what they were made of.
    fn backward(
        &self,
        gradients: &mut Gradients<'_>,
        weight: &Tensor,
        bias: &Tensor,
        scale_shift: Option<&Volume>,
        by_scale: &[f32],
        by_shift: &[f32],
    ) -> Result<()> {
        let channels = weight.elem_count();
        let part = scale_shift.map(Volume::whole).transpose()?;
        let factor =
            |sample: usize, c: usize| part.map_or(1.0, |part| 1.0 + part.values[sample * 2 * channels + c]);
        let sum = |by: &[f32], to: &mut [f32]| {
            for (i, by) in by.iter().enumerate() {
                to[i % channels] += by * factor(i / channels, i % channels);
            }
        };
        gradients.parameter(weight, |to| sum(by_scale, to))?;
        gradients.parameter(bias, |to| sum(by_shift, to))?;
        if let Some(part) = part {
            let (weight, bias) = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
            let mut by = Buffer::new(part.values.len());
            for (sample, by) in by.chunks_exact_mut(2 * channels).enumerate() {
                for c in 0..channels {
                    let at = sample * channels + c;
                    by[c] = by_scale[at] * weight[c] + by_shift[at] * bias[c];
                    by[channels + c] = by_shift[at];
                }
            }
            gradients.give(part, by);
        }
        Ok(())
    }
}
