//! Reads what lies on disk again, a piece at a time, to find bits that have rotted before they are needed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::{Damage, Error, Result};
use crate::time::Instant;

use super::disk::Disk;
use super::log::Log;
use super::names::{File, Identity, Sequence};
use super::scan::{Found, Scanner};
use super::segment::{LABEL_BYTES, Label, RECORDS_OFFSET, START_BYTES, START_OFFSET, Start};
use super::snapshot::SnapshotReader;

/// How much is read in one step, unless a record is longer.
const STEP_BYTES: u64 = 1 << 20;

/// A segment as far as it is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) ordinal: u64,
    pub(super) salt: u64,
    pub(super) chain: u32,
    pub(super) segment_bytes: u64,
    /// Where its records end; `None` when the next segment says so.
    pub(super) end: Option<u64>,
}

/// What was not there when it was to be read.
#[derive(Clone, Copy, Debug)]
enum Absent {
    Segment { ordinal: u64, salt: u64 },
    Snapshot(Sequence),
}

/// One pass over a log: its durable records and its snapshot. It holds no file open; what is let go of meanwhile is
/// passed over. What was taken away by somebody else is told by [`Scrub::missing`], which knows the log.
#[derive(Debug)]
pub struct Scrub {
    identity: Identity,
    bytes_per_second: u64,
    stretches: VecDeque<Stretch>,
    snapshot: Option<SnapshotReader>,
    /// The snapshot that is read once the log is.
    snapshot_next: Option<Sequence>,
    /// Where the present stretch goes on, and with which checksum.
    at: Option<(u64, u32)>,
    verified_bytes: u64,
    /// The last segment that was found damaged; 0: none was.
    damaged: u64,
    /// What the last step did not find.
    absent: Option<Absent>,
    /// Before this nothing more is read.
    ready_at: Instant,
}

impl Scrub {
    /// A pass that reads at most so many bytes a second, 1 or more, averaged over a step of 1 MiB.
    pub fn new(log: &Log, identity: Identity, bytes_per_second: u64, now: Instant) -> Self {
        let snapshot = log.state().snapshot.sequence;
        Self {
            identity,
            bytes_per_second: bytes_per_second.max(1),
            stretches: log.durable_segments().into(),
            snapshot: None,
            snapshot_next: (snapshot != Sequence(0)).then_some(snapshot),
            at: None,
            verified_bytes: 0,
            damaged: 0,
            absent: None,
            ready_at: now,
        }
    }

    /// When the next step may be taken; `None` when the pass is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_over = self.stretches.is_empty() && self.snapshot.is_none() && self.snapshot_next.is_none();
        (!is_over).then_some(self.ready_at)
    }

    /// A snapshot was written in place of the one of this sequence: what is left of that is not read any more.
    pub fn forget_snapshot(&mut self, sequence: Sequence) {
        self.snapshot_next.take_if(|next| *next == sequence);
        self.snapshot.take_if(|reader| reader.header().sequence == sequence);
    }

    /// How many bytes were found good so far.
    pub fn verified_bytes(&self) -> u64 {
        self.verified_bytes
    }

    /// The last segment that was found damaged: what is appended is to go into another, see
    /// [`Log::leave_damaged`]. `None` when none was: damage, if there was any, is in the snapshot.
    pub fn damaged_segment(&self) -> Option<u64> {
        (self.damaged > 0).then_some(self.damaged)
    }

    /// Asked after each step: `Corrupt` when what that did not find is part of the log. Somebody has taken the file away, or put
    /// another in its place.
    pub fn missing(&mut self, log: &Log, disk: &impl Disk) -> Result<()> {
        let file = match self.absent.take() {
            Some(Absent::Segment { ordinal, salt }) if log.holds_segment(ordinal, salt) => {
                self.damaged = self.damaged.max(ordinal);
                File::Segment(ordinal)
            }
            Some(Absent::Snapshot(sequence)) if log.state().snapshot.sequence == sequence => {
                File::Snapshot(sequence)
            }
            _ => return Ok(()),
        };
        Err(rotten(disk.name(file), 0, "the file is not there, or another is in its place"))
    }

    /// Takes the next step if it is due. `Corrupt` tells what has rotted; what is left is checked by further steps.
    pub fn step(&mut self, disk: &impl Disk, now: Instant) -> Result<()> {
        if self.next_deadline().is_none_or(|at| at > now) {
            return Ok(());
        }
        let before = self.verified_bytes;
        let result = match self.stretches.front().copied() {
            Some(stretch) => self.step_segment(disk, &stretch),
            None => self.step_snapshot(disk),
        };
        let read = (self.verified_bytes - before).max(1);
        let nanos = u128::from(read) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.ready_at = now.saturating_add(pause);
        result
    }

    fn step_segment(&mut self, disk: &impl Disk, stretch: &Stretch) -> Result<()> {
        let file = File::Segment(stretch.ordinal);
        let result = match self.at {
            None if !has_name(disk, file)? => Ok(false),
            _ => self.read_segment(disk, stretch, file),
        };
        match result {
            Ok(true) => return Ok(()),
            Err(error) if !is_gone(disk, stretch) => {
                self.damaged = self.damaged.max(stretch.ordinal);
                self.leave();
                return Err(error);
            }
            _ => {
                self.absent = Some(Absent::Segment { ordinal: stretch.ordinal, salt: stretch.salt });
                self.leave();
            }
        }
        Ok(())
    }

    /// Gives whether the stretch goes on.
    fn read_segment(&mut self, disk: &impl Disk, stretch: &Stretch, file: File) -> Result<bool> {
        let name = || disk.name(file);
        let io = |error: std::io::Error| Error::io(format!("read {}", name()), &error);
        let (offset, chain) = match self.at {
            Some(at) => at,
            None => {
                let mut head = [0; START_BYTES];
                let read = disk.read(file, 0, &mut head[..LABEL_BYTES]).map_err(io)?;
                if !Label::decode(&head[..read]).is_ok_and(|label| label.salt == stretch.salt) {
                    return Err(rotten(name(), 0, "the label is not what was written"));
                }
                let read = disk.read(file, START_OFFSET, &mut head).map_err(io)?;
                if !Start::decode(&head[..read]).is_ok_and(|start| start.label.salt == stretch.salt) {
                    return Err(rotten(name(), START_OFFSET, "the start is not what was written"));
                }
                (RECORDS_OFFSET, stretch.chain)
            }
        };
        // A segment that is full ends where the next one's start says.
        let end = match stretch.end {
            Some(end) => end,
            None => {
                let next = File::Segment(stretch.ordinal + 1);
                let mut head = [0; START_BYTES];
                let read = disk
                    .read(next, START_OFFSET, &mut head)
                    .map_err(|error| Error::io(format!("read {}", disk.name(next)), &error))?;
                match Start::decode(&head[..read]) {
                    Ok(start) if start.label.ordinal == stretch.ordinal + 1 => start.previous_end,
                    _ => {
                        return Err(rotten(
                            disk.name(next),
                            START_OFFSET,
                            "the start is not what was written",
                        ));
                    }
                }
            }
        };
        let mut scanner = Scanner::new(disk, file, stretch.salt, offset, stretch.segment_bytes);
        scanner.chain = Some(chain);
        while scanner.offset < end && scanner.offset - offset < STEP_BYTES {
            let at = scanner.offset;
            match scanner.next().map_err(io)? {
                Found::Record(..) => {}
                Found::Nothing(why) => return Err(rotten(name(), at, why)),
                Found::Unknown { .. } => {
                    return Err(rotten(name(), at, "the record is of a kind this release does not know"));
                }
            }
        }
        self.verified_bytes += scanner.offset - offset;
        self.at = Some((scanner.offset, scanner.chain.unwrap_or(chain)));
        if scanner.offset >= end {
            self.leave();
        }
        Ok(true)
    }

    fn leave(&mut self) {
        self.stretches.pop_front();
        self.at = None;
    }

    fn step_snapshot(&mut self, disk: &impl Disk) -> Result<()> {
        if let Some(sequence) = self.snapshot_next.take() {
            let file = File::Snapshot(sequence);
            match SnapshotReader::open(disk, file, self.identity) {
                Ok(reader) if has_name(disk, file)? => self.snapshot = Some(reader),
                // A later one took its place.
                Ok(_) | Err(Error::Io { code: libc::ENOENT, .. }) => {
                    self.absent = Some(Absent::Snapshot(sequence));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let Some(reader) = &mut self.snapshot else { return Ok(()) };
        let offset = reader.offset();
        let result = loop {
            match reader.next(disk).map(|part| part.is_some()) {
                Ok(true) if reader.offset() - offset < STEP_BYTES => {}
                Ok(goes_on) => break Ok(goes_on),
                Err(Error::Io { code: libc::ENOENT, .. }) => {
                    self.absent = Some(Absent::Snapshot(reader.header().sequence));
                    break Ok(false);
                }
                Err(error) => break Err(error),
            }
        };
        self.verified_bytes += reader.offset() - offset;
        if !matches!(result, Ok(true)) {
            self.snapshot = None;
        }
        result.map(|_| ())
    }
}

/// Whether the directory has this file. One that is open is read even without a name.
fn has_name(disk: &impl Disk, file: File) -> Result<bool> {
    let files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
    Ok(files.contains(&file))
}

/// Whether the segment was let go of.
fn is_gone(disk: &impl Disk, stretch: &Stretch) -> bool {
    let mut head = [0; LABEL_BYTES];
    match disk.read(File::Segment(stretch.ordinal), 0, &mut head) {
        Ok(read) => Label::decode(&head[..read]).is_ok_and(|label| label.salt != stretch.salt),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn rotten(file: String, offset: u64, what: &str) -> Error {
    Error::Corrupt(Box::new(Damage {
        file,
        offset,
        what: what.into(),
        hint: "write a snapshot now, while the state is in memory, or take the node's state from another"
            .into(),
    }))
}
