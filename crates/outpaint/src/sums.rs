//! Sums of what windows estimate for a voxel, in fixed point: exact, so that they do not depend on the order of the windows, nor
//! on which process adds which of them.

/// Steps of a sum between two whole numbers: 2^32, far finer than an f32 of the size of a field in network units.
const STEPS: f64 = 4_294_967_296.0;
/// Estimates must be smaller: 128 of them, each with a weight of one, add up to less than 2^31.
pub(crate) const LARGEST: f32 = 16_777_216.0;

/// sum += weight · estimate over a window of `shape`, whose weights are products of those along each axis.
pub(crate) fn add_weighted(
    sums: &mut [i64],
    [_, ny, nz]: [usize; 3],
    [wx, wy, wz]: [&[f32]; 3],
    estimates: &[f32],
) {
    let nx = wx.len();
    let rows = sums.chunks_exact_mut(nz).zip(estimates.chunks_exact(nz));
    for (row, (sums, estimates)) in rows.enumerate() {
        let weight = wx[row / ny % nx] * wy[row % ny];
        for ((sum, estimate), wz) in sums.iter_mut().zip(estimates).zip(wz) {
            *sum += (f64::from(weight * wz * estimate) * STEPS).round() as i64;
        }
    }
}

/// The number that a sum is.
pub(crate) fn number(sum: i64) -> f32 {
    (sum as f64 / STEPS) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_its_numbers_in_any_order() {
        let numbers = [0.1f32, -7.3e-4, 12.5, -12.499, 3.0e-8, 1.0e4, -9.0e3];
        let weight = [[0.25f32], [0.5], [1.0]];
        let weights = weight.each_ref().map(<[f32; 1]>::as_slice);
        let add = |sum: i64, number: f32| {
            let mut sums = [sum];
            add_weighted(&mut sums, [1; 3], weights, &[number]);
            sums[0]
        };
        let forward = numbers.iter().fold(0, |sum, &number| add(sum, number));
        let backward = numbers.iter().rev().fold(0, |sum, &number| add(sum, number));
        assert_eq!(forward, backward);
        let exact: f64 = numbers.iter().map(|&number| 0.125 * f64::from(number)).sum();
        assert!((f64::from(number(forward)) - exact).abs() < 1e-7 * exact, "{} for {exact}", number(forward));
    }

    #[test]
    fn weights_are_products_and_fields_follow_each_other() {
        let (weights, mut sums) = ([[1.0f32, 2.0], [1.0, 4.0], [1.0, 16.0]], vec![0; 16]);
        let estimates: Vec<f32> = (0..16).map(|i| if i < 8 { 1.0 } else { 3.0 }).collect();
        add_weighted(&mut sums, [2; 3], weights.each_ref().map(<[f32; 2]>::as_slice), &estimates);
        let numbers: Vec<f32> = sums.into_iter().map(number).collect();
        let one = [1.0, 16.0, 4.0, 64.0, 2.0, 32.0, 8.0, 128.0];
        assert_eq!(numbers, [one, one.map(|weight| 3.0 * weight)].concat());
    }

    #[test]
    fn the_largest_estimates_have_room() {
        let mut sums = vec![0];
        for _ in 0..127 {
            add_weighted(&mut sums, [1; 3], [&[1.0], &[1.0], &[1.0]], &[LARGEST]);
        }
        assert_eq!(number(sums[0]), 127.0 * LARGEST);
    }
}
