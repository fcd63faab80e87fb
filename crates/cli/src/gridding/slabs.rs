//! Grids of several ranks: each has a slab of planes, takes its turn at reading, and hands particles to those in whose slabs they are.

use super::sums::{Mark, Parcel, Sums};
use super::window::Window;
use super::{Gridding, local_density, meta, names_of, say_sizes};
use crate::context::Context;
use crate::failure::bad_input;
use crate::fields::Range;
use anyhow::Context as _;
use bytemuck::Pod;
use finescale_field::{FILE_BLOCK, Field3, Grid, LocalDensity, Region};
use finescale_ranks::Ranks;
use finescale_snapshot::{Batch, GridMeta, GridWriter, Header, Snapshot, read_back};
use ndarray::ArrayView3;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Particles of a batch: so few that what is sent of them stays in memory that the process has.
const PARTICLES_AT_ONCE: usize = 1 << 18;

/// Grids a whole box as [`super::deposit`] does, a slab on each rank; rank 0 writes it. Returns what is in the file, and what its values
/// range over.
///
/// # Errors
/// As [`super::deposit`], and those of writing.
pub(crate) fn deposit_on_ranks(
    context: &Context,
    snapshot: &Snapshot,
    how: &Gridding,
    output: &Path,
    finish_meta: impl FnOnce(&mut GridMeta),
) -> anyhow::Result<(GridMeta, Grid, Range)> {
    let (ranks, header) = (context.ranks(), snapshot.header());
    let grid = Window::new(header, how)?.wanted()?;
    let cells = grid.cells();
    if cells[0] < ranks.count() * (1 + 2 * how.scheme.order()) {
        return Err(bad_input(format!(
            "--cells: {} planes are too few for slabs of {} ranks; start fewer",
            cells[0],
            ranks.count()
        )));
    }
    let local_density = local_density(context, snapshot, how)?;
    let mut progress = context.progress("gridding", "particles", header.count(&how.particles), 0);
    let mut shared = Shared::new(ranks, header, how, local_density.as_ref())?;
    shared.gather(snapshot, how, |done| progress.set(done))?;
    progress.finish();
    let mut sums = shared.sums;
    sums.agree(ranks)?;
    sums.warn_of_volumes(context);
    sums.warn_of_positions(context);
    let mean = sums.done as f64 / grid.voxels() as f64;
    let mut meta = meta(header, how, &names_of(snapshot), mean, sums.total);
    say_sizes(&mut meta, how, sums.sizes_from);
    finish_meta(&mut meta);
    let field = sums.finish()?;
    let range = Range::of(field.as_slice()).of_ranks(ranks)?;
    let mut writer = None;
    if ranks.is_first() {
        writer = Some(GridWriter::create(output, &grid, &meta).context("writing a grid")?);
    }
    write(ranks, &field, cells, |region, values| match &mut writer {
        Some(writer) => writer.write(region, values).context("writing a grid"),
        None => Ok(()),
    })?;
    finish(ranks, writer, output).context("writing a grid")?;
    // Nobody ends, or reads the file, before it is there.
    ranks.barrier()?;
    Ok((meta, grid, range))
}

/// Ends rank 0's file, after all ranks have read it back, each a part.
fn finish(ranks: &Ranks, writer: Option<GridWriter>, output: &Path) -> anyhow::Result<()> {
    let closed = writer.map(GridWriter::close);
    let mut path = match &closed {
        Some(Ok(closed)) => closed.path().as_os_str().as_bytes().to_vec(),
        _ => Vec::new(),
    };
    ranks.broadcast(&mut path)?;
    let mut closed = closed.transpose()?;
    if path.is_empty() {
        // Rank 0 says why.
        return Ok(());
    }
    let path = Path::new(OsStr::from_bytes(&path));
    let sum = read_back(path, output, (ranks.rank(), ranks.count()));
    if !ranks.all(sum.is_ok())? {
        // It goes before a rank that could not read it ends the others.
        closed = None;
    }
    let sums = ranks.gather(sum.as_ref().map_or(&[], std::slice::from_ref))?;
    sum?;
    match closed {
        Some(closed) => Ok(closed.commit(sums.into_iter().flatten().fold(0, u64::wrapping_add))?),
        None => Ok(()),
    }
}

/// Sums of a rank's slab, and whose the others are.
struct Shared<'a> {
    ranks: &'a Ranks,
    /// Slabs by rank, each with what is assigned across its faces.
    windows: Vec<Window>,
    sums: Sums<'a>,
}

impl<'a> Shared<'a> {
    /// Without particles yet.
    fn new(
        ranks: &'a Ranks,
        header: &Header,
        how: &Gridding,
        local_density: Option<&'a LocalDensity>,
    ) -> anyhow::Result<Self> {
        let whole = Window::new(header, how)?;
        let slab = |rank: usize| {
            let planes = ranks.share_of(whole.wanted()?.cells()[0], rank);
            whole.planes(planes.start, planes.len(), how.scheme)
        };
        let windows = (0..ranks.count()).map(slab).collect::<anyhow::Result<Vec<_>>>()?;
        let sums = Sums::new(windows[ranks.rank()], how, header, local_density)?;
        Ok(Self { ranks, windows, sums })
    }

    /// Sums up all particles. Each rank reads a part of them, and batches are added in the order of ranks.
    fn gather(
        &mut self,
        snapshot: &Snapshot,
        how: &Gridding,
        mut done: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let turns = (self.ranks.rank(), self.ranks.count());
        let wanted = how.wanted();
        let name =
            |file| snapshot.files().nth(file).map_or_else(String::new, |path| path.display().to_string());
        snapshot.for_own_batches(&how.particles, &wanted, PARTICLES_AT_ONCE, turns, |batch| {
            self.ranks.any(true)?;
            self.add(&name, how, Some(batch))?;
            done(self.sums.done);
            anyhow::Ok(())
        })?;
        // Others may have a turn more.
        while self.ranks.any(false)? {
            self.add(&name, how, None)?;
        }
        Ok(())
    }

    /// Adds this rank's batch, if it has one, and what comes from the others; `name` is that of a file.
    fn add(
        &mut self,
        name: &dyn Fn(usize) -> String,
        how: &Gridding,
        batch: Option<Batch>,
    ) -> anyhow::Result<()> {
        let (mut ours, mut shares) = (Vec::new(), vec![Share::default(); self.ranks.count()]);
        let mut own = None;
        if let Some(batch) = batch {
            let mark = Mark::new(&batch, batch.file);
            let parcel = self.sums.parcel(batch, how)?;
            shares = self.deal(&parcel);
            ours.push(Told::new(mark, &parcel, &shares).into_words());
            own = Some(parcel);
        }
        let told = self.ranks.gather(&ours.concat())?;
        let told: Vec<Option<Told>> = told.iter().map(|words| Told::from_words(words)).collect();
        let all_positions = self.send(&shares, |share| share.positions_mpc_h.as_flattened(), &told, |_| 3)?;
        let columns = |told: &Told| told.columns.count_ones() as usize;
        let all_numbers = self.send(&shares, |share| &share.numbers, &told, columns)?;
        let arrived = told.iter().zip(&all_positions).zip(&all_numbers).enumerate();
        for (rank, ((told, positions), numbers)) in arrived {
            let Some(told) = told else { continue };
            self.sums.check_new(told.mark).with_context(|| name(told.mark.file))?;
            self.sums.done += told.all;
            self.sums.total += told.total;
            // A rank has its own particles already, all of them: those beyond its slab count for nothing.
            let parcel = own.take_if(|_| rank == self.ranks.rank());
            let parcel =
                parcel.unwrap_or_else(|| told.parcel(positions, numbers, self.sums.depositors.len()));
            self.sums.deposit(parcel)?;
        }
        Ok(())
    }

    /// What all ranks have for this one of their shares, by rank: for each particle some numbers.
    fn send<'s, T: Pod>(
        &self,
        shares: &'s [Share],
        of: impl Fn(&'s Share) -> &'s [T],
        told: &[Option<Told>],
        numbers: impl Fn(&Told) -> usize,
    ) -> anyhow::Result<Vec<Vec<T>>> {
        let outgoing: Vec<(usize, &[T])> = shares.iter().map(of).enumerate().collect();
        let expected = |told: &Told| told.particles[self.ranks.rank()] as usize * numbers(told);
        let incoming = told.iter().map(|told| told.as_ref().map_or(0, expected)).enumerate();
        Ok(self.ranks.exchange(&outgoing, &incoming.collect::<Vec<_>>())?)
    }

    /// The particles of a parcel for each other rank: those that reach into its slab.
    fn deal(&self, parcel: &Parcel) -> Vec<Share> {
        let columns: Vec<&[f32]> =
            parcel.sides_mpc_h.iter().chain(parcel.weights.iter().flatten()).map(Vec::as_slice).collect();
        let mut shares = vec![Share::default(); self.windows.len()];
        for (index, position) in parcel.positions_mpc_h.iter().enumerate() {
            let side = parcel.sides_mpc_h.as_ref().map_or(0.0, |sides| f64::from(sides[index]));
            for (rank, (window, share)) in self.windows.iter().zip(&mut shares).enumerate() {
                if rank != self.ranks.rank() && window.reaches(position[0], side) {
                    share.positions_mpc_h.push(*position);
                    share.numbers.extend(columns.iter().map(|column| column[index]));
                }
            }
        }
        shares
    }
}

/// What a rank is sent of a parcel.
#[derive(Clone, Default)]
struct Share {
    positions_mpc_h: Vec<[f64; 3]>,
    /// Of each particle its side and its weight on each grid, as far as it has them.
    numbers: Vec<f32>,
}

/// What all ranks are told of a batch.
struct Told {
    mark: Mark,
    /// Particles of the batch.
    all: u64,
    /// The sum of their weights.
    total: f64,
    /// A bit for each column: sides, and weights on the first and second grid.
    columns: u64,
    /// Particles for each rank.
    particles: Vec<u64>,
}

impl Told {
    fn new(mark: Mark, parcel: &Parcel, shares: &[Share]) -> Self {
        let has =
            std::iter::once(parcel.sides_mpc_h.is_some()).chain(parcel.weights.iter().map(Option::is_some));
        Self {
            mark,
            all: parcel.positions_mpc_h.len() as u64,
            total: parcel.total,
            columns: has.enumerate().map(|(column, has)| u64::from(has) << column).sum(),
            particles: shares.iter().map(|share| share.positions_mpc_h.len() as u64).collect(),
        }
    }

    fn into_words(self) -> Vec<u64> {
        let Mark { sum, file, kind, says_much } = self.mark;
        let mut words = vec![
            sum,
            file as u64,
            kind as u64,
            says_much.into(),
            self.all,
            self.total.to_bits(),
            self.columns,
        ];
        words.extend(self.particles);
        words
    }

    /// None of a rank that has no batch.
    fn from_words(words: &[u64]) -> Option<Self> {
        let (&[sum, file, kind, says_much, all, total, columns], particles) = words.split_first_chunk()?;
        let mark = Mark { sum, file: file as usize, kind: kind as usize, says_much: says_much != 0 };
        Some(Self { mark, all, total: f64::from_bits(total), columns, particles: particles.to_vec() })
    }

    /// The particles that came.
    fn parcel(&self, positions: &[f64], numbers: &[f32], grids: usize) -> Parcel {
        let count = self.columns.count_ones() as usize;
        let column = |bit: usize| {
            let place = (self.columns & ((1 << bit) - 1)).count_ones() as usize;
            let is_there = self.columns >> bit & 1 == 1;
            is_there.then(|| numbers.iter().skip(place).step_by(count).copied().collect())
        };
        Parcel {
            positions_mpc_h: positions.as_chunks().0.to_vec(),
            sides_mpc_h: column(0),
            weights: (1..=grids).map(column).collect(),
            total: self.total,
        }
    }
}

/// Hands rank 0 the planes of all slabs, some at a time, which it `put`s.
fn write(
    ranks: &Ranks,
    slab: &Field3,
    [nx, ny, nz]: [usize; 3],
    mut put: impl FnMut(&Region, ArrayView3<f32>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let own = ranks.share(nx);
    for owner in 0..ranks.count() {
        let planes = ranks.share_of(nx, owner);
        for first in planes.clone().step_by(FILE_BLOCK[0]) {
            let some = first..planes.end.min(first + FILE_BLOCK[0]);
            let values = (owner == ranks.rank()).then(|| {
                &slab.as_slice()[(some.start - own.start) * ny * nz..(some.end - own.start) * ny * nz]
            });
            let outgoing: Vec<_> = values.map(|values| (0, values)).into_iter().collect();
            let shape = [some.len(), ny, nz];
            let incoming = ranks.is_first().then_some((owner, shape.iter().product()));
            for values in ranks.exchange(&outgoing, incoming.as_slice())? {
                let region = Region { start: [i64::try_from(first)?, 0, 0], shape };
                put(&region, ArrayView3::from_shape(shape, &values)?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gridding::{Axis, Quantity, Spread};
    use finescale_field::{Cosmology, Scheme};
    use finescale_seed::{KeyedStream, Purpose};
    use finescale_snapshot::{SizeOf, Species};

    /// Relative to the largest value: places in a slab are rounded otherwise than in the box, in f32.
    const REL: f32 = 1e-4;
    const CELLS: usize = 32;
    const BOX_MPC_H: f64 = 20.0;
    const PARTICLES: u64 = 900;

    fn header() -> Header {
        Header {
            box_size_mpc_h: [BOX_MPC_H; 3],
            redshift: 0.0,
            scale_factor: 1.0,
            contradicting_time: None,
            cosmology: Cosmology { omega_m: Some(0.3), omega_lambda: Some(0.7), ..Cosmology::UNKNOWN },
            counts: Vec::new(),
            mass_table: Vec::new(),
            length_unit_mpc_h: 1e-3,
            length_unit_is_assumed: false,
            origin: None,
            files: 5,
        }
    }

    /// Particles of a file, some of them outside of the box, with masses, velocities and sizes up to six voxels.
    fn batch(file: usize) -> Batch {
        let stream = KeyedStream::new(file as u64, Purpose::Points);
        let numbers = |column: u32| (0..PARTICLES).map(move |index| stream.uniform(column, index));
        let along = |axis: u32| numbers(axis).map(|x| BOX_MPC_H * (1.2 * x - 0.1));
        let speeds = |axis: u32| numbers(axis).map(|x| (2000.0 * (x - 0.5)) as f32);
        let positions = along(0).zip(along(1)).zip(along(2)).map(|((x, y), z)| [x, y, z]);
        let velocities = speeds(3).zip(speeds(4)).zip(speeds(5)).map(|((x, y), z)| [x, y, z]);
        Batch {
            file,
            positions_mpc_h: positions.collect(),
            masses: Some(numbers(6).map(|x| (1.0 + x) as f32).collect()),
            velocities_km_s: Some(velocities.collect()),
            sides_mpc_h: Some(numbers(7).map(|x| (3.7 * x.powi(4)) as f32).collect()),
            ..Batch::default()
        }
    }

    /// Who reads which files.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Dealt {
        /// Each rank some that follow one another, and some ranks one more.
        InParts,
        /// Each rank one in its turn: batches are added in the order of files then.
        InTurns,
    }

    /// What several ranks make of five batches: the field, how many particles, and their weight.
    fn gridded(count: usize, how: &Gridding, dealt: Dealt) -> (Vec<f32>, u64, f64) {
        let by_rank = Ranks::on_threads(count, |ranks| {
            let mut shared = Shared::new(ranks, &header(), how, None).unwrap();
            let wanted = how.wanted();
            for turn in 0..5usize.div_ceil(count) {
                let (file, end) = match dealt {
                    Dealt::InParts => (ranks.share(5).start + turn, ranks.share(5).end),
                    Dealt::InTurns => (turn * count + ranks.rank(), 5),
                };
                let own = (file < end).then(|| {
                    let batch = batch(file);
                    Batch { sides_mpc_h: batch.sides_mpc_h.filter(|_| wanted.sides), ..batch }
                });
                shared.add(&|_| String::new(), how, own).unwrap();
            }
            let sums = shared.sums;
            let (done, total) = (sums.done, sums.total);
            let (mut all, slab) = (Vec::new(), sums.finish().unwrap());
            write(ranks, &slab, [CELLS; 3], |_, values| {
                all.extend(values);
                Ok(())
            })
            .unwrap();
            (all, done, total)
        });
        by_rank.into_iter().next().unwrap()
    }

    #[test]
    fn slabs_of_ranks_are_the_box_of_one() {
        let plain = |scheme| Gridding::density(Species::Gas.into(), CELLS, scheme);
        let counted = Gridding { weight: "count".parse().unwrap(), ..plain(Scheme::Pcs) };
        let velocity = Gridding { quantity: Quantity::Velocity(Axis::Y), ..plain(Scheme::Cic) };
        let counted_velocity = Gridding { weight: "count".parse().unwrap(), ..velocity.clone() };
        let shifted = Gridding { redshift_space: Some(Axis::X), ..plain(Scheme::Tsc) };
        let spread = Gridding { spread: Some(Spread::Cells), ..plain(Scheme::Ngp) };
        for how in [plain(Scheme::Cic), counted, velocity, counted_velocity, shifted, spread] {
            let (alone, done, total) = gridded(1, &how, Dealt::InTurns);
            assert_eq!(done, 5 * PARTICLES);
            for (count, dealt) in
                [(2, Dealt::InTurns), (3, Dealt::InTurns), (2, Dealt::InParts), (3, Dealt::InParts)]
            {
                let (shared, of_ranks, weight) = gridded(count, &how, dealt);
                assert_eq!(of_ranks, done, "of {count} ranks");
                // In parts they are added in another order.
                let is_as_of_one = match dealt {
                    Dealt::InTurns => weight.to_bits() == total.to_bits(),
                    Dealt::InParts => (weight / total - 1.0).abs() < 1e-12,
                };
                assert!(is_as_of_one, "{count} ranks, {dealt:?}: {weight}, and {total} of one");
                let scale = alone.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                let differences = shared.iter().zip(&alone).map(|(a, b)| (a - b).abs() / scale);
                let largest = differences.fold(0f32, f32::max);
                assert!(shared.len() == CELLS.pow(3) && largest < REL, "{count} ranks, {how:?}: {largest}");
            }
        }
    }

    #[test]
    fn what_sizes_are_from_all_ranks_know_though_one_reads() {
        let how = Gridding {
            spread: Some(Spread::Cells),
            ..Gridding::density(Species::Gas.into(), CELLS, Scheme::Ngp)
        };
        let known = Ranks::on_threads(3, |ranks| {
            let mut shared = Shared::new(ranks, &header(), &how, None).unwrap();
            let own = (ranks.rank() == 1).then(|| Batch { sides_from: Some(SizeOf::Density), ..batch(0) });
            shared.add(&|_| String::new(), &how, own).unwrap();
            shared.sums.agree(ranks).unwrap();
            shared.sums.sizes_from
        });
        assert_eq!(known, [Some(SizeOf::Density); 3]);
    }

    #[test]
    fn a_file_that_comes_twice_is_told_whoever_reads_it() {
        let how = Gridding::density(Species::Gas.into(), CELLS, Scheme::Cic);
        let errors = Ranks::on_threads(2, |ranks| {
            let mut shared = Shared::new(ranks, &header(), &how, None).unwrap();
            let copy = Batch { file: ranks.rank(), ..batch(0) };
            let own = Batch { sides_mpc_h: None, ..copy };
            shared.add(&|file| format!("file {file}"), &how, Some(own)).unwrap_err()
        });
        for error in errors {
            assert!(
                format!("{error:#}").contains("file 1: holds the particles of file 0 again"),
                "{error:#}"
            );
        }
    }
}
