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
#[cfg(feature = "cuda")]
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
    #[cfg(feature = "cuda")]
    cards: Option<OnCards>,
}

/// Values that cards train.
#[cfg(feature = "cuda")]
struct OnCards {
    optimizer: CardOptimizer,
    /// Whether they are newer than those on the host.
    are_newer: Cell<bool>,
    /// Whether an update broke off in the middle.
    are_torn: bool,
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
        match &self.cards {
            Some(cards) if cards.are_torn => return Err(TrainingError::Torn),
            Some(cards) if cards.are_newer.replace(false) => {
                self.bring_home(&cards.optimizer).inspect_err(|_| cards.are_newer.set(true))?
            }
            _ => {}
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
                let optimizer = CardOptimizer::new(cards.all(), &moved.collect::<Vec<_>>())?;
                self.cards = Some(OnCards { optimizer, are_newer: Cell::new(false), are_torn: false });
            }
        }
        Ok(())
    }

    /// The cards that train the values, if there are some.
    #[cfg(feature = "cuda")]
    pub(crate) fn cards(&mut self) -> Option<&mut CardOptimizer> {
        self.cards.as_mut().map(|cards| &mut cards.optimizer)
    }

    /// Moves weights, moments and averages by `gradients`, or by what the cards have of them.
    pub(crate) fn step(&mut self, gradients: &NamedTensors, step: &Step) -> Result<(), TrainingError> {
        let Home { weights, averages, optimizer } = &mut self.home;
        #[cfg(feature = "cuda")]
        if let Some(cards) = &mut self.cards {
            // An error leaves some values moved, and others not.
            cards.are_torn = true;
            cards.optimizer.step(&optimizer.on_card(step))?;
            cards.are_torn = false;
            cards.are_newer.set(true);
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
        Ok(())
    }
}
