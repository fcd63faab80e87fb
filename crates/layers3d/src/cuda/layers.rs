//! The arithmetic of layers on a card: which kernel, on how many blocks, with what.

use super::card::{Argument, Blocks, Card, Precision, int, long};
use super::memory::CardMemory;
use super::weights::Packing;
use crate::arithmetic::{
    Arithmetic, AttentionShape, ConvolutionShape, NormGradients, NormInput, NormShape, Side,
};
use candle_core::{Device, Result, Tensor};

// As in the kernels.
const TILE: usize = 64;
const DEPTH: usize = 16;
const STAGES: usize = 3;
const TENSOR_ROWS: usize = 128;
const LEFT: usize = DEPTH + 4;
const RIGHT: usize = TILE + 8;
const UNIT: usize = 4;
const COLUMNS: usize = 32;
const LINES: usize = 8;
const OWN: usize = 16;
const MET: usize = 32;

/// Added to the variance before the root, as the reference's (and PyTorch's) group norm does.
const EPSILON: f64 = 1e-5;
/// Blocks that keep any card busy.
const ENOUGH_BLOCKS: usize = 1024;
/// Fewest rows that are summed by one block.
const FEWEST_ROWS: usize = 256;
/// Most bytes of sums of weights that are not one yet.
const PARTIAL_BYTES: usize = 256 << 20;
/// Floats of a double.
const DOUBLE: usize = 2;

/// What a norm keeps for its way back, (b, c) each.
pub struct CardNorm {
    mean: CardMemory,
    inverse: CardMemory,
    scale: CardMemory,
    slope: CardMemory,
    offset: CardMemory,
}

impl Arithmetic for Card {
    type Memory = CardMemory;
    type Norm = CardNorm;
    type Attention = CardMemory;
    type Bits = CardMemory;

    fn read(&self, x: &Tensor) -> Result<CardMemory> {
        let (batch, channels, nx, ny, nz) = x.dims5()?;
        let plain = crate::cpu::with_values(x, |values| Ok(self.upload(values)?))?;
        self.transposed(&plain, batch, channels, nx * ny * nz)
    }

    fn write(&self, values: &CardMemory, shape: [usize; 5]) -> Result<Tensor> {
        let [batch, channels, nx, ny, nz] = shape;
        let plain = self.transposed(values, batch, nx * ny * nz, channels)?;
        Tensor::from_vec(self.download(&plain)?, &shape, &Device::Cpu)
    }

    fn gradient(&self, values: &CardMemory, parameter: &Tensor) -> Result<Tensor> {
        Tensor::from_vec(self.download(values)?, parameter.shape(), &Device::Cpu)
    }

    fn add(&self, sum: &mut CardMemory, x: &CardMemory) -> Result<()> {
        let count = sum.len();
        assert_eq!(count, x.len());
        Ok(self.map("add", count, &[self.pointer(sum), self.pointer(x), long(count)])?)
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
        let output = self.memory(batch * shape.voxels() * outputs)?;
        let product = Product { rows: batch * shape.voxels(), inputs, outputs, taps: 27, extents };
        self.multiply_rows(product, x, &packed, bias.as_deref(), plus, &output)?;
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
        let output = self.memory(rows * outputs)?;
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
            let (bias, plus) = if first == 0 { (Some(&*bias), plus) } else { (None, Some(&output)) };
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
                let by_x = self.memory(rows * channels)?;
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
            self.pointer(&weight),
            self.pointer(&bias),
            self.maybe(x.scale_shift),
            self.pointer(&scale),
            self.pointer(&slope),
            self.pointer(&offset),
            int(total),
            long(lines),
        ];
        self.map("norm_lines", lines, &arguments)?;
        let output = self.memory(shape.batch * shape.voxels * total)?;
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
        let by_scale_shift = x.scale_shift.map(|scales| self.memory(scales.len())).transpose()?;
        let arguments = [
            self.pointer(&by_scale),
            self.pointer(&by_shift),
            self.pointer(&weight),
            self.pointer(&bias),
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
        let y = self.memory(x.len())?;
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
        let (output, kept) = (self.memory(qkv.len() / 3)?, self.memory(batch * heads * points)?);
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
        let by_qkv = self.memory(qkv.len())?;
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

    fn bits(&self, bits: Vec<u32>) -> Result<CardMemory> {
        Ok(self.upload(bytemuck::cast_slice(&bits))?)
    }

    fn keep(&self, x: &CardMemory, bits: &CardMemory, factor: f32) -> Result<CardMemory> {
        let y = self.memory(x.len())?;
        let arguments =
            [self.pointer(x), self.pointer(bits), self.pointer(&y), Argument::Float(factor), long(x.len())];
        self.map("keep", x.len(), &arguments)?;
        Ok(y)
    }
}

/// A product of rows, each with its neighbours, with weights.
#[derive(Clone, Copy)]
struct Product {
    rows: usize,
    inputs: usize,
    outputs: usize,
    taps: usize,
    extents: [usize; 3],
}

impl Product {
    /// Without neighbours.
    fn of_rows(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { rows, inputs, outputs, taps: 1, extents: [1; 3] }
    }
}

impl Card {
    /// Each of `batch` matrices of so many rows and columns the other way around.
    fn transposed(&self, x: &CardMemory, batch: usize, rows: usize, columns: usize) -> Result<CardMemory> {
        let count = batch * rows * columns;
        assert_eq!(count, x.len());
        let y = self.memory(count)?;
        let arguments = [self.pointer(x), self.pointer(&y), long(rows), long(columns), long(count)];
        self.map("transpose", count, &arguments)?;
        Ok(y)
    }

    /// What there is so far and that something is added to it, or memory that holds nothing yet.
    fn begun(&self, so_far: Option<CardMemory>, len: usize) -> Result<(CardMemory, Argument)> {
        match so_far {
            Some(sum) => Ok((sum, Argument::Int(1))),
            None => Ok((self.memory(len)?, Argument::Int(0))),
        }
    }

    /// Whether a product is one for tensor cores.
    fn takes_tensor_cores(&self, product: Product) -> bool {
        let whole_units = product.inputs.is_multiple_of(UNIT) && product.outputs.is_multiple_of(UNIT);
        self.precision() == Precision::Tf32 && whole_units
    }

    fn multiply_rows(
        &self,
        product: Product,
        x: &CardMemory,
        packed: &CardMemory,
        bias: Option<&CardMemory>,
        plus: Option<&CardMemory>,
        output: &CardMemory,
    ) -> Result<()> {
        let Product { rows, inputs, outputs, taps, extents } = product;
        assert!(x.len() == rows * inputs && output.len() == rows * outputs);
        assert_eq!(packed.len(), taps * inputs * outputs);
        let [nx, ny, nz] = extents.map(int);
        let (kernel, blocks) = match self.takes_tensor_cores(product) {
            false => (
                "multiply_rows",
                Blocks {
                    blocks: [number(rows.div_ceil(TILE)), number(outputs.div_ceil(TILE)), 1],
                    threads: [256, 1],
                    shared_bytes: size_of::<f32>() * DEPTH * (2 * TILE + 4),
                },
            ),
            true => (
                "multiply_rows_tensor",
                Blocks {
                    blocks: [number(rows.div_ceil(TENSOR_ROWS)), number(outputs.div_ceil(TILE)), 1],
                    threads: [128, 1],
                    shared_bytes: size_of::<f32>() * STAGES * (TENSOR_ROWS * LEFT + DEPTH * RIGHT),
                },
            ),
        };
        let arguments = [
            self.pointer(x),
            self.pointer(packed),
            self.maybe(bias),
            self.maybe(plus),
            self.pointer(output),
            long(rows),
            int(inputs),
            int(outputs),
            int(taps),
            nx,
            ny,
            nz,
        ];
        Ok(self.run(kernel, blocks, &arguments)?)
    }

    /// The gradient by weights (outputs, all inputs, taps): by so many inputs from `first` on.
    fn multiply_columns(
        &self,
        product: Product,
        x: &CardMemory,
        gradient: &CardMemory,
        by_weight: &CardMemory,
        first: usize,
        all_inputs: usize,
    ) -> Result<()> {
        let Product { rows, inputs, outputs, taps, extents } = product;
        assert!(x.len() == rows * inputs && gradient.len() == rows * outputs);
        let [nx, ny, nz] = extents.map(int);
        let (tiles, count) = (inputs.div_ceil(TILE) * outputs.div_ceil(TILE), taps * inputs * outputs);
        let affordable = (PARTIAL_BYTES / (size_of::<f64>() * count)).max(1);
        let (parts, rows_of_part) = parts_of(rows, ENOUGH_BLOCKS.div_ceil(tiles * taps).min(affordable));
        let partial = self.memory(DOUBLE * parts * count)?;
        let (kernel, threads, floats) = match self.takes_tensor_cores(product) {
            false => ("multiply_columns", 256, 2 * DEPTH * TILE),
            true => ("multiply_columns_tensor", 128, 2 * STAGES * DEPTH * RIGHT),
        };
        let blocks = Blocks {
            blocks: [number(tiles), number(taps), number(parts)],
            threads: [threads, 1],
            shared_bytes: size_of::<f32>() * floats,
        };
        let arguments = [
            self.pointer(x),
            self.pointer(gradient),
            self.pointer(&partial),
            long(rows),
            long(rows_of_part),
            int(inputs),
            int(outputs),
            int(taps),
            nx,
            ny,
            nz,
        ];
        self.run(kernel, blocks, &arguments)?;
        let arguments = [
            self.pointer(&partial),
            self.pointer(by_weight),
            int(parts),
            int(taps),
            int(inputs),
            int(outputs),
            int(first),
            int(all_inputs),
            long(count),
        ];
        Ok(self.map("sum_parts_of_weights", count, &arguments)?)
    }

    /// Mean and 1 / deviation of each channel's group, (b, c).
    fn moments(&self, shape: &NormShape, sides: &[Side<'_, CardMemory>]) -> Result<(CardMemory, CardMemory)> {
        let total = channels(sides);
        let lines = shape.batch * total;
        let (parts, rows_of_part) = norm_parts(shape, total);
        let partial = self.memory(DOUBLE * 2 * lines * parts)?;
        let centre = self.memory(lines)?;
        let mut first = 0;
        for side in sides {
            let [voxels, channels] = [long(shape.voxels), int(side.channels)];
            let arguments = [
                self.pointer(side.values),
                self.pointer(&partial),
                voxels,
                long(rows_of_part),
                channels,
                int(first),
                int(total),
            ];
            self.run("norm_sums", sums_blocks(side.channels, parts, shape.batch), &arguments)?;
            let count = shape.batch * side.channels;
            let arguments = [
                self.pointer(side.values),
                self.pointer(&centre),
                voxels,
                channels,
                int(first),
                int(total),
                long(count),
            ];
            self.map("norm_centres", count, &arguments)?;
            first += side.channels;
        }
        let (mean, inverse) = (self.memory(lines)?, self.memory(lines)?);
        let groups = shape.batch * shape.groups;
        let arguments = [
            self.pointer(&partial),
            self.pointer(&centre),
            self.pointer(&mean),
            self.pointer(&inverse),
            long(shape.voxels),
            int(parts),
            int(total),
            int(shape.groups),
            Argument::Double(EPSILON),
            long(groups),
        ];
        self.map("norm_moments", groups, &arguments)?;
        Ok((mean, inverse))
    }

    /// From the gradient by a norm's output: gradients by the shift and scale of its affine map, and what each channel's group
    /// takes away from the gradient by its input, a constant and a multiple of the normalised input; (b, c) each.
    fn norm_backward_sums(
        &self,
        shape: &NormShape,
        sides: &[Side<'_, CardMemory>],
        norm: &CardNorm,
        gradient: &CardMemory,
    ) -> Result<[CardMemory; 4]> {
        let total = channels(sides);
        let lines = shape.batch * total;
        let (parts, rows_of_part) = norm_parts(shape, total);
        let partial = self.memory(DOUBLE * 2 * shape.batch * parts * total)?;
        let mut first = 0;
        for side in sides {
            let arguments = [
                self.pointer(side.values),
                self.pointer(gradient),
                self.pointer(&norm.mean),
                self.pointer(&norm.inverse),
                self.pointer(&norm.slope),
                self.pointer(&norm.offset),
                self.pointer(&partial),
                long(shape.voxels),
                long(rows_of_part),
                int(side.channels),
                int(first),
                int(total),
                Argument::Int(shape.silu.into()),
            ];
            self.run("norm_backward_sums", sums_blocks(side.channels, parts, shape.batch), &arguments)?;
            first += side.channels;
        }
        let [by_shift, by_scale] = [self.memory(lines)?, self.memory(lines)?];
        let [constant, multiple] = [self.memory(lines)?, self.memory(lines)?];
        let groups = shape.batch * shape.groups;
        let arguments = [
            self.pointer(&partial),
            self.pointer(&norm.scale),
            self.pointer(&by_shift),
            self.pointer(&by_scale),
            self.pointer(&constant),
            self.pointer(&multiple),
            long(shape.voxels),
            int(parts),
            int(total),
            int(shape.groups),
            long(groups),
        ];
        self.map("norm_backward_lines", groups, &arguments)?;
        Ok([by_shift, by_scale, constant, multiple])
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

fn channels(x: &[Side<'_, CardMemory>]) -> usize {
    x.iter().map(|side| side.channels).sum()
}

fn rows(x: &[Side<'_, CardMemory>]) -> usize {
    x.first().map_or(0, |side| side.values.len() / side.channels.max(1))
}

/// Rows in about so many parts, none of them small: how many parts, and rows of each.
fn parts_of(rows: usize, wanted: usize) -> (usize, usize) {
    let rows_of_part = rows.div_ceil(wanted.max(1)).max(FEWEST_ROWS);
    (rows.div_ceil(rows_of_part).max(1), rows_of_part)
}

/// The parts in which the voxels of a sample are summed.
fn norm_parts(shape: &NormShape, total: usize) -> (usize, usize) {
    parts_of(shape.voxels, ENOUGH_BLOCKS.div_ceil(shape.batch * total.div_ceil(COLUMNS)))
}

/// Blocks of kernels that sum over rows.
fn sums_blocks(channels: usize, parts: usize, samples: usize) -> Blocks {
    Blocks {
        blocks: [number(channels.div_ceil(COLUMNS)), number(parts), number(samples)],
        threads: [COLUMNS as u32, LINES as u32],
        shared_bytes: size_of::<f64>() * 2 * LINES * COLUMNS,
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

/// A number of blocks; one that no card takes is refused by the driver.
fn number(blocks: usize) -> u32 {
    u32::try_from(blocks).unwrap_or(u32::MAX)
}
