//! Tests of the whole: the architecture, the binary, the pipeline on real data.
#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers, too")]

mod architecture;
mod binary;
#[cfg(feature = "cuda")]
mod card;
mod circles;
mod compare;
mod configuration_reference;
mod damaged;
mod demo;
mod disk;
mod durability;
mod gadget4;
mod gridding;
mod ics;
mod noise;
mod parts;
mod pipeline;
mod spectrum;
mod tng;
mod training;
mod wrong_input;
