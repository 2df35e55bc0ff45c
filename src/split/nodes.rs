//! [`Node`]: what is known of a node, and which may be asked for what.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Mode, State};
use super::link::{Link, Use};
use super::{ClientId, LinkId, Reads, Split, Timed, Topology};
use crate::balance::Address;
use crate::resp::{Position, Protocol, mark_of, marks};
use crate::time::Instant;

/// Connections that clients share, of one protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) light: Option<LinkId>,
    pub(super) heavy: Vec<LinkId>,
    pub(super) strong: Option<LinkId>,
    pub(super) read: Option<LinkId>,
    pub(super) after: Option<LinkId>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Arc<str>,
    /// The mark of cursors that it gives.
    pub(super) mark: u8,
    pub(super) address: Option<Address>,
    is_own: bool,
    pub(super) is_out: bool,
    pub(super) links: [Links; 2],
    /// What its connection for reads is known to have applied.
    pub(super) has: [Position; 2],
    /// Clients that read here.
    pub(super) homes: usize,
    /// Connections in a row that came to nothing.
    pub(super) failures: u32,
    /// Until when it is not connected to.
    retry_at: Instant,
    /// Until when no client begins to read here.
    unfit_until: Instant,
    /// Until when, as primary, it is asked for nothing: it said that it was none.
    refuses_until: Instant,
    /// Why the last connection came to nothing, as far as it said so.
    pub(super) problem: Option<String>,
}

/// The place of what belongs to a protocol.
pub(super) fn of(protocol: Protocol) -> usize {
    usize::from(protocol == Protocol::Resp3)
}

/// How long a primary that refused is left alone, unless something else is heard of it.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// How long nobody begins to read from a node that was not fresh enough.
const UNFIT_PAUSE: Duration = Duration::from_millis(250);
/// How long a node is not connected to after the first failure; twice as long after each further one.
const RETRY_MIN: Duration = Duration::from_millis(25);
const RETRY_MAX: Duration = Duration::from_secs(1);

impl Split {
    /// Takes what is known of the nodes, now and whenever it changes. What belongs to a primary that is one no longer gets
    /// nothing more, and is cut after `drain`; who waits for a primary goes on.
    pub fn handle_topology(&mut self, topology: &Topology, now: Instant) {
        if topology.epoch < self.epoch {
            return;
        }
        let is_new =
            topology.epoch > self.epoch || topology.primary != self.primary || topology.fenced != self.fenced;
        self.epoch = topology.epoch;
        self.primary = topology.primary;
        self.fenced.clone_from(&topology.fenced);
        let gone: Vec<u64> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| topology.nodes.iter().all(|view| view.id != *id || view.is_out))
            .collect();
        let marks = marks(topology.nodes.iter().map(|view| &*view.name));
        for view in &topology.nodes {
            let node = self.nodes.entry(view.id).or_insert_with(|| Node {
                name: Arc::clone(&view.name),
                mark: 0,
                address: None,
                is_own: view.is_own,
                is_out: view.is_out,
                links: Default::default(),
                has: Default::default(),
                homes: 0,
                failures: 0,
                retry_at: Instant::START,
                unfit_until: Instant::START,
                refuses_until: Instant::START,
                problem: None,
            });
            node.name = Arc::clone(&view.name);
            node.mark = marks.get(&*view.name).copied().unwrap_or(0);
            (node.is_own, node.is_out) = (view.is_own, view.is_out);
            let has_moved = node.address.is_some() && node.address != view.address;
            node.address = view.address.clone();
            if is_new {
                (node.refuses_until, node.retry_at) = (Instant::START, Instant::START);
                node.failures = 0;
            }
            if has_moved {
                self.leave_node(view.id, true, now);
            }
        }
        for id in gone {
            self.leave_node(id, true, now);
            if !topology.nodes.iter().any(|view| view.id == id) {
                self.send_home_away(id);
                self.nodes.remove(&id);
            }
        }
        if let Some(primary) = self.primary
            && !is_planted!(self, KeptEpoch)
        {
            let others = self.links.iter().map(|(_, link)| link);
            let others = others.filter(|link| link.node != primary && link.is_open());
            let mut others: Vec<u64> = others
                .filter(|link| !matches!(link.purpose, Use::Read | Use::After))
                .map(|link| link.node)
                .collect();
            others.sort_unstable();
            others.dedup();
            others.into_iter().for_each(|other| self.leave_node(other, false, now));
            self.leave_reign(primary, now);
        }
        if is_new {
            self.wake();
        }
        self.attend(now);
    }

    /// The primary may be the one of before, anew: by what it was asked as that it takes no writes any more. Whoever has subscribed hears it
    /// all the same.
    fn leave_reign(&mut self, primary: u64, now: Instant) {
        let epoch = self.epoch;
        let is_of_before = |link: &Link| {
            let is_meant = matches!(link.purpose, Use::Light | Use::Heavy | Use::Strong | Use::Own(_));
            is_meant && link.node == primary && link.epoch < epoch && link.is_open()
        };
        let links = self.links.iter().filter(|(_, link)| is_of_before(link));
        let links: Vec<(LinkId, Use)> = links
            .map(|(index, link)| (LinkId { index: index as u32, generation: link.generation }, link.purpose))
            .collect();
        links.into_iter().for_each(|(link, purpose)| self.leave_link_of_before(link, purpose, now));
    }

    /// A connection to who was primary before.
    fn leave_link_of_before(&mut self, link: LinkId, purpose: Use, now: Instant) {
        match purpose {
            Use::Own(client) => self.lose_watch(client),
            _ => self.forget_link(link),
        }
        self.drain_link(link, now);
    }

    /// A node is primary no longer; `wholly`: it takes no part any more, either.
    fn leave_node(&mut self, id: u64, wholly: bool, now: Instant) {
        let links: Vec<(LinkId, Use)> = self
            .links
            .iter()
            .filter(|(_, link)| link.node == id)
            .map(|(index, link)| (LinkId { index: index as u32, generation: link.generation }, link.purpose))
            .collect();
        for (link, purpose) in links {
            match purpose {
                Use::Read | Use::After if !wholly => {}
                // Whoever has subscribed has to subscribe anew, and hears of it at once.
                Use::Joined(_) => self.break_link(link, now),
                _ => self.leave_link_of_before(link, purpose, now),
            }
        }
    }

    /// What a client has watched counts as changed from now on; an `EXEC` under way is answered as it is.
    fn lose_watch(&mut self, id: ClientId) {
        let Some(client) = self.client_mut(id) else { return };
        let is_ending = client.slots.iter().any(|slot| {
            matches!((slot.ask, &slot.state), (super::client::Ask::Exec { .. }, State::Sent { .. }))
        });
        if client.mode == Mode::Watching && !is_ending {
            client.mode = Mode::WatchLost;
        }
    }

    /// A connection is not used for anything new.
    pub(super) fn forget_link(&mut self, id: LinkId) {
        let Some(link) = self.link(id) else { return };
        let (node, protocol) = (link.node, link.protocol);
        let Some(node) = self.nodes.get_mut(&node) else { return };
        let links = &mut node.links[of(protocol)];
        for place in [&mut links.light, &mut links.strong, &mut links.read, &mut links.after] {
            if *place == Some(id) {
                *place = None;
            }
        }
        links.heavy.retain(|heavy| *heavy != id);
    }

    /// All who wait for a primary look again.
    pub(super) fn wake(&mut self) {
        let held: Vec<ClientId> = self.held.iter().copied().collect();
        held.into_iter().for_each(|client| self.touch(client));
    }

    /// The primary, if it may be asked; otherwise it is looked at again when it may.
    pub(super) fn usable_primary(&mut self, now: Instant) -> Option<u64> {
        let id = self.primary?;
        let node = self.nodes.get(&id)?;
        if node.is_out || node.address.is_none() {
            return None;
        }
        let from = node.refuses_until.max(node.retry_at);
        if from > now {
            self.timers.insert((from, Timed::Wake));
            return None;
        }
        Some(id)
    }

    /// A node said that it is not primary.
    pub(super) fn note_refusal(&mut self, id: u64, now: Instant) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.refuses_until = now.saturating_add(REFUSED_PAUSE);
            self.timers.insert((node.refuses_until, Timed::Wake));
        }
    }

    /// A node is not as fresh as was asked: its clients read elsewhere.
    pub(super) fn note_behind(&mut self, id: u64, now: Instant) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.unfit_until = now.saturating_add(UNFIT_PAUSE);
        }
        self.send_home_away(id);
    }

    /// A connection to a node could not be established.
    pub(super) fn note_failure(&mut self, id: u64, now: Instant) {
        let jitter = self.rng.unit();
        if let Some(node) = self.nodes.get_mut(&id) {
            let pause = RETRY_MIN.saturating_mul(1 << node.failures.min(6)).min(RETRY_MAX);
            node.failures = node.failures.saturating_add(1);
            node.retry_at = now.saturating_add(pause.mul_f64(0.5 + jitter / 2.0));
            self.timers.insert((node.retry_at, Timed::Wake));
        }
    }

    /// Nobody reads from a node as before: what it had may not be there any more.
    pub(super) fn send_home_away(&mut self, id: u64) {
        let forgets = is_planted!(self, WayBack);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if std::mem::take(&mut node.homes) == 0 {
            return;
        }
        for (_, client) in self.clients.iter_mut() {
            if client.home == Some(id) {
                client.home = None;
                if std::mem::take(&mut client.has_read) && !forgets {
                    client.lose_token();
                }
            }
        }
    }

    /// A client reads from its home no more.
    pub(super) fn leave_home(&mut self, id: ClientId) {
        let forgets = is_planted!(self, WayBack);
        let Some(client) = self.client_mut(id) else { return };
        let home = client.home.take();
        if std::mem::take(&mut client.has_read) && !forgets {
            client.lose_token();
        }
        if let Some(node) = home.and_then(|home| self.nodes.get_mut(&home)) {
            node.homes -= 1;
        }
    }

    /// The node that has given a cursor, which alone knows what it stands for, if it can be asked; `None` also when the cursor
    /// does not say.
    pub(super) fn keeper(&self, cursor: u64, now: Instant) -> Option<u64> {
        let mark = mark_of(cursor);
        let (id, node) = self.nodes.iter().find(|(_, node)| mark != 0 && u64::from(node.mark) == mark)?;
        (!node.is_out && node.address.is_some() && node.retry_at <= now).then_some(*id)
    }

    /// Has a client read from this node from now on.
    pub(super) fn settle_at(&mut self, id: ClientId, home: u64) {
        if self.client(id).is_none_or(|client| client.home == Some(home)) {
            return;
        }
        self.leave_home(id);
        if let Some(node) = self.nodes.get_mut(&home) {
            node.homes += 1;
        }
        if let Some(client) = self.client_mut(id) {
            client.home = Some(home);
        }
    }

    fn is_fit(&self, id: u64, now: Instant) -> bool {
        self.nodes.get(&id).is_some_and(|node| {
            !node.is_out && node.address.is_some() && node.retry_at <= now && node.unfit_until <= now
        })
    }

    /// Where a client reads, as long as that is fit; `None`: nowhere but at the primary, or not before it has read there.
    pub(super) fn home(&mut self, id: ClientId, now: Instant) -> Option<u64> {
        let client = self.client(id)?;
        if let Some(home) = client.home {
            if self.is_fit(home, now) && !self.is_crowded(home, client.reads, now) {
                return Some(home);
            }
            self.leave_home(id);
            if !self.client(id)?.knows_token() {
                return None;
            }
        }
        let home = self.choose(now)?;
        self.nodes.get_mut(&home)?.homes += 1;
        self.client_mut(id)?.home = Some(home);
        Some(home)
    }

    fn candidates(&self, now: Instant) -> Vec<u64> {
        let fit = |id: &u64| self.is_fit(*id, now);
        let is_replica = |id: &u64| Some(*id) != self.primary;
        let all = self.nodes.keys().copied();
        match self.options.reads {
            Reads::Any => all.filter(fit).collect(),
            Reads::Replicas => all.filter(|id| is_replica(id) && fit(id)).collect(),
            Reads::Primary => Vec::new(),
        }
    }

    /// The node with the fewest clients; this process' own among equals, then any of them.
    fn choose(&mut self, now: Instant) -> Option<u64> {
        let candidates = self.candidates(now);
        let rank = |id: &u64| self.nodes.get(id).map(|node| (node.homes, !node.is_own));
        let best = candidates.iter().filter_map(rank).min()?;
        let equals: Vec<u64> = candidates.into_iter().filter(|id| rank(id) == Some(best)).collect();
        let drawn = self.rng.below(equals.len() as u64) as usize;
        equals.get(drawn).copied()
    }

    /// Whether a node has many more clients than another: looked at now and then, since nodes come back.
    fn is_crowded(&self, id: u64, reads: u32, now: Instant) -> bool {
        if reads % CROWD_READS != CROWD_READS - 1 {
            return false;
        }
        let homes = |id: &u64| self.nodes.get(id).map_or(0, |node| node.homes);
        let fewest = self.candidates(now).iter().map(homes).min();
        fewest.is_some_and(|fewest| homes(&id) > fewest + 1 + homes(&id) / 4)
    }
}

/// Every so many reads a client looks whether others have fewer clients.
const CROWD_READS: u32 = 256;
