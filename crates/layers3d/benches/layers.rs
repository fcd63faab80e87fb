//! Layers at the shapes of the networks: the demo's (24 channels, 32^3) and the paper's (64 channels, 48^3).

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use finescale_layers3d::{Activation, conv3d, group_norm};

fn ones(shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).expect("a tensor of ones")
}

fn convolutions(criterion: &mut Criterion) {
    for (ci, co, n) in
        [(24, 24, 32), (72, 24, 32), (48, 48, 16), (96, 96, 8), (64, 64, 48), (128, 128, 24), (256, 256, 12)]
    {
        let x = Var::from_tensor(&ones((1, ci, n, n, n))).expect("a variable");
        let weight = Var::from_tensor(&ones((co, ci, 3, 3, 3))).expect("a variable");
        let mut group = criterion.benchmark_group(format!("conv3d {ci}->{co} {n}^3"));
        group.sample_size(10).throughput(Throughput::Elements((2 * 27 * ci * co * n * n * n) as u64));
        group.bench_function("forward", |b| b.iter(|| conv3d(&x, &weight, None).expect("forward")));
        group.bench_function("forward and backward", |b| {
            b.iter(|| conv3d(&x, &weight, None).and_then(|y| y.sum_all()?.backward()).expect("backward"));
        });
        group.finish();
    }
}

fn norms(criterion: &mut Criterion) {
    let x = Var::from_tensor(&ones((1, 24, 32, 32, 32))).expect("a variable");
    let affine = ones(24);
    let mut group = criterion.benchmark_group("group norm and SiLU 24 32^3");
    group.throughput(Throughput::Elements(24 * 32 * 32 * 32));
    let norm = || group_norm(&x, 8, &affine, &affine, None, Activation::Silu);
    group.bench_function("forward", |b| b.iter(|| norm().expect("forward")));
    group.bench_function("forward and backward", |b| {
        b.iter(|| norm().and_then(|y| y.sum_all()?.backward()).expect("backward"))
    });
    group.finish();
}

criterion_group!(benches, convolutions, norms);
criterion_main!(benches);
