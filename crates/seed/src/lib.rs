//! Counter-based random numbers: a number is a pure function of (seed, purpose, step, index).
//!
//! Nothing here has hidden state that another thread, tile or batch could disturb, and the transcendental
//! functions come from `libm`, so the same key gives the same bits on every machine.

mod philox;
mod sequence;
mod stream;

pub use philox::philox4x32_10;
pub use sequence::Sequence;
pub use stream::{KeyedStream, Purpose};
