//! The numbers of one update.

/// How weights, moments and averages move in one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Number of the update, from 1.
    pub(crate) count: u64,
    pub(crate) learning_rate: f64,
    /// What the gradient is multiplied by.
    pub(crate) gradient_scale: f64,
    pub(crate) average_decay: f64,
}
