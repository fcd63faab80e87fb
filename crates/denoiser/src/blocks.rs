//! The building blocks of the U-Net.

use crate::dropout::{Mode, dropout};
use crate::plan::{Resample, ResidualPlan};
use crate::{DenoiserError, NetworkConfig, Parameters};
use candle_core::{Result, Tensor};
use finescale_layers3d::{Activation, Layers};

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

    /// 3^3 convolution, plus `plus`.
    pub(crate) fn conv3<L: Layers>(
        &self,
        on: &L,
        x: &L::Volume,
        plus: Option<&L::Volume>,
    ) -> Result<L::Volume> {
        on.conv3(x, &self.weight, &self.bias, plus)
    }

    /// 1^3 convolution or linear layer, plus `plus`.
    pub(crate) fn conv1<L: Layers>(
        &self,
        on: &L,
        x: &L::Volume,
        plus: Option<&L::Volume>,
    ) -> Result<L::Volume> {
        on.conv1(x, &self.weight, &self.bias, plus)
    }

    pub(crate) fn norm<L: Layers>(
        &self,
        on: &L,
        x: &L::Volume,
        groups: usize,
        scale_shift: Option<&L::Volume>,
        activation: Activation,
    ) -> Result<L::Volume> {
        on.group_norm(x, groups, &self.weight, &self.bias, scale_shift, activation)
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
            groups: config.norm_groups,
            dropout: config.dropout,
            number,
        })
    }

    /// x (b, inputs, n0, n1, n2), activated embedding of the noise level (b, e, 1, 1, 1) -> (b, outputs, ...), with
    /// the sides halved, kept or doubled.
    pub(crate) fn forward<L: Layers>(
        &self,
        on: &L,
        x: &L::Volume,
        embedding: &L::Volume,
        mode: Mode,
    ) -> Result<L::Volume> {
        let hidden = self.norm_in.norm(on, x, self.groups, None, Activation::Silu)?;
        let hidden = self.conv_in.conv3(on, &self.resampled(on, &hidden)?, None)?;
        let level = self.level.conv1(on, embedding, None)?; // (b, 2 outputs, 1, 1, 1)
        let hidden = self.norm_out.norm(on, &hidden, self.groups, Some(&level), Activation::Silu)?;
        let hidden = dropout(on, &hidden, self.dropout, mode, self.number)?;
        let x = self.resampled(on, x)?;
        let x = match &self.skip {
            Some(skip) => skip.conv1(on, &x, None)?,
            None => x,
        };
        self.conv_out.conv3(on, &hidden, Some(&x))
    }

    fn resampled<L: Layers>(&self, on: &L, x: &L::Volume) -> Result<L::Volume> {
        match self.resample {
            Resample::Keep => Ok(x.clone()),
            Resample::Halve => on.average_pool(x),
            Resample::Double => on.upsample_nearest(x),
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
    heads: usize,
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
            heads: config.level_channels(config.channel_multipliers.len() - 1) / config.head_channels,
        })
    }

    /// x (b, c, n0, n1, n2) -> the same shape.
    pub(crate) fn forward<L: Layers>(&self, on: &L, x: &L::Volume) -> Result<L::Volume> {
        let normalised = self.norm.norm(on, x, self.groups, None, Activation::Identity)?;
        let mixed = on.attention(&self.qkv.conv1(on, &normalised, None)?, self.heads)?;
        self.out.conv1(on, &mixed, Some(x))
    }
}
