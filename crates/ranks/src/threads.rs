//! Threads of one process that stand in for processes: a channel for each pair.

use crate::transport::{Gone, Note, Transport};
use std::sync::mpsc::{Receiver, Sender, channel};

/// One rank's ends of its channels, by the rank at the other end.
pub(crate) struct Threads {
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

/// As many ranks as asked for, connected with each other and with themselves.
pub(crate) fn connected(count: usize) -> Vec<Threads> {
    let mut ranks: Vec<Threads> = (0..count).map(|_| Threads { to: Vec::new(), from: Vec::new() }).collect();
    for sender in 0..count {
        for receiver in 0..count {
            let (to, from) = channel();
            ranks[sender].to.push(to);
            ranks[receiver].from.push(from);
        }
    }
    ranks
}

impl Threads {
    /// Never waits: channels hold any number of messages.
    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), Gone> {
        self.to[to].send(bytes.to_vec()).map_err(|_| Gone(to))
    }

    fn receive(&self, from: usize, bytes: &mut [u8]) -> Result<(), Gone> {
        bytes.copy_from_slice(&self.from[from].recv().map_err(|_| Gone(from))?);
        Ok(())
    }
}

impl Transport for Threads {
    fn trade(&self, notes: &[Note]) -> Result<Vec<Note>, Gone> {
        for (to, note) in notes.iter().enumerate() {
            self.send(to, bytemuck::bytes_of(note))?;
        }
        let mut received = vec![Note::default(); notes.len()];
        for (from, note) in received.iter_mut().enumerate() {
            self.receive(from, bytemuck::bytes_of_mut(note))?;
        }
        Ok(received)
    }

    fn deliver(&self, outgoing: Vec<(usize, &[u8])>, incoming: Vec<(usize, &mut [u8])>) -> Result<(), Gone> {
        outgoing.into_iter().try_for_each(|(to, part)| self.send(to, part))?;
        incoming.into_iter().try_for_each(|(from, part)| self.receive(from, part))
    }

    /// The others see that the channels are closed.
    fn leave(&self, _in_step: bool) {}

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}
