//! What a machine's disk does, and the power that fails in the midst of it.

use crate::replication::Node;
use crate::store::engine::Now;
use crate::store::log::{Disk, Scrub, check};

use super::links::{MS, SECOND};
use super::world::{Event, World};

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Flush,
    Upkeep,
    Snapshot,
    Fetch,
    Install,
    Scrub,
    /// Opening it.
    Open,
}

impl Work {
    /// Those in which the power may fail.
    pub(super) const ALL: [Work; 5] = [Work::Flush, Work::Upkeep, Work::Snapshot, Work::Install, Work::Open];

    /// How many calls to the disk one of them takes, about.
    pub(super) fn calls(self) -> u64 {
        match self {
            Work::Flush => 2,
            Work::Upkeep => 4,
            Work::Snapshot | Work::Install => 6,
            Work::Open => 12,
            Work::Fetch | Work::Scrub => 1,
        }
    }
}

/// A pass over all that lies on a node's disk.
pub(super) fn scrub_of(node: &Node, now: Now) -> Scrub {
    Scrub::new(node.engine().log(), node.engine().identity(), u64::MAX, now.instant)
}

impl World {
    pub(super) fn do_work(&mut self, id: u64, work: Work) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let now = host.now(self.now);
        if host.fails_in == Some(work) {
            host.fails_in = None;
            host.disk.crash_in(self.rng.below(work.calls()));
        }
        let (disk, node) = (&host.disk, host.node.as_mut().expect("it runs"));
        let name = |file| disk.name(file);
        match work {
            Work::Flush => {
                if let Some(flush) = host.flush.take() {
                    let result = flush.run(disk);
                    if disk.is_crashed() {
                        self.summary.crashed_flushes += 1;
                        return self.lose_power(id);
                    }
                    node.handle_flushed(flush, result, now, name);
                }
            }
            Work::Upkeep => {
                if let Some(work) = host.upkeep.take() {
                    let result = work.run(disk);
                    if disk.is_crashed() {
                        self.summary.crashed_upkeep += 1;
                        return self.lose_power(id);
                    }
                    self.summary.upkeep_failed += u64::from(result.is_err());
                    node.handle_upkeep(&work, result, now, name);
                }
            }
            Work::Snapshot => {
                if let Some(mut job) = host.snapshot.take() {
                    let result = job.step(disk);
                    if disk.is_crashed() {
                        self.summary.crashed_snapshots += 1;
                        return self.lose_power(id);
                    }
                    match result {
                        Ok(None) => host.snapshot = Some(job),
                        result => {
                            self.summary.snapshots_failed += u64::from(result.is_err());
                            let result = result.map(|written| written.expect("it is done"));
                            // It may be older than one that came from elsewhere meanwhile.
                            if node.handle_snapshot(&job, result, now).is_ok() {
                                self.summary.snapshots += 1;
                            }
                        }
                    }
                    if host.snapshot.is_some() {
                        let (boot, at) = (host.boots, self.now + MS);
                        self.at(at, Event::Disk(id, boot, Work::Snapshot));
                    }
                }
            }
            Work::Fetch => {
                if let Some(mut fetch) = host.fetch.take() {
                    let result = fetch.run(disk);
                    self.summary.fetched += 1;
                    node.handle_fetched(fetch, result, now);
                }
            }
            Work::Scrub => {
                if let Some(mut scrub) = host.scrub.take() {
                    let mut found = false;
                    while scrub.next_deadline().is_some() {
                        let at = scrub.next_deadline().unwrap_or(now.instant).max(now.instant);
                        found |= scrub.step(disk, at).is_err();
                        found |= scrub.missing(node.engine().log(), disk).is_err();
                    }
                    if found {
                        node.handle_damage(scrub.damaged_segment(), now);
                        host.rotten = Some(true);
                    } else if !node.engine().is_mending() && check(disk, None, &mut |_| {}).is_ok() {
                        // What a segment to come is labelled with is not read before the next opening.
                        self.summary.mended += u64::from(host.rotten == Some(true));
                        host.rotten = None;
                    }
                    if host.rotten.is_some() {
                        let (boot, at) = (host.boots, self.now + 100 * MS);
                        host.scrub = Some(scrub_of(node, now));
                        self.at(at, Event::Disk(id, boot, Work::Scrub));
                    }
                }
            }
            Work::Open => {}
            Work::Install => {
                if let Some(mut job) = host.install.take() {
                    let result = job.run(disk);
                    if disk.is_crashed() {
                        self.summary.crashed_installs += 1;
                        return self.lose_power(id);
                    }
                    self.summary.installs_failed += u64::from(result.is_err());
                    node.handle_install(job, result, now);
                }
            }
        }
        Ok(())
    }

    /// The power has failed while the disk was at something.
    fn lose_power(&mut self, id: u64) -> Result<(), String> {
        let after = 20 * MS + self.rng.below(SECOND);
        self.crash(id, after);
        Ok(())
    }
}
