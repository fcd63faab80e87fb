//! Grids that are larger than memory, some planes at a time.

use super::sums::Sums;
use super::window::Window;
use super::{Gridding, gather, local_density, meta, names_of, say_sizes};
use crate::context::Context;
use crate::failure::bad_input;
use anyhow::Context as _;
use finescale_field::{FILE_BLOCK, Region};
use finescale_snapshot::{GridMeta, GridWriter, Snapshot};
use std::path::Path;

/// Memory for a slab is at most this share of what there is: a slab's field is cut out of it while it is there.
const SHARE: f64 = 0.75;

/// Planes of each slab of a grid that needs so many bytes.
///
/// # Errors
/// If not even the planes of one block of a grid file fit.
pub(crate) fn planes_of_slabs(planes: usize, needed: u128, available: u64) -> anyhow::Result<usize> {
    let affordable = SHARE * available as f64 / needed as f64 * planes as f64;
    let block = FILE_BLOCK[0];
    let whole_blocks = (affordable as usize).div_euclid(block) * block;
    if whole_blocks == 0 {
        return Err(bad_input(format!(
            "--cells: not even {block} planes of such a grid fit into memory; take fewer cells or a --region"
        )));
    }
    Ok(whole_blocks.min(planes))
}

/// Grids a whole box as [`super::deposit`] does, `planes` at a time, each time from all particles, and writes it.
///
/// # Errors
/// As [`super::deposit`], and those of writing.
pub(crate) fn deposit_in_passes(
    context: &Context,
    snapshot: &Snapshot,
    how: &Gridding,
    planes: usize,
    output: &Path,
    mut finish_meta: impl FnMut(&mut GridMeta),
) -> anyhow::Result<GridMeta> {
    let whole = Window::new(snapshot.header(), how)?;
    let grid = whole.wanted()?;
    let all = grid.cells()[0];
    let passes = all.div_ceil(planes.max(1));
    let mut written: Option<(GridWriter, GridMeta)> = None;
    let mut found = None;
    let local_density = local_density(context, snapshot, how)?;
    for (pass, first) in (0..all).step_by(planes.max(1)).enumerate() {
        let thickness = planes.min(all - first);
        context.note(format_args!(
            "pass {} of {passes}: planes {first} to {}",
            pass + 1,
            first + thickness - 1
        ));
        let window = whole.planes(first, thickness, how.scheme)?;
        let mut sums = Sums::new(window, how, snapshot.header(), local_density.as_ref())?;
        gather(context, snapshot, how, &mut sums, None)?;
        if written.is_none() {
            sums.warn_of_volumes(context);
            sums.warn_of_positions(context);
            let mean = sums.done as f64 / grid.voxels() as f64;
            let mut meta = meta(snapshot.header(), how, &names_of(snapshot), mean, sums.total);
            say_sizes(&mut meta, how, sums.sizes_from);
            finish_meta(&mut meta);
            let writer = GridWriter::create(output, &grid, &meta).context("writing a grid")?;
            written = Some((writer, meta));
        }
        let counted = (sums.done, sums.total.to_bits());
        anyhow::ensure!(
            *found.get_or_insert(counted) == counted,
            "a file of the snapshot changed between two passes; run this again when nobody writes it"
        );
        let slab = sums.finish()?;
        if let Some((writer, _)) = &mut written {
            let [_, ny, nz] = grid.cells();
            let region = Region { start: [i64::try_from(first)?, 0, 0], shape: [thickness, ny, nz] };
            writer.write(&region, slab.values().view()).context("writing a grid")?;
        }
    }
    let (writer, meta) = written.context("there are no planes")?;
    writer.finish().context("writing a grid")?;
    Ok(meta)
}

/// Bytes of memory that a slab of so many planes takes.
pub(crate) fn slab_bytes(snapshot: &Snapshot, how: &Gridding, planes: usize) -> anyhow::Result<u128> {
    let window = Window::new(snapshot.header(), how)?.planes(0, planes, how.scheme)?;
    how.bytes_on(&window.grid, snapshot.header())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_whole_blocks_that_fit() {
        let block = FILE_BLOCK[0];
        assert_eq!(planes_of_slabs(2048, 100 << 30, 20 << 30).unwrap() % block, 0);
        assert!(planes_of_slabs(2048, 100 << 30, 20 << 30).unwrap() < 2048 / 5);
        assert_eq!(planes_of_slabs(256, 1 << 30, 64 << 30).unwrap(), 256);
        assert!(planes_of_slabs(2048, 1 << 50, 1 << 30).is_err());
    }
}
