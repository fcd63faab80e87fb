//! `finescale doctor`: what this machine offers, and whether every layer works on it.

mod layers;
#[cfg(feature = "cuda")]
mod on_card;

use crate::context::Context;
use crate::failure::bad_input;
use crate::measurement::{available_memory_bytes, bytes};
use clap::Args;
use finescale_denoiser::Processor;
#[cfg(feature = "cuda")]
use finescale_layers3d::cuda::Precision;
use finescale_layers3d::{Engine, instruction_set_name};
use serde_json::{Value, json};

/// How far layers may be from plain compositions, and losses from the CPU's, relatively: f32 sums of a few thousand terms in another
/// order, factors of 10 bits, or volumes and factors of 7.
const TOLERANCE: f64 = 1e-4;
#[cfg(feature = "cuda")]
const TF32_TOLERANCE: f64 = 1e-2;
#[cfg(feature = "cuda")]
const BF16_TOLERANCE: f64 = 1e-1;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Of a card, check that it is right, and do not time it
    #[arg(long)]
    untimed: bool,
}

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Value> {
        let memory = available_memory_bytes();
        context.say(format_args!(
            "{} threads, {} of memory available, kernels for {}",
            context.threads(),
            memory.map_or("unknown".to_owned(), bytes),
            instruction_set_name(),
        ));
        let (layers, card) = match context.processor()? {
            #[cfg(feature = "cuda")]
            Processor::Cards(cards) => {
                let [card] = cards.all() else {
                    return Err(bad_input(
                        "doctor checks one card at a time: --device cuda:0, then the next",
                    ));
                };
                let properties = on_card::properties(context, card)?;
                let tolerance = match card.precision() {
                    Precision::F32 => TOLERANCE,
                    Precision::Tf32 => TF32_TOLERANCE,
                    Precision::Bf16 => BF16_TOLERANCE,
                };
                let layers = layers::check(context, tolerance, || Engine::recording_on(card.clone()))?;
                (layers, on_card::check(context, card, properties, tolerance, !self.untimed)?)
            }
            Processor::Cpu if self.untimed => {
                return Err(bad_input("--untimed: of cards; say which with --device cuda:0"));
            }
            Processor::Cpu => (layers::check(context, TOLERANCE, Engine::recording)?, Value::Null),
        };
        Ok(json!({
            "threads": context.threads(),
            "memory_available_bytes": memory,
            "simd": instruction_set_name(),
            "device": context.device_name(),
            "cuda": cfg!(feature = "cuda"),
            "layers": layers,
            "card": card,
        }))
    }
}
