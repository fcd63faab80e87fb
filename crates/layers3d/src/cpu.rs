//! The arithmetic on CPUs, in f32: our kernels, with memory that is used again.

use crate::Dropout;
use crate::arithmetic::{
    Arithmetic, AttentionShape, ConvolutionShape, NormGradients, NormInput, NormShape, Side,
};
use crate::buffer::Buffer;
use crate::kernels::{self, Extra, Moments, Part, PartGradient, Weights};
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

/// The CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

/// How a batch was normalised, and the affine map after it.
pub struct Normalised {
    moments: Moments,
    affine: Affine,
}

impl Arithmetic for Cpu {
    type Memory = Buffer;
    type Norm = Normalised;
    type Attention = Vec<f32>;
    type Bits = Vec<u32>;

    fn read(&self, x: &Tensor) -> Result<Buffer> {
        let (batch, channels, nx, ny, nz) = x.dims5()?;
        let voxels = nx * ny * nz;
        let mut buffer = Buffer::new(batch * voxels * channels);
        with_values(x, |values| {
            buffer.par_chunks_mut(voxels * channels).enumerate().for_each(|(sample, to)| {
                let from = &values[sample * voxels * channels..][..voxels * channels];
                for (voxel, to) in to.chunks_exact_mut(channels).enumerate() {
                    to.iter_mut().enumerate().for_each(|(c, to)| *to = from[c * voxels + voxel]);
                }
            });
            Ok(())
        })?;
        Ok(buffer)
    }

    fn write(&self, from: &Buffer, shape: [usize; 5]) -> Result<Tensor> {
        let [_, channels, nx, ny, nz] = shape;
        let voxels = nx * ny * nz;
        let mut values = vec![0f32; from.len()];
        values.par_chunks_mut(voxels).enumerate().for_each(|(row, to)| {
            let (sample, c) = (row / channels, row % channels);
            let from = &from[sample * voxels * channels..][..voxels * channels];
            to.iter_mut().zip(from[c..].iter().step_by(channels)).for_each(|(to, &from)| *to = from);
        });
        Tensor::from_vec(values, &shape, &Device::Cpu)
    }

    fn gradient(&self, values: &Buffer, parameter: &Tensor) -> Result<Tensor> {
        Tensor::from_slice(values, parameter.shape(), &Device::Cpu)
    }

    fn add(&self, sum: &mut Buffer, x: &Buffer) -> Result<()> {
        kernels::add(sum, x);
        Ok(())
    }

    fn convolve(
        &self,
        shape: &ConvolutionShape,
        x: &Buffer,
        weight: &Tensor,
        reversed: bool,
        bias: Option<&Tensor>,
        plus: Option<&Buffer>,
    ) -> Result<Buffer> {
        let mut output = Buffer::new(shape.batch * shape.voxels() * shape.outputs);
        with_values(weight, |weight| {
            let mut convolve = |bias: Option<&[f32]>| {
                kernels::convolve(shape, x, weight, reversed, bias, plus.map(|plus| &**plus), &mut output);
                Ok(())
            };
            match bias {
                None => convolve(None),
                Some(bias) => with_values(bias, |bias| convolve(Some(bias))),
            }
        })?;
        Ok(output)
    }

    fn weight_gradient(&self, shape: &ConvolutionShape, x: &Buffer, gradient: &Buffer) -> Result<Buffer> {
        let mut by_weight = Buffer::new(27 * shape.inputs * shape.outputs);
        kernels::weight_gradient(shape, x, gradient, &mut by_weight);
        Ok(by_weight)
    }

    fn bias_gradient(&self, gradient: &Buffer, channels: usize) -> Result<Buffer> {
        let mut by_bias = Buffer::new(channels);
        kernels::bias_gradient(gradient, channels, &mut by_bias);
        Ok(by_bias)
    }

    fn pointwise(
        &self,
        x: &[Side<'_, Buffer>],
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&Buffer>,
    ) -> Result<Buffer> {
        let (outputs, inputs) = (bias.elem_count(), channels(x));
        let mut output = Buffer::new(rows(x) * outputs);
        with_values(weight, |weight| {
            with_values(bias, |bias| {
                let mut first_input = 0;
                for side in x {
                    let weights = Weights { values: weight, inputs, first_input };
                    let extra = match first_input {
                        0 => Extra { bias: Some(bias), plus: plus.map(|plus| &**plus), add: false },
                        _ => Extra { bias: None, plus: None, add: true },
                    };
                    kernels::pointwise(side.values, side.channels, weights, outputs, extra, &mut output);
                    first_input += side.channels;
                }
                Ok(())
            })
        })?;
        Ok(output)
    }

    fn pointwise_weight_gradient(
        &self,
        x: &[Side<'_, Buffer>],
        gradient: &Buffer,
        weight: &Tensor,
    ) -> Result<Buffer> {
        let (outputs, inputs) = (weight.dim(0)?, channels(x));
        let mut by_weight = Buffer::new(outputs * inputs);
        let mut first = 0;
        for side in x {
            let (values, channels) = (side.values, side.channels);
            kernels::pointwise_weight_gradient(
                values,
                channels,
                gradient,
                outputs,
                inputs,
                first,
                &mut by_weight,
            );
            first += channels;
        }
        Ok(by_weight)
    }

    fn pointwise_input_gradient(
        &self,
        gradient: &Buffer,
        weight: &Tensor,
        first: usize,
        channels: usize,
        so_far: Option<Buffer>,
    ) -> Result<Buffer> {
        let outputs = weight.dim(0)?;
        let inputs = weight.elem_count() / outputs;
        let (mut by_x, add) = begun(so_far, gradient.len() / outputs * channels);
        with_values(weight, |weight| {
            let weights = Weights { values: weight, inputs, first_input: first };
            kernels::pointwise_input_gradient(gradient, outputs, weights, channels, add, &mut by_x);
            Ok(())
        })?;
        Ok(by_x)
    }

    fn group_norm(&self, shape: &NormShape, x: &NormInput<'_, Buffer>) -> Result<(Buffer, Normalised)> {
        let affine = Affine::new(shape.batch, x)?;
        let parts = parts(&x.sides);
        let moments = kernels::moments(shape, &parts);
        let mut values = Buffer::new(rows(&x.sides) * channels(&x.sides));
        kernels::normalize(shape, &parts, &moments, &affine.scale, &affine.shift, &mut values);
        Ok((values, Normalised { moments, affine }))
    }

    fn group_norm_backward(
        &self,
        shape: &NormShape,
        x: &NormInput<'_, Buffer>,
        norm: &Normalised,
        gradient: &Buffer,
        so_far: Vec<Option<Buffer>>,
    ) -> Result<NormGradients<Buffer>> {
        let Normalised { moments, affine } = norm;
        let (mut by_scale, mut by_shift) = (vec![0f32; affine.scale.len()], vec![0f32; affine.scale.len()]);
        let mut by_sides: Vec<(Buffer, bool)> =
            x.sides.iter().zip(so_far).map(|(side, so_far)| begun(so_far, side.values.len())).collect();
        let targets = by_sides.iter_mut().map(|(values, add)| PartGradient { values, add: *add }).collect();
        kernels::normalize_backward(
            shape,
            &parts(&x.sides),
            moments,
            [&affine.scale, &affine.shift],
            gradient,
            targets,
            [&mut by_scale, &mut by_shift],
        );
        let (by_affine, by_scale_shift) = Affine::backward(x, &by_scale, &by_shift)?;
        let by_sides = by_sides.into_iter().map(|(values, _)| values).collect();
        Ok(NormGradients { by_sides, by_affine, by_scale_shift })
    }

    fn silu(&self, x: &Buffer) -> Result<Buffer> {
        let mut values = Buffer::new(x.len());
        values.iter_mut().zip(x.iter()).for_each(|(to, &x)| *to = x * sigmoid(x));
        Ok(values)
    }

    fn silu_backward(&self, x: &Buffer, mut gradient: Buffer) -> Result<Buffer> {
        for (g, &x) in gradient.iter_mut().zip(x.iter()) {
            let s = sigmoid(x);
            *g *= s * (1.0 + x * (1.0 - s));
        }
        Ok(gradient)
    }

    fn sum_blocks(
        &self,
        x: &Buffer,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<Buffer>,
    ) -> Result<Buffer> {
        let (mut output, add) = begun(so_far, x.len() / 8);
        kernels::sum_blocks(x, extents, channels, factor, add, &mut output);
        Ok(output)
    }

    fn repeat_blocks(
        &self,
        x: &Buffer,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<Buffer>,
    ) -> Result<Buffer> {
        let (mut output, add) = begun(so_far, x.len() * 8);
        kernels::repeat_blocks(x, extents, channels, factor, add, &mut output);
        Ok(output)
    }

    fn attention(&self, shape: AttentionShape, qkv: &Buffer) -> Result<(Buffer, Vec<f32>)> {
        let mut values = Buffer::new(qkv.len() / 3);
        let denominators = kernels::attention(shape, qkv, &mut values);
        Ok((values, denominators))
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        qkv: &Buffer,
        output: &Buffer,
        denominators: &Vec<f32>,
        gradient: &Buffer,
    ) -> Result<Buffer> {
        let mut by = Buffer::new(qkv.len());
        kernels::attention_backward(shape, qkv, output, denominators, gradient, &mut by);
        Ok(by)
    }

    fn bits(&self, dropout: &Dropout, units: usize) -> Result<Vec<u32>> {
        Ok(dropout.bits(units))
    }

    fn keep(&self, x: &Buffer, bits: &Vec<u32>, factor: f32) -> Result<Buffer> {
        let mut values = Buffer::new(x.len());
        kernels::keep(x, bits, factor, &mut values);
        Ok(values)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn channels(x: &[Side<'_, Buffer>]) -> usize {
    x.iter().map(|side| side.channels).sum()
}

fn rows(x: &[Side<'_, Buffer>]) -> usize {
    x.first().map_or(0, |side| side.values.len() / side.channels.max(1))
}

fn parts<'a>(x: &'a [Side<'_, Buffer>]) -> Vec<Part<'a>> {
    x.iter().map(|side| Part { values: side.values, channels: side.channels }).collect()
}

/// What there is so far, to add to, or memory that holds nothing yet.
fn begun(so_far: Option<Buffer>, len: usize) -> (Buffer, bool) {
    match so_far {
        Some(values) => (values, true),
        None => (Buffer::new(len), false),
    }
}

/// Hands the values of an f32 tensor on the CPU to `use_values`, in the order of its shape.
pub(crate) fn with_values<T>(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    if tensor.dtype() != DType::F32 {
        bail!("the engine computes in f32, found a tensor of type {:?}", tensor.dtype());
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => use_values(&values[start..end]),
        _ => bail!("the engine computes on the CPU, found a tensor on {:?}", tensor.device()),
    }
}

/// The two affine maps after a norm as one: (weight (1 + scale), bias (1 + scale) + shift) per sample and channel.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    fn new(batch: usize, x: &NormInput<'_, Buffer>) -> Result<Self> {
        let (weight, bias) = (x.weight.to_vec1::<f32>()?, x.bias.to_vec1::<f32>()?);
        let channels = weight.len();
        let Some(scale_shift) = x.scale_shift else {
            return Ok(Self { scale: weight.repeat(batch), shift: bias.repeat(batch) });
        };
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for row in scale_shift.chunks_exact(2 * channels) {
            let (scales, shifts) = row.split_at(channels);
            scale.extend(weight.iter().zip(scales).map(|(w, s)| w * (1.0 + s)));
            shift.extend(bias.iter().zip(scales).zip(shifts).map(|((b, s), t)| b * (1.0 + s) + t));
        }
        Ok(Self { scale, shift })
    }

    /// From the gradients by both (b, c) to those of what they were made of: weight and bias, and scale and shift.
    fn backward(
        x: &NormInput<'_, Buffer>,
        by_scale: &[f32],
        by_shift: &[f32],
    ) -> Result<([Buffer; 2], Option<Buffer>)> {
        let channels = x.weight.elem_count();
        let factor = |sample: usize, c: usize| {
            x.scale_shift.map_or(1.0, |scales| 1.0 + scales[sample * 2 * channels + c])
        };
        let sum = |by: &[f32]| {
            let mut to = Buffer::new(channels);
            to.fill(0.0);
            for (i, by) in by.iter().enumerate() {
                to[i % channels] += by * factor(i / channels, i % channels);
            }
            to
        };
        let by_affine = [sum(by_scale), sum(by_shift)];
        let Some(scale_shift) = x.scale_shift else { return Ok((by_affine, None)) };
        let (weight, bias) = (x.weight.to_vec1::<f32>()?, x.bias.to_vec1::<f32>()?);
        let mut by = Buffer::new(scale_shift.len());
        for (sample, by) in by.chunks_exact_mut(2 * channels).enumerate() {
            for c in 0..channels {
                let at = sample * channels + c;
                by[c] = by_scale[at] * weight[c] + by_shift[at] * bias[c];
                by[channels + c] = by_shift[at];
            }
        }
        Ok((by_affine, Some(by)))
    }
}
