//! What a network sees of the box that a volume lies in.

use crate::OutpaintError;
use crate::checks::check_inside;
use crate::hash::{hash_of_density, hash_of_values};
use crate::volume::{Shape, Volume};
use finescale_field::{Boundary, Conditioning, Field3, Grid, Normalizer, Region, Windows, blocks};
use finescale_ranks::Ranks;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
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

    /// From the values of the first channel to the density 1 + delta, without bounds; none if it is not known.
    fn density_normalizer(&self) -> Option<Normalizer>;

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

    fn density_normalizer(&self) -> Option<Normalizer> {
        None
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
    /// Of the first channel.
    density: Normalizer,
    values: Volume,
    hash: String,
}

impl PreparedCondition {
    /// The channels that `conditioning` makes of the density 1 + delta of a box whose scalars have these `values`, over
    /// `part`; kept in a file without a name beside the file `output`, or in memory.
    ///
    /// # Errors
    /// [`OutpaintError::Region`] if the part does not fit; [`OutpaintError::Field`] with a voxel that is no density;
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
        output: Option<&Path>,
    ) -> Result<Self, OutpaintError> {
        check_inside(&part, density.grid().cells(), boundary)?;
        let hash = hash_of_density(density)?;
        let shape = shape_of(conditioning, &part);
        let kept = match output {
            Some(output) => Volume::unnamed(output, shape)?,
            None => Volume::in_memory(shape),
        };
        let mut made = Self::empty(conditioning, *density.grid(), values, part, kept);
        made.hash = format!("{hash} {values:?}");
        made.fill(conditioning, density, boundary, &Ranks::alone())?;
        Ok(made)
    }

    /// The same for `ranks`, each of which makes its share of the channels, kept in a file beside `output` that all have open. It
    /// loses its name once they have, as [`new`](Self::new)'s has none. All must read the same density: rank 0's hash stands for all.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`OutpaintError::Ranks`].
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn of_ranks(
        conditioning: &Conditioning,
        density: &dyn Windows,
        boundary: Boundary,
        values: &[f64],
        part: Region,
        (output, ranks): (&Path, &Ranks),
    ) -> Result<Self, OutpaintError> {
        if ranks.count() == 1 {
            return Self::new(conditioning, density, boundary, values, part, Some(output));
        }
        check_inside(&part, density.grid().cells(), boundary)?;
        let shape = shape_of(conditioning, &part);
        let (mut first, mut said) = (None, Vec::new());
        if ranks.is_first() {
            let hash = hash_of_density(density)?;
            let (kept, named) = Volume::draft(output, shape)?;
            said = [hash.as_bytes(), b" ", named.path().as_os_str().as_bytes()].concat();
            first = Some((kept, named));
        }
        // Also tells the others that the file is there.
        ranks.broadcast(&mut said)?;
        let end = said.iter().position(|&byte| byte == b' ').expect("rank 0 has said both");
        let (hash, name) = (String::from_utf8_lossy(&said[..end]), OsStr::from_bytes(&said[end + 1..]));
        let (kept, named) = match first {
            Some((kept, named)) => (Ok(kept), Some(named)),
            None => (Volume::in_existing_file(Path::new(name), shape), None),
        };
        // The name goes before a rank that could not open it ends the others.
        ranks.all(kept.is_ok())?;
        drop(named);
        ranks.barrier()?;
        let kept = kept?;
        let mut made = Self::empty(conditioning, *density.grid(), values, part, kept);
        made.hash = format!("{hash} {values:?}");
        made.fill(conditioning, density, boundary, ranks)?;
        made.values.sync()?;
        ranks.barrier()?;
        Ok(made)
    }

    fn empty(conditioning: &Conditioning, grid: Grid, values: &[f64], part: Region, kept: Volume) -> Self {
        let [before, _] = conditioning.channel_counts();
        let scalars = conditioning.constants(values);
        let density = conditioning.density.unbounded();
        Self { grid, part, before, scalars, density, values: kept, hash: String::new() }
    }

    /// Makes this rank's share of the channels, block by block.
    fn fill(
        &mut self,
        conditioning: &Conditioning,
        density: &dyn Windows,
        boundary: Boundary,
        ranks: &Ranks,
    ) -> Result<(), OutpaintError> {
        let Region { start, shape } = self.part;
        let start = [0, 1, 2].map(|axis| start[axis].rem_euclid(self.grid.cells()[axis] as i64));
        let blocks = blocks(shape, BLOCK);
        for block in &blocks[ranks.share(blocks.len())] {
            let in_box = Region { start: [0, 1, 2].map(|axis| start[axis] + block.start[axis]), ..*block };
            let channels = conditioning.window(density, boundary, &in_box).map_err(OutpaintError::Read)?;
            let values: Vec<f32> = channels.into_iter().flatten().flatten().collect();
            self.values.write(block, &values)?;
        }
        Ok(())
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

    fn density_normalizer(&self) -> Option<Normalizer> {
        Some(self.density)
    }

    fn hash(&self) -> Result<String, OutpaintError> {
        Ok(self.hash.clone())
    }
}

fn shape_of(conditioning: &Conditioning, part: &Region) -> Shape {
    Shape { cells: part.shape, fields: conditioning.channel_counts().iter().sum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::{Channels, FieldError, Scalar, ScalarName, Transform};
    use ndarray::Array3;

    const TRANSFORM: Transform = Transform::Linear { mu: 0.5, s: 2.0, low: -1.0, high: 9.0 };
    const CELLS: [usize; 3] = [70, 9, 12];

    fn conditioning() -> Conditioning {
        let normalizer = |mean_count| Normalizer { mean_count, transform: TRANSFORM };
        let channels = Channels {
            surroundings_smoothing_cells: Some(1.0),
            scalars: vec![Scalar { name: ScalarName::Redshift, centre: 1.0, width: 2.0 }],
            baseline_smoothing_cells: Some(0.5),
        };
        Conditioning { density: normalizer(0.1), truth: vec![normalizer(3.0), normalizer(2.0)], channels }
    }

    fn density() -> Field3 {
        let grid = Grid::new(CELLS, CELLS.map(|n| 0.5 * n as f64)).unwrap();
        Field3::new(grid, Array3::from_shape_fn(CELLS, |(x, y, z)| ((x * 7 + y * z) % 11) as f32)).unwrap()
    }

    fn prepared(
        part: Region,
        boundary: Boundary,
        output: Option<&Path>,
    ) -> Result<PreparedCondition, OutpaintError> {
        PreparedCondition::new(&conditioning(), &density(), boundary, &[0.5], part, output)
    }

    #[test]
    fn blocks_and_parts_have_the_bits_of_the_whole_in_memory_and_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("sample.hdf5");
        for boundary in [Boundary::Periodic, Boundary::Open] {
            let whole = conditioning().apply(&density(), boundary, &[0.5]).unwrap();
            let window = Region { start: [68, 4, 2], shape: [2, 5, 10] };
            for part in [Region::whole(density().grid()), Region { start: [66, 3, 1], shape: [4, 6, 11] }] {
                for output in [None, Some(output.as_path())] {
                    let prepared = prepared(part, boundary, output).unwrap();
                    assert_eq!(prepared.channels(&window).unwrap(), whole.channels(&window).unwrap());
                    assert_eq!((prepared.count(), Condition::grid(&prepared)), (5, density().grid()));
                }
            }
        }
        // Around the periodic face.
        let part = Region { start: [-2, 0, -5], shape: [6, 9, 12] };
        let window = Region { start: [69, -3, 9], shape: [3, 9, 4] };
        let whole = conditioning().apply(&density(), Boundary::Periodic, &[0.5]).unwrap();
        let found = prepared(part, Boundary::Periodic, None).unwrap().channels(&window).unwrap();
        assert_eq!(found, whole.channels(&window).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn ranks_make_one_condition_and_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("new/sample.hdf5");
        let part = Region { start: [66, 3, 1], shape: [69, 6, 11] };
        let alone = prepared(part, Boundary::Periodic, None).unwrap();
        let window = Region { start: [100, 4, 2], shape: [30, 5, 10] };
        Ranks::on_threads(3, |ranks| {
            let (conditioning, density) = (conditioning(), density());
            let (boundary, at) = (Boundary::Periodic, (output.as_path(), ranks));
            let made =
                PreparedCondition::of_ranks(&conditioning, &density, boundary, &[0.5], part, at).unwrap();
            assert_eq!(made.channels(&window).unwrap(), alone.channels(&window).unwrap());
            assert_eq!(made.hash().unwrap(), alone.hash().unwrap());
            ranks.barrier().unwrap();
        });
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
    }

    #[test]
    fn the_hash_is_of_the_whole_box_and_of_its_scalars() {
        let hash = |part, values: &[f64]| {
            let all = (conditioning(), density());
            let made = PreparedCondition::new(&all.0, &all.1, Boundary::Periodic, values, part, None);
            made.unwrap().hash().unwrap()
        };
        let whole = hash(Region::whole(density().grid()), &[0.5]);
        assert_eq!(whole, hash(Region::cube([3; 3], 4), &[0.5]));
        assert_ne!(whole, hash(Region::cube([3; 3], 4), &[0.25]));
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let part = Region { start: [66, 3, 1], shape: [4, 6, 11] };
        let prepared = prepared(part, Boundary::Periodic, None).unwrap();
        let error = prepared.channels(&Region::cube([65, 4, 2], 2)).unwrap_err();
        assert!(matches!(error, OutpaintError::Region { .. }), "{error}");
        assert!(super::tests::prepared(Region::cube([0; 3], 10), Boundary::Periodic, None).is_err());
        let mut wrong = density();
        wrong.as_slice_mut()[(40 * 9 + 2) * 12 + 7] = -1.0;
        let error =
            PreparedCondition::new(&conditioning(), &wrong, Boundary::Open, &[0.5], part, None).unwrap_err();
        let expected = FieldError::Density { voxel: [40, 2, 7], value: -1.0 };
        assert!(matches!(&error, OutpaintError::Field(found) if *found == expected), "{error}");
    }
}
