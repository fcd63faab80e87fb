//! Error bars by bootstrap over the sub-volumes of a box.

use finescale_field::Field3;
use finescale_spectra::{Bands, Spectrum, bootstrap_errors, power_in_blocks};

/// Blocks per axis, the finest first: small blocks are many, large ones hold small k.
const BLOCKS_PER_AXIS: [usize; 2] = [4, 2];
/// A block of fewer cells along an axis says nothing.
const FEWEST_CELLS: usize = 4;
const RESAMPLES: usize = 400;
const SEED: u64 = 0;

/// The power of the blocks of a field, by how finely it is divided.
#[derive(Debug)]
pub(crate) struct BlockPower {
    /// By entry of [`BLOCKS_PER_AXIS`]; none where the blocks do not divide the cells.
    divisions: Vec<Option<Vec<Spectrum>>>,
    /// Mean densities of the blocks of the first division that divides the cells.
    densities: Vec<f64>,
}

impl BlockPower {
    pub(crate) fn new(field: &Field3, bands: &Bands) -> Self {
        let of = |&blocks: &usize| {
            let large_enough = field.grid().cells().iter().all(|n| n / blocks >= FEWEST_CELLS);
            large_enough.then(|| power_in_blocks(field, None, blocks, bands).ok()).flatten()
        };
        let divisions: Vec<_> = BLOCKS_PER_AXIS.iter().map(of).collect();
        let finest = divisions.iter().position(Option::is_some);
        let densities = finest.and_then(|division| field.blocks(BLOCKS_PER_AXIS[division]));
        Self { divisions, densities: densities.into_iter().flatten().map(|block| block.mean()).collect() }
    }

    /// d ln P / dδ by band: how the power of a block follows its own mean density, by least squares; NaN in bands that the
    /// blocks do not resolve, empty where none divide the cells. Power is that of the contrast to the cosmic mean, which
    /// alone makes it 2.
    ///
    /// # Source
    /// Position-dependent power: Chiang et al. 2014, arXiv:1403.3411.
    pub(crate) fn response(&self) -> Vec<f64> {
        let Some(blocks) = self.divisions.iter().flatten().next() else { return Vec::new() };
        let count = blocks.len() as f64;
        let mean = self.densities.iter().sum::<f64>() / count;
        let variance: f64 = self.densities.iter().map(|density| (density - mean).powi(2)).sum();
        let of_band = |band: usize| {
            let power = || blocks.iter().map(|block| block.power[band]);
            let products: f64 = power().zip(&self.densities).map(|(p, density)| p * (density - mean)).sum();
            products / variance / (power().sum::<f64>() / count)
        };
        (0..blocks[0].power.len()).map(of_band).collect()
    }

    /// Standard error of P over P, by band; NaN in bands that no block resolves.
    pub(crate) fn relative_error(&self, bands: usize) -> Vec<f64> {
        finest(bands, |division| {
            let blocks = self.divisions[division].as_ref()?;
            Some(relative_errors(blocks.len(), bands, |drawn, band| total(blocks, drawn, band)))
        })
    }
}

/// Standard error of the mean over samples of P / P_truth, over that mean, by band: blocks of samples and
/// truth are drawn together, so that what they share drops out.
pub(crate) fn relative_ratio_error(samples: &[&BlockPower], truth: &BlockPower, bands: usize) -> Vec<f64> {
    finest(bands, |division| {
        let truth = truth.divisions[division].as_ref()?;
        let samples: Option<Vec<_>> = samples.iter().map(|s| s.divisions[division].as_ref()).collect();
        let samples = samples?;
        Some(relative_errors(truth.len(), bands, |drawn, band| {
            let sum: f64 = samples.iter().map(|sample| total(sample, drawn, band)).sum();
            sum / samples.len() as f64 / total(truth, drawn, band)
        }))
    })
}

/// By band the first error that is finite, of the divisions in turn.
fn finest(bands: usize, errors: impl Fn(usize) -> Option<Vec<f64>>) -> Vec<f64> {
    let mut best = vec![f64::NAN; bands];
    for errors in (0..BLOCKS_PER_AXIS.len()).filter_map(errors) {
        for (best, error) in best.iter_mut().zip(errors) {
            if !best.is_finite() {
                *best = error;
            }
        }
    }
    best
}

fn relative_errors(blocks: usize, bands: usize, of: impl Fn(&[usize], usize) -> f64 + Sync) -> Vec<f64> {
    let statistic = |drawn: &[usize]| (0..bands).map(|band| of(drawn, band)).collect::<Vec<_>>();
    let all = statistic(&(0..blocks).collect::<Vec<_>>());
    let errors = bootstrap_errors(blocks, RESAMPLES, SEED, statistic);
    errors.map_or(vec![f64::NAN; bands], |errors| errors.iter().zip(all).map(|(e, all)| e / all).collect())
}

fn total(blocks: &[Spectrum], drawn: &[usize], band: usize) -> f64 {
    drawn.iter().map(|&block| blocks[block].power[band]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    fn field(cells: usize) -> Field3 {
        let wave = |(i, j, k): (usize, usize, usize)| 1.0 + 0.3 * ((3 * i + 5 * j * j + 7 * k) as f32).sin();
        let grid = Grid::cube(cells, 20.0).unwrap();
        Field3::new(grid, Array3::from_shape_fn([cells; 3], wave)).unwrap()
    }

    #[test]
    fn a_field_has_no_error_relative_to_itself() {
        let bands = Bands::logarithmic(0.4, 2.5, 4).unwrap();
        let field = field(16);
        let blocks = BlockPower::new(&field, &bands);
        let doubled = BlockPower::new(&field.map(|v| 2.0 * v - 1.0), &bands);
        let error = relative_ratio_error(&[&doubled], &blocks, 4);
        assert!(
            error.iter().any(|e| e.is_finite()) && error.iter().all(|e| e.is_nan() || e.abs() < 1e-5),
            "{error:?}"
        );
        assert!(blocks.relative_error(4).iter().any(|&e| e > 1e-3));
    }

    #[test]
    fn power_follows_density_as_it_was_made_to() {
        // Noise in each block of an amplitude that grows with its density: P ∝ (1 + R δ) there.
        let (cells, response) = (32, 3.0);
        let bands = Bands::logarithmic(2.0, 5.0, 2).unwrap();
        let grid = Grid::cube(cells, 20.0).unwrap();
        let stream = finescale_seed::KeyedStream::new(5, finescale_seed::Purpose::Validation);
        let value = |(x, y, z): (usize, usize, usize)| {
            let block = ((x / 8) * 16 + (y / 8) * 4 + z / 8) as u32;
            let density = 0.4 * (stream.uniform(1, u64::from(block)) - 0.5);
            let noise = stream.uniform(2, ((x * cells + y) * cells + z) as u64) - 0.5;
            (1.0 + density + (1.0 + response * density).sqrt() * noise) as f32
        };
        let field = Field3::new(grid, Array3::from_shape_fn([cells; 3], value)).unwrap();
        let found = BlockPower::new(&field, &bands).response();
        assert!(found.iter().all(|found| (found - response).abs() < 0.6), "{found:?}");
        assert!(BlockPower::new(&self::field(9), &bands).response().is_empty());
    }
}
