//! [`Link`]: one connection between two nodes, as one of them sees it.
//!
//! ```text
//! dialler                       acceptor
//! preamble, Hello  ──────────►  owner judges it
//! owner judges it  ◄──────────  preamble, Welcome      (or Refusal, and the end)
//! Ready            ──────────►  up                     (or Refusal, and the end)
//! up
//!        Begin, More, Credit, Ping, Pong, both ways
//!        Bye, and the end
//! ```
//!
//! Neither side is up before both have agreed. Whether the other side is who it says is for the owner to know: the link
//! gives out its hello and waits for a judgement.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::peer::frame::{self, Frame, Kind, PREAMBLE, Splitter};
use crate::peer::hello::{Hello, Reason, Refusal};
use crate::peer::inbox::Inbox;
use crate::peer::outbox::Outbox;
use crate::peer::{Class, End, Fault, Options};
use crate::time::Instant;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connected.
    Dialler,
    /// It was connected to.
    Acceptor,
}

/// What the owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Who the other side says it is: to be answered with [`Link::accept`] or [`Link::refuse`].
    Hello(Hello),
    /// Both sides agree, on this version of the protocol.
    Up {
        /// The version.
        version: u16,
    },
    /// It is over. What it still has to say goes with [`Link::poll_transmit`], then the connection is closed.
    Over(End),
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How urgent it is.
    pub class: Class,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Why a message was not taken. It is gone; whoever sends has to live with messages that get lost anyway.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// No node of that name is known.
    Unknown,
    /// There is no link to it now.
    Down,
    /// So much waits already that it found no room.
    Full,
    /// It is empty, or longer than either side takes.
    Length,
}

/// What went over a link, or over all that there were to a node. The lists are for [`Class::ALL`], in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that came, without what TLS adds.
    pub bytes_in: u64,
    /// Bytes that went, without what TLS adds.
    pub bytes_out: u64,
    /// Frames that came.
    pub frames_in: u64,
    /// Frames that went.
    pub frames_out: u64,
    /// Messages that came, whole.
    pub messages_in: [u64; 3],
    /// Messages that went, whole.
    pub messages_out: [u64; 3],
    /// Messages not taken because their queue was full.
    pub full: [u64; 3],
}

/// One connection between two nodes, without its socket. Not to be shared between threads without a lock; nothing blocks.
#[derive(Debug)]
pub struct Link {
    side: Side,
    state: State,
    begun: Instant,
    hello_max: Duration,
    message_bytes_max: u32,
    splitter: Splitter,
    inbox: Inbox,
    outbox: Outbox,
    /// What goes before anything else: preamble, hello, refusal, bye.
    head: Vec<u8>,
    own: Option<Hello>,
    remote: Option<Hello>,
    pinging: Pinging,
    /// The number of a ping to be answered: the last, where there are several.
    owes_pong: Option<u64>,
    events: VecDeque<Event>,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the other side's hello.
    Greeting,
    /// The owner judges it.
    Judging,
    /// Told the dialler that it is welcome; waits for it to agree.
    Welcomed,
    Up,
    Over,
}

/// Whether the other side is there.
#[derive(Debug)]
struct Pinging {
    interval: Duration,
    silence_max: Duration,
    next: Instant,
    number: u64,
    /// The ping that waits for its answer, and since when.
    asked: Option<Instant>,
    is_to_go: bool,
    round_trip: Option<Duration>,
}

impl Link {
    /// The end that connected; `own` is what it says first.
    pub fn dialler(own: Hello, options: &Options, now: Instant) -> Self {
        let mut link = Self::new(Side::Dialler, options, now);
        link.say(Kind::Hello, &own.encode());
        link.own = Some(own);
        link
    }

    /// The end that was connected to.
    pub fn acceptor(options: &Options, now: Instant) -> Self {
        Self::new(Side::Acceptor, options, now)
    }

    fn new(side: Side, options: &Options, now: Instant) -> Self {
        Self {
            side,
            state: State::Greeting,
            begun: now,
            hello_max: options.hello_max,
            message_bytes_max: options.message_bytes_max,
            splitter: Splitter::new(),
            inbox: Inbox::new(options.window_bytes, options.message_bytes_max),
            outbox: Outbox::new(options.queue_bytes, options.bulk_rate),
            head: Vec::new(),
            own: None,
            remote: None,
            pinging: Pinging {
                interval: options.ping_interval,
                silence_max: options.silence_max,
                next: now,
                number: 0,
                asked: None,
                is_to_go: false,
                round_trip: None,
            },
            owes_pong: None,
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes what came. After the end nothing is taken any more.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if self.state == State::Over {
            return;
        }
        self.counters.bytes_in += bytes.len() as u64;
        let mut splitter = std::mem::take(&mut self.splitter);
        let mut input = bytes;
        while self.state != State::Over {
            let handled = match splitter.next(&mut input) {
                Ok(Some(frame)) => {
                    self.counters.frames_in += 1;
                    self.handle_frame(frame, now)
                }
                Ok(None) => break,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = handled {
                if fault == Fault::Tls && self.side == Side::Acceptor {
                    let detail = "this node speaks plaintext to its peers, and was spoken to in TLS; set peer_tls alike";
                    self.say(Kind::Refusal, &Refusal::new(Reason::PlaintextOnly, detail).encode());
                }
                self.end(End::Fault(fault));
            }
        }
        self.splitter = splitter;
    }

    /// The other side sends no more.
    pub fn handle_end(&mut self) {
        self.end(End::Gone);
    }

    /// The owner takes the other side, whose [`Event::Hello`] it was given. `own` is what this node says to it.
    pub fn accept(&mut self, own: Hello, now: Instant) {
        let (State::Judging, Some(remote)) = (self.state, self.remote.as_ref()) else { return };
        self.outbox.set_windows(remote.windows);
        self.message_bytes_max = self.message_bytes_max.min(remote.message_bytes_max);
        if self.side == Side::Dialler {
            self.own = Some(own);
            self.say(Kind::Ready, &[]);
            self.rise(now);
        } else {
            self.say(Kind::Welcome, &own.encode());
            self.own = Some(own);
            self.state = State::Welcomed;
        }
    }

    /// The owner does not take the other side, which is told why.
    pub fn refuse(&mut self, refusal: Refusal) {
        if self.state != State::Over {
            self.say(Kind::Refusal, &refusal.encode());
            self.end(End::RefusedHere(refusal));
        }
    }

    /// Ends it, with a word to the other side where that knows who speaks.
    pub fn close(&mut self, end: End) {
        if matches!(self.state, State::Up | State::Welcomed) {
            self.say(Kind::Bye, &[]);
        }
        self.end(end);
    }

    /// Takes a message in, to go when its turn comes.
    ///
    /// # Errors
    ///
    /// `Down` before it is up and after its end, `Full` when too much waits, `Length` for one that is empty or too long.
    pub fn send(&mut self, class: Class, message: Vec<u8>) -> Result<(), NotSent> {
        self.check_sendable(message.len())?;
        self.outbox.push(class, message).map_err(|_| {
            self.counters.full[class.index()] += 1;
            NotSent::Full
        })
    }

    /// Whether it could go if it found room.
    fn check_sendable(&self, bytes: usize) -> Result<(), NotSent> {
        if self.state != State::Up {
            return Err(NotSent::Down);
        }
        if bytes == 0 || bytes > self.message_bytes_max as usize {
            return Err(NotSent::Length);
        }
        Ok(())
    }

    /// What [`send`](Self::send) would say to a message of so many bytes now.
    ///
    /// # Errors
    ///
    /// Why it would not go: [`NotSent`].
    pub fn check_room(&self, class: Class, bytes: usize) -> Result<(), NotSent> {
        self.check_sendable(bytes)?;
        if self.outbox.has_room(class, bytes) { Ok(()) } else { Err(NotSent::Full) }
    }

    /// The next message that came: urgent ones first, but none waits for ever. Taking it makes room for others.
    pub fn take(&mut self) -> Option<Message> {
        let (class, bytes) = self.inbox.take()?;
        Some(Message { class, bytes })
    }

    /// What the owner is to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends what is to go, until `to` has `limit` bytes or a frame more, or there is nothing. Whether there was
    /// something.
    pub fn poll_transmit(&mut self, to: &mut Vec<u8>, limit: usize, now: Instant) -> bool {
        let before = to.len();
        if !self.head.is_empty() {
            to.append(&mut self.head);
            self.counters.frames_out += 1;
        }
        if self.state == State::Up {
            self.put_control(to);
            while to.len() < limit {
                let Some((class, has_ended)) = self.outbox.put_next(to, now) else { break };
                self.counters.frames_out += 1;
                self.counters.messages_out[class.index()] += u64::from(has_ended);
            }
        }
        self.counters.bytes_out += (to.len() - before) as u64;
        to.len() > before
    }

    /// Does what is due at or before `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Greeting | State::Judging | State::Welcomed => {
                if now >= self.begun.saturating_add(self.hello_max) {
                    self.end(End::Late);
                }
            }
            State::Up => {
                if self.pinging.is_silent(now) {
                    self.end(End::Silent);
                } else {
                    self.pinging.ask(now);
                }
            }
            State::Over => {}
        }
    }

    /// Asks the other side now whether it is there.
    pub fn probe(&mut self, now: Instant) {
        if self.state == State::Up {
            self.pinging.next = now;
            self.pinging.ask(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`poll_transmit`](Self::poll_transmit) has something to do that
    /// waits for nothing but time; `None` after the end.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Up => {
                let ping = self.pinging.next_deadline();
                Some(self.outbox.next_deadline(now).map_or(ping, |paced| paced.min(ping)))
            }
            _ => Some(self.begun.saturating_add(self.hello_max)),
        }
    }

    /// Another bound for bulk, in bytes a second; 0: none.
    pub fn set_bulk_rate(&mut self, rate: u64) {
        self.outbox.set_bulk_rate(rate);
    }

    /// Whether both sides have agreed and it is not over.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether a message can be taken.
    pub fn has_message(&self) -> bool {
        self.inbox.has_whole()
    }

    /// Whether what was taken makes something to be said.
    pub fn owes_credit(&self) -> bool {
        self.state == State::Up && self.inbox.owes_credit()
    }

    /// Which end it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What the other side said of itself.
    pub fn remote(&self) -> Option<&Hello> {
        self.remote.as_ref()
    }

    /// How long the last question took to be answered.
    pub fn round_trip(&self) -> Option<Duration> {
        self.pinging.round_trip
    }

    /// How many messages of a class wait to go, and what they count for.
    pub fn waiting(&self, class: Class) -> (usize, u64) {
        self.outbox.waiting(class)
    }

    /// What went over it.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn handle_frame(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        let Frame { kind, class, payload } = frame;
        match (self.state, kind) {
            (State::Greeting, Kind::Hello) if self.side == Side::Acceptor => self.greet(payload),
            (State::Greeting, Kind::Welcome) if self.side == Side::Dialler => self.greet(payload),
            (State::Greeting | State::Welcomed, Kind::Refusal) => {
                let refusal = Refusal::decode(payload)?;
                self.end(End::Refused(refusal));
                Ok(())
            }
            (State::Welcomed, Kind::Ready) => {
                self.rise(now);
                Ok(())
            }
            (State::Up | State::Welcomed, Kind::Bye) => {
                self.end(End::Left);
                Ok(())
            }
            (State::Up, Kind::Begin) => {
                let is_whole = self.inbox.handle_begin(class, payload)?;
                self.counters.messages_in[class.index()] += u64::from(is_whole);
                Ok(())
            }
            (State::Up, Kind::More) => {
                let is_whole = self.inbox.handle_more(class, payload)?;
                self.counters.messages_in[class.index()] += u64::from(is_whole);
                Ok(())
            }
            (State::Up, Kind::Credit) => self.outbox.credit(class, number(payload)?),
            (State::Up, Kind::Ping) => {
                self.owes_pong = Some(number(payload)?);
                Ok(())
            }
            (State::Up, Kind::Pong) => self.pinging.answer(number(payload)?, now),
            _ => Err(Fault::Unexpected(kind)),
        }
    }

    fn greet(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let hello = Hello::decode(payload)?;
        self.remote = Some(hello.clone());
        self.state = State::Judging;
        self.events.push_back(Event::Hello(hello));
        Ok(())
    }

    fn rise(&mut self, now: Instant) {
        self.state = State::Up;
        self.pinging.next = now.saturating_add(self.pinging.interval);
        let both = self.own.as_ref().zip(self.remote.as_ref());
        let version = both.and_then(|(own, remote)| own.version_with(remote)).unwrap_or_default();
        self.events.push_back(Event::Up { version });
    }

    fn end(&mut self, end: End) {
        if self.state != State::Over {
            self.state = State::Over;
            self.events.push_back(Event::Over(end));
        }
    }

    /// Puts a frame before all else; the preamble before the first.
    fn say(&mut self, kind: Kind, payload: &[u8]) {
        if self.counters.frames_out == 0 && self.head.is_empty() {
            self.head.extend_from_slice(&PREAMBLE);
        }
        frame::put(&mut self.head, kind, Class::Urgent, &[payload]);
    }

    /// Answers, questions, credit: a frame of each at most.
    fn put_control(&mut self, to: &mut Vec<u8>) {
        if let Some(number) = self.owes_pong.take() {
            frame::put(to, Kind::Pong, Class::Urgent, &[&number.to_le_bytes()]);
            self.counters.frames_out += 1;
        }
        if std::mem::take(&mut self.pinging.is_to_go) {
            frame::put(to, Kind::Ping, Class::Urgent, &[&self.pinging.number.to_le_bytes()]);
            self.counters.frames_out += 1;
        }
        for class in Class::ALL {
            if let Some(taken) = self.inbox.take_credit(class) {
                frame::put(to, Kind::Credit, class, &[&taken.to_le_bytes()]);
                self.counters.frames_out += 1;
            }
        }
    }
}

impl Pinging {
    /// Asks, when it is time and nothing was asked that waits for its answer. The time runs from here, whether the
    /// question can be sent or not: a peer that reads nothing answers nothing.
    fn ask(&mut self, now: Instant) {
        if self.asked.is_none() && now >= self.next {
            self.number += 1;
            self.asked = Some(now);
            self.is_to_go = true;
        }
    }

    fn answer(&mut self, number: u64, now: Instant) -> Result<(), Fault> {
        let Some(asked) = self.asked.filter(|_| number == self.number && !self.is_to_go) else {
            return Err(Fault::Malformed("it answers what was not asked"));
        };
        self.round_trip = Some(now.duration_since(asked));
        self.asked = None;
        self.next = asked.saturating_add(self.interval).max(now);
        Ok(())
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now >= asked.saturating_add(self.silence_max))
    }

    fn next_deadline(&self) -> Instant {
        self.asked.map_or(self.next, |asked| asked.saturating_add(self.silence_max))
    }
}

impl Counters {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Counters) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
        for at in 0..3 {
            self.messages_in[at] += other.messages_in[at];
            self.messages_out[at] += other.messages_out[at];
            self.full[at] += other.full[at];
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotSent::Unknown => "no node of that name is known",
            NotSent::Down => "there is no link to that node now",
            NotSent::Full => "too much waits for that node already",
            NotSent::Length => "the message is empty or too long",
        })
    }
}

fn number(payload: &[u8]) -> Result<u64, Fault> {
    payload.try_into().map(u64::from_le_bytes).map_err(|_| Fault::Malformed("a number has no eight bytes"))
}

#[cfg(test)]
mod tests;
