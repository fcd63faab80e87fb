//! Mass assignment. Eight particles a voxel at random places; throughput in cells.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use finescale_field::{Depositor, Grid, Scheme};
use std::hint::black_box;

const SIZES: [(&str, usize); 3] = [("tiny", 16), ("patch", 48), ("box", 128)];
const BOX_SIZE_MPC_H: f64 = 100.0;

fn points(count: usize) -> Vec<[f32; 3]> {
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f64 / (1u64 << 24) as f64 * BOX_SIZE_MPC_H) as f32
    };
    (0..count).map(|_| std::array::from_fn(|_| uniform())).collect()
}

fn deposit(criterion: &mut Criterion) {
    for scheme in Scheme::ALL {
        let mut group = criterion.benchmark_group(format!("deposit_{scheme}"));
        group.sample_size(10);
        for (name, cells) in SIZES {
            let grid = Grid::cube(cells, BOX_SIZE_MPC_H).expect("a sound grid");
            let positions = points(8 * grid.voxels());
            group.throughput(Throughput::Elements(grid.voxels() as u64));
            group.bench_with_input(BenchmarkId::from_parameter(name), &positions, |bencher, positions| {
                bencher.iter_batched(
                    || Depositor::new(grid, scheme).expect("a bench is small"),
                    |mut depositor| {
                        depositor.add(black_box(positions), None).expect("finite positions");
                        depositor.finish()
                    },
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, deposit);
criterion_main!(benches);
