//! [`Dialogue`]: one connection's requests and answers.

use std::sync::Weak;

use crate::driver::conversation::{Conversation, Progress};
use crate::server::admin::Instance;
use crate::server::admin::actions::{Done, Followed, carry_out};
use crate::server::admin::answer::{Answer, Stream};
use crate::server::admin::head::{Head, Method, Parsed, Refused, parse};

/// One client of the admin interface, without its connection: bytes in, bytes out. A server makes one for each
/// connection to its admin socket; a host that has a transport of its own gets one from
/// [`Server::admin`](crate::server::Server::admin).
///
/// Requests are answered in their order and may be sent ahead; up to [`AHEAD_MAX`] of those that come at once
/// are, and none once 1 MiB of answers waits: then the connection ends and the client asks again. Events are told
/// by [`Dialogue::handle_news`] to who follows them, and nothing else on that connection any more.
pub struct Dialogue {
    instance: Weak<dyn Instance>,
    reach: Reach,
    /// What came and is not dealt with.
    buffer: Vec<u8>,
    phase: Phase,
    /// Requests answered.
    answered: u64,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Reach {
    /// Everything.
    All,
    /// Everything, over a loopback address, where only loopback's names are good.
    Loopback,
    /// How the store's node stands, and nothing else.
    Standing,
}

enum Phase {
    /// A head is awaited.
    Head,
    /// The rest of the body of this one is.
    Body(Box<Head>),
    /// So much is thrown away: the body of a request that was refused.
    Discard {
        left: u64,
        then_ends: bool,
    },
    /// What is followed is told as it comes. What the client says is thrown away.
    Follow(Followed, Stream),
    Over,
}

/// How many requests that come at once are answered.
pub const AHEAD_MAX: usize = 64;
/// How many bytes of answers may wait before no further request is answered.
const WAITING_MAX: usize = 1 << 20;
/// How much of a body that is too long is read, so that the client gets to read the answer.
const DISCARDED_MAX: u64 = 1 << 20;

impl Dialogue {
    pub(in crate::server) fn new(instance: Weak<dyn Instance>, reach: Reach) -> Self {
        Self { instance, reach, buffer: Vec::new(), phase: Phase::Head, answered: 0 }
    }

    /// Takes bytes from the client and appends what it is to be sent to `answer`. Empty `bytes` say that the
    /// client ended its half. `false`: it is over once `answer` is sent; what comes after is ignored.
    ///
    /// Does not block, allocates at most for one request beside `answer`, and gives orders to the server on this
    /// thread.
    pub fn handle_bytes(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> bool {
        if bytes.is_empty() {
            self.phase = Phase::Over;
        }
        self.buffer.extend_from_slice(bytes);
        // A head grows line by line: in the middle of a line there is nothing to be seen but its length.
        let is_first = self.buffer.len() == bytes.len();
        let is_worth_a_look = is_first
            || bytes.contains(&b'\n')
            || self.buffer.len() >= super::HEAD_MAX
            || !matches!(self.phase, Phase::Head);
        if is_worth_a_look {
            let used = self.advance(answer);
            self.buffer.drain(..used);
        }
        if matches!(self.phase, Phase::Over) {
            self.buffer = Vec::new();
            return false;
        }
        if self.buffer.is_empty() {
            // An idle connection holds no buffer.
            self.buffer = Vec::new();
        }
        true
    }

    /// Appends some of the events that came since, for a client that follows them; nothing when there is no
    /// more at present. `false` as with [`Dialogue::handle_bytes`].
    ///
    /// To be called once a client's request was taken, and again whenever all that was appended is sent and
    /// there may be more. A client that takes its answers too slowly misses events, and is told how many.
    pub fn handle_news(&mut self, answer: &mut Vec<u8>) -> bool {
        if let Phase::Follow(follower, stream) = &mut self.phase {
            let mut lines = Vec::new();
            follower.read(&mut lines);
            stream.write(&lines, answer);
            if follower.is_over() {
                stream.end(answer);
                self.phase = Phase::Over;
            }
        }
        !matches!(self.phase, Phase::Over)
    }

    fn progress(&self) -> Progress {
        match self.phase {
            Phase::Head if self.buffer.is_empty() => Progress::Idle,
            Phase::Head | Phase::Body(_) | Phase::Discard { .. } => Progress::Begun(self.answered),
            Phase::Follow(..) => Progress::Following,
            Phase::Over => Progress::Closing,
        }
    }

    /// Goes as far as the bytes at hand allow. Gives how many of them are dealt with.
    fn advance(&mut self, answer: &mut Vec<u8>) -> usize {
        let mut used = 0;
        let mut answered = 0;
        loop {
            let bytes = &self.buffer[used..];
            match &mut self.phase {
                Phase::Over => return used,
                Phase::Follow(..) => return self.buffer.len(),
                Phase::Head if bytes.is_empty() => return used,
                Phase::Head => match parse(bytes, self.reach) {
                    Parsed::Partial => return used,
                    Parsed::Refused(refused, length) => {
                        used += length;
                        answered += 1;
                        self.answered += 1;
                        let is_last = refused.answer.is_last || self.is_enough(answered, used, answer);
                        refused.answer.write(is_last, refused.is_head, answer);
                        self.phase = after_refusal(&refused, is_last);
                    }
                    Parsed::Whole(head, length) => {
                        used += length;
                        if head.expects && self.buffer.len() == used && head.body > 0 {
                            answer.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                        }
                        self.phase = Phase::Body(head);
                    }
                },
                Phase::Body(head) if bytes.len() < head.body => return used,
                Phase::Body(head) => {
                    let done = match self.instance.upgrade() {
                        Some(instance) => carry_out(head, &bytes[..head.body], &*instance),
                        None => Done::Told(Answer::error(503, "the server has ended").last()),
                    };
                    let (is_last, is_head) = (head.is_last, head.method == Method::Head);
                    let stream = Stream { is_chunked: !head.is_old };
                    used += head.body;
                    answered += 1;
                    self.answered += 1;
                    match done {
                        Done::Told(told) => {
                            let is_last = is_last || told.is_last || self.is_enough(answered, used, answer);
                            told.write(is_last, is_head, answer);
                            self.phase = if is_last { Phase::Over } else { Phase::Head };
                        }
                        Done::Follows(follower) => {
                            stream.begin(answer);
                            self.phase = if is_head { Phase::Over } else { Phase::Follow(follower, stream) };
                        }
                    }
                }
                Phase::Discard { left, then_ends } => {
                    let now = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    used += now;
                    *left -= now as u64;
                    if *left > 0 {
                        return used;
                    }
                    self.phase = if *then_ends { Phase::Over } else { Phase::Head };
                }
            }
        }
    }

    /// Whether no more of what is there already is answered.
    fn is_enough(&self, answered: usize, used: usize, answer: &[u8]) -> bool {
        let is_more_there = self.buffer.len() > used;
        is_more_there && (answered >= AHEAD_MAX || answer.len() >= WAITING_MAX)
    }
}

/// What follows an answer that refuses.
fn after_refusal(refused: &Refused, is_last: bool) -> Phase {
    match refused.body {
        0 if is_last => Phase::Over,
        0 => Phase::Head,
        left => Phase::Discard { left: left.min(DISCARDED_MAX), then_ends: is_last },
    }
}

impl Conversation for Dialogue {
    fn handle_bytes(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Progress {
        Dialogue::handle_bytes(self, bytes, answer);
        self.progress()
    }

    fn handle_news(&mut self, answer: &mut Vec<u8>) -> Progress {
        Dialogue::handle_news(self, answer);
        self.progress()
    }

    fn handle_timeout(&mut self, answer: &mut Vec<u8>) -> Progress {
        match (&self.phase, self.progress()) {
            // An empty line, which is no event. It also finds out whether somebody is there.
            (Phase::Follow(_, stream), _) => stream.write(b"\n", answer),
            (Phase::Head | Phase::Body(_), Progress::Begun(_)) => {
                let late = Answer::error(408, "the request did not come to its end in time");
                late.write(true, false, answer);
                self.phase = Phase::Over;
            }
            _ => self.phase = Phase::Over,
        }
        self.progress()
    }

    fn handle_end(&mut self, answer: &mut Vec<u8>) {
        if let Phase::Follow(_, stream) = self.phase {
            stream.end(answer);
        }
        self.phase = Phase::Over;
    }
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialogue").field("buffered_bytes", &self.buffer.len()).finish_non_exhaustive()
    }
}
