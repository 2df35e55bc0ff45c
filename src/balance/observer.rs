//! Whoever looks after a pool is told what changes in it and when a place may have come free.
//!
//! A pool that nobody watches pays one load of a shared line for this, and only where a `maxconn` is in play.

use std::sync::Arc;

use crossbeam_utils::CachePadded;
use once_cell::race::OnceBox;

use crate::balance::backend::{Admin, BackendId, Observed};
use crate::balance::table::Table;
use crate::sync::{self, AtomicUsize, Ordering};

/// Told by the thread that made it happen, after it took effect and with no lock held. Must not block.
pub trait Observer: Send + Sync {
    /// A place below some limit may have come free, or part of a rate been given back, and
    /// [`Pool::want`](super::Pool::want) says that one is wanted.
    fn handle_room(&self);
    /// The pool changed. Changes that two threads make at once may be told in either order.
    fn handle_change(&self, change: &Change);
    /// A tier began to panic, or no longer does: it serves whatever is observed of its backends.
    fn handle_panic(&self, tier: u8, panics: bool) {
        let _ = (tier, panics);
    }
}

/// What changed about one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub backend: BackendId,
    /// Its name.
    pub name: Arc<str>,
    /// What.
    pub kind: ChangeKind,
    /// Why, when that was said; of [`ChangeKind::Observed`] only.
    pub reason: Option<Arc<str>>,
}

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was added.
    Added,
    /// It was removed.
    Removed,
    /// An operator ordered this.
    Admin(Admin),
    /// This was observed.
    Observed(Observed),
    /// Its weight is this now.
    Weight(u32),
    /// Its `maxconn` is this now.
    Maxconn(u32),
    /// Its tier is this now.
    Tier(u8),
}

/// The observer's place in a pool.
pub(super) struct Watch {
    observer: OnceBox<Box<dyn Observer>>,
    /// How many wait for a place.
    wanted: CachePadded<AtomicUsize>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { observer: OnceBox::new(), wanted: CachePadded::new(AtomicUsize::new(0)) }
    }

    /// `false` when there is one already.
    pub(super) fn set(&self, observer: Box<dyn Observer>) -> bool {
        self.observer.set(Box::new(observer)).is_ok()
    }

    /// A full fence: whoever wants looks for a place after saying so, whoever frees one looks for the wish
    /// after freeing, and one of the two sees the other.
    pub(super) fn want(&self) {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        sync::fence(Ordering::SeqCst);
    }

    /// The same, unless as many as `most` want one.
    pub(super) fn try_want(&self, most: usize) -> bool {
        let more = |wanted: usize| (wanted < most).then(|| wanted + 1);
        let may = self.wanted.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).is_ok();
        sync::fence(Ordering::SeqCst);
        may
    }

    pub(super) fn unwant(&self) {
        self.wanted.fetch_sub(1, Ordering::SeqCst);
    }

    /// The same, unless nobody wants one.
    pub(super) fn try_unwant(&self) -> bool {
        let less = |wanted: usize| wanted.checked_sub(1);
        self.wanted.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less).is_ok()
    }

    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted() > 0
    }

    #[inline]
    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// A place was given back, by an atomic read-modify-write.
    #[inline]
    pub(super) fn freed(&self) {
        sync::barrier_after_write();
        if self.is_wanted() {
            self.tell_room();
        }
    }

    #[cold]
    fn tell_room(&self) {
        if let Some(observer) = self.observer.get() {
            observer.handle_room();
        }
    }

    /// The pool went from one table to the next.
    pub(super) fn changed(&self, before: &Table, after: &Table) {
        let Some(observer) = self.observer.get() else { return };
        tell_changes(before, after, &mut |change| observer.handle_change(&change));
        tell_panic(before, after, &mut |tier, panics| observer.handle_panic(tier, panics));
        if self.is_wanted() {
            observer.handle_room();
        }
    }
}

/// Which tiers panic in one table and not in the other.
fn tell_panic(before: &Table, after: &Table, tell: &mut dyn FnMut(u8, bool)) {
    fn panicking(table: &Table) -> impl Iterator<Item = u8> + Clone {
        table.tiers().filter(|tier| tier.is_panicking).map(|tier| tier.number)
    }
    for (table, other, panics) in [(before, after, false), (after, before, true)] {
        for tier in panicking(table).filter(|tier| !panicking(other).any(|number| number == *tier)) {
            tell(tier, panics);
        }
    }
}

/// Walks both lists in the order of ids.
fn tell_changes(before: &Table, after: &Table, tell: &mut dyn FnMut(Change)) {
    let (mut old, mut new) = (before.members().iter().peekable(), after.members().iter().peekable());
    loop {
        let (gone, come) = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(a), Some(b)) if a.id == b.id => (old.next(), new.next()),
            (Some(a), Some(b)) if a.id < b.id => (old.next(), None),
            (Some(_), None) => (old.next(), None),
            _ => (None, new.next()),
        };
        let Some(member) = come.or(gone) else { return };
        let mut say = |kind| {
            let reason = match kind {
                ChangeKind::Observed(_) => member.observation.reason.clone(),
                _ => None,
            };
            tell(Change { backend: member.id, name: Arc::clone(&member.name), kind, reason });
        };
        match (gone, come) {
            (Some(_), None) => say(ChangeKind::Removed),
            (None, Some(_)) => say(ChangeKind::Added),
            (Some(was), Some(is)) if !Arc::ptr_eq(was, is) => {
                if was.admin != is.admin {
                    say(ChangeKind::Admin(is.admin));
                }
                if was.observation.observed != is.observation.observed {
                    say(ChangeKind::Observed(is.observation.observed));
                }
                if was.weight != is.weight {
                    say(ChangeKind::Weight(is.weight));
                }
                if was.maxconn != is.maxconn {
                    say(ChangeKind::Maxconn(is.maxconn));
                }
                if was.tier != is.tier {
                    say(ChangeKind::Tier(is.tier));
                }
            }
            _ => {}
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::balance::{Backend, Lane, Options, Outcome, Pool, Request, Timings};
    use crate::time::Instant;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Seen {
        changes: Mutex<Vec<ChangeKind>>,
        rooms: Mutex<u32>,
    }

    struct Forward(Arc<Seen>);

    impl Observer for Forward {
        fn handle_room(&self) {
            *self.0.rooms.lock() += 1;
        }
        fn handle_change(&self, change: &Change) {
            self.0.changes.lock().push(change.kind);
        }
    }

    #[test]
    fn changes_are_told_one_by_one() {
        let seen = Arc::new(Seen::default());
        let pool = Pool::new(Options::default()).unwrap();
        let first = pool.add(Backend::parse("10.0.0.1:80").unwrap()).unwrap();
        assert!(pool.observe(Box::new(Forward(Arc::clone(&seen)))));
        assert!(!pool.observe(Box::new(Forward(Arc::clone(&seen)))));
        let second = pool.add(Backend::parse("10.0.0.2:80").unwrap()).unwrap();
        pool.set_admin(first, Admin::Drain).unwrap();
        pool.set_admin(first, Admin::Drain).unwrap();
        pool.update(|edit| {
            edit.remove(first)?;
            edit.set_weight(second, 7)?;
            edit.set_maxconn(second, 9)
        })
        .unwrap();
        let expected = [
            ChangeKind::Added,
            ChangeKind::Admin(Admin::Drain),
            ChangeKind::Removed,
            ChangeKind::Weight(7),
            ChangeKind::Maxconn(9),
        ];
        assert_eq!(*seen.changes.lock(), expected);
    }

    #[test]
    fn room_is_told_to_who_wants_it() {
        let seen = Arc::new(Seen::default());
        let pool = Pool::new(Options::default()).unwrap();
        let mut backend = Backend::parse("10.0.0.1:80").unwrap();
        backend.maxconn = 1;
        pool.add(backend).unwrap();
        pool.observe(Box::new(Forward(Arc::clone(&seen))));
        let done = |pick: crate::balance::Pick| {
            pool.done(Lane::Shared, pick.token, Outcome::Success, &Timings::default(), Instant::START)
                .unwrap();
        };
        done(pool.pick(&Request::default()).unwrap());
        assert_eq!(*seen.rooms.lock(), 0);
        pool.want();
        assert!(pool.is_wanted());
        done(pool.pick(&Request::default()).unwrap());
        assert_eq!(*seen.rooms.lock(), 1);
        pool.unwant();
        done(pool.pick(&Request::default()).unwrap());
        assert_eq!(*seen.rooms.lock(), 1);
    }

    #[test]
    fn panic_is_told_when_it_begins_and_when_it_ends() {
        struct Panics(Arc<Mutex<Vec<(u8, bool)>>>);
        impl Observer for Panics {
            fn handle_room(&self) {}
            fn handle_change(&self, _: &Change) {}
            fn handle_panic(&self, tier: u8, panics: bool) {
                self.0.lock().push((tier, panics));
            }
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let pool = Pool::new(Options { panic_threshold: 60, ..Options::default() }).unwrap();
        let backend = |address: &str| Backend::parse(address).unwrap();
        let first = pool.add(backend("10.0.0.1:80")).unwrap();
        pool.add(backend("10.0.0.2:80")).unwrap();
        assert!(pool.observe(Box::new(Panics(Arc::clone(&seen)))));
        pool.set_observed(first, Observed::Down).unwrap();
        pool.set_weight(first, 2).unwrap();
        assert_eq!(*seen.lock(), [(0, true)]);
        pool.set_observed(first, Observed::Up).unwrap();
        assert_eq!(*seen.lock(), [(0, true), (0, false)]);
    }

    #[test]
    fn nobody_is_taken_off_who_does_not_wait() {
        let pool = Pool::new(Options { pending_max: 1, ..Options::default() }).unwrap();
        assert!(pool.try_unwant().is_err());
        pool.try_want().unwrap();
        assert!(pool.try_want().is_err());
        pool.try_unwant().unwrap();
        assert!(pool.try_unwant().is_err());
        assert_eq!(pool.pending(), 0);
    }
}
