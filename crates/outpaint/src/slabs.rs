//! Volumes of which each rank owns some planes along x, a slab: how ranks get at what others own.

use crate::OutpaintError;
use crate::values::Number;
use crate::volume::{Shape, Volume};
use finescale_field::Region;
use finescale_ranks::Ranks;
use std::ops::Range;

/// Voxels of a rank's halo, of all fields, that travel at once, if planes are not larger: what travels is in memory several times.
const AT_ONCE: usize = 1 << 20;

/// A part of a region that lies in one piece in one plane; all fields have it.
struct Run {
    /// Where it begins in the region.
    offset: usize,
    /// Where it begins in the volume.
    index: usize,
    length: usize,
}

/// The parts of `region` in the `slab` of planes, in one order.
fn runs(shape: Shape, region: &Region, slab: &Range<usize>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let [_, ny, nz] = region.shape;
    for x in 0..region.shape[0] {
        let plane = region.wrapped(0, x, shape.cells);
        if !slab.contains(&plane) {
            continue;
        }
        let [_, y, z] = region.start;
        let of_plane = Region { start: [plane as i64, y, z], shape: [1, ny, nz] };
        let first = runs.len();
        of_plane.for_each_run(shape.cells, |offset, index, length| {
            let offset = x * ny * nz + offset;
            match runs[first..].last_mut() {
                // Whole rows of a plane follow one another.
                Some(run) if (run.offset + run.length, run.index + run.length) == (offset, index) => {
                    run.length += length;
                }
                _ => runs.push(Run { offset, index, length }),
            }
        });
    }
    runs
}

/// The values of this rank's regions, of `regions` by rank, wherever they are. All ranks call this, with the same regions.
pub(crate) fn fetch<T: Number>(
    ranks: &Ranks,
    volume: &Volume<T>,
    regions: &[Vec<Region>],
) -> Result<Vec<Vec<T>>, OutpaintError> {
    let (shape, me) = (volume.shape(), ranks.rank());
    let slab = |rank| ranks.share_of(shape.cells[0], rank);
    let held_here = |regions: &[Region]| -> Result<Vec<T>, OutpaintError> {
        let mut values = Vec::new();
        for region in regions {
            let runs = runs(shape, region, &slab(me));
            for (field, run) in each_field(shape, &runs) {
                let first = values.len();
                values.resize(first + run.length, T::default());
                volume.read_run(field, run.index, &mut values[first..])?;
            }
        }
        Ok(values)
    };
    let others = || (0..ranks.count()).filter(|&rank| rank != me);
    let outgoing = others().map(|rank| Ok((rank, held_here(&regions[rank])?)));
    let outgoing = outgoing.collect::<Result<Vec<_>, OutpaintError>>()?;
    let outgoing: Vec<_> = outgoing.iter().map(|(rank, values)| (*rank, values.as_slice())).collect();
    let incoming: Vec<_> =
        others().map(|owner| (owner, values_in(shape, &regions[me], &slab(owner)))).collect();
    let mut received = ranks.exchange(&outgoing, &incoming)?;
    received.insert(me, held_here(&regions[me])?);

    let mut places = vec![0; ranks.count()];
    let mut whole = |region: &Region| {
        let mut values = vec![T::default(); shape.fields * region.voxels()];
        for owner in 0..ranks.count() {
            let runs = runs(shape, region, &slab(owner));
            for (field, run) in each_field(shape, &runs) {
                let (to, from) = (field * region.voxels() + run.offset, places[owner]);
                values[to..to + run.length].copy_from_slice(&received[owner][from..from + run.length]);
                places[owner] += run.length;
            }
        }
        values
    };
    Ok(regions[me].iter().map(&mut whole).collect())
}

/// Hands this rank's `values` of its regions, of `regions` by rank, to who owns the planes, which calls
/// `put(whose, which of its regions, field, run, values)`. All ranks call this, with the same regions.
fn hand_to_owners<T: Number>(
    ranks: &Ranks,
    shape: Shape,
    regions: &[Vec<Region>],
    values: &[&[T]],
    mut put: impl FnMut(usize, usize, usize, &Run, &[T]) -> Result<(), OutpaintError>,
) -> Result<(), OutpaintError> {
    let me = ranks.rank();
    let slab = |rank| ranks.share_of(shape.cells[0], rank);
    let for_owner = |owner| {
        let mut theirs = Vec::new();
        for (region, values) in regions[me].iter().zip(values) {
            let runs = runs(shape, region, &slab(owner));
            for (field, run) in each_field(shape, &runs) {
                theirs.extend_from_slice(&values[field * region.voxels() + run.offset..][..run.length]);
            }
        }
        theirs
    };
    let outgoing: Vec<Vec<T>> = (0..ranks.count()).map(for_owner).collect();
    let outgoing: Vec<_> = outgoing.iter().map(Vec::as_slice).enumerate().collect();
    let incoming: Vec<_> =
        (0..ranks.count()).map(|rank| (rank, values_in(shape, &regions[rank], &slab(me)))).collect();
    for (rank, received) in ranks.exchange(&outgoing, &incoming)?.into_iter().enumerate() {
        let mut first = 0;
        for (nth, region) in regions[rank].iter().enumerate() {
            let runs = runs(shape, region, &slab(me));
            for (field, run) in each_field(shape, &runs) {
                put(rank, nth, field, run, &received[first..first + run.length])?;
                first += run.length;
            }
        }
    }
    Ok(())
}

/// Adds this rank's `values` of its regions, of `regions` by rank, to those of who owns the planes. All ranks call this, with the
/// same regions.
fn add(
    ranks: &Ranks,
    volume: &mut Volume<i64>,
    regions: &[Vec<Region>],
    values: &[&[i64]],
) -> Result<(), OutpaintError> {
    hand_to_owners(ranks, volume.shape(), regions, values, |_, _, field, run, added| {
        let mut sums = vec![0; run.length];
        volume.read_run(field, run.index, &mut sums)?;
        sums.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
        volume.write_run(field, run.index, &sums)
    })
}

/// Overwrites what this rank has `values` of, in its regions of `regions` by rank, where `is_new(whose, which of its regions)` says
/// so (1). All ranks call this, with the same regions.
pub(crate) fn write_new<'a>(
    ranks: &Ranks,
    volume: &mut Volume,
    regions: &[Vec<Region>],
    values: &[&[f32]],
    is_new: impl Fn(usize, usize) -> &'a [f32],
) -> Result<(), OutpaintError> {
    hand_to_owners(ranks, volume.shape(), regions, values, |rank, nth, field, run, values| {
        let is_new = &is_new(rank, nth)[run.offset..run.offset + run.length];
        let mut start = 0;
        for same in is_new.chunk_by(|a, b| a == b) {
            if same[0] == 1.0 {
                volume.write_run(field, run.index + start, &values[start..start + same.len()])?;
            }
            start += same.len();
        }
        Ok(())
    })
}

/// Some regions, dealt to ranks.
pub(crate) fn dealt(regions: &[Region], ranks: &Ranks) -> Vec<Vec<Region>> {
    (0..ranks.count()).map(|rank| regions[ranks.share_of(regions.len(), rank)].to_vec()).collect()
}

/// Values of all fields that some regions have in a slab.
fn values_in(shape: Shape, regions: &[Region], slab: &Range<usize>) -> usize {
    let voxels = |region| runs(shape, region, slab).iter().map(|run| run.length).sum::<usize>();
    shape.fields * regions.iter().map(voxels).sum::<usize>()
}

fn each_field(shape: Shape, runs: &[Run]) -> impl Iterator<Item = (usize, &Run)> {
    (0..shape.fields).flat_map(move |field| runs.iter().map(move |run| (field, run)))
}

/// Regions of whole planes by rank, a few planes of each rank in a round.
fn rounds(shape: Shape, regions: &[Vec<Region>]) -> Vec<Vec<Vec<Region>>> {
    let planes = (AT_ONCE / (shape.fields * shape.of_plane())).max(1);
    let pieces = |region: &Region| {
        let Region { start: [x, y, z], shape: [nx, ny, nz] } = *region;
        let piece = move |first: usize| Region {
            start: [x + first as i64, y, z],
            shape: [planes.min(nx - first), ny, nz],
        };
        (0..nx).step_by(planes).map(piece)
    };
    let by_rank: Vec<Vec<Region>> =
        regions.iter().map(|regions| regions.iter().flat_map(pieces).collect()).collect();
    let most = by_rank.iter().map(Vec::len).max().unwrap_or_default();
    let of_round =
        |round: usize| by_rank.iter().map(move |pieces| pieces.get(round).copied().into_iter().collect());
    (0..most).map(|round| of_round(round).collect()).collect()
}

/// The planes around a rank's slab that its windows reach into, while they do.
pub(crate) struct Halo<T> {
    planes: Volume<T>,
}

impl<T: Number> Halo<T> {
    /// Zeros in some regions of whole planes.
    pub(crate) fn zeros(shape: Shape, regions: &[Region]) -> Self {
        let planes = regions
            .iter()
            .flat_map(|region| (0..region.shape[0]).map(|plane| region.wrapped(0, plane, shape.cells)));
        Self { planes: Volume::some_in_memory(shape, planes) }
    }

    /// The values of `volume` in this rank's regions of whole planes, of `regions` by rank. All ranks call this.
    pub(crate) fn fetch(
        ranks: &Ranks,
        volume: &Volume<T>,
        regions: &[Vec<Region>],
    ) -> Result<Self, OutpaintError> {
        let mut halo = Self::zeros(volume.shape(), &regions[ranks.rank()]);
        for regions in rounds(volume.shape(), regions) {
            for (region, values) in regions[ranks.rank()].iter().zip(fetch(ranks, volume, &regions)?) {
                halo.planes.write(region, &values)?;
            }
        }
        Ok(halo)
    }

    /// The values of a region, from here where they are here, else from the rank's `own`.
    pub(crate) fn read(&self, own: &Volume<T>, region: &Region) -> Result<Vec<T>, OutpaintError> {
        let shape = own.shape();
        let mut values = vec![T::default(); shape.fields * region.voxels()];
        let runs = runs(shape, region, &(0..shape.cells[0]));
        for (field, run) in each_field(shape, &runs) {
            let of_field = &mut values[field * region.voxels()..];
            let to = &mut of_field[run.offset..run.offset + run.length];
            let here = if self.planes.holds(run.index / shape.of_plane()) { &self.planes } else { own };
            here.read_run(field, run.index, to)?;
        }
        Ok(values)
    }

    /// Overwrites the values of a region, here where they are here, else in the rank's `own`.
    pub(crate) fn write(
        &mut self,
        own: &mut Volume<T>,
        region: &Region,
        values: &[T],
    ) -> Result<(), OutpaintError> {
        let shape = own.shape();
        let runs = runs(shape, region, &(0..shape.cells[0]));
        for (field, run) in each_field(shape, &runs) {
            let from = &values[field * region.voxels() + run.offset..][..run.length];
            let here =
                if self.planes.holds(run.index / shape.of_plane()) { &mut self.planes } else { &mut *own };
            here.write_run(field, run.index, from)?;
        }
        Ok(())
    }
}

impl Halo<i64> {
    /// Adds what is here of this rank's regions, of `regions` by rank, to the sums of who owns them. All ranks call this.
    pub(crate) fn add_to_owners(
        &self,
        ranks: &Ranks,
        own: &mut Volume<i64>,
        regions: &[Vec<Region>],
    ) -> Result<(), OutpaintError> {
        for regions in rounds(own.shape(), regions) {
            let values = regions[ranks.rank()].iter().map(|region| self.planes.read(region));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            add(ranks, own, &regions, &values.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::slab;

    const SHAPE: Shape = Shape { cells: [7, 4, 5], fields: 2 };

    fn number(field: usize, index: usize) -> i64 {
        (1000 * field + index) as i64
    }

    /// This rank's slab of a volume of those numbers.
    fn volume(ranks: &Ranks) -> Volume<i64> {
        let planes = ranks.share(SHAPE.cells[0]);
        let mut volume = Volume::some_in_memory(SHAPE, planes.clone());
        for field in 0..SHAPE.fields {
            for index in planes.start * SHAPE.of_plane()..planes.end * SHAPE.of_plane() {
                volume.write_run(field, index, &[number(field, index)]).unwrap();
            }
        }
        volume
    }

    fn expected(region: &Region) -> Vec<i64> {
        let mut values = vec![0; SHAPE.fields * region.voxels()];
        for (field, values) in values.chunks_exact_mut(region.voxels()).enumerate() {
            region.for_each_run(SHAPE.cells, |offset, index, length| {
                (0..length).for_each(|i| values[offset + i] = number(field, index + i));
            });
        }
        values
    }

    /// Some for each rank, none for rank 1: across slabs and faces, of a row, of a plane, of all.
    fn regions(count: usize) -> Vec<Vec<Region>> {
        let all = [
            Region { start: [-2, 3, -1], shape: [4, 3, 5] },
            Region { start: [2, 1, 3], shape: [1, 1, 4] },
            slab(&(3..5), SHAPE.cells),
            slab(&(0..7), SHAPE.cells),
        ];
        (0..count).map(|rank| if rank == 1 { Vec::new() } else { all[rank % 3..].to_vec() }).collect()
    }

    #[test]
    fn a_rank_gets_at_what_others_own() {
        for count in [1, 2, 3, 9] {
            let regions = regions(count);
            Ranks::on_threads(count, |ranks| {
                let found = fetch(ranks, &volume(ranks), &regions).unwrap();
                let expected: Vec<_> = regions[ranks.rank()].iter().map(expected).collect();
                assert_eq!(found, expected);
            });
        }
    }

    #[test]
    fn halos_travel_a_few_planes_at_a_time() {
        // Four planes are as many as travel at once.
        let shape = Shape { cells: [20, 512, 256], fields: 2 };
        let regions = [
            vec![slab(&(0..5), shape.cells), slab(&(9..10), shape.cells)],
            Vec::new(),
            vec![slab(&(7..20), shape.cells)],
        ];
        let planes = |regions: &[Region]| {
            let planes =
                regions.iter().flat_map(|region| region.start[0]..region.start[0] + region.shape[0] as i64);
            planes.collect::<Vec<_>>()
        };
        let found: Vec<Vec<Vec<i64>>> = rounds(shape, &regions)
            .iter()
            .map(|of_round| of_round.iter().map(|regions| planes(regions)).collect())
            .collect();
        let expected = [
            vec![vec![0, 1, 2, 3], vec![], vec![7, 8, 9, 10]],
            vec![vec![4], vec![], vec![11, 12, 13, 14]],
            vec![vec![9], vec![], vec![15, 16, 17, 18]],
            vec![vec![], vec![], vec![19]],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_ranks_add_in_their_halos_arrives_at_who_owns_it() {
        let region = Region { start: [5, 1, 2], shape: [6, 2, 3] };
        for count in [1, 2, 3, 9] {
            let halo_of = |rank: usize| {
                let own = Ranks::threads(count)[0].share_of(7, rank);
                let others = [0..own.start, own.end..7].into_iter().filter(|planes| !planes.is_empty());
                others.map(|planes| slab(&planes, SHAPE.cells)).collect()
            };
            let halos: Vec<Vec<Region>> = (0..count).map(halo_of).collect();
            Ranks::on_threads(count, |ranks| {
                let mut own = volume(ranks);
                let halo = Halo::fetch(ranks, &own, &halos).unwrap();
                assert_eq!(halo.read(&own, &region).unwrap(), expected(&region));
                // Each rank adds its number and one to what it sees of the region.
                let mut sums = Halo::zeros(SHAPE, &halos[ranks.rank()]);
                let added: Vec<i64> = sums
                    .read(&own, &region)
                    .unwrap()
                    .iter()
                    .map(|sum| sum + 1 + ranks.rank() as i64)
                    .collect();
                sums.write(&mut own, &region, &added).unwrap();
                sums.add_to_owners(ranks, &mut own, &halos).unwrap();
                let all: i64 = (0..count).map(|rank| 1 + rank as i64).sum();
                let found = fetch(ranks, &own, &vec![vec![region]; count]).unwrap().remove(0);
                let expected: Vec<i64> = expected(&region).iter().map(|number| number + all).collect();
                assert_eq!(found, expected);
            });
        }
    }

    #[test]
    fn only_what_is_new_is_written() {
        let region = Region { start: [1, 2, 3], shape: [4, 3, 4] };
        let is_new: Vec<f32> = (0..region.voxels()).map(|voxel| f32::from(voxel % 3 != 0)).collect();
        let values: Vec<f32> = (0..2 * region.voxels()).map(|i| i as f32 + 0.5).collect();
        let written = |count: usize| {
            let planes = Ranks::on_threads(count, |ranks| {
                let mut own = Volume::some_in_memory(SHAPE, ranks.share(7));
                let last = count - 1;
                let mut regions = vec![Vec::new(); count];
                regions[last].push(region);
                let ours: Vec<&[f32]> = if ranks.rank() == last { vec![&values] } else { Vec::new() };
                write_new(ranks, &mut own, &regions, &ours, |_, _| &is_new).unwrap();
                fetch(ranks, &own, &vec![vec![slab(&(0..7), SHAPE.cells)]; count]).unwrap().remove(0)
            });
            planes.into_iter().next().unwrap()
        };
        let alone = written(1);
        assert_eq!(alone.iter().filter(|&&value| value != 0.0).count(), 2 * 32);
        assert!([2, 3, 9].iter().all(|&count| written(count) == alone));
    }
}
