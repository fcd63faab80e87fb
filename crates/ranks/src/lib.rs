//! The processes that share one run: how many there are, which one this is, and what they tell each other.
//!
//! [`Ranks`] is one type for one process, for the processes of MPI, and for threads that stand in for processes in tests,
//! so that what uses it is written once. What carries the bytes can do two things (`transport.rs`); all else is written
//! on those, once, and has the same results, to the bit, on threads as under MPI.
//!
//! # The rules
//! - All ranks call the same operations in the same order. Whoever does not is told so on every rank, since each
//!   operation begins with a note from every rank to every other that says which it is.
//! - An operation returns when this rank's part in it is done, and `Err` on all ranks or on none.
//! - After [`RanksError::Order`] and [`RanksError::Ended`] the ranks are out of step, and every later operation fails.
//! - Values are plain numbers ([`bytemuck::Pod`]) of machines of one kind. A type is the same on all ranks.
//!
//! # When a rank fails
//! Of an error of its own alone, a rank says what it is and calls [`Ranks::abort`], which names it and ends all of them. What
//! happens otherwise, with Open MPI 4.1 and 5.0 and MPICH 5.0, while the others wait for it:
//!
//! | the rank | the others |
//! |---|---|
//! | panics, and drops its [`Ranks`] on the way | end, as by [`Ranks::abort`] with exit code 101 |
//! | is killed, or calls [`std::process::exit`] | are ended by the launcher; Open MPI's names the rank, MPICH's does not |
//! | returns early, and drops its [`Ranks`] | have [`RanksError::Ended`] from their operation |
//!
//! With exit code 0, MPICH's launcher may call the run good when a rank exits so: return, and let [`Ranks`] be dropped.
//! A panic on another thread ends nothing before it reaches the one that has the [`Ranks`].
//!
//! # Examples
//! Each rank adds its part of a sum:
//! ```
//! use finescale_ranks::Ranks;
//!
//! fn sum_of_squares(ranks: &Ranks, numbers: &[f64]) -> Result<f64, finescale_ranks::RanksError> {
//!     let mut sum = [numbers[ranks.share(numbers.len())].iter().map(|number| number * number).sum()];
//!     ranks.sum_f64(&mut sum)?;
//!     Ok(sum[0])
//! }
//!
//! let numbers = [1.0, 2.0, 3.0, 4.0, 5.0];
//! // A program: one process, or as many as mpirun or srun started.
//! assert_eq!(sum_of_squares(&Ranks::start()?, &numbers)?, 55.0);
//! // A test: three threads.
//! assert_eq!(Ranks::on_threads(3, |ranks| sum_of_squares(ranks, &numbers).unwrap()), [55.0; 3]);
//! # Ok::<(), finescale_ranks::RanksError>(())
//! ```

mod broadcast;
mod error;
mod exchange;
mod gather;
mod launch;
mod link;
mod ranks;
mod slices;
mod sum;
mod threads;
mod transport;
#[cfg(feature = "mpi")]
mod world;

pub use error::RanksError;
pub use ranks::Ranks;
pub use slices::share;
