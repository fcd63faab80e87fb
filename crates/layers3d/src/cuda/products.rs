//! Convolutions, linear layers and their gradients as products of rows with weights.

use super::blocks::{DOUBLE, ENOUGH_BLOCKS, number, parts_of};
use super::card::{Argument, Blocks, Card, int, long};
use super::kind::Precision;
use super::memory::{CardMemory, View};
use candle_core::Result;

// As in the kernels.
const TILE: usize = 64;
const WIDE: usize = 2 * TILE;
const DEPTH: usize = 16;
const STAGES: usize = 3;
const TENSOR_ROWS: usize = 128;
const APART: usize = 8;
const UNIT_BYTES: usize = 16;

/// Wide blocks that keep any card busy.
const ENOUGH_WIDE_BLOCKS: usize = 256;
/// Rows that tensor cores sum before the sum goes into f64, if there is memory for so many of them: they cut off up to 2^-23 of it with
/// every 8 or 16 rows, which makes 1e-4 at most.
const SHORT_SUM: usize = 8192;

/// Most bytes of sums of weights that are not one yet.
const PARTIAL_BYTES: usize = 256 << 20;

/// A product of rows, each with its neighbours, with weights.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) taps: usize,
    pub(super) extents: [usize; 3],
}

impl Product {
    /// Without neighbours.
    pub(super) fn of_rows(rows: usize, inputs: usize, outputs: usize) -> Self {
        Self { rows, inputs, outputs, taps: 1, extents: [1; 3] }
    }
}

impl Card {
    /// Whether products are those of tensor cores.
    pub(super) fn has_tensor_products(&self) -> bool {
        self.precision() != Precision::F32
    }

    /// Values that tensor cores' kernels copy at once.
    fn unit(&self) -> usize {
        UNIT_BYTES / self.precision().value_bytes()
    }

    /// As many channels, or more, so that their kernels take them.
    pub(super) fn whole_units(&self, channels: usize) -> usize {
        if self.has_tensor_products() { channels.next_multiple_of(self.unit()) } else { channels }
    }

    /// A copy of a volume with zeros in the channels that make whole units, if it needs them.
    fn widened(&self, x: &CardMemory, channels: usize) -> Result<Option<CardMemory>> {
        let more = self.whole_units(channels);
        if more == channels {
            return Ok(None);
        }
        let count = x.len() / channels * more;
        let wide = self.volume(count)?;
        self.map(
            "widen",
            count,
            &[self.pointer(x), self.pointer(&wide), int(channels), int(more), long(count)],
        )?;
        Ok(Some(wide))
    }

    /// Bytes of the tiles of those kernels: so many rows of a slab's depth, and slabs of rows of so many values.
    fn tile_bytes(&self, rows: usize, slab_rows: usize) -> usize {
        let (slab, left) = (4 * self.unit(), 5 * self.unit());
        self.precision().value_bytes() * STAGES * (rows * left + slab * slab_rows)
    }

    /// Whether wide blocks of so many bytes leave nobody idle: no outputs, and no multiprocessor that has room for one block alone.
    fn may_be_wide(&self, outputs: usize, shared_bytes: usize) -> bool {
        outputs.div_ceil(TILE).is_multiple_of(2) && 2 * shared_bytes <= self.most_shared_bytes()
    }

    /// The kernel for a product of rows on tensor cores, and its blocks.
    fn rows_on_tensor_cores(&self, rows: usize, outputs: usize) -> (&'static str, Blocks) {
        let bytes = |width: usize| self.tile_bytes(TENSOR_ROWS, width + APART);
        let blocks = |width: usize| [rows.div_ceil(TENSOR_ROWS), outputs.div_ceil(width)];
        let is_enough = blocks(WIDE).iter().product::<usize>() >= ENOUGH_WIDE_BLOCKS;
        let (kernel, width) = match is_enough && self.may_be_wide(outputs, bytes(WIDE)) {
            true => ("multiply_rows_tensor_wide", WIDE),
            false => ("multiply_rows_tensor", TILE),
        };
        let [x, y] = blocks(width).map(number);
        (kernel, Blocks { blocks: [x, y, 1], threads: [128, 1], shared_bytes: bytes(width) })
    }

    /// The kernel for a product of columns, the width of its tiles, its threads, and the bytes that they share.
    fn columns_kernel(&self, inputs: usize, outputs: usize) -> (&'static str, usize, u32, usize) {
        let bytes = |width: usize| self.tile_bytes(0, 2 * (width + APART));
        let wide = bytes(WIDE);
        if !self.has_tensor_products() {
            ("multiply_columns", TILE, 256, size_of::<f32>() * 2 * DEPTH * TILE)
        } else if self.may_be_wide(inputs, wide) && self.may_be_wide(outputs, wide) {
            ("multiply_columns_tensor_wide", WIDE, 128, wide)
        } else {
            ("multiply_columns_tensor", TILE, 128, bytes(TILE))
        }
    }

    /// Each row, with its neighbours, times the weights, + bias + plus; `plus` may be `output`.
    pub(super) fn multiply_rows(
        &self,
        product: Product,
        x: &CardMemory,
        packed: &CardMemory,
        bias: Option<&View>,
        plus: Option<&CardMemory>,
        output: &CardMemory,
    ) -> Result<()> {
        let Product { rows, inputs, outputs, taps, extents } = product;
        assert!(x.len() == rows * inputs && output.len() == rows * outputs);
        let widened = self.widened(x, inputs)?;
        let (x, inputs) = (widened.as_ref().unwrap_or(x), self.whole_units(inputs));
        assert_eq!(packed.len(), taps * inputs * self.whole_units(outputs));
        let [nx, ny, nz] = extents.map(int);
        let (kernel, blocks) = match self.has_tensor_products() {
            false => (
                "multiply_rows",
                Blocks {
                    blocks: [number(rows.div_ceil(TILE)), number(outputs.div_ceil(TILE)), 1],
                    threads: [256, 1],
                    shared_bytes: size_of::<f32>() * DEPTH * (2 * TILE + 4),
                },
            ),
            true => self.rows_on_tensor_cores(rows, outputs),
        };
        let arguments = [
            self.pointer(x),
            self.pointer(packed),
            bias.map_or(Argument::Pointer(0), |bias| self.pointer_to(bias)),
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
    pub(super) fn multiply_columns(
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
        let own = [inputs, outputs].map(int);
        let [x_wide, gradient_wide] = [self.widened(x, inputs)?, self.widened(gradient, outputs)?];
        let (x, gradient) = (x_wide.as_ref().unwrap_or(x), gradient_wide.as_ref().unwrap_or(gradient));
        let [inputs, outputs] = [inputs, outputs].map(|channels| self.whole_units(channels));
        let (kernel, width, threads, shared_bytes) = self.columns_kernel(inputs, outputs);
        let (tiles, count) = (inputs.div_ceil(width) * outputs.div_ceil(width), taps * inputs * outputs);
        let affordable = (PARTIAL_BYTES / (size_of::<f64>() * count)).max(1);
        let fewest = if self.has_tensor_products() { rows.div_ceil(SHORT_SUM) } else { 1 };
        let wanted = ENOUGH_BLOCKS.div_ceil(tiles * taps).max(fewest).min(affordable);
        let (parts, rows_of_part) = parts_of(rows, wanted);
        let partial = self.memory(DOUBLE * parts * count)?;
        let blocks = Blocks {
            blocks: [number(tiles), number(taps), number(parts)],
            threads: [threads, 1],
            shared_bytes,
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
            own[0],
            own[1],
            int(first),
            int(all_inputs),
            long(count),
        ];
        Ok(self.map("sum_parts_of_weights", count, &arguments)?)
    }
}
