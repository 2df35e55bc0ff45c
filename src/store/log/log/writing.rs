//! What is appended becomes records, in batches that go to disk, segment after segment.

use super::{Appended, Due, Flush, Log, Reach};
use crate::error::{Error, Result};
use crate::store::log::marks::Mark;
use crate::store::log::names::{Epoch, File, Sequence};
use crate::store::log::record::{Body, Heading, Place, Vote, encode, record_bytes};
use crate::store::log::segment::{RECORDS_OFFSET, START_OFFSET, Start};
use crate::store::log::state::State;

/// The most bytes of one batch, unless a single record is longer.
const BATCH_BYTES_MAX: usize = 4 << 20;

impl Log {
    pub(super) fn push(&mut self, epoch: Epoch, clock_ms: u64, body: &Body<'_>) -> Result<Appended> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.is_closed {
            return Err(Error::State { what: "log", detail: "is closed; open it again".into() });
        }
        let (sequence, epoch) = self.state.heading(epoch, body);
        if let Err(why) = self.state.check(sequence, epoch, body) {
            return Err(Error::invalid(body.name(), why));
        }
        self.make_room(record_bytes(body.len()), clock_ms)?;
        Ok(self.write(sequence, epoch, clock_ms, body))
    }

    /// Sees to it that a record of so many bytes can be written.
    pub(super) fn make_room(&mut self, bytes: usize, clock_ms: u64) -> Result<()> {
        let pending = self.pending_bytes + bytes as u64;
        if self.pending_bytes > 0 && pending > self.options.pending_bytes_max {
            return Err(Error::Capacity { what: "pending_bytes_max", limit: self.options.pending_bytes_max });
        }
        // With what is said first: an open record, a snapshot, and the rest again.
        let due = match self.due {
            Some(_) => 8 * record_bytes(24) + self.state.membership.len(),
            None => 0,
        };
        let needed = (due + bytes) as u64;
        if !self.has_left() || self.open.end() + needed > self.options.segment_bytes {
            if !self.segments.is_prepared() {
                return Err(self.segments.why_not());
            }
            self.roll(clock_ms);
        } else if self.open.bytes.len() + bytes > BATCH_BYTES_MAX && !self.open.bytes.is_empty() {
            self.seal();
        }
        self.write_due(clock_ms);
        Ok(())
    }

    /// Whether records may go into the present segment: there is one, and it is not damaged.
    pub(super) fn has_left(&self) -> bool {
        self.open.ordinal > self.damaged
    }

    /// Says what is due.
    pub(super) fn write_due(&mut self, clock_ms: u64) {
        let Some(Due { open, last: (sequence, epoch), mark }) = self.due.take() else { return };
        if let Some((nonce, cut_bytes)) = open {
            self.write(sequence, epoch, clock_ms, &Body::Open { nonce, cut_bytes });
        }
        match mark {
            Some(mark) if mark.is_restart => {
                self.write(mark.sequence, mark.epoch, clock_ms, &Body::Snapshot(mark));
            }
            Some(mark) => {
                self.write(sequence, epoch, clock_ms, &Body::Snapshot(mark));
            }
            None => {}
        }
        if open.is_some() {
            self.say_again(clock_ms);
        }
    }

    /// Goes on to the next segment, which is prepared.
    pub(super) fn roll(&mut self, clock_ms: u64) {
        let (last, epoch) = self.due.map_or((self.state.last, self.state.epoch), |due| due.last);
        let first = last.next();
        let previous_end = if self.open.ordinal == 0 { 0 } else { self.open.end() };
        self.seal();
        let label = self.segments.start(first, self.chain).expect("the caller saw one prepared");
        let start = Start { label, first, epoch, chain: self.chain, previous_end };
        let bytes = start.encode().to_vec();
        self.pending_bytes += bytes.len() as u64;
        let reaches = Reach { ticket: self.tickets, sequence: self.state.last, ..self.reach_before() };
        let file = File::Segment(label.ordinal);
        self.sealed.push_back(Flush { file, offset: START_OFFSET, bytes, reaches });
        self.open.ordinal = label.ordinal;
        self.open.salt = label.salt;
        self.open.offset = RECORDS_OFFSET;
        let is_said = self.due.is_some_and(|due| due.open.is_some());
        self.write_due(clock_ms);
        if !is_said {
            self.say_again(clock_ms);
        }
    }

    /// Says what has to be known when the segments before are gone.
    pub(super) fn say_again(&mut self, clock_ms: u64) {
        let (sequence, epoch) = (self.state.last, self.state.epoch);
        let State { vote, commit, snapshot, .. } = self.state;
        if vote != Vote::default() {
            self.write(sequence, epoch, clock_ms, &Body::Vote(vote));
        }
        let membership = std::mem::take(&mut self.state.membership);
        if !membership.is_empty() {
            self.write(sequence, epoch, clock_ms, &Body::Membership(&membership));
        }
        if snapshot.sequence != Sequence(0) {
            self.write(sequence, epoch, clock_ms, &Body::Snapshot(snapshot));
        }
        if commit != Sequence(0) {
            self.write(sequence, epoch, clock_ms, &Body::Commit(commit));
        }
    }

    /// The last batch's reach, where segments are concerned.
    pub(super) fn reach_before(&self) -> Reach {
        let last = self.sealed.back().map(|flush| flush.reaches);
        last.or(self.in_flight).unwrap_or(self.durable)
    }

    /// Encodes a record that was checked and has room.
    pub(super) fn write(
        &mut self,
        sequence: Sequence,
        epoch: Epoch,
        clock_ms: u64,
        body: &Body<'_>,
    ) -> Appended {
        let offset = self.open.end();
        let heading = Heading {
            previous: self.chain,
            batch_bytes: self.open.bytes.len() as u32,
            epoch,
            sequence,
            clock_ms,
        };
        let before = self.open.bytes.len();
        let place = Place { salt: self.open.salt, offset };
        self.chain = encode(&mut self.open.bytes, place, &heading, body);
        self.pending_bytes += (self.open.bytes.len() - before) as u64;
        self.tickets.0 += 1;
        match body {
            Body::Entry(_) => self.marks.note(Mark { sequence, ordinal: self.open.ordinal, offset }),
            Body::Replace(from) => {
                self.marks.replace(*from);
                self.bound(from.before());
            }
            _ => {}
        }
        self.state.apply(sequence, epoch, body);
        Appended { sequence: self.state.last, ticket: self.tickets }
    }

    /// What is under way makes entries durable up to this one at most: those behind it no longer count.
    pub(super) fn bound(&mut self, last: Sequence) {
        let reaches = self.sealed.iter_mut().map(|flush| &mut flush.reaches);
        for reach in reaches.chain(self.in_flight.as_mut()).chain([&mut self.durable]) {
            reach.sequence = reach.sequence.min(last);
        }
    }

    /// Closes the batch being gathered, if anything is in it.
    pub(super) fn seal(&mut self) {
        if self.open.bytes.is_empty() {
            return;
        }
        let end = self.open.end();
        let bytes = std::mem::replace(&mut self.open.bytes, std::mem::take(&mut self.buffer));
        let reaches =
            Reach { ticket: self.tickets, sequence: self.state.last, ordinal: self.open.ordinal, end };
        let file = File::Segment(self.open.ordinal);
        self.sealed.push_back(Flush { file, offset: self.open.offset, bytes, reaches });
        self.open.offset = end;
    }
}
