//! The sums of group norms, forward and back.

use super::blocks::{COLUMNS, DOUBLE, channels, parts_of, sums_blocks};
use super::card::{Argument, Card, int, long};
use super::memory::CardMemory;
use crate::arithmetic::{NormShape, Side};
use candle_core::Result;

/// Added to the variance before the root, as the reference's (and PyTorch's) group norm does.
const EPSILON: f64 = 1e-5;

/// Blocks that sum one sample.
const BLOCKS_OF_SAMPLE: usize = 256;

/// What a norm keeps for its way back, (b, c) each.
pub struct CardNorm {
    pub(super) mean: CardMemory,
    pub(super) inverse: CardMemory,
    pub(super) scale: CardMemory,
    pub(super) slope: CardMemory,
    pub(super) offset: CardMemory,
}

impl Card {
    /// Mean and 1 / deviation of each channel's group, (b, c).
    pub(super) fn moments(
        &self,
        shape: &NormShape,
        sides: &[Side<'_, CardMemory>],
    ) -> Result<(CardMemory, CardMemory)> {
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
    pub(super) fn norm_backward_sums(
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
}

/// The parts in which the voxels of a sample are summed: the same in any batch, so that a sample's bits do not depend on its company.
fn norm_parts(shape: &NormShape, total: usize) -> (usize, usize) {
    parts_of(shape.voxels, BLOCKS_OF_SAMPLE.div_ceil(total.div_ceil(COLUMNS)))
}
