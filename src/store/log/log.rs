//! [`Log`]: what is appended, what is on its way to disk, and what is durable.

mod writing;

use std::collections::VecDeque;
use std::io;

use crate::error::{Error, Result};
use crate::time::Instant;

use super::disk::Disk;
use super::marks::Marks;
use super::names::{Epoch, File, Sequence, Ticket};
use super::options::Options;
use super::read::{Piece, Plan};
use super::record::{Body, SnapshotMark, Vote, record_bytes};
use super::segment::START_OFFSET;
use super::segments::Segments;
use super::snapshot::Written;
use super::state::State;
use super::upkeep::{self, Upkeep};

/// This part of the last segment that a full disk has room for is left for what makes the state smaller.
const LAST_PART: u64 = 16;

/// One write and one sync: a batch of records, or the start of a segment.
#[derive(Debug)]
pub struct Flush {
    file: File,
    offset: u64,
    bytes: Vec<u8>,
    /// What is durable when it is done.
    reaches: Reach,
}

impl Flush {
    /// Does it: writes, then syncs. Blocks for as long as the disk takes.
    pub fn run(&self, disk: &impl Disk) -> io::Result<()> {
        disk.write(self.file, self.offset, &self.bytes)?;
        disk.sync(self.file)
    }

    /// The file it goes to.
    pub fn file(&self) -> File {
        self.file
    }

    /// Where in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is to be written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// How far something goes.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    ticket: Ticket,
    sequence: Sequence,
    /// The segment, when its first records are within it.
    ordinal: u64,
    /// Where its records end.
    end: u64,
}

/// What an append gives at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The entry's number; for other records that of the last entry.
    pub sequence: Sequence,
    /// What to wait for: see [`Log::durable`].
    pub ticket: Ticket,
}

/// A write-ahead log, without the disk: it is told what to append and how writes went, and says what to write.
///
/// `append` and its like give a number at once; the bytes wait in memory until [`Log::poll_flush`] hands them out, all
/// that have come since as one batch, and they are durable when [`Log::handle_flushed`] was told so. One flush is
/// under way at a time, and one piece of upkeep beside it.
///
/// After a failed flush the log stops for good: what a second sync would report is not to be trusted. All
/// appends say so from then on, and what is durable can still be read. A disk without room does not stop it: once the
/// present segment is full appends are refused, until a new one could be made.
#[derive(Debug)]
pub struct Log {
    options: Options,
    state: State,
    segments: Segments,
    marks: Marks,
    /// The records that are not on their way yet.
    open: Batch,
    /// Batches that came before, oldest first.
    sealed: VecDeque<Flush>,
    /// A buffer to use again.
    buffer: Vec<u8>,
    pending_bytes: u64,
    in_flight: Option<Reach>,
    /// The checksum of the last record.
    chain: u32,
    tickets: Ticket,
    durable: Reach,
    /// The first entry that is kept though a snapshot stands for it.
    kept: Option<Sequence>,
    /// The last segment that is known to say at its beginning, durably, what the segments before it said.
    settled: u64,
    /// The last segment that is damaged: it is not written to any more, and goes with those before it as soon as a snapshot
    /// stands for them; 0: none is.
    damaged: u64,
    /// What is to be said before the next record.
    due: Option<Due>,
    failure: Option<Error>,
    is_closed: bool,
    /// That it is closed is not said, with this time, and why not.
    unsaid: Option<(u64, Error)>,
}

/// The records being gathered.
#[derive(Debug, Default)]
struct Batch {
    /// The segment; 0 before the first.
    ordinal: u64,
    salt: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl Batch {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// What the log itself does not say yet, though it already counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// It was opened: a number never used before, and how many bytes were cut off.
    pub(super) open: Option<(u64, u64)>,
    /// The last entry as far as it says, and its epoch.
    pub(super) last: (Sequence, Epoch),
    /// A snapshot that is durable.
    pub(super) mark: Option<SnapshotMark>,
}

/// Where a log's records end.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) ordinal: u64,
    pub(super) salt: u64,
    pub(super) offset: u64,
    pub(super) chain: u32,
}

impl Log {
    pub(super) fn recovered(
        options: Options,
        state: State,
        segments: Segments,
        marks: Marks,
        end: End,
        due: Due,
    ) -> Self {
        let open = Batch { ordinal: end.ordinal, salt: end.salt, offset: end.offset, bytes: Vec::new() };
        let durable =
            Reach { ticket: Ticket(0), sequence: state.last, ordinal: end.ordinal, end: end.offset };
        Self {
            options,
            state,
            segments,
            marks,
            open,
            sealed: VecDeque::new(),
            buffer: Vec::new(),
            pending_bytes: 0,
            in_flight: None,
            chain: end.chain,
            tickets: Ticket(0),
            durable,
            kept: None,
            // The beginning of the last one may have been torn; what is said after the opening stands in for it.
            settled: end.ordinal.saturating_sub(1),
            damaged: 0,
            due: Some(due),
            failure: None,
            is_closed: false,
            unsaid: None,
        }
    }

    /// Appends an entry in this epoch, which is at least that of the entry before.
    ///
    /// - `clock_ms`: the writer's clock, for going back to a point in time.
    ///
    /// `InvalidArgument` for a payload or an epoch that cannot be, `Capacity` when too much waits for the disk or
    /// `disk_bytes_max` is reached, `Io` when the system gives no room for a segment (it is asked again, see
    /// `Options::retry`), and after a failed flush what that said. Nothing was appended then.
    pub fn append(&mut self, epoch: Epoch, clock_ms: u64, payload: &[u8]) -> Result<Appended> {
        let most = self.options.payload_bytes_max();
        if payload.len() > most {
            return Err(Error::invalid(
                "payload",
                format!(
                    "{} bytes are more than the {most} that fit a segment; write less at once, or make segments longer \
                     (segment_bytes)",
                    payload.len()
                ),
            ));
        }
        self.push(epoch, clock_ms, &Body::Entry(payload))
    }

    /// Has the next entry be the one numbered `from`, in place of those that were. None of them is committed.
    /// `epoch` is that of the entry before it.
    pub fn replace(&mut self, from: Sequence, epoch: Epoch, clock_ms: u64) -> Result<Appended> {
        self.push(epoch, clock_ms, &Body::Replace(from))
    }

    /// Appends for whom this node votes.
    pub fn vote(&mut self, vote: Vote, clock_ms: u64) -> Result<Appended> {
        self.push(self.state.epoch, clock_ms, &Body::Vote(vote))
    }

    /// Appends who is in the cluster, in place of what was appended before.
    pub fn membership(&mut self, bytes: &[u8], clock_ms: u64) -> Result<Appended> {
        let most = self.options.membership_bytes_max();
        if bytes.len() > most {
            return Err(Error::invalid("membership", format!("{} bytes are more than {most}", bytes.len())));
        }
        self.push(self.state.epoch, clock_ms, &Body::Membership(bytes))
    }

    /// Appends that the entries up to this one are committed.
    pub fn commit(&mut self, sequence: Sequence, clock_ms: u64) -> Result<Appended> {
        self.push(self.state.epoch, clock_ms, &Body::Commit(sequence))
    }

    /// Takes note of a snapshot that is durable: older ones go, and the segments only they needed. With `is_restart` the
    /// log goes on behind it, whatever entries it had. To be called as soon as the snapshot has its name, before
    /// anything else is appended.
    ///
    /// `InvalidArgument` for a snapshot that is older than the last one, or lacks committed entries, or with
    /// `is_restart` unset has entries the log has not. Want of room refuses nothing here: the mark is then written
    /// before the next record.
    pub fn handle_snapshot(&mut self, written: &Written, is_restart: bool, clock_ms: u64) -> Result<()> {
        let header = &written.header;
        let mark = SnapshotMark { sequence: header.sequence, epoch: header.epoch, is_restart };
        let body = Body::Snapshot(mark);
        let last = (self.state.last, self.state.epoch);
        let (sequence, epoch) = self.state.heading(self.state.epoch, &body);
        if let Err(why) = self.state.check(sequence, epoch, &body) {
            return Err(Error::invalid("snapshot", why));
        }
        let before = self.state.snapshot;
        if before.sequence != mark.sequence && before.sequence != Sequence(0) {
            self.segments.discard(File::Snapshot(before.sequence));
        }
        self.segments.snapshot_bytes = written.bytes;

        let due = self.due.get_or_insert(Due { open: None, last, mark: None });
        let is_restart = is_restart || due.mark.is_some_and(|mark| mark.is_restart);
        due.mark = Some(SnapshotMark { is_restart, ..mark });
        self.state.apply(sequence, epoch, &body);
        if mark.is_restart {
            self.marks.clear();
            // What was there no longer counts, and all that does is in the snapshot, which is durable.
            self.bound(mark.sequence);
        }
        if self.failure.is_none() && !self.is_closed {
            // If there is no room, the next append makes it or says so.
            let _ = self.make_room(0, clock_ms);
        }
        self.release();
        Ok(())
    }

    /// Appends that the log is closed in order, and takes no more. What was appended is still to be flushed. `Capacity`: it
    /// is not said, for want of room; but while [`Log::is_closing`] it will be, as soon as there is some.
    pub fn close(&mut self, clock_ms: u64) -> Result<()> {
        if self.is_closed {
            return self.unsaid.as_ref().map_or(Ok(()), |(_, why)| Err(why.clone()));
        }
        // A record of its own batch: with it, all before it is known to be durable.
        if self.open.ordinal != 0 {
            self.seal();
        }
        let closed = match self.due {
            Some(Due { open: Some(_), .. }) => Ok(()),
            _ => self.push(self.state.epoch, clock_ms, &Body::Close).map(|_| ()),
        };
        self.is_closed = true;
        self.unsaid = closed.as_ref().err().map(|why| (clock_ms, why.clone()));
        closed
    }

    /// Whether it is closed, and that is still to be said, once a flush or a segment that is under way makes room.
    pub fn is_closing(&self) -> bool {
        self.unsaid.is_some() && self.is_stalled()
    }

    /// Says that it is closed, if that waits for room and there may be some.
    fn try_to_close(&mut self) {
        if let Some((clock_ms, _)) = self.unsaid.take() {
            self.is_closed = false;
            let _ = self.close(clock_ms);
        }
    }

    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The next write, if there is one and none is under way. [`Log::handle_flushed`] is to be told how it went.
    pub fn poll_flush(&mut self) -> Option<Flush> {
        if self.in_flight.is_some() || self.failure.is_some() {
            return None;
        }
        if self.sealed.is_empty() {
            self.seal();
        }
        let flush = self.sealed.pop_front()?;
        self.in_flight = Some(flush.reaches);
        Some(flush)
    }

    /// How a write went. After a failure the log has stopped.
    pub fn handle_flushed(&mut self, flush: Flush, result: io::Result<()>, name: impl Fn(File) -> String) {
        let reached = self.in_flight.take().unwrap_or(flush.reaches);
        if let Err(error) = result {
            self.failure = Some(Error::Io {
                what: format!("write {} durably", name(flush.file)),
                code: error.raw_os_error().unwrap_or(0),
                detail: format!(
                    "{error}; nothing more is appended, since the disk may have lost what it was given: close the \
                     log and open it again, which finds what is there"
                ),
            });
            return;
        }
        self.pending_bytes -= flush.bytes.len() as u64;
        self.durable = reached;
        if flush.offset != START_OFFSET {
            self.settled = reached.ordinal;
        }
        if self.buffer.capacity() < flush.bytes.capacity() {
            self.buffer = flush.bytes;
            self.buffer.clear();
        }
        self.release();
        self.try_to_close();
    }

    /// Keeps the entries from this one on, though a snapshot stands for them: somebody is to read them. `None`: none. When the
    /// disk has no room for a segment, or `disk_bytes_max` leaves none, they go all the same.
    pub fn keep(&mut self, from: Option<Sequence>) {
        self.kept = from;
        self.release();
    }

    /// A segment was found damaged. What is appended from now on goes into another; it and those before it go as soon as a
    /// snapshot stands for all that is in them ([`Log::damaged_through`]), even if somebody was to read it. To be called
    /// again while there is no other segment yet.
    pub fn leave_damaged(&mut self, ordinal: u64, clock_ms: u64) {
        self.damaged = self.damaged.max(ordinal.min(self.open.ordinal));
        if !self.has_left() && self.failure.is_none() && !self.is_closed && self.segments.is_prepared() {
            self.roll(clock_ms);
        }
    }

    /// Whether no segment of the log is known to be damaged.
    pub fn is_mended(&self) -> bool {
        self.damaged == 0
    }

    /// The last entry that may lie in a damaged segment. `None` while it is still written to, and when there is none.
    pub fn damaged_through(&self) -> Option<Sequence> {
        let next = self.segments.started().iter().find(|it| it.label.ordinal > self.damaged);
        next.filter(|_| self.damaged > 0).map(|next| next.first.before())
    }

    /// Has a snapshot file that came to nothing taken away. The one that the log goes on from stays.
    pub fn discard(&mut self, file: File) {
        if file != File::Snapshot(self.state.snapshot.sequence) {
            self.segments.discard(file);
        }
    }

    /// Whether files of a snapshot of this sequence are still to be taken away: until then none is to be written.
    pub fn is_snapshot_going(&self, sequence: Sequence) -> bool {
        self.segments.is_going(File::Snapshot(sequence)) || self.segments.is_going(File::Unfinished(sequence))
    }

    /// Whether records of so many bytes together can be appended now, as far as can be told beforehand. What is more
    /// than half a segment is one record only.
    pub fn has_room(&self, bytes: u64) -> bool {
        let bytes =
            bytes + 8 * record_bytes(24) as u64 + 2 * record_bytes(self.state.membership.len()) as u64;
        let is_free = self.pending_bytes == 0 || self.pending_bytes + bytes <= self.options.pending_bytes_max;
        let fits = self.has_left() && self.open.end() + bytes <= self.options.segment_bytes;
        self.failure.is_none() && !self.is_closed && is_free && (fits || self.segments.is_prepared())
    }

    /// The next work on files beside the records, if there is some and none is under way.
    pub fn poll_upkeep(&mut self) -> Option<Upkeep> {
        if self.failure.is_some() {
            return None;
        }
        let work = self.segments.poll();
        // To make room it may have let go of what was kept.
        self.release_marks();
        work
    }

    /// How it went.
    pub fn handle_upkeep(
        &mut self,
        work: &Upkeep,
        result: io::Result<()>,
        now: Instant,
        name: impl Fn(File) -> String,
    ) {
        let is_full = result.as_ref().is_err_and(|error| upkeep::is_full(error.kind()));
        self.segments.handle(work, result, now, name);
        if is_full {
            // Who was to read what a snapshot stands for has to do with that.
            self.kept = None;
        }
        self.release();
        self.try_to_close();
    }

    /// What the next snapshot needs of the disk. As long as it would let go of a segment, no further one is made that does
    /// not leave so much and one segment; appends are refused then as on a full disk. 0: nothing is to be left.
    pub fn reserve(&mut self, bytes: u64) {
        self.segments.reserve = bytes;
    }

    /// Says that what is appended was taken elsewhere, and cannot be refused here for what it makes of the state: where a snapshot alone
    /// is more than `disk_bytes_max`, no segment is made any more.
    pub fn follow(&mut self) {
        self.segments.is_led = true;
    }

    /// Whether `disk_bytes_max` leaves no room for a segment, and would if a snapshot stood for the entries up to this one.
    pub fn is_freed_by(&self, sequence: Sequence) -> bool {
        self.segments.lacks_room() && self.segments.count_free(sequence, self.settled) > 0
    }

    /// A snapshot could not be written. When that was for want of room all goes that nobody needs: what is kept of the log
    /// (`kept_bytes`), and files of segments to come. Gives whether it was for want of room.
    pub fn handle_snapshot_failure(&mut self, error: &Error) -> bool {
        let Error::Io { code, .. } = error else { return false };
        if !upkeep::is_full(io::Error::from_raw_os_error(*code).kind()) {
            return false;
        }
        self.segments.clear();
        self.release_marks();
        true
    }

    /// Has it looked for so many bytes of the disk, for a snapshot that found no room: at once, and each `Options::retry` until
    /// [`Log::take_room`] says that they are free. `None`: for none any more.
    pub fn seek_room(&mut self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.segments.seek(bytes),
            None => self.segments.seek_no_more(),
        }
    }

    /// Whether the room looked for is there; then it is looked for no more.
    pub fn take_room(&mut self) -> bool {
        self.segments.take_found()
    }

    /// Refuses records of so many bytes where there is room neither for a snapshot nor for another segment, and they would begin
    /// the last sixteenth of the present one: that is left for what makes the state smaller, and the next snapshot with it.
    pub fn check_growth(&self, bytes: u64) -> Result<()> {
        if !self.segments.is_lacking() || self.segments.is_prepared() {
            return Ok(());
        }
        let left = self.options.segment_bytes.saturating_sub(self.open.end());
        match self.segments.problem() {
            Some(problem) if left < bytes + self.options.segment_bytes / LAST_PART => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// Does what is due at or before `now`. Calling it too early changes nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.segments.handle_timeout(now);
    }

    /// When `handle_timeout` is next needed; `None` while nothing is pending.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.segments.next_deadline()
    }

    /// The last record that is durable, and all before it.
    pub fn durable(&self) -> Ticket {
        self.durable.ticket
    }

    /// The last entry that is durable. It goes back when entries are replaced.
    pub fn durable_sequence(&self) -> Sequence {
        self.durable.sequence
    }

    /// The last record.
    pub fn last_ticket(&self) -> Ticket {
        self.tickets
    }

    /// What the records add up to, those included that are not durable yet.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The first entry that can be read: older ones are in the snapshot alone.
    pub fn first(&self) -> Sequence {
        self.marks.first().unwrap_or_else(|| self.state.last.next())
    }

    /// Why the log has stopped, if it has.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Why no further segment can be made at present, if so.
    pub fn problem(&self) -> Option<&Error> {
        self.segments.problem()
    }

    /// How many bytes wait to be durable.
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// The bytes that segments and snapshots take, spare files included.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.disk_bytes()
    }

    /// Whether `poll_upkeep` may give something: so whoever does that need not be woken for nothing.
    pub fn wants_upkeep(&self) -> bool {
        self.failure.is_none() && self.segments.is_wanting()
    }

    /// Whether an append that was refused with `Capacity` may be taken when what is under way is done.
    pub fn is_stalled(&self) -> bool {
        let is_making = self.segments.problem().is_none() && !self.segments.is_prepared();
        self.failure.is_none() && (self.pending_bytes > 0 || is_making)
    }

    /// Where the durable entries from `from` through `to` lie. It is read without the log, whatever happens to that
    /// meanwhile. `NotFound` when `from` is older than the first one, or beyond what is durable.
    pub fn plan(&self, from: Sequence, to: Sequence) -> Result<Plan> {
        let to = to.min(self.durable.sequence);
        let marks = self.marks.from(from);
        if marks.is_empty() || from > to || from == Sequence(0) {
            return Err(Error::NotFound {
                what: "entry",
                value: format!("{from} (there are {} to {})", self.first(), self.durable.sequence),
            });
        }
        let mut pieces = Vec::new();
        for (at, mark) in marks.iter().enumerate() {
            if mark.sequence > to {
                break;
            }
            let through = marks.get(at + 1).map_or(to, |next| next.sequence.before().min(to));
            let segment = self.segments.started().iter().find(|it| it.label.ordinal == mark.ordinal);
            let segment = segment.expect("a mark's segment is not released before the mark");
            pieces.push(Piece {
                ordinal: mark.ordinal,
                salt: segment.label.salt,
                segment_bytes: segment.label.segment_bytes,
                offset: mark.offset,
                first: mark.sequence,
                through,
            });
        }
        Ok(Plan { from, to, pieces })
    }

    /// Whether this segment is part of the log.
    pub(super) fn holds_segment(&self, ordinal: u64, salt: u64) -> bool {
        self.segments.started().iter().any(|it| (it.label.ordinal, it.label.salt) == (ordinal, salt))
    }

    /// The segments as far as they are durable: ordinal, salt, the checksum they begin with, and where their records
    /// end.
    pub(super) fn durable_segments(&self) -> Vec<super::scrub::Stretch> {
        let started = self.segments.started();
        let mut stretches = Vec::with_capacity(started.len());
        for it in started.iter().filter(|it| it.label.ordinal <= self.durable.ordinal) {
            let end = (it.label.ordinal == self.durable.ordinal).then_some(self.durable.end);
            stretches.push(super::scrub::Stretch {
                ordinal: it.label.ordinal,
                salt: it.label.salt,
                chain: it.chain,
                segment_bytes: it.label.segment_bytes,
                end,
            });
        }
        stretches
    }

    /// Lets go of segments that the snapshot stands for. The one where the durable records end stays, and with it
    /// what it says at its beginning.
    fn release(&mut self) {
        let snapshot = self.state.snapshot.sequence;
        // What is damaged is kept for nobody, nor what takes the next segment's place.
        let kept = self.kept.filter(|_| self.damaged == 0 && !self.segments.lacks_room());
        let through = kept.map_or(snapshot, |kept| kept.before().min(snapshot));
        let readable = self.marks.first_ordinal().unwrap_or(u64::MAX).max(self.damaged + 1);
        self.segments.release(through, self.settled, readable);
        if self.segments.started().front().is_some_and(|oldest| oldest.label.ordinal > self.damaged) {
            self.damaged = 0;
        }
        self.release_marks();
    }

    fn release_marks(&mut self) {
        if let Some(oldest) = self.segments.started().front() {
            self.marks.release(oldest.label.ordinal);
        }
    }
}
