//! [`Session`]: one client connection and the backend connection it is joined to, from accept to close.
//!
//! ```text
//! begin ─► (header) ─► pick ─► connect ─► relay ─► over
//!                       │ ▲       │
//!                  full ▼ │ offer ▼ refused: another backend
//!                      queue
//! ```
//!
//! Each `handle_*` says what happened and answers with the one thing to do [`Next`]. Whoever drives it owns the
//! sockets, the timer and the wait queue. A session that picked a backend always reports it done, once, by
//! [`Session::close`].

use std::net::{IpAddr, SocketAddr};

use crate::balance::{Address, BackendId, Lane, Outcome, Policy, Pool, Request, Retry, Timings, Token};
use crate::error::{Error, NoBackend};
pub use crate::proxy::cause::Cause;
use crate::proxy::flow::Flow;
use crate::proxy::options::{AcceptProxy, Options, SendProxy};
use crate::proxy::proxy_protocol::{self, Addresses, Header, Version};
use crate::time::Instant;

/// What to do next for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the client's bytes, then call `handle_header_bytes`.
    Header,
    /// Begin to connect there; then call `handle_connected` or `handle_connect_failed`.
    Connect(Address),
    /// A limit is reached: wait in the pool's queue, then call `handle_offer`. With a time, it is a rate that has
    /// room again by then without anybody giving something back: offer a place when it has come.
    Queue(Option<Instant>),
    /// Wait until the system may have a descriptor again, then call `handle_descriptor`.
    Starve,
    /// Run the two flows.
    Relay,
    /// Call `close` and end both connections.
    Close(Cause),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToBackend,
    /// From the backend.
    ToClient,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Self {
        match self {
            Direction::ToBackend => Direction::ToClient,
            Direction::ToClient => Direction::ToBackend,
        }
    }
}

/// What a session needs of its surroundings for one step.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where it picks.
    pub pool: &'a Pool,
    /// Where its picks are counted.
    pub lane: Lane,
    /// What its listener was told.
    pub options: &'a Options,
    /// The present moment.
    pub now: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opened,
    Header,
    Queued,
    Starved,
    Connecting,
    Relaying,
    Closed,
}

/// One client connection and its backend connection.
#[derive(Debug)]
pub struct Session {
    to_backend: Flow,
    to_client: Flow,
    pick: Option<Token>,
    /// Whose pick that is.
    backend: BackendId,
    /// When the phase began; while relaying, when bytes last moved.
    active: Instant,
    /// When the backend was picked, then when its answer began to be waited for.
    since: Instant,
    /// Nanoseconds it took to connect, and then until the answer began.
    connect_nanos: u64,
    /// [`NO_ANSWER`] while there is none.
    answer_nanos: u64,
    /// What is needed only until the relay runs.
    opening: Option<Box<Opening>>,
    phase: Phase,
    /// Bytes of the PROXY header that the backend is sent: they are not the client's.
    introduction: u16,
    /// The bytes that moved last came from the client: an answer is awaited.
    is_answer_due: bool,
    has_backend_broken: bool,
}

/// No answer takes so long.
const NO_ANSWER: u64 = u64::MAX;

#[derive(Debug)]
struct Opening {
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    /// What came of a PROXY header so far.
    received: Vec<u8>,
    header: Option<Header>,
    /// Backends that could not be reached.
    tried: Vec<BackendId>,
    /// While it tries another one than the first.
    retry: Option<Retry>,
    /// Since when there is no descriptor for the backend's connection.
    starved: Option<Instant>,
}

impl Session {
    /// A session of a client at `source` that came to `destination`; `None` for a unix socket, and where the
    /// destination is not needed because backends are sent no PROXY header.
    pub fn new(source: Option<SocketAddr>, destination: Option<SocketAddr>, now: Instant) -> Self {
        let opening = Opening {
            source,
            destination,
            received: Vec::new(),
            header: None,
            tried: Vec::new(),
            retry: None,
            starved: None,
        };
        Self {
            to_backend: Flow::new(),
            to_client: Flow::new(),
            pick: None,
            backend: BackendId::from_u64(0),
            active: now,
            since: now,
            connect_nanos: 0,
            answer_nanos: NO_ANSWER,
            opening: Some(Box::new(opening)),
            phase: Phase::Opened,
            introduction: 0,
            is_answer_due: false,
            has_backend_broken: false,
        }
    }

    /// Begins.
    pub fn begin(&mut self, context: &Context<'_>) -> Next {
        debug_assert_eq!(self.phase, Phase::Opened);
        if context.options.accept_proxy == AcceptProxy::Required {
            self.phase = Phase::Header;
            return Next::Header;
        }
        self.pick(context, false)
    }

    /// The client sent these bytes while its PROXY header was awaited; empty when it ended its half.
    pub fn handle_header_bytes(&mut self, bytes: &[u8], context: &Context<'_>) -> Next {
        let Some(opening) = &mut self.opening else { return Next::Close(Cause::HeaderInvalid) };
        if bytes.is_empty() {
            let nothing_came = opening.received.is_empty();
            return Next::Close(if nothing_came { Cause::ClientLeft } else { Cause::HeaderInvalid });
        }
        // Most headers come whole: then nothing is copied but what lies behind.
        let all = if opening.received.is_empty() {
            bytes
        } else {
            opening.received.extend_from_slice(bytes);
            &opening.received
        };
        match proxy_protocol::parse(all) {
            Err(_) => Next::Close(Cause::HeaderInvalid),
            Ok(None) => {
                if opening.received.is_empty() {
                    opening.received.extend_from_slice(bytes);
                }
                Next::Header
            }
            Ok(Some((header, length))) => {
                if length < all.len() {
                    self.to_backend.keep(&all[length..]);
                }
                opening.received = Vec::new();
                opening.header = Some(header);
                self.pick(context, false)
            }
        }
    }

    /// A place may have come free. [`Next::Queue`] means that there was none: back to where it stood. There may be one
    /// for who comes behind it if it [`is_choosy`](Session::is_choosy).
    pub fn handle_offer(&mut self, context: &Context<'_>) -> Next {
        debug_assert_eq!(self.phase, Phase::Queued);
        self.pick(context, true)
    }

    /// The backend's connection stands.
    pub fn handle_connected(&mut self, context: &Context<'_>) -> Next {
        self.connect_nanos = context.now.nanos_since(self.since);
        self.phase = Phase::Relaying;
        self.active = context.now;
        self.since = context.now;
        // The connection stands: what becomes of it is not the retry's any more.
        self.end_retry(context);
        if let Some(opening) = self.opening.take() {
            self.introduction = opening.introduce(context.options.send_proxy, &mut self.to_backend);
        }
        Next::Relay
    }

    /// The backend could not be reached: refused, unreachable, or too late.
    pub fn handle_connect_failed(&mut self, context: &Context<'_>) -> Next {
        self.report(Outcome::ConnectFailed, context);
        self.try_another(context)
    }

    /// Its backend went down, and its pool's sessions are cut then. Who has not reached it yet tries another.
    pub fn handle_backend_down(&mut self, context: &Context<'_>) -> Next {
        if self.phase != Phase::Connecting {
            return Next::Close(Cause::BackendDown);
        }
        self.report(Outcome::Cancelled, context);
        self.try_another(context)
    }

    /// The system has no descriptor or memory for the backend's connection, which is not the backend's fault:
    /// the pick is taken back.
    pub fn handle_no_descriptor(&mut self, context: &Context<'_>) -> Next {
        self.report(Outcome::Cancelled, context);
        let Some(opening) = &mut self.opening else { return Next::Close(Cause::NoDescriptor) };
        // However often it is tried in vain, this is one wait.
        self.active = *opening.starved.get_or_insert(context.now);
        self.phase = Phase::Starved;
        Next::Starve
    }

    /// The system may have a descriptor again. [`Next::Starve`], some steps later, means that it had none.
    pub fn handle_descriptor(&mut self, context: &Context<'_>) -> Next {
        debug_assert_eq!(self.phase, Phase::Starved);
        self.pick(context, false)
    }

    /// The backend it has, connected or on its way.
    pub fn backend(&self) -> Option<BackendId> {
        self.pick.map(|_| self.backend)
    }

    /// When `handle_timeout` is next needed. Moves on while bytes move, so look again when it comes.
    pub fn next_deadline(&self, options: &Options) -> Instant {
        let timeouts = &options.timeouts;
        let time = match self.phase {
            Phase::Opened | Phase::Header => timeouts.header,
            Phase::Queued | Phase::Starved => timeouts.queue,
            Phase::Connecting => timeouts.connect,
            Phase::Relaying | Phase::Closed => {
                let ended = |flow: &Flow| flow.is_over() || flow.has_source_ended();
                if ended(&self.to_backend) || ended(&self.to_client) {
                    timeouts.half_closed
                } else {
                    timeouts.idle
                }
            }
        };
        self.active.saturating_add(time)
    }

    /// Does what is due at or before `context.now`; `None` when it is too early.
    pub fn handle_timeout(&mut self, context: &Context<'_>) -> Option<Next> {
        if self.next_deadline(context.options) > context.now {
            return None;
        }
        Some(match self.phase {
            Phase::Opened | Phase::Header => Next::Close(Cause::HeaderTimeout),
            Phase::Queued => Next::Close(Cause::QueueTimeout),
            Phase::Starved => Next::Close(Cause::NoDescriptor),
            Phase::Connecting => self.handle_connect_failed(context),
            Phase::Relaying | Phase::Closed => {
                let half = self.to_backend.has_source_ended()
                    || self.to_backend.is_over()
                    || self.to_client.has_source_ended()
                    || self.to_client.is_over();
                Next::Close(if half { Cause::HalfClosedTimeout } else { Cause::IdleTimeout })
            }
        })
    }

    /// One of the two flows.
    #[inline]
    pub fn flow(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::ToBackend => &mut self.to_backend,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Bytes delivered, to the backend and to the client.
    pub fn delivered(&self) -> (u64, u64) {
        (self.to_backend.delivered(), self.to_client.delivered())
    }

    /// Bytes moved this way.
    #[inline]
    pub fn handle_movement(&mut self, direction: Direction, now: Instant) {
        self.active = now;
        let is_answer_due = direction == Direction::ToBackend;
        if is_answer_due && self.to_backend.delivered() <= u64::from(self.introduction) {
            // Nothing of it asks for an answer.
            return;
        }
        if self.answer_nanos == NO_ANSWER {
            if !is_answer_due {
                // A client that sent nothing was waiting since the connection stood.
                self.answer_nanos = now.nanos_since(self.since);
            } else if !self.is_answer_due {
                // The time a client takes before it asks is not the backend's.
                self.since = now;
            }
        }
        self.is_answer_due = is_answer_due;
    }

    /// The source of this direction broke off. `None` while something is left to deliver.
    pub fn handle_source_broken(&mut self, direction: Direction) -> Option<Next> {
        if direction == Direction::ToBackend {
            return Some(Next::Close(Cause::ClientReset));
        }
        self.has_backend_broken = true;
        self.to_client.handle_read(0, 1);
        None
    }

    /// The sink of this direction broke off. `None` while the other direction has something to deliver: a
    /// backend that closed early may have said why.
    pub fn handle_sink_broken(&mut self, direction: Direction) -> Option<Next> {
        if direction == Direction::ToClient {
            return Some(Next::Close(Cause::ClientReset));
        }
        self.has_backend_broken = true;
        self.to_backend.handle_ended();
        self.to_client.handle_source_ready(true);
        self.to_client.is_over().then_some(Next::Close(Cause::BackendReset))
    }

    /// The flow of this direction came to its [`Step::End`](crate::proxy::flow::Step). `None`: end the sink's
    /// half and go on.
    pub fn handle_end(&mut self, direction: Direction) -> Option<Next> {
        if direction == Direction::ToClient && self.has_backend_broken {
            return Some(Next::Close(Cause::BackendReset));
        }
        self.flow(direction).handle_ended();
        if self.flow(direction.opposite()).is_over() {
            return Some(Next::Close(Cause::Finished));
        }
        None
    }

    /// Ends the session and reports its pick done. Does nothing the second time.
    pub fn close(&mut self, cause: Cause, context: &Context<'_>) {
        let outcome = match cause {
            Cause::Finished
                if self.is_answer_due && self.answer_nanos == NO_ANSWER && !self.client_ended_first() =>
            {
                Outcome::Failed
            }
            Cause::Finished => Outcome::Success,
            Cause::BackendReset => Outcome::Failed,
            Cause::ConnectFailed => Outcome::ConnectFailed,
            Cause::IdleTimeout | Cause::HalfClosedTimeout if self.is_answer_due => Outcome::TimedOut,
            Cause::IdleTimeout | Cause::HalfClosedTimeout => Outcome::Success,
            Cause::ClientReset
            | Cause::ClientLeft
            | Cause::HeaderInvalid
            | Cause::HeaderTimeout
            | Cause::NoBackend
            | Cause::QueueFull
            | Cause::QueueTimeout
            | Cause::Stopped
            | Cause::NoDescriptor
            | Cause::RetryRefused
            | Cause::PendingFull
            | Cause::BackendDown => Outcome::Cancelled,
        };
        self.report(outcome, context);
        self.end_retry(context);
        self.phase = Phase::Closed;
    }

    /// Whether the client was heard to end before the backend did.
    fn client_ended_first(&self) -> bool {
        self.to_backend.is_over() && self.to_backend.has_source_ended() && !self.to_client.is_over()
    }

    /// Whether it waits for its PROXY header.
    pub fn is_in_header(&self) -> bool {
        self.phase == Phase::Header
    }

    /// Whether it waits for a place at a backend.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Whether it waits for a descriptor.
    pub fn is_starved(&self) -> bool {
        self.phase == Phase::Starved
    }

    /// Whether it waits for its backend's connection.
    pub fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether the flows run.
    #[inline]
    pub fn is_relaying(&self) -> bool {
        self.phase == Phase::Relaying
    }

    /// Whether it tries another backend than its first.
    pub fn is_retrying(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.retry.is_some())
    }

    /// Whether it has tried some backends: a place at one of these is none for it.
    pub fn is_choosy(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| !opening.tried.is_empty())
    }

    /// Another backend, if one more may be tried.
    fn try_another(&mut self, context: &Context<'_>) -> Next {
        // One that failed in its turn has ended.
        self.end_retry(context);
        let Some(opening) = &mut self.opening else { return Next::Close(Cause::ConnectFailed) };
        opening.tried.push(self.backend);
        if opening.tried.len() >= context.options.attempts as usize {
            return Next::Close(Cause::ConnectFailed);
        }
        // Before the pick, so that one that is refused takes no place and nothing of a rate.
        match context.pool.retry_begin(context.now) {
            Ok(retry) => opening.retry = Some(retry),
            Err(_) => return Next::Close(Cause::RetryRefused),
        }
        self.pick(context, false)
    }

    fn end_retry(&mut self, context: &Context<'_>) {
        let Some(retry) = self.opening.as_mut().and_then(|opening| opening.retry.take()) else { return };
        let ended = context.pool.retry_end(retry);
        debug_assert_eq!(ended, Ok(()), "a session's retry is ended once");
    }

    fn pick(&mut self, context: &Context<'_>, offered: bool) -> Next {
        let Some(opening) = &mut self.opening else { return Next::Close(Cause::NoBackend) };
        // Who comes later waits behind those who wait.
        if !offered && context.pool.is_wanted() {
            return self.queue(context.now, None);
        }
        let mut key = [0; 16];
        let key = match context.pool.options().policy {
            Policy::Source | Policy::Hash => opening.key(&mut key),
            _ => &[],
        };
        let request = Request { lane: context.lane, key, now: context.now, avoid: &opening.tried };
        // To try one again at once would only add to its trouble.
        let pick = match context.pool.pick_other(&request) {
            Ok(pick) => pick,
            Err(Error::NoBackend(NoBackend::Full { .. } | NoBackend::PoolFull { .. })) => {
                return self.queue(context.now, None);
            }
            Err(Error::NoBackend(
                NoBackend::RateLimited { wait, .. } | NoBackend::PoolRateLimited { wait, .. },
            )) => return self.queue(context.now, Some(context.now.saturating_add(wait))),
            Err(_) if !opening.tried.is_empty() => return Next::Close(Cause::ConnectFailed),
            Err(_) => return Next::Close(Cause::NoBackend),
        };
        self.backend = pick.backend;
        self.pick = Some(pick.token);
        self.phase = Phase::Connecting;
        self.active = context.now;
        self.since = context.now;
        Next::Connect(pick.address)
    }

    fn queue(&mut self, now: Instant, wake: Option<Instant>) -> Next {
        if self.phase != Phase::Queued {
            self.phase = Phase::Queued;
            self.active = now;
        }
        Next::Queue(wake)
    }

    fn report(&mut self, outcome: Outcome, context: &Context<'_>) {
        let Some(token) = self.pick.take() else { return };
        let connected = self.phase == Phase::Relaying;
        let timings = Timings {
            connect: connected.then_some(self.connect_nanos),
            first_byte: (self.answer_nanos != NO_ANSWER)
                .then(|| self.answer_nanos.saturating_add(self.connect_nanos)),
            total: None,
        };
        let done = context.pool.done(context.lane, token, outcome, &timings, context.now);
        debug_assert_eq!(done, Ok(()), "a session's pick is reported once");
    }
}

impl Opening {
    /// What hash policies place: the client's address as its PROXY header or its socket tells.
    fn key<'a>(&self, place: &'a mut [u8; 16]) -> &'a [u8] {
        let source = match self.header.as_ref().map(|header| &header.addresses) {
            Some(Addresses::Inet { source, .. }) => Some(*source),
            _ => self.source,
        };
        match source.map(|source| source.ip().to_canonical()) {
            None => &[],
            Some(IpAddr::V4(ip)) => {
                place[..4].copy_from_slice(&ip.octets());
                &place[..4]
            }
            Some(IpAddr::V6(ip)) => {
                *place = ip.octets();
                place
            }
        }
    }

    /// Puts the PROXY header in front of what the backend is sent. Answers how long it is.
    fn introduce(self, send: SendProxy, to_backend: &mut Flow) -> u16 {
        let version = match send {
            SendProxy::Off => return 0,
            SendProxy::V1 => Version::V1,
            SendProxy::V2 => Version::V2,
        };
        let own = match (self.source, self.destination) {
            (Some(source), Some(destination)) => Addresses::Inet { source, destination },
            _ => Addresses::Unspecified,
        };
        let (addresses, tlvs) = match &self.header {
            Some(header) if header.addresses == Addresses::Unspecified => (&own, &header.tlvs[..]),
            Some(header) => (&header.addresses, &header.tlvs[..]),
            None => (&own, &[][..]),
        };
        let mut bytes = Vec::new();
        proxy_protocol::write(version, addresses, tlvs, &mut bytes);
        to_backend.keep_before(&bytes);
        u16::try_from(bytes.len()).expect("no header is longer than HEADER_MAX")
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
