//! Time and memory of network evaluations on this machine.

#[cfg(feature = "cuda")]
use candle_core::Var;
use candle_core::{Device, Tensor};
#[cfg(feature = "cuda")]
use finescale_denoiser::{AdamStep, CardOptimizer, Moved};
use finescale_denoiser::{Denoiser, Mode, NetworkConfig, Parameters, Processor};
use finescale_diffusion::Denoise;
pub(crate) use finescale_field::available_memory_bytes;
use finescale_field::check_memory;
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::Card;
use finescale_seed::{KeyedStream, Purpose};
pub(crate) use finescale_training::peak_memory_bytes;
use std::time::Instant;

/// Lets what is freed go back to the system, block by block, from now on. The C library's allocator would learn to keep
/// blocks of the size of a window, and scatters them: in hours of windows the memory in use grows by half.
#[cfg(target_env = "gnu")]
pub(crate) fn give_memory_back() {
    /// Bytes from which on a block has pages of its own: less than any block of a volume.
    const OWN_PAGES_BYTES: i32 = 256 << 10;
    #[expect(unsafe_code, reason = "the C library has no safe words for this setting")]
    // SAFETY: sets a number of the allocator, which may be done at any time, and from any thread.
    let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES) };
    if set != 1 {
        tracing::debug!("the allocator keeps its own threshold");
    }
}

#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_memory_back() {}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Work {
    /// One evaluation, as in sampling
    Forward,
    /// One evaluation with gradients, as in training
    Train,
}

impl Work {
    /// Floating-point operations in units of an evaluation's: the gradients of inputs and of weights cost one each.
    pub(crate) fn flop_factor(self) -> f64 {
        match self {
            Self::Forward => 1.0,
            Self::Train => 3.0,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Train => "train",
        }
    }
}

/// Clean values of the measured network lie in here; the numbers do not matter.
const CLEAN_RANGE: (f32, f32) = (-1.0, 1.0);
/// A noise level in the middle of sampling.
const ALPHA_BAR: f32 = 0.5;

/// A fresh network of `config` and a batch of patches for it.
pub(crate) struct Bench {
    denoiser: Denoiser,
    parameters: Parameters,
    noisy: Tensor,
    condition: Tensor,
    alpha_bar: Tensor,
    #[cfg(feature = "cuda")]
    processor: Processor,
}

impl Bench {
    pub(crate) fn new(
        config: &NetworkConfig,
        cells: usize,
        batch: usize,
        processor: &Processor,
    ) -> anyhow::Result<Self> {
        config.validate_patch(cells)?;
        let count = config.parameter_count()?;
        let bytes = (count as u128).saturating_mul(size_of::<f32>() as u128);
        check_memory(format_args!("a network of {count} parameters"), bytes)?;
        let device = &Device::Cpu;
        let parameters = Parameters::init(config, 0, device)?;
        let denoiser = Denoiser::new(config, &parameters, &vec![CLEAN_RANGE; config.fields])?;
        let denoiser = denoiser.on(processor).with_fixed_parameters();
        Ok(Self {
            denoiser,
            parameters,
            noisy: normal(0, &[batch, 1, cells, cells, cells], device)?,
            condition: normal(1, &[batch, config.all_condition_channels(), cells, cells, cells], device)?,
            alpha_bar: Tensor::full(ALPHA_BAR, batch, device)?,
            #[cfg(feature = "cuda")]
            processor: processor.clone(),
        })
    }

    /// As [`Denoiser::with_checkpointing`].
    pub(crate) fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self { denoiser: self.denoiser.with_checkpointing(checkpointing), ..self }
    }

    /// Seconds of each of `repeat` evaluations, after one to warm up.
    /// On a card, training is a whole step: with its optimizer, there, on one card.
    pub(crate) fn seconds(&self, work: Work, repeat: usize) -> anyhow::Result<Vec<f64>> {
        #[cfg(feature = "cuda")]
        if let (Work::Train, Processor::Cards(cards)) = (work, &self.processor) {
            let mut optimizer = self.optimizer(&cards.all()[..1])?;
            return seconds(repeat, || self.train_on_card(&mut optimizer));
        }
        seconds(repeat, || self.evaluate(work))
    }

    fn evaluate(&self, work: Work) -> anyhow::Result<()> {
        let Self { denoiser, parameters, noisy, condition, alpha_bar, .. } = self;
        match work {
            Work::Forward => {
                // Reading the values back waits for a GPU.
                denoiser.predict_clean(noisy, condition, alpha_bar)?.sum_all()?.to_scalar::<f32>()?;
            }
            Work::Train => {
                let mode = Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step: 0 };
                let residual = denoiser.residual(noisy, noisy, condition, noisy, alpha_bar, mode)?;
                let loss = residual.values()?.sqr()?.mean_all()?;
                let gradients = residual.backward(&loss)?;
                if let Some(gradient) = parameters.tensors().find_map(|(_, tensor)| gradients.get(tensor)) {
                    gradient.sum_all()?.to_scalar::<f32>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(feature = "cuda")]
impl Bench {
    fn optimizer(&self, cards: &[Card]) -> anyhow::Result<CardOptimizer> {
        let moved = |(_, var): (&str, &Var)| -> candle_core::Result<Moved> {
            let (weight, average) = (var.as_tensor().clone(), var.as_tensor().copy()?);
            Ok(Moved { weight, average, first: var.zeros_like()?, second: var.zeros_like()? })
        };
        let moved = self.parameters.vars().map(moved).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(CardOptimizer::new(cards, &moved)?)
    }

    fn train_on_card(&self, optimizer: &mut CardOptimizer) -> anyhow::Result<()> {
        let Self { denoiser, noisy, condition, alpha_bar, .. } = self;
        let mode = Mode::Train { dropout: KeyedStream::new(0, Purpose::Dropout), step: 0 };
        let residual = denoiser.residual(noisy, noisy, condition, noisy, alpha_bar, mode)?;
        let weight = noisy.narrow(1, 0, 1)?.ones_like()?.affine(1.0 / noisy.elem_count() as f64, 0.0)?;
        residual.learn(&weight, true, &mut optimizer.learners()[0])?;
        // Reading them back waits for the card.
        optimizer.loss_and_norm()?;
        Ok(optimizer.step(&MEASURED_STEP)?)
    }
}

/// An update that takes as long as any.
#[cfg(feature = "cuda")]
const MEASURED_STEP: AdamStep = AdamStep {
    gradient_scale: 1.0,
    first_decay: 0.9,
    second_decay: 0.999,
    size: 1e-4,
    second_scale: 1.0,
    epsilon: 1e-8,
    weight_decay: 1.0,
    average_decay: 0.999,
};

/// Seconds of each of `repeat` turns of some work, after one to warm up.
fn seconds(repeat: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    work()?;
    (0..repeat.max(1))
        .map(|_| {
            let started = Instant::now();
            work()?;
            Ok(started.elapsed().as_secs_f64())
        })
        .collect()
}

/// Normal numbers that depend on `number` alone.
pub(crate) fn normal(number: u32, shape: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    let mut values = vec![0f32; shape.iter().product()];
    KeyedStream::new(0, Purpose::SamplerStep).fill_normal(number, 0, &mut values);
    Tensor::from_vec(values, shape, device)
}

/// The middle of the sorted numbers.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Bytes as a person says them.
pub(crate) fn bytes(count: u64) -> String {
    let count = count as f64;
    if count < 1e9 { format!("{:.1} MB", count / 1e6) } else { format!("{:.2} GB", count / 1e9) }
}
