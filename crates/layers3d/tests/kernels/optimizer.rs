//! Training on a card against its equations in f64.

use crate::{F32_REL, card, numbers, relative_error, variables};
use candle_core::{DType, Device, Tensor, Var};
use finescale_layers3d::cuda::{AdamStep, Card, CardOptimizer, Moved, Part, Precision};
use finescale_layers3d::{Composed, Engine, Layers};

/// Three steps in f32.
const REL: f64 = 2e-5;

const STEP: AdamStep = AdamStep {
    gradient_scale: 0.7,
    first_decay: 0.9,
    second_decay: 0.99,
    size: 0.05,
    second_scale: 1.3,
    epsilon: 1e-3,
    weight_decay: 0.98,
    average_decay: 0.6,
};

fn network<L: Layers>(on: &L, x: &L::Volume, w: &[Tensor]) -> L::Volume {
    let hidden = on.silu(&on.conv3(x, &w[0], &w[3], None).unwrap()).unwrap();
    on.conv1(&hidden, &w[1], &w[2], None).unwrap()
}

/// Samples with what the network should make of them, and what each voxel weighs.
struct Batch {
    x: Tensor,
    target: Tensor,
    voxels: Tensor,
}

impl Batch {
    /// Two samples of 4^3 cells; eight channels become three fields. The second one weighs twice as much.
    fn new() -> Self {
        let factors = Tensor::new(&[1f64, 2.0], &Device::Cpu).unwrap().reshape((2, 1, 1, 1, 1)).unwrap();
        let voxels = numbers((2, 1, 4, 4, 4), 0.2).abs().unwrap().broadcast_mul(&factors).unwrap();
        Self { x: numbers((2, 8, 4, 4, 4), 0.1), target: numbers((2, 3, 4, 4, 4), 0.6), voxels }
    }

    /// Loss and norm of the gradient, sample by sample, on as many cards.
    fn learn(&self, cards: &[Card], vars: &[Var], optimizer: &mut CardOptimizer) -> (f64, f64) {
        for sample in 0..2 {
            let card = sample % cards.len();
            let of_sample = |t: &Tensor| narrow(&t.narrow(0, sample, 1).unwrap());
            let engine = Engine::recording_on(cards[card].clone());
            let input = engine.input(&of_sample(&self.x)).unwrap();
            let output = network(&engine, &input, &tensors(vars));
            let (target, weight) = (of_sample(&self.target), of_sample(&self.voxels));
            let begins = sample == 0 || card > 0;
            optimizer.learners()[card].learn(engine, &output, &target, &weight, begins).unwrap();
        }
        optimizer.gather(cards.len()).unwrap();
        optimizer.loss_and_norm().unwrap()
    }
}

/// Weights, averages and moments in f64.
struct Exact {
    weights: Vec<Tensor>,
    averages: Vec<Tensor>,
    first: Vec<Tensor>,
    second: Vec<Tensor>,
}

impl Exact {
    fn new() -> Self {
        // Weights, which decay, and biases, which do not. The last, of which several are read at once, comes after one of three.
        let shapes = [&[8, 8, 3, 3, 3][..], &[3, 8], &[3], &[8]];
        let all = |at: f64| shapes.map(|shape| numbers(shape, at)).to_vec();
        let [first, second] =
            [0.5, 0.7].map(|at| all(at).iter().map(|m| (m * 0.1).unwrap()).collect::<Vec<_>>());
        let second = second.iter().map(|m| m.sqr().unwrap()).collect();
        Self { weights: all(0.3), averages: all(0.9), first, second }
    }

    /// One step; the loss and the norm of the gradient before it.
    fn step(&mut self, batch: &Batch) -> (f64, f64) {
        let vars: Vec<Var> = self.weights.iter().map(|w| Var::from_tensor(w).unwrap()).collect();
        let output = network(&Composed, &batch.x, &tensors(&vars));
        let squares = (output - &batch.target).unwrap().sqr().unwrap();
        let loss = squares.broadcast_mul(&batch.voxels).unwrap().sum_all().unwrap();
        let store = loss.backward().unwrap();
        let blend = |old: &Tensor, new: &Tensor, decay: f64| {
            ((old * decay).unwrap() + (new * (1.0 - decay)).unwrap()).unwrap()
        };
        let mut squares = 0.0;
        for (i, var) in vars.iter().enumerate() {
            let gradient = store.get(var).unwrap();
            squares += scalar(&gradient.sqr().unwrap().sum_all().unwrap());
            let gradient = (gradient * STEP.gradient_scale).unwrap();
            self.first[i] = blend(&self.first[i], &gradient, STEP.first_decay);
            self.second[i] = blend(&self.second[i], &gradient.sqr().unwrap(), STEP.second_decay);
            let root = (&self.second[i] * STEP.second_scale).unwrap().sqrt().unwrap();
            let moved = ((&self.first[i] / (root + STEP.epsilon).unwrap()).unwrap() * STEP.size).unwrap();
            let decay = if var.rank() > 1 { STEP.weight_decay } else { 1.0 };
            self.weights[i] = ((&self.weights[i] * decay).unwrap() - moved).unwrap();
            self.averages[i] = blend(&self.averages[i], &self.weights[i], STEP.average_decay);
        }
        (scalar(&loss), squares.sqrt())
    }
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_scalar::<f64>().unwrap()
}

fn narrow(tensor: &Tensor) -> Tensor {
    tensor.to_dtype(DType::F32).unwrap()
}

fn tensors(vars: &[Var]) -> Vec<Tensor> {
    vars.iter().map(|var| var.as_tensor().clone()).collect()
}

#[test]
fn a_card_trains_as_its_equations_say() {
    trains(Precision::F32, REL);
    // Volumes of 7 bits, whose errors moments carry from step to step.
    trains(Precision::Bf16, 2e-2);
}

fn trains(precision: Precision, rel: f64) {
    let card = card(precision);
    let (batch, mut exact) = (Batch::new(), Exact::new());
    let vars = variables(&exact.weights, DType::F32);
    let moved = |i: usize| Moved {
        weight: vars[i].as_tensor().clone(),
        average: narrow(&exact.averages[i]),
        first: narrow(&exact.first[i]),
        second: narrow(&exact.second[i]),
    };
    let mut optimizer =
        CardOptimizer::new(std::slice::from_ref(&card), &(0..4).map(moved).collect::<Vec<_>>()).unwrap();
    for _ in 0..3 {
        let (loss, norm) = batch.learn(std::slice::from_ref(&card), &vars, &mut optimizer);
        optimizer.step(&STEP).unwrap();
        let (expected_loss, expected_norm) = exact.step(&batch);
        assert!((loss / expected_loss - 1.0).abs() < rel, "{loss} {expected_loss}");
        assert!((norm / expected_norm - 1.0).abs() < rel, "{norm} {expected_norm}");
    }
    for (part, expected) in [
        (Part::Weights, &exact.weights),
        (Part::Averages, &exact.averages),
        (Part::First, &exact.first),
        (Part::Second, &exact.second),
    ] {
        for (values, expected) in optimizer.values(part).unwrap().into_iter().zip(expected) {
            let found = Tensor::from_vec(values, expected.shape(), &Device::Cpu).unwrap();
            let error = relative_error(&found, expected);
            assert!(
                error < rel,
                "{precision:?}, {part:?} of shape {:?}: off by {error:.1e}",
                expected.dims()
            );
        }
    }
}

#[test]
fn two_cards_have_the_bits_of_one() {
    // The second card, or the only one once more.
    let second = Card::open(1, Precision::F32).or_else(|_| Card::open(0, Precision::F32)).unwrap();
    let cards = [card(Precision::F32), second];
    let (batch, exact) = (Batch::new(), Exact::new());
    let trained = |cards: &[Card]| {
        let vars = variables(&exact.weights, DType::F32);
        let moved: Vec<Moved> = vars.iter().map(untrained).collect();
        let mut optimizer = CardOptimizer::new(cards, &moved).unwrap();
        let found: Vec<(f64, f64)> = (0..3)
            .map(|_| {
                let found = batch.learn(cards, &vars, &mut optimizer);
                optimizer.step(&STEP).unwrap();
                found
            })
            .collect();
        let values = [Part::Weights, Part::Averages, Part::First, Part::Second];
        (found, values.map(|part| optimizer.values(part).unwrap()))
    };
    assert!(trained(&cards) == trained(&cards[..1]));
}

/// A parameter before its first step.
fn untrained(var: &Var) -> Moved {
    let average = var.as_tensor().copy().unwrap();
    let zeros = || var.zeros_like().unwrap();
    Moved { weight: var.as_tensor().clone(), average, first: zeros(), second: zeros() }
}

#[test]
fn the_hosts_weights_count_again_without_the_optimizer() {
    let card = card(Precision::F32);
    let (batch, exact) = (Batch::new(), Exact::new());
    let vars = variables(&exact.weights, DType::F32);
    let output = || {
        let engine = Engine::on(card.clone());
        engine.output(&network(&engine, &engine.input(&narrow(&batch.x)).unwrap(), &tensors(&vars))).unwrap()
    };
    let moved = |var: &Var| {
        let average = var.as_tensor().copy().unwrap();
        let zeros = || var.zeros_like().unwrap();
        Moved { weight: var.as_tensor().clone(), average, first: zeros(), second: zeros() }
    };
    let mut optimizer =
        CardOptimizer::new(std::slice::from_ref(&card), &vars.iter().map(moved).collect::<Vec<_>>()).unwrap();
    batch.learn(std::slice::from_ref(&card), &vars, &mut optimizer);
    optimizer.step(&STEP).unwrap();
    let (expected, trained) = (network(&Composed, &batch.x, &exact.weights), output());
    assert!(relative_error(&trained, &expected) > 1e-2);
    drop(optimizer);
    assert!(relative_error(&output(), &expected) < 3.0 * F32_REL);
}

#[test]
fn a_loss_without_a_parameter_is_refused() {
    let card = card(Precision::F32);
    let (batch, exact) = (Batch::new(), Exact::new());
    let vars = variables(&exact.weights, DType::F32);
    let unused = Var::from_tensor(&narrow(&numbers(7, 0.1))).unwrap();
    let all: Vec<Moved> = vars.iter().chain([&unused]).map(untrained).collect();
    let mut optimizer = CardOptimizer::new(std::slice::from_ref(&card), &all).unwrap();
    let engine = Engine::recording_on(card.clone());
    let output = network(&engine, &engine.input(&narrow(&batch.x)).unwrap(), &tensors(&vars));
    let error =
        optimizer.learners()[0].learn(engine, &output, &narrow(&batch.target), &narrow(&batch.voxels), true);
    assert!(error.unwrap_err().to_string().contains("a parameter of shape [7]"));
}
