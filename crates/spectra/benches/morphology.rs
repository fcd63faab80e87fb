//! Statistics of fields beyond their spectra.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use finescale_field::{Field3, Grid};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{
    Kernel, Smoother, TileFaces, fair_crps, find_voids, minkowski, peak_counts, rank_histogram, seams,
};
use ndarray::Array3;
use std::hint::black_box;

/// A lognormal field of voxels of 1 Mpc/h.
fn field(cells: usize, seed: u64) -> Field3 {
    let grid = Grid::cube(cells, cells as f64).expect("a cube with cells");
    let mut values = vec![0f32; grid.voxels()];
    KeyedStream::new(seed, Purpose::Points).fill_normal(0, 0, &mut values);
    let white = Field3::new(grid, Array3::from_shape_vec([cells; 3], values).expect("one value per voxel"));
    let smoother = Smoother::new(&white.expect("the grid's own shape")).expect("finite");
    let smooth = smoother.smooth(Kernel::Gaussian, 2.0).expect("a radius");
    smooth.map(|g| (12.0 * g - 0.5).exp())
}

fn morphology(criterion: &mut Criterion) {
    for (name, cells) in [("patch", 48), ("box", 128)] {
        let fields: Vec<Field3> = (0..9).map(|seed| field(cells, seed)).collect();
        let (truth, samples) = (&fields[0], fields[1..].iter().collect::<Vec<_>>());
        let ties = KeyedStream::new(1, Purpose::Validation);
        let faces = TileFaces::every(cells / 4, 0, [cells; 3]);
        let thresholds: Vec<f64> = (0..20).map(|i| 0.2 + 0.1 * f64::from(i)).collect();
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(truth.grid().voxels() as u64));
        group.bench_function("minkowski, 20 thresholds", |b| {
            b.iter(|| minkowski(black_box(truth), &thresholds).expect("finite"));
        });
        group.bench_function("peak_counts", |b| {
            b.iter(|| peak_counts(black_box(truth), &[0.0]).expect("finite"))
        });
        group.bench_function("find_voids, 6 radii", |b| {
            let radii = [12.0, 10.0, 8.0, 6.5, 5.0, 4.0];
            b.iter(|| find_voids(black_box(truth), &radii, -0.4).expect("finite"));
        });
        group.bench_function("seams", |b| b.iter(|| seams(black_box(truth), &faces, ties).expect("finite")));
        group.bench_function("fair_crps, 8 samples", |b| {
            b.iter(|| fair_crps(black_box(truth), &samples, 1).expect("finite"));
        });
        group.bench_function("rank_histogram, 8 samples", |b| {
            b.iter(|| rank_histogram(black_box(truth), &samples, 1, 1, ties).expect("finite"));
        });
        group.finish();
    }
}

criterion_group!(benches, morphology);
criterion_main!(benches);
