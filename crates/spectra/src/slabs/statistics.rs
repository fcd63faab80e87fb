//! Sums over modes that lie on several ranks, or in a file.

use super::ModeSlabs;
use crate::binning::{Bin, Binning, Bins, Sums, add};
use crate::fft::Complex32;
use crate::modes::Products;
use crate::multipoles::legendre;
use crate::shot_noise::poisson_power;
use crate::{Bands, LineOfSight, Multipoles, SpectraError, Spectrum, correlation_of};
use finescale_field::Scheme;
use finescale_ranks::Ranks;
use std::ops::Range;

/// The powers of two fields in the same bins, and what they have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossSpectra {
    /// P of each field in (Mpc/h)³.
    pub power: [Spectrum; 2],
    /// V⟨Re δ_k ε_k*⟩ in (Mpc/h)³.
    pub cross: Spectrum,
}

impl CrossSpectra {
    /// r = P_ab / √(P_aa P_bb) bin by bin, as [`correlation_of`].
    #[must_use]
    pub fn correlation(&self) -> Vec<f64> {
        correlation_of(&self.cross, &self.power[0], &self.power[1])
    }
}

impl ModeSlabs<'_> {
    /// As [`Modes::power`](crate::Modes::power), on all ranks.
    ///
    /// # Errors
    /// [`SpectraError::Storage`], [`SpectraError::Ranks`].
    pub fn power(&self) -> Result<Spectrum, SpectraError> {
        self.spectrum(self, Binning::Shells)
    }

    /// As [`Modes::power_in`](crate::Modes::power_in), on all ranks.
    ///
    /// # Errors
    /// As [`Self::power`].
    pub fn power_in(&self, bands: &Bands) -> Result<Spectrum, SpectraError> {
        self.spectrum(self, Binning::Bands(bands))
    }

    /// As [`Modes::cross`](crate::Modes::cross), on all ranks.
    ///
    /// # Errors
    /// As [`Self::power`], and [`SpectraError::Grids`] if the fields are not on one grid.
    pub fn cross(&self, other: &Self) -> Result<Spectrum, SpectraError> {
        self.spectrum(other, Binning::Shells)
    }

    /// As [`Modes::cross_in`](crate::Modes::cross_in), on all ranks.
    ///
    /// # Errors
    /// As [`Self::cross`].
    pub fn cross_in(&self, other: &Self, bands: &Bands) -> Result<Spectrum, SpectraError> {
        self.spectrum(other, Binning::Bands(bands))
    }

    /// The powers of both fields and their cross power in shells, with one pass over the modes.
    ///
    /// # Errors
    /// As [`Self::cross`].
    pub fn cross_spectra(&self, other: &Self) -> Result<CrossSpectra, SpectraError> {
        let found = binned([self, other], &[[0, 0], [1, 1], [0, 1]], Binning::Shells, |_| [1.0])?;
        let [first, second, cross] = found.try_into().unwrap_or_else(|_| unreachable!("three pairs"));
        Ok(CrossSpectra { power: [spectrum(first), spectrum(second)], cross: spectrum(cross) })
    }

    /// As [`Modes::multipoles`](crate::Modes::multipoles), on all ranks. P_0 is [`Self::power`] to the bit.
    ///
    /// # Errors
    /// As [`Self::power`].
    pub fn multipoles(&self, line_of_sight: LineOfSight) -> Result<Multipoles, SpectraError> {
        self.multipoles_with(line_of_sight, Binning::Shells)
    }

    /// As [`Modes::multipoles_in`](crate::Modes::multipoles_in), on all ranks.
    ///
    /// # Errors
    /// As [`Self::power`].
    pub fn multipoles_in(
        &self,
        line_of_sight: LineOfSight,
        bands: &Bands,
    ) -> Result<Multipoles, SpectraError> {
        self.multipoles_with(line_of_sight, Binning::Bands(bands))
    }

    /// As [`Modes::shot_noise`](crate::Modes::shot_noise), on all ranks, each of which does its share of it.
    ///
    /// # Errors
    /// [`SpectraError::Ranks`].
    pub fn shot_noise(&self, shot_noise_mpc_h3: f64, scheme: Scheme) -> Result<Spectrum, SpectraError> {
        let values = poisson_power(self.sampling, &self.correction, shot_noise_mpc_h3, scheme);
        let bins = Bins::new(self.grid, Binning::Shells, |_| [1.0]);
        let mut total = Total::new(self.ranks, self.grid.cells()[1], bins.zeros());
        bins.for_each_y(self.tiles.ys(), &values, |of_y| total.add(of_y));
        Ok(spectrum(bins.means(&total.finish()?)))
    }

    fn spectrum(&self, other: &Self, binning: Binning) -> Result<Spectrum, SpectraError> {
        let mut found = match std::ptr::eq(self, other) {
            true => binned([self], &[[0, 0]], binning, |_| [1.0])?,
            false => binned([self, other], &[[0, 1]], binning, |_| [1.0])?,
        };
        Ok(spectrum(found.remove(0)))
    }

    fn multipoles_with(
        &self,
        line_of_sight: LineOfSight,
        binning: Binning,
    ) -> Result<Multipoles, SpectraError> {
        let mut found = binned([self], &[[0, 0]], binning, legendre(line_of_sight))?;
        Ok(Multipoles::of_bins(found.remove(0)))
    }
}

fn spectrum(bins: Vec<Bin<1>>) -> Spectrum {
    bins.into_iter().map(|bin| (bin.k_h_mpc, bin.means[0], bin.modes)).collect()
}

/// Means by bin of the products of pairs of fields, each weighted in W ways, pair by pair.
fn binned<const FIELDS: usize, const W: usize>(
    fields: [&ModeSlabs; FIELDS],
    pairs: &[[usize; 2]],
    binning: Binning,
    weigh: impl Fn([f64; 3]) -> [f64; W] + Sync,
) -> Result<Vec<Vec<Bin<W>>>, SpectraError> {
    let [first, ..] = &fields[..] else { return Ok(Vec::new()) };
    fields.iter().try_for_each(|other| first.check_grid(other))?;
    let grid = first.grid;
    let half = grid.cells()[2] / 2 + 1;
    let bins = Bins::new(grid, binning, weigh);
    let products = pairs.iter().map(|pair| Products::new(&grid, pair.map(|field| &fields[field].correction)));
    let products: Vec<Products> = products.collect();
    let mut totals: Vec<_> =
        pairs.iter().map(|_| Total::new(first.ranks, grid.cells()[1], bins.zeros())).collect();
    ModeSlabs::for_each_block(&fields, first.tiles.ys(), |ys, blocks| {
        for ((pair, products), total) in pairs.iter().zip(&products).zip(&mut totals) {
            let values = |x: usize, y: usize, values: &mut [f64]| {
                let row = (x * ys.len() + y - ys.start) * half;
                let rows = pair.map(|field| &blocks[field][row..row + half]);
                products.of_row([x, y], rows, values);
            };
            bins.for_each_y(ys.clone(), &values, |of_y| total.add(of_y));
        }
        Ok(())
    })?;
    totals.into_iter().map(|total| Ok(bins.means(&total.finish()?))).collect()
}

impl ModeSlabs<'_> {
    /// Hands `with` the modes of some of our y of each field, (nx, y, nz/2 + 1) numbers each, block after block in the
    /// order of y.
    pub(super) fn for_each_block(
        fields: &[&Self],
        ys: Range<usize>,
        mut with: impl FnMut(Range<usize>, &[Vec<Complex32>]) -> Result<(), SpectraError>,
    ) -> Result<(), SpectraError> {
        let block_bytes = fields.iter().map(|field| field.block_bytes).min().unwrap_or_default();
        let [nx, _, half] = fields.first().map_or([1; 3], |field| field.fft.spectrum_shape());
        let of_y = fields.len() * nx * half * size_of::<Complex32>();
        let at_once = (block_bytes / of_y.max(1)).clamp(1, ys.len().max(1));
        let mut blocks: Vec<Vec<Complex32>> = vec![Vec::new(); fields.len()];
        for first in ys.clone().step_by(at_once) {
            let ys = first..(first + at_once).min(ys.end);
            for (field, block) in fields.iter().zip(&mut blocks) {
                block.resize(nx * ys.len() * half, Complex32::ZERO);
                field.tiles.read_rows(&ys, block)?;
                if field.is_left_along_x {
                    field.fft.forward_along_x(block);
                }
            }
            with(ys, &blocks)?;
        }
        Ok(())
    }
}

/// Sums over all y in their order, whoever has them.
struct Total<'a, const W: usize> {
    ranks: &'a Ranks,
    ny: usize,
    total: Vec<Sums<W>>,
    /// Those of each of our y, where the sum begins with those of others.
    of_ours: Vec<Vec<Sums<W>>>,
}

impl<'a, const W: usize> Total<'a, W> {
    fn new(ranks: &'a Ranks, ny: usize, zeros: Vec<Sums<W>>) -> Self {
        Self { ranks, ny, total: zeros, of_ours: Vec::new() }
    }

    fn add(&mut self, of_y: Vec<Sums<W>>) {
        match self.ranks.count() {
            1 => add(&mut self.total, &of_y),
            _ => self.of_ours.push(of_y),
        }
    }

    /// Each rank adds up a share of the bins, and hands it to all.
    fn finish(mut self) -> Result<Vec<Sums<W>>, SpectraError> {
        let (ranks, bins) = (self.ranks, self.total.len());
        if ranks.count() == 1 {
            return Ok(self.total);
        }
        let of_rank = |rank: usize| -> Vec<f64> {
            let bins = ranks.share_of(bins, rank);
            self.of_ours
                .iter()
                .flat_map(|of_y| of_y[bins.clone()].iter().flat_map(Sums::as_numbers))
                .collect()
        };
        let leaving: Vec<Vec<f64>> = (0..ranks.count()).map(of_rank).collect();
        let outgoing: Vec<_> = leaving.iter().map(Vec::as_slice).enumerate().collect();
        let own = ranks.share(bins);
        let coming = |rank: usize| ranks.share_of(self.ny, rank).len() * own.len() * Sums::<W>::NUMBERS;
        let incoming: Vec<_> = (0..ranks.count()).map(|rank| (rank, coming(rank))).collect();
        let of_all = ranks.exchange(&outgoing, &incoming)?;
        let ours = &mut self.total[own];
        let of_one = ours.len().max(1) * Sums::<W>::NUMBERS;
        for of_y in of_all.iter().flat_map(|of_rank| of_rank.chunks(of_one)) {
            let sums: Vec<_> = of_y.chunks_exact(Sums::<W>::NUMBERS).map(Sums::from_numbers).collect();
            add(ours, &sums);
        }
        let ours: Vec<f64> = ours.iter().flat_map(Sums::as_numbers).collect();
        let all = ranks.gather(&ours)?.concat();
        Ok(all.chunks_exact(Sums::<W>::NUMBERS).map(Sums::from_numbers).collect())
    }
}
