//! Coarser fields.

use crate::{Field3, FieldError, Grid};
use ndarray::Array3;
use rayon::prelude::*;

/// The mean over blocks of `factor` voxels, on a grid of cells / factor over the same box. The mean of the field
/// stays; the sum is divided by the block's voxels.
///
/// # Errors
/// [`FieldError::Factor`] if a factor is zero or does not divide the cells.
pub fn coarsen(field: &Field3, factor: [usize; 3]) -> Result<Field3, FieldError> {
    let cells = field.grid().cells();
    if (0..3).any(|a| factor[a] == 0 || !cells[a].is_multiple_of(factor[a])) {
        return Err(FieldError::Factor { factor, cells });
    }
    let coarse: [usize; 3] = std::array::from_fn(|a| cells[a] / factor[a]);
    let (values, block) = (field.as_slice(), factor.iter().product::<usize>() as f64);
    let mut means = vec![0f32; coarse.iter().product()];
    means.par_chunks_mut(coarse[1] * coarse[2]).enumerate().for_each(|(x, plane)| {
        let mut sums = vec![0f64; plane.len()];
        for i in 0..factor[0] {
            for j in 0..cells[1] {
                let row = ((x * factor[0] + i) * cells[1] + j) * cells[2];
                let target = &mut sums[j / factor[1] * coarse[2]..][..coarse[2]];
                for (sum, part) in target.iter_mut().zip(values[row..row + cells[2]].chunks(factor[2])) {
                    *sum += part.iter().map(|&v| f64::from(v)).sum::<f64>();
                }
            }
        }
        for (mean, sum) in plane.iter_mut().zip(sums) {
            *mean = (sum / block) as f32;
        }
    });
    let values = Array3::from_shape_vec(coarse, means).expect("one mean per block");
    Field3::new(Grid::new(coarse, field.grid().box_size_mpc_h())?, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_becomes_its_mean() {
        let values = Array3::from_shape_fn((4, 2, 6), |(i, j, k)| (100 * i + 10 * j + k) as f32);
        let field = Field3::new(Grid::new([4, 2, 6], [4.0, 2.0, 6.0]).unwrap(), values).unwrap();
        let coarse = coarsen(&field, [2, 1, 3]).unwrap();
        assert_eq!(coarse.grid(), &Grid::new([2, 2, 2], [4.0, 2.0, 6.0]).unwrap());
        // Mean of i in {2, 3}, j = 1, k in {3, 4, 5}.
        assert_eq!(coarse.values()[[1, 1, 1]], 250.0 + 10.0 + 4.0);
        assert_eq!(coarse.mean(), field.mean());
    }

    #[test]
    fn a_factor_must_divide_the_cells() {
        let field = Field3::zeros(Grid::new([4, 2, 6], [1.0; 3]).unwrap());
        for factor in [[3, 1, 1], [1, 0, 1], [1, 1, 4]] {
            assert_eq!(coarsen(&field, factor), Err(FieldError::Factor { factor, cells: [4, 2, 6] }));
        }
    }
}
