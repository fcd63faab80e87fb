//! What a network sees of the box that a volume lies in.

use crate::OutpaintError;
use crate::identity::{hash_of_density, hash_of_values};
use crate::volume::{Shape, Volume};
use finescale_field::{Boundary, Conditioning, Field3, Grid, Region, Windows, blocks};
use std::path::Path;

/// Cells of the blocks in which channels are made: what lies within reach of a smoothing is read with each.
const BLOCK: [usize; 3] = [64; 3];

/// The channels of a condition in network units, window by window.
pub trait Condition: Sync {
    /// Cells and box.
    fn grid(&self) -> &Grid;

    /// Number of channels.
    fn count(&self) -> usize;

    /// The channels of a periodic window of the box, one after another.
    ///
    /// # Errors
    /// [`OutpaintError::Field`] or [`OutpaintError::Region`] for a window that is not there, [`OutpaintError::Channels`]
    /// if channels are on different grids, [`OutpaintError::Io`] if values cannot be read.
    fn channels(&self, region: &Region) -> Result<Vec<f32>, OutpaintError>;

    /// What tells this condition from others when work is resumed.
    ///
    /// # Errors
    /// As [`channels`](Self::channels).
    fn hash(&self) -> Result<String, OutpaintError>;
}

/// Channels that are in memory, on one grid.
impl Condition for Vec<Field3> {
    fn grid(&self) -> &Grid {
        self.first().expect("a condition has a channel").grid()
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn channels(&self, region: &Region) -> Result<Vec<f32>, OutpaintError> {
        let mut values = Vec::with_capacity(self.len() * region.voxels());
        for channel in self {
            if channel.grid() != Condition::grid(self) {
                let (expected, found) = (*Condition::grid(self), *channel.grid());
                return Err(OutpaintError::Channels { expected, found });
            }
            values.extend(channel.extract(region)?);
        }
        Ok(values)
    }

    fn hash(&self) -> Result<String, OutpaintError> {
        let hashes = self.iter().map(|channel| hash_of_values(channel, |_, _| Ok(())));
        Ok(hashes.collect::<Result<Vec<_>, _>>()?.join(" "))
    }
}

/// The channels of a density over a part of its box, made once, block by block, and kept in a file without a name, or in
/// memory. Scalars are numbers.
#[derive(Debug)]
pub struct PreparedCondition {
    grid: Grid,
    /// The cells that are there.
    part: Region,
    /// Channels before the scalars; what is left of `values` comes after them.
    before: usize,
    scalars: Vec<f32>,
    values: Volume,
    hash: String,
}

impl PreparedCondition {
    /// The channels that `conditioning` makes of the density 1 + delta of a box whose scalars have these `values`, over
    /// `part`; kept in `folder`, or in memory.
    ///
    /// # Errors
    /// [`OutpaintError::Field`] if the part does not fit, or with the first voxel that is no density;
    /// [`OutpaintError::Read`] if the density cannot be read; [`OutpaintError::Io`] if the disk has no room.
    ///
    /// # Panics
    /// If there is not one value for each scalar.
    pub fn new(
        conditioning: &Conditioning,
        density: &dyn Windows,
        boundary: Boundary,
        values: &[f64],
        part: Region,
        folder: Option<&Path>,
    ) -> Result<Self, OutpaintError> {
        let grid = *density.grid();
        part.check_fits(grid.cells())?;
        let hash = hash_of_density(density)?;
        let [before, after] = conditioning.channel_counts();
        let shape = Shape { cells: part.shape, fields: before + after };
        let mut kept = match folder {
            Some(folder) => Volume::unnamed(folder, shape)?,
            None => Volume::in_memory(shape),
        };
        let start = [0, 1, 2].map(|axis| part.start[axis].rem_euclid(grid.cells()[axis] as i64));
        for block in blocks(part.shape, BLOCK) {
            let in_box = Region { start: [0, 1, 2].map(|axis| start[axis] + block.start[axis]), ..block };
            let channels = conditioning.window(density, boundary, &in_box).map_err(OutpaintError::Read)?;
            let values: Vec<f32> = channels.into_iter().flatten().flatten().collect();
            kept.write(&block, &values)?;
        }
        let scalars = conditioning.constants(values);
        Ok(Self { grid, part, before, scalars, values: kept, hash: format!("{hash} {values:?}") })
    }

    /// Bytes of what is kept for a part of a box.
    #[must_use]
    pub fn bytes(conditioning: &Conditioning, part: &Region) -> usize {
        conditioning.channel_counts().iter().sum::<usize>() * part.voxels() * size_of::<f32>()
    }

    /// A window of the box among the cells that are there.
    fn in_part(&self, region: &Region) -> Result<Region, OutpaintError> {
        let (cells, Region { start, shape }) = (self.grid.cells(), *region);
        let first = |axis: usize| {
            let period = cells[axis] as i64;
            (start[axis].rem_euclid(period) - self.part.start[axis].rem_euclid(period)).rem_euclid(period)
        };
        let first = [0, 1, 2].map(first);
        let is_there = (0..3).all(|axis| {
            let whole = self.part.shape[axis] == cells[axis] && shape[axis] <= cells[axis];
            whole || first[axis] as usize + shape[axis] <= self.part.shape[axis]
        });
        if is_there {
            Ok(Region { start: first, shape })
        } else {
            Err(OutpaintError::Region { start, shape, cells })
        }
    }
}

impl Condition for PreparedCondition {
    fn grid(&self) -> &Grid {
        &self.grid
    }

    fn count(&self) -> usize {
        self.values.fields() + self.scalars.len()
    }

    fn channels(&self, region: &Region) -> Result<Vec<f32>, OutpaintError> {
        let mut channels = self.values.read(&self.in_part(region)?)?;
        let after = channels.split_off(self.before * region.voxels());
        channels.extend(self.scalars.iter().flat_map(|&scalar| std::iter::repeat_n(scalar, region.voxels())));
        channels.extend(after);
        Ok(channels)
    }

    fn hash(&self) -> Result<String, OutpaintError> {
        Ok(self.hash.clone())
    }
}
