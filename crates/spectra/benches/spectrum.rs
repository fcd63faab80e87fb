//! The transform, the power spectrum and the bispectrum of a patch and of a box.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use finescale_field::{Field3, Grid, Scheme};
use finescale_spectra::{
    Complex32, Fft3, LineOfSight, Modes, TriangleBins, fundamental_h_mpc, nyquist_h_mpc, power_spectrum,
    triangles_by_angle,
};
use ndarray::Array3;
use std::hint::black_box;

fn field(cells: usize) -> Field3 {
    let grid = Grid::cube(cells, 100.0).expect("a cube with cells");
    let values = Array3::from_shape_fn([cells; 3], |(i, j, k)| ((i * 31 + j * 17 + k * 7) % 61) as f32 + 1.0);
    Field3::new(grid, values).expect("the grid's own shape")
}

fn spectra(criterion: &mut Criterion) {
    for (name, cells) in [("patch", 48), ("box", 128)] {
        let field = field(cells);
        let plan = Fft3::new([cells; 3]);
        let mut spectrum: Vec<Complex32> = plan.forward(field.as_slice());
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(field.grid().voxels() as u64));
        group.bench_function("forward", |b| {
            b.iter(|| plan.forward_into(black_box(field.as_slice()), &mut spectrum));
        });
        group.bench_function("power_spectrum", |b| {
            b.iter(|| power_spectrum(black_box(&field), Some(Scheme::Cic)).expect("a density"));
        });
        let modes = Modes::new(&field, Some(Scheme::Cic)).expect("a density");
        group.bench_function("power_of_modes", |b| b.iter(|| black_box(&modes).power()));
        group.bench_function("multipoles_of_modes", |b| {
            b.iter(|| black_box(&modes).multipoles(LineOfSight::Z));
        });
        let k = nyquist_h_mpc(field.grid());
        let triangles = triangles_by_angle(0.3 * k, 0.4 * k, &[0.5, 1.0, 1.5, 2.0, 2.5]);
        let width = fundamental_h_mpc(field.grid());
        let count = || TriangleBins::new(field.grid(), &triangles, width).expect("sides below Nyquist");
        group.bench_function("count_5_triangle_bins", |b| b.iter(count));
        let bins = count();
        group.bench_function("bispectrum_of_5_bins", |b| {
            b.iter(|| bins.measure(black_box(&modes)).expect("modes of this grid"));
        });
        group.finish();
    }
}

criterion_group!(benches, spectra);
criterion_main!(benches);
