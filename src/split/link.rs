//! [`Link`]: one connection to a node: what was sent, and who waits for what comes back.

use std::collections::VecDeque;
use std::time::Duration;

use super::answer::Scanner;
use super::{Action, ClientId, LinkId, Split, Timed, next};
use crate::resp::{Position, Protocol};
use crate::time::Instant;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Writes that are one step of the index: nothing waits behind them.
    Light,
    /// Writes that hold up what is behind them.
    Heavy,
    /// Reads that are to see everything.
    Strong,
    /// Reads of what the node is known to have.
    Read,
    /// Reads for which the node may have to catch up.
    After,
    /// A client's own.
    Own(ClientId),
    /// Likewise, and it has subscribed.
    Joined(ClientId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    /// It stands, and what it was told first is not answered yet.
    Greeting,
    Up,
    /// It gets nothing more, and is closed when all is answered, or at this time.
    Draining(Instant),
}

/// What an answer is for.
#[derive(Debug)]
pub(super) enum What {
    Greeting,
    /// The position of what was sent before, for these clients and their seeks.
    Position(Vec<(ClientId, u64)>),
    /// Of no use.
    Swallow,
    /// That all up to this position is shown behind it, which a client has seen.
    Fence {
        client: ClientId,
        position: Position,
    },
    Slot {
        client: ClientId,
        slot: u64,
        after: Option<Position>,
        /// The fence before it was not passed.
        is_unfenced: bool,
    },
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) what: What,
    /// The place in what is sent of the first byte that this answers.
    pub(super) begin: u64,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) generation: u32,
    pub(super) node: u64,
    pub(super) purpose: Use,
    pub(super) protocol: Protocol,
    pub(super) stage: Stage,
    /// The epoch that was known when it was made: its node takes writes by it as the primary that it was then, and as no other.
    pub(super) epoch: u64,
    /// When it has to stand.
    pub(super) stands_by: Instant,
    output: Vec<u8>,
    /// The place in what is sent of the first byte of `output`.
    pub(super) sent: u64,
    /// Up to which place it may be sent: the greeting comes first, and what follows once it is answered.
    gate: u64,
    pub(super) pending: VecDeque<Pending>,
    pub(super) scanner: Scanner,
    /// Of an answer that is for nobody else.
    pub(super) partial: Vec<u8>,
    /// Why a command of the transaction under way was refused.
    pub(super) refusal: Option<Vec<u8>>,
    /// When something last came, or was sent after a silence.
    pub(super) progressed: Instant,
    pub(super) has_timer: bool,
    /// How much longer than others it may be silent, for what it was asked takes its time; `None`: as long as it likes.
    pub(super) grace: Option<Duration>,
    /// What is known to be shown by it.
    pub(super) passed: Position,
    seekers: Vec<(ClientId, u64)>,
    round: u64,
    /// Clients that wait for room.
    pub(super) stalled: Vec<ClientId>,
    /// The client whose own it is has ended its half: nothing is waited for without end any more.
    pub(super) is_left: bool,
    /// Nothing more is said by it, as its node is to hear: that of a joined client which has ended its half.
    pub(super) is_ended: bool,
    pub(super) is_called: bool,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether it may be sent more.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Draining(_))
    }

    /// Whether all that is ever said by it was sent. A node that does not know yet that it is a client's own would take its end
    /// for that of a listener, which waits for nothing more.
    fn is_said(&self) -> bool {
        self.is_ended && self.is_up() && self.output.is_empty() && self.pending.is_empty()
    }

    /// What may be sent now.
    pub(super) fn output(&self) -> &[u8] {
        if self.stage == Stage::Connecting {
            return &[];
        }
        let len = usize::try_from(self.gate - self.sent).unwrap_or(usize::MAX).min(self.output.len());
        &self.output[..len]
    }

    pub(super) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// The place of what is written next.
    pub(super) fn end(&self) -> u64 {
        self.sent + self.output.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    pub(super) fn expect(&mut self, what: What, begin: u64) {
        self.pending.push_back(Pending { what, begin });
    }

    /// Everything may be sent from now on.
    pub(super) fn open(&mut self) {
        self.stage = Stage::Up;
        self.gate = u64::MAX;
    }

    /// Notes a client that wants to know the position of what it was sent; says whether it is the first.
    pub(super) fn want_position(&mut self, client: ClientId, seek: u64) -> bool {
        self.seekers.push((client, seek));
        self.seekers.len() == 1
    }

    /// How often it was asked for a position.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// Asks for the position of what was sent.
    pub(super) fn seek(&mut self) {
        if self.seekers.is_empty() {
            return;
        }
        let seekers = std::mem::take(&mut self.seekers);
        self.round += 1;
        self.say(&[b"TRIMTAB", b"POSITION"], What::Position(seekers));
    }

    /// Who wants to know positions that were not asked for.
    pub(super) fn take_seekers(&mut self) -> Vec<(ClientId, u64)> {
        std::mem::take(&mut self.seekers)
    }

    /// Has it answered in this protocol from here on.
    pub(super) fn speak(&mut self, protocol: Protocol) {
        if std::mem::replace(&mut self.protocol, protocol) != protocol {
            let version: &[u8] = if protocol == Protocol::Resp3 { b"3" } else { b"2" };
            self.say(&[b"HELLO", version], What::Swallow);
        }
    }

    /// It is for this from here on: a client's own, to which the client is joined perhaps.
    pub(super) fn become_of(&mut self, purpose: Use) {
        if std::mem::replace(&mut self.purpose, purpose) != purpose {
            // Whoever is joined is told what the node tells its own clients.
            self.say(&[b"TRIMTAB", b"BOUND", b"-1"], What::Swallow);
        }
    }

    /// Sends a command of the listener's own.
    pub(super) fn say(&mut self, words: &[&[u8]], what: What) {
        let begin = self.end();
        command(words, &mut self.output);
        self.expect(what, begin);
    }

    /// Whether it may be silent as long as it likes: its client waits for messages, or has said to wait without end.
    pub(super) fn is_patient(&self) -> bool {
        !self.is_left && (matches!(self.purpose, Use::Joined(_)) || self.grace.is_none())
    }
}

/// How much longer `WAIT` without end may take when its client has ended its half: what is there already is told, as by a node.
const LEFT_WAIT: Duration = Duration::from_millis(250);

/// Writes a request.
pub(super) fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    let mut digits = itoa(words.len() as u64, b'*');
    out.extend_from_slice(digits.as_bytes());
    for word in words {
        digits = itoa(word.len() as u64, b'$');
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn itoa(number: u64, kind: u8) -> String {
    format!("{}{number}\r\n", char::from(kind))
}

impl Split {
    /// Makes a connection, to be established by the driver.
    pub(super) fn connect(
        &mut self,
        node: u64,
        purpose: Use,
        protocol: Protocol,
        now: Instant,
    ) -> Option<LinkId> {
        let address = self.nodes.get(&node)?.address.clone()?;
        self.generation = next(self.generation);
        let stands_by = now.saturating_add(self.options.connect);
        let mut link = Link {
            generation: self.generation,
            node,
            purpose,
            protocol,
            stage: Stage::Connecting,
            epoch: self.epoch,
            stands_by,
            output: Vec::new(),
            sent: 0,
            gate: 0,
            pending: VecDeque::new(),
            scanner: Scanner::default(),
            partial: Vec::new(),
            refusal: None,
            progressed: now,
            has_timer: true,
            grace: Some(Duration::ZERO),
            passed: Position::default(),
            seekers: Vec::new(),
            round: 0,
            stalled: Vec::new(),
            is_left: false,
            is_ended: false,
            is_called: false,
        };
        let mut greet = |words: &[&[u8]]| link.say(words, What::Greeting);
        if let Some(password) = &self.options.hub.password {
            greet(&[b"AUTH", password]);
        }
        if protocol == Protocol::Resp3 {
            greet(&[b"HELLO", b"3"]);
        }
        let age = self.options.max_age.as_millis().min(i64::MAX as u128).to_string();
        match purpose {
            // Said by those too that do not read: the node is to know whom it may leave to find the next primary.
            Use::Light | Use::Heavy | Use::Strong | Use::Own(_) => greet(&[b"TRIMTAB", b"BOUND", b"0"]),
            Use::Read | Use::After => greet(&[b"TRIMTAB", b"BOUND", age.as_bytes()]),
            Use::Joined(_) => {}
        }
        link.gate = link.end();
        let index = self.links.insert(link);
        let id = LinkId { index: index as u32, generation: self.generation };
        self.timers.insert((stands_by, Timed::Link(id)));
        self.actions.push_back(Action::Connect { link: id, address });
        Some(id)
    }

    /// A connection to a node stands.
    pub fn handle_link_up(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        if link.stage != Stage::Connecting {
            return;
        }
        link.stage = Stage::Greeting;
        link.progressed = now;
        if link.pending.front().is_none_or(|pending| !matches!(pending.what, What::Greeting)) {
            self.greeted(id);
        }
        self.call_link(id);
        self.attend(now);
    }

    /// A connection to a node broke, or could not be established, or was ended by the node.
    pub fn handle_link_down(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.link(id) {
            let has_quit = |client| self.client(client).is_some_and(|client| client.has_quit);
            let is_asked = matches!(link.purpose, Use::Joined(client) if has_quit(client));
            self.counters.link_errors += u64::from(!is_asked && !link.is_ended);
            self.end_link(id, true, now);
        }
        self.attend(now);
    }

    /// What is to be sent to a node.
    pub fn link_output(&self, id: LinkId) -> &[u8] {
        self.link(id).map_or(&[], Link::output)
    }

    /// Whether all that is ever said to a node by a connection was sent: its half is to be ended.
    pub fn is_link_said(&self, id: LinkId) -> bool {
        self.link(id).is_some_and(Link::is_said)
    }

    /// Takes away what was sent of it.
    pub fn consume_link_output(&mut self, id: LinkId, len: usize, now: Instant) {
        let max = self.options.link_output_max;
        let Some(link) = self.link_mut(id) else { return };
        let len = len.min(link.output.len());
        if len == link.output.len() {
            link.output.clear();
            if link.output.capacity() > max {
                link.output = Vec::new();
            }
        } else {
            link.output.drain(..len);
        }
        link.sent += len as u64;
        let joined = match link.purpose {
            Use::Joined(client) => Some(client),
            _ => None,
        };
        if link.output.len() <= max / 2 {
            let stalled = std::mem::take(&mut link.stalled);
            stalled.into_iter().chain(joined).for_each(|client| self.touch(client));
            self.attend(now);
        }
    }

    /// All that a connection was told first is answered.
    pub(super) fn greeted(&mut self, id: LinkId) {
        let Some(link) = self.link_mut(id) else { return };
        if link.stage == Stage::Greeting {
            link.open();
        }
        let (node, purpose, protocol) = (link.node, link.purpose, link.protocol);
        if let Some(node) = self.nodes.get_mut(&node) {
            node.failures = 0;
            node.problem = None;
            if purpose == Use::Read {
                node.has[super::nodes::of(protocol)] = Position::default();
            }
        }
        if let Use::Own(client) | Use::Joined(client) = purpose {
            self.touch(client);
        }
        // Who waits for a primary may read here.
        self.wake();
        self.call_link(id);
    }

    /// Has the connection looked at when its patience may be over.
    pub(super) fn watch_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        if link.pending.len() == 1 {
            link.progressed = now;
        }
        if !link.has_timer && !link.is_patient() {
            link.has_timer = true;
            let at = now.saturating_add(self.patience(id));
            self.timers.insert((at, Timed::Link(id)));
        }
    }

    fn patience(&self, id: LinkId) -> Duration {
        match self.link(id).map(|link| (link.purpose, link.grace)) {
            Some((Use::Own(_), _)) if self.link(id).is_some_and(|link| link.is_left) => LEFT_WAIT,
            Some((Use::Read | Use::After, _)) => self.options.answer,
            Some((_, Some(grace))) => self.options.primary_answer.saturating_add(grace),
            _ => self.options.primary_answer,
        }
    }

    /// What a connection was asked that takes its time is answered: what it owes still is due as anything else.
    pub(super) fn end_grace(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        link.is_left = false;
        if link.grace.replace(Duration::ZERO) != Some(Duration::ZERO) {
            // The timer may be far away, or gone.
            link.has_timer = false;
            self.watch_link(id, now);
        }
    }

    /// The client whose own this connection is has ended its half.
    pub(super) fn leave_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        if !std::mem::replace(&mut link.is_left, true) {
            link.progressed = now;
            link.has_timer = false;
            self.watch_link(id, now);
        }
    }

    /// A joined client has ended its half, and so is its connection's once all is sent: its node does what it does with its own
    /// clients then.
    pub(super) fn say_no_more(&mut self, id: LinkId) {
        let Some(link) = self.link_mut(id) else { return };
        if !std::mem::replace(&mut link.is_ended, true) {
            self.call_link(id);
        }
    }

    /// A connection's timer has come.
    pub(super) fn check_link(&mut self, id: LinkId, now: Instant) {
        let patience = self.patience(id);
        let Some(link) = self.link_mut(id) else { return };
        let due = match link.stage {
            Stage::Connecting | Stage::Greeting => Some(link.stands_by),
            Stage::Draining(until) => Some(until),
            Stage::Up if link.is_patient() || (link.pending.is_empty() && !link.is_left) => None,
            Stage::Up => Some(link.progressed.saturating_add(patience)),
        };
        match due {
            None => link.has_timer = false,
            Some(due) if due <= now => {
                let is_left = matches!(link.stage, Stage::Up) && link.is_left;
                self.counters.link_errors += u64::from(!is_left);
                self.break_link(id, now);
            }
            Some(due) => {
                self.timers.insert((due, Timed::Link(id)));
            }
        }
    }

    /// A connection gets nothing more: it belongs to an epoch that is over.
    pub(super) fn drain_link(&mut self, id: LinkId, now: Instant) {
        let until = now.saturating_add(self.options.drain);
        let Some(link) = self.link_mut(id) else { return };
        if !link.is_open() {
            return;
        }
        if !link.is_up() || link.pending.is_empty() {
            return self.break_link(id, now);
        }
        link.stage = Stage::Draining(until);
        self.timers.insert((until, Timed::Link(id)));
    }
}
