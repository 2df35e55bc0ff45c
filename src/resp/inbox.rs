//! [`Message`], and the [`Inbox`] of a connection: what was published for it and is not yet among what it is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use super::reply::Reply;

/// A message to be written to those who have asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The pattern that the channel fits, for who has subscribed to one.
    pub pattern: Option<Arc<[u8]>>,
    /// The channel.
    pub channel: Arc<[u8]>,
    /// What was published.
    pub payload: Arc<[u8]>,
}

impl Message {
    pub(super) fn write(&self, reply: &mut Reply<'_>) {
        match &self.pattern {
            None => {
                reply.push(3);
                reply.bulk(b"message");
            }
            Some(pattern) => {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
            }
        }
        reply.bulk(&self.channel);
        reply.bulk(&self.payload);
    }

    /// What it counts as while it waits: its bytes, which are written for each who is told, and at least what it takes
    /// here.
    fn bytes(&self) -> usize {
        let pattern = self.pattern.as_ref().map_or(0, |pattern| pattern.len());
        (HEADS + pattern + self.channel.len() + self.payload.len()).max(size_of::<Self>())
    }
}

/// Bytes that are written around a message, at least.
const HEADS: usize = 29;

/// Messages kept room for while none waits.
const KEPT_MAX: usize = 32;

/// See the module. One transaction may publish any number of messages before the first of them is delivered, so they count
/// as what the client has not read from the beginning: with more than `bytes_max` it holds none any more, and the client is
/// cut.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    bytes_max: usize,
    is_over: bool,
}

impl Inbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, bytes_max, is_over: false }
    }

    /// Takes a message; the last one stays where there were too many, for its delivery to cut the client.
    pub(super) fn push(&mut self, message: Message) {
        if self.is_over {
            return;
        }
        self.bytes += message.bytes();
        if self.bytes > self.bytes_max {
            self.is_over = true;
            self.messages = VecDeque::new();
        }
        self.messages.push_back(message);
    }

    /// The oldest.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes().min(self.bytes);
        if self.messages.is_empty() && self.messages.capacity() > KEPT_MAX {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there were too many.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize) -> Message {
        Message { pattern: None, channel: Arc::from(&b"c"[..]), payload: vec![b'x'; len].into() }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut inbox = Inbox::new(1_000);
        (0..20).for_each(|_| inbox.push(message(1)));
        assert_eq!((inbox.len(), inbox.is_over()), (20, false), "small ones count as what they take");
        inbox.push(message(1));
        assert_eq!((inbox.len(), inbox.is_over()), (1, true));
        inbox.push(message(1));
        assert_eq!(inbox.len(), 1);
        assert!(inbox.pop().is_some() && inbox.pop().is_none());
        inbox.push(message(1));
        assert!(inbox.pop().is_none() && inbox.is_over(), "it is over for good");
    }

    #[test]
    fn what_was_taken_waits_no_more() {
        let mut inbox = Inbox::new(1_000);
        for _ in 0..100 {
            inbox.push(message(400));
            inbox.push(message(400));
            assert!(inbox.pop().is_some() && inbox.pop().is_some());
        }
        assert_eq!((inbox.bytes, inbox.is_over()), (0, false));
    }
}
