//! Counter-based random numbers: a number is a pure function of (seed, purpose, step, index).
//!
//! Nothing here has hidden state that another thread, tile or batch could disturb, and the transcendental
//! functions come from `libm`, so the same key gives the same bits on every machine.
//!
//! [`KeyedStream`] gives numbers by their index, [`Sequence`] one after another:
//! ```
//! use finescale_seed::{KeyedStream, Purpose, Sequence};
//!
//! let crops = KeyedStream::new(7, Purpose::Crop); // seed 7
//! let mut dice = Sequence::new(crops, 3); // step 3
//! let thrown: Vec<usize> = (0..4).map(|_| 1 + dice.below(6)).collect();
//!
//! // The same key has the same numbers, on any machine.
//! let mut again = Sequence::new(crops, 3);
//! assert!(thrown.iter().all(|&number| number == 1 + again.below(6)));
//! assert_ne!(dice.uniform(), Sequence::new(crops, 4).uniform());
//! ```

mod philox;
mod sequence;
mod stream;

pub use philox::philox4x32_10;
pub use sequence::Sequence;
pub use stream::{KeyedStream, Purpose};
