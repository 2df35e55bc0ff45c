//! [`Peers`]: the other loops of the same server, as a hub sees them.

use std::fmt::Debug;
use std::sync::Arc;

use super::clients::{Part, Question};
use super::hub::Counters;

/// What the hubs of other loops have in common with one. All of it is known at once and without waiting for them, but for
/// what is asked of their clients.
pub trait Peers: Debug + Send {
    /// This loop has so many subscribers of a channel, or of a pattern, from now on.
    fn subscribed(&mut self, name: &Arc<[u8]>, is_pattern: bool, count: u64);

    /// Has the others deliver a message, and says to how many it will be.
    fn publish(&mut self, channel: &Arc<[u8]>, payload: &Arc<[u8]>) -> u64;

    /// How many subscribers of the others a channel has.
    fn subscribers_of(&self, channel: &[u8]) -> u64;

    /// How many channels, or patterns, somebody has subscribed to, on this loop or on others.
    fn names(&self, is_pattern: bool) -> usize;

    /// Tells each of these channels.
    fn each_channel(&self, tell: &mut dyn FnMut(&Arc<[u8]>));

    /// Has the others publish these notifications too.
    fn configure(&mut self, classes: &[u8]);

    /// How many clients the others have, and what they have counted.
    fn totals(&self) -> (u64, Counters);

    /// What all loops had counted together when that was reset last.
    fn base(&self) -> Counters;

    /// It is reset now, for all of them.
    fn set_base(&mut self, base: Counters);

    /// Asks their clients. Each answers by [`Hub::handle_part`](super::Hub::handle_part) with this number; gives how many
    /// will.
    fn ask(&mut self, number: u64, question: &Arc<Question>) -> usize;

    /// Hands over to one of them what it has asked for.
    fn answer(&mut self, loop_number: usize, number: u64, part: Part);

    /// This loop ends: who has asked it something, or will, is answered without it.
    fn leave(&mut self);
}
