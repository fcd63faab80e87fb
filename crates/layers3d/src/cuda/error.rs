//! What can go wrong with a card.

use super::kind::Precision;

/// What can go wrong with a card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// No library libcuda.so.1.
    #[error(
        "there is no NVIDIA driver on this machine (libcuda.so.1 was not found); --device cpu runs everywhere"
    )]
    NoDriver,
    /// No library libnvrtc.
    #[error(
        "the compiler for kernels, libnvrtc.so.13, was not found: install CUDA 13, or `pip install nvidia-cuda-nvrtc==13.0.88` and put \
         its folder into LD_LIBRARY_PATH"
    )]
    NoCompiler,
    /// A number that no card has.
    #[error("there is no cuda:{ordinal}: this machine has {count} cards")]
    NoCard {
        /// The number that was asked for.
        ordinal: usize,
        /// Cards that there are.
        count: usize,
    },
    /// A card from before 2020.
    #[error(
        "{precision} needs compute capability 8.0, and this card has {capability}; leave --precision {precision} out"
    )]
    NoTensorCores {
        /// What was asked for.
        precision: Precision,
        /// Such as 7.5.
        capability: String,
    },
    /// The kernels do not compile for this card.
    #[error("compiling kernels for compute capability {capability}: {log}")]
    Compile {
        /// Such as 9.0.
        capability: String,
        /// What the compiler says.
        log: String,
    },
    /// No room on the card.
    #[error(
        "the card has no room for {:.1} MB more ({:.1} of {:.1} MB are free): take a smaller --batch, or in training a larger \
         training.accumulate, or gradient_checkpointing",
        *bytes as f64 / 1e6,
        *free as f64 / 1e6,
        *total as f64 / 1e6
    )]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What is left.
        free: usize,
        /// What it has.
        total: usize,
    },
    /// A kernel for which the card's multiprocessors are too small.
    #[error(
        "{kernel} needs {needed} bytes of shared memory, and this card has {most}: take a model with smaller head_channels"
    )]
    SharedMemory {
        /// The kernel.
        kernel: &'static str,
        /// What it needs.
        needed: usize,
        /// What there is for a block.
        most: usize,
    },
    /// Whatever the driver says.
    #[error("{doing} on the card: {source}")]
    Driver {
        /// What was done.
        doing: &'static str,
        /// What the driver says of it.
        source: cudarc::driver::DriverError,
    },
}

impl CardError {
    pub(super) fn driver(doing: &'static str) -> impl FnOnce(cudarc::driver::DriverError) -> Self {
        move |source| Self::Driver { doing, source }
    }
}

impl From<CardError> for candle_core::Error {
    fn from(error: CardError) -> Self {
        Self::wrap(error)
    }
}
