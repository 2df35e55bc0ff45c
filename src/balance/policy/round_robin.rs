//! Round robin and static: each position of the order is one backend's turn. Fastest, observed and
//! predictive take turns too, by the weights they measure.
//!
//! The order is nginx's smooth weighted round robin where it fits a table, and the golden-ratio order
//! beyond (`draw/order.rs`). Each lane walks the order from a start of its own, so every worker's picks
//! are in exact proportion, and their union with them.

use super::{Ask, TRIES, onward};
use crate::balance::explain::Trace;

#[inline(always)]
pub(super) fn choose(
    at: impl Fn(u64) -> u32,
    ask: &Ask<'_>,
    eligible: impl Fn(u32) -> bool,
    trace: &mut impl Trace,
) -> Option<u32> {
    let position = ask.turn.position();
    trace.draw("position", position);
    let mut index = 0;
    for further in 0..TRIES {
        index = at(position.wrapping_add(further));
        if eligible(index) {
            return Some(index);
        }
    }
    onward(ask.backends.len(), index, eligible)
}
