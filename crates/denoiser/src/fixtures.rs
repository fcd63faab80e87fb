//! Networks that several tests use.

use crate::{NetworkConfig, Prediction};

/// The network of the paper.
pub(crate) fn paper() -> NetworkConfig {
    NetworkConfig {
        base_channels: 64,
        channel_multipliers: vec![1, 2, 4],
        residual_blocks: 1,
        head_channels: 32,
        norm_groups: 32,
        dropout: 0.2,
        fields: 1,
        condition_channels: 1,
        known_channels: false,
        baseline: false,
        prediction: Prediction::Epsilon,
    }
}

/// A network that tests can afford.
pub(crate) fn tiny() -> NetworkConfig {
    let edm = Prediction::Edm { sigma_data: 0.5 };
    let multipliers = vec![1, 2];
    let size = NetworkConfig { base_channels: 4, channel_multipliers: multipliers, ..paper() };
    NetworkConfig { head_channels: 4, norm_groups: 2, dropout: 0.0, prediction: edm, ..size }
}
