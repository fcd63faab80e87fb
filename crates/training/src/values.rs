//! What training moves: on the host, or on the cards that train it.

use crate::optimizer::AdamW;
#[cfg(feature = "cuda")]
use crate::optimizer::in_place::Overwrite;
use crate::step::Step;
use crate::tensor_file::named;
use crate::{NamedTensors, TrainingError, average};
#[cfg(feature = "cuda")]
use finescale_denoiser::{CardOptimizer, Moved, Part};
use finescale_denoiser::{NetworkConfig, Parameters, Processor};
use std::cell::Cell;

/// Weights, their averages, and the optimizer's moments, as they are on the host.
pub(crate) struct Home {
    pub(crate) weights: Parameters,
    pub(crate) averages: Parameters,
    pub(crate) optimizer: AdamW,
}

/// The same, wherever it is newest.
pub(crate) struct Values {
    home: Home,
    /// Whether the cards have newer ones.
    is_behind: Cell<bool>,
    /// Whether an update on the cards broke off in the middle.
    #[cfg(feature = "cuda")]
    is_torn: bool,
    #[cfg(feature = "cuda")]
    cards: Option<CardOptimizer>,
}

impl Values {
    /// The values before the first update; the averages start at the weights.
    pub(crate) fn new(
        network: &NetworkConfig,
        weights: Parameters,
        weight_decay: f64,
    ) -> Result<Self, TrainingError> {
        let averages = Parameters::from_tensors(network, named(&weights), &weights.device())?;
        let optimizer = AdamW::new(weights.vars(), weight_decay)?;
        Ok(Self::at_home(Home { weights, averages, optimizer }))
    }

    /// Values that are on the host.
    pub(crate) fn at_home(home: Home) -> Self {
        Self {
            home,
            is_behind: Cell::new(false),
            #[cfg(feature = "cuda")]
            is_torn: false,
            #[cfg(feature = "cuda")]
            cards: None,
        }
    }

    /// The values on the host, brought there from the cards that trained them.
    ///
    /// # Errors
    /// [`TrainingError::Torn`] if there are none that belong together; if a card does not answer.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, reason = "a card may not answer"))]
    pub(crate) fn home(&self) -> Result<&Home, TrainingError> {
        #[cfg(feature = "cuda")]
        if self.is_torn {
            return Err(TrainingError::Torn);
        }
        #[cfg(feature = "cuda")]
        if let (true, Some(cards)) = (self.is_behind.get(), &self.cards) {
            self.bring_home(cards)?;
        }
        Ok(&self.home)
    }

    /// The weights' shapes and places; their values may be older than the cards'.
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.home.weights
    }

    /// The averages' shapes and places, as [`parameters`](Self::parameters).
    pub(crate) fn averages(&self) -> &Parameters {
        &self.home.averages
    }

    /// Sets the optimizer's decay of weights.
    pub(crate) fn set_weight_decay(&mut self, decay: f64) {
        self.home.optimizer.weight_decay = decay;
    }

    /// Takes the values to the cards, if there are some that train them.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, reason = "a card may have no room"))]
    pub(crate) fn train_on(&mut self, processor: &Processor) -> Result<(), TrainingError> {
        match processor {
            Processor::Cpu => {}
            #[cfg(feature = "cuda")]
            Processor::Cards(cards) => {
                let Home { weights, averages, optimizer } = &self.home;
                let moved =
                    weights.tensors().zip(averages.tensors()).map(|((name, weight), (_, average))| Moved {
                        weight: weight.clone(),
                        average: average.clone(),
                        first: optimizer.first[name].clone(),
                        second: optimizer.second[name].clone(),
                    });
                self.cards = Some(CardOptimizer::new(cards.all(), &moved.collect::<Vec<_>>())?);
            }
        }
        Ok(())
    }

    /// The cards that train the values, if there are some.
    #[cfg(feature = "cuda")]
    pub(crate) fn cards(&mut self) -> Option<&mut CardOptimizer> {
        self.cards.as_mut()
    }

    /// Moves weights, moments and averages by `gradients`, or by what the cards have of them.
    pub(crate) fn step(&mut self, gradients: &NamedTensors, step: &Step) -> Result<(), TrainingError> {
        let Home { weights, averages, optimizer } = &mut self.home;
        #[cfg(feature = "cuda")]
        if let Some(cards) = &mut self.cards {
            // An error leaves some values moved, and others not.
            self.is_torn = true;
            cards.step(&optimizer.on_card(step))?;
            self.is_torn = false;
            self.is_behind.set(true);
            return Ok(());
        }
        optimizer.step(weights.vars(), gradients, step.gradient_scale, step.learning_rate, step.count)?;
        average::update(averages.vars(), weights.vars(), step.average_decay)?;
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn bring_home(&self, cards: &CardOptimizer) -> Result<(), TrainingError> {
        let Home { weights, averages, optimizer } = &self.home;
        let tensors = |parameters: &Parameters| -> Vec<_> {
            parameters.tensors().map(|(_, tensor)| tensor.clone()).collect()
        };
        for (part, to) in [
            (Part::Weights, tensors(weights)),
            (Part::Averages, tensors(averages)),
            (Part::First, optimizer.first.values().cloned().collect()),
            (Part::Second, optimizer.second.values().cloned().collect()),
        ] {
            for (tensor, values) in to.iter().zip(cards.values(part)?) {
                tensor.inplace_op1(&Overwrite(values))?;
            }
        }
        self.is_behind.set(false);
        Ok(())
    }
}
