//! What a sampler must beat, and what nothing can: fields and numbers that every report compares with.

use crate::measured::Measured;
use crate::octants::CosmicVariance;
use crate::statistics::FieldStatistics;
use finescale_field::Field3;
use rayon::prelude::*;
use serde::Serialize;

/// The baselines of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Baselines {
    /// The condition with the truth's distribution of densities: the best monotone relation between the two
    /// fields.
    pub matched_pdf: Measured<FieldStatistics>,
    /// Tiles that were drawn without knowing of each other: must show seams.
    pub independent_tiles: Measured<FieldStatistics>,
    /// How much the octants of the truth differ.
    pub cosmic_variance: Measured<CosmicVariance>,
}

/// `condition` with the values of `truth`, the densest where the condition is densest, and so on by rank.
/// Equal values keep the order of the voxels.
#[deny(clippy::cast_possible_truncation)] // 1626³ voxels are more than a u32 counts
pub(crate) fn with_matched_pdf(condition: &Field3, truth: &Field3) -> Field3 {
    let source = condition.as_slice();
    let mut order: Vec<usize> = (0..source.len()).collect();
    order.par_sort_unstable_by(|&a, &b| source[a].total_cmp(&source[b]).then(a.cmp(&b)));
    let mut values = truth.as_slice().to_vec();
    values.par_sort_unstable_by(f32::total_cmp);
    let mut matched = condition.clone();
    let target = matched.as_slice_mut();
    for (&voxel, value) in order.iter().zip(values) {
        target[voxel] = value;
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Grid;
    use ndarray::Array3;

    #[test]
    fn a_monotone_relation_is_undone_exactly() {
        let grid = Grid::cube(4, 1.0).unwrap();
        let value =
            |(i, j, k): (usize, usize, usize)| ((7 * i + 13 * j + 29 * k) % 31) as f32 + 0.1 * i as f32;
        let truth = Field3::new(grid, Array3::from_shape_fn([4; 3], value)).unwrap();
        let condition = truth.map(|v| (0.01 * f64::from(v)).exp() as f32);
        assert_eq!(with_matched_pdf(&condition, &truth).as_slice(), truth.as_slice());
        let flat = with_matched_pdf(&truth.map(|_| 1.0), &truth);
        assert!(flat.as_slice().windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
