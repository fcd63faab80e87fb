//! One evaluation and one training step of the demo's network on one patch.

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use finescale_denoiser::{Denoiser, Mode, NetworkConfig, Parameters, Prediction};
use finescale_diffusion::{Denoise, masked_loss};
use finescale_seed::{KeyedStream, Purpose};
use std::hint::black_box;

const CELLS: usize = 32;

fn unet(c: &mut Criterion) {
    let config = NetworkConfig {
        base_channels: 24,
        channel_multipliers: vec![1, 2, 4],
        residual_blocks: 1,
        head_channels: 24,
        norm_groups: 8,
        dropout: 0.0,
        fields: 1,
        condition_channels: 1,
        known_channels: false,
        baseline: false,
        prediction: Prediction::Edm { sigma_data: 0.5 },
    };
    let parameters = Parameters::init(&config, 1, &Device::Cpu).expect("a valid network");
    let denoiser = Denoiser::new(&config, &parameters, &[(-3.0, 3.0)]).expect("a valid network");
    let flop = config.flop_per_evaluation(CELLS).expect("a valid patch");
    let shape = (1, 1, CELLS, CELLS, CELLS);
    let field = |step| {
        let mut values = vec![0f32; CELLS.pow(3)];
        KeyedStream::new(1, Purpose::Points).fill_normal(step, 0, &mut values);
        Tensor::from_vec(values, shape, &Device::Cpu).expect("as many values as cells")
    };
    let [clean, noisy, condition, noise] = [0, 1, 2, 3].map(field);
    let level = Tensor::new(&[0.5f32], &Device::Cpu).expect("one level");
    let mask = Tensor::ones(shape, DType::F32, &Device::Cpu).expect("one mask");

    let mut group = c.benchmark_group("demo network, 32^3");
    group.sample_size(10);
    group.throughput(Throughput::Elements(flop)); // "elem/s" reads FLOP/s
    group.bench_function("forward", |b| {
        b.iter(|| denoiser.predict_clean(black_box(&noisy), &condition, &level).expect("an estimate"))
    });
    group.throughput(Throughput::Elements(3 * flop));
    group.bench_function("training step", |b| {
        b.iter(|| {
            let mode = Mode::Train { dropout: KeyedStream::new(1, Purpose::Dropout), step: 0 };
            let residual = denoiser
                .residual(&clean, black_box(&noisy), &condition, &noise, &level, mode)
                .expect("a residual");
            let values = residual.values().expect("values");
            let zero = values.zeros_like().expect("zeros");
            let loss = masked_loss(&values, &zero, &mask, &mask).expect("a loss");
            residual.backward(&loss).expect("gradients")
        })
    });
    group.finish();
}

criterion_group!(benches, unet);
criterion_main!(benches);
