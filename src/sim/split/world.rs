//! The world: time, connections, what goes wrong, the checks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Client, Habit};
use super::nodes::{Log, Node, wall};
use crate::balance::Address;
use crate::resp::Position;
use crate::rng::Rng;
use crate::split::planted::Plant;
use crate::split::{Action, ClientId, Counters, LinkId, NodeView, Options, Reads, Split, Topology};
use crate::time::Instant;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Answers that clients were given.
    pub answered: u64,
    /// Errors among them.
    pub errors: u64,
    /// Writes of which a client was told that it is not known.
    pub in_doubt: u64,
    /// Transactions done.
    pub transactions: u64,
    /// Watched transactions that came to nothing.
    pub aborted: u64,
    /// Watched transactions done.
    pub watched: u64,
    /// Changes of the primary.
    pub epochs: u64,
    /// Clients cut in the middle of an answer.
    pub cut: u64,
    /// Nodes that died.
    pub deaths: u64,
    /// Closed connections of which something came to a node long after.
    pub late: u64,
    /// What the listener counted.
    pub counters: Counters,
}

/// A connection between the listener and a node.
struct Wire {
    node: usize,
    /// Told to the listener.
    is_up: bool,
    stands_at: Instant,
    /// The first bytes that were sent: they say what it is for.
    begun: Vec<u8>,
    to_node: Vec<u8>,
    to_split: Vec<u8>,
    /// The node has ended it.
    is_over: bool,
    /// The epoch that the listener knew of when it was made.
    epoch: u64,
}

/// What the network still has of a connection that the listener has closed.
struct Late {
    link: LinkId,
    node: usize,
    bytes: Vec<u8>,
    /// Of which epoch the node was primary when the connection was closed.
    reign: Option<u64>,
    at: Instant,
}

impl Wire {
    fn say(&mut self, bytes: &[u8]) {
        let more = KIND.len().saturating_sub(self.begun.len()).min(bytes.len());
        self.begun.extend_from_slice(&bytes[..more]);
        self.to_node.extend_from_slice(bytes);
    }

    /// Whether it is for what only a primary may be asked; false as well while that cannot be told.
    fn is_for_primary(&self) -> bool {
        self.begun.len() == KIND.len() && (self.begun == KIND || !self.begun.starts_with(BOUND))
    }
}

/// How a connection for reads begins.
const BOUND: &[u8] = b"*3\r\n$7\r\nTRIMTAB\r\n$5\r\nBOUND\r\n";
/// How one begins whose reads are to see everything.
const KIND: &[u8] = b"*3\r\n$7\r\nTRIMTAB\r\n$5\r\nBOUND\r\n$1\r\n0";

struct World {
    now: Instant,
    rng: Rng,
    split: Split,
    clients: Vec<Client>,
    /// Those that were cut.
    retired: Vec<Client>,
    nodes: Vec<Node>,
    log: Log,
    epoch: u64,
    primary: Option<usize>,
    wires: BTreeMap<LinkId, Wire>,
    late: Vec<Late>,
    /// The epoch of the last news that the listener has heard.
    heard: u64,
    /// Whom the listener takes for the primary, since when.
    believed: (Option<u64>, Instant),
    /// How long it keeps connections to a primary of before.
    drain: Duration,
    /// What the listener will be told of the nodes, and when.
    news: Vec<(Instant, Topology)>,
    elects_at: Option<Instant>,
    summary: Summary,
    is_calm: bool,
    /// A node takes no writes yet when others know that it is primary.
    hears_late: bool,
    /// Nodes hear nothing of listeners now and then.
    loses_packets: bool,
    /// Connections that break, in 700 steps.
    breaks: u64,
}

/// Steps of a run, of about a millisecond each.
const STEPS: u64 = 1_000;
/// Time within which everything is answered when all is well.
const HEALED: Duration = Duration::from_secs(12);

/// Plays the world of a seed, with a bug planted or without.
///
/// # Errors
///
/// What does not hold, and at which step.
pub fn run(seed: u64, planted: Option<Plant>) -> Result<Summary, String> {
    let mut world = World::new(seed, planted);
    for step in 0..STEPS {
        world.step().map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
    }
    world.heal().map_err(|what| format!("seed {seed}, at the end: {what}"))
}

impl World {
    fn new(seed: u64, planted: Option<Plant>) -> Self {
        let mut rng = Rng::new(seed);
        let reads = match rng.below(4) {
            0 => Reads::Replicas,
            1 if rng.below(4) == 0 => Reads::Primary,
            _ => Reads::Any,
        };
        let options = Options {
            reads,
            max_age: Duration::from_millis(20 + rng.below(400)),
            catch_up: Duration::from_millis(rng.below(60)),
            hold: Duration::from_millis(200 + rng.below(2_000)),
            queue_max: 1 + rng.below(20) as usize,
            answer: Duration::from_millis(100 + rng.below(300)),
            primary_answer: Duration::from_millis(500 + rng.below(1_000)),
            drain: Duration::from_millis(rng.below(300)),
            connect: Duration::from_millis(100),
            pending_max: 1 + rng.below(16) as usize,
            // Short ones have answers told in part, which cannot be asked for anew.
            whole_max: if rng.below(4) == 0 { rng.below(20) as usize } else { 4_096 },
            heavy_max: 1 + rng.below(3) as usize,
            link_output_max: 100 + rng.below(2_000) as usize,
            planted,
            ..Options::default()
        };
        let drain = options.drain;
        let split = Split::new(options, wall(Instant::START), Rng::new(rng.next_u64()));
        let breaks = if rng.below(8) == 0 { 80 } else { 6 };
        let is_shared_out = rng.below(8) == 0;
        let habit = |number| match number {
            _ if !is_shared_out => Habit::All,
            0 => Habit::Adds,
            _ => Habit::Asks,
        };
        let nodes = (0..2 + rng.below(3)).map(|_| Node::new(&mut rng, planted)).collect();
        let clients = (0..3 + rng.below(8)).map(|number| Client::new(number, habit(number))).collect();
        let mut world = Self {
            now: Instant::from_millis(1),
            rng,
            split,
            clients,
            retired: Vec::new(),
            nodes,
            log: Log::default(),
            epoch: 0,
            primary: None,
            wires: BTreeMap::new(),
            late: Vec::new(),
            heard: 0,
            believed: (None, Instant::START),
            drain,
            news: Vec::new(),
            elects_at: None,
            summary: Summary::default(),
            is_calm: false,
            hears_late: seed % 2 == 1,
            loses_packets: seed % 4 == 2,
            breaks,
        };
        world.elect(false);
        for at in 0..world.clients.len() {
            let id = world.split.open_client("sim:2", "sim:3", wall(world.now));
            world.clients[at].id = Some(id);
        }
        world
    }

    fn millis(&mut self, bound: u64) -> Instant {
        let more = Duration::from_micros(self.rng.below(bound * 1_000));
        self.now.saturating_add(more)
    }

    /// Another node, or the same, becomes primary. The one before knows, or does not.
    fn elect(&mut self, is_orderly: bool) {
        let able: Vec<usize> = (0..self.nodes.len())
            .filter(|at| {
                let node = &self.nodes[*at];
                node.is_up && !node.is_frozen && !node.is_cut
            })
            .collect();
        if able.is_empty() {
            return;
        }
        let chosen = able[self.rng.below(able.len() as u64) as usize];
        let before = self.primary;
        self.epoch += 1;
        self.summary.epochs += 1;
        if let Some(before) = before.filter(|before| self.nodes[*before].is_up) {
            // Some of what was under way is committed all the same, in the order in which it was taken.
            if !is_orderly || self.rng.below(2) == 0 {
                let kept = self.rng.below(self.nodes[before].proposed.len() as u64 + 1);
                for _ in 0..kept {
                    if let Some(proposed) = self.nodes[before].proposed.pop_front() {
                        self.log.entries.push((self.epoch - 1, proposed.bytes));
                    }
                }
                // Nobody is told of those.
                let lost = self.nodes[before].connections.keys().copied().collect::<Vec<_>>();
                if kept > 0 {
                    lost.into_iter().for_each(|link| self.break_wire(link));
                }
            }
            if is_orderly {
                let (log, epoch, now) = (&self.log, self.epoch, self.now);
                self.nodes[before].abdicate(log, epoch, now);
            }
        }
        // What it took when it was primary before comes to nothing, and nobody is told.
        let lost: Vec<LinkId> = self.nodes[chosen].proposed.drain(..).map(|proposed| proposed.link).collect();
        lost.into_iter().for_each(|link| self.break_wire(link));
        let end = self.log.entries.len() as u64;
        let takes_from = if self.hears_late { self.millis(40) } else { self.now };
        let node = &mut self.nodes[chosen];
        node.apply(&self.log, end);
        node.reign = Some(self.epoch);
        node.takes_from = takes_from;
        self.primary = Some(chosen);
        self.elects_at = None;
        self.tell();
    }

    /// Has the listener told of how things are, some time later.
    fn tell(&mut self) {
        let delay = if self.is_calm { 2 } else { 40 };
        let at = self.millis(delay);
        let nodes = (0..self.nodes.len()).map(|at| NodeView {
            id: at as u64 + 1,
            name: Arc::from(format!("n{at}")),
            address: Some(Address::Inet(([127, 0, 0, 1], at as u16 + 1).into())),
            is_own: at == 0,
            is_out: false,
        });
        let primary = self.primary.map(|at| at as u64 + 1);
        self.news.push((at, Topology { epoch: self.epoch, primary, nodes: nodes.collect(), fenced: None }));
    }

    fn break_wire(&mut self, link: LinkId) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        wire.is_over = true;
        let node = wire.node;
        // What is on its way may be lost, or a part of it.
        let left = self.rng.below(wire.to_split.len() as u64 + 1) as usize;
        wire.to_split.truncate(left);
        self.nodes[node].disconnect(link);
    }

    fn trouble(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        match self.rng.below(700) {
            0..2 if self.nodes.iter().filter(|node| node.is_up).count() > 1 && self.nodes[at].is_up => {
                self.summary.deaths += 1;
                if self.primary == Some(at) {
                    // Others may have what it was about to answer.
                    let kept = self.rng.below(self.nodes[at].proposed.len() as u64 + 1);
                    for _ in 0..kept {
                        if let Some(proposed) = self.nodes[at].proposed.pop_front() {
                            self.log.entries.push((self.epoch, proposed.bytes));
                        }
                    }
                    self.elects_at = Some(self.millis(150));
                    self.primary = None;
                }
                for link in self.nodes[at].die() {
                    self.break_wire(link);
                }
            }
            2..8 if !self.nodes[at].is_up => {
                let had = self.log.entries.len() as u64;
                let sequence = self.rng.below(had + 1);
                self.nodes[at].restart(&self.log, sequence);
            }
            8..10 => {
                let node = &mut self.nodes[at];
                node.is_frozen = node.is_up && !node.is_frozen;
                if self.primary == Some(at) && self.nodes[at].is_frozen {
                    self.elects_at = Some(self.millis(200));
                }
            }
            10..12 => {
                let node = &mut self.nodes[at];
                node.is_cut = !node.is_cut;
                if self.primary == Some(at) && self.nodes[at].is_cut {
                    self.elects_at = Some(self.millis(200));
                }
            }
            12..16 if self.primary.is_some_and(|at| !self.nodes[at].is_cut && !self.nodes[at].is_frozen) => {
                self.elect(true);
            }
            at if (16..16 + self.breaks).contains(&at) => {
                let links: Vec<LinkId> = self.wires.keys().copied().collect();
                if !links.is_empty() {
                    let link = links[self.rng.below(links.len() as u64) as usize];
                    self.break_wire(link);
                }
            }
            at if at == 16 + self.breaks => {
                // A topology that is late, and one that says that nobody knows.
                let nodes = self.news.last().map(|news| news.1.nodes.clone());
                if let Some(nodes) = nodes {
                    let at = self.millis(20);
                    self.news.push((at, Topology { epoch: self.epoch, primary: None, nodes, fenced: None }));
                    self.tell();
                }
            }
            690..696 if self.loses_packets => self.nodes[at].hears_from = self.millis(800),
            _ => {}
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now = self.millis(2).max(self.now.saturating_add(Duration::from_micros(1)));
        if !self.is_calm {
            self.trouble();
        }
        if self.elects_at.is_some_and(|at| at <= self.now) {
            self.elect(false);
        }
        // One that was frozen or cut hears that another one is primary.
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let is_deposed = node.reign.is_some_and(|reign| reign < self.epoch);
            if is_deposed && node.is_up && !node.is_frozen && !node.is_cut {
                let (log, epoch, now) = (&self.log, self.epoch, self.now);
                self.nodes[at].abdicate(log, epoch, now);
            }
        }
        self.news.sort_by_key(|news| news.0);
        while self.news.first().is_some_and(|news| news.0 <= self.now) {
            let (_, topology) = self.news.remove(0);
            self.split.handle_topology(&topology, self.now);
            self.heard = self.heard.max(topology.epoch);
            let primary = self.split.nodes().find(|node| node.is_primary).map(|node| node.id);
            if primary != self.believed.0 {
                self.believed = (primary, self.now);
            }
            self.act()?;
        }
        self.run_nodes();
        self.run_wires()?;
        self.run_late();
        if self.split.next_deadline().is_some_and(|at| at <= self.now) {
            self.split.handle_timeout(self.now);
            self.act()?;
        }
        self.run_clients()?;
        self.check_wires()?;
        // What the other side did not take at once it takes later.
        self.act()
    }

    /// Connections to a primary of before are gone when their time is over.
    fn check_wires(&self) -> Result<(), String> {
        let (Some(primary), since) = self.believed else { return Ok(()) };
        if since.saturating_add(self.drain) >= self.now {
            return Ok(());
        }
        let kept = self.wires.values().find(|wire| wire.node as u64 + 1 != primary && wire.is_for_primary());
        match kept {
            Some(wire) => {
                Err(format!("a connection to n{} is kept, and n{} is primary", wire.node, primary - 1))
            }
            None => Ok(()),
        }
    }

    fn run_nodes(&mut self) {
        let due = self.millis(10);
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            let pace = match node.lag {
                _ if self.is_calm => 1_000,
                0 => self.rng.below(node.pace),
                lag if self.rng.below(lag) == 0 => 1_000,
                _ => 0,
            };
            node.follow(&self.log, pace, self.now);
            node.commit(&mut self.log, self.epoch, self.now, due);
            node.deliver();
        }
    }

    fn run_wires(&mut self) -> Result<(), String> {
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        for link in links {
            let due = self.millis(10);
            let Some(wire) = self.wires.get_mut(&link) else { continue };
            let node = &mut self.nodes[wire.node];
            let is_heard = !node.is_frozen && node.hears_from <= self.now;
            if !wire.is_up && !wire.is_over && wire.stands_at <= self.now && is_heard {
                if !node.is_up {
                    wire.is_over = true;
                } else {
                    wire.is_up = true;
                    node.connect(link, self.now);
                    self.split.handle_link_up(link, self.now);
                    self.act()?;
                }
            }
            let Some(wire) = self.wires.get_mut(&link) else { continue };
            let node = &mut self.nodes[wire.node];
            if wire.is_up && !wire.is_over && node.is_up && is_heard {
                let len = match self.rng.below(4) {
                    0 => self.rng.below(wire.to_node.len() as u64 + 1) as usize,
                    _ => wire.to_node.len(),
                };
                let bytes: Vec<u8> = wire.to_node.drain(..len).collect();
                match node.talk(link, &bytes, &self.log, self.epoch, self.now, due) {
                    Some(said) => wire.to_split.extend_from_slice(&said),
                    None => wire.is_over = true,
                }
            }
            if !wire.to_split.is_empty() {
                let len = match self.rng.below(4) {
                    0 => self.rng.below(wire.to_split.len() as u64 + 1) as usize,
                    _ => wire.to_split.len(),
                };
                let bytes: Vec<u8> = wire.to_split.drain(..len).collect();
                self.split.handle_link_bytes(link, &bytes, self.now);
                self.act()?;
            }
            if self.wires.get(&link).is_some_and(|wire| wire.is_over && wire.to_split.is_empty()) {
                self.wires.remove(&link);
                self.split.handle_link_down(link, self.now);
                self.act()?;
            }
        }
        Ok(())
    }

    /// What the network has kept comes, and behind it that the connection is closed. What comes to the primary that it was closed to is
    /// gone: what is sent to that one anew is on its way for as long.
    fn run_late(&mut self) {
        for Late { link, node, bytes, reign, at } in std::mem::take(&mut self.late) {
            let due = self.millis(10);
            let to = &mut self.nodes[node];
            if at > self.now || to.is_frozen {
                self.late.push(Late { link, node, bytes, reign, at });
                continue;
            }
            if !bytes.is_empty()
                && to.connections.contains_key(&link)
                && (to.reign.is_none() || to.reign != reign)
            {
                self.summary.late += 1;
                to.talk(link, &bytes, &self.log, self.epoch, self.now, due);
            }
            to.disconnect(link);
        }
    }

    fn run_clients(&mut self) -> Result<(), String> {
        for at in 0..self.clients.len() {
            let Some(id) = self.clients[at].id else { continue };
            if self.clients[at].is_quiet() {
                if self.is_calm || self.rng.below(3) > 0 {
                    continue;
                }
                self.clients[at].think(&mut self.rng, self.now);
            }
            if self.split.wants_client_bytes(id) {
                let bytes = self.clients[at].send(&mut self.rng);
                if !bytes.is_empty() {
                    self.split.handle_client_bytes(id, &bytes, self.now);
                    self.act()?;
                }
            }
        }
        Ok(())
    }

    /// Does what the listener says.
    fn act(&mut self) -> Result<(), String> {
        self.split.finish();
        while let Some(action) = self.split.poll_action() {
            match action {
                Action::Connect { link, address: Address::Inet(address) } => {
                    let stands_at = self.millis(5);
                    let node = usize::from(address.port()) - 1;
                    let wire = Wire {
                        node,
                        is_up: false,
                        stands_at,
                        begun: Vec::new(),
                        to_node: Vec::new(),
                        to_split: Vec::new(),
                        is_over: false,
                        epoch: self.heard,
                    };
                    self.wires.insert(link, wire);
                }
                Action::Connect { .. } => return Err("an address that nobody has".into()),
                Action::CloseLink(link) | Action::ResetLink(link) => {
                    if let Some(wire) = self.wires.remove(&link) {
                        let is_of_before =
                            self.believed.0 != Some(wire.node as u64 + 1) || wire.epoch < self.heard;
                        let node = &self.nodes[wire.node];
                        if is_of_before && node.is_up && wire.is_up && self.rng.below(2) == 0 {
                            let reign = node.reign;
                            let (node, bytes, at) = (wire.node, wire.to_node, self.millis(400));
                            self.late.push(Late { link, node, bytes, reign, at });
                            continue;
                        }
                        let node = &mut self.nodes[wire.node];
                        // What had left comes to the node all the same.
                        if node.is_up
                            && !node.is_frozen
                            && node.hears_from <= self.now
                            && wire.is_up
                            && self.rng.below(2) == 0
                        {
                            node.talk(link, &wire.to_node, &self.log, self.epoch, self.now, self.now);
                        }
                        node.disconnect(link);
                    }
                }
                Action::SendLink(link) => {
                    let len = match self.rng.below(3) {
                        0 => self.rng.below(self.split.link_output(link).len() as u64 + 1) as usize,
                        _ => self.split.link_output(link).len(),
                    };
                    let Some(wire) = self.wires.get_mut(&link) else { continue };
                    if !wire.is_up {
                        continue;
                    }
                    wire.say(&self.split.link_output(link)[..len]);
                    self.split.consume_link_output(link, len, self.now);
                }
                Action::SendClient(id) => {
                    let Some(client) = self.clients.iter_mut().find(|client| client.id == Some(id)) else {
                        continue;
                    };
                    let output = self.split.client_output(id).to_vec();
                    let len = match self.rng.below(4) {
                        0 if !self.is_calm => self.rng.below(output.len() as u64 + 1) as usize,
                        _ => output.len(),
                    };
                    client.hear(&output[..len], self.now)?;
                    self.split.consume_client_output(id, len, self.now);
                }
                Action::CutClient(id) => self.replace(id)?,
            }
            self.split.finish();
        }
        // What did not go at once goes later.
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        for link in links {
            let Some(wire) = self.wires.get_mut(&link) else { continue };
            let output = self.split.link_output(link);
            if wire.is_up && !output.is_empty() && self.rng.below(3) == 0 {
                wire.say(output);
                let len = output.len();
                self.split.consume_link_output(link, len, self.now);
            }
        }
        for at in 0..self.clients.len() {
            let Some(id) = self.clients[at].id else { continue };
            let output = self.split.client_output(id).to_vec();
            if !output.is_empty() && self.rng.below(3) == 0 {
                self.clients[at].hear(&output, self.now)?;
                self.split.consume_client_output(id, output.len(), self.now);
            }
        }
        Ok(())
    }

    /// A client was cut: another one comes in its place.
    fn replace(&mut self, id: ClientId) -> Result<(), String> {
        if self.split.counters().slow > 0 {
            return Err(format!("client {id:?} was cut for not reading"));
        }
        self.split.close_client(id, self.now);
        let number = self.clients.len() + self.retired.len();
        let Some(client) = self.clients.iter_mut().find(|client| client.id == Some(id)) else {
            return Ok(());
        };
        let habit = client.habit;
        let mut old = std::mem::replace(client, Client::new(number as u64, habit));
        client.id = Some(self.split.open_client("sim:2", "sim:3", wall(self.now)));
        old.leave();
        self.summary.cut += 1;
        self.retired.push(old);
        Ok(())
    }

    /// All is well again: everything is answered, and the log has what it should.
    fn heal(mut self) -> Result<Summary, String> {
        self.is_calm = true;
        self.hears_late = false;
        // What was late is overtaken.
        self.news.clear();
        let end = self.log.entries.len() as u64;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            (node.is_frozen, node.is_cut, node.hears_from) = (false, false, self.now);
            if !node.is_up {
                node.restart(&self.log, end);
            }
        }
        if self.primary.is_none() || self.elects_at.is_some() {
            self.elect(false);
        }
        self.tell();
        let by = self.now.saturating_add(HEALED);
        while self.clients.iter().any(|client| !client.is_quiet()) {
            self.step()?;
            if self.now > by {
                let late: Vec<String> =
                    self.clients.iter().filter(|client| !client.is_quiet()).map(Client::oldest).collect();
                return Err(format!("not answered: {}", late.join("; ")));
            }
        }
        // What had left and was in doubt is done now or never.
        for _ in 0..200 {
            self.step()?;
        }
        self.clients.append(&mut self.retired);
        self.check_log()?;
        for client in &self.clients {
            self.summary.answered += client.answered;
            self.summary.errors += client.errors;
            self.summary.in_doubt += client.in_doubt;
            self.summary.transactions += client.transactions;
            self.summary.aborted += client.aborted;
            self.summary.watched += client.watched_done;
        }
        self.summary.counters = self.split.counters();
        Ok(self.summary)
    }

    /// What a client has written is in the log in the order in which it has asked for it.
    fn check_order(&self, whole: &[String]) -> Result<(), String> {
        for client in &self.clients {
            let mark = format!(":c{}v", client.number);
            let values = whole.iter().filter_map(|entry| entry.split_once(&mark)?.1.split_once('!'));
            let values = values.filter_map(|(number, _)| number.parse::<u64>().ok());
            let mut last = 0;
            for value in values {
                if value < last {
                    return Err(format!("{mark}{value} of a client is done behind its {last}"));
                }
                last = value;
            }
        }
        Ok(())
    }

    fn check_log(&mut self) -> Result<(), String> {
        let primary = self.primary.ok_or("there is no primary")?;
        let end = self.log.entries.len() as u64;
        self.nodes[primary].apply(&self.log, end);
        let whole = self.log.done();
        let count = |value: &str| whole.iter().filter(|entry| entry.contains(value)).count();
        for client in &self.clients {
            for value in &client.acknowledged_values {
                match count(value) {
                    1 => {}
                    count => return Err(format!("{value} was answered and is in the log {count} times")),
                }
            }
            for value in &client.doubtful_values {
                if count(value) > 1 {
                    return Err(format!("{value} is in the log {} times", count(value)));
                }
            }
            for value in &client.refused_values {
                if count(value) > 0 {
                    return Err(format!("{value} was refused and is in the log"));
                }
            }
        }
        self.check_order(&whole)?;
        let view = self.nodes[primary].index.reader().view();
        let read = |key: &str| {
            let entry = view.get(key.as_bytes(), wall(self.now));
            entry.map_or(0, |entry| String::from_utf8_lossy(entry.value).parse::<u64>().unwrap_or(0))
        };
        for client in &self.clients {
            client.check_count(read(&format!("c{}n", client.number)))?;
        }
        let done: u64 = self.clients.iter().map(|client| client.watched_done).sum();
        let doubtful: u64 = self.clients.iter().map(|client| client.watched_doubtful).sum();
        let found = read("watched");
        if !(done..=done + doubtful).contains(&found) {
            return Err(format!(
                "the watched number is {found}, with {done} transactions told and {doubtful} in doubt"
            ));
        }
        let position: Position = self.nodes[primary].position(&self.log);
        if position.sequence != end {
            return Err(format!("the primary has applied {position:?} of {end}"));
        }
        Ok(())
    }
}
