//! Random: one draw by weight (Vose's alias method).

use super::{Ask, TRIES, onward};
use crate::balance::draw::alias::Alias;
use crate::balance::explain::Trace;

#[inline(always)]
pub(super) fn choose(
    alias: &Alias,
    ask: &Ask<'_>,
    eligible: impl Fn(u32) -> bool,
    trace: &mut impl Trace,
) -> Option<u32> {
    let mut index = 0;
    for further in 0..TRIES {
        index = alias.draw(ask.turn.random(further));
        trace.draw("drawn", u64::from(index));
        if eligible(index) {
            return Some(index);
        }
    }
    onward(ask.backends.len(), index, eligible)
}
