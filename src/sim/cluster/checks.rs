//! What must hold: of each node all along, and of all of them in the end.

use crate::replication::{Fence, Role, Standing, Ticket};

use crate::store::index::{Command, Operation, Timestamp};

use super::checker::{self, Action, Verdict};
use super::clients::{KEYS, LIST};
use super::links::{MS, SECOND};
use super::world::World;

impl World {
    /// What must hold at any moment.
    pub(super) fn check(&mut self, id: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let now = host.now(self.now);
        let instant = now.instant;
        let node = host.node.as_mut().expect("it runs");
        while let Some(event) = node.poll_event() {
            match event {
                crate::replication::Event::Installed { .. } => {
                    self.summary.installed += 1;
                    self.summary.fed_states += u64::from(node.status().source.is_some());
                }
                crate::replication::Event::Source { node: Some(_) } => self.summary.fed += 1,
                crate::replication::Event::Source { node: None } => self.summary.fed_back += 1,
                crate::replication::Event::Readmitted => self.summary.readmitted += 1,
                crate::replication::Event::Degraded { nodes, sequence } => {
                    if nodes.is_empty() || nodes.contains(&id) || host.is_degraded {
                        return Err(format!("node {id} is degraded at {sequence} for {nodes:?}"));
                    }
                    host.is_degraded = true;
                }
                crate::replication::Event::Recovered { writes } => {
                    if writes == 0 || !std::mem::take(&mut host.is_degraded) {
                        return Err(format!("node {id} has recovered from {writes} writes"));
                    }
                    self.summary.recovered += 1;
                }
                crate::replication::Event::SlowDisk { .. } => self.summary.slow += 1,
                crate::replication::Event::Differs { node, sequence } => {
                    return Err(format!("node {node} differs at {sequence}"));
                }
                crate::replication::Event::TwoProcesses { node } => {
                    return Err(format!("two processes run as node {node}"));
                }
                _ => {}
            }
        }
        match node.standing().clone() {
            Standing::Active | Standing::Founding | Standing::Forgetful { .. } => {}
            Standing::Fenced(Fence::Removed | Fence::OldGeneration { .. })
                if self.generation > 1 && node.members().generation < self.generation =>
            {
                self.put_out(id);
                return Ok(());
            }
            Standing::Fenced(Fence::Removed) => {
                host.is_retired = true;
                self.crash(id, 0);
                return Ok(());
            }
            Standing::Fenced(fence) => return Err(format!("node {id} is fenced: {fence:?}")),
            Standing::Failed(error) => {
                if node.engine().failure().is_none() {
                    return Err(format!("node {id} has stopped: {error}"));
                }
                self.summary.failed += 1;
                let after = 100 * MS + self.rng.below(SECOND);
                // Whoever runs it starts it again, with the machine or without.
                match self.rng.below(2) {
                    0 => self.crash(id, after),
                    _ => self.kill(id, after),
                }
                return Ok(());
            }
        }
        if self.generation > 1 && node.members().generation < self.generation {
            return Ok(());
        }
        let is_whole = *node.standing() == Standing::Active;
        let durable = node.engine().durable_sequence();
        // Who has forgotten something had it: what rots or is lost after that is nobody's word.
        host.durable = if is_whole { durable } else { host.durable.max(durable) };
        let mut kept = Vec::new();
        for early in std::mem::take(&mut host.early) {
            let (position, log) = (early.position, node.engine().log().state());
            let there = node.epoch_of(position.sequence).filter(|epoch| *epoch > 0);
            if log.epoch.0 > position.epoch {
                // Another primary went on without it, or with it.
                continue;
            }
            if log.last.0 < position.sequence || there.is_some_and(|it| it != position.epoch) {
                return Err(format!("node {id} has answered {early:?}, and has {there:?} there"));
            }
            if node.state().sequence() >= position.sequence {
                // It is committed, where it was said to be.
                self.summary.early_kept += 1;
                self.told.places.insert(position.sequence, position.epoch);
            } else {
                kept.push(early);
            }
        }
        host.early = kept;
        let (state, epoch) = (node.state(), node.status().epoch);
        let reached = (state.hash(), id);
        let first = self.states.entry(state.sequence()).or_insert(reached);
        if first.0 != reached.0 {
            return Err(format!("at {} node {id} has another state than node {}", state.sequence(), first.1));
        }
        let (is_primary, holds) = (node.role() == Role::Primary, node.holds_lease(instant));
        let settings = self.settings.store.settings;
        if holds && *node.state().settings() != settings && self.configured < epoch {
            // As a member's thread does.
            let operation = Operation::Configure(settings);
            let command = Command { time: Timestamp::default(), request: None, operation };
            if node.submit(&command, None, None, now).is_ok() {
                self.configured = epoch;
            }
        }
        if is_primary {
            let first = *self.primaries.entry(epoch).or_insert_with(|| {
                self.summary.primaries += 1;
                id
            });
            if first != id {
                return Err(format!("epoch {epoch} has two primaries: {first} and {id}"));
            }
        }
        if holds {
            for other in self.hosts.values().filter(|it| it.id != id) {
                let instant = other.now(self.now).instant;
                let is_outdated = self.is_outdated(other.id);
                if !is_outdated && other.node.as_ref().is_some_and(|node| node.holds_lease(instant)) {
                    return Err(format!("nodes {id} and {} hold a lease at the same time", other.id));
                }
            }
        }
        Ok(())
    }

    /// Whether all have come to the same.
    pub(super) fn is_settled(&self) -> Result<(), String> {
        let primary = self.primary().ok_or("there is no primary")?;
        let node = self.hosts[&primary].node.as_ref().expect("it runs");
        let status = node.status();
        if status.applied != status.last {
            return Err(format!("the primary {primary} has applied {} of {}", status.applied, status.last));
        }
        if status.is_degraded {
            return Err(format!("the primary {primary} is degraded"));
        }
        if let Some(id) = self.hosts.keys().find(|id| self.is_outdated(**id)) {
            return Err(format!("node {id} has not heard of the promotion"));
        }
        if node.members().is_joint() {
            return Err("a change of the cluster does not end".into());
        }
        for id in node.members().nodes() {
            let host = &self.hosts[&id];
            let Some(other) = &host.node else { return Err(format!("node {id} does not run")) };
            let (theirs, ours) = (other.state(), node.state());
            if (theirs.sequence(), theirs.hash()) != (ours.sequence(), ours.hash()) {
                return Err(format!(
                    "node {id} is at {} and the primary at {}",
                    theirs.sequence(),
                    ours.sequence()
                ));
            }
            if !host.is_whole() {
                return Err(format!("node {id} has something damaged"));
            }
            if *other.standing() != Standing::Active {
                return Err(format!("node {id} is {:?}", other.standing()));
            }
        }
        Ok(())
    }

    /// What must hold in the end.
    pub(super) fn check_end(&mut self) -> Result<(), String> {
        let nodes = self.hosts.values().filter_map(|it| it.node.as_ref());
        self.summary.evictions = nodes.map(|it| it.engine().counts().evictions).sum();
        // Those of nodes that have gone since went with them.
        let is_open = |(id, boot, _): &&(u64, u64, Ticket)| {
            self.hosts[id].boots == *boot && self.hosts[id].node.is_some()
        };
        if let Some((id, ..)) = self.handovers.iter().find(is_open) {
            return Err(format!("a handover of node {id} does not end"));
        }
        let primary = self.primary().ok_or("there is no primary")?;
        let node = self.hosts[&primary].node.as_ref().expect("it runs");
        for (sequence, epoch) in &self.told.places {
            if let Some(there) = node.epoch_of(*sequence)
                && there != *epoch
                && there != 0
            {
                return Err(format!(
                    "entry {sequence} was answered in epoch {epoch}, and is of epoch {there}"
                ));
            }
            if node.state().sequence() < *sequence {
                return Err(format!("entry {sequence} was answered, and there is none"));
            }
        }
        for (position, is_lost) in &self.told.tokens {
            // Of what the log has let go of nobody knows.
            let Some(there) = node.epoch_of(position.sequence).filter(|epoch| *epoch > 0) else { continue };
            if (there != position.epoch) != *is_lost {
                let told = if *is_lost { "lost" } else { "seen" };
                return Err(format!(
                    "{position:?} was told to be {told}, and what is there is of epoch {there}"
                ));
            }
        }
        let view = node.reader().view();
        let list = view.get(LIST, view.time()).map(|it| it.value.to_vec()).unwrap_or_default();
        let text = String::from_utf8_lossy(&list).into_owned();
        let mut tokens: Vec<u64> = Vec::new();
        for token in text.split(',').filter(|it| !it.is_empty()) {
            tokens.push(token.parse().map_err(|_| format!("the list has {token:?}"))?);
        }
        let mut sorted = tokens.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|it| it[0] == it[1]) {
            return Err(format!("{} was appended twice", twice[0]));
        }
        for (token, sequence) in &self.told.appended {
            if sorted.binary_search(token).is_err() {
                return Err(format!("{token} was appended at {sequence}, and is not there"));
            }
        }
        for key in 0..KEYS {
            let value = self.see(primary, key, 0)?;
            self.told.note(key, Action::Read(value), self.now + 1, Some(self.now + 2));
            match checker::check(&self.told.histories[&key]) {
                Verdict::Linearizable => {}
                Verdict::Unknown => self.summary.undecided += 1,
                Verdict::Impossible => {
                    let mut history = self.told.histories[&key].clone();
                    history.sort_by_key(|it| it.start);
                    let lines: Vec<String> = history
                        .iter()
                        .map(|it| {
                            format!(
                                "{:?} {} to {:?}",
                                it.action,
                                it.start / 1_000,
                                it.end.map(|at| at / 1_000)
                            )
                        })
                        .collect();
                    return Err(format!(
                        "what was read and written of key {key} is in no order:\n{}",
                        lines.join("\n")
                    ));
                }
            }
        }
        Ok(())
    }
}
