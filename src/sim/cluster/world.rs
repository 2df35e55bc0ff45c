//! The world: time, what is to happen next, and what must hold whatever does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use crate::replication::planted::Plant;
use crate::replication::{
    Answer, Bound, Completion, Denied, Done, Fence, Level, Node, Position, Role, Standing, Ticket,
};
use crate::rng::Rng;
use crate::store::engine::Durability;
use crate::store::index::{Command, Condition, Lifetime, Operation, RequestId, Step, Timestamp};
use crate::store::log::Disk;

use super::checker::{self, Action, Verdict};
use super::clients::{Client, Doing, KEYS, PATIENCE_MS, Told};
use super::host::{Host, Settings};
use super::links::{Links, MS, SECOND};

/// How long things go wrong.
const TROUBLED: u64 = 9 * SECOND;
/// How long clients go on when all is well.
const WELL: u64 = 2 * SECOND;
/// By when all must have come to the same.
const SETTLED: u64 = 20 * SECOND;
const CLIENTS: u64 = 5;
/// The list that is appended to.
const LIST: &[u8] = b"list";

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames sent.
    pub frames: u64,
    /// Writes answered at a quorum or more.
    pub written: u64,
    /// Of these, at all voters.
    pub written_all: u64,
    /// Of these, with less than was asked for.
    pub degraded: u64,
    /// Writes answered at `memory` or `local`.
    pub early: u64,
    /// Requests asked again that had been done before.
    pub repeated: u64,
    /// Writes of which nobody was told what came.
    pub doubtful: u64,
    /// Writes that another primary's took the place of.
    pub superseded: u64,
    /// Reads of a primary.
    pub read: u64,
    /// Reads of a replica, and how many of them had to be sent to the primary.
    pub read_here: u64,
    /// See `read_here`.
    pub sent_on: u64,
    /// Writes refused because the primary did not hold its quorum.
    pub fenced: u64,
    /// Elections won.
    pub primaries: u64,
    /// Crashes.
    pub crashes: u64,
    /// Links cut.
    pub partitions: u64,
    /// Handovers begun.
    pub transfers: u64,
    /// Handovers for a slow disk.
    pub slow: u64,
    /// Changes of the cluster begun.
    pub changes: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots taken in from another node.
    pub installed: u64,
    /// Reads of old entries from disk.
    pub fetched: u64,
    /// Directories put back from an old copy.
    pub put_back: u64,
    /// Nodes taken in again.
    pub readmitted: u64,
    /// Logs that stopped.
    pub failed: u64,
    /// Histories that could not be decided.
    pub undecided: u64,
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Summary) {
        let pairs = [
            (&mut self.frames, other.frames),
            (&mut self.written, other.written),
            (&mut self.written_all, other.written_all),
            (&mut self.degraded, other.degraded),
            (&mut self.early, other.early),
            (&mut self.repeated, other.repeated),
            (&mut self.doubtful, other.doubtful),
            (&mut self.superseded, other.superseded),
            (&mut self.read, other.read),
            (&mut self.read_here, other.read_here),
            (&mut self.sent_on, other.sent_on),
            (&mut self.fenced, other.fenced),
            (&mut self.primaries, other.primaries),
            (&mut self.crashes, other.crashes),
            (&mut self.partitions, other.partitions),
            (&mut self.transfers, other.transfers),
            (&mut self.slow, other.slow),
            (&mut self.changes, other.changes),
            (&mut self.snapshots, other.snapshots),
            (&mut self.installed, other.installed),
            (&mut self.fetched, other.fetched),
            (&mut self.put_back, other.put_back),
            (&mut self.readmitted, other.readmitted),
            (&mut self.failed, other.failed),
            (&mut self.undecided, other.undecided),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}

/// What is to happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A frame arrives.
    Frame(u64, Vec<u8>),
    /// A node's time is up.
    Timer(u64, u64),
    /// A node's disk has done something.
    Disk(u64, u64, Work),
    /// A client goes on.
    Client(u64),
    /// Something goes wrong.
    Trouble,
    /// Links are well again.
    Heal,
    /// A node starts.
    Restart(u64),
}

/// What a disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Flush,
    Upkeep,
    Snapshot,
    Fetch,
    Install,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    pub(super) hosts: BTreeMap<u64, Host>,
    pub(super) links: Links,
    settings: Settings,
    clients: Vec<Client>,
    told: Told,
    values: u64,
    calls: BTreeMap<(u64, u64, Ticket), u64>,
    /// Who was primary in which epoch.
    primaries: BTreeMap<u64, u64>,
    /// What nodes had come to at a sequence, and which was the first.
    states: BTreeMap<u64, (u128, u64)>,
    pub(super) copied: Option<u64>,
    pub(super) is_healed: bool,
    written_well: u64,
    frame: Vec<u8>,
    pub(super) summary: Summary,
}

/// Plays the world of a seed, with a bug planted or without. `Err` says what did not hold.
pub fn run(seed: u64, planted: Option<Plant>) -> Result<Summary, String> {
    let mut world = World::new(seed, planted);
    match world.play() {
        Ok(()) => Ok(world.summary),
        Err(why) => Err(format!("seed {seed}, after {} ms: {why}", world.now / MS)),
    }
}

impl World {
    fn new(seed: u64, planted: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let (voters, learners) = match seed % 8 {
            0..=2 => (3, 1),
            3 | 4 => (3, 0),
            5 | 6 => (5, 0),
            _ => (2, 1),
        };
        let mut nodes = Vec::new();
        for id in 1..=voters + learners {
            nodes.push((id, id <= voters, id.to_string().into_bytes()));
        }
        let settings = Settings::new(&mut rng, planted, nodes);
        let sync_fails = if rng.below(4) == 0 { 2 } else { 0 };
        let mut hosts = BTreeMap::new();
        for (id, ..) in &settings.nodes {
            hosts.insert(*id, Host::new(*id, &mut rng, sync_fails, true));
        }
        let mut world = Self {
            rng,
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
            hosts,
            links: Links::default(),
            settings,
            clients: (0..CLIENTS).map(Client::new).collect(),
            told: Told::default(),
            values: 0,
            calls: BTreeMap::new(),
            primaries: BTreeMap::new(),
            states: BTreeMap::new(),
            copied: None,
            is_healed: false,
            written_well: 0,
            frame: Vec::new(),
            summary: Summary::default(),
        };
        let ids: Vec<u64> = world.hosts.keys().copied().collect();
        for id in ids {
            let at = world.rng.below(20 * MS);
            world.at(at, Event::Restart(id));
        }
        for client in 0..CLIENTS {
            let at = 300 * MS + world.rng.below(100 * MS);
            world.at(at, Event::Client(client));
        }
        world.at(SECOND, Event::Trouble);
        world
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    fn play(&mut self) -> Result<(), String> {
        self.until(TROUBLED)?;
        self.heal_all();
        self.until(TROUBLED + WELL)?;
        if self.written_well == 0 {
            // An election, and a node that has to catch up, may take a while.
            self.until(TROUBLED + 3 * WELL)?;
        }
        self.clients.iter_mut().for_each(|client| client.target = 0);
        let mut at = self.now;
        while let Err(why) = self.is_settled() {
            if at > TROUBLED + SETTLED {
                let nodes = self.hosts.values().filter_map(|it| it.node.as_ref());
                let nodes: Vec<String> =
                    nodes.map(|it| format!("{it:?} {:?} {:?}", it.standing(), it.members())).collect();
                return Err(format!("all is well, and even so {why}\n{}", nodes.join("\n")));
            }
            at += 200 * MS;
            self.until(at)?;
        }
        if self.written_well == 0 {
            return Err("all is well, and nothing is written".into());
        }
        // What is under way still may have been done.
        for id in 0..CLIENTS {
            if let Some(doing) = self.clients[id as usize].doing.take() {
                self.abandon(id, &doing);
            }
        }
        self.check_end()
    }

    fn until(&mut self, end: u64) -> Result<(), String> {
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = at;
            self.step(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Frame(to, bytes) => {
                let now = self.now;
                let Some(host) = self.hosts.get_mut(&to) else { return Ok(()) };
                let clock = host.now(now);
                let Some(node) = &mut host.node else { return Ok(()) };
                if let Err(fault) = node.handle_frame(&bytes, clock) {
                    use crate::replication::Fault;
                    let is_expected = matches!(fault, Fault::Removed { .. } | Fault::Retired { .. });
                    if !is_expected {
                        let nodes = self.hosts.values().filter_map(|it| it.node.as_ref());
                        let nodes: Vec<String> =
                            nodes.map(|it| format!("{it:?} {:?}", it.standing())).collect();
                        let said = crate::replication::frame::decode(&bytes);
                        return Err(format!(
                            "node {to} refuses a frame: {fault}\n{said:?}\n{}",
                            nodes.join("\n")
                        ));
                    }
                }
                self.settle(to)
            }
            Event::Timer(id, boot) => {
                let now = self.now;
                let host = self.hosts.get_mut(&id).expect("it is there");
                if host.boots != boot || host.node.is_none() {
                    return Ok(());
                }
                host.timer = None;
                let clock = host.now(now);
                host.node.as_mut().expect("it runs").handle_timeout(clock);
                self.settle(id)
            }
            Event::Disk(id, boot, work) => {
                let host = self.hosts.get_mut(&id).expect("it is there");
                if host.boots != boot || host.node.is_none() {
                    return Ok(());
                }
                self.do_work(id, work)?;
                self.settle(id)
            }
            Event::Client(id) => self.go_on(id),
            Event::Trouble => {
                if !self.is_healed {
                    self.trouble()?;
                    let next = self.now + 50 * MS + self.rng.below(700 * MS);
                    self.at(next, Event::Trouble);
                }
                Ok(())
            }
            Event::Heal => {
                self.links.heal();
                Ok(())
            }
            Event::Restart(id) => self.restart(id),
        }
    }

    fn restart(&mut self, id: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        if host.node.is_some() || host.is_retired {
            return Ok(());
        }
        if !host.open(&self.settings, &mut self.rng, self.now)? {
            let after = self.now + 20 * MS;
            self.at(after, Event::Restart(id));
            return Ok(());
        }
        self.settle(id)
    }

    fn do_work(&mut self, id: u64, work: Work) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let now = host.now(self.now);
        let (disk, node) = (&host.disk, host.node.as_mut().expect("it runs"));
        let name = |file| disk.name(file);
        match work {
            Work::Flush => {
                if let Some(flush) = host.flush.take() {
                    let result = flush.run(disk);
                    node.handle_flushed(flush, result, now, name);
                }
            }
            Work::Upkeep => {
                if let Some(work) = host.upkeep.take() {
                    let result = work.run(disk);
                    node.handle_upkeep(&work, result, now, name);
                }
            }
            Work::Snapshot => {
                if let Some(mut job) = host.snapshot.take() {
                    match job.step(disk) {
                        Ok(None) => host.snapshot = Some(job),
                        result => {
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
            Work::Install => {
                if let Some(mut job) = host.install.take() {
                    let result = job.run(disk);
                    node.handle_install(job, result, now);
                }
            }
        }
        Ok(())
    }

    /// Takes what a node has to say, after it was told something.
    pub(super) fn settle(&mut self, id: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let now = host.now(self.now);
        let Some(node) = &mut host.node else { return Ok(()) };
        node.advance(now);
        let mut wanted = Vec::new();
        if host.flush.is_none() {
            host.flush = node.poll_flush(now);
            wanted.extend(host.flush.as_ref().map(|_| Work::Flush));
        }
        if host.upkeep.is_none() {
            host.upkeep = node.poll_upkeep();
            wanted.extend(host.upkeep.as_ref().map(|_| Work::Upkeep));
        }
        if host.snapshot.is_none() {
            host.snapshot = node.poll_snapshot(now);
            wanted.extend(host.snapshot.as_ref().map(|_| Work::Snapshot));
        }
        if host.fetch.is_none() {
            host.fetch = node.poll_fetch();
            wanted.extend(host.fetch.as_ref().map(|_| Work::Fetch));
        }
        if host.install.is_none() {
            host.install = node.poll_install();
            wanted.extend(host.install.as_ref().map(|_| Work::Install));
        }
        let boot = host.boots;
        for work in wanted {
            let at = self.now + self.hosts[&id].latency(&mut self.rng, self.now);
            self.at(at, Event::Disk(id, boot, work));
        }
        self.send(id);
        self.check(id)?;
        self.completions(id)?;
        let host = self.hosts.get_mut(&id).expect("it is there");
        let Some(node) = &mut host.node else { return Ok(()) };
        if let Some(deadline) = node.next_deadline(now) {
            let at = host.when(deadline).max(self.now + 1);
            if host.timer.is_none_or(|timer| at < timer) {
                host.timer = Some(at);
                self.at(at, Event::Timer(id, boot));
            }
        }
        Ok(())
    }

    fn send(&mut self, id: u64) {
        let mut frame = std::mem::take(&mut self.frame);
        loop {
            let host = self.hosts.get_mut(&id).expect("it is there");
            let now = host.now(self.now);
            let Some(to) = host.node.as_mut().and_then(|node| node.poll_frame(&mut frame, now)) else {
                break;
            };
            self.summary.frames += 1;
            for after in self.links.carry(&mut self.rng, id, to) {
                let at = self.now + after;
                self.at(at, Event::Frame(to, frame.clone()));
            }
        }
        self.frame = frame;
    }

    /// Who is primary, as far as one says so and holds its quorum.
    pub(super) fn primary(&self) -> Option<u64> {
        let is_primary = |host: &&Host| {
            let now = host.now(self.now).instant;
            host.node.as_ref().is_some_and(|node| node.role() == Role::Primary && node.holds_lease(now))
        };
        self.hosts.values().find(is_primary).map(|host| host.id)
    }

    /// What must hold at any moment.
    fn check(&mut self, id: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        let instant = host.now(self.now).instant;
        let node = host.node.as_mut().expect("it runs");
        while let Some(event) = node.poll_event() {
            match event {
                crate::replication::Event::Installed { .. } => self.summary.installed += 1,
                crate::replication::Event::Readmitted => self.summary.readmitted += 1,
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
            Standing::Active | Standing::Forgetful { .. } => {}
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
                self.crash(id, after);
                return Ok(());
            }
        }
        let (state, epoch) = (node.state(), node.status().epoch);
        let reached = (state.hash(), id);
        let first = self.states.entry(state.sequence()).or_insert(reached);
        if first.0 != reached.0 {
            return Err(format!("at {} node {id} has another state than node {}", state.sequence(), first.1));
        }
        let (is_primary, holds) = (node.role() == Role::Primary, node.holds_lease(instant));
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
                if other.node.as_ref().is_some_and(|node| node.holds_lease(instant)) {
                    return Err(format!("nodes {id} and {} hold a lease at the same time", other.id));
                }
            }
        }
        Ok(())
    }

    /// Takes what came of calls.
    fn completions(&mut self, id: u64) -> Result<(), String> {
        loop {
            let host = self.hosts.get_mut(&id).expect("it is there");
            let boot = host.boots;
            let Some(Completion { ticket, result }) = host.node.as_mut().and_then(Node::poll_completion)
            else {
                return Ok(());
            };
            // Changes and handovers have nobody waiting here.
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
    fn go_on(&mut self, id: u64) -> Result<(), String> {
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
        let client = &mut self.clients[id as usize];
        let doing = client.doing.clone().ok_or("an answer that nobody waited for")?;
        client.call = None;
        match (result, doing) {
            (Ok(Answer::Written(done)), doing @ (Doing::Put { .. } | Doing::Append { .. })) => {
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
                if let Some(token) = token
                    && seen < token.sequence
                {
                    return Err(format!("node {node} was asked for {}, and shows {seen}", token.sequence));
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
            (Err(why), Doing::ReadHere { .. }) => {
                self.summary.sent_on += 1;
                self.summary.superseded += u64::from(why == Denied::Superseded);
                if why == Denied::Lost {
                    return Err("what was answered at a quorum is lost".into());
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
    fn see(&self, node: u64, key: u64, least: u64) -> Result<u64, String> {
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
        if done.reached.durability == Durability::All {
            self.summary.written_all += u64::from(level == Level::All);
            let members =
                self.hosts[&node].node.as_ref().map(|it| it.members().voters.clone()).unwrap_or_default();
            for voter in members {
                let has = |it: &Node| it.engine().durable_sequence() >= sequence;
                if self.hosts.get(&voter).and_then(|it| it.node.as_ref()).is_some_and(|it| !has(it)) {
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
    fn abandon(&mut self, id: u64, doing: &Doing) {
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
            Doing::Read { .. } | Doing::ReadHere { .. } => {}
        }
    }

    /// Whether all have come to the same.
    fn is_settled(&self) -> Result<(), String> {
        let primary = self.primary().ok_or("there is no primary")?;
        let node = self.hosts[&primary].node.as_ref().expect("it runs");
        let status = node.status();
        if status.applied != status.last {
            return Err(format!("the primary {primary} has applied {} of {}", status.applied, status.last));
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
            if *other.standing() != Standing::Active {
                return Err(format!("node {id} is {:?}", other.standing()));
            }
        }
        Ok(())
    }

    /// What must hold in the end.
    fn check_end(&mut self) -> Result<(), String> {
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
