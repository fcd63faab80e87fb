//! Adam with decoupled weight decay, whose whole state can be saved, and gradient clipping.

pub(crate) mod in_place;

use crate::{NamedTensors, TrainingError};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use in_place::{Blend, Step};

const FIRST_MOMENT_DECAY: f64 = 0.9;
const SECOND_MOMENT_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The gradient of every variable, in name order; the graph behind them is let go.
///
/// # Errors
/// [`TrainingError::NoGradient`] if the loss does not depend on a variable.
pub(crate) fn gradients<'a>(
    mut store: GradStore,
    variables: impl Iterator<Item = (&'a str, &'a Var)>,
) -> Result<NamedTensors, TrainingError> {
    let gradient = |(name, var): (&str, &Var)| {
        let found = store.remove(var).ok_or_else(|| TrainingError::NoGradient { name: name.into() })?;
        Ok((name.to_owned(), found.detach()))
    };
    variables.map(gradient).collect()
}

/// All values of some tensors, in name order.
pub(crate) fn flat(tensors: &NamedTensors) -> candle_core::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(tensors.values().map(Tensor::elem_count).sum());
    for tensor in tensors.values() {
        values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(values)
}

/// Tensors of the names and shapes of some variables, which come in name order, of all their values.
pub(crate) fn named<'a>(
    values: &[f32],
    variables: impl Iterator<Item = (&'a str, &'a Var)>,
) -> candle_core::Result<NamedTensors> {
    let mut rest = values;
    let tensor = |(name, var): (&str, &Var)| {
        let (values, others) = rest.split_at(var.elem_count());
        rest = others;
        Ok((name.to_owned(), Tensor::from_slice(values, var.shape(), var.device())?))
    };
    variables.map(tensor).collect()
}

/// The Euclidean norm of all gradients together, summed in f64 in name order.
pub(crate) fn global_norm(gradients: &NamedTensors) -> candle_core::Result<f64> {
    let mut sum = 0.0;
    for gradient in gradients.values() {
        sum += in_place::sum_of_squares(gradient)?;
    }
    Ok(sum.sqrt())
}

/// AdamW: adaptive steps with bias correction. The decay of the weights is separate from the gradient and acts
/// on tensors of two or more axes; biases and norms are left alone.
///
/// # Source
/// Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2,
/// with the schedule multiplier taken into the learning rate, as PyTorch does.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    pub(crate) weight_decay: f64,
    /// Exponential averages of the gradients, by variable name.
    pub(crate) first: NamedTensors,
    /// Exponential averages of their squares.
    pub(crate) second: NamedTensors,
}

impl AdamW {
    /// An optimizer of `variables` whose moments are zero.
    pub(crate) fn new<'a>(
        variables: impl Iterator<Item = (&'a str, &'a Var)>,
        weight_decay: f64,
    ) -> candle_core::Result<Self> {
        let (mut first, mut second) = (NamedTensors::new(), NamedTensors::new());
        for (name, var) in variables {
            // Each its own: they are changed in place.
            first.insert(name.to_owned(), var.zeros_like()?);
            second.insert(name.to_owned(), var.zeros_like()?);
        }
        Ok(Self { weight_decay, first, second })
    }

    /// One update, number `count` (from 1), with gradients multiplied by `gradient_scale`.
    pub(crate) fn step<'a>(
        &mut self,
        variables: impl Iterator<Item = (&'a str, &'a Var)>,
        gradients: &NamedTensors,
        gradient_scale: f64,
        learning_rate: f64,
        count: u64,
    ) -> candle_core::Result<()> {
        let (step_size, second_scale) = corrected(learning_rate, count);
        for (name, var) in variables {
            let (first, second) = (&self.first[name], &self.second[name]);
            let gradient = &gradients[name].contiguous()?;
            let scale = gradient_scale as f32;
            first.inplace_op2(gradient, &Blend::scaled(FIRST_MOMENT_DECAY, scale))?;
            second.inplace_op2(gradient, &Blend::squared(SECOND_MOMENT_DECAY, scale))?;
            let decay = if var.rank() > 1 { self.decay(learning_rate) } else { 1.0 };
            let step = Step {
                decay: decay as f32,
                size: step_size as f32,
                second_scale: second_scale as f32,
                epsilon: EPSILON as f32,
            };
            var.inplace_op3(first, second, &step)?;
        }
        Ok(())
    }

    /// The same update as a card makes it, with that of the averages.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_card(&self, step: &crate::step::Step) -> finescale_denoiser::AdamStep {
        let (size, second_scale) = corrected(step.learning_rate, step.count);
        finescale_denoiser::AdamStep {
            gradient_scale: step.gradient_scale,
            first_decay: FIRST_MOMENT_DECAY,
            second_decay: SECOND_MOMENT_DECAY,
            size,
            second_scale,
            epsilon: EPSILON,
            weight_decay: self.decay(step.learning_rate),
            average_decay: step.average_decay,
        }
    }

    /// What weights are multiplied by in an update.
    fn decay(&self, learning_rate: f64) -> f64 {
        1.0 - learning_rate * self.weight_decay
    }
}

/// The size of update number `count`, and what second moments are multiplied by: corrections of moments that begin at zero.
fn corrected(learning_rate: f64, count: u64) -> (f64, f64) {
    let correction = |decay: f64| 1.0 - decay.powf(count as f64);
    (learning_rate / correction(FIRST_MOMENT_DECAY), 1.0 / correction(SECOND_MOMENT_DECAY))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::collections::BTreeMap;

    /// f32 arithmetic against f64 arithmetic over a few steps.
    const REL: f64 = 1e-5;

    fn variables() -> BTreeMap<String, Var> {
        let weight = Var::new(&[[0.5f32, -1.0], [2.0, 0.25]], &Device::Cpu).unwrap();
        let bias = Var::new(&[0.1f32, -0.2], &Device::Cpu).unwrap();
        [("b".to_owned(), bias), ("w".to_owned(), weight)].into()
    }

    fn each(variables: &BTreeMap<String, Var>) -> impl Iterator<Item = (&str, &Var)> {
        variables.iter().map(|(name, var)| (name.as_str(), var))
    }

    fn gradients_at(step: u64) -> NamedTensors {
        let s = step as f32;
        let weight = Tensor::new(&[[0.3 * s, -0.2], [0.0, 1e-3 * s]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[-0.5f32, 2.0 / s], &Device::Cpu).unwrap();
        [("b".to_owned(), bias), ("w".to_owned(), weight)].into()
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_first_step_is_the_learning_rate_by_hand() {
        // m/c1 = g and v/c2 = g², so each weight moves by lr · sign(g) after its own decay by (1 − lr · wd).
        let vars = variables();
        let mut adam = AdamW::new(each(&vars), 0.5).unwrap();
        adam.step(each(&vars), &gradients_at(1), 1.0, 0.1, 1).unwrap();
        let expected = [0.5 * 0.95 - 0.1, -0.95 + 0.1, 2.0 * 0.95, 0.25 * 0.95 - 0.1];
        for (found, expected) in flat(&vars["w"]).iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} is not {expected}");
        }
        for (found, expected) in flat(&vars["b"]).iter().zip([0.2, -0.3]) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn five_steps_match_a_plain_loop_in_f64() {
        let (learning_rate, decay, scale) = (0.02, 0.1, 0.7);
        let vars = variables();
        let mut adam = AdamW::new(each(&vars), decay).unwrap();
        let mut plain: Vec<f64> = flat(&vars["w"]).iter().map(|&w| f64::from(w)).collect();
        let (mut m, mut v) = (vec![0.0; 4], vec![0.0; 4]);
        for n in 1..=5 {
            let gradients = gradients_at(n);
            adam.step(each(&vars), &gradients, scale, learning_rate, n).unwrap();
            for (i, &g) in flat(&gradients["w"]).iter().enumerate() {
                let g = scale * f64::from(g);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (mean, square) =
                    (m[i] / (1.0 - 0.9f64.powi(n as i32)), v[i] / (1.0 - 0.999f64.powi(n as i32)));
                plain[i] -= learning_rate * (decay * plain[i] + mean / (square.sqrt() + 1e-8));
            }
        }
        for (found, expected) in flat(&vars["w"]).iter().zip(plain) {
            assert!(
                (f64::from(*found) - expected).abs() < REL * (1.0 + expected.abs()),
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn gradients_come_in_name_order_with_their_norm() {
        let vars = variables();
        let loss = (vars["w"].sqr().unwrap().sum_all().unwrap() + vars["b"].sum_all().unwrap()).unwrap();
        let found = gradients(loss.backward().unwrap(), each(&vars)).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["b", "w"]);
        let by_hand = (2.0 + 4.0 * (0.25 + 1.0 + 4.0 + 0.0625f64)).sqrt();
        assert!((global_norm(&found).unwrap() - by_hand).abs() < 1e-6);
    }

    #[test]
    fn tensors_come_back_from_their_values() {
        let (vars, gradients) = (variables(), gradients_at(3));
        let back = named(&super::flat(&gradients).unwrap(), each(&vars)).unwrap();
        assert!(back.keys().eq(gradients.keys()));
        for (found, expected) in back.values().zip(gradients.values()) {
            assert_eq!((flat(found), found.dims()), (flat(expected), expected.dims()));
        }
    }

    #[test]
    fn a_variable_without_gradient_is_named() {
        let vars = variables();
        let loss = vars["w"].sum_all().unwrap();
        let error = gradients(loss.backward().unwrap(), each(&vars)).unwrap_err();
        assert!(matches!(error, TrainingError::NoGradient { name } if name == "b"));
    }
}
