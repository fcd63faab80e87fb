//! The arithmetic of layers on a card: which kernel, on how many blocks, with what.

use super::blocks::{COLUMNS, DOUBLE, ENOUGH_BLOCKS, channels, number, parts_of, rows, sums_blocks};
use super::card::{Argument, Blocks, Card, int, long};
use super::memory::CardMemory;
use super::norms::CardNorm;
use super::products::Product;
use super::weights::Packing;
use crate::Dropout;
use crate::arithmetic::{
    Arithmetic, AttentionShape, ConvolutionShape, NormGradients, NormInput, NormShape, Side,
};
use candle_core::{Device, Result, Tensor};

// As in the kernels.
const OWN: usize = 16;
const MET: usize = 32;

impl Arithmetic for Card {
    type Memory = CardMemory;
    type Norm = CardNorm;
    type Attention = CardMemory;
    type Bits = CardMemory;

    fn read(&self, x: &Tensor) -> Result<CardMemory> {
        let (batch, channels, nx, ny, nz) = x.dims5()?;
        let plain = crate::cpu::with_values(x, |values| Ok(self.upload(values)?))?;
        let volume = self.volume(plain.len())?;
        self.transpose("channels_last", &plain, &volume, [batch, channels, nx * ny * nz])?;
        Ok(volume)
    }

    fn write(&self, values: &CardMemory, shape: [usize; 5]) -> Result<Tensor> {
        let [batch, channels, nx, ny, nz] = shape;
        let plain = self.memory(values.len())?;
        self.transpose("channels_first", values, &plain, [batch, nx * ny * nz, channels])?;
        Tensor::from_vec(self.download(&plain)?, &shape, &Device::Cpu)
    }

    fn gradient(&self, values: &CardMemory, parameter: &Tensor) -> Result<Tensor> {
        Tensor::from_vec(self.download(values)?, parameter.shape(), &Device::Cpu)
    }

    fn add(&self, sum: &mut CardMemory, x: &CardMemory) -> Result<()> {
        let count = sum.len();
        assert_eq!((count, sum.value_bytes()), (x.len(), x.value_bytes()));
        // The sum is a volume, or a gradient by a parameter.
        let (sums, x) = (self.pointer(sum), self.pointer(x));
        if sum.value_bytes() == self.precision().value_bytes() {
            Ok(self.map("add", count, &[sums, x, long(count)])?)
        } else {
            Ok(self.map("accumulate", count, &[sums, x, Argument::Int(1), long(count)])?)
        }
    }

    fn convolve(
        &self,
        shape: &ConvolutionShape,
        x: &CardMemory,
        weight: &Tensor,
        reversed: bool,
        bias: Option<&Tensor>,
        plus: Option<&CardMemory>,
    ) -> Result<CardMemory> {
        let ConvolutionShape { batch, inputs, outputs, extents } = *shape;
        // Of a layer the other way around, the inputs are its outputs.
        let (row_stride, column_stride) = if reversed { (27 * outputs, 27) } else { (27, 27 * inputs) };
        let packing = Packing {
            taps: 27,
            rows: inputs,
            columns: outputs,
            row_stride,
            column_stride,
            first: 0,
            reversed,
        };
        let packed = self.packed(weight, packing)?;
        let bias = bias.map(|bias| self.parameter(bias)).transpose()?;
        let output = self.volume(batch * shape.voxels() * outputs)?;
        let product = Product { rows: batch * shape.voxels(), inputs, outputs, taps: 27, extents };
        self.multiply_rows(product, x, &packed, bias.as_ref(), plus, &output)?;
        Ok(output)
    }

    fn weight_gradient(
        &self,
        shape: &ConvolutionShape,
        x: &CardMemory,
        gradient: &CardMemory,
    ) -> Result<CardMemory> {
        let ConvolutionShape { batch, inputs, outputs, extents } = *shape;
        let by_weight = self.memory(27 * inputs * outputs)?;
        let product = Product { rows: batch * shape.voxels(), inputs, outputs, taps: 27, extents };
        self.multiply_columns(product, x, gradient, &by_weight, 0, inputs)?;
        Ok(by_weight)
    }

    fn bias_gradient(&self, gradient: &CardMemory, channels: usize) -> Result<CardMemory> {
        let rows = gradient.len() / channels;
        let (parts, rows_of_part) = parts_of(rows, ENOUGH_BLOCKS.div_ceil(channels.div_ceil(COLUMNS)));
        let partial = self.memory(DOUBLE * parts * channels)?;
        let blocks = sums_blocks(channels, parts, 1);
        let arguments =
            [self.pointer(gradient), self.pointer(&partial), long(rows), long(rows_of_part), int(channels)];
        self.run("sum_rows", blocks, &arguments)?;
        let by_bias = self.memory(channels)?;
        let arguments = [self.pointer(&partial), self.pointer(&by_bias), int(parts), long(channels)];
        self.map("sum_parts", channels, &arguments)?;
        Ok(by_bias)
    }

    fn pointwise(
        &self,
        x: &[Side<'_, CardMemory>],
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&CardMemory>,
    ) -> Result<CardMemory> {
        let (outputs, inputs, rows) = (bias.elem_count(), channels(x), rows(x));
        let bias = self.parameter(bias)?;
        let output = self.volume(rows * outputs)?;
        let mut first = 0;
        for side in x {
            let packing = Packing {
                taps: 1,
                rows: side.channels,
                columns: outputs,
                row_stride: 1,
                column_stride: inputs,
                first,
                reversed: false,
            };
            let packed = self.packed(weight, packing)?;
            // What comes after the first side is added to what there is.
            let (bias, plus) = if first == 0 { (Some(&bias), plus) } else { (None, Some(&output)) };
            let product = Product::of_rows(rows, side.channels, outputs);
            self.multiply_rows(product, side.values, &packed, bias, plus, &output)?;
            first += side.channels;
        }
        Ok(output)
    }

    fn pointwise_weight_gradient(
        &self,
        x: &[Side<'_, CardMemory>],
        gradient: &CardMemory,
        weight: &Tensor,
    ) -> Result<CardMemory> {
        let (outputs, inputs, rows) = (weight.dim(0)?, channels(x), rows(x));
        let by_weight = self.memory(outputs * inputs)?;
        let mut first = 0;
        for side in x {
            let product = Product::of_rows(rows, side.channels, outputs);
            self.multiply_columns(product, side.values, gradient, &by_weight, first, inputs)?;
            first += side.channels;
        }
        Ok(by_weight)
    }

    fn pointwise_input_gradient(
        &self,
        gradient: &CardMemory,
        weight: &Tensor,
        first: usize,
        channels: usize,
        so_far: Option<CardMemory>,
    ) -> Result<CardMemory> {
        let outputs = weight.dim(0)?;
        let (inputs, rows) = (weight.elem_count() / outputs, gradient.len() / outputs);
        let packing = Packing {
            taps: 1,
            rows: outputs,
            columns: channels,
            row_stride: inputs,
            column_stride: 1,
            first,
            reversed: false,
        };
        let packed = self.packed(weight, packing)?;
        let product = Product::of_rows(rows, outputs, channels);
        match so_far {
            Some(sum) => {
                self.multiply_rows(product, gradient, &packed, None, Some(&sum), &sum)?;
                Ok(sum)
            }
            None => {
                let by_x = self.volume(rows * channels)?;
                self.multiply_rows(product, gradient, &packed, None, None, &by_x)?;
                Ok(by_x)
            }
        }
    }

    fn group_norm(&self, shape: &NormShape, x: &NormInput<'_, CardMemory>) -> Result<(CardMemory, CardNorm)> {
        let total = channels(&x.sides);
        let lines = shape.batch * total;
        let (mean, inverse) = self.moments(shape, &x.sides)?;
        let [weight, bias] = [self.parameter(x.weight)?, self.parameter(x.bias)?];
        let [scale, slope, offset] = [self.memory(lines)?, self.memory(lines)?, self.memory(lines)?];
        let arguments = [
            self.pointer(&mean),
            self.pointer(&inverse),
            self.pointer_to(&weight),
            self.pointer_to(&bias),
            self.maybe(x.scale_shift),
            self.pointer(&scale),
            self.pointer(&slope),
            self.pointer(&offset),
            int(total),
            long(lines),
        ];
        self.map("norm_lines", lines, &arguments)?;
        let output = self.volume(shape.batch * shape.voxels * total)?;
        let mut first = 0;
        for side in &x.sides {
            let count = side.values.len();
            let arguments = [
                self.pointer(side.values),
                self.pointer(&slope),
                self.pointer(&offset),
                self.pointer(&output),
                long(shape.voxels),
                int(side.channels),
                int(first),
                int(total),
                Argument::Int(shape.silu.into()),
                long(count),
            ];
            self.map("normalize", count, &arguments)?;
            first += side.channels;
        }
        Ok((output, CardNorm { mean, inverse, scale, slope, offset }))
    }

    fn group_norm_backward(
        &self,
        shape: &NormShape,
        x: &NormInput<'_, CardMemory>,
        norm: &CardNorm,
        gradient: &CardMemory,
        so_far: Vec<Option<CardMemory>>,
    ) -> Result<NormGradients<CardMemory>> {
        let total = channels(&x.sides);
        let [by_shift, by_scale, constant, multiple] =
            self.norm_backward_sums(shape, &x.sides, norm, gradient)?;
        let silu = Argument::Int(shape.silu.into());
        let mut by_sides = Vec::new();
        let mut first = 0;
        for (side, so_far) in x.sides.iter().zip(so_far) {
            let count = side.values.len();
            let (by, add) = self.begun(so_far, count)?;
            let arguments = [
                self.pointer(side.values),
                self.pointer(gradient),
                self.pointer(&norm.mean),
                self.pointer(&norm.inverse),
                self.pointer(&norm.scale),
                self.pointer(&norm.slope),
                self.pointer(&norm.offset),
                self.pointer(&constant),
                self.pointer(&multiple),
                self.pointer(&by),
                long(shape.voxels),
                int(side.channels),
                int(first),
                int(total),
                silu,
                add,
                long(count),
            ];
            self.map("normalize_backward", count, &arguments)?;
            by_sides.push(by);
            first += side.channels;
        }
        let [weight, bias] = [self.parameter(x.weight)?, self.parameter(x.bias)?];
        let by_affine = [self.memory(total)?, self.memory(total)?];
        let by_scale_shift = x.scale_shift.map(|scales| self.volume(scales.len())).transpose()?;
        let arguments = [
            self.pointer(&by_scale),
            self.pointer(&by_shift),
            self.pointer_to(&weight),
            self.pointer_to(&bias),
            self.maybe(x.scale_shift),
            self.pointer(&by_affine[0]),
            self.pointer(&by_affine[1]),
            self.maybe(by_scale_shift.as_ref()),
            int(shape.batch),
            int(total),
        ];
        self.map("norm_backward_affine", total, &arguments)?;
        Ok(NormGradients { by_sides, by_affine, by_scale_shift })
    }

    fn silu(&self, x: &CardMemory) -> Result<CardMemory> {
        let y = self.volume(x.len())?;
        self.map("silu", x.len(), &[self.pointer(x), self.pointer(&y), long(x.len())])?;
        Ok(y)
    }

    fn silu_backward(&self, x: &CardMemory, gradient: CardMemory) -> Result<CardMemory> {
        let arguments = [self.pointer(x), self.pointer(&gradient), long(x.len())];
        self.map("silu_backward", x.len(), &arguments)?;
        Ok(gradient)
    }

    fn sum_blocks(
        &self,
        x: &CardMemory,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<CardMemory>,
    ) -> Result<CardMemory> {
        self.resampled("sum_blocks", x, extents, channels, factor, self.begun(so_far, x.len() / 8)?)
    }

    fn repeat_blocks(
        &self,
        x: &CardMemory,
        extents: [usize; 3],
        channels: usize,
        factor: f32,
        so_far: Option<CardMemory>,
    ) -> Result<CardMemory> {
        self.resampled("repeat_blocks", x, extents, channels, factor, self.begun(so_far, x.len() * 8)?)
    }

    fn attention(&self, shape: AttentionShape, qkv: &CardMemory) -> Result<(CardMemory, CardMemory)> {
        let AttentionShape { batch, points, heads, dim } = shape;
        let (output, kept) = (self.volume(qkv.len() / 3)?, self.memory(batch * heads * points)?);
        let floats = (2 * OWN + 2 * MET) * (dim + 1) + OWN * MET + 3 * OWN;
        let arguments = [
            self.pointer(qkv),
            self.pointer(&output),
            self.pointer(&kept),
            int(points),
            int(heads),
            int(dim),
            Argument::Float(shape.scale()),
        ];
        self.run("attention", attention_blocks(shape, floats), &arguments)?;
        Ok((output, kept))
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        qkv: &CardMemory,
        output: &CardMemory,
        kept: &CardMemory,
        gradient: &CardMemory,
    ) -> Result<CardMemory> {
        let AttentionShape { points, heads, dim, .. } = shape;
        let along = self.memory(kept.len())?;
        let arguments = [
            self.pointer(output),
            self.pointer(gradient),
            self.pointer(&along),
            int(points),
            int(heads),
            int(dim),
            long(along.len()),
        ];
        self.map("attention_along", along.len(), &arguments)?;
        let by_qkv = self.volume(qkv.len())?;
        let arguments = [
            self.pointer(qkv),
            self.pointer(gradient),
            self.pointer(kept),
            self.pointer(&along),
            self.pointer(&by_qkv),
            int(points),
            int(heads),
            int(dim),
            Argument::Float(shape.scale()),
        ];
        let of_queries = (3 * OWN + 2 * MET) * (dim + 1) + OWN * MET + 2 * OWN;
        self.run("attention_by_queries", attention_blocks(shape, of_queries), &arguments)?;
        let of_keys = (4 * OWN + 2 * MET) * (dim + 1) + 2 * OWN * MET + 2 * MET;
        self.run("attention_by_keys", attention_blocks(shape, of_keys), &arguments)?;
        Ok(by_qkv)
    }

    fn bits(&self, dropout: &Dropout, units: usize) -> Result<CardMemory> {
        let words = units.div_ceil(32);
        let bits = self.memory(words)?;
        let [low, high] = dropout.stream.key();
        let arguments = [
            self.pointer(&bits),
            Argument::Long(dropout.first_block().cast_signed()),
            Argument::Word(dropout.step),
            Argument::Word(dropout.stream.purpose() as u32),
            Argument::Word(low),
            Argument::Word(high),
            Argument::Word(dropout.dropped_below()),
            long(words),
        ];
        self.map("kept_bits", words, &arguments)?;
        Ok(bits)
    }

    fn keep(&self, x: &CardMemory, bits: &CardMemory, factor: f32) -> Result<CardMemory> {
        let y = self.volume(x.len())?;
        let arguments =
            [self.pointer(x), self.pointer(bits), self.pointer(&y), Argument::Float(factor), long(x.len())];
        self.map("keep", x.len(), &arguments)?;
        Ok(y)
    }
}

impl Card {
    /// Puts into `y` each of `batch` matrices of so many rows and columns the other way around.
    fn transpose(
        &self,
        kernel: &'static str,
        x: &CardMemory,
        y: &CardMemory,
        [batch, rows, columns]: [usize; 3],
    ) -> Result<()> {
        let count = batch * rows * columns;
        assert!(count == x.len() && count == y.len());
        let arguments = [self.pointer(x), self.pointer(y), long(rows), long(columns), long(count)];
        Ok(self.map(kernel, count, &arguments)?)
    }

    /// What there is so far and that something is added to it, or memory that holds nothing yet.
    fn begun(&self, so_far: Option<CardMemory>, len: usize) -> Result<(CardMemory, Argument)> {
        match so_far {
            Some(sum) => Ok((sum, Argument::Int(1))),
            None => Ok((self.volume(len)?, Argument::Int(0))),
        }
    }

    fn resampled(
        &self,
        kernel: &'static str,
        x: &CardMemory,
        [_, ny, nz]: [usize; 3],
        channels: usize,
        factor: f32,
        (output, add): (CardMemory, Argument),
    ) -> Result<CardMemory> {
        let count = output.len();
        let arguments = [
            self.pointer(x),
            self.pointer(&output),
            int(ny),
            int(nz),
            int(channels),
            Argument::Float(factor),
            add,
            long(count),
        ];
        self.map(kernel, count, &arguments)?;
        Ok(output)
    }
}

/// Blocks of attention's kernels, that share so many floats.
fn attention_blocks(shape: AttentionShape, floats: usize) -> Blocks {
    Blocks {
        blocks: [number(shape.points.div_ceil(OWN)), number(shape.batch * shape.heads), 1],
        threads: [128, 1],
        shared_bytes: size_of::<f32>() * floats,
    }
}
