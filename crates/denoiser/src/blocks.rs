//! The building blocks of the U-Net.

use crate::dropout::{Mode, dropout};
use crate::plan::{Resample, ResidualPlan};
use crate::{DenoiserError, NetworkConfig, Parameters};
use candle_core::{Result, Tensor};
use finescale_layers3d::{self as layers, Activation};

/// Whether gradients reach the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gradients {
    Tracked,
    Untracked,
}

/// The weight and bias of one layer: a convolution, a linear map or a norm.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Layer {
    pub(crate) fn load(
        parameters: &Parameters,
        name: &str,
        gradients: Gradients,
    ) -> std::result::Result<Self, DenoiserError> {
        let tensor = |part: &str| {
            let name = format!("{name}.{part}");
            match (parameters.get(&name), gradients) {
                (None, _) => Err(DenoiserError::MissingParameter { name }),
                (Some(var), Gradients::Tracked) => Ok(var.as_tensor().clone()),
                // Shares the variable's memory, so it follows its values.
                (Some(var), Gradients::Untracked) => Ok(var.as_tensor().detach()),
            }
        };
        Ok(Self { weight: tensor("weight")?, bias: tensor("bias")? })
    }

    pub(crate) fn conv3d(&self, x: &Tensor) -> Result<Tensor> {
        layers::conv3d(x, &self.weight, Some(&self.bias))
    }

    fn conv1(&self, x: &Tensor) -> Result<Tensor> {
        layers::conv1(x, &self.weight, Some(&self.bias))
    }

    pub(crate) fn linear(&self, x: &Tensor) -> Result<Tensor> {
        layers::linear(x, &self.weight, &self.bias)
    }

    pub(crate) fn norm(&self, x: &Tensor, groups: usize, activation: Activation) -> Result<Tensor> {
        layers::group_norm(x, groups, &self.weight, &self.bias, None, activation)
    }
}

/// Two convolutions around a norm that the noise level scales and shifts, added to the input.
#[derive(Clone, Debug)]
pub(crate) struct ResidualBlock {
    norm_in: Layer,
    conv_in: Layer,
    level: Layer,
    norm_out: Layer,
    conv_out: Layer,
    skip: Option<Layer>,
    resample: Resample,
    outputs: usize,
    groups: usize,
    dropout: f64,
    /// Position among the residual blocks: keys the dropout.
    number: u64,
}

impl ResidualBlock {
    pub(crate) fn load(
        plan: &ResidualPlan,
        number: u64,
        config: &NetworkConfig,
        parameters: &Parameters,
        gradients: Gradients,
    ) -> std::result::Result<Self, DenoiserError> {
        let layer = |part: &str| Layer::load(parameters, &format!("{}.{part}", plan.name), gradients);
        Ok(Self {
            norm_in: layer("in_layers.0")?,
            conv_in: layer("in_layers.2")?,
            level: layer("emb_layers.1")?,
            norm_out: layer("out_layers.0")?,
            conv_out: layer("out_layers.3")?,
            skip: (plan.inputs != plan.outputs).then(|| layer("skip_connection")).transpose()?,
            resample: plan.resample,
            outputs: plan.outputs,
            groups: config.norm_groups,
            dropout: config.dropout,
            number,
        })
    }

    /// x (b, inputs, n0, n1, n2), activated embedding of the noise level (b, e) -> (b, outputs, ...), with the
    /// sides halved, kept or doubled.
    pub(crate) fn forward(&self, x: &Tensor, embedding: &Tensor, mode: Mode) -> Result<Tensor> {
        let hidden = self.norm_in.norm(x, self.groups, Activation::Silu)?;
        let hidden = self.conv_in.conv3d(&self.resampled(&hidden)?)?;
        let level = self.level.linear(embedding)?; // (b, 2 outputs)
        let scale = level.narrow(1, 0, self.outputs)?;
        let shift = level.narrow(1, self.outputs, self.outputs)?;
        let Layer { weight, bias } = &self.norm_out;
        let scale_shift = Some((&scale, &shift));
        let hidden = layers::group_norm(&hidden, self.groups, weight, bias, scale_shift, Activation::Silu)?;
        let hidden = self.conv_out.conv3d(&dropout(&hidden, self.dropout, mode, self.number)?)?;
        let x = self.resampled(x)?;
        match &self.skip {
            Some(skip) => skip.conv1(&x)? + hidden,
            None => x + hidden,
        }
    }

    fn resampled(&self, x: &Tensor) -> Result<Tensor> {
        match self.resample {
            Resample::Keep => Ok(x.clone()),
            Resample::Halve => layers::average_pool(x),
            Resample::Double => layers::upsample_nearest(x),
        }
    }
}

/// Self-attention over all points, added to the input.
#[derive(Clone, Debug)]
pub(crate) struct AttentionBlock {
    norm: Layer,
    qkv: Layer,
    out: Layer,
    groups: usize,
    head_channels: usize,
}

impl AttentionBlock {
    pub(crate) fn load(
        name: &str,
        config: &NetworkConfig,
        parameters: &Parameters,
        gradients: Gradients,
    ) -> std::result::Result<Self, DenoiserError> {
        let layer = |part: &str| Layer::load(parameters, &format!("{name}.{part}"), gradients);
        Ok(Self {
            norm: layer("norm")?,
            qkv: layer("qkv")?,
            out: layer("proj_out")?,
            groups: config.norm_groups,
            head_channels: config.head_channels,
        })
    }

    /// x (b, c, n0, n1, n2) -> the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let points = x.flatten_from(2)?; // (b, c, n0 n1 n2)
        let qkv = self.qkv.conv1(&self.norm.norm(&points, self.groups, Activation::Identity)?)?;
        let mixed = layers::attention(&qkv, points.dim(1)? / self.head_channels)?;
        (points + self.out.conv1(&mixed)?)?.reshape(x.shape())
    }
}
