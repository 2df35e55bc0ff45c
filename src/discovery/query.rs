//! [`Query`]: one question, put to one resolver after the other until one answers.
//!
//! ```text
//!            ┌──────────────── next resolver, next round ────────────────┐
//!            ▼                                                           │
//! begin ─► UDP ──► answer, or "there is none" ─────────────► done        │
//!            │ ├─► cut short ─► the same over TCP ─► answer ─► done      │
//!            │ ├─► FORMERR, BADVERS ─► the same without EDNS             │
//!            │ └─► another error, nonsense, silence, unreachable ────────┤
//!            └─► a chain that leads out of the answer ─► the same for its end
//! ```
//!
//! - Each round tries every resolver once, in order, beginning with the first or, with `rotate`, with one drawn
//!   at random. A try ends after `timeout`; going over to TCP begins a new one. After the last round the
//!   question has failed, with what each resolver said last.
//! - From the second round on a resolver that gave no answer is asked without EDNS, which some ways to one drop.
//! - A datagram that is late is still good: sockets stay open until the question is done.
//! - **Ignored and counted**: what does not come from the resolver asked, bears another number or another
//!   question, or belongs to no exchange. It never ends anything. A connection over which more than
//!   [`IGNORED_MAX`] such messages came is given up.
//! - NXDOMAIN and an answer without records are answers.
//! - A chain of CNAMEs is followed for at most [`HOPS_MAX`] steps, within the answer and, where it leads out of
//!   it, by asking for its end, first of all the resolver that gave it.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::discovery::exchange::{Event, Exchange, Io};
use crate::discovery::message::{self, Answer, Malformed, Question, Rcode, Reading};
use crate::discovery::resolv_conf::Resolvers;
use crate::rng::Rng;
use crate::time::Instant;

/// The most steps of a chain of names.
pub const HOPS_MAX: usize = 16;
/// The most messages over one connection that are none of this question's.
pub const IGNORED_MAX: u8 = 16;

/// What to do next for a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something with the network.
    Io(Io),
    /// It is over; nothing comes behind this.
    Done(Result<Answer, Failure>),
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was asked, or what it had led to.
    pub question: Question,
    /// What each resolver that was tried said last, in the order of the configuration.
    pub tries: Vec<Try>,
}

/// What came of asking one resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// The resolver.
    pub server: SocketAddr,
    /// Why it gave no answer.
    pub reason: Reason,
}

/// Why a try gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was silent for too long.
    TimedOut,
    /// It said so.
    Refused(Rcode),
    /// What it said makes no sense.
    Malformed(Malformed),
    /// It could not be reached; in the system's words.
    Unreachable(String),
    /// It ended the connection before its answer was whole.
    Closed,
    /// It looks for nothing that is not its own.
    NoRecursion,
    /// The name is another name for another name, and so on, above [`HOPS_MAX`] times.
    ChainLong,
    /// More than [`IGNORED_MAX`] messages over its connection were no answers.
    Flooded,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::TimedOut => f.write_str("it did not answer in time"),
            Reason::Refused(rcode) => write!(f, "it answered {rcode}"),
            Reason::Malformed(malformed) => write!(f, "its answer makes no sense: {malformed}"),
            Reason::Unreachable(words) => write!(f, "it cannot be reached: {words}"),
            Reason::Closed => f.write_str("it closed the connection before its answer was whole"),
            Reason::NoRecursion => f.write_str("it does not look for names that are not its own"),
            Reason::ChainLong => write!(f, "the name leads through more than {HOPS_MAX} other names"),
            Reason::Flooded => f.write_str("it sends answers to what it was not asked"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer for {}", self.question)?;
        if self.tries.is_empty() {
            f.write_str(": no resolver was asked in time")?;
        }
        for (index, Try { server, reason }) in self.tries.iter().enumerate() {
            write!(f, "{} {server}: {reason}", if index == 0 { ";" } else { "," })?;
        }
        Ok(())
    }
}

/// One question.
#[derive(Debug)]
pub struct Query {
    number: u64,
    /// What is asked for now: the end of the chain so far.
    question: Question,
    resolvers: Arc<Resolvers>,
    /// The resolver the rounds begin with.
    first: usize,
    /// How many tries there were in these rounds.
    turn: usize,
    said: Vec<Said>,
    /// Exchanges that were begun and not closed.
    open: Vec<Sent>,
    /// The exchange that the deadline is about.
    current: u32,
    next_attempt: u32,
    deadline: Option<Instant>,
    /// How much of the chain was followed, and the least time to live along it.
    hops: usize,
    ttl: u32,
    actions: VecDeque<Action>,
    ignored: u64,
}

/// What is known of one resolver.
#[derive(Clone, Debug, Default)]
struct Said {
    reason: Option<Reason>,
    /// It refused a question because of EDNS.
    is_plain: bool,
}

/// One exchange.
#[derive(Debug)]
struct Sent {
    attempt: u32,
    server: usize,
    /// The message, without a length before it.
    asked: Vec<u8>,
    is_edns: bool,
    channel: Channel,
}

#[derive(Debug)]
enum Channel {
    Udp,
    Connecting,
    Tcp {
        /// The message that is coming in, with its length before it.
        received: Vec<u8>,
        ignored: u8,
    },
}

impl Query {
    /// Begins to ask. `number` names it among the questions that share a driver's table of exchanges.
    pub fn new(
        number: u64,
        question: Question,
        resolvers: Arc<Resolvers>,
        now: Instant,
        rng: &mut Rng,
    ) -> Self {
        let servers = resolvers.servers.len();
        let first = if resolvers.rotate { rng.below(servers as u64) as usize } else { 0 };
        let mut query = Self {
            number,
            question,
            resolvers,
            first,
            turn: 0,
            said: vec![Said::default(); servers],
            open: Vec::new(),
            current: 0,
            next_attempt: 0,
            deadline: None,
            hops: 0,
            ttl: u32::MAX,
            actions: VecDeque::new(),
            ignored: 0,
        };
        query.try_next(now, rng);
        query
    }

    /// Takes what happened on one of its exchanges.
    pub fn handle_event(&mut self, exchange: Exchange, event: Event<'_>, now: Instant, rng: &mut Rng) {
        let Some(index) = self.position(exchange) else {
            self.ignored += 1;
            return;
        };
        let sent = &mut self.open[index];
        match (event, &mut sent.channel) {
            (Event::Datagram { from, bytes }, Channel::Udp) => {
                let is_from_server = is_same(from, self.resolvers.servers[sent.server]);
                if !is_from_server || !message::is_answer(bytes, &sent.asked) {
                    self.ignored += 1;
                    return;
                }
                self.take(index, bytes, now, rng);
            }
            (Event::Connected, channel @ Channel::Connecting) => {
                *channel = Channel::Tcp { received: Vec::new(), ignored: 0 };
                let bytes = framed(&sent.asked);
                self.actions.push_back(Action::Io(Io::SendTcp { exchange, bytes }));
            }
            (Event::Bytes(bytes), Channel::Tcp { .. }) => self.take_bytes(exchange, bytes, now, rng),
            (Event::Closed, Channel::Connecting | Channel::Tcp { .. }) => {
                self.give_up(index, Reason::Closed, now, rng);
            }
            (Event::Failed(words), _) => {
                self.give_up(index, Reason::Unreachable(words.to_string()), now, rng);
            }
            _ => self.ignored += 1,
        }
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if let Some(index) = self.open.iter().position(|sent| sent.attempt == self.current) {
            let sent = &self.open[index];
            self.said[sent.server].reason = Some(Reason::TimedOut);
            // Over UDP a late answer is as good as any.
            if !matches!(sent.channel, Channel::Udp) {
                self.close(index);
            }
        }
        self.turn += 1;
        self.try_next(now, rng);
    }

    /// Ends it now: a failure, unless it was over.
    pub fn cancel(&mut self) {
        if self.deadline.is_some() {
            for sent in &self.open {
                self.said[sent.server].reason.get_or_insert(Reason::TimedOut);
            }
            self.fail();
        }
    }

    /// The oldest action not yet taken, or `None` when the driver may wait.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` is next needed; `None` once it is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The number it was given.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How much came that was none of its own.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn position(&self, exchange: Exchange) -> Option<usize> {
        let is_own = exchange.query == self.number;
        self.open.iter().position(|sent| is_own && sent.attempt == exchange.attempt)
    }

    /// Asks the resolver whose turn it is, or fails when all had theirs.
    fn try_next(&mut self, now: Instant, rng: &mut Rng) {
        let servers = self.resolvers.servers.len();
        if self.turn >= servers * usize::from(self.resolvers.attempts) {
            self.fail();
            return;
        }
        let server = (self.first + self.turn) % servers;
        self.send(server, self.resolvers.tcp, now, rng);
    }

    /// Begins an exchange, which the deadline is about from now on.
    fn send(&mut self, server: usize, over_tcp: bool, now: Instant, rng: &mut Rng) {
        let said = &self.said[server];
        let is_first_round = self.turn < self.resolvers.servers.len();
        let is_edns = self.resolvers.edns && !said.is_plain && (is_first_round || said.reason.is_none());
        let id = (rng.next_u64() >> 48) as u16;
        let asked = message::write(id, &self.question, is_edns);
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        let exchange = Exchange { query: self.number, attempt };
        let to = self.resolvers.servers[server];
        self.actions.push_back(Action::Io(if over_tcp {
            Io::OpenTcp { exchange, server: to }
        } else {
            Io::SendUdp { exchange, server: to, bytes: asked.clone() }
        }));
        let channel = if over_tcp { Channel::Connecting } else { Channel::Udp };
        self.open.push(Sent { attempt, server, asked, is_edns, channel });
        self.current = attempt;
        self.deadline = Some(now.saturating_add(self.resolvers.timeout));
    }

    /// Takes bytes that came over a connection, and from them one message after the other.
    fn take_bytes(&mut self, exchange: Exchange, mut bytes: &[u8], now: Instant, rng: &mut Rng) {
        while !bytes.is_empty() {
            let Some(index) = self.position(exchange) else { return };
            let sent = &mut self.open[index];
            let Channel::Tcp { received, ignored } = &mut sent.channel else { return };
            let whole = match received.get(..2) {
                Some(length) => 2 + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => 2,
            };
            let (more, rest) = bytes.split_at(bytes.len().min(whole - received.len()));
            received.extend_from_slice(more);
            bytes = rest;
            let is_whole = received.len() >= 2
                && received.len() - 2 == usize::from(u16::from_be_bytes([received[0], received[1]]));
            if !is_whole {
                continue;
            }
            let message = std::mem::take(received);
            if message::is_answer(&message[2..], &sent.asked) {
                self.take(index, &message[2..], now, rng);
                continue;
            }
            *ignored += 1;
            self.ignored += 1;
            if *ignored > IGNORED_MAX {
                self.give_up(index, Reason::Flooded, now, rng);
            }
        }
    }

    /// Takes a message that answers the exchange at `index`.
    fn take(&mut self, index: usize, message: &[u8], now: Instant, rng: &mut Rng) {
        let reading = message::read(message, &self.question, HOPS_MAX - self.hops);
        let sent = &self.open[index];
        let is_udp = matches!(sent.channel, Channel::Udp);
        let is_current = sent.attempt == self.current;
        let (server, is_edns) = (sent.server, sent.is_edns);
        let reason = match reading {
            Ok(Reading::Answer(mut answer)) => {
                answer.ttl = answer.ttl.min(self.ttl);
                self.finish(Ok(answer));
                return;
            }
            Ok(Reading::Elsewhere { name, ttl, hops }) => {
                self.close_all();
                self.question.name = name;
                self.ttl = self.ttl.min(ttl);
                self.hops += hops;
                self.first = server;
                self.turn = 0;
                self.try_next(now, rng);
                return;
            }
            Ok(Reading::ChainLong) => {
                self.said[server].reason = Some(Reason::ChainLong);
                self.fail();
                return;
            }
            Ok(Reading::Truncated) if is_udp => {
                self.close(index);
                // Late, it is worth more than another's silence, but not more than a connection under way.
                let current = self.open.iter().find(|sent| sent.attempt == self.current);
                if current.is_none_or(|sent| matches!(sent.channel, Channel::Udp)) {
                    self.send(server, true, now, rng);
                }
                return;
            }
            Ok(Reading::Refused(Rcode::FORMERR | Rcode::BADVERS)) if is_edns => {
                self.said[server].is_plain = true;
                self.close(index);
                if is_current {
                    self.send(server, !is_udp, now, rng);
                }
                return;
            }
            Ok(Reading::Truncated) => Reason::Malformed(Malformed::CutOverTcp),
            Ok(Reading::Refused(rcode)) => Reason::Refused(rcode),
            Ok(Reading::Referral) => Reason::NoRecursion,
            Err(malformed) => Reason::Malformed(malformed),
        };
        self.give_up(index, reason, now, rng);
    }

    /// The exchange at `index` leads nowhere.
    fn give_up(&mut self, index: usize, reason: Reason, now: Instant, rng: &mut Rng) {
        let sent = &self.open[index];
        let is_current = sent.attempt == self.current;
        self.said[sent.server].reason = Some(reason);
        self.close(index);
        if is_current {
            self.turn += 1;
            self.try_next(now, rng);
        }
    }

    fn fail(&mut self) {
        let servers = self.resolvers.servers.iter();
        let tries = servers
            .zip(&mut self.said)
            .filter_map(|(&server, said)| Some(Try { server, reason: said.reason.take()? }))
            .collect();
        self.finish(Err(Failure { question: self.question.clone(), tries }));
    }

    fn finish(&mut self, result: Result<Answer, Failure>) {
        self.close_all();
        self.deadline = None;
        self.actions.push_back(Action::Done(result));
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    fn close(&mut self, index: usize) {
        let attempt = self.open.remove(index).attempt;
        let exchange = Exchange { query: self.number, attempt };
        self.actions.push_back(Action::Io(Io::Close { exchange }));
    }
}

/// Whether two addresses are one, however an IPv4 address is written. The scope tells interfaces apart where
/// both have one.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let scope = |address: SocketAddr| match address {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let (of_one, of_other) = (scope(one), scope(other));
    one.port() == other.port()
        && one.ip().to_canonical() == other.ip().to_canonical()
        && (of_one == of_other || of_one == 0 || of_other == 0)
}

/// A message with its length before it, as TCP carries it (RFC 1035, 4.2.2).
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a question has less than 300 bytes");
    [&length.to_be_bytes()[..], message].concat()
}
