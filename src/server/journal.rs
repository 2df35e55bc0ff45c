//! [`Journal`]: the last events, numbered, for those who follow them.
//!
//! A follower is a position in the journal and keeps nothing of its own. So it costs no memory how slow one is,
//! and nobody waits for it: what has left the journal before it was read is counted and told as lost.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::driver::conversation::Bell;
use crate::driver::event::Event;
use crate::error::{Error, Result};

/// The last events of one server. Any thread may add to it; the lock is held for some steps in memory.
#[derive(Default)]
pub(super) struct Journal {
    kept: Mutex<Kept>,
    /// What tells the loop of those who follow that there is more; none where a host drives them.
    bell: OnceLock<Bell>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    /// The number of the newest, from 1; 0: there was none.
    newest: u64,
    followers: usize,
    /// Events that some follower was too late for, over all followers.
    lost: u64,
}

/// One event as it was noted.
struct Entry {
    sequence: u64,
    unix_ms: u64,
    event: Event,
}

/// From where a follower reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The newest so many, as far as they are kept, and what follows.
    Recent(u64),
    /// What follows the event of this number.
    Since(u64),
}

/// What a journal came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) newest: u64,
    pub(super) followers: usize,
    pub(super) lost: u64,
}

/// Somebody who reads a journal.
pub(super) struct Follower {
    journal: Arc<Journal>,
    /// The number of the next event to read.
    next: u64,
    /// The number of the last event to read; `None`: whatever comes.
    last: Option<u64>,
}

/// How many events are kept.
pub(super) const KEPT_MAX: usize = 1024;
/// How many may follow at once.
pub(super) const FOLLOWERS_MAX: usize = 16;
/// How many events are read at once. Each is a few hundred bytes at most, but for one that lists addresses.
const READ_MAX: u64 = 64;

impl Journal {
    /// Has `bell` rung when there is more to read.
    pub(super) fn attach(&self, bell: Bell) {
        // A server starts once.
        let _ = self.bell.set(bell);
    }

    /// Notes what happened at `unix_ms`.
    pub(super) fn note(&self, event: &Event, unix_ms: u64) {
        let is_followed = {
            let mut kept = self.kept.lock();
            kept.newest += 1;
            if kept.entries.len() == KEPT_MAX {
                kept.entries.pop_front();
            }
            let entry = Entry { sequence: kept.newest, unix_ms, event: event.clone() };
            kept.entries.push_back(Arc::new(entry));
            kept.followers > 0
        };
        if is_followed && let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Reads from somewhere on, up to what there is now unless `goes_on`.
    ///
    /// Errors: `Capacity`; `State` for a number that no event has had yet.
    pub(super) fn follow(self: &Arc<Self>, from: Start, goes_on: bool) -> Result<Follower> {
        let mut kept = self.kept.lock();
        if kept.followers >= FOLLOWERS_MAX {
            return Err(Error::Capacity { what: "followers", limit: FOLLOWERS_MAX as u64 });
        }
        let newest = kept.newest;
        let next = match from {
            Start::Recent(count) => (newest - count.min(kept.entries.len() as u64)) + 1,
            Start::Since(sequence) if sequence <= newest => sequence + 1,
            Start::Since(sequence) => {
                let detail = format!(
                    "has told {newest} events, so none has the number {sequence}; it began anew since, read \
                     them all with since=0"
                );
                return Err(Error::State { what: "server", detail: detail.into() });
            }
        };
        kept.followers += 1;
        Ok(Follower { journal: Arc::clone(self), next, last: (!goes_on).then_some(newest) })
    }

    /// Has those who follow looked at, though nothing was noted here: they may follow something else.
    #[cfg(all(feature = "store", feature = "replication"))]
    pub(super) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let kept = self.kept.lock();
        Counts { newest: kept.newest, followers: kept.followers, lost: kept.lost }
    }
}

impl Follower {
    /// Appends the next events, some at most, each as a line of JSON; nothing when there is no more now.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) {
        let (lost, entries) = {
            let mut kept = self.journal.kept.lock();
            let oldest = kept.newest + 1 - kept.entries.len() as u64;
            let end = self.last.map_or(u64::MAX, |last| last + 1);
            let lost = oldest.min(end).saturating_sub(self.next);
            kept.lost += lost;
            self.next += lost;
            let until = end.min(kept.newest + 1).min(self.next + READ_MAX);
            let at = |sequence: u64| sequence.saturating_sub(oldest) as usize;
            let entries: Vec<_> = kept.entries.range(at(self.next)..at(until)).cloned().collect();
            (lost, entries)
        };
        self.next += entries.len() as u64;
        if lost > 0 {
            let line = serde_json::json!({ "event": "lost", "value": lost.to_string() });
            to.extend_from_slice(format!("{line}\n").as_bytes());
        }
        for entry in entries {
            let mut object = entry.event.to_object();
            object.insert("sequence".into(), entry.sequence.into());
            object.insert("unix_ms".into(), entry.unix_ms.into());
            to.extend_from_slice(format!("{}\n", serde_json::Value::Object(object)).as_bytes());
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.last.is_some_and(|last| self.next > last)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.journal.kept.lock().followers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::driver::event::EventKind;

    fn noted(count: u64) -> Arc<Journal> {
        let journal = Arc::new(Journal::default());
        note(&journal, count);
        journal
    }

    /// Notes as many, each with its number as the detail and the time.
    fn note(journal: &Journal, count: u64) {
        for _ in 0..count {
            let sequence = journal.counts().newest + 1;
            journal.note(&Event::of_server(EventKind::Draining, sequence.to_string()), sequence * 10);
        }
    }

    fn lines(bytes: &[u8]) -> Vec<Value> {
        std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Reads until there is no more: the numbers of the events, and how many were told as lost.
    fn read(follower: &mut Follower) -> (Vec<u64>, u64) {
        let (mut numbers, mut lost) = (Vec::new(), 0);
        loop {
            let mut bytes = Vec::new();
            follower.read(&mut bytes);
            if bytes.is_empty() {
                return (numbers, lost);
            }
            for line in lines(&bytes) {
                if line["event"] == "lost" {
                    lost += line["value"].as_str().unwrap().parse::<u64>().unwrap();
                } else {
                    let number = line["sequence"].as_u64().unwrap();
                    assert_eq!(line["detail"], number.to_string());
                    assert_eq!(line["unix_ms"], number * 10);
                    numbers.push(number);
                }
            }
        }
    }

    #[test]
    fn events_are_read_from_where_they_are_wanted() {
        let journal = noted(5);
        for (from, numbers) in [
            (Start::Recent(0), 6..6),
            (Start::Recent(2), 4..6),
            (Start::Recent(5), 1..6),
            (Start::Recent(u64::MAX), 1..6),
            (Start::Since(0), 1..6),
            (Start::Since(4), 5..6),
            (Start::Since(5), 6..6),
        ] {
            let mut once = journal.follow(from, false).unwrap();
            let mut follower = journal.follow(from, true).unwrap();
            assert_eq!(once.is_over(), numbers.is_empty(), "{from:?}");
            assert_eq!(read(&mut once), (numbers.clone().collect(), 0), "{from:?}");
            assert_eq!(read(&mut follower), (numbers.collect(), 0), "{from:?}");
            assert!(once.is_over() && !follower.is_over());
        }
        let Err(Error::State { detail, .. }) = journal.follow(Start::Since(6), true) else { panic!() };
        assert!(detail.contains("5 events") && detail.contains("number 6"), "{detail}");
        assert!(journal.follow(Start::Since(u64::MAX), true).is_err());
    }

    #[test]
    fn an_empty_journal_is_followed_from_its_first_event() {
        let journal = noted(0);
        let mut once = journal.follow(Start::Recent(9), false).unwrap();
        assert_eq!((once.is_over(), read(&mut once)), (true, (Vec::new(), 0)));
        let mut follower = journal.follow(Start::Since(0), true).unwrap();
        note(&journal, 1);
        assert_eq!(read(&mut follower), (vec![1], 0));
        assert_eq!(read(&mut follower), (vec![], 0));
    }

    #[test]
    fn what_left_before_it_was_read_is_told_as_lost() {
        let kept = KEPT_MAX as u64;
        let journal = noted(1);
        let mut slow = journal.follow(Start::Since(0), true).unwrap();
        note(&journal, kept - 1);
        let mut just = journal.follow(Start::Since(0), true).unwrap();
        assert_eq!(read(&mut just), ((1..=kept).collect(), 0));
        note(&journal, 10);
        assert_eq!(read(&mut slow), ((11..=kept + 10).collect(), 10));
        assert_eq!(read(&mut just), ((kept + 1..=kept + 10).collect(), 0));
        let mut later = journal.follow(Start::Since(3), true).unwrap();
        assert_eq!(read(&mut later), ((11..=kept + 10).collect(), 7));
        assert_eq!(journal.counts().lost, 17);
        // What was wanted up to a point and has left is over, not awaited.
        let mut once = journal.follow(Start::Recent(2), false).unwrap();
        note(&journal, 3 * kept);
        assert_eq!(read(&mut once), (Vec::new(), 2));
        assert!(once.is_over());
    }

    #[test]
    fn followers_are_counted_and_limited() {
        let journal = noted(0);
        let mut all: Vec<_> =
            (0..FOLLOWERS_MAX).map(|_| journal.follow(Start::Recent(0), true).unwrap()).collect();
        let refused = journal.follow(Start::Recent(0), true).map(drop);
        assert_eq!(refused, Err(Error::Capacity { what: "followers", limit: FOLLOWERS_MAX as u64 }));
        assert_eq!(journal.counts().followers, FOLLOWERS_MAX);
        all.pop();
        assert!(journal.follow(Start::Recent(0), true).is_ok());
        drop(all);
        assert_eq!(journal.counts().followers, 0);
    }

    #[test]
    fn threads_note_while_others_read() {
        const EACH: u64 = 5_000;
        let journal = noted(0);
        let mut follower = journal.follow(Start::Since(0), true).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        journal.note(&Event::of_server(EventKind::Started, ""), 0);
                    }
                });
            }
            let (mut next, mut bytes) = (1, Vec::new());
            while next <= 3 * EACH {
                bytes.clear();
                follower.read(&mut bytes);
                for line in lines(&bytes) {
                    match line["value"].as_str() {
                        Some(lost) => next += lost.parse::<u64>().unwrap(),
                        None => {
                            assert_eq!(line["sequence"], next);
                            next += 1;
                        }
                    }
                }
            }
        });
    }

    proptest! {
        /// Every event is read once or told as lost, in order.
        #[test]
        fn read_and_lost_make_all(steps in prop::collection::vec((0..700u64, 0..30usize), 1..30)) {
            let journal = noted(0);
            let mut follower = journal.follow(Start::Since(0), true).unwrap();
            let mut accounted = 0;
            for (count, reads) in steps {
                note(&journal, count);
                for _ in 0..reads {
                    let mut bytes = Vec::new();
                    follower.read(&mut bytes);
                    for line in lines(&bytes) {
                        match line["value"].as_str() {
                            Some(lost) => accounted += lost.parse::<u64>().unwrap(),
                            None => {
                                accounted += 1;
                                prop_assert_eq!(line["sequence"].as_u64(), Some(accounted));
                            }
                        }
                    }
                }
            }
            let (numbers, lost) = read(&mut follower);
            prop_assert_eq!(accounted + lost + numbers.len() as u64, journal.counts().newest);
        }
    }
}
