//! Layers at the shapes of the networks: the demo's (24 channels, 32^3) and the paper's (64 channels, 48^3).

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use finescale_layers3d::{Activation, Engine, Layers, Volume};

fn ones(shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).expect("a tensor of ones")
}

/// Times `layer` on ones of shape (1, c, n, n, n), forward alone and with its backward pass.
fn layer(
    criterion: &mut Criterion,
    name: &str,
    (c, n): (usize, usize),
    flop: usize,
    layer: impl Fn(&Engine, &Volume) -> candle_core::Result<Volume>,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(flop as u64)); // "elem/s" reads FLOP/s
    let x = ones((1, c, n, n, n));
    let volume = Engine::new().input(&x).expect("a volume");
    group.bench_function("forward", |b| {
        let engine = Engine::new();
        b.iter(|| layer(&engine, &volume).expect("forward"));
    });
    let gradient = {
        let engine = Engine::new();
        let output = layer(&engine, &volume).expect("forward");
        engine.output(&output).expect("a tensor")
    };
    // A trained layer before it makes the volume one that gradients are wanted by.
    let volume = {
        let identity = Var::from_tensor(&Tensor::eye(c, DType::F32, &Device::Cpu).expect("a matrix"));
        let engine = Engine::new();
        engine.conv1(&volume, &identity.expect("a variable"), &ones(c), None).expect("a volume")
    };
    group.bench_function("forward and backward", |b| {
        b.iter(|| {
            let engine = Engine::recording();
            let output = layer(&engine, &volume).expect("forward");
            let mut store = ones(1).sum_all().and_then(|t| t.backward()).expect("a store");
            engine.backward(&output, &gradient, &mut store).expect("backward");
        });
    });
    group.finish();
}

fn convolutions(criterion: &mut Criterion) {
    for (ci, co, n) in [
        (24, 24, 32),
        (72, 24, 32),
        (48, 48, 16),
        (96, 96, 8),
        (2, 64, 48),
        (64, 64, 48),
        (128, 64, 48),
        (128, 128, 48),
        (64, 1, 48),
        (128, 128, 24),
        (256, 256, 12),
        (512, 256, 12),
    ] {
        let weight = Var::from_tensor(&ones((co, ci, 3, 3, 3))).expect("a variable");
        let bias = Var::from_tensor(&ones(co)).expect("a variable");
        layer(
            criterion,
            &format!("conv3 {ci}->{co} {n}^3"),
            (ci, n),
            2 * 27 * ci * co * n * n * n,
            |on, x| on.conv3(x, &weight, &bias, None),
        );
    }
}

fn others(criterion: &mut Criterion) {
    for (c, n) in [(24, 32), (64, 48), (128, 24)] {
        let weight = Var::from_tensor(&ones(c)).expect("a variable");
        layer(criterion, &format!("group norm and SiLU {c} {n}^3"), (c, n), c * n * n * n, |on, x| {
            on.group_norm(x, 8, &weight, &weight, None, Activation::Silu)
        });
    }
    let (weight, bias) = (Var::from_tensor(&ones((64, 128))), Var::from_tensor(&ones(64)));
    let (weight, bias) = (weight.expect("a variable"), bias.expect("a variable"));
    layer(criterion, "conv1 128->64 48^3", (128, 48), 2 * 128 * 64 * 48 * 48 * 48, |on, x| {
        on.conv1(x, &weight, &bias, None)
    });
    let flop = 2 * 2 * 256 * 1728 * 1728;
    layer(criterion, "attention 8 x 32 12^3", (768, 12), flop, |on, x| on.attention(x, 8));
}

criterion_group!(benches, convolutions, others);
criterion_main!(benches);
