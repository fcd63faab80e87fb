//! Sums over ranks, the same to the bit on all of them.

use crate::link::Operation;
use crate::slices::slices;
use crate::{Ranks, RanksError};

impl Ranks {
    /// Gives all ranks the sums over ranks of each value: ((rank 0 + rank 1) + rank 2) + ..., which are the same bits on all
    /// ranks, and in any run with as many ranks.
    ///
    /// Each rank adds up one slice and hands it to all, so that no rank sends or receives more than twice the bytes,
    /// however many ranks there are. It needs the memory of `values` once more.
    ///
    /// # Errors
    /// [`RanksError::Length`] on all ranks if lengths differ; nothing was added then, and the ranks may go on.
    /// [`RanksError::Order`], [`RanksError::Ended`].
    /// # Source
    /// The halves of Rabenseifner's all-reduce: Thakur, Rabenseifner & Gropp 2005, IJHPCA 19, 49. Not its tree, whose sums
    /// are in another order.
    pub fn sum_f64(&self, values: &mut [f64]) -> Result<(), RanksError> {
        let mut link = self.link();
        let ours = values.len() as u64;
        let lengths = link.begin_with(Operation::Sum, ours)?;
        if let Some(rank) = lengths.iter().position(|theirs| *theirs != ours) {
            return Err(RanksError::Length { rank, theirs: lengths[rank], ours });
        }

        // Everybody's values of our slice.
        let own = self.share(values.len());
        let mut theirs = vec![0.0; own.len() * self.count()];
        let outgoing = slices(values, self.count()).into_iter();
        let outgoing = outgoing.map(|(to, slice)| (to, bytemuck::cast_slice(slice))).collect();
        let places = theirs.chunks_exact_mut(own.len().max(1)).enumerate();
        let incoming = places.map(|(from, place)| (from, bytemuck::cast_slice_mut(place))).collect();
        link.deliver(Operation::Sum, outgoing, incoming)?;

        let (first, others) = theirs.split_at(own.len());
        let sums = &mut values[own];
        sums.copy_from_slice(first);
        for addends in others.chunks_exact(sums.len().max(1)) {
            sums.iter_mut().zip(addends).for_each(|(sum, addend)| *sum += addend);
        }
        link.complete(Operation::Sum, values)
    }
}
