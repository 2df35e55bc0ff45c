//! [`Syncing`]: who writes and syncs. The thread that is there for it does; but a loop of Redis clients that has nothing
//! else to do, and whose clients wait for the disk in any case, does it itself, as Redis does: two threads less are woken,
//! and the next sync takes all that has come meanwhile. Only while the disk is quick: on a slow one the loop would be held up.

use std::sync::Arc;
use std::time::Duration;

use super::shared::{Core, Shared, now};
use crate::driver::lock::MutexGuard;
use crate::driver::log::FileDisk;
use crate::store::log::Flush;
use crate::time::{Clock, Instant};

/// A loop does not wait longer than this for the disk, as far as can be told from what it took of late.
const TAKES_MAX: Duration = Duration::from_millis(1);
/// Nor for more than this to be written.
const BYTES_MAX: u64 = 1 << 20;

/// Part of what the store's lock guards.
pub(super) struct Syncing {
    /// `None` once the store is closed, and where the host does it.
    disk: Option<Arc<FileDisk>>,
    /// Whoever settles next writes and syncs as well.
    is_claimed: bool,
    takes: Takes,
}

impl Syncing {
    pub(super) fn new(disk: Option<&Arc<FileDisk>>) -> Self {
        Self { disk: disk.cloned(), is_claimed: false, takes: Takes::default() }
    }

    /// Whether the thread that writes and syncs is left alone for now.
    pub(super) fn is_claimed(&self) -> bool {
        self.is_claimed
    }

    /// Lets go of the disk: the store is closed.
    pub(super) fn end(&mut self) {
        self.disk = None;
    }
}

/// How long it took of late: the longest, which fades with each that is shorter.
#[derive(Debug)]
struct Takes(Duration);

impl Default for Takes {
    /// Nothing is known of the disk: the first goes by the thread.
    fn default() -> Self {
        Self(2 * TAKES_MAX)
    }
}

impl Takes {
    fn note(&mut self, took: Duration) {
        self.0 = took.max(self.0 - self.0 / 8);
    }

    fn is_short(&self) -> bool {
        self.0 <= TAKES_MAX
    }
}

impl Shared {
    /// Whether the loop that has just submitted something, and may wait, is to write and sync as well: to be said before it
    /// settles, and [`Shared::sync_here`] comes behind.
    pub(super) fn claim_sync(&self, core: &mut Core) {
        // In a cluster others sync beside, and who asks for the newest waits for a quorum and not for this disk.
        if self.is_member() || core.syncing.disk.is_none() {
            return;
        }
        let log = core.engine().log();
        core.syncing.is_claimed =
            core.syncing.takes.is_short() && !log.is_writing() && log.pending_bytes() <= BYTES_MAX;
    }

    /// Writes and syncs, if that was claimed and is wanted; says whether it was.
    pub(super) fn sync_here(&self, core: &mut MutexGuard<'_, Core>) -> bool {
        if !std::mem::take(&mut core.syncing.is_claimed) {
            return false;
        }
        let Some(flush) = core.ground.poll_flush(now()) else { return false };
        let disk = core.syncing.disk.clone().expect("it is claimed of a disk that is there");
        self.sync_by(core, flush, &disk);
        true
    }

    /// Writes and syncs without the lock; then all are told.
    pub(super) fn sync_by(&self, core: &mut MutexGuard<'_, Core>, flush: Flush, disk: &FileDisk) {
        let (result, took) = MutexGuard::unlocked(core, || timed(|| flush.run(disk)));
        // What is long takes long on a quick disk too.
        if flush.bytes().len() as u64 <= BYTES_MAX {
            core.syncing.takes.note(took);
        }
        let now = now();
        core.ground.handle_flushed(flush, result, now, disk);
        self.settle(core, now);
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begun: Instant = Clock.now();
    let result = run();
    (result, Clock.now().duration_since(begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop has what came of its write at once where it may wait and the disk is quick; otherwise the thread syncs, and
    /// wakes it.
    #[cfg(feature = "proxy")]
    #[test]
    fn a_loop_that_may_wait_for_a_quick_disk_syncs_itself() {
        use std::sync::mpsc;

        use crate::driver::store::{Call, Finished, Lane, Options, Store};
        use crate::resp::{Durability, Keys, Submitted};
        use crate::store::index::{Command, Operation, Step, Timestamp};

        let dir = std::env::temp_dir().join(format!("trimtab-syncing-{}", std::process::id()));
        let store = Store::open(&dir, Options::default()).unwrap();
        // There is a segment from now on, and nothing to be done.
        store.put(b"key", b"1", &Call::default()).unwrap();
        let (wake, woken) = mpsc::channel();
        let mut lane = Lane::new(&store, move || wake.send(()).unwrap()).unwrap();
        let shared = store.shared().unwrap();
        let operation = Operation::Step(Step::Increment { key: b"key", by: 1 });
        let put = Command { time: Timestamp::default(), request: None, operation };
        for (may_wait, takes, is_done_at_once) in [
            (true, Duration::ZERO, true),
            (true, TAKES_MAX + Duration::from_nanos(1), false),
            (false, Duration::ZERO, false),
        ] {
            shared.core.lock().syncing.takes = Takes(takes);
            let mut waits = may_wait;
            let mut batch = lane.batch(&mut waits);
            let submitted = batch.submit(&put, Durability::Local, false, None).unwrap();
            assert!(matches!(submitted, Submitted::UnderWay(_)));
            let mut done = Vec::new();
            batch.finish(&mut done);
            assert_eq!(!done.is_empty(), is_done_at_once, "{may_wait} {takes:?}");
            assert_eq!(waits, may_wait && !is_done_at_once, "once is enough");
            if is_done_at_once {
                // What the loop has not come to is not lost when it looks for more.
                lane.take(&mut done);
            } else {
                woken.recv_timeout(Duration::from_secs(60)).expect("the thread has synced");
                lane.take(&mut done);
            }
            assert!(matches!(&done[..], [Finished::Write { completed: Ok(_), .. }]));
        }
        assert!(woken.try_recv().is_err(), "nobody is woken for what is known");
        drop(lane);
        store.close().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_disk_is_quick_when_the_longest_of_late_was_short() {
        let mut takes = Takes::default();
        assert!(!takes.is_short(), "nothing is known");
        let until_short = |takes: &mut Takes| {
            (1..).find(|_| {
                takes.note(Duration::from_micros(100));
                takes.is_short()
            })
        };
        assert_eq!(until_short(&mut takes), Some(6));
        takes.note(TAKES_MAX);
        assert!(takes.is_short(), "at the bound");
        takes.note(TAKES_MAX + Duration::from_nanos(1));
        assert!(!takes.is_short());
        // Once it was a hundred times as long.
        takes.note(100 * TAKES_MAX);
        assert_eq!(until_short(&mut takes), Some(35));
    }
}
