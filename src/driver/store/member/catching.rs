//! What nodes that are behind need of a disk, beside everything else: old entries read for them, and here the pieces of a
//! snapshot that comes from another node.

use super::Member;
use crate::driver::lock::MutexGuard;
use crate::driver::log::FileDisk;
use crate::driver::store::shared::{Shared, now};
use crate::replication::{Fetch, InstallJob};

enum Work {
    Fetch(Fetch),
    Install(Box<InstallJob>),
}

impl Member {
    fn take_work(&mut self) -> Option<Work> {
        let install = self.install.take().map(|job| Work::Install(Box::new(job)));
        install.or_else(|| self.fetches.pop_front().map(Work::Fetch))
    }

    /// Whether the thread has something to do.
    pub(in crate::driver::store) fn has_catching(&self) -> bool {
        self.install.is_some() || !self.fetches.is_empty()
    }
}

impl Shared {
    /// The thread that reads old entries, and writes snapshots that come from others.
    pub(in crate::driver::store) fn run_catching(&self, disk: &FileDisk) {
        let mut core = self.core.lock();
        while !core.is_over {
            let Some(work) = core.ground.member().and_then(Member::take_work) else {
                self.catching.wait(&mut core);
                continue;
            };
            match work {
                Work::Fetch(mut fetch) => {
                    let result = MutexGuard::unlocked(&mut core, || fetch.run(disk));
                    if let Some(member) = core.ground.member().filter(|it| !it.is_closed) {
                        member.node.handle_fetched(fetch, result, now());
                    }
                }
                Work::Install(mut job) => {
                    let result = MutexGuard::unlocked(&mut core, || job.run(disk));
                    if let Some(member) = core.ground.member().filter(|it| !it.is_closed) {
                        member.node.handle_install(*job, result, now());
                    }
                }
            }
            self.settle(&mut core, now());
        }
    }
}
