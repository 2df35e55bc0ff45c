//! First: fill the first backend to its `maxconn`, then the next, so that spare ones stay idle and can
//! be switched off (HAProxy's `balance first`). A pick costs a look at each backend that is full.

use super::{Ask, onward};
use crate::balance::explain::Trace;

#[inline]
pub(super) fn choose(ask: &Ask<'_>, eligible: impl Fn(u32) -> bool, _trace: &mut impl Trace) -> Option<u32> {
    if eligible(0) {
        return Some(0);
    }
    onward(ask.backends.len(), 0, eligible)
}
