//! What clients ask of nodes, and whether the answers can be.

use std::time::Duration;

use crate::replication::{Answer, Bound, Completion, Denied, Done, Level, Node, Position, Ticket};
use crate::store::engine::Durability;
use crate::store::index::{Command, Condition, Lifetime, Operation, RequestId, Step, Timestamp};

use super::checker::Action;
use super::clients::{Doing, LIST, PATIENCE_MS};
use super::host::Early;
use super::links::MS;
use super::world::{Event, World};

impl World {
    /// Takes what came of calls.
    pub(super) fn completions(&mut self, id: u64) -> Result<(), String> {
        loop {
            let host = self.hosts.get_mut(&id).expect("it is there");
            let boot = host.boots;
            let Some(Completion { ticket, result }) = host.node.as_mut().and_then(Node::poll_completion)
            else {
                return Ok(());
            };
            if self.handovers.remove(&(id, boot, ticket)) {
                match result {
                    Ok(Answer::HandedOver) => self.summary.handed_over += 1,
                    Err(Denied::TimedOut) => self.summary.transfers_late += 1,
                    Err(_) => {}
                    Ok(answer) => return Err(format!("a handover was answered with {answer:?}")),
                }
                continue;
            }
            // Changes have nobody waiting here.
            let Some(client) = self.calls.remove(&(id, boot, ticket)) else { continue };
            self.answered(client, id, result)?;
        }
    }

    /// The calls at a node came to nothing: it is gone.
    pub(super) fn lose_calls(&mut self, id: u64) {
        let lost: Vec<_> =
            self.calls.range((id, 0, Ticket(0))..(id + 1, 0, Ticket(0))).map(|(k, v)| (*k, *v)).collect();
        for (key, client) in lost {
            self.calls.remove(&key);
            self.denied(client, &Denied::Unknown);
        }
    }

    /// A client takes up something, or asks again.
    pub(super) fn go_on(&mut self, id: u64) -> Result<(), String> {
        let ids: Vec<u64> = self.hosts.keys().copied().collect();
        let client = &mut self.clients[id as usize];
        // The end has come.
        if client.target == 0 {
            if let Some(doing) = client.doing.take() {
                self.abandon(id, &doing);
            }
            return Ok(());
        }
        if client.doing.is_none() {
            self.values += 1;
            client.begin(&mut self.rng, self.now, self.values, &ids);
        }
        let doing = client.doing.clone().expect("it has something to do");
        let (target, level, number, client_id) = (client.target, client.level, client.number, client.id);
        let host = self.hosts.get_mut(&target).expect("it is there");
        let now = host.now(self.now);
        let Some(node) = &mut host.node else {
            self.denied(id, &Denied::NotPrimary { primary: None });
            return Ok(());
        };
        let deadline = Some(now.instant.saturating_add(Duration::from_millis(PATIENCE_MS)));
        let request = Some(RequestId { client: [client_id as u8 + 1; 16], number });
        let submit = |node: &mut Node, step: Step<'_>| {
            let operation = Operation::Step(step);
            let command = Command { time: Timestamp::default(), request, operation };
            node.submit(&command, Some(level), deadline, now)
        };
        let ticket = match &doing {
            Doing::Put { key, value } => {
                let padding = " ".repeat((value * 37 % 700) as usize);
                let (key, value) = (format!("key-{key}"), format!("{value}{padding}"));
                let step = Step::Put {
                    key: key.as_bytes(),
                    value: value.as_bytes(),
                    condition: Condition::Always,
                    lifetime: Lifetime::Unbounded,
                    previous: false,
                };
                submit(node, step)
            }
            Doing::Fill { value } => {
                let key = format!("fill-{value}");
                let step = Step::Put {
                    key: key.as_bytes(),
                    value: &[b'f'; 3_500],
                    condition: Condition::Always,
                    lifetime: Lifetime::Until(Timestamp::from_millis(1_900_000_000_000 + value)),
                    previous: false,
                };
                submit(node, step)
            }
            Doing::Append { token } => {
                submit(node, Step::Append { key: LIST, value: format!("{token},").as_bytes() })
            }
            Doing::Read { .. } => node.read(deadline, now),
            Doing::ReadHere { age_ms, token } => {
                let bound = Bound { age: age_ms.map(Duration::from_millis), token: *token };
                let deadline = Some(now.instant.saturating_add(Duration::from_millis(100)));
                node.read_here(bound, deadline, now)
            }
        };
        match ticket {
            Ok(ticket) => {
                let boot = host.boots;
                self.clients[id as usize].call = Some((target, boot, ticket));
                self.calls.insert((target, boot, ticket), id);
                self.settle(target)
            }
            Err(why) => {
                self.summary.fenced += u64::from(why == Denied::NoQuorum);
                self.denied(id, &why);
                self.settle(target)
            }
        }
    }

    fn answered(&mut self, id: u64, node: u64, result: Result<Answer, Denied>) -> Result<(), String> {
        let result = if self.is_outdated(node) { Err(Denied::Unknown) } else { result };
        let client = &mut self.clients[id as usize];
        let doing = client.doing.clone().ok_or("an answer that nobody waited for")?;
        client.call = None;
        match (result, doing) {
            (
                Ok(Answer::Written(done)),
                doing @ (Doing::Put { .. } | Doing::Fill { .. } | Doing::Append { .. }),
            ) => {
                self.written(id, node, &doing, &done)?;
            }
            (Ok(Answer::Read(granted)), Doing::Read { key }) => {
                let (start, end) = (self.clients[id as usize].start, self.now);
                let value = self.see(node, key, granted.sequence)?;
                self.told.note(key, Action::Read(value), start, Some(end));
                self.summary.read += 1;
            }
            (Ok(Answer::Read(granted)), Doing::ReadHere { age_ms, token }) => {
                self.see(node, 0, granted.sequence)?;
                self.summary.read_here += 1;
                let seen = self.hosts[&node].node.as_ref().map_or(0, |it| it.reader().view().sequence());
                if let Some(token) = token {
                    if seen < token.sequence {
                        return Err(format!(
                            "node {node} was asked for {}, and shows {seen}",
                            token.sequence
                        ));
                    }
                    // Whoever has let go of the entry cannot tell.
                    let there = self.hosts[&node].node.as_ref().and_then(|it| it.epoch_of(token.sequence));
                    if there.is_some_and(|epoch| epoch > 0) {
                        self.told.tokens.push((token, false));
                    }
                }
                if let Some(age_ms) = age_ms {
                    let least = self.told.acknowledged_by(self.now.saturating_sub(age_ms * MS + 1));
                    if seen < least {
                        return Err(format!(
                            "node {node} shows {seen}; {age_ms} ms ago there was {least} already"
                        ));
                    }
                }
            }
            (Ok(answer), doing) => return Err(format!("{doing:?} was answered with {answer:?}")),
            (Err(why), Doing::ReadHere { token, .. }) => {
                self.summary.sent_on += 1;
                self.summary.superseded += u64::from(why == Denied::Superseded);
                if why == Denied::Lost {
                    let token = token.ok_or("nothing was asked for, and it is lost")?;
                    if self.told.places.get(&token.sequence) == Some(&token.epoch) {
                        return Err("what was answered at a quorum is lost".into());
                    }
                    self.told.tokens.push((token, true));
                    self.summary.lost += 1;
                }
            }
            (Err(why), _) => {
                self.summary.superseded += u64::from(why == Denied::Superseded);
                self.denied(id, &why);
                return Ok(());
            }
        }
        let client = &mut self.clients[id as usize];
        client.doing = None;
        let after = self.now + self.rng.below(60 * MS);
        self.at(after, Event::Client(id));
        Ok(())
    }

    /// What a node shows of a register.
    pub(super) fn see(&self, node: u64, key: u64, least: u64) -> Result<u64, String> {
        let host = &self.hosts[&node];
        let view = host.node.as_ref().ok_or("a node that is gone has answered")?.reader().view();
        if view.sequence() < least {
            return Err(format!("node {node} granted {least} and shows {}", view.sequence()));
        }
        let found = view.get(format!("key-{key}").as_bytes(), view.time());
        Ok(found.map_or(0, |it| String::from_utf8_lossy(it.value).trim().parse().expect("a number was put")))
    }

    fn written(&mut self, id: u64, node: u64, doing: &Doing, done: &Done) -> Result<(), String> {
        let client = &mut self.clients[id as usize];
        let Position { sequence, .. } = done.position;
        if done.reached.durability < Durability::Quorum {
            if !matches!(client.level, Level::Memory | Level::Local) {
                return Err(format!("{:?} was answered at {:?}", client.level, done.reached));
            }
            self.summary.early += 1;
            client.early = Some(done.position);
            let is_local = done.reached.durability == Durability::Local;
            let host = self.hosts.get_mut(&node).expect("it has answered");
            let has = host.node.as_ref().is_some_and(|it| it.engine().durable_sequence() >= sequence);
            if is_local && !has {
                return Err(format!("entry {sequence} is said to be on the disk of {node}, and is not"));
            }
            self.summary.local += u64::from(is_local);
            host.early.push(Early { position: done.position, is_local });
            let doing = doing.clone();
            self.abandon(id, &doing);
            return Ok(());
        }
        let (start, level) = (client.start, client.level);
        if let Some(outcome) = &done.outcome {
            if let Err(refusal) = &outcome.answer {
                return Err(format!("{doing:?} was refused: {refusal:?}"));
            }
            self.summary.repeated += u64::from(outcome.is_repeated);
        }
        client.token = Some(done.position);
        match doing {
            Doing::Put { key, value } => self.told.note(*key, Action::Write(*value), start, Some(self.now)),
            Doing::Append { token } => {
                self.told.appended.insert(*token, sequence);
            }
            _ => {}
        }
        self.told.acknowledge(self.now, done.position);
        self.summary.written += 1;
        self.summary.degraded += u64::from(done.reached.is_degraded);
        self.written_well += u64::from(self.is_healed);
        let on_disks = self.hosts.values().filter(|it| it.has(done.position)).count();
        let least = match level {
            Level::AtLeast(least) if !done.reached.is_degraded => least.max(done.reached.nodes),
            _ => done.reached.nodes,
        };
        if on_disks < least as usize {
            let hosts = self.hosts.values().map(|it| (it.id, it.durable, it.has(done.position)));
            return Err(format!(
                "{:?} is said to be on {least} disks ({:?}), and is on {on_disks}: {:?}",
                done.position,
                done.reached,
                hosts.collect::<Vec<_>>()
            ));
        }
        self.summary.written_many +=
            u64::from(matches!(level, Level::AtLeast(_)) && !done.reached.is_degraded);
        if done.reached.durability == Durability::All {
            self.summary.written_all += u64::from(level == Level::All);
            let members =
                self.hosts[&node].node.as_ref().map(|it| it.members().voters.clone()).unwrap_or_default();
            for voter in members {
                if self.hosts.get(&voter).is_some_and(|it| !it.has(done.position)) {
                    return Err(format!(
                        "entry {sequence} is said to be on all disks, and is not on that of {voter}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing came of a call, or nobody knows what.
    fn denied(&mut self, id: u64, why: &Denied) {
        let nodes: Vec<u64> = self.hosts.values().filter(|it| !it.is_retired).map(|it| it.id).collect();
        let client = &mut self.clients[id as usize];
        let Some(doing) = client.doing.clone() else { return };
        let is_here = matches!(doing, Doing::ReadHere { .. });
        if client.target == 0 {
            client.doing = None;
            client.is_doubtful |= matches!(why, Denied::Unknown | Denied::TimedOut);
            return self.abandon(id, &doing);
        }
        if !client.asks_again(why, &mut self.rng, &nodes) || is_here {
            client.doing = None;
            self.abandon(id, &doing);
        }
        let after = self.now + 5 * MS + self.rng.below(150 * MS);
        self.at(after, Event::Client(id));
    }

    /// A client gives something up: it may have been done, unless nobody took it.
    pub(super) fn abandon(&mut self, id: u64, doing: &Doing) {
        let client = &self.clients[id as usize];
        let is_early = matches!(client.level, Level::Memory | Level::Local);
        if !client.is_doubtful && !is_early && client.call.is_none() {
            return;
        }
        let start = client.start;
        self.summary.doubtful += u64::from(!is_early);
        match doing {
            Doing::Put { key, value } => self.told.note(*key, Action::Write(*value), start, None),
            Doing::Append { token } => self.told.attempted.push(*token),
            Doing::Fill { .. } | Doing::Read { .. } | Doing::ReadHere { .. } => {}
        }
    }
}
