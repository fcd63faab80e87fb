//! Gaussian random modes that do not depend on the mesh they are drawn for.

use finescale_field::Grid;
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::Complex32;
use finescale_spectra::fft::frequency;
use rayon::prelude::*;

/// Bits of one axis in a packed mode number; modes reach ±2^19.
const AXIS_BITS: u32 = 20;

/// Unnormalised Fourier modes (sums over cells) of shape (nx, ny, nz/2 + 1).
pub(crate) fn gaussian_modes(grid: &Grid, power: impl Fn(f64) -> f64 + Sync, seed: u64) -> Vec<Complex32> {
    let [nx, ny, nz] = grid.cells();
    let fundamental = grid.box_size_mpc_h().map(|l| std::f64::consts::TAU / l);
    let scale = grid.voxels() as f64 / (2.0 * grid.volume_mpc_h3()).sqrt();
    let stream = KeyedStream::new(seed, Purpose::InitialModes);
    let row = nz / 2 + 1;
    let mut spectrum = vec![Complex32::new(0.0, 0.0); nx * ny * row];
    spectrum.par_chunks_mut(row).enumerate().for_each(|(line, modes)| {
        let (x, y) = (frequency(line / ny, nx), frequency(line % ny, ny));
        let mut normals = vec![0f32; 2 * row];
        stream.fill_normal(0, 2 * pack([x, y, 0]), &mut normals);
        for (z, mode) in modes.iter_mut().enumerate() {
            let m = [x, y, z as i64];
            let nyquist = (0..3).any(|a| 2 * m[a].unsigned_abs() as usize == grid.cells()[a]);
            if nyquist || m == [0; 3] {
                continue;
            }
            let k = (0..3).map(|a| (fundamental[a] * m[a] as f64).powi(2)).sum::<f64>().sqrt();
            let amplitude = (scale * power(k).sqrt()) as f32;
            *mode = amplitude
                * if is_conjugate(m) {
                    partner(&stream, m)
                } else {
                    Complex32::new(normals[2 * z], normals[2 * z + 1])
                };
        }
    });
    spectrum
}

/// In the plane z = 0 a real field's mode is the conjugate of its mirror; one half of the plane is drawn.
fn is_conjugate([x, y, z]: [i64; 3]) -> bool {
    z == 0 && (x < 0 || (x == 0 && y < 0))
}

fn partner(stream: &KeyedStream, [x, y, _]: [i64; 3]) -> Complex32 {
    let index = 2 * pack([-x, -y, 0]);
    Complex32::new(stream.normal(0, index), -stream.normal(0, index + 1))
}

/// One number for a signed mode, the same on every mesh; neighbours along z are neighbours.
fn pack(mode: [i64; 3]) -> u64 {
    mode.iter().fold(0, |packed, &m| packed << AXIS_BITS | (m + (1 << (AXIS_BITS - 1))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finescale_field::Field3;
    use finescale_spectra::{fft::Fft3, power_spectrum};
    use ndarray::Array3;

    /// A Gaussian overdensity with power spectrum `power(k)`; the same modes for any number of cells, on each of
    /// which the highest (Nyquist) frequency is zero. Mean zero.
    ///
    /// k in h/Mpc, P in (Mpc/h)³, P = V⟨|δ_k|²⟩ with δ_k = (1/N) Σ δ e^(−ik·x), and x = 0 at the centre of voxel 0.
    fn gaussian_field(grid: &Grid, power: impl Fn(f64) -> f64 + Sync, seed: u64) -> Field3 {
        let mut spectrum = gaussian_modes(grid, power, seed);
        let mut values = vec![0f32; grid.voxels()];
        Fft3::new(grid.cells()).inverse(&mut spectrum, &mut values);
        let values = Array3::from_shape_vec(grid.cells(), values).expect("as many values as voxels");
        Field3::new(*grid, values).expect("the grid's own shape")
    }

    const FFT_REL: f32 = 2e-5; // f32 transforms there and back

    #[test]
    fn modes_do_not_depend_on_the_mesh() {
        let power = |k: f64| 100.0 / (1.0 + k);
        let coarse = gaussian_modes(&Grid::cube(8, 50.0).unwrap(), power, 5);
        let fine = gaussian_modes(&Grid::cube(20, 50.0).unwrap(), power, 5);
        let mut compared = 0;
        for x in -3i64..=3 {
            for y in -3i64..=3 {
                for z in 0..=3usize {
                    let at = |n: i64| ((x.rem_euclid(n) * n + y.rem_euclid(n)) * (n / 2 + 1)) as usize + z;
                    // Sums over cells: in proportion to their number.
                    let (a, b) = (coarse[at(8)] / 512.0, fine[at(20)] / 8000.0);
                    assert!((a - b).norm() <= 1e-6 * b.norm(), "mode ({x}, {y}, {z}): {a} against {b}");
                    compared += usize::from(b.norm() > 0.0);
                }
            }
        }
        assert_eq!(compared, 7 * 7 * 4 - 1);
    }

    #[test]
    fn modes_are_those_of_a_real_field() {
        // Without Hermitian symmetry in the plane z = 0 the real field would have other modes.
        for cells in [[8, 6, 10], [7, 9, 5]] {
            let grid = Grid::new(cells, [40.0, 30.0, 60.0]).unwrap();
            let modes = gaussian_modes(&grid, |_| 3.0, 9);
            let again = Fft3::new(cells).forward(gaussian_field(&grid, |_| 3.0, 9).as_slice());
            let largest = modes.iter().map(|m| m.norm()).fold(0.0, f32::max);
            for (a, b) in modes.iter().zip(&again) {
                assert!((a - b).norm() < FFT_REL * largest, "{a} against {b}");
            }
        }
    }

    #[test]
    fn the_spectrum_is_the_one_asked_for() {
        let grid = Grid::cube(32, 64.0).unwrap();
        let power = |k: f64| 10.0 / (0.1 + k);
        let field = gaussian_field(&grid, power, 4).map(|delta| 1.0 + 1e-3 * delta);
        let spectrum = power_spectrum(&field, None).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        for i in 3..14 {
            let ratio = 1e6 * spectrum.power[i] / power(spectrum.k_h_mpc[i]);
            let error = (1.0 / spectrum.modes[i] as f64).sqrt();
            assert!((ratio - 1.0).abs() < 5.0 * error + 0.01, "k = {}: {ratio}", spectrum.k_h_mpc[i]);
            sum += ratio * spectrum.modes[i] as f64;
            count += spectrum.modes[i] as f64;
        }
        assert!((sum / count - 1.0).abs() < 5.0 / f64::sqrt(count) + 0.005, "mean ratio {}", sum / count);
    }
}
