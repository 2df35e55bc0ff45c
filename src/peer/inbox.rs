//! [`Inbox`]: messages that came over one link, from their first fragment until they are taken.

use std::collections::VecDeque;

use crate::peer::outbox::may_begin;
use crate::peer::turns::Turns;
use crate::peer::{Class, Fault, charge};

/// What has come, by class, never more than its windows.
#[derive(Debug)]
pub(super) struct Inbox {
    queues: [Queue; 3],
    turns: Turns,
    message_bytes_max: u32,
}

#[derive(Debug, Default)]
struct Queue {
    /// The message that is coming, and how long it will be.
    coming: Option<(usize, Vec<u8>)>,
    whole: VecDeque<Vec<u8>>,
    /// What all that was not taken yet counts for.
    held: u64,
    window: u64,
    /// What was taken since the last credit.
    owed: u64,
}

/// What is set aside for a message before its bytes come, at most: a length alone costs no memory.
const RESERVED_BYTES_MAX: usize = 64 << 10;

impl Inbox {
    pub(super) fn new(windows: [u32; 3], message_bytes_max: u32) -> Self {
        let queue = |window| Queue { window: u64::from(window), ..Queue::default() };
        Self { queues: windows.map(queue), turns: Turns::default(), message_bytes_max }
    }

    /// A message begins. Whether it is whole already.
    pub(super) fn handle_begin(&mut self, class: Class, payload: &[u8]) -> Result<bool, Fault> {
        let queue = &mut self.queues[class.index()];
        if queue.coming.is_some() {
            return Err(Fault::Malformed("a message begins within another"));
        }
        let (len, first) =
            payload.split_first_chunk::<4>().ok_or(Fault::Malformed("a message has no length"))?;
        let len = u32::from_le_bytes(*len);
        if len > self.message_bytes_max {
            return Err(Fault::TooLong { bytes: u64::from(len), limit: u64::from(self.message_bytes_max) });
        }
        let len = len as usize;
        // A message of nothing would have no second fragment to tell its end by.
        if len == 0 || (first.is_empty()) {
            return Err(Fault::Malformed("a message begins with nothing"));
        }
        if !may_begin(queue.held, charge(len), queue.window) {
            return Err(Fault::Window(class));
        }
        queue.held += charge(len);
        queue.coming = Some((len, Vec::with_capacity(len.min(RESERVED_BYTES_MAX))));
        queue.take_in(first)
    }

    /// The next part of a message. Whether it is whole now.
    pub(super) fn handle_more(&mut self, class: Class, part: &[u8]) -> Result<bool, Fault> {
        if part.is_empty() {
            return Err(Fault::Malformed("a part of a message is empty"));
        }
        self.queues[class.index()].take_in(part)
    }

    /// The next whole message.
    pub(super) fn take(&mut self) -> Option<(Class, Vec<u8>)> {
        let queues = &self.queues;
        let class = self.turns.next(|class| !queues[class.index()].whole.is_empty())?;
        let queue = &mut self.queues[class.index()];
        let message = queue.whole.pop_front().expect("it is there");
        queue.held -= charge(message.len());
        queue.owed += charge(message.len());
        Some((class, message))
    }

    /// Whether there is a whole message.
    pub(super) fn has_whole(&self) -> bool {
        self.queues.iter().any(|queue| !queue.whole.is_empty())
    }

    /// What the other side is to be told was taken, once it is an eighth of the window; it is told by that.
    pub(super) fn take_credit(&mut self, class: Class) -> Option<u64> {
        let queue = &mut self.queues[class.index()];
        (queue.owed > queue.window / 8).then(|| std::mem::take(&mut queue.owed))
    }

    /// Whether there is credit to be told.
    pub(super) fn owes_credit(&self) -> bool {
        self.queues.iter().any(|queue| queue.owed > queue.window / 8)
    }

    /// The bytes held, with what was set aside for more.
    #[cfg(test)]
    fn held_bytes(&self) -> usize {
        let queue = |queue: &Queue| {
            queue.whole.iter().map(Vec::capacity).sum::<usize>()
                + queue.coming.as_ref().map_or(0, |(_, bytes)| bytes.capacity())
        };
        self.queues.iter().map(queue).sum()
    }
}

impl Queue {
    fn take_in(&mut self, part: &[u8]) -> Result<bool, Fault> {
        let (len, bytes) =
            self.coming.as_mut().ok_or(Fault::Malformed("a message goes on that never began"))?;
        if part.len() > *len - bytes.len() {
            return Err(Fault::Malformed("a message is longer than it said"));
        }
        bytes.extend_from_slice(part);
        if bytes.len() < *len {
            return Ok(false);
        }
        self.whole.extend(self.coming.take().map(|(_, bytes)| bytes));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::outbox::Outbox;
    use crate::peer::{Kind, PREAMBLE, Splitter};
    use crate::time::Instant;
    use proptest::prelude::*;

    fn begin(len: u32, first: &[u8]) -> Vec<u8> {
        [&len.to_le_bytes()[..], first].concat()
    }

    #[test]
    fn what_no_outbox_sends_is_refused() {
        let fresh = || Inbox::new([1_000; 3], 5_000);
        let class = Class::Normal;
        assert!(fresh().handle_more(class, b"x").is_err());
        assert!(fresh().handle_begin(class, &[1, 0]).is_err());
        assert!(fresh().handle_begin(class, &begin(0, b"")).is_err());
        assert!(fresh().handle_begin(class, &begin(7, b"")).is_err());
        assert_eq!(
            fresh().handle_begin(class, &begin(5_001, b"x")),
            Err(Fault::TooLong { bytes: 5_001, limit: 5_000 })
        );
        assert!(fresh().handle_begin(class, &begin(1, b"xy")).is_err());
        let mut inbox = fresh();
        assert_eq!(inbox.handle_begin(class, &begin(3, b"x")), Ok(false));
        assert!(inbox.handle_begin(class, &begin(3, b"x")).is_err());
        assert!(inbox.handle_more(class, b"").is_err());
        assert_eq!(inbox.handle_more(class, b"yz"), Ok(true));
        assert_eq!(inbox.take(), Some((class, b"xyz".to_vec())));
    }

    #[test]
    fn a_window_that_is_full_takes_nothing_and_declared_lengths_cost_nothing() {
        let mut inbox = Inbox::new([1_000, 1_000, 1 << 30], 1 << 30);
        assert_eq!(inbox.handle_begin(Class::Urgent, &begin(900, &[0; 900])), Ok(true));
        assert_eq!(inbox.handle_begin(Class::Urgent, &begin(1, b"x")), Err(Fault::Window(Class::Urgent)));
        assert_eq!(inbox.handle_begin(Class::Bulk, &begin(1 << 30, b"x")), Ok(false));
        assert!(inbox.held_bytes() < 100_000, "{}", inbox.held_bytes());
    }

    proptest! {
        /// Two ends that keep to the windows never meet a fault, never stand still, and hold no more than they may.
        #[test]
        fn all_that_is_sent_arrives_in_the_order_of_its_class(
            messages in prop::collection::vec((0usize..3, 1usize..60_000), 1..40),
            windows in (1_024u32..60_000, 1_024u32..60_000, 1_024u32..60_000),
            takes in prop::collection::vec(any::<bool>(), 1..50),
        ) {
            let windows = [windows.0, windows.1, windows.2];
            let mut outbox = Outbox::new([u64::MAX; 3], 0);
            outbox.set_windows(windows);
            let mut inbox = Inbox::new(windows, 60_000);
            let mut expected: [VecDeque<Vec<u8>>; 3] = Default::default();
            for (number, (class, len)) in messages.iter().enumerate() {
                let message: Vec<u8> = (0..*len).map(|at| (at + number) as u8).collect();
                expected[*class].push_back(message.clone());
                outbox.push(Class::ALL[*class], message).unwrap();
            }
            let mut splitter = Splitter::new();
            let mut input = &PREAMBLE[..];
            prop_assert!(splitter.next(&mut input).unwrap().is_none());
            let mut idle = 0;
            for may_take in takes.iter().cycle() {
                let mut bytes = Vec::new();
                let has_sent = outbox.put_next(&mut bytes, Instant::START).is_some();
                let mut input = &bytes[..];
                while let Some(frame) = splitter.next(&mut input).unwrap() {
                    match frame.kind {
                        Kind::Begin => inbox.handle_begin(frame.class, frame.payload).unwrap(),
                        _ => inbox.handle_more(frame.class, frame.payload).unwrap(),
                    };
                }
                let bound: u64 = windows.iter().map(|w| (u64::from(*w)).max(u64::from(*w) / 8 + 60_064)).sum();
                prop_assert!(inbox.queues.iter().map(|queue| queue.held).sum::<u64>() <= bound);
                let taken = if *may_take { inbox.take() } else { None };
                if let Some((class, message)) = &taken {
                    let next = expected[class.index()].pop_front();
                    prop_assert_eq!(next.as_ref(), Some(message));
                }
                for class in Class::ALL {
                    if let Some(credit) = inbox.take_credit(class) {
                        outbox.credit(class, credit).unwrap();
                    }
                }
                idle = if has_sent || taken.is_some() { 0 } else { idle + 1 };
                if expected.iter().all(VecDeque::is_empty) {
                    return Ok(());
                }
                prop_assert!(idle <= takes.len() || !takes.contains(&true), "it stands still");
                if idle > takes.len() {
                    return Ok(());
                }
            }
        }
    }
}
