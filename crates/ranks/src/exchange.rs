//! Messages from any rank to any.

use crate::gather::room;
use crate::link::{Link, Operation};
use crate::{Ranks, RanksError};
use bytemuck::Pod;

impl Ranks {
    /// Sends values to other ranks and receives theirs. `outgoing`: to whom, and what; `incoming`: from whom, and how many
    /// values. Returns what came, in the order of `incoming`.
    ///
    /// All travel at once, so that no pattern of who sends to whom can lock the ranks up. A rank may send to itself, and
    /// none needs to send or receive anything; a message of no values is none. Before anything travels, each rank hears
    /// what every other will send to it, and all hear whether that is what it expects: two rounds of notes among all ranks.
    ///
    /// # Errors
    /// [`RanksError::Message`] on all ranks if one expects something else than is sent to it; nothing was sent then, and
    /// the ranks may go on. [`RanksError::Order`], [`RanksError::Ended`].
    /// # Panics
    /// If `outgoing` or `incoming` names a rank twice, or one that is not there.
    pub fn exchange<T: Pod>(
        &self,
        outgoing: &[(usize, &[T])],
        incoming: &[(usize, usize)],
    ) -> Result<Vec<Vec<T>>, RanksError> {
        let bytes = outgoing.iter().map(|&(to, values)| (to, size_of_val(values)));
        let leaving = by_rank(self.count(), bytes);
        let expected =
            by_rank(self.count(), incoming.iter().map(|&(from, values)| (from, values * size_of::<T>())));

        let mut link = self.link();
        let announced = link.begin(Operation::Exchange, &leaving)?;
        let differs = |from: &usize| announced[*from] != expected[*from];
        let differing = (0..self.count()).find(differs);
        link.agree(differing.map(|from| [from as u64, announced[from], expected[from]]))?;

        let mut received: Vec<Vec<T>> = incoming.iter().map(|&(from, _)| room(expected[from])).collect();
        let places = incoming.iter().zip(&mut received);
        let places = places.map(|(&(from, _), values)| (from, bytemuck::cast_slice_mut(values))).collect();
        let messages = outgoing.iter().map(|&(to, values)| (to, bytemuck::cast_slice(values))).collect();
        link.deliver(Operation::Exchange, messages, places)?;
        Ok(received)
    }
}

/// Bytes by rank, none where none are named.
fn by_rank(count: usize, named: impl Iterator<Item = (usize, usize)>) -> Vec<u64> {
    let mut bytes = vec![None; count];
    for (rank, named) in named {
        assert!(rank < count, "rank {rank} of {count} is to exchange something");
        assert_eq!(bytes[rank].replace(named as u64), None, "rank {rank} is named twice");
    }
    bytes.into_iter().map(Option::unwrap_or_default).collect()
}

impl Link {
    /// Tells all ranks whether one has met a message that differs (from whom, bytes sent, bytes expected); the first that
    /// has makes it the error of all.
    fn agree(&mut self, differing: Option<[u64; 3]>) -> Result<(), RanksError> {
        let all = self.gather(differing.as_slice())?;
        let first = all.iter().enumerate().find_map(|(to, differing)| Some((to, *differing.first()?)));
        match first {
            None => Ok(()),
            Some((to, [from, sent, expected])) => {
                Err(RanksError::Message { from: from as usize, to, sent, expected })
            }
        }
    }
}
