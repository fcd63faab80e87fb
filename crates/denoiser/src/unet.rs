//! The U-Net.

#[cfg(feature = "cuda")]
use crate::Cards;
use crate::blocks::{AttentionBlock, Gradients, Layer, ResidualBlock};
use crate::dropout::Mode;
use crate::embedding::level_embedding;
use crate::plan::Plan;
use crate::{DenoiserError, NetworkConfig, Parameters, Processor};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use finescale_layers3d::counting::{Counting, Counts};
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::{Card, CardLearner};
use finescale_layers3d::{Activation, Composed, Engine, Layers, Volume};
use std::cell::OnceCell;

/// The reference's network: guided-diffusion's U-Net in three dimensions, with residual up- and down-sampling,
/// the noise level as scale and shift of norms, and attention in the bottleneck.
///
/// # Source
/// Dhariwal & Nichol 2021, arXiv:2105.05233; as in Saharia et al. 2021, arXiv:2111.05826 (Palette), and
/// arXiv:2311.05217.
#[derive(Clone, Debug)]
pub struct UNet {
    config: NetworkConfig,
    embedding: [Layer; 2],
    first: Layer,
    downward: Vec<ResidualBlock>,
    middle: [ResidualBlock; 2],
    attention: AttentionBlock,
    upward: Vec<Vec<ResidualBlock>>,
    last_norm: Layer,
    last: Layer,
    checkpointing: bool,
    processor: Processor,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the CPU takes parameters as they are"))]
    fixed_parameters: bool,
}

impl UNet {
    /// A network whose gradients reach `parameters`.
    ///
    /// # Errors
    /// As [`NetworkConfig::validate`]; [`DenoiserError::MissingParameter`] if the parameters are another network's.
    pub fn new(config: &NetworkConfig, parameters: &Parameters) -> std::result::Result<Self, DenoiserError> {
        Self::load(config, parameters, Gradients::Tracked)
    }

    /// A network that only computes: it keeps nothing for gradients, and follows the values of `parameters`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn frozen(
        config: &NetworkConfig,
        parameters: &Parameters,
    ) -> std::result::Result<Self, DenoiserError> {
        Self::load(config, parameters, Gradients::Untracked)
    }

    fn load(
        config: &NetworkConfig,
        parameters: &Parameters,
        gradients: Gradients,
    ) -> std::result::Result<Self, DenoiserError> {
        config.validate()?;
        let plan = Plan::new(config);
        let mut numbers = 0u64..;
        let mut block = |plan| {
            let number = numbers.next().expect("a network has fewer blocks");
            ResidualBlock::load(plan, number, config, parameters, gradients)
        };
        let layer = |name: &str| Layer::load(parameters, name, gradients);
        Ok(Self {
            config: config.clone(),
            embedding: [layer(Plan::EMBEDDING[0])?, layer(Plan::EMBEDDING[1])?],
            first: layer(Plan::FIRST)?,
            downward: plan.downward.iter().map(&mut block).collect::<std::result::Result<_, _>>()?,
            middle: [block(&plan.middle[0])?, block(&plan.middle[1])?],
            attention: AttentionBlock::load(Plan::ATTENTION, config, parameters, gradients)?,
            upward: plan
                .upward
                .iter()
                .map(|stage| stage.iter().map(&mut block).collect())
                .collect::<std::result::Result<_, _>>()?,
            last_norm: layer(Plan::OUT[0])?,
            last: layer(Plan::OUT[1])?,
            checkpointing: false,
            processor: Processor::Cpu,
            fixed_parameters: false,
        })
    }

    /// The network's output, for its values alone.
    ///
    /// # Shapes
    /// `input` (b, condition + noisy channels, n0, n1, n2), sides multiples of [`NetworkConfig::patch_multiple`];
    /// `level` (b,), what the prediction type makes of ᾱ. Returns (b, fields, n0, n1, n2).
    /// # Errors
    /// If the shapes do not fit the configuration.
    pub fn forward(&self, input: &Tensor, level: &Tensor, mode: Mode) -> Result<Tensor> {
        match &self.processor {
            #[cfg(feature = "cuda")]
            Processor::Cards(cards) => self.forward_on(cards, input, level, mode),
            Processor::Cpu if has_engine(input) => {
                let engine = Engine::new();
                engine.output(&self.evaluate(&engine, input, level, mode)?)
            }
            Processor::Cpu => self.evaluate(&Composed, input, level, mode),
        }
    }

    /// The network's output, from which gradients find their way back to the parameters.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn record(&self, input: &Tensor, level: &Tensor, mode: Mode) -> Result<Recorded> {
        match &self.processor {
            #[cfg(feature = "cuda")]
            Processor::Cards(cards) => {
                let engine = Engine::recording_on(self.prepared(cards.first()));
                let volume = self.evaluate(&engine, input, level, mode)?;
                Ok(Recorded { output: OnceCell::new(), tape: Tape::Card(engine, volume) })
            }
            Processor::Cpu if has_engine(input) => {
                let engine = Engine::recording();
                let volume = self.evaluate(&engine, input, level, mode)?;
                let output = leaf(&engine.output(&volume)?)?;
                Ok(Recorded { output: output.into(), tape: Tape::Cpu(engine, volume) })
            }
            Processor::Cpu => {
                let output = self.evaluate(&Composed, input, level, mode)?;
                Ok(Recorded { output: output.into(), tape: Tape::Candle })
            }
        }
    }

    /// What an evaluation of a batch of patches takes, with its way back if `mode` is training: operations, bytes, and the most
    /// memory of volumes, whose values have so many bytes each. Nothing is computed.
    ///
    /// # Errors
    /// If the network takes no such patches.
    pub fn count(&self, batch: usize, cells: usize, mode: Mode, value_bytes: usize) -> Result<Counts> {
        let counting = Counting::of_values(value_bytes);
        let shape = (batch, self.config.input_channels(), cells, cells, cells);
        let input = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
        let level = Tensor::full(0.5f32, batch, &Device::Cpu)?;
        match mode {
            Mode::Evaluate => {
                self.evaluate(&Engine::on(counting.clone()), &input, &level, mode)?;
            }
            Mode::Train { .. } => {
                let engine = Engine::recording_on(counting.clone());
                let volume = self.evaluate(&engine, &input, &level, mode)?;
                let gradient = engine.output(&volume)?;
                let mut store = Tensor::zeros(1, DType::F32, &Device::Cpu)?.backward()?;
                engine.backward(&volume, &gradient, &mut store)?;
            }
        }
        Ok(counting.counts())
    }

    /// The same, computed by `processor`.
    #[must_use]
    pub fn on(self, processor: &Processor) -> Self {
        Self { processor: processor.clone(), ..self }
    }

    /// A promise that the parameters no longer change: a card keeps its copies of them from evaluation to evaluation.
    #[must_use]
    pub fn with_fixed_parameters(self) -> Self {
        Self { fixed_parameters: true, ..self }
    }

    /// The network's output, of which each card computes its share of the samples.
    #[cfg(feature = "cuda")]
    fn forward_on(&self, cards: &Cards, input: &Tensor, level: &Tensor, mode: Mode) -> Result<Tensor> {
        let share = |card: &Card, first: usize, count: usize| {
            let engine = Engine::on(self.prepared(card));
            let (input, level) = (input.narrow(0, first, count)?, level.narrow(0, first, count)?);
            engine.output(&self.evaluate(&engine, &input, &level, mode)?)
        };
        let samples = input.dim(0)?;
        // Units are dropped by their place in the batch.
        let is_whole = cards.all().len() == 1 || samples == 1 || mode != Mode::Evaluate;
        if is_whole {
            return share(cards.first(), 0, samples);
        }
        let most = samples.div_ceil(cards.all().len());
        let firsts = (0..samples).step_by(most);
        let outputs = std::thread::scope(|scope| {
            let work = cards
                .all()
                .iter()
                .zip(firsts)
                .map(|(card, first)| scope.spawn(move || share(card, first, most.min(samples - first))));
            let workers: Vec<_> = work.collect();
            let ends = workers.into_iter().map(|worker| match worker.join() {
                Ok(output) => output,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ends.collect::<Result<Vec<_>>>()
        })?;
        Tensor::cat(&outputs, 0)
    }

    /// The card, which takes parameters anew unless they are fixed.
    #[cfg(feature = "cuda")]
    fn prepared(&self, card: &Card) -> Card {
        if !self.fixed_parameters {
            card.forget_weights();
        }
        card.clone()
    }

    /// Whether residual blocks are evaluated again on the way back instead of keeping what they computed: less memory
    /// for a third more time.
    #[must_use]
    pub fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self { checkpointing, ..self }
    }

    /// One residual block.
    fn residual<L: Layers>(
        &self,
        on: &L,
        block: &ResidualBlock,
        x: &L::Volume,
        embedding: &L::Volume,
        mode: Mode,
    ) -> Result<L::Volume> {
        if !self.checkpointing {
            return block.forward(on, x, embedding, mode);
        }
        let block = block.clone();
        on.checkpoint(vec![x.clone(), embedding.clone()], move |on, v| block.forward(on, &v[0], &v[1], mode))
    }

    fn evaluate<L: Layers>(&self, on: &L, input: &Tensor, level: &Tensor, mode: Mode) -> Result<L::Volume> {
        self.check(input).map_err(DenoiserError::into_candle)?;
        let base = self.config.base_channels;
        let waves = level_embedding(level, base)?.reshape((level.dims1()?, base, 1, 1, 1))?;
        let embedding = self.embedding[0].conv1(on, &on.input(&waves)?, None)?;
        let embedding = self.embedding[1].conv1(on, &on.silu(&embedding)?, None)?;
        let embedding = on.silu(&embedding)?; // (b, 4 base, 1, 1, 1), as every block wants it

        let mut x = self.first.conv3(on, &on.input(input)?, None)?;
        let mut skips = vec![x.clone()];
        for block in &self.downward {
            x = self.residual(on, block, &x, &embedding, mode)?;
            skips.push(x.clone());
        }
        x = self.residual(on, &self.middle[0], &x, &embedding, mode)?;
        x = self.attention.forward(on, &x)?;
        x = self.residual(on, &self.middle[1], &x, &embedding, mode)?;
        for stage in &self.upward {
            let skip = skips.pop().expect("the plan makes as many skips as upward stages");
            x = on.concatenate(&x, &skip)?;
            for block in stage {
                x = self.residual(on, block, &x, &embedding, mode)?;
            }
        }
        let x = self.last_norm.norm(on, &x, self.config.norm_groups, None, Activation::Silu)?;
        self.last.conv3(on, &x, None)
    }

    fn check(&self, input: &Tensor) -> std::result::Result<(), DenoiserError> {
        let (_, found, n0, n1, n2) = input.dims5()?;
        let expected = self.config.input_channels();
        if found != expected {
            return Err(DenoiserError::InputChannels { what: "network input", expected, found });
        }
        [n0, n1, n2].into_iter().try_for_each(|side| self.config.validate_patch(side))
    }
}

/// Whether our own kernels serve this tensor.
fn has_engine(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// An output by whose gradient the way back begins.
fn leaf(output: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(output)?.as_tensor().clone())
}

/// An evaluation of a network that keeps what gradients need.
#[derive(Debug)]
pub struct Recorded {
    /// On the host, if it was asked for.
    output: OnceCell<Tensor>,
    tape: Tape,
}

/// What leads from the output back to the parameters.
#[derive(Debug)]
enum Tape {
    /// candle's own graph.
    Candle,
    Cpu(Engine, Volume),
    #[cfg(feature = "cuda")]
    Card(Engine<Card>, Volume<Card>),
}

impl Recorded {
    /// The network's output (b, fields, n0, n1, n2). Losses computed from it go to [`backward`](Self::backward).
    ///
    /// # Errors
    /// If it is on a card that does not answer.
    pub fn output(&self) -> Result<&Tensor> {
        #[cfg(feature = "cuda")]
        if let (None, Tape::Card(engine, volume)) = (self.output.get(), &self.tape) {
            let output = leaf(&engine.output(volume)?)?;
            return Ok(self.output.get_or_init(|| output));
        }
        Ok(self.output.get().expect("only a card's output may be elsewhere"))
    }

    /// The gradients of `loss`, which was computed from the output, by all parameters.
    ///
    /// # Errors
    /// If the loss does not depend on the output, or the device has no room.
    pub fn backward(self, loss: &Tensor) -> Result<GradStore> {
        let mut store = loss.backward()?;
        let output = self.output()?.clone();
        let by_output = |store: &mut GradStore| match store.remove(&output) {
            Some(gradient) => Ok(gradient),
            None => candle_core::bail!("the loss does not depend on the network's output"),
        };
        match self.tape {
            Tape::Candle => {}
            Tape::Cpu(engine, volume) => engine.backward(&volume, &by_output(&mut store)?, &mut store)?,
            #[cfg(feature = "cuda")]
            Tape::Card(engine, volume) => engine.backward(&volume, &by_output(&mut store)?, &mut store)?,
        }
        Ok(store)
    }

    /// As [`CardLearner::learn`].
    ///
    /// # Errors
    /// If it was not recorded on a card, and as there.
    #[cfg(feature = "cuda")]
    pub(crate) fn learn(
        self,
        target: &Tensor,
        weight: &Tensor,
        begins: bool,
        learner: &mut CardLearner,
    ) -> Result<()> {
        match self.tape {
            Tape::Card(engine, volume) => learner.learn(engine, &volume, target, weight, begins),
            Tape::Candle | Tape::Cpu(..) => candle_core::bail!("the evaluation was not made on a card"),
        }
    }
}
