//! What each rank has, to all or to rank 0.

use crate::link::{Link, Operation};
use crate::{Ranks, RanksError};
use bytemuck::Pod;

/// Room for so many bytes.
///
/// # Panics
/// If they are no whole number of values: another rank has another type.
pub(crate) fn room<T: Pod>(bytes: u64) -> Vec<T> {
    let bytes = usize::try_from(bytes).expect("another rank's memory holds as much");
    assert!(bytes.is_multiple_of(size_of::<T>()), "{bytes} bytes come from a rank that has another type");
    vec![T::zeroed(); bytes / size_of::<T>()]
}

impl Ranks {
    /// What every rank passes, on all ranks, in the order of ranks. Lengths may differ.
    ///
    /// # Errors
    /// [`RanksError::Order`], [`RanksError::Ended`].
    pub fn gather<T: Pod>(&self, values: &[T]) -> Result<Vec<Vec<T>>, RanksError> {
        self.link().gather(values)
    }

    /// As [`Ranks::gather`], but on rank 0 alone: on the others what comes back is empty.
    ///
    /// # Errors
    /// As [`Ranks::gather`].
    pub fn gather_first<T: Pod>(&self, values: &[T]) -> Result<Vec<Vec<T>>, RanksError> {
        let mut link = self.link();
        let lengths = link.begin_with(Operation::GatherFirst, size_of_val(values) as u64)?;
        let mut gathered: Vec<Vec<T>> =
            if self.is_first() { lengths.into_iter().map(room).collect() } else { Vec::new() };
        let outgoing = vec![(0, bytemuck::cast_slice(values))];
        link.deliver(Operation::GatherFirst, outgoing, places(&mut gathered))?;
        Ok(gathered)
    }
}

impl Link {
    pub(crate) fn gather<T: Pod>(&mut self, values: &[T]) -> Result<Vec<Vec<T>>, RanksError> {
        let lengths = self.begin_with(Operation::Gather, size_of_val(values) as u64)?;
        let mut gathered: Vec<Vec<T>> = lengths.into_iter().map(room).collect();
        let outgoing = (0..self.count).map(|rank| (rank, bytemuck::cast_slice(values))).collect();
        self.deliver(Operation::Gather, outgoing, places(&mut gathered))?;
        Ok(gathered)
    }
}

/// Where the values of each rank go.
fn places<T: Pod>(gathered: &mut [Vec<T>]) -> Vec<(usize, &mut [u8])> {
    let places = gathered.iter_mut().enumerate();
    places.map(|(rank, values)| (rank, bytemuck::cast_slice_mut(values))).collect()
}
