//! One address for all nodes of a store: writes go to the primary, reads to nodes that are fresh enough.
//!
//! [`Split`] is one loop's half of all connections, of Redis clients on one side and to the nodes on the other. It is told
//! what came and what is known of the nodes, and says what to send, where to connect and what to close. It knows no
//! socket and no clock.
//!
//! # Promises
//!
//! - **Order.** Requests of a client are answered in the order in which they were sent, and take effect in it: a read behind
//!   a write that is not answered yet waits for that, and so does a write behind a read. Reads behind reads, and writes
//!   behind writes, are under way together.
//! - **Own writes.** A read sees everything its client was answered before, whichever node answered it. Each client has a
//!   *token*, a position in the log: after writes the primary is asked for it, once for all that were sent together. A node
//!   not known to have it is asked by `TRIMTAB AFTER`. So is the primary, which may answer what it does not show yet: by a
//!   *fence*, a command before the request, so that it can be before transactions too.
//! - **No way back.** A client reads from one node, its *home*, as long as that goes well. When it leaves it, it reads from
//!   the primary first and takes the position of that along.
//! - **Age.** Every connection for reads is bound by `TRIMTAB BOUND`: the node that reads knows its own age best.
//! - **Once.** A write is sent again only if it was refused for certain (`-READONLY` and the like), or not one byte of it
//!   had left. Otherwise, when the primary breaks off, the client is told `-INDOUBT`. Reads are sent again.
//!
//! What belongs to one client alone gets a connection of its own to the primary: `WATCH` to `EXEC`, `WAIT`, and for the
//! rest of its life a client that subscribes. A transaction that watches nothing is gathered here and sent as one piece.
//! When a watched connection breaks, or the primary changes, `EXEC` answers as if a watched key had changed: nothing was
//! done, and clients try again.
//!
//! | file | owns |
//! |---|---|
//! | `options` | options, and what is known of the nodes |
//! | `answer` | where answers of nodes end |
//! | `client` | one client: what it has sent, and what it is to be told |
//! | `link` | one connection to a node: what was sent, and who waits for it |
//! | `loss` | what a client has written and is lost with a primary |
//! | `nodes` | the nodes: which may be asked for what |
//! | `take` | from bytes of a client to slots |
//! | `dispatch` | from slots to connections |
//! | `settle` | from answers and broken connections to slots |
//! | `lag` | whether a node is near enough for a pool of the nodes |
//! | `planted` | bugs for the simulator to find, in its build alone |

/// Whether a bug is planted: never but in the simulator's build.
macro_rules! is_planted {
    ($split:expr, $plant:ident) => {{
        #[cfg(feature = "sim")]
        let is_planted = $split.options.planted == Some($crate::split::planted::Plant::$plant);
        #[cfg(not(feature = "sim"))]
        let is_planted = false;
        is_planted
    }};
}

mod answer;
mod client;
mod dispatch;
pub mod lag;
mod link;
mod loss;
mod nodes;
mod options;
mod pace;
#[cfg(feature = "sim")]
pub mod planted;
mod settle;
mod take;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use slab::Slab;

pub use self::answer::{Fault, HEAD_MAX, Scanned, Scanner, VALUES_MAX};
use self::client::Client;
use self::link::Link;
use self::nodes::Node;
pub use self::options::{NodeView, Options, Reads, Topology};
use crate::balance::Address;
use crate::resp::Desk;
use crate::rng::Rng;
use crate::store::index::Timestamp;
use crate::time::Instant;

/// A client, as long as it is connected; never given twice within 2^29 clients and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// Its place.
    pub index: u32,
    /// Which of those that had it.
    pub generation: u32,
}

/// A connection to a node, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// Its place.
    pub index: u32,
    /// Which of those that had it.
    pub generation: u32,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to a node.
    Connect {
        /// The connection.
        link: LinkId,
        /// Where to.
        address: Address,
    },
    /// This connection to a node is over: close it at once.
    CloseLink(LinkId),
    /// Likewise, and it owes answers: what of it has not come to the node is to come there no more.
    ResetLink(LinkId),
    /// There may be something to send to a node: [`Split::link_output`].
    SendLink(LinkId),
    /// There may be something to send to a client, or it wants more of what it has sent, or it is finished.
    SendClient(ClientId),
    /// Close this client's connection at once, with what is unsent.
    CutClient(ClientId),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent to a replica or learner.
    pub replica_reads: u64,
    /// Requests that only read sent to the primary.
    pub primary_reads: u64,
    /// Writes and transactions sent.
    pub writes: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Reads that a node was not fresh enough for.
    pub behind: u64,
    /// Times a client began to wait for a primary.
    pub held: u64,
    /// Requests told that there is no primary.
    pub unserved: u64,
    /// Writes of which it is not known whether they were done.
    pub in_doubt: u64,
    /// Clients cut for not reading what they had asked for.
    pub slow: u64,
    /// Clients cut for another reason: an answer broke off, or what they had subscribed to.
    pub cut: u64,
    /// Clients closed for what they sent.
    pub protocol_errors: u64,
    /// Connections to nodes that came to nothing, or broke.
    pub link_errors: u64,
}

/// The generation after this one: they count within 29 bits, and none is 0.
fn next(generation: u32) -> u32 {
    ((generation + 1) & ((1 << 29) - 1)).max(1)
}

/// How a node stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStanding<'a> {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
    /// Whether it is primary, as far as is known.
    pub is_primary: bool,
    /// Clients that read there.
    pub homes: usize,
    /// Why it was not let in, when it said so last.
    pub problem: Option<&'a str>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    Link(LinkId),
    Held(ClientId),
    /// A node may be asked again.
    Wake,
}

/// See the module. One owner calls it; every call that takes `now` is followed by [`Split::finish`] and by taking all
/// actions.
#[derive(Debug)]
pub struct Split {
    options: Options,
    desk: Desk,
    nodes: BTreeMap<u64, Node>,
    epoch: u64,
    primary: Option<u64>,
    /// Why there will be none.
    fenced: Option<Arc<str>>,
    clients: Slab<Client>,
    links: Slab<Link>,
    generation: u32,
    actions: VecDeque<Action>,
    /// Connections that somebody wants to know the position of.
    sought: Vec<LinkId>,
    /// Clients to be looked at.
    touched: VecDeque<ClientId>,
    /// Clients that wait for a primary.
    held: BTreeSet<ClientId>,
    timers: BTreeSet<(Instant, Timed)>,
    counters: Counters,
    rng: Rng,
}

impl Split {
    /// One without clients, that knows of no node.
    pub fn new(options: Options, now: Timestamp, mut rng: Rng) -> Self {
        let desk = Desk::new(options.hub.clone(), now, Rng::new(rng.next_u64()));
        Self {
            options,
            desk,
            nodes: BTreeMap::new(),
            epoch: 0,
            primary: None,
            fenced: None,
            clients: Slab::new(),
            links: Slab::new(),
            generation: 0,
            actions: VecDeque::new(),
            sought: Vec::new(),
            touched: VecDeque::new(),
            held: BTreeSet::new(),
            timers: BTreeSet::new(),
            counters: Counters::default(),
            rng,
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, timed)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            match timed {
                Timed::Link(link) => self.check_link(link, now),
                Timed::Held(client) => self.give_up(client, now),
                Timed::Wake => self.wake(),
            }
        }
        self.attend(now);
    }

    /// When [`Split::handle_timeout`] is next needed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Ends a round of calls: asks, once for each connection, for the position of what was sent.
    pub fn finish(&mut self) {
        for id in std::mem::take(&mut self.sought) {
            if let Some(link) = self.link_mut(id) {
                link.seek();
            }
        }
    }

    /// The oldest action that was not taken.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front()?;
        match &action {
            Action::SendLink(id) => {
                if let Some(link) = self.link_mut(*id) {
                    link.is_called = false;
                }
            }
            Action::SendClient(id) => {
                if let Some(client) = self.client_mut(*id) {
                    client.is_called = false;
                }
            }
            _ => {}
        }
        Some(action)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many clients wait for a primary.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How the nodes stand, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = NodeStanding<'_>> {
        self.nodes.iter().map(|(id, node)| NodeStanding {
            id: *id,
            name: &node.name,
            is_primary: self.primary == Some(*id),
            homes: node.homes,
            problem: node.problem.as_deref(),
        })
    }

    /// How many connections to nodes there are.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Looks at clients for whom something has changed.
    fn attend(&mut self, now: Instant) {
        while let Some(id) = self.touched.pop_front() {
            if let Some(client) = self.client_mut(id) {
                client.is_touched = false;
                self.advance(id, now);
            }
        }
    }

    fn touch(&mut self, id: ClientId) {
        if let Some(client) = self.client_mut(id)
            && !std::mem::replace(&mut client.is_touched, true)
        {
            self.touched.push_back(id);
        }
    }

    fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id.index as usize).filter(|client| client.generation == id.generation)
    }

    fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id.index as usize).filter(|client| client.generation == id.generation)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index as usize).filter(|link| link.generation == id.generation)
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.index as usize).filter(|link| link.generation == id.generation)
    }

    fn call_client(&mut self, id: ClientId) {
        if let Some(client) = self.client_mut(id)
            && !std::mem::replace(&mut client.is_called, true)
        {
            self.actions.push_back(Action::SendClient(id));
        }
    }

    fn call_link(&mut self, id: LinkId) {
        if let Some(link) = self.link_mut(id)
            && !std::mem::replace(&mut link.is_called, true)
        {
            self.actions.push_back(Action::SendLink(id));
        }
    }
}
