//! Where the modes of grids lie: in memory, on several ranks, or in a file.

use super::source::{PLANES, Source};
use crate::context::Context;
use crate::cube::Cube;
use crate::failure::bad_input;
use crate::fields;
use crate::parse::GIB;
use anyhow::Context as _;
use finescale_field::{Grid, readable_bytes};
use finescale_spectra::{Complex32, ModeSlabs, Workspace};
use std::path::Path;

/// Bytes of a block of modes: larger ones are read no faster.
const LARGEST_BLOCK: u128 = 1 << 30;

/// None, which is the memory of this process, if the modes of all `sources` fit into it, or into `memory_gib`; else slabs: shared by
/// ranks, or in a file beside `output`, or both. The same on all ranks.
pub(super) fn workspace(
    context: &Context,
    sources: &[&Source],
    cube: &Cube,
    memory_gib: Option<f64>,
    output: Option<&Path>,
) -> anyhow::Result<Option<Workspace>> {
    let ranks = context.ranks();
    if let Some(path) = sources.iter().find_map(|source| source.snapshot()) {
        let path = path.display();
        return match (ranks.count(), memory_gib) {
            (1, None) => Ok(None),
            (1, Some(_)) => Err(bad_input(format!(
                "--memory: {path} is a snapshot, whose particles are put on a grid in memory; make the grid first, with \
                 finescale grid --memory, and measure that"
            ))),
            (count, _) => Err(bad_input(format!(
                "{path}: is a snapshot, whose particles one process puts on a grid; make the grid first, with finescale grid, \
                 and measure that with these {count} processes"
            ))),
        };
    }
    let grids: Vec<Grid> = sources.iter().map(|source| grid_of(source, cube)).collect::<Result<_, _>>()?;
    let modes: u128 = grids.iter().map(|grid| ModeSlabs::bytes(ranks, grid)).sum();
    let limit = context.memory(memory_gib)?;
    if ranks.count() == 1 {
        // A cube is in memory beside its modes.
        let cubes = sources.iter().zip(&grids).filter(|(source, _)| matches!(source, Source::Cube(_)));
        let fields = cubes.map(|(_, grid)| grid.voxels() as u128 * size_of::<f32>() as u128).max();
        let needed = modes + fields.unwrap_or_default();
        if limit.is_none_or(|limit| needed <= u128::from(limit)) {
            return Ok(None);
        }
    }
    let least = grids.iter().map(|grid| least_bytes(grid, grids.len())).max().unwrap_or_default();
    let rest = |limit: u64| u128::from(limit).saturating_sub(least) / 2;
    let block = limit.map_or(LARGEST_BLOCK, |limit| rest(limit).min(LARGEST_BLOCK));
    let block_bytes = usize::try_from(block).context("a block of modes in memory")?;
    // Blocks of what is in memory are small parts of it.
    let fits = limit.is_none_or(|limit| modes + modes / 4 + least <= u128::from(limit));
    if ranks.count() > 1 && ranks.all(fits)? {
        return Ok(Some(Workspace { folder: None, block_bytes }));
    }
    let limit = limit.unwrap_or_default();
    if least > u128::from(limit) {
        return Err(bad_input(format!(
            "--memory: some planes of these grids take {} at least, and there are {}; give {:.4} or more",
            readable_bytes(least),
            readable_bytes(limit.into()),
            (least as f64 / GIB * 1e4).ceil() / 1e4
        )));
    }
    let folder = output.and_then(Path::parent).unwrap_or(Path::new(""));
    let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    context.note(format_args!(
        "the Fourier modes of {} take {}{}, more than the {} of memory that there are for them: they lie in files without a \
         name in {}, which go with this process",
        grids.iter().map(|grid| format!("{:?}", grid.cells())).collect::<Vec<_>>().join(" and "),
        readable_bytes(modes),
        if ranks.count() > 1 { " of each process" } else { "" },
        readable_bytes(limit.into()),
        shown.display()
    ));
    Ok(Some(Workspace::folder(folder, block_bytes)))
}

/// What is in memory at least beside modes in a file: planes on their way from the file of a field, and one plane or row.
fn least_bytes(grid: &Grid, fields: usize) -> u128 {
    let [nx, ny, nz] = grid.cells().map(|n| n as u128);
    let numbers = (nz / 2 + 1) * ny.max(nx * fields as u128) * size_of::<Complex32>() as u128;
    let plane = ny * nz * size_of::<f32>() as u128;
    (PLANES as u128).min(nx) * plane + plane + 2 * numbers
}

fn grid_of(source: &Source, cube: &Cube) -> anyhow::Result<Grid> {
    match source {
        Source::Grid(_, reader) => Ok(*reader.grid()),
        Source::Cube(path) => fields::grid_of_cube(path, cube),
        Source::Snapshot(..) => unreachable!("snapshots are measured in memory"),
    }
}
