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

/// The slowest link that is not sent a long entry again before the first can have come, in bytes a second.
const SLOWEST_LINK: u64 = 8 << 20;

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
        if let Some(sent) = self.sent.get(&message.to)
            && (sent.term, sent.range) == (message.term, range)
            && now < sent.until
        {
            return false;
        }
        let until =
            now.saturating_add(patience + Duration::from_secs_f64(bytes as f64 / SLOWEST_LINK as f64));
        self.sent.insert(message.to, Sent { term: message.term, range, until });
        true
    }

    /// What was sent to a node was answered, or is lost.
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
        assert!(!may(&longer, 5_402));
        long.forget(3);
        assert!(!long.may_send(&longer, 100, patience, at(5_403)), "that was another one");
        long.forget(2);
        assert!(long.may_send(&longer, 100, patience, at(5_404)));
    }
}
