//! The long waves of a field, which bispectra need on one rank.

use super::ModeSlabs;
use crate::bispectrum::{OfTriangle, WaveRows, assemble, measure_family};
use crate::fft::{Complex32, frequency};
use crate::{Bispectrum, SpectraError, TriangleBins};

impl ModeSlabs<'_> {
    /// As [`TriangleBins::measure`], on all ranks.
    ///
    /// Each rank gathers the modes that the triangles need, up to their largest mode number along each axis, and measures its
    /// share of the triangles as one process does: three padded grids on which they close are in its memory, too.
    ///
    /// # Errors
    /// [`SpectraError::Grids`] if the modes are not on the grid of the bins; [`SpectraError::Storage`],
    /// [`SpectraError::Ranks`].
    pub fn bispectrum(&self, bins: &TriangleBins) -> Result<Bispectrum, SpectraError> {
        Self::cross_bispectrum([self; 3], bins)
    }

    /// As [`TriangleBins::measure_cross`], on all ranks; see [`Self::bispectrum`].
    ///
    /// # Errors
    /// As [`Self::bispectrum`].
    pub fn cross_bispectrum(fields: [&Self; 3], bins: &TriangleBins) -> Result<Bispectrum, SpectraError> {
        let [first, second, third] = fields;
        bins.check_grids(fields.map(|field| &field.grid))?;
        let limit = bins.limit();
        let a = first.low_modes(limit)?;
        let b = if std::ptr::eq(first, second) { None } else { Some(second.low_modes(limit)?) };
        let b = b.as_ref().unwrap_or(&a);
        let (is_a, is_b) = (std::ptr::eq(first, third), std::ptr::eq(second, third));
        let c = if is_a || is_b { None } else { Some(third.low_modes(limit)?) };
        let c = c.as_ref().unwrap_or(if is_a { &a } else { b });
        let waves = [(first, &a), (second, b), (third, c)].map(|(field, rows)| field.waves(rows, limit));

        let ranks = first.ranks;
        let ours = &bins.families[ranks.share(bins.families.len())];
        let ours = ours.iter().flat_map(|family| measure_family(family, waves));
        let ours: Vec<f64> = ours.flat_map(|OfTriangle { sum, power: [a, b, c] }| [sum, a, b, c]).collect();
        let all = ranks.gather(&ours)?.concat();
        let of_triangle =
            |numbers: &[f64]| OfTriangle { sum: numbers[0], power: [numbers[1], numbers[2], numbers[3]] };
        Ok(assemble(bins, all.chunks_exact(4).map(of_triangle)))
    }

    /// The modes up to a mode number of `limit` along each axis, from all ranks: y slowest, z fastest.
    fn low_modes(&self, limit: [usize; 3]) -> Result<Vec<Complex32>, SpectraError> {
        let [nx, ny, half] = self.fft.spectrum_shape();
        let is_low = |i: usize, n: usize, limit: usize| frequency(i, n).unsigned_abs() as usize <= limit;
        let ours = self.tiles.ys();
        let beyond = limit[1] + 1..ny.saturating_sub(limit[1]).max(limit[1] + 1);
        let mut low = Vec::new();
        // What is not needed is not read.
        for ys in
            [ours.start..ours.end.min(beyond.start), ours.start.max(beyond.end)..ours.end.max(beyond.end)]
        {
            Self::for_each_block(&[self], ys, |ys, blocks| {
                for y in 0..ys.len() {
                    for x in (0..nx).filter(|&x| is_low(x, nx, limit[0])) {
                        let row = (x * ys.len() + y) * half;
                        low.extend_from_slice(&blocks[0][row..row + half.min(limit[2] + 1)]);
                    }
                }
                Ok(())
            })?;
        }
        Ok(self.ranks.gather(&low)?.concat())
    }

    fn waves<'a>(&'a self, rows: &'a [Complex32], limit: [usize; 3]) -> WaveRows<'a> {
        WaveRows::up_to(limit, &self.grid, &self.correction, rows)
    }
}
