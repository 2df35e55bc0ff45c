//! [`Patience`]: how long who has ended its half is thought to wait for what it has asked for. It may have gone, and ask elsewhere: what is
//! begun for it later would be done behind what it is answered there.

use std::time::Duration;

use crate::driver::store::Caller;
use crate::time::Instant;

/// For so long after the last that was done for it.
const LATE: Duration = Duration::from_millis(100);
/// The same while something of it is under way, which takes as long as disks and other nodes do.
const SLOW: Duration = Duration::from_secs(2);

/// See the module. Of a client that has ended its half.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When something was done for it last, or it was looked at first.
    since: Option<Instant>,
    has_given_up: bool,
}

impl Patience {
    /// Whether it waits at `now`. `is_under_way`: something of it is, or has just come back. Once it has given up it has for good,
    /// whatever comes of what it has asked for before.
    pub(super) fn caller(&mut self, is_under_way: bool, now: Instant) -> Caller {
        let since = *self.since.get_or_insert(now);
        let most = if is_under_way { SLOW } else { LATE };
        self.has_given_up |= since.saturating_add(most) <= now;
        if self.has_given_up { Caller::HasGivenUp } else { Caller::MayHaveLeft }
    }

    /// Something that it has asked for was done. What comes to nothing is not: the time that it took counts.
    pub(super) fn note_done(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }

    /// Nothing was done for anybody for a while.
    pub(super) fn give_up(&mut self) {
        self.has_given_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    #[test]
    fn what_is_under_way_may_take_as_long_as_a_disk_does() {
        let mut patience = Patience::default();
        patience.note_done(Instant::START);
        // Each write waits for the one before it.
        for turn in 0..20 {
            assert_eq!(patience.caller(false, at(250 * turn)), Caller::MayHaveLeft, "it is begun");
            assert_eq!(patience.caller(true, at(250 * turn + 130)), Caller::MayHaveLeft);
            assert_eq!(patience.caller(true, at(250 * turn + 250)), Caller::MayHaveLeft, "it comes back");
            patience.note_done(at(250 * turn + 250));
        }
        // One that has to be made up anew is not done.
        assert_eq!(patience.caller(true, at(6_999)), Caller::MayHaveLeft);
        assert_eq!(patience.caller(true, at(7_000)), Caller::HasGivenUp);
        patience.note_done(at(7_000));
        assert_eq!(patience.caller(false, at(7_000)), Caller::HasGivenUp, "for good");
    }

    #[test]
    fn what_came_to_nothing_took_time_that_counts() {
        let mut patience = Patience::default();
        assert_eq!(patience.caller(false, at(0)), Caller::MayHaveLeft);
        assert_eq!(patience.caller(true, at(130)), Caller::MayHaveLeft);
        assert_eq!(patience.caller(false, at(130)), Caller::HasGivenUp);
        assert_eq!(patience.caller(true, at(130)), Caller::HasGivenUp);
        let mut patience = Patience::default();
        assert_eq!(patience.caller(false, at(0)), Caller::MayHaveLeft);
        assert_eq!(patience.caller(false, at(99)), Caller::MayHaveLeft);
        assert_eq!(patience.caller(false, at(100)), Caller::HasGivenUp);
    }

    #[test]
    fn nobody_waits_behind_a_standstill() {
        let mut patience = Patience::default();
        assert_eq!(patience.caller(true, at(0)), Caller::MayHaveLeft);
        patience.give_up();
        patience.note_done(at(1));
        assert_eq!(patience.caller(false, at(1)), Caller::HasGivenUp);
    }
}
