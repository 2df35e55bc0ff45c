//! [`Client`]: one client: what it has sent and is not answered yet, and what it is to be told.

use std::collections::VecDeque;

use super::dispatch::LEFT_HOLD;
use super::loss::Loss;
use super::pace::Pace;
use super::{Action, ClientId, LinkId, Split};
use crate::resp::{Parser, Position, Sending};
use crate::store::index::Timestamp;
use crate::time::Instant;

/// What a request needs of who answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// It was answered here.
    Nothing,
    Read,
    /// A step of a scan by this cursor; 0: it begins.
    Scan {
        cursor: u64,
    },
    /// Asks about the store as a whole.
    Primary,
    Write {
        is_light: bool,
    },
    /// A transaction of so many requests.
    Exec {
        requests: usize,
    },
    Watch,
    Unwatch,
    /// `WAIT` or `WAITAOF`, for so many milliseconds; `None`: without end.
    Wait {
        within_ms: Option<u64>,
    },
    Join,
}

/// What may be under way together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Reads,
    Writes,
    /// By itself.
    Alone,
}

impl Ask {
    pub(super) fn run(self) -> Run {
        match self {
            Ask::Nothing | Ask::Read | Ask::Scan { .. } | Ask::Primary => Run::Reads,
            Ask::Write { .. } | Ask::Exec { .. } => Run::Writes,
            Ask::Watch | Ask::Unwatch | Ask::Wait { .. } | Ask::Join => Run::Alone,
        }
    }

    /// Whether it may be done more than once.
    pub(super) fn is_repeatable(self) -> bool {
        !matches!(self, Ask::Write { .. } | Ask::Exec { .. })
    }
}

/// Where a request lies, which is [plain](crate::resp::Request::is_plain): goes to nodes as it is.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// In what the client has sent, from this place of the stream on.
    Sent {
        start: u64,
        len: usize,
    },
    Own(Vec<u8>),
}

#[derive(Debug)]
pub(super) enum State {
    /// The answer is whole.
    Ready(Vec<u8>),
    Waiting,
    Sent {
        link: LinkId,
        answer: Vec<u8>,
        /// The client has been told a part of it.
        is_streamed: bool,
    },
    /// It was not done, and what was sent with it is not answered yet.
    Refused,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) ask: Ask,
    pub(super) bytes: Bytes,
    pub(super) state: State,
    /// Connections that broke under it, and times that the node which alone can answer it was not fresh enough.
    pub(super) breaks: u32,
    /// Connections that broke when its answer was the next to come.
    pub(super) led: u32,
}

/// What a client has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    /// Its own connection watches keys.
    Watching,
    /// That connection is gone: what it watched counts as changed.
    WatchLost,
    /// All it says and hears goes by its own connection.
    Joined,
}

/// Requests since `MULTI`.
#[derive(Debug, Default)]
pub(super) struct Multi {
    pub(super) bytes: Vec<u8>,
    pub(super) requests: usize,
    pub(super) is_broken: bool,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) generation: u32,
    /// What the desk calls it.
    pub(super) number: u64,
    pub(super) parser: Parser,
    pub(super) intake: Vec<u8>,
    /// The place in the stream of the first byte of `intake`.
    pub(super) base: u64,
    /// How much of `intake` is parsed.
    pub(super) at: usize,
    /// Bytes behind `at` before which it is not worth parsing.
    pub(super) wanted: usize,
    pub(super) slots: VecDeque<Slot>,
    /// The number of the first slot.
    pub(super) first: u64,
    /// Slots that wait or were refused.
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    pub(super) pace: Pace,
    /// What is in flight, and by what.
    pub(super) run: Run,
    pub(super) link: Option<LinkId>,
    pub(super) output: Vec<u8>,
    /// What it has read in part, before `output`.
    sending: Sending,
    pub(super) mode: Mode,
    pub(super) multi: Option<Multi>,
    /// Its own connection to the primary.
    pub(super) own: Option<LinkId>,
    pub(super) token: Position,
    /// Positions it was promised that have not come.
    pub(super) unsettled: u32,
    /// Positions it has asked for.
    pub(super) seeks: u64,
    /// The token says less than it has seen, until a position has come that it asked for after so many.
    pub(super) lost: Option<u64>,
    /// What it wrote last is lost with a primary.
    pub(super) loss: Option<Loss>,
    /// The connection whose position it asked for last, and in which round.
    pub(super) sought: Option<(LinkId, u64)>,
    pub(super) home: Option<u64>,
    /// Whether it has been answered by its home.
    pub(super) has_read: bool,
    pub(super) reads: u32,
    /// Until when it waits for a primary.
    pub(super) held_until: Option<Instant>,
    pub(super) has_ended: bool,
    /// It has ended its half, perhaps behind what was not taken yet: nothing is waited for without end.
    pub(super) is_leaving: bool,
    /// Its other side has ended its half: it may listen, or have gone.
    pub(super) may_have_left: bool,
    /// The last that it has said, being joined, was `QUIT`.
    pub(super) has_quit: bool,
    pub(super) is_closing: bool,
    pub(super) is_touched: bool,
    pub(super) is_called: bool,
}

impl Client {
    /// Bytes to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.sending.len() + self.output.len()
    }

    /// Whether more of what it sends is of use now.
    fn wants_bytes(&self, options: &super::Options) -> bool {
        !self.is_closing
            && !self.has_ended
            && self.waiting == 0
            && self.slots.len() < options.pending_max
            && self.unsent() < options.output_pause
    }

    /// Whether the next request may be parsed.
    pub(super) fn takes_requests(&self, options: &super::Options) -> bool {
        let left = self.intake.len() - self.at;
        !self.is_closing
            && self.mode != Mode::Joined
            && left > 0
            && left >= self.wanted
            && self.waiting == 0
            && self.slots.len() < options.pending_max
            && self.unsent() < options.output_pause
    }

    /// Whether its token says all it has seen.
    pub(super) fn knows_token(&self) -> bool {
        self.unsettled == 0 && self.lost.is_none()
    }

    pub(super) fn lose_token(&mut self) {
        self.lost = Some(self.seeks);
    }

    /// What a request consists of, as the client has sent it.
    pub(super) fn request<'a>(&'a self, bytes: &'a Bytes) -> &'a [u8] {
        match bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::Sent { start, len } => {
                let at = (start - self.base) as usize;
                &self.intake[at..at + len]
            }
        }
    }

    /// The place of the slot of this number.
    pub(super) fn place(&self, slot: u64) -> Option<usize> {
        let at = usize::try_from(slot.checked_sub(self.first)?).ok()?;
        (at < self.slots.len()).then_some(at)
    }

    pub(super) fn push(&mut self, ask: Ask, bytes: Bytes, state: State) {
        self.waiting += usize::from(matches!(state, State::Waiting));
        self.slots.push_back(Slot { ask, bytes, state, breaks: 0, led: 0 });
    }

    /// Answers at once, behind what is to be answered before.
    pub(super) fn answer(&mut self, bytes: Vec<u8>) {
        if self.slots.is_empty() {
            self.output.extend_from_slice(&bytes);
        } else {
            self.push(Ask::Nothing, Bytes::Own(Vec::new()), State::Ready(bytes));
        }
    }

    /// Nothing more comes of what it has sent.
    pub(super) fn stop(&mut self) {
        self.is_closing = true;
        self.slots.clear();
        (self.waiting, self.in_flight) = (0, 0);
        self.intake = Vec::new();
        (self.at, self.wanted) = (0, 0);
    }

    /// Moves answers to the output as far as it is their turn.
    pub(super) fn flush(&mut self, whole_max: usize) {
        while let Some(slot) = self.slots.front_mut() {
            match &mut slot.state {
                State::Ready(answer) => {
                    self.output.extend_from_slice(answer);
                    self.slots.pop_front();
                    self.first += 1;
                }
                State::Sent { answer, is_streamed, .. } => {
                    // An error is looked at before it is told, and so is what changes how the client is served.
                    let may_begin = slot.ask.run() != Run::Alone && answer.first() != Some(&b'-');
                    if *is_streamed || (answer.len() > whole_max && may_begin) {
                        *is_streamed = true;
                        self.output.append(answer);
                    }
                    break;
                }
                State::Waiting | State::Refused => break,
            }
        }
        self.forget();
    }

    /// Lets go of what no slot needs any more.
    fn forget(&mut self) {
        let needed = self.slots.iter().find_map(|slot| match slot.bytes {
            Bytes::Sent { start, .. } => Some((start - self.base) as usize),
            Bytes::Own(_) => None,
        });
        let until = needed.unwrap_or(self.at);
        if until == self.intake.len() {
            if self.intake.capacity() > KEPT_MAX {
                self.intake = Vec::new();
            } else {
                self.intake.clear();
            }
        } else if until > self.intake.len() / 2 {
            self.intake.drain(..until);
        } else {
            return;
        }
        self.base += until as u64;
        self.at -= until;
    }
}

/// Whether what a client has said at once ends in `QUIT`, as programs write it or as the only line: no more than counters
/// depend on that.
fn ends_in_quit(bytes: &[u8]) -> bool {
    const PLAIN: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";
    let end = &bytes[bytes.len().saturating_sub(PLAIN.len())..];
    end.eq_ignore_ascii_case(PLAIN) || bytes.trim_ascii_end().eq_ignore_ascii_case(b"quit")
}

/// Bytes of memory that a client keeps while it has nothing to hold.
const KEPT_MAX: usize = 4 << 10;

impl Split {
    /// A client has come from `address` to `local`.
    pub fn open_client(&mut self, address: &str, local: &str, time: Timestamp) -> ClientId {
        self.generation = super::next(self.generation);
        let number = self.desk.connect(address, local, time);
        let mut parser = Parser::new(self.options.limits);
        parser.set_stranger(!self.desk.is_authenticated(number));
        let index = self.clients.insert(Client {
            generation: self.generation,
            number,
            parser,
            intake: Vec::new(),
            base: 0,
            at: 0,
            wanted: 0,
            slots: VecDeque::new(),
            first: 0,
            waiting: 0,
            in_flight: 0,
            pace: Pace::default(),
            run: Run::Reads,
            link: None,
            output: Vec::new(),
            sending: Sending::default(),
            mode: Mode::Plain,
            multi: None,
            own: None,
            token: Position::default(),
            unsettled: 0,
            seeks: 0,
            lost: None,
            loss: None,
            sought: None,
            home: None,
            has_read: false,
            reads: 0,
            held_until: None,
            has_ended: false,
            is_leaving: false,
            may_have_left: false,
            has_quit: false,
            is_closing: false,
            is_touched: false,
            is_called: false,
        });
        ClientId { index: index as u32, generation: self.generation }
    }

    /// Takes what a client has sent.
    pub fn handle_client_bytes(&mut self, id: ClientId, bytes: &[u8], now: Instant) {
        let Some(client) = self.client_mut(id) else { return };
        if client.is_closing {
            return;
        }
        client.intake.extend_from_slice(bytes);
        self.advance(id, now);
        self.attend(now);
    }

    /// A client has ended its half: it is answered what it has asked for, as far as that has an end, and finished then.
    pub fn handle_client_end(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client_mut(id) else { return };
        client.has_ended = true;
        self.handle_client_leaving(id, now);
    }

    /// The same is known to come behind what was not taken yet.
    pub fn handle_client_leaving(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client_mut(id) else { return };
        client.is_leaving = true;
        self.advance(id, now);
        self.attend(now);
    }

    /// The other side of a client has ended its half, so it may have gone: what it has asked for, and is not done at once, it may ask for
    /// elsewhere.
    pub fn handle_client_left(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client_mut(id).filter(|client| !client.may_have_left) else { return };
        client.may_have_left = true;
        let soon = now.saturating_add(LEFT_HOLD);
        if let Some(until) = client.held_until.filter(|until| *until > soon) {
            client.held_until = Some(soon);
            self.timers.remove(&(until, super::Timed::Held(id)));
            self.timers.insert((soon, super::Timed::Held(id)));
        }
    }

    /// A client has gone, or was closed. What it has under way is done all the same.
    pub fn close_client(&mut self, id: ClientId, now: Instant) {
        if self.client(id).is_none() {
            return;
        }
        self.release(id);
        let client = self.clients.remove(id.index as usize);
        if let Some(home) = client.home.and_then(|home| self.nodes.get_mut(&home)) {
            home.homes -= 1;
        }
        self.desk.disconnect(client.number);
        if let Some(own) = client.own {
            self.break_link(own, now);
        }
        self.attend(now);
    }

    /// What is to be sent to a client next: all there is, or the rest of what was sent in part, behind which there may be more.
    pub fn client_output(&self, id: ClientId) -> &[u8] {
        self.client(id).map_or(&[], |client| client.sending.front(&client.output))
    }

    /// Takes away what was sent of it.
    pub fn consume_client_output(&mut self, id: ClientId, len: usize, now: Instant) {
        let pause = self.options.output_pause;
        let Some(client) = self.client_mut(id) else { return };
        let was_full = client.unsent() >= pause;
        client.sending.consume(&mut client.output, len);
        if was_full && client.unsent() < pause {
            self.advance(id, now);
            self.attend(now);
        }
    }

    /// Whether more of what a client sends is of use now; if not, it should be left unread.
    pub fn wants_client_bytes(&self, id: ClientId) -> bool {
        let Some(client) = self.client(id) else { return false };
        if client.mode == Mode::Joined {
            let own = client.own.and_then(|own| self.link(own));
            return own.is_some_and(|own| own.output().len() < self.options.link_output_max);
        }
        client.wants_bytes(&self.options)
    }

    /// Whether nothing more comes for a client: to be closed once the output is sent.
    pub fn is_client_finished(&self, id: ClientId) -> bool {
        self.client(id).is_none_or(|client| client.is_closing && client.slots.is_empty())
    }

    /// Whether a client is finished for what it has sent, or by the node that it was joined to, which may have done so. It may send
    /// on, and does not read why if the connection breaks off meanwhile.
    pub fn may_client_send_on(&self, id: ClientId) -> bool {
        let may_send_on = |client: &Client| client.parser.has_failed() || client.mode == Mode::Joined;
        self.client(id).is_some_and(|client| !client.has_ended && may_send_on(client))
    }

    /// Whether something is to come of what a client has sent, without its sending more, or it waits for messages.
    pub fn is_client_at_work(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| !client.slots.is_empty() || client.mode == Mode::Joined)
    }

    /// Goes on with a client: sends what may be sent, takes further requests, and answers.
    pub(super) fn advance(&mut self, id: ClientId, now: Instant) {
        let whole_max = self.options.whole_max;
        loop {
            let Some(client) = self.client_mut(id) else { return };
            client.flush(whole_max);
            if client.mode == Mode::Joined {
                self.pass_on(id);
                break;
            }
            if !self.dispatch(id, now) {
                break;
            }
            // What was answered here without being sent is told before it is looked at what comes behind.
            if let Some(client) = self.client_mut(id) {
                client.flush(whole_max);
            }
            if !self.take_request(id, now) {
                break;
            }
        }
        self.leave(id, now);
        let (output_max, output_pause) = (self.options.output_max, self.options.output_pause);
        let Some(client) = self.client_mut(id) else { return };
        client.flush(whole_max);
        let held: usize = client
            .slots
            .iter()
            .map(|slot| match &slot.state {
                State::Ready(answer) | State::Sent { answer, .. } => answer.len(),
                _ => 0,
            })
            .sum();
        if client.unsent() + held > output_max {
            self.counters.slow += 1;
            return self.cut(id);
        }
        let is_answered = client.slots.is_empty() && client.mode != Mode::Joined;
        if client.has_ended && is_answered && client.unsent() < output_pause {
            client.is_closing = true;
        }
        self.call_client(id);
    }

    /// Has a client closed at once.
    pub(super) fn cut(&mut self, id: ClientId) {
        let Some(client) = self.client_mut(id) else { return };
        client.stop();
        client.output = Vec::new();
        client.sending = Sending::default();
        self.release(id);
        self.actions.push_back(Action::CutClient(id));
    }

    /// What a client that has ended its half waits for without end goes on no longer than at a node.
    fn leave(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client(id).filter(|client| client.is_leaving) else { return };
        match client.slots.front() {
            _ if client.mode == Mode::Joined => {
                let (own, has_ended) = (client.own, client.has_ended);
                let Some(own) = own else { return };
                self.leave_link(own, now);
                if has_ended {
                    self.say_no_more(own);
                }
            }
            Some(Slot { ask: Ask::Wait { within_ms: None }, state: State::Sent { link, .. }, .. }) => {
                let link = *link;
                self.leave_link(link, now);
            }
            _ => {}
        }
    }

    /// It does not wait for a primary any more.
    pub(super) fn release(&mut self, id: ClientId) {
        self.held.remove(&id);
        if let Some(client) = self.client_mut(id)
            && let Some(until) = client.held_until.take()
        {
            self.timers.remove(&(until, super::Timed::Held(id)));
        }
    }

    /// What a joined client has said goes to its node.
    fn pass_on(&mut self, id: ClientId) {
        let Some(client) = self.client_mut(id) else { return };
        let bytes = std::mem::take(&mut client.intake);
        let at = std::mem::take(&mut client.at);
        client.base += bytes.len() as u64;
        let (own, has_ended) = (client.own, client.has_ended);
        if has_ended && own.is_none() {
            client.is_closing = true;
        }
        if at < bytes.len() {
            client.has_quit = ends_in_quit(&bytes[at..]);
        }
        if let Some(own) = own
            && at < bytes.len()
            && let Some(link) = self.link_mut(own)
        {
            link.write(&bytes[at..]);
            self.call_link(own);
        }
    }
}
