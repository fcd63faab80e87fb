//! The engine against the compositions of candle operations in f64, values and gradients.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "cuda")]
mod optimizer;

use candle_core::{DType, Device, Result, Tensor, Var};
use finescale_layers3d::arithmetic::Arithmetic;
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::{Card, Precision};
use finescale_layers3d::{Activation, Composed, Dropout, Engine, Layers};
use finescale_seed::{KeyedStream, Purpose};

/// f32 sums of up to some thousand products.
const F32_REL: f64 = 3e-6;
/// A few layers on end, each with the error of f32 Winograd tiles (1e-5), and sums that cancel.
const WINOGRAD_REL: f64 = 3e-5;
/// Products of factors with 10 bits of mantissa: 2^-11 each, which sums that cancel make larger.
#[cfg(feature = "cuda")]
const TF32_REL: f64 = 5e-3;
/// Weights, volumes and their gradients with 7 bits of mantissa: 2^-9 each, rounded again after every layer.
#[cfg(feature = "cuda")]
const BF16_REL: f64 = 2e-2;

/// Numbers in (-1, 1) that differ from element to element: the golden-ratio sequence.
fn numbers(shape: impl Into<candle_core::Shape>, start: f64) -> Tensor {
    let shape = shape.into();
    let values: Vec<f64> = (0..shape.elem_count())
        .map(|i| 2.0 * ((start + i as f64) * 0.618_033_988_749_895 + (i as f64 * 0.1).sin()).fract() - 1.0)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn relative_error(found: &Tensor, exact: &Tensor) -> f64 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(found.to_dtype(DType::F64).unwrap() - exact).unwrap()) / norm(exact)
}

/// A few layers on volumes that a first 1^3 convolution makes of the input, so that gradients pass through it.
trait Network {
    /// Largest relative L2 error of f32.
    const REL: f64 = F32_REL;
    /// Of cards in bfloat16.
    #[cfg(feature = "cuda")]
    const BF16_REL: f64 = BF16_REL;
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, weights: &[Tensor]) -> Result<L::Volume>;
}

fn variables(weights: &[Tensor], dtype: DType) -> Vec<Var> {
    weights.iter().map(|w| Var::from_tensor(&w.to_dtype(dtype).unwrap()).unwrap()).collect()
}

/// Compares output and gradients of sum(output * numbers). `weights` starts with those of the first convolution.
fn check<N: Network>(network: &N, x: &Tensor, weights: &[Tensor], what: &str) {
    let start = |vars: &[Var]| vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();

    let vars = variables(weights, DType::F64);
    let w = start(&vars);
    let first = Composed.conv1(x, &w[0], &w[1], None).unwrap();
    let expected = network.run(&Composed, &first, &w[2..]).unwrap();
    let factors = numbers(expected.shape().clone(), 0.3);
    let store = (&expected * &factors).unwrap().sum_all().unwrap().backward().unwrap();
    let exact: Vec<Tensor> =
        vars.iter().map(|v| store.get(v).expect("every weight matters").clone()).collect();

    let exact = Exact { output: expected, gradients: exact };
    compare(network, Engine::recording(), x, weights, &exact, N::REL, what);
    #[cfg(feature = "cuda")]
    for (precision, rel) in
        [(Precision::F32, N::REL), (Precision::Tf32, TF32_REL), (Precision::Bf16, N::BF16_REL)]
    {
        let engine = Engine::recording_on(card(precision));
        compare(network, engine, x, weights, &exact, rel, &format!("{what}, on the card in {precision}"));
    }
}

/// The card that tests run on: a real one, or what stands in for it (scripts/check_cuda.sh).
#[cfg(feature = "cuda")]
fn card(precision: Precision) -> Card {
    static CARDS: [std::sync::OnceLock<Card>; 3] = [const { std::sync::OnceLock::new() }; 3];
    static FIRST_FAILURE: std::sync::Once = std::sync::Once::new();
    // Whoever plants mistakes wants to know that one was found, and nothing more.
    FIRST_FAILURE.call_once(|| {
        if std::env::var_os("FINESCALE_STAND_IN_REPLACE").is_some() {
            std::panic::set_hook(Box::new(|failure| {
                // Not by `eprintln!`, which the harness keeps until tests end.
                std::io::Write::write_all(&mut std::io::stderr(), failure.to_string().as_bytes()).ok();
                std::process::exit(101);
            }));
        }
    });
    CARDS[precision as usize].get_or_init(|| Card::open(0, precision).unwrap()).clone()
}

/// What a network gives in f64, and the gradients by its weights.
struct Exact {
    output: Tensor,
    gradients: Vec<Tensor>,
}

fn compare<N: Network, A: Arithmetic>(
    network: &N,
    engine: Engine<A>,
    x: &Tensor,
    weights: &[Tensor],
    exact: &Exact,
    rel: f64,
    what: &str,
) {
    let vars = variables(weights, DType::F32);
    let w: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let factors = numbers(exact.output.shape().clone(), 0.3);
    let x = engine.input(&x.to_dtype(DType::F32).unwrap()).unwrap();
    let first = engine.conv1(&x, &w[0], &w[1], None).unwrap();
    let output = network.run(&engine, &first, &w[2..]).unwrap();
    let found = engine.output(&output).unwrap();
    let error = relative_error(&found, &exact.output);
    assert!(error < rel, "{what}: output off by {error:.1e}");
    let mut store = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap().backward().unwrap();
    engine.backward(&output, &factors.to_dtype(DType::F32).unwrap(), &mut store).unwrap();
    for (i, (var, exact)) in vars.iter().zip(&exact.gradients).enumerate() {
        let error = relative_error(store.get(var).expect("every weight matters"), exact);
        assert!(error < rel, "{what}: gradient by weight {i} off by {error:.1e}");
    }
}

const SHAPES: [(usize, usize, [usize; 3]); 6] = [
    (1, 4, [1, 1, 1]),
    (2, 6, [3, 5, 7]),
    (3, 8, [4, 4, 4]),
    (1, 24, [12, 13, 14]),
    (2, 40, [2, 8, 6]),
    (1, 72, [3, 4, 5]),
];

/// Numbers of shape (b, 3, n) and the first convolution's weights, to c channels.
fn inputs(b: usize, c: usize, n: [usize; 3]) -> (Tensor, Vec<Tensor>) {
    (numbers((b, 3, n[0], n[1], n[2]), 0.1), vec![numbers((c, 3), 0.2), numbers(c, 0.7)])
}

struct Convolutions;

impl Network for Convolutions {
    const REL: f64 = WINOGRAD_REL;
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        let y = on.conv3(x, &w[0], &w[1], None)?;
        on.conv3(&y, &w[2], &w[3], Some(x))
    }
}

#[test]
fn convolutions_with_a_skip() {
    for ((b, c, n), middle) in SHAPES.into_iter().flat_map(|shape| [(shape, 5), (shape, 8)]) {
        let (x, mut weights) = inputs(b, c, n);
        weights.extend([
            numbers((middle, c, 3, 3, 3), 0.2),
            numbers(middle, 0.7),
            numbers((c, middle, 3, 3, 3), 0.4),
            numbers(c, 0.1),
        ]);
        check(&Convolutions, &x, &weights, &format!("{b} x {c} at {n:?} through {middle}"));
    }
}

#[test]
fn a_convolution_on_paper() {
    // One at the corner of a 2^3 volume, weights 0..27: output (x, y, z) takes the tap at (1 - x, 1 - y, 1 - z).
    let mut x = [0f32; 8];
    x[0] = 1.0;
    let x = Tensor::from_slice(&x, (1, 1, 2, 2, 2), &Device::Cpu).unwrap();
    let weight = Tensor::arange(0f32, 27.0, &Device::Cpu).unwrap().reshape((1, 1, 3, 3, 3)).unwrap();
    let zero = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let engine = Engine::new();
    let output = engine.conv3(&engine.input(&x).unwrap(), &weight, &zero, None).unwrap();
    let output = engine.output(&output).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    // Halves and quarters of these numbers are exact in f32.
    assert_eq!(output, [13.0, 12.0, 10.0, 9.0, 4.0, 3.0, 1.0, 0.0]);
}

struct Norms {
    groups: usize,
    scaled: bool,
    activation: Activation,
    batch: usize,
}

impl Network for Norms {
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        if !self.scaled {
            return on.group_norm(x, self.groups, &w[0], &w[1], None, self.activation);
        }
        let embedding = numbers((self.batch, 4, 1, 1, 1), 0.6).to_dtype(w[0].dtype())?;
        let level = on.conv1(&on.input(&embedding)?, &w[2], &w[3], None)?;
        on.group_norm(x, self.groups, &w[0], &w[1], Some(&level), self.activation)
    }
}

#[test]
fn group_norms_with_and_without_scale_and_shift() {
    for (b, c, groups, n) in [
        (1, 4, 2, [2, 3, 5]),
        (2, 24, 8, [8, 8, 9]),
        (3, 6, 1, [4, 4, 4]),
        (2, 8, 4, [1, 7, 3]),
        (2, 40, 2, [9, 8, 6]),
    ] {
        for activation in [Activation::Silu, Activation::Identity] {
            for scaled in [false, true] {
                let (x, mut weights) = inputs(b, c, n);
                weights.extend([numbers(c, 0.9), numbers(c, 0.5)]);
                if scaled {
                    weights.extend([numbers((2 * c, 4), 0.2), numbers(2 * c, 0.3)]);
                }
                let network = Norms { groups, scaled, activation, batch: b };
                check(
                    &network,
                    &x,
                    &weights,
                    &format!("{b} x {c} at {n:?}, {activation:?}, scaled: {scaled}"),
                );
            }
        }
    }
}

struct Concatenated;

impl Network for Concatenated {
    const REL: f64 = WINOGRAD_REL;
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        let other = on.conv1(x, &w[0], &w[1], None)?;
        let both = on.concatenate(x, &other)?;
        let skip = on.conv1(&both, &w[2], &w[3], None)?;
        let norm = on.group_norm(&both, 3, &w[4], &w[5], None, Activation::Silu)?;
        on.conv3(&norm, &w[6], &w[7], Some(&skip))
    }
}

#[test]
fn concatenated_channels_in_groups_across_the_seam() {
    for (b, c, n) in SHAPES.into_iter().skip(1) {
        let (x, mut weights) = inputs(b, c, n);
        // As many channels more as make three groups.
        let (more, all) = (c / 2, c + c / 2);
        weights.extend([
            numbers((more, c), 0.2),
            numbers(more, 0.7),
            numbers((7, all), 0.4),
            numbers(7, 0.1),
        ]);
        weights.extend([
            numbers(all, 0.8),
            numbers(all, 0.3),
            numbers((7, all, 3, 3, 3), 0.2),
            numbers(7, 0.4),
        ]);
        check(&Concatenated, &x, &weights, &format!("{b} x {c} at {n:?}"));
    }
}

struct Resampled;

impl Network for Resampled {
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        let y = on.upsample_nearest(&on.average_pool(x)?)?;
        let y = on.silu(&y)?;
        let stream = KeyedStream::new(7 << 33 | 5, Purpose::Dropout);
        let dropped = on.dropout(&y, Dropout { rate: 0.2, stream, step: 3, layer: 70 })?;
        on.conv1(&dropped, &w[0], &w[1], Some(x))
    }
}

#[test]
fn changes_of_resolution_and_dropout() {
    for (b, c, n) in [(1, 4, [2, 2, 2]), (3, 6, [4, 6, 8]), (2, 24, [8, 4, 2])] {
        let (x, mut weights) = inputs(b, c, n);
        weights.extend([numbers((c, c), 0.2), numbers(c, 0.7)]);
        check(&Resampled, &x, &weights, &format!("{b} x {c} at {n:?}"));
    }
}

struct Attention(usize);

impl Network for Attention {
    /// The keys' biases have no gradient: what is left of theirs is the rounding of the others.
    const REL: f64 = 1e-5;
    /// Exponentials multiply the errors of scores of this size, and the gradient by the first bias is a sum that cancels; NumPy with
    /// values rounded at the same places finds 6.3e-2.
    #[cfg(feature = "cuda")]
    const BF16_REL: f64 = 8e-2;
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        let qkv = on.conv1(x, &w[0], &w[1], None)?;
        on.conv1(&on.attention(&qkv, self.0)?, &w[2], &w[3], Some(x))
    }
}

#[test]
fn attention_at_odd_numbers_of_points() {
    for (b, heads, dim, n) in [(1, 1, 4, [1, 1, 1]), (2, 2, 24, [3, 3, 5]), (3, 2, 32, [6, 6, 6])] {
        let c = heads * dim;
        let (x, mut weights) = inputs(b, c, n);
        weights.extend([
            numbers((3 * c, c), 0.2),
            numbers(3 * c, 0.7),
            numbers((c, c), 0.9),
            numbers(c, 0.3),
        ]);
        // The gradient by a key's bias is zero: it moves all scores of a query alike. Leave one point out.
        if n != [1, 1, 1] {
            check(&Attention(heads), &x, &weights, &format!("{b} x {heads} heads of {dim} at {n:?}"));
        }
    }
}

struct Checkpointed;

impl Network for Checkpointed {
    const REL: f64 = WINOGRAD_REL;
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        let inner = w.to_vec();
        let y = on.checkpoint(vec![x.clone()], move |on, x| Convolutions.run(on, &x[0], &inner))?;
        // The input is wanted twice: gradients of both ways add up.
        on.group_norm(&on.concatenate(x, &y)?, 2, &w[4], &w[5], None, Activation::Silu)
    }
}

#[test]
fn checkpoints_have_the_gradients_of_what_they_compute_again() {
    let (c, n) = (6, [4, 5, 6]);
    let (x, mut weights) = inputs(2, c, n);
    weights.extend([
        numbers((5, c, 3, 3, 3), 0.2),
        numbers(5, 0.7),
        numbers((c, 5, 3, 3, 3), 0.4),
        numbers(c, 0.1),
    ]);
    weights.extend([numbers(2 * c, 0.9), numbers(2 * c, 0.5)]);
    check(&Checkpointed, &x, &weights, "a checkpoint");
}

struct Linear;

impl Network for Linear {
    fn run<L: Layers>(&self, on: &L, x: &L::Volume, w: &[Tensor]) -> Result<L::Volume> {
        on.conv1(x, &w[0], &w[1], None)
    }
}

#[test]
fn products_of_many_rows_and_outputs() {
    // As many as cards multiply in wide blocks.
    let (inner, outputs, n) = (72, 72, [40, 28, 30]);
    let (x, mut weights) = inputs(1, inner, n);
    weights.extend([numbers((outputs, inner), 0.2), numbers(outputs, 0.7)]);
    check(&Linear, &x, &weights, &format!("{inner} to {outputs} at {n:?}"));
}

#[cfg(feature = "cuda")]
#[test]
fn volumes_in_bfloat16_are_rounded_to_the_nearest() {
    // Ties between two neighbours, what is nearly one, what overflows, and what is no number.
    let bits = [
        0x3F80_7FFF,
        0x3F80_8000,
        0x3F80_8001,
        0x3F81_8000,
        0xBF81_8000,
        0x0000_8001,
        0x7F7F_FFFF,
        0xFF80_0000,
        0x7F80_0001,
    ];
    let values = Tensor::from_slice(&bits.map(f32::from_bits), (1, 1, 3, 3, 1), &Device::Cpu).unwrap();
    let engine = Engine::on(card(Precision::Bf16));
    let found = engine.output(&engine.input(&values).unwrap()).unwrap();
    let expected = values.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
    let [found, expected] = [found, expected].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    assert_eq!(found[..8], expected[..8]);
    assert!(found[8].is_nan());
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let c = 20;
    let (x, mut weights) = inputs(3, c, [17, 16, 18]);
    let (more, all) = (c / 2, c + c / 2);
    weights.extend([numbers((more, c), 0.2), numbers(more, 0.7), numbers((7, all), 0.4), numbers(7, 0.1)]);
    weights.extend([numbers(all, 0.8), numbers(all, 0.3), numbers((7, all, 3, 3, 3), 0.2), numbers(7, 0.4)]);
    let run = || {
        let vars = variables(&weights, DType::F32);
        let w: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let engine = Engine::recording();
        let x = engine.input(&x.to_dtype(DType::F32).unwrap()).unwrap();
        let first = engine.conv1(&x, &w[0], &w[1], None).unwrap();
        let output = Concatenated.run(&engine, &first, &w[2..]).unwrap();
        let values = engine.output(&output).unwrap();
        let mut store = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap().backward().unwrap();
        engine.backward(&output, &values, &mut store).unwrap();
        let all =
            std::iter::once(&values).chain(vars.iter().map(|v| store.get(v).expect("every weight matters")));
        all.flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let alone = on(1);
    assert!(alone == on(2) && alone == on(5));
}

#[test]
fn wrong_shapes_are_refused() {
    let engine = Engine::new();
    let x = engine.input(&numbers((1, 4, 2, 3, 2), 0.1).to_dtype(DType::F32).unwrap()).unwrap();
    let w = |shape: &[usize]| numbers(shape, 0.2).to_dtype(DType::F32).unwrap();
    let refused = |result: Result<_>| result.map(|_: finescale_layers3d::Volume| ()).unwrap_err().to_string();
    assert!(
        refused(engine.conv3(&x, &w(&[2, 5, 3, 3, 3]), &w(&[2]), None)).contains("4 channels do not fit")
    );
    assert!(
        refused(engine.conv3(&x, &w(&[2, 4, 3, 3, 3]), &w(&[2]), Some(&x)))
            .contains("is added to 2 channels")
    );
    assert!(refused(engine.conv1(&x, &w(&[2, 3]), &w(&[2]), None)).contains("4 channels do not fit"));
    assert!(
        refused(engine.group_norm(&x, 3, &w(&[4]), &w(&[4]), None, Activation::Silu)).contains("3 groups")
    );
    assert!(refused(engine.average_pool(&x)).contains("must be even"));
    assert!(refused(engine.attention(&x, 3)).contains("do not split"));
    assert!(refused(engine.input(&numbers((1, 1, 2, 2, 2), 0.1))).contains("f32"));
    let output = engine.average_pool(&engine.input(&w(&[1, 1, 2, 2, 2])).unwrap()).unwrap();
    let mut store = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap().backward().unwrap();
    assert!(engine.backward(&output, &w(&[1, 1, 1, 1, 1]), &mut store).is_err());
    let recording = Engine::recording();
    let output = recording.average_pool(&recording.input(&w(&[1, 1, 2, 2, 2])).unwrap()).unwrap();
    let error = recording.backward(&output, &w(&[1, 2, 1, 1, 1]), &mut store).unwrap_err();
    assert!(error.to_string().contains("2 channels"), "{error}");
}

/// In a batch, products come in wider blocks than alone, and norms could be summed in other parts.
#[cfg(feature = "cuda")]
#[test]
fn a_samples_bits_do_not_depend_on_the_batch_that_it_is_in() {
    let x = numbers((5, 8, 20, 20, 20), 0.1).to_dtype(DType::F32).unwrap();
    let weights: Vec<Tensor> = [&[8][..], &[8], &[128, 8], &[128]]
        .map(|shape| numbers(shape, 0.3).to_dtype(DType::F32).unwrap())
        .into();
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        let output = |x: &Tensor| {
            let engine = Engine::on(card(precision));
            let x = engine.input(x).unwrap();
            let y = engine.group_norm(&x, 4, &weights[0], &weights[1], None, Activation::Silu).unwrap();
            engine.output(&engine.conv1(&y, &weights[2], &weights[3], None).unwrap()).unwrap()
        };
        let of_all = output(&x);
        for sample in [0, 4] {
            let [alone, among] =
                [output(&x.narrow(0, sample, 1).unwrap()), of_all.narrow(0, sample, 1).unwrap()]
                    .map(|y| y.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            assert!(alone == among, "{precision}: sample {sample}");
        }
    }
}

#[cfg(feature = "cuda")]
#[test]
fn what_is_no_number_stays_none() {
    // As NVIDIA's cards write it, as x86 does, and infinity.
    for broken in [0x7fff_ffff, 0xffff_ffff, 0xffc0_0000, 0x7f80_0000].map(f32::from_bits) {
        let values =
            |count: usize| (0..count).map(|i| if i == 5 { broken } else { 0.5 }).collect::<Vec<f32>>();
        let tensor = |shape: &[usize], is_broken: bool| {
            let count = shape.iter().product();
            let values = if is_broken { values(count) } else { vec![0.5; count] };
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            for (x, weight) in [(true, false), (false, true)] {
                let engine = Engine::on(card(precision));
                let x = engine.input(&tensor(&[1, 8, 2, 2, 2], x)).unwrap();
                let y =
                    engine.conv3(&x, &tensor(&[8, 8, 3, 3, 3], weight), &tensor(&[8], false), None).unwrap();
                let y = engine.output(&y).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!(y.iter().any(|y| !y.is_finite()), "{precision}: {:x}", broken.to_bits());
            }
        }
    }
}
