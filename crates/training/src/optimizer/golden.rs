//! The optimizer against numbers of PyTorch, see scripts/golden_adamw.py.

use super::{AdamW, global_norm};
use crate::NamedTensors;
use candle_core::{DType, Device, Tensor, Var};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Five steps in f32 against f64, and the 1e-6 that PyTorch adds to the norm when it clips.
const REL: f64 = 3e-6;

#[derive(Deserialize)]
struct Golden {
    weight_decay: f64,
    clip_norm: f64,
    shapes: BTreeMap<String, Vec<usize>>,
    initial: Numbers,
    steps: Vec<Step>,
}

type Numbers = BTreeMap<String, Vec<f64>>;

#[derive(Deserialize)]
struct Step {
    learning_rate: f64,
    gradients: Numbers,
    norm: f64,
    weights: Numbers,
    first: Numbers,
    second: Numbers,
}

fn assert_close(what: &str, found: &Tensor, expected: &[f64]) {
    let found = found.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= REL * expected.abs(), "{what}: {found} is not {expected}");
    }
}

#[test]
fn five_clipped_steps_match_pytorch() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/adamw.json")).expect("the file of the script");
    let tensors = |numbers: &Numbers| -> NamedTensors {
        let tensor = |(name, values): (&String, &Vec<f64>)| {
            let tensor = Tensor::from_slice(values, golden.shapes[name].as_slice(), &Device::Cpu).unwrap();
            (name.clone(), tensor.to_dtype(DType::F32).unwrap())
        };
        numbers.iter().map(tensor).collect()
    };
    let weights: BTreeMap<String, Var> = tensors(&golden.initial)
        .into_iter()
        .map(|(name, tensor)| (name, Var::from_tensor(&tensor).unwrap()))
        .collect();
    let variables = || weights.iter().map(|(name, var)| (name.as_str(), var));
    let mut optimizer = AdamW::new(variables(), golden.weight_decay).unwrap();
    for (count, step) in (1..).zip(&golden.steps) {
        let gradients = tensors(&step.gradients);
        let norm = global_norm(&gradients).unwrap();
        assert!((norm / step.norm - 1.0).abs() < REL, "{norm} is not {}", step.norm);
        let scale = (golden.clip_norm / norm).min(1.0);
        optimizer.step(variables(), &gradients, scale, step.learning_rate, count).unwrap();
        for name in weights.keys() {
            assert_close(&format!("{name} {count}"), weights[name].as_tensor(), &step.weights[name]);
            assert_close(&format!("mean {name} {count}"), &optimizer.first[name], &step.first[name]);
            assert_close(&format!("square {name} {count}"), &optimizer.second[name], &step.second[name]);
        }
    }
}
