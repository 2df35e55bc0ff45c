//! [`Sight`]: whether what readers see is what the primary has said, how old it is otherwise, and what time it is there; all
//! without the store's lock.
//!
//! A reader asks for the reign before it takes a view, and once it has it whether this node was primary without a doubt
//! until then. If it was, in the same epoch, nobody else had answered a write by the time the view was taken; and what this
//! node had answered was in the view before it was.

use std::time::Duration;

use crate::resp;
use crate::store::index::Timestamp;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::{Clock, Instant};

/// For so long after a loop has seen that its process stood still, what comes in may have been said before.
const AFTERWARDS: Duration = Duration::from_millis(250);
/// A loop that has not seen it for so long has had its turns meanwhile, and nothing to do.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// What a loop has seen of its process' standing still.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::driver::store) struct Noticed {
    /// When the node went on.
    resumed: u64,
    /// When the loop saw that.
    at: u64,
}

/// See the module. Written with the store's lock held.
#[derive(Debug, Default)]
pub(in crate::driver::store) struct Sight {
    /// The epoch of this node's reign; 0: it has none, or has not applied all that came before it.
    reign: AtomicU64,
    /// Until when nobody else can be primary.
    until: AtomicU64,
    /// 1: this node takes itself for primary, whether it holds its quorum or not.
    is_primary: AtomicU32,
    /// As of when what is here is all there was; 0: that is not known.
    fresh_since: AtomicU64,
    /// After how long without a turn the node has stood still, in nanoseconds.
    standstill: u64,
    /// When the node last had its turn, which it has many times in an election's; 0: it has none.
    beat: AtomicU64,
    /// When it had one again that it should have had long before.
    resumed: AtomicU64,
    /// 1: it alone votes, so that nobody else is primary whatever it does.
    is_alone: AtomicU32,
    /// The time in the log less this machine's count, in milliseconds; 0: nothing is known of it.
    offset: AtomicU64,
}

/// What a node is to its readers at a moment.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver::store) struct Standpoint {
    reign: Option<u64>,
    is_primary: bool,
    fresh_since: u64,
}

impl Sight {
    /// Of a node whose elections take so long at least. One that has had no turn for three quarters of that has stood still: a
    /// little later another may be primary.
    pub(super) fn new(election: Duration) -> Self {
        Self { standstill: (election * 3 / 4).as_nanos() as u64, ..Self::default() }
    }

    /// The reign, `None` where this node is not primary.
    #[inline]
    pub(in crate::driver::store) fn reign(&self) -> Option<u64> {
        // Acquire: pairs with the Releases in `set`, so that what is read behind it is of this reign or later.
        Some(self.reign.load(Ordering::Acquire)).filter(|reign| *reign != 0)
    }

    /// Whether `reign` has lasted up to now.
    #[inline]
    pub(in crate::driver::store) fn lasts(&self, reign: u64) -> bool {
        let until = self.until.load(Ordering::Acquire);
        // Behind `until`: a bound of another reign is never taken for one of this.
        self.reign.load(Ordering::Acquire) == reign && Clock.now() < Instant::from_nanos(until)
    }

    /// Whether this node takes itself for primary.
    #[inline]
    pub(in crate::driver::store) fn is_primary(&self) -> bool {
        self.is_primary.load(Ordering::Acquire) == 1
    }

    /// What this node is. To be asked before a view is taken, of which [`Sight::of`] tells what it shows.
    pub(in crate::driver::store) fn standpoint(&self) -> Standpoint {
        Standpoint {
            reign: self.reign(),
            is_primary: self.is_primary.load(Ordering::Acquire) == 1,
            fresh_since: self.fresh_since.load(Ordering::Acquire),
        }
    }

    /// What a view shows that was taken behind `from`.
    pub(in crate::driver::store) fn of(&self, from: Standpoint) -> resp::Sight {
        match from {
            Standpoint { reign: Some(reign), .. } if self.lasts(reign) => resp::Sight::Whole,
            Standpoint { is_primary: true, .. } => resp::Sight::Lapsed,
            Standpoint { fresh_since: 0, .. } => resp::Sight::Past(None),
            Standpoint { fresh_since, .. } => {
                resp::Sight::Past(Some(Clock.now().duration_since(Instant::from_nanos(fresh_since))))
            }
        }
    }

    /// The present by the primary's clock, as far as the log tells: the latest time in it, and what has gone by since it came
    /// here. `wall` is this machine's, which counts where this node is primary, or nothing was told.
    pub(in crate::driver::store) fn clock(&self, wall: Timestamp) -> Timestamp {
        let offset = self.offset.load(Ordering::Relaxed);
        if offset == 0 || self.is_primary.load(Ordering::Relaxed) == 1 {
            return wall;
        }
        Timestamp::from_millis(offset + millis(Clock.now()))
    }

    /// Whether this process stands still, or has done so just now, as a loop sees it: what comes in may have been said long ago, and
    /// another node may have been primary since.
    pub(in crate::driver::store) fn has_stood_still(&self, noticed: &mut Noticed) -> bool {
        self.has_stood_still_at(noticed, Clock.now())
    }

    fn has_stood_still_at(&self, noticed: &mut Noticed, now: Instant) -> bool {
        if self.is_alone.load(Ordering::Acquire) == 1 {
            return false;
        }
        let now = now.as_nanos();
        // In this order: what `beat` puts into one of the two is never missing in both.
        let beat = self.beat.load(Ordering::Acquire);
        let resumed = self.resumed.load(Ordering::Acquire);
        let is_within = |at: u64, bound: Duration| now.saturating_sub(at) < bound.as_nanos() as u64;
        if noticed.resumed != resumed {
            *noticed = Noticed { resumed, at: now };
        }
        let stood = resumed != 0 && is_within(resumed, FORGOTTEN) && is_within(noticed.at, AFTERWARDS);
        self.is_overdue(beat, now) || stood
    }

    /// Whether no other node votes.
    pub(super) fn set_alone(&self, is_alone: bool) {
        self.is_alone.store(u32::from(is_alone), Ordering::Release);
    }

    /// When it was last seen that the process had stood still, in nanoseconds; 0: never.
    pub(in crate::driver::store) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Acquire)
    }

    /// Whether the node should have had its turn long ago.
    pub(super) fn stands(&self) -> bool {
        self.is_overdue(self.beat.load(Ordering::Acquire), Clock.now().as_nanos())
    }

    /// Whether who had the last turn at `beat` should have had one long before `now`.
    fn is_overdue(&self, beat: u64, now: u64) -> bool {
        beat != 0 && now.saturating_sub(beat) >= self.standstill
    }

    /// Whether it has stood still since.
    pub(super) fn has_stood_still_since(&self, before: Instant) -> bool {
        Clock.now().duration_since(before).as_nanos() as u64 >= self.standstill
    }

    /// Whether what came at `at` may have been said before the process stood still.
    pub(super) fn is_shortly_after(&self, at: Instant) -> bool {
        let resumed = self.resumed();
        resumed != 0 && at < Instant::from_nanos(resumed).saturating_add(AFTERWARDS)
    }

    /// The node has no turns any more.
    pub(super) fn rest(&self) {
        self.beat.store(0, Ordering::Release);
    }

    /// The node has its turn at `now`. Whether it should have had it long before.
    pub(super) fn beat(&self, now: Instant) -> bool {
        let (now, before) = (now.as_nanos(), self.beat.load(Ordering::Relaxed));
        let has_stood = self.is_overdue(before, now);
        if has_stood {
            self.resumed.store(now, Ordering::Release);
        }
        self.beat.store(now.max(before), Ordering::Release);
        has_stood
    }

    /// Time in the log has come to `time` at `now`.
    pub(super) fn set_clock(&self, time: Timestamp, now: Instant) {
        self.offset.store(time.as_millis().saturating_sub(millis(now)), Ordering::Relaxed);
    }

    /// Who this node takes itself for, and as of when what is here is all there was.
    pub(super) fn set_standing(&self, is_primary: bool, fresh_since: Option<Instant>) {
        self.is_primary.store(u32::from(is_primary), Ordering::Release);
        self.fresh_since.store(fresh_since.map_or(0, Instant::as_nanos), Ordering::Release);
    }

    pub(super) fn set(&self, reign: Option<(u64, Instant)>) {
        let (reign, until) = reign.map_or((0, Instant::START), |it| it);
        if self.reign.load(Ordering::Relaxed) != reign {
            self.reign.store(0, Ordering::Release);
            self.until.store(until.as_nanos(), Ordering::Release);
            self.reign.store(reign, Ordering::Release);
        } else {
            self.until.store(until.as_nanos(), Ordering::Release);
        }
    }
}

fn millis(instant: Instant) -> u64 {
    instant.as_nanos() / 1_000_000
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_has_stood_still_is_known_for_a_while() {
        let sight = Sight::new(Duration::from_millis(400));
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let (mut noticed, mut late, mut idle) = (Noticed::default(), Noticed::default(), Noticed::default());
        let mut looks = |ms| sight.has_stood_still_at(&mut noticed, at(ms));
        assert!(!looks(9_000), "it has never had its turn");
        sight.beat(at(9_000));
        assert!(!sight.beat(at(9_299)) && !sight.is_shortly_after(at(9_299)));
        assert!(!looks(9_598));
        assert!(looks(9_599), "it stands still");
        assert!(sight.beat(at(9_599)));
        sight.beat(at(9_590));
        assert!(looks(9_599), "it has just gone on");
        assert_eq!(sight.resumed(), at(9_599).as_nanos());
        assert!(sight.is_shortly_after(at(9_000)) && sight.is_shortly_after(at(9_848)));
        assert!(!sight.is_shortly_after(at(9_849)));
        sight.beat(at(9_800));
        assert!(looks(9_848) && !looks(9_849));
        // A loop that had its turn later has what was said before still to read.
        assert!((11..=14).all(|hundreds| !sight.beat(at(9_000 + 100 * hundreds - 100))));
        assert!(sight.has_stood_still_at(&mut late, at(10_300)));
        assert!(sight.has_stood_still_at(&mut late, at(10_549)));
        let stood = (104..=150).filter(|hundreds| sight.beat(at(100 * hundreds))).count();
        assert_eq!(stood, 0);
        assert!(!sight.has_stood_still_at(&mut late, at(10_550)));
        assert!(!sight.has_stood_still_at(&mut idle, at(15_000)), "that is long ago");
        let mut looks = |ms| sight.has_stood_still_at(&mut noticed, at(ms));
        sight.rest();
        assert!(!looks(99_999), "it has no turns");
        let slow = Sight::new(Duration::from_secs(10));
        slow.beat(at(1_000));
        let mut noticed = Noticed::default();
        assert!(!slow.has_stood_still_at(&mut noticed, at(8_499)));
        assert!(slow.has_stood_still_at(&mut noticed, at(8_500)));
    }

    #[test]
    fn who_alone_votes_misses_nothing_by_standing_still() {
        let sight = Sight::new(Duration::from_millis(400));
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut noticed = Noticed::default();
        sight.set_alone(true);
        sight.beat(at(1_000));
        assert!(!sight.has_stood_still_at(&mut noticed, at(1_900)));
        sight.beat(at(1_900));
        assert!(!sight.has_stood_still_at(&mut noticed, at(1_910)));
        // Another one has a vote.
        sight.set_alone(false);
        sight.beat(at(1_950));
        assert!(sight.has_stood_still_at(&mut noticed, at(2_300)));
    }

    #[test]
    fn a_reign_lasts_until_its_lease_ends_or_another_begins() {
        let sight = Sight::default();
        assert_eq!(sight.reign(), None);
        let soon = Clock.now().saturating_add(Duration::from_secs(600));
        sight.set(Some((3, soon)));
        assert_eq!(sight.reign(), Some(3));
        assert!(sight.lasts(3) && !sight.lasts(2));
        sight.set(Some((3, Clock.now())));
        assert!(!sight.lasts(3));
        sight.set(Some((4, soon)));
        assert!(!sight.lasts(3) && sight.lasts(4));
        sight.set(None);
        assert!(!sight.lasts(4));
        assert_eq!(sight.reign(), None);
    }

    #[test]
    fn a_view_is_whole_lapsed_or_of_an_age() {
        let sight = Sight::default();
        assert_eq!(sight.of(sight.standpoint()), resp::Sight::Past(None));
        sight.set_standing(false, Some(Clock.now()));
        assert!(matches!(sight.of(sight.standpoint()), resp::Sight::Past(Some(age)) if age.as_secs() < 600));
        sight.set_standing(true, None);
        assert_eq!(sight.of(sight.standpoint()), resp::Sight::Lapsed);
        sight.set(Some((3, Clock.now().saturating_add(Duration::from_secs(600)))));
        let before = sight.standpoint();
        assert_eq!(sight.of(before), resp::Sight::Whole);
        sight.set(None);
        assert_eq!(sight.of(before), resp::Sight::Lapsed);
    }

    #[test]
    fn a_replica_goes_by_the_time_in_the_log() {
        let sight = Sight::default();
        let wall = Timestamp::from_millis(5_000_000_000_000);
        assert_eq!(sight.clock(wall), wall, "nothing is known");
        let now = Clock.now();
        sight.set_clock(Timestamp::from_millis(1_000_000_000_000), now);
        let seen = sight.clock(wall).as_millis();
        assert!((1_000_000_000_000..1_000_000_600_000).contains(&seen), "{seen}");
        sight.set_standing(true, None);
        assert_eq!(sight.clock(wall), wall, "a primary makes the time");
    }
}
