//! Which triangles a report measures, and the bispectra in them.

use finescale_field::Grid;
use finescale_spectra::{
    Bispectrum, Modes, SpectraError, TriangleBins, equilateral, fundamental_h_mpc, isosceles, nyquist_h_mpc,
    squeezed,
};
use serde::Serialize;
use std::f64::consts::PI;
use std::ops::Range;

/// Half the width of a shell in fundamentals.
const HALF_WIDTH: f64 = 1.5;
/// Wavenumbers of the sweeps, and angles of isosceles triangles.
const SWEEP: usize = 10;
const ANGLES: usize = 9;
/// Equal sides of the isosceles triangles in h/Mpc, where the grid allows.
const ISOSCELES_K_H_MPC: f64 = 1.0;
/// The long wave of squeezed triangles in fundamentals.
const LONG_WAVE: f64 = 2.0;

/// B and Q of three families of triangles.
#[derive(Clone, Debug, Serialize)]
pub struct Bispectra {
    /// Triangles (k, k, k), rising.
    pub equilateral: Bispectrum,
    /// Triangles (k, k, k3) of fixed k, by the angle between the equal sides.
    pub isosceles: Bispectrum,
    /// Triangles of one long wave and two short ones.
    pub squeezed: Bispectrum,
}

/// The triangles that fit a grid, counted once.
#[derive(Debug)]
pub(crate) struct Triangles {
    bins: TriangleBins,
    families: [Range<usize>; 3],
    equilateral: TriangleBins,
}

/// B of equilateral triangles of two fields, in (Mpc/h)⁶.
#[derive(Clone, Debug)]
pub(crate) struct CrossBispectra {
    /// B(condition, condition, field).
    pub(crate) single: Vec<f64>,
    /// B(condition, field, field).
    pub(crate) double: Vec<f64>,
}

impl Triangles {
    pub(crate) fn new(grid: &Grid) -> Result<Self, String> {
        let width = HALF_WIDTH * fundamental_h_mpc(grid);
        let nyquist = nyquist_h_mpc(grid);
        let fit = |triangles: Vec<[f64; 3]>| -> Vec<[f64; 3]> {
            triangles.into_iter().filter(|sides| fits(grid, sides, width)).collect()
        };
        // The largest shells end just below where triangles begin to close over the edge of the grid.
        let sweep = sweep(2.0 * width, (2.0 / 3.0 * nyquist - width) * (1.0 - 1e-9));
        let side = ISOSCELES_K_H_MPC.min((2.0 * nyquist - 3.0 * width) / 4.0 * 0.999);
        // From 0.05 π: at 0 the triangle is a line.
        let angles: Vec<f64> =
            (0..ANGLES).map(|i| PI * (0.05 + 0.8 * i as f64 / (ANGLES - 1) as f64)).collect();
        let long = LONG_WAVE * fundamental_h_mpc(grid);
        let equilateral = fit(equilateral(&sweep));
        let isosceles = if side > 2.0 * width { fit(isosceles(side, &angles)) } else { Vec::new() };
        let squeezed = fit(squeezed(long, &sweep));
        if equilateral.is_empty() {
            return Err(format!("no closed triangles of waves fit {:?} cells", grid.cells()));
        }
        let ends = [equilateral.len(), isosceles.len(), squeezed.len()];
        let ends = [ends[0], ends[0] + ends[1], ends.iter().sum()];
        let of = |triangles: &[[f64; 3]]| {
            TriangleBins::new(grid, triangles, width).map_err(|error| error.to_string())
        };
        Ok(Self {
            equilateral: of(&equilateral)?,
            bins: of(&[equilateral, isosceles, squeezed].concat())?,
            families: [0..ends[0], ends[0]..ends[1], ends[1]..ends[2]],
        })
    }

    pub(crate) fn measure_with(
        &self,
        condition: &Modes,
        modes: &Modes,
    ) -> Result<CrossBispectra, SpectraError> {
        let single = self.equilateral.measure_cross([condition, condition, modes])?.bispectrum;
        let double = self.equilateral.measure_cross([modes, modes, condition])?.bispectrum;
        Ok(CrossBispectra { single, double })
    }

    pub(crate) fn measure(&self, modes: &Modes) -> Result<Bispectra, SpectraError> {
        let all = self.bins.measure(modes)?;
        let [equilateral, isosceles, squeezed] = self.families.clone().map(|family| part(&all, family));
        Ok(Bispectra { equilateral, isosceles, squeezed })
    }
}

/// Whether the shells around the sides stay below Nyquist and close by themselves, along all axes.
fn fits(grid: &Grid, sides: &[f64; 3], width: f64) -> bool {
    let nyquist = nyquist_h_mpc(grid);
    sides.iter().all(|k| *k >= width && k + width < nyquist)
        && sides.iter().map(|k| k + width).sum::<f64>() <= 2.0 * nyquist
}

/// Rising wavenumbers, at least a shell apart, about evenly spaced in the logarithm.
fn sweep(low: f64, high: f64) -> Vec<f64> {
    let mut found: Vec<f64> = Vec::new();
    for i in 0..SWEEP {
        let k = low * (high / low).powf(i as f64 / (SWEEP - 1) as f64);
        if high > low && found.last().is_none_or(|last| k >= last + 0.6 * low) {
            found.push(k);
        }
    }
    found
}

fn part(all: &Bispectrum, range: Range<usize>) -> Bispectrum {
    Bispectrum {
        k_h_mpc: all.k_h_mpc[range.clone()].to_vec(),
        power: all.power[range.clone()].to_vec(),
        bispectrum: all.bispectrum[range.clone()].to_vec(),
        reduced: all.reduced[range.clone()].to_vec(),
        triangles: all.triangles[range].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grid_has_its_triangles_or_says_why_not() {
        for cells in [[64, 64, 64], [32, 48, 64], [16, 64, 24], [12, 12, 12]] {
            let grid = Grid::new(cells, cells.map(|n| n as f64)).unwrap();
            let triangles = Triangles::new(&grid);
            let cubic = cells[0] == cells[2];
            assert!(triangles.is_ok() || !cubic || cells[0] < 16, "{cells:?}: {:?}", triangles.err());
        }
        let tiny = Triangles::new(&Grid::cube(4, 10.0).unwrap());
        assert!(tiny.unwrap_err().contains("[4, 4, 4]"));
        // Here the rounding of the largest shell went over the edge.
        assert!(Triangles::new(&Grid::cube(48, 37.5).unwrap()).is_ok());
        let found = Triangles::new(&Grid::cube(64, 50.0).unwrap()).unwrap();
        assert!(found.families.iter().all(|family| family.len() >= 5), "{:?}", found.families);
    }
}
