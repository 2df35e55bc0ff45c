//! What a log's records add up to, and which record may come next. What is appended is held against it, and what is
//! read again too: so nothing is written that would be refused when it is read.

use super::names::{Epoch, Sequence};
use super::record::{Body, SnapshotMark, Vote};
use super::segment::Start;

/// What counts after a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last entry; 0 when there was none.
    pub last: Sequence,
    /// Its epoch.
    pub epoch: Epoch,
    /// The entries up to this one are committed.
    pub commit: Sequence,
    /// For whom this node voted last.
    pub vote: Vote,
    /// Who is in the cluster, as the log's user wrote it.
    pub membership: Vec<u8>,
    /// The last snapshot that is known to be durable.
    pub snapshot: SnapshotMark,
}

impl State {
    /// What is known at the start of a segment; its first records say the rest.
    pub(super) fn at(start: &Start) -> Self {
        Self { last: start.first.before(), epoch: start.epoch, ..Self::default() }
    }

    /// Sequence and epoch that stand in the header of a record with this body; the epoch given is that of the entry,
    /// or for a replacement that of the entry before the replaced ones.
    pub(super) fn heading(&self, epoch: Epoch, body: &Body<'_>) -> (Sequence, Epoch) {
        match body {
            Body::Entry(_) => (self.last.next(), epoch),
            Body::Replace(from) => (from.before(), epoch),
            Body::Snapshot(mark) if mark.is_restart => (mark.sequence, mark.epoch),
            _ => (self.last, self.epoch),
        }
    }

    /// Why a record with this header and this body cannot come next.
    pub(super) fn check(
        &self,
        sequence: Sequence,
        epoch: Epoch,
        body: &Body<'_>,
    ) -> Result<(), &'static str> {
        match body {
            Body::Entry(_) if self.last.0 == u64::MAX => return Err("there are no more sequences"),
            Body::Entry(_) if epoch < self.epoch => {
                return Err("the epoch is below that of the entry before");
            }
            Body::Vote(vote) if vote.epoch < self.vote.epoch => {
                return Err("an epoch voted in does not go back");
            }
            Body::Commit(commit) if *commit < self.commit => return Err("what is committed stays so"),
            Body::Commit(commit) if *commit > self.last => {
                return Err("an entry not in the log is no committed one");
            }
            Body::Replace(from) if *from <= self.commit => return Err("a committed entry is not replaced"),
            Body::Replace(from) if *from > self.last => {
                return Err("an entry not in the log is not replaced");
            }
            Body::Replace(_) if epoch > self.epoch => {
                return Err("the epoch is beyond that of the last entry");
            }
            Body::Snapshot(mark) if mark.sequence < self.snapshot.sequence => {
                return Err("the snapshot is older than the last one");
            }
            Body::Snapshot(mark) if mark.is_restart && mark.sequence < self.commit => {
                return Err("the snapshot lacks committed entries");
            }
            Body::Snapshot(mark) if !mark.is_restart && mark.sequence > self.last => {
                return Err("the snapshot has entries the log has not");
            }
            _ => {}
        }
        if (sequence, epoch) != self.heading(epoch, body) {
            return Err("the sequence is not the one that comes next");
        }
        Ok(())
    }

    /// Takes in a record that was checked.
    pub(super) fn apply(&mut self, sequence: Sequence, epoch: Epoch, body: &Body<'_>) {
        (self.last, self.epoch) = (sequence, epoch);
        match body {
            Body::Entry(_) | Body::Replace(_) | Body::Open { .. } | Body::Close => {}
            Body::Vote(vote) => self.vote = *vote,
            Body::Membership(bytes) => {
                self.membership.clear();
                self.membership.extend_from_slice(bytes);
            }
            Body::Commit(commit) => self.commit = *commit,
            Body::Snapshot(mark) => {
                self.snapshot = SnapshotMark { is_restart: false, ..*mark };
                self.commit = self.commit.max(mark.sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(state: &mut State, epoch: u64, body: Body<'_>) -> Result<(), &'static str> {
        let (sequence, epoch) = state.heading(Epoch(epoch), &body);
        state.check(sequence, epoch, &body)?;
        state.apply(sequence, epoch, &body);
        Ok(())
    }

    #[test]
    fn what_cannot_come_next_is_refused() {
        let mut state = State::default();
        for _ in 0..4 {
            take(&mut state, 2, Body::Entry(b"x")).unwrap();
        }
        take(&mut state, 0, Body::Commit(Sequence(2))).unwrap();
        take(&mut state, 0, Body::Vote(Vote { epoch: Epoch(3), node: 1 })).unwrap();
        let mark = |sequence, is_restart| {
            Body::Snapshot(SnapshotMark { sequence: Sequence(sequence), epoch: Epoch(2), is_restart })
        };
        for (epoch, body) in [
            (1, Body::Entry(b"x")),
            (0, Body::Commit(Sequence(1))),
            (0, Body::Commit(Sequence(5))),
            (0, Body::Vote(Vote { epoch: Epoch(2), node: 1 })),
            (2, Body::Replace(Sequence(2))),
            (2, Body::Replace(Sequence(5))),
            (3, Body::Replace(Sequence(4))),
            (0, mark(5, false)),
            (0, mark(1, true)),
        ] {
            assert!(take(&mut state, epoch, body).is_err(), "{body:?}");
        }
        take(&mut state, 2, Body::Replace(Sequence(3))).unwrap();
        assert_eq!(state.last, Sequence(2));
        take(&mut state, 3, Body::Entry(b"y")).unwrap();
        assert_eq!((state.last, state.epoch), (Sequence(3), Epoch(3)));
        take(&mut state, 0, mark(9, true)).unwrap();
        assert_eq!((state.last, state.commit, state.epoch), (Sequence(9), Sequence(9), Epoch(2)));
        assert!(state.check(Sequence(11), Epoch(2), &Body::Entry(b"x")).is_err());
    }
}
