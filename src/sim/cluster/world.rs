//! The world: time, what is to happen next, and what nodes and their disks do then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::replication::planted::Plant;
use crate::replication::{Role, Ticket};
use crate::rng::Rng;

use super::clients::{Client, Told};
use super::host::{Host, Settings};
use super::links::{Links, MS, SECOND};
use super::replacement::Replacement;
use super::summary::Summary;
use super::work::Work;

/// How long things go wrong.
const TROUBLED: u64 = 9 * SECOND;
/// How long clients go on when all is well.
const WELL: u64 = 2 * SECOND;
/// By when all must have come to the same.
const SETTLED: u64 = 60 * SECOND;
const CLIENTS: u64 = 5;

/// What is to happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A frame arrives.
    Frame(u64, Vec<u8>),
    /// A node hears that its link to another one was refused.
    Refused(u64, Vec<u8>),
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
    /// A disk has room again.
    Room(u64),
    /// A node starts.
    Restart(u64),
    /// A node calls its handover off.
    CallOff(u64, u64),
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    pub(super) hosts: BTreeMap<u64, Host>,
    pub(super) links: Links,
    pub(super) settings: Settings,
    pub(super) clients: Vec<Client>,
    pub(super) told: Told,
    pub(super) values: u64,
    pub(super) calls: BTreeMap<(u64, u64, Ticket), u64>,
    /// Handovers that are not over: of which node, in which opening.
    pub(super) handovers: BTreeSet<(u64, u64, Ticket)>,
    /// Who was primary in which epoch.
    pub(super) primaries: BTreeMap<u64, u64>,
    /// What nodes had come to at a sequence, and which was the first.
    pub(super) states: BTreeMap<u64, (u128, u64)>,
    pub(super) copied: Option<u64>,
    /// The epoch in which the settings were last asked to be in force.
    pub(super) configured: u64,
    pub(super) is_healed: bool,
    pub(super) written_well: u64,
    /// There are one voter and one learner.
    pub(super) is_pair: bool,
    /// Nodes have to agree to a link, as in production, before a frame goes over it.
    pub(super) are_links_judged: bool,
    /// Counts promotions by force, from 1 on.
    pub(super) generation: u64,
    /// Up to where the learner that is promoted knew entries to be committed.
    pub(super) known: u64,
    /// A voter is to be replaced while another one is behind.
    pub(super) may_replace: bool,
    pub(super) replacement: Option<Replacement>,
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

/// By whom a node is fed that has no vote: in one world of four by the primary, otherwise by some of those before it.
pub(super) fn feed_from(rng: &mut Rng, id: u64) -> Vec<u64> {
    if rng.below(4) == 0 {
        return Vec::new();
    }
    let mut others: Vec<u64> = (1..id).rev().filter(|_| rng.below(2) == 0).collect();
    // The next one too, so that some would go in a circle.
    if rng.below(4) == 0 {
        others.insert(0, id + 1);
    }
    others
}

impl World {
    fn new(seed: u64, planted: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let (voters, learners) = match seed % 8 {
            0 => (3, 1),
            // One is fed by another one, or by a voter.
            1 | 2 => (3, 2),
            3 => (3, 0),
            // The learner is promoted by hand.
            4 => (1, 1),
            5 => (5, 0),
            6 => (5, 1),
            _ => (2, 1),
        };
        let mut nodes = Vec::new();
        for id in 1..=voters + learners {
            nodes.push((id, id <= voters, id.to_string().into_bytes()));
        }
        let settings = Settings::new(&mut rng, planted, nodes);
        let mut hosts = BTreeMap::new();
        for (id, is_voter, _) in &settings.nodes {
            let mut host = Host::new(*id, &mut rng, &settings, true);
            if !is_voter {
                host.feed_from = feed_from(&mut rng, *id);
            }
            hosts.insert(*id, host);
        }
        let mut world = Self {
            rng,
            now: 0,
            events: BinaryHeap::new(),
            count: 0,
            hosts,
            links: Links::default(),
            settings,
            clients: (0..CLIENTS).map(|id| Client::new(id, voters + learners)).collect(),
            told: Told::default(),
            values: 0,
            calls: BTreeMap::new(),
            handovers: BTreeSet::new(),
            primaries: BTreeMap::new(),
            states: BTreeMap::new(),
            copied: None,
            configured: 0,
            is_healed: false,
            written_well: 0,
            is_pair: (voters, learners) == (1, 1),
            // Half of them hear of each other by frames, as where a link was up all along.
            are_links_judged: (voters, learners) == (1, 1) && (seed / 8).is_multiple_of(2),
            generation: 1,
            known: 0,
            may_replace: (voters, learners) == (3, 1),
            replacement: None,
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
            let nodes = self.hosts.values().filter_map(|it| it.node.as_ref());
            let nodes: Vec<String> =
                nodes.map(|it| format!("{it:?} {:?} {:?}", it.standing(), it.engine().problem())).collect();
            return Err(format!("all is well, and nothing is written\n{}", nodes.join("\n")));
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
                if self.is_refused(to, &bytes) {
                    return Ok(());
                }
                let now = self.now;
                let Some(host) = self.hosts.get_mut(&to) else { return Ok(()) };
                let clock = host.now(now);
                let Some(node) = &mut host.node else { return Ok(()) };
                if let Err(fault) = node.handle_frame(&bytes, clock) {
                    use crate::replication::Fault;
                    let is_expected = match fault {
                        Fault::Removed { .. } | Fault::Retired { .. } => true,
                        Fault::OldGeneration { .. } | Fault::NewGeneration { .. } => self.generation > 1,
                        _ => false,
                    };
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
            Event::Refused(id, bytes) => self.refused(id, &bytes),
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
                if !self.is_replacing() {
                    self.links.heal();
                }
                Ok(())
            }
            Event::Room(id) => {
                self.hosts.get_mut(&id).expect("it is there").disk.set_bytes_max(None);
                Ok(())
            }
            Event::Restart(id) => self.restart(id),
            Event::CallOff(id, boot) => self.call_off(id, boot),
        }
    }

    fn restart(&mut self, id: u64) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).expect("it is there");
        if host.node.is_some() || host.is_retired || host.is_held {
            return Ok(());
        }
        if host.fails_in == Some(Work::Open) {
            host.fails_in = None;
            host.disk.crash_in(self.rng.below(Work::Open.calls()));
        }
        let mut opened = host.open(&self.settings, &mut self.rng, self.now)?;
        if host.disk.is_crashed() {
            // What was open by then is gone with it.
            host.crash(&mut self.rng, true);
            self.summary.crashed_openings += 1;
            opened = false;
        }
        self.summary.cut += std::mem::take(&mut host.cuts);
        self.summary.refused += std::mem::take(&mut host.refused);
        self.summary.covered += std::mem::take(&mut host.covered);
        if !opened {
            let after = self.now + 20 * MS;
            self.at(after, Event::Restart(id));
            return Ok(());
        }
        if std::mem::take(&mut self.hosts.get_mut(&id).expect("it is there").is_promoted) {
            self.promoted()?;
        }
        self.check_out(id)?;
        self.settle(id)
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
        self.see_replaced(id);
        self.send(id);
        self.check(id)?;
        if self.see_answered(id) {
            return Ok(());
        }
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
        self.hosts.values().filter(|it| !self.is_outdated(it.id)).find(is_primary).map(|host| host.id)
    }
}
