//! [`LongEntries`]: which long entries are on their way, so that they are not sent over and over.
//!
//! As long as a replica has not answered the first message of a reign, the library sends that message again with each answer
//! to a heartbeat. What is short costs nothing then; tens of megabytes sent 25 times a second leave neither node time for
//! anything else, the next heartbeat included.

use std::collections::BTreeMap;
use std::time::Duration;

use raft::eraftpb::Message;

use crate::replication::message::payload;
use crate::time::Instant;

/// The slowest link that is not sent a long entry again before the first can have come, in bytes a second; to a slower one it goes after
/// twice the time, and so on.
const SLOWEST_LINK: u64 = 8 << 20;
/// So often the time is doubled at most.
const DOUBLINGS_MAX: u32 = 6;

/// The last long message to each node that it has not answered.
#[derive(Debug, Default)]
pub(super) struct LongEntries {
    sent: BTreeMap<u64, Sent>,
}

#[derive(Debug)]
struct Sent {
    term: u64,
    /// The entry before, and the last one.
    range: (u64, u64),
    /// It counts as lost from then on.
    until: Instant,
    /// How often it was sent again.
    repeats: u32,
}

/// How long so many bytes may take.
pub(super) fn time_of(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / SLOWEST_LINK as f64)
}

impl LongEntries {
    /// Whether a message with entries is to be sent now; it is noted then.
    ///
    /// - `long`: more bytes of entries than this are long.
    /// - `patience`: how long an answer may take beside the time that the bytes take.
    pub(super) fn may_send(
        &mut self,
        message: &Message,
        long: u64,
        patience: Duration,
        now: Instant,
    ) -> bool {
        let bytes: u64 = message.entries.iter().map(|it| payload(it).len() as u64).sum();
        if bytes <= long {
            return true;
        }
        let range = (message.index, message.index + message.entries.len() as u64);
        let before = self.sent.get(&message.to).filter(|it| (it.term, it.range) == (message.term, range));
        if before.is_some_and(|it| now < it.until) {
            return false;
        }
        let repeats = before.map_or(0, |it| (it.repeats + 1).min(DOUBLINGS_MAX));
        let until = now.saturating_add((patience + time_of(bytes)) * (1 << repeats));
        self.sent.insert(message.to, Sent { term: message.term, range, until, repeats });
        true
    }

    /// A node has answered a message: one that refuses another message, which came before this one, says nothing of it.
    pub(super) fn answered(&mut self, answer: &Message) {
        let is_about = |sent: &Sent| !answer.reject || answer.index == sent.range.0;
        if self.sent.get(&answer.from).is_some_and(is_about) {
            self.sent.remove(&answer.from);
        }
    }

    /// Nothing is on its way to a node.
    pub(super) fn forget(&mut self, node: u64) {
        self.sent.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::Entry;

    use super::*;

    fn append(to: u64, term: u64, index: u64, bytes: usize) -> Message {
        let entry = Entry { data: vec![0; bytes].into(), ..Entry::default() };
        Message { to, term, index, entries: vec![entry].into(), ..Message::default() }
    }

    #[test]
    fn what_is_long_goes_once_until_it_is_answered_or_lost() {
        let mut long = LongEntries::default();
        let patience = Duration::from_millis(400);
        let at = |millis| Instant::START.saturating_add(Duration::from_millis(millis));
        let mut may = |message: &Message, millis| long.may_send(message, 100, patience, at(millis));
        let message = append(2, 5, 7, 101);
        assert!(may(&message, 0) && !may(&message, 40) && !may(&message, 400), "it is on its way");
        assert!(may(&append(3, 5, 7, 101), 40), "to another one");
        assert!(may(&append(2, 5, 7, 100), 40), "it is not long");
        assert!(may(&append(2, 5, 8, 101), 40), "it is another entry");
        assert!(may(&append(2, 6, 8, 101), 40), "of another reign");
        assert!(!may(&append(2, 6, 8, 101), 41));
        assert!(may(&append(2, 6, 8, 101), 500), "there was no answer for long");
        // As long as a slow link takes, and not longer.
        let longer = append(2, 6, 9, 4 * SLOWEST_LINK as usize);
        assert!(may(&longer, 1_000) && !may(&longer, 5_399) && may(&longer, 5_401));
        // It is slower still.
        assert!(!may(&longer, 14_200) && may(&longer, 14_202) && !may(&longer, 14_203));
        let answer = |from, index, reject| Message { from, index, reject, ..Message::default() };
        for other in [answer(3, 9, false), answer(2, 12, true)] {
            long.answered(&other);
            assert!(!long.may_send(&longer, 100, patience, at(14_204)), "that was about another one");
        }
        for this in [answer(2, 9, true), answer(2, 10, false)] {
            long.answered(&this);
            assert!(long.may_send(&longer, 100, patience, at(14_205)));
            assert!(!long.may_send(&longer, 100, patience, at(14_206)));
        }
        long.forget(3);
        assert!(!long.may_send(&longer, 100, patience, at(14_207)));
        long.forget(2);
        assert!(long.may_send(&longer, 100, patience, at(14_208)));
    }
}
