//! What rank 0 has, to all.

use crate::gather::room;
use crate::link::Operation;
use crate::slices::slices;
use crate::{Ranks, RanksError};
use bytemuck::Pod;

impl Ranks {
    /// Gives all ranks the values of rank 0, in place of their own.
    ///
    /// Rank 0 hands each rank a slice, and each rank hands its slice to all, so that no rank sends or receives more than
    /// about twice the bytes, however many ranks there are.
    ///
    /// # Errors
    /// [`RanksError::Order`], [`RanksError::Ended`].
    /// # Source
    /// Van de Geijn's broadcast of long messages, as in Thakur, Rabenseifner & Gropp 2005, "Optimization of collective
    /// communication operations in MPICH", IJHPCA 19, 49.
    pub fn broadcast<T: Pod>(&self, values: &mut Vec<T>) -> Result<(), RanksError> {
        let mut link = self.link();
        let lengths = link.begin_with(Operation::Broadcast, size_of_val(values.as_slice()) as u64)?;
        if self.is_first() {
            let others = slices(values, self.count()).into_iter().skip(1);
            let outgoing = others.map(|(rank, slice)| (rank, bytemuck::cast_slice(slice))).collect();
            link.deliver(Operation::Broadcast, outgoing, Vec::new())?;
        } else {
            *values = room(lengths[0]);
            let own = self.share(values.len());
            let incoming = vec![(0, bytemuck::cast_slice_mut(&mut values[own]))];
            link.deliver(Operation::Broadcast, Vec::new(), incoming)?;
        }
        link.complete(Operation::Broadcast, values)
    }
}
