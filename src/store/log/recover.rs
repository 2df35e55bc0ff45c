//! Opening a log: what lies in a directory is read, held against itself, and either goes on or is refused. Nothing that
//! was durable is changed before it is known to be whole.

use crate::error::{Damage, Error, Result};
use crate::rng::Rng;
use crate::time::Instant;

use super::cut::advise;
use super::directory::{Directory, damaged, find_identity, lock, look};
use super::disk::Disk;
use super::log::{Due, End, Log};
use super::marks::{Mark, Marks};
use super::names::{Epoch, File, Identity, Sequence};
use super::options::Options;
use super::read::Entry;
use super::record::{Body, SnapshotMark};
use super::scan::{Behind, Found, Scanner};
use super::segment::{Label, RECORDS_OFFSET, START_BYTES, START_OFFSET, Start};
use super::segments::{Segments, Started};
use super::snapshot::SnapshotReader;
use super::snapshot_format::SnapshotHeader;
use super::state::State;

/// What is read again when a log is opened, in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// There is a snapshot, to be read with [`SnapshotReader`]. It comes first, and once at most.
    Snapshot(&'a SnapshotHeader),
    /// An entry that is not in the snapshot.
    Entry(Entry<'a>),
    /// The entries from this one on do not count.
    Replaced(Sequence),
    /// The entries up to this one are committed: none of them is replaced any more.
    Committed(Sequence),
}

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many segments hold records.
    pub segments: u64,
    /// How many records they hold.
    pub records: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// The first entry that can be read, when there is one.
    pub first: Option<Sequence>,
    /// The last entry, whether in the log or only in the snapshot.
    pub last: Sequence,
    /// The snapshot's sequence, when there is one.
    pub snapshot: Option<Sequence>,
    /// A batch that never became durable and was cut off.
    pub torn: Option<Torn>,
    /// Damage in segments that the snapshot stands for: they were left out, and go.
    pub covered: Option<Covered>,
    /// The log had been closed in order.
    pub is_closed: bool,
}

/// A torn tail. Nobody was told that what it held is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file, as the disk names it.
    pub file: String,
    /// Where the log ends now.
    pub offset: u64,
    /// How many bytes behind it were recognised as the batch's.
    pub bytes: u64,
}

/// Damage in segments all of whose entries a snapshot stands for, by the word of a segment behind them. Nothing is lost with
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The first file that is damaged, as the disk names it.
    pub file: String,
    /// Where it is.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// How many segments were left out, with those before it.
    pub segments: u64,
}

/// What reading the records gave.
struct Read {
    /// The first segment that counts, of those that have a start.
    from: usize,
    /// What was said of segments before is known to be said in that one, if it is the last: a record came that is only written
    /// behind it.
    is_settled: bool,
    state: State,
    marks: Marks,
    end: Option<End>,
    /// The epoch that the log has for the snapshot's last entry.
    at_covered: Option<Epoch>,
    /// What was written last: the last batch, as far as it counts, or the start of a segment without one.
    tail: Option<Tail>,
    report: Report,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug)]
struct Tail {
    file: File,
    from: u64,
    to: u64,
}

/// Opens the log in a directory, or makes one there. Takes its lock, gives everything that was durable to `replay`,
/// cuts a torn tail off, and prepares the first segment of a log that has none. What is there is durable from then on,
/// whatever the process before left unsynced, or its disk could not sync.
///
/// - `seed`: a random number that no other opening of the log had.
///
/// `State` when another process, or another handle, has it open; `InvalidArgument` for an option out of range or a
/// directory of another cluster, node or segment length; `Unsupported` when a later release wrote it; `Corrupt` when
/// something that was durable is damaged; `Io` when the system refuses. Nothing was changed then, unless it was `Io`.
/// Blocks while it reads.
pub fn open(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    seed: u64,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(Log, Report)> {
    open_any(disk, options, identity, seed, replay).map_err(|error| advise(disk, error))
}

fn open_any(
    disk: &impl Disk,
    options: Options,
    identity: Identity,
    seed: u64,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(Log, Report)> {
    options.check()?;
    if identity.node == 0 {
        return Err(Error::invalid("node", "0 is none; nodes are numbered from 1"));
    }
    lock(disk)?;
    let mut found = look(disk, identity, Some(options.segment_bytes))?;
    let Read { from, mut state, marks, end, at_covered, tail, mut report, .. } = read(disk, &found, replay)?;

    let mut rng = Rng::new(seed);
    let nonce = rng.next_u64();
    let mut segments = Segments::new(identity, &options, rng);
    let covered = found.started[..from].iter().map(|start| File::Segment(start.label.ordinal));
    found.passed.extend(covered);
    for start in &found.started[from..] {
        segments.found_started(Started { label: start.label, first: start.first, chain: start.chain });
    }
    // One is enough: a second one has been prepared by a log that was closed before it came to the first.
    for label in found.prepared.drain(..) {
        segments.found_prepared(label);
    }
    for spare in found.spares {
        let is_whole = disk.bytes(File::Spare(spare)).is_ok_and(|bytes| bytes == options.segment_bytes);
        segments.found_spare(spare, is_whole);
    }
    let segments_gone = found.stragglers.iter().chain(&found.passed);
    let unwanted = segments_gone.chain(&found.old_snapshots).chain(&found.unfinished);
    for file in unwanted {
        segments.discard(*file);
    }
    let last = (state.last, state.epoch);
    let mut restart = None;
    if let Some((header, bytes)) = &found.snapshot {
        segments.snapshot_bytes = *bytes;
        let is_other = at_covered.is_some_and(|epoch| epoch != header.epoch);
        if is_other && state.commit > header.sequence {
            let why = format!(
                "entry {} has another epoch than in the log, where entries up to {} are committed",
                header.sequence, state.commit
            );
            return Err(damaged(disk, File::Snapshot(header.sequence), 48, why));
        }
        if is_other {
            // The snapshot's last entry had taken the place of this one, and the log lost that again.
            replay(Replayed::Replaced(header.sequence.next()));
        }
        if header.sequence > state.last || is_other {
            // It was taken of entries that were not durable yet, or came from another node right before the end.
            let mark = SnapshotMark { sequence: header.sequence, epoch: header.epoch, is_restart: true };
            (state.last, state.epoch) = (header.sequence, header.epoch);
            restart = Some(mark);
            report.last = header.sequence;
            report.first = None;
        }
        state.commit = state.commit.max(header.sequence);
        state.snapshot = SnapshotMark { sequence: header.sequence, epoch: header.epoch, is_restart: false };
    }
    let cut_bytes = report.torn.as_ref().map_or(0, |torn| torn.bytes);
    let marks = if restart.is_some() { Marks::default() } else { marks };
    let end = match end {
        Some(end) => end,
        None => {
            // The first segment, now: so a directory that cannot be written to is refused here and not later.
            while !segments.is_prepared() {
                let Some(work) = segments.poll() else { return Err(segments.why_not()) };
                let result = work.run(disk);
                let is_failed = result.is_err();
                segments.handle(&work, result, Instant::START, |file| disk.name(file));
                if is_failed {
                    return Err(segments.why_not());
                }
            }
            End { ordinal: 0, salt: 0, offset: 0, chain: 0 }
        }
    };
    if let Some(tail) = tail {
        bring_to_disk(disk, tail)?;
    }
    let due = Due { open: Some((nonce, cut_bytes)), last, mark: restart };
    Ok((Log::recovered(options, state, segments, marks, end, due), report))
}

/// Makes durable what was read, which may be in the system's memory alone: a process that was killed had it written and not
/// synced, or not given its name for good; or its sync failed, and then another sync would find nothing to do, so the bytes
/// are written once more. No more than the last write is in doubt, since each waits for the one before.
fn bring_to_disk(disk: &impl Disk, tail: Tail) -> Result<()> {
    let Tail { file, from, to } = tail;
    let mut bytes = vec![0; (to - from) as usize];
    let mut done = 0;
    let mut again = || -> std::io::Result<()> {
        while done < bytes.len() {
            match disk.read(file, from + done as u64, &mut bytes[done..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        disk.write(file, from, &bytes)?;
        disk.sync(file)?;
        disk.sync_names()
    };
    again().map_err(|error| Error::io(format!("write the end of {} durably", disk.name(file)), &error))
}

/// Reads the log in a directory without changing anything, and without its lock: the log may be open.
///
/// What is wrong comes as the errors of [`open`].
pub fn check(
    disk: &impl Disk,
    identity: Option<Identity>,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(Identity, State, Report)> {
    check_any(disk, identity, replay).map_err(|error| advise(disk, error))
}

fn check_any(
    disk: &impl Disk,
    identity: Option<Identity>,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(Identity, State, Report)> {
    let identity = match identity {
        Some(identity) => identity,
        None => find_identity(disk)?,
    };
    let found = look(disk, identity, None)?;
    let Read { state, report, .. } = read(disk, &found, replay)?;
    if let Some((header, _)) = &found.snapshot {
        let mut reader = SnapshotReader::open(disk, File::Snapshot(header.sequence), identity)?;
        while reader.next(disk)?.is_some() {}
    }
    Ok((identity, state, report))
}

fn read(disk: &impl Disk, found: &Directory, replay: &mut dyn FnMut(Replayed<'_>)) -> Result<Read> {
    let snapshot = found.snapshot.map(|(header, _)| header);
    let covered = snapshot.map_or(Sequence(0), |header| header.sequence);
    let mut read = Read {
        from: 0,
        is_settled: false,
        state: found.started.first().map(State::at).unwrap_or_default(),
        marks: Marks::default(),
        end: None,
        at_covered: None,
        tail: None,
        report: Report {
            segments: found.started.len() as u64,
            records: 0,
            bytes: 0,
            first: None,
            last: Sequence(0),
            snapshot: snapshot.map(|header| header.sequence),
            torn: None,
            covered: None,
            is_closed: false,
        },
    };
    let mut damage = found.damage.clone();
    if let Some(first) = found.started.first()
        && first.first > covered.next()
    {
        let why = format!(
            "the log begins with entry {}, and {} is the last before it that a snapshot holds",
            first.first, covered
        );
        return Err(damaged(disk, File::Segment(first.label.ordinal), START_OFFSET, why));
    }
    if let Some(header) = &snapshot {
        replay(Replayed::Snapshot(header));
    }
    if covered == read.state.last {
        read.at_covered = found.started.first().map(|start| start.epoch);
    }
    let mut at = 0;
    while let Some(start) = found.started.get(at) {
        let why = match read_segment(disk, start, found.started.get(at + 1), covered, &mut read, replay) {
            Ok(()) => {
                at += 1;
                continue;
            }
            Err(Error::Corrupt(why)) => why,
            Err(error) => return Err(error),
        };
        // It goes on where a snapshot stands for all before, as if that had gone already.
        let later = found.started.iter().enumerate().skip(at + 1).find(|(_, it)| found.covers_up_to(it));
        let Some((next, start)) = later else { return Err(Error::Corrupt(why)) };
        read.begin_anew(next, start, covered);
        replay(Replayed::Replaced(start.first));
        damage.get_or_insert(why);
        at = next;
    }
    if let Some(damage) = damage {
        // What the segments before said last is said again at the beginning of each, but the last may have been torn.
        if read.from + 1 == found.started.len() && !read.is_settled {
            return Err(Error::Corrupt(damage));
        }
        let segments = (found.passed.len() + read.from) as u64;
        let Damage { file, offset, what, .. } = *damage;
        read.report.covered = Some(Covered { file, offset, what, segments });
    }
    read.report.segments = (found.started.len() - read.from) as u64;
    read.report.first = read.marks.first();
    read.report.last = read.state.last.max(covered);
    Ok(read)
}

impl Read {
    /// Forgets what was read of the segments before this one.
    fn begin_anew(&mut self, from: usize, start: &Start, covered: Sequence) {
        let report = &mut self.report;
        (report.records, report.bytes, report.is_closed) = (0, 0, false);
        (self.from, self.is_settled, self.state) = (from, false, State::at(start));
        (self.marks, self.end, self.tail) = (Marks::default(), None, None);
        self.at_covered = (covered == self.state.last).then_some(start.epoch);
    }
}

fn read_segment(
    disk: &impl Disk,
    start: &Start,
    next: Option<&Start>,
    covered: Sequence,
    read: &mut Read,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<()> {
    let Label { ordinal, salt, segment_bytes, .. } = start.label;
    let file = File::Segment(ordinal);
    let io = |error: std::io::Error| Error::io(format!("read {}", disk.name(file)), &error);
    let chain = read.end.map_or(start.chain, |end| end.chain);
    let is_next = start.first == read.state.last.next() && start.epoch == read.state.epoch;
    if read.end.is_some_and(|end| end.offset != start.previous_end || end.chain != start.chain) || !is_next {
        let why = "the segment does not go on from the one before".into();
        return Err(damaged(disk, file, START_OFFSET, why));
    }
    let mut scanner = Scanner::new(disk, file, salt, RECORDS_OFFSET, segment_bytes);
    scanner.chain = Some(chain);
    let why = loop {
        if next.is_some_and(|next| scanner.offset >= next.previous_end) {
            break "";
        }
        match scanner.next().map_err(io)? {
            Found::Record(offset, record) => {
                let (sequence, epoch, body) = (record.sequence, record.epoch, record.body);
                // The first batch says again what was said before, with what is committed last.
                let is_behind =
                    matches!(body, Body::Entry(_) | Body::Replace(_) | Body::Commit(_) | Body::Close);
                let batch = offset.saturating_sub(u64::from(record.batch_bytes));
                read.is_settled |= is_behind || batch > RECORDS_OFFSET;
                if let Err(why) = read.state.check(sequence, epoch, &body) {
                    let why = format!("a {} record cannot come here: {why}", body.name());
                    return Err(damaged(disk, file, offset, why));
                }
                if let Body::Snapshot(mark) = body
                    && mark.is_restart
                    && mark.sequence > covered
                {
                    // What came before it is nowhere else.
                    let why =
                        format!("the snapshot is missing: the log goes on from it in {}", disk.name(file));
                    return Err(damaged(disk, File::Snapshot(mark.sequence), 0, why));
                }
                read.state.apply(sequence, epoch, &body);
                read.report.records += 1;
                read.report.bytes += record.bytes as u64;
                read.report.is_closed = body == Body::Close;
                match body {
                    Body::Entry(payload) => {
                        read.marks.note(Mark { sequence, ordinal, offset });
                        if sequence == covered {
                            read.at_covered = Some(epoch);
                        }
                        if sequence > covered {
                            let clock_ms = record.clock_ms;
                            replay(Replayed::Entry(Entry { sequence, epoch, clock_ms, payload }));
                        }
                    }
                    Body::Replace(from) => {
                        read.marks.replace(from);
                        if from <= covered {
                            read.at_covered = None;
                        }
                        replay(Replayed::Replaced(from));
                    }
                    Body::Commit(through) => replay(Replayed::Committed(through)),
                    Body::Snapshot(mark) if mark.is_restart => {
                        read.marks.clear();
                        read.at_covered = (sequence == covered).then_some(epoch);
                        // Entries behind it, if there were any, are of the log that it took the place of.
                        replay(Replayed::Replaced(mark.sequence.next()));
                    }
                    _ => {}
                }
            }
            Found::Nothing(why) => break why,
            Found::Unknown { code, flags } => {
                return Err(Error::Unsupported {
                    what: "record",
                    detail: format!(
                        "{} has one of kind {code} with flags {flags} at byte {}; use a later release",
                        disk.name(file),
                        scanner.offset
                    )
                    .into(),
                });
            }
        }
    };
    let (offset, chain) = (scanner.offset, scanner.chain.unwrap_or(chain));
    match next {
        Some(next) if offset != next.previous_end => {
            let why =
                format!("{why}; the next segment says that the records end at byte {}", next.previous_end);
            return Err(damaged(disk, file, offset, why));
        }
        Some(_) => {}
        None => match scanner.behind(read.state.last).map_err(io)? {
            Behind::Nothing => {}
            Behind::Torn(bytes) => {
                read.report.torn = Some(Torn { file: disk.name(file), offset, bytes });
            }
            Behind::Later(later) => {
                let why = format!("{why}; the record at byte {later} was written when this was durable");
                return Err(damaged(disk, file, offset, why));
            }
        },
    }
    read.tail = Some(match scanner.batch {
        Some(from) => Tail { file, from, to: offset },
        None => Tail { file, from: START_OFFSET, to: START_OFFSET + START_BYTES as u64 },
    });
    read.end = Some(End { ordinal, salt, offset, chain });
    Ok(())
}
