//! The trained numbers of a network.

use crate::plan::{Fill, ParameterPlan, Plan};
use crate::{DenoiserError, NetworkConfig};
use candle_core::{DType, Device, Tensor, Var};
use finescale_seed::{KeyedStream, Purpose};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The parameters of a network by the reference's names (without `denoise_fn.`), in the order of names.
/// All are f32. Networks built on them see every later change of the values.
#[derive(Debug)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
}

impl Parameters {
    /// First parameters of a network: PyTorch's defaults, and zeros for the last convolution of every residual
    /// block, of the attention and of the network. A pure function of `config` and `seed`.
    ///
    /// # Errors
    /// As [`NetworkConfig::validate`], and if the device has no room.
    pub fn init(config: &NetworkConfig, seed: u64, device: &Device) -> Result<Self, DenoiserError> {
        config.validate()?;
        let stream = KeyedStream::new(seed, Purpose::Weights);
        let plans = Plan::new(config).parameters();
        let mut vars = BTreeMap::new();
        for (number, (name, plan)) in (0u32..).zip(plans) {
            let values = first_values(&plan, &stream, number);
            vars.insert(name, Var::from_vec(values, plan.shape, device)?);
        }
        Ok(Self { vars })
    }

    /// Parameters from tensors of any float type, which must be exactly those of the network.
    ///
    /// # Errors
    /// [`DenoiserError::MissingParameter`], [`DenoiserError::ExtraParameter`] or
    /// [`DenoiserError::ParameterShape`] for the first (by name) that does not fit.
    pub fn from_tensors(
        config: &NetworkConfig,
        tensors: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self, DenoiserError> {
        config.check_shapes(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.dims())))?;
        let mut vars = BTreeMap::new();
        for (name, tensor) in tensors {
            // `Var::from_tensor` alone would share the tensor's memory.
            let tensor = tensor.to_dtype(DType::F32)?.to_device(device)?.copy()?;
            vars.insert(name, Var::from_tensor(&tensor)?);
        }
        Ok(Self { vars })
    }

    /// Names and variables in the order of names.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Names and tensors in the order of names. The tensors share memory with the variables.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.vars().map(|(name, var)| (name, var.as_tensor()))
    }

    /// The variable of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// Number of parameters, all tensors together.
    #[must_use]
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// The device that holds them.
    #[must_use]
    pub fn device(&self) -> Device {
        self.vars.values().next().map_or(Device::Cpu, |var| var.device().clone())
    }
}

fn first_values(plan: &ParameterPlan, stream: &KeyedStream, number: u32) -> Vec<f32> {
    let count = plan.shape.iter().product::<usize>();
    match plan.fill {
        Fill::Zeros => vec![0.0; count],
        Fill::Ones => vec![1.0; count],
        Fill::Uniform { bound } => {
            let value = |i: usize| (bound * (2.0 * stream.uniform(number, i as u64) - 1.0)) as f32;
            (0..count).into_par_iter().map(value).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::tiny;

    fn bits(parameters: &Parameters) -> Vec<u32> {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        parameters.tensors().flat_map(|(_, t)| values(t)).map(f32::to_bits).collect()
    }

    fn tensors(parameters: &Parameters) -> BTreeMap<String, Tensor> {
        parameters.tensors().map(|(name, t)| (name.to_owned(), t.clone())).collect()
    }

    #[test]
    fn a_seed_fixes_every_bit() {
        let init = |seed| Parameters::init(&tiny(), seed, &Device::Cpu).unwrap();
        assert!(bits(&init(1)) == bits(&init(1)));
        assert!(bits(&init(1)) != bits(&init(2)));
        assert_eq!(init(1).count(), tiny().parameter_count().unwrap());
    }

    #[test]
    fn first_values_follow_their_rule() {
        let parameters = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
        let values =
            |name: &str| parameters.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values("out.2.weight").iter().all(|&v| v == 0.0));
        assert!(values("middle_block.1.proj_out.bias").iter().all(|&v| v == 0.0));
        assert!(values("input_blocks.1.0.out_layers.3.weight").iter().all(|&v| v == 0.0));
        assert!(values("input_blocks.1.0.in_layers.0.weight").iter().all(|&v| v == 1.0));
        // Uniform in ±b has the variance b²/3; 5 standard errors of 8 · 8 · 27 values.
        let (weights, bound) = (values("middle_block.0.in_layers.2.weight"), 1.0 / (8f32 * 27.0).sqrt());
        assert_eq!(weights.len(), 8 * 8 * 27);
        assert!(weights.iter().all(|w| w.abs() <= bound));
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
        assert!(
            (variance * 3.0 / (bound * bound) - 1.0).abs() < 5.0 * (0.8f32 / weights.len() as f32).sqrt()
        );
    }

    #[test]
    fn names_come_sorted() {
        let parameters = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
        assert!(parameters.tensors().map(|(name, _)| name).is_sorted());
        assert_eq!(parameters.vars().next().unwrap().0, "cond_embed.0.bias");
    }

    #[test]
    fn tensors_make_the_same_parameters_again() {
        let first = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
        let again = Parameters::from_tensors(&tiny(), tensors(&first), &Device::Cpu).unwrap();
        assert!(bits(&first) == bits(&again));
        // A copy, not a view: training one leaves the other alone.
        let var = again.get("out.2.bias").unwrap();
        var.set(&Tensor::ones(1, DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert!(bits(&first) != bits(&again));
    }

    #[test]
    fn other_tensors_are_refused() {
        let first = Parameters::init(&tiny(), 1, &Device::Cpu).unwrap();
        let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
            let mut changed = tensors(&first);
            change(&mut changed);
            Parameters::from_tensors(&tiny(), changed, &Device::Cpu).unwrap_err()
        };
        let one = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        let missing = refused(&|t| drop(t.remove("out.2.bias")));
        assert!(matches!(missing, DenoiserError::MissingParameter { name } if name == "out.2.bias"));
        let extra = refused(&|t| drop(t.insert("scale".to_owned(), one.clone())));
        assert!(matches!(extra, DenoiserError::ExtraParameter { name } if name == "scale"));
        let shape = refused(&|t| drop(t.insert("out.2.bias".to_owned(), one.clone())));
        assert!(
            matches!(shape, DenoiserError::ParameterShape { expected, found, .. } if expected == [1] && found == [2])
        );
    }
}
