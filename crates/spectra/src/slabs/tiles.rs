//! What one rank holds of the modes of a box, before and after the transpose.
//!
//! Rows along z are told by (x, y). Before the transpose a rank holds those of its x, after it those of its y. Both are kept as
//! one tile for each rank: before, what will be sent to it; after, what came from it. A tile lies x by x, so that
//! neither a block of whole planes nor one of neighbouring y is in many pieces.

use super::rows::Numbers;
use crate::SpectraError;
use crate::fft::Complex32;
use finescale_ranks::Ranks;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// The tiles of one rank.
pub(crate) struct Tiles {
    rank: usize,
    /// Numbers of a row.
    half: usize,
    /// By rank, the x and the y that are its own.
    x_of: Vec<Range<usize>>,
    y_of: Vec<Range<usize>>,
    /// By rank, the first number of its tile.
    starts: Vec<usize>,
    numbers: Numbers,
}

impl Tiles {
    /// Zeros for this rank's part of (nx, ny, half) numbers, in memory or in a file in `folder`.
    pub(crate) fn zeros(
        ranks: &Ranks,
        [nx, ny, half]: [usize; 3],
        folder: Option<&Path>,
    ) -> Result<Self, SpectraError> {
        let shares = |items| (0..ranks.count()).map(|rank| ranks.share_of(items, rank)).collect();
        let (starts, count) = layout(ranks, [nx, ny, half]);
        Ok(Self {
            rank: ranks.rank(),
            half,
            x_of: shares(nx),
            y_of: shares(ny),
            starts,
            numbers: Numbers::zeros(count, folder)?,
        })
    }

    /// Bytes that the tiles of this rank take.
    pub(crate) fn bytes(ranks: &Ranks, shape: [usize; 3]) -> u128 {
        layout(ranks, shape).1 as u128 * size_of::<Complex32>() as u128
    }

    /// Our x before the transpose.
    pub(crate) fn xs(&self) -> Range<usize> {
        self.x_of[self.rank].clone()
    }

    /// Our y after the transpose.
    pub(crate) fn ys(&self) -> Range<usize> {
        self.y_of[self.rank].clone()
    }

    /// Before the transpose: the rows of our planes from `first_x` on.
    pub(crate) fn write_planes(&mut self, first_x: usize, planes: &[Complex32]) -> Result<(), SpectraError> {
        let (xs, ny) = (self.xs(), self.y_of.iter().map(ExactSizeIterator::len).sum::<usize>());
        for (x, plane) in (first_x - xs.start..).zip(planes.chunks_exact(ny * self.half)) {
            for (&start, ys) in self.starts.iter().zip(&self.y_of) {
                let rows = &plane[ys.start * self.half..ys.end * self.half];
                self.numbers.write(start + x * rows.len(), rows)?;
            }
        }
        Ok(())
    }

    /// After the transpose: the rows of some of our y, (nx, y, half) numbers.
    pub(crate) fn read_rows(&self, ys: &Range<usize>, rows: &mut [Complex32]) -> Result<(), SpectraError> {
        let of_x = rows.par_chunks_exact_mut(ys.len() * self.half).enumerate();
        of_x.try_for_each(|(x, rows)| self.numbers.read(self.place(x, ys.start), rows))
    }

    /// Undoes [`Self::read_rows`].
    pub(crate) fn write_rows(&mut self, ys: &Range<usize>, rows: &[Complex32]) -> Result<(), SpectraError> {
        for (x, rows) in rows.chunks_exact(ys.len() * self.half).enumerate() {
            self.numbers.write(self.place(x, ys.start), rows)?;
        }
        Ok(())
    }

    /// The first number of row (x, y) after the transpose.
    fn place(&self, x: usize, y: usize) -> usize {
        let from = self.x_of.partition_point(|xs| xs.end <= x);
        let ys = self.ys();
        let row = (x - self.x_of[from].start) * ys.len() + (y - ys.start);
        self.starts[from] + row * self.half
    }

    /// Gives each rank the rows of its y in place of those of its x. Tiles change places part by part, so that what is on its
    /// way takes about `bytes`, and two rows for each rank at least.
    pub(crate) fn transpose(&mut self, ranks: &Ranks, bytes: usize) -> Result<(), SpectraError> {
        let row_bytes = self.half * size_of::<Complex32>();
        let at_once = (bytes / (2 * ranks.count() * row_bytes)).max(1);
        // No tile of any rank has more rows.
        let largest = self.x_of[0].len() * self.y_of[0].len();
        let others: Vec<usize> = (0..ranks.count()).filter(|&other| other != self.rank).collect();
        let part = |rows: usize, first: usize| first.min(rows)..(first + at_once).min(rows);
        for first in (0..largest).step_by(at_once) {
            if others.is_empty() {
                break;
            }
            let mut leaving = Vec::with_capacity(others.len());
            for &to in &others {
                let rows = part(self.xs().len() * self.y_of[to].len(), first);
                let mut numbers = vec![Complex32::ZERO; rows.len() * self.half];
                self.numbers.read(self.starts[to] + rows.start * self.half, &mut numbers)?;
                leaving.push((to, numbers));
            }
            let outgoing: Vec<_> = leaving.iter().map(|(to, numbers)| (*to, &numbers[..])).collect();
            let coming = |from: usize| part(self.x_of[from].len() * self.ys().len(), first);
            let incoming: Vec<_> =
                others.iter().map(|&from| (from, coming(from).len() * self.half)).collect();
            let received = ranks.exchange(&outgoing, &incoming)?;
            let places: Vec<usize> =
                others.iter().map(|&from| self.starts[from] + coming(from).start * self.half).collect();
            for (place, numbers) in places.into_iter().zip(received) {
                self.numbers.write(place, &numbers)?;
            }
        }
        Ok(())
    }
}

/// By rank the first number of its tile on this one, and how many there are in all: a tile has room for what leaves and for
/// what comes.
fn layout(ranks: &Ranks, [nx, ny, half]: [usize; 3]) -> (Vec<usize>, usize) {
    let mut count = 0;
    let start = |other: usize| {
        let leaves = ranks.share(nx).len() * ranks.share_of(ny, other).len();
        let comes = ranks.share_of(nx, other).len() * ranks.share(ny).len();
        let start = count;
        count += leaves.max(comes) * half;
        start
    };
    let starts = (0..ranks.count()).map(start).collect();
    (starts, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A number that tells its place.
    fn number(x: usize, y: usize, z: usize) -> Complex32 {
        Complex32::new((100 * x + y) as f32, z as f32)
    }

    proptest! {
        #[test]
        fn each_rank_gets_the_rows_of_its_y(
            nx in 1usize..9, ny in 1usize..9, half in 1usize..4, count in 1usize..6, bytes in 1usize..400, in_file: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let folder = in_file.then_some(folder.path());
            let plane = |x| (0..ny).flat_map(move |y| (0..half).map(move |z| number(x, y, z)));
            let right = Ranks::on_threads(count, |ranks| {
                let mut tiles = Tiles::zeros(ranks, [nx, ny, half], folder).unwrap();
                for x in tiles.xs() {
                    tiles.write_planes(x, &plane(x).collect::<Vec<_>>()).unwrap();
                }
                tiles.transpose(ranks, bytes).unwrap();
                tiles.ys().all(|y| {
                    let mut rows = vec![Complex32::ZERO; nx * half];
                    tiles.read_rows(&(y..y + 1), &mut rows).unwrap();
                    let expected = (0..nx).flat_map(|x| (0..half).map(move |z| number(x, y, z)));
                    rows.iter().copied().eq(expected)
                })
            });
            prop_assert!(right.into_iter().all(|right| right));
        }
    }
}
