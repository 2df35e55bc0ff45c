//! [`Dialogue`]: one connection's requests and answers.

use std::sync::Weak;

use crate::driver::conversation::{Conversation, Progress};
use crate::server::admin::answer::Answer;
use crate::server::admin::head::{Head, Method, Parsed, Refused, parse};
use crate::server::admin::{Instance, actions};

/// One client of the admin interface, without its connection: bytes in, bytes out. A server makes one for each
/// connection to its admin socket; a host that has a transport of its own gets one from
/// [`Server::admin`](crate::server::Server::admin).
///
/// Requests are answered in their order and may be sent ahead; up to [`AHEAD_MAX`] of those that come at once
/// are, and none once 1 MiB of answers waits: then the connection ends and the client asks again.
pub struct Dialogue {
    instance: Weak<dyn Instance>,
    /// Whether it is over a loopback address, where only loopback's names are good.
    is_loopback: bool,
    /// What came and is not dealt with.
    buffer: Vec<u8>,
    phase: Phase,
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
    Over,
}

/// How many requests that come at once are answered.
pub const AHEAD_MAX: usize = 64;
/// How many bytes of answers may wait before no further request is answered.
const WAITING_MAX: usize = 1 << 20;
/// How much of a body that is too long is read, so that the client gets to read the answer.
const DISCARDED_MAX: u64 = 1 << 20;

impl Dialogue {
    pub(in crate::server) fn new(instance: Weak<dyn Instance>, is_loopback: bool) -> Self {
        Self { instance, is_loopback, buffer: Vec::new(), phase: Phase::Head }
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

    /// Goes as far as the bytes at hand allow. Gives how many of them are dealt with.
    fn advance(&mut self, answer: &mut Vec<u8>) -> usize {
        let mut used = 0;
        let mut answered = 0;
        loop {
            let bytes = &self.buffer[used..];
            match &mut self.phase {
                Phase::Over => return used,
                Phase::Head if bytes.is_empty() => return used,
                Phase::Head => match parse(bytes, self.is_loopback) {
                    Parsed::Partial => return used,
                    Parsed::Refused(refused, length) => {
                        used += length;
                        answered += 1;
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
                        Some(instance) => actions::carry_out(head, &bytes[..head.body], &*instance),
                        None => Answer::error(503, "the server has ended").last(),
                    };
                    let (is_last, is_head) = (head.is_last || done.is_last, head.method == Method::Head);
                    used += head.body;
                    answered += 1;
                    let is_last = is_last || self.is_enough(answered, used, answer);
                    done.write(is_last, is_head, answer);
                    self.phase = if is_last { Phase::Over } else { Phase::Head };
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
        if Dialogue::handle_bytes(self, bytes, answer) { Progress::More } else { Progress::Close }
    }
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialogue").field("buffered_bytes", &self.buffer.len()).finish_non_exhaustive()
    }
}
