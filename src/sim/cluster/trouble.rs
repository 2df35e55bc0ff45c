//! What goes wrong, and when it is well again.

use crate::replication::{Change, Standing};

use crate::sim::disk::Faults;

use super::host::Host;
use super::links::{MS, SECOND};
use super::work::{Work, scrub_of};
use super::world::{Event, World};

impl World {
    /// Something goes wrong, or is changed on purpose.
    pub(super) fn trouble(&mut self) -> Result<(), String> {
        let ids: Vec<u64> = self.hosts.keys().copied().collect();
        let any = ids[self.rng.below(ids.len() as u64) as usize];
        let after = 200 * MS + self.rng.below(3 * SECOND);
        if self.is_replacing() {
            return Ok(());
        }
        if self.may_replace && self.rng.below(3) == 0 {
            return self.replace();
        }
        if self.is_pair && self.rng.below(5) == 0 {
            self.promote();
            return Ok(());
        }
        match self.rng.below(28) {
            0..=2 => self.crash(any, after),
            // A process that is restarted at once.
            3 => {
                let soon = 5 * MS + self.rng.below(60 * MS);
                self.kill(any, soon);
            }
            4..=6 => {
                // Some are parted from the others.
                let side: Vec<u64> = ids.iter().copied().filter(|_| self.rng.below(2) == 0).collect();
                for a in &ids {
                    for b in ids.iter().filter(|b| side.contains(a) != side.contains(b)) {
                        self.links.cut.insert((*a, *b));
                    }
                }
                self.summary.partitions += 1;
                self.at(self.now + after, Event::Heal);
            }
            7 | 8 => {
                // One is not heard, or does not hear.
                let is_deaf = self.rng.below(2) == 0;
                for other in ids.iter().filter(|it| **it != any) {
                    self.links.cut.insert(if is_deaf { (*other, any) } else { (any, *other) });
                }
                self.summary.partitions += 1;
                self.at(self.now + after, Event::Heal);
            }
            9 => {
                self.links.loss = 50 + self.rng.below(300);
                self.links.doubled = self.rng.below(200);
                self.links.late = self.rng.below(300);
                self.at(self.now + after, Event::Heal);
            }
            10 | 11 => {
                let (until, by) = (self.now + after, 100 * MS + self.rng.below(800 * MS));
                let host = self.hosts.get_mut(&any).expect("it is there");
                (host.slow_until, host.slow_by) = (until, by);
            }
            12 => {
                let by = self.rng.below(4_000_000) as i64 - 2_000_000;
                self.hosts.get_mut(&any).expect("it is there").jump(by);
            }
            13 | 14 => self.hand_over(any)?,
            15 | 16 => self.change()?,
            17 => {
                if let Some(node) = &mut self.hosts.get_mut(&any).expect("it is there").node {
                    node.want_snapshot();
                }
                self.settle(any)?;
            }
            18 => {
                if self.copied.is_none() && self.hosts[&any].is_whole() {
                    self.hosts.get_mut(&any).expect("it is there").keep_copy();
                    self.copied = Some(any);
                }
            }
            19 => self.put_back(),
            20 => self.rot(any),
            21 => self.rot_while_down(any),
            22 | 23 => {
                // No room for more than this, for a while.
                let disk = &self.hosts[&any].disk;
                disk.set_bytes_max(Some(disk.used_bytes() + self.rng.below(60_000)));
                self.summary.full += 1;
                self.at(self.now + after, Event::Room(any));
            }
            24..=26 => {
                // The power fails in the midst of something.
                let work = Work::ALL[self.rng.below(Work::ALL.len() as u64) as usize];
                self.hosts.get_mut(&any).expect("it is there").fails_in = Some(work);
                if work == Work::Open {
                    self.kill(any, 50 * MS);
                }
            }
            _ => self.lose_directory(any),
        }
        Ok(())
    }

    /// The power of a node fails, and comes back.
    pub(super) fn crash(&mut self, id: u64, after: u64) {
        self.end(id, after, true);
    }

    /// The process of a node is killed, and started again; the machine goes on.
    pub(super) fn kill(&mut self, id: u64, after: u64) {
        self.summary.kills += u64::from(self.hosts[&id].node.is_some());
        self.end(id, after, false);
    }

    fn end(&mut self, id: u64, after: u64, is_power: bool) {
        let host = self.hosts.get_mut(&id).expect("it is there");
        if host.node.is_none() {
            return;
        }
        host.crash(&mut self.rng, is_power);
        self.summary.crashes += 1;
        self.lose_calls(id);
        if !self.hosts[&id].is_retired {
            self.at(self.now + after, Event::Restart(id));
        }
    }

    /// Whether any one node may forget what it promised: the others are all there to take it in again.
    fn may_lose_one(&self) -> bool {
        self.hosts.values().filter(|it| !it.is_retired).all(|host| {
            host.is_whole()
                && host.node.as_ref().is_some_and(|node| {
                    let members = node.members();
                    *node.standing() == Standing::Active
                        && members.voters.len() >= 3
                        && members.returning.is_empty()
                        && !members.is_joint()
                })
        })
    }

    /// A bit rots on the disk of a node that runs, which reads it again before long.
    fn rot(&mut self, id: u64) {
        let may_lose = self.may_lose_one();
        let host = self.hosts.get_mut(&id).expect("it is there");
        if !may_lose || host.flush.is_some() || host.node.is_none() || !host.rot(&self.settings) {
            return;
        }
        let now = host.now(self.now);
        host.scrub = host.node.as_ref().map(|node| scrub_of(node, now));
        let (boot, at) = (host.boots, self.now + MS + self.rng.below(SECOND));
        self.at(at, Event::Disk(id, boot, Work::Scrub));
    }

    /// A bit rots on the disk of a node that is down.
    fn rot_while_down(&mut self, id: u64) {
        let after = 20 * MS + self.rng.below(SECOND);
        if !self.may_lose_one() || self.hosts[&id].node.is_none() {
            return;
        }
        self.crash(id, after);
        self.hosts.get_mut(&id).expect("it is there").rot(&self.settings);
    }

    /// A directory is lost, and nobody says so.
    fn lose_directory(&mut self, id: u64) {
        let after = 20 * MS + self.rng.below(SECOND);
        if !self.may_lose_one() || self.hosts[&id].node.is_none() {
            return;
        }
        self.crash(id, after);
        self.hosts.get_mut(&id).expect("it is there").lose(&mut self.rng, self.settings.faults.clone());
        self.summary.lost_directories += 1;
    }

    /// A directory is put back from an old copy.
    fn put_back(&mut self) {
        let Some(id) = self.copied else { return };
        let host = self.hosts.get_mut(&id).expect("it is there");
        if host.node.is_none() || host.copy.is_none() || host.is_retired {
            return;
        }
        if !self.may_lose_one() {
            return;
        }
        let host = self.hosts.get_mut(&id).expect("it is there");
        host.crash(&mut self.rng, true);
        host.put_back(&mut self.rng, self.settings.faults.clone());
        self.summary.put_back += 1;
        self.lose_calls(id);
        let after = 100 * MS + self.rng.below(SECOND);
        self.at(self.now + after, Event::Restart(id));
    }

    fn hand_over(&mut self, to: u64) -> Result<(), String> {
        let Some(primary) = self.primary() else { return Ok(()) };
        let host = self.hosts.get_mut(&primary).expect("it is there");
        let now = host.now(self.now);
        let boot = host.boots;
        if let Ok(ticket) = host.node.as_mut().expect("a primary runs").transfer(to, now) {
            self.summary.transfers += 1;
            self.handovers.insert((primary, boot, ticket));
            // Some are called off: at once, or when the other one may have been told.
            if self.rng.below(3) == 0 {
                let at = self.now + self.rng.below(800 * MS);
                self.at(at, Event::CallOff(primary, boot));
            }
        }
        self.settle(primary)
    }

    /// A node calls its handover off, if it still has one.
    pub(super) fn call_off(&mut self, id: u64, boot: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let now = host.now(self.now);
        let Some(node) = host.node.as_mut().filter(|_| host.boots == boot) else { return Ok(()) };
        self.summary.called_off += u64::from(node.abort_transfer(now) == Ok(true));
        self.settle(id)
    }

    /// Who is in the cluster is changed.
    fn change(&mut self) -> Result<(), String> {
        let Some(primary) = self.primary().filter(|_| !self.is_pair) else { return Ok(()) };
        let (count, next) = (self.hosts.len(), self.hosts.keys().next_back().expect("there is one") + 1);
        let host = self.hosts.get_mut(&primary).expect("it is there");
        let now = host.now(self.now);
        let node = host.node.as_mut().expect("a primary runs");
        let members = node.members().clone();
        let voters: Vec<u64> = members.voters.iter().copied().filter(|it| *it != primary).collect();
        let learners: Vec<u64> = members.learners.iter().copied().collect();
        let mut added = None;
        let change = match (self.rng.below(5), learners.first(), voters.first()) {
            (0 | 1, None, _) if count < 8 => {
                added = Some(next);
                Change::AddLearner { node: next, about: next.to_string().into_bytes() }
            }
            (2 | 3, Some(new), _) if members.voters.len() < 5 => Change::Promote { node: *new },
            (4, Some(new), Some(old)) => Change::Replace { old: *old, new: *new },
            (_, _, Some(old)) if voters.len() > 3 => Change::Remove { node: *old },
            _ => return Ok(()),
        };
        let taken = node.change(&change, None, now).is_ok();
        self.summary.changes += u64::from(taken);
        if let Some(id) = added.filter(|_| taken) {
            let mut host = Host::new(id, &mut self.rng, &self.settings, false);
            host.feed_from = super::world::feed_from(&mut self.rng, id);
            self.hosts.insert(id, host);
            self.at(self.now + MS, Event::Restart(id));
        }
        self.settle(primary)
    }

    /// All is well from now on.
    pub(super) fn heal_all(&mut self) {
        self.links.heal();
        self.replacement = None;
        self.is_healed = true;
        let mut down = Vec::new();
        for host in self.hosts.values_mut() {
            host.slow_until = 0;
            host.fails_in = None;
            host.disk.abandon_crash();
            host.disk.set_bytes_max(None);
            host.disk.set_faults(Faults::default());
            if host.node.is_none() && !host.is_retired {
                down.push(host.id);
            }
        }
        for id in down {
            self.at(self.now + MS, Event::Restart(id));
        }
    }
}
