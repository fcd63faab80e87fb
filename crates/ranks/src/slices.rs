//! Arrays cut into one slice for each rank: what broadcasts and sums are made of.

use crate::RanksError;
use crate::link::{Link, Operation};
use bytemuck::Pod;
use std::ops::Range;

/// The items of one of `count` ranks, whoever asks: contiguous, in the order of ranks, and no share larger than another by more than 1.
/// [`Ranks::share_of`](crate::Ranks::share_of) is that of a rank that is there.
///
/// # Panics
/// If `count` is 0.
#[must_use]
pub fn share(items: usize, count: usize, rank: usize) -> Range<usize> {
    let (each, more) = (items / count, items % count);
    let start = rank * each + rank.min(more);
    start..start + each + usize::from(rank < more)
}

/// The slices of all ranks.
pub(crate) fn slices<T>(values: &[T], count: usize) -> Vec<(usize, &[T])> {
    (0..count).map(|rank| (rank, &values[share(values.len(), count, rank)])).collect()
}

fn slices_mut<T>(values: &mut [T], count: usize) -> Vec<(usize, &mut [T])> {
    let (items, mut rest) = (values.len(), values);
    let mut slices = Vec::with_capacity(count);
    for rank in 0..count {
        let (slice, others) = rest.split_at_mut(share(items, count, rank).len());
        slices.push((rank, slice));
        rest = others;
    }
    slices
}

impl Link {
    /// Each rank has its own slice of `values`; gives all ranks all of them. Lengths are equal.
    pub(crate) fn complete<T: Pod>(
        &mut self,
        operation: Operation,
        values: &mut [T],
    ) -> Result<(), RanksError> {
        let mut slices = slices_mut(values, self.count);
        let (_, own) = slices.remove(self.rank);
        let own = bytemuck::cast_slice(own);
        let outgoing = slices.iter().map(|(rank, _)| (*rank, own)).collect();
        let incoming =
            slices.into_iter().map(|(rank, slice)| (rank, bytemuck::cast_slice_mut(slice))).collect();
        self.deliver(operation, outgoing, incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_contiguous_and_even(items in 0usize..1000, count in 1usize..70) {
            let shares: Vec<_> = (0..count).map(|rank| share(items, count, rank)).collect();
            prop_assert_eq!(shares[0].start, 0);
            prop_assert_eq!(shares[count - 1].end, items);
            prop_assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lengths = || shares.iter().map(ExactSizeIterator::len);
            prop_assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
        }

        #[test]
        fn slices_are_the_shares(items in 0usize..50, count in 1usize..9) {
            let values: Vec<usize> = (0..items).collect();
            let mut same = values.clone();
            let slices = slices(&values, count);
            prop_assert_eq!(slices.iter().map(|(_, slice)| *slice).collect::<Vec<_>>().concat(), values.clone());
            let ours = slices_mut(&mut same, count);
            prop_assert!(ours.iter().map(|(rank, slice)| (*rank, &**slice)).eq(slices));
        }
    }

    #[test]
    fn the_largest_box_does_not_overflow() {
        assert_eq!(share(usize::MAX, usize::MAX, usize::MAX - 1), usize::MAX - 1..usize::MAX);
    }
}
