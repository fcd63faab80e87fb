//! How much work is cut into how many blocks.

use super::card::Blocks;
use super::memory::CardMemory;
use crate::arithmetic::Side;

// As in the kernels.
pub(super) const COLUMNS: usize = 32;
const LINES: usize = 8;

/// Blocks that keep any card busy.
pub(super) const ENOUGH_BLOCKS: usize = 1024;
/// Fewest rows that are summed by one block.
const FEWEST_ROWS: usize = 256;
/// Floats of a double.
pub(super) const DOUBLE: usize = 2;

/// Channels of all sides together.
pub(super) fn channels(x: &[Side<'_, CardMemory>]) -> usize {
    x.iter().map(|side| side.channels).sum()
}

/// Rows of each side.
pub(super) fn rows(x: &[Side<'_, CardMemory>]) -> usize {
    x.first().map_or(0, |side| side.values.len() / side.channels.max(1))
}

/// Rows in about so many parts, none of them small: how many parts, and rows of each.
pub(super) fn parts_of(rows: usize, wanted: usize) -> (usize, usize) {
    let rows_of_part = rows.div_ceil(wanted.max(1)).max(FEWEST_ROWS);
    (rows.div_ceil(rows_of_part).max(1), rows_of_part)
}

/// Blocks of kernels that sum over rows.
pub(super) fn sums_blocks(channels: usize, parts: usize, samples: usize) -> Blocks {
    Blocks {
        blocks: [number(channels.div_ceil(COLUMNS)), number(parts), number(samples)],
        threads: [COLUMNS as u32, LINES as u32],
        shared_bytes: size_of::<f64>() * 2 * LINES * COLUMNS,
    }
}

/// A number of blocks; one that no card takes is refused by the driver.
pub(super) fn number(blocks: usize) -> u32 {
    u32::try_from(blocks).unwrap_or(u32::MAX)
}
