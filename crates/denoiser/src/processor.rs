//! What computes networks.

#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::Card;
#[cfg(feature = "cuda")]
use std::sync::Arc;

/// What computes networks. Tensors and parameters stay on the host whatever it is.
#[derive(Clone, Debug, Default)]
pub enum Processor {
    /// The CPU, by our own kernels in f32 and by candle's in other types.
    #[default]
    Cpu,
    /// NVIDIA cards.
    #[cfg(feature = "cuda")]
    Cards(Cards),
}

/// Cards of one kind in one machine, of which each computes its share of a batch. A sample's bits do not depend on which card it is.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct Cards(Arc<[Card]>);

#[cfg(feature = "cuda")]
impl Cards {
    /// These cards, if there are some.
    #[must_use]
    pub fn new(cards: Vec<Card>) -> Option<Self> {
        (!cards.is_empty()).then(|| Self(cards.into()))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Card] {
        &self.0
    }

    /// The first, which works alone where there is nothing to share.
    #[must_use]
    pub fn first(&self) -> &Card {
        &self.0[0]
    }
}

impl Processor {
    /// What computes alone: each card, or the CPU.
    #[must_use]
    pub fn one_by_one(&self) -> Vec<Self> {
        match self {
            Self::Cpu => vec![Self::Cpu],
            #[cfg(feature = "cuda")]
            Self::Cards(cards) => {
                let alone = |card: &Card| Self::Cards(Cards([card.clone()].into()));
                cards.all().iter().map(alone).collect()
            }
        }
    }
}
