//! One voter and one learner: the voter is gone for good, as far as its operator knows, and the learner is promoted by force in
//! its place. What it had is what there is from then on; the voter comes back, and takes no part as soon as it hears.

use crate::peer::{Identity, NodeName, Options, Reason, Refusal, Roster, Side};
use crate::replication::{Fence, Standing, frame};

use super::checker::Action;
use super::clients::{Doing, KEYS, LIST};
use super::host::CLUSTER;
use super::links::{MS, SECOND};
use super::world::{Event, World};

/// The voter of such a world, and its learner.
const OLD: u64 = 1;
const NEW: u64 = 2;

impl World {
    /// The voter is gone, and stays away until the learner is promoted. Once in a world.
    pub(super) fn promote(&mut self) {
        let is_known = |id: u64| {
            self.hosts[&id].node.as_ref().is_some_and(|node| {
                *node.standing() == Standing::Active && node.members().learners.contains(&NEW)
            })
        };
        if self.generation > 1 || !is_known(OLD) || !is_known(NEW) {
            return;
        }
        self.known = self.hosts[&NEW].node.as_ref().map_or(0, |node| {
            // What it has in memory alone goes with its process.
            node.status().committed.min(node.engine().durable_sequence())
        });
        self.hosts.get_mut(&OLD).expect("it is there").is_held = true;
        self.hosts.get_mut(&NEW).expect("it is there").is_promoted = true;
        self.crash(OLD, MS);
        let after = MS + self.rng.below(200 * MS);
        self.kill(NEW, after);
    }

    /// The learner was opened as the primary. What it has of what was answered is where it was said to be; the rest is lost,
    /// and nobody is told so for certain.
    pub(super) fn promoted(&mut self) -> Result<(), String> {
        let node = self.hosts[&NEW].node.as_ref().expect("it was opened");
        let fork = node.members().sequence;
        // Behind what it knew to be committed it may have entries that the voter's disk never had, and takes them for so.
        let known = self.known;
        let is_there = |sequence: u64, epoch: u64| {
            let there = node.epoch_of(sequence).filter(|it| *it > 0);
            sequence < fork && there.is_none_or(|it| it == epoch)
        };
        for (sequence, epoch) in self.told.places.range(..=known) {
            if !is_there(*sequence, *epoch) {
                return Err(format!("entry {sequence} of epoch {epoch} is another one where it was copied"));
            }
        }
        let before = self.told.appended.len() + self.told.places.len();
        self.told.places.retain(|sequence, epoch| is_there(*sequence, *epoch));
        let view = node.reader().view();
        let list = view.get(LIST, view.time()).map(|it| it.value.to_vec()).unwrap_or_default();
        let list = String::from_utf8_lossy(&list).into_owned();
        let is_in_list = |token: u64| list.split(',').any(|it| it == token.to_string());
        self.told.appended.retain(|token, _| is_in_list(*token));
        self.summary.given_up += (before - self.told.appended.len() - self.told.places.len()) as u64;
        self.told.tokens.retain(|(position, _)| position.sequence <= known);
        self.told.acknowledged.clear();
        self.states.retain(|sequence, _| *sequence <= known);
        self.generation = node.members().generation;
        self.configured = 0;
        // The voter may have been elected since, in epochs that the learner has not heard of.
        self.primaries.clear();
        // What is read of a register from now on follows from what it has there.
        self.told.histories.clear();
        for key in 0..KEYS {
            let value = self.see(NEW, key, 0)?;
            if value > 0 {
                self.told.note(key, Action::Write(value), self.now, Some(self.now));
            }
        }
        for client in &mut self.clients {
            (client.token, client.early) = (None, None);
            if let Some(Doing::ReadHere { token, .. }) = &mut client.doing {
                *token = None;
            }
        }
        let old = self.hosts.get_mut(&OLD).expect("it is there");
        (old.is_held, old.durable) = (false, 0);
        old.early.clear();
        self.hosts.get_mut(&NEW).expect("it is there").early.clear();
        self.summary.promoted += 1;
        let after = self.rng.below(3 * SECOND);
        self.at(self.now + after, Event::Restart(OLD));
        Ok(())
    }

    /// Whether there is no link for a frame to go over, since one of the two refuses it, as real ones do. The other one is
    /// told why.
    pub(super) fn is_refused(&mut self, to: u64, bytes: &[u8]) -> bool {
        if !self.are_links_judged || self.generation == 1 {
            return false;
        }
        let Ok((header, _)) = frame::decode(bytes) else { return false };
        let refused = [(to, header.from), (header.from, to)]
            .into_iter()
            .find_map(|(judge, other)| Some((judge, other, self.judge(judge, other)?)));
        let Some((judge, other, refusal)) = refused else { return false };
        for after in self.links.carry(&mut self.rng, judge, other) {
            self.at(self.now + after, Event::Refused(other, refusal.encode()));
        }
        true
    }

    /// Why a node refuses the link of another one.
    fn judge(&self, judge: u64, other: u64) -> Option<Refusal> {
        let hello = self.roster(other)?.hello(&name(judge), &Options::default());
        let side = if judge < other { Side::Dialler } else { Side::Acceptor };
        self.roster(judge)?.judge(&hello, side).err()
    }

    /// What a node that runs knows of who is in the cluster.
    fn roster(&self, id: u64) -> Option<Roster> {
        let node = self.hosts.get(&id)?.node.as_ref()?;
        let address = |id: u64| Some(([127, 0, 0, id as u8], 7_400).into());
        let (cluster, boot) = (Some(CLUSTER), self.hosts[&id].boots);
        let mut roster =
            Roster::new(Identity { name: name(id), cluster, number: id, boot, address: address(id) });
        for other in self.hosts.keys().copied().filter(|it| *it != id) {
            roster.add(name(other), address(other), other).expect("it is another one");
        }
        roster.set_generation(node.durable_generation());
        roster.set_removed(node.members().removed.iter().copied());
        Some(roster)
    }

    /// A node hears why its link was refused.
    pub(super) fn refused(&mut self, id: u64, refusal: &[u8]) -> Result<(), String> {
        let refusal = Refusal::decode(refusal).map_err(|fault| fault.to_string())?;
        let now = self.now;
        let host = self.hosts.get_mut(&id).expect("it is there");
        let clock = host.now(now);
        let Some(node) = &mut host.node else { return Ok(()) };
        if let Reason::OldGeneration { cluster, generation } = refusal.reason {
            self.summary.put_out += 1;
            node.handle_put_out(cluster, generation, clock);
        }
        self.settle(id)
    }

    /// A node takes no part since it was put out. Once that is on its disk it is started again, to see whether it still knows, and
    /// then it is left.
    pub(super) fn put_out(&mut self, id: u64) {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let Some(node) = &host.node else { return };
        if !node.is_drained() {
            return;
        }
        let is_by_promotion = matches!(node.standing(), Standing::Fenced(Fence::OldGeneration { .. }));
        let is_told_first = !std::mem::replace(&mut host.knows_it_is_out, true);
        if is_told_first && is_by_promotion && node.durable_generation() > 0 && host.is_whole() {
            let after = self.rng.below(200 * MS);
            return match self.rng.below(2) {
                0 => self.crash(id, after),
                _ => self.kill(id, after),
            };
        }
        host.is_retired = true;
        self.summary.outdated += 1;
        self.summary.still_out += u64::from(!is_told_first);
        self.crash(id, 0);
    }

    /// Whether a node that was opened has not forgotten that it was put out.
    pub(super) fn check_out(&self, id: u64) -> Result<(), String> {
        let host = &self.hosts[&id];
        let standing = host.node.as_ref().map(|it| it.standing());
        match standing {
            Some(standing) if host.knows_it_is_out && !matches!(standing, Standing::Fenced(_)) => {
                Err(format!("node {id} has forgotten that it was put out: it is {standing:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a node runs that has not heard of the promotion: what it says is nobody's word.
    pub(super) fn is_outdated(&self, id: u64) -> bool {
        let node = self.hosts.get(&id).and_then(|it| it.node.as_ref());
        self.generation > 1 && node.is_some_and(|it| it.members().generation < self.generation)
    }
}

fn name(id: u64) -> NodeName {
    format!("n{id}").parse().expect("a letter and a number")
}
