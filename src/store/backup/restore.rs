//! Making a log of a backup, as it was at some point.

use std::io;

use crate::error::{Error, Result};
use crate::store::engine::replicated::is_command;
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{
    Disk, Entry, Epoch, File, Identity, Log, Options, Part as Piece, SnapshotReader, SnapshotWriter, lock,
    open,
};
use crate::time::Instant;

use super::entries::{EntriesReader, damaged, in_backup};
use super::manifest::{Kind, Manifest, Part, Span};

/// How much is gathered before it is written and synced.
const BATCH_BYTES: u64 = 4 << 20;

/// Where to go back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Point {
    /// The last that the backup holds.
    #[default]
    End,
    /// As it was after this entry.
    Sequence(u64),
    /// As it was at this time, in milliseconds since 1970, by the store's clock: with all that was written up to it.
    Time(u64),
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Whose the restored store is.
    pub identity: Identity,
    /// Its last entry.
    pub sequence: u64,
    /// When that was written, in milliseconds since 1970; for a snapshot, when that was taken.
    pub clock_ms: u64,
    /// The sequence of the snapshot it begins with; 0: none.
    pub snapshot: u64,
    /// How many entries came on top of it.
    pub entries: u64,
}

/// Which parts of a backup make up a point.
struct Route<'m> {
    base: Option<&'m Part>,
    entries: Vec<&'m Part>,
    /// The last entry to take.
    last: u64,
    /// The latest time to take.
    clock_ms: u64,
}

/// Makes a log in `target`, which has nothing in it but what an earlier restore left that did not come to its end, of the backup in `from`. While that goes on, and when it stops
/// midway, a file tells that there is no log yet; after a failure what was made is taken away. Takes the lock of
/// `target`. Blocks for the disks.
///
/// - `identity`: whose the log is to be.
/// - `seed`: a random number.
///
/// # Errors
///
/// `InvalidArgument` when there is something in the directory; for a point that the backup does not hold: it says what it holds; or for the identity of a store that
/// replicates. `Corrupt` when the backup is damaged, `State` when somebody has the directory, `Io`.
pub fn restore(
    from: &impl Disk,
    manifest: &Manifest,
    point: Point,
    target: &impl Disk,
    identity: Identity,
    seed: u64,
) -> Result<Restored> {
    if manifest.is_replicated && identity == manifest.identity {
        return Err(Error::invalid(
            "identity",
            format!(
                "the backup is of {identity}, which has voted or has other nodes; restored, it would have forgotten \
                 what it promised them: restore it as a store of its own, and let others join that"
            ),
        ));
    }
    let route = route(manifest, point)?;
    lock(target)?;
    let failed =
        |what: &str, error: io::Error| Error::io(format!("{what} {}", target.name(File::Restoring)), &error);
    let files = target.list().map_err(|error| Error::io("list the directory", &error))?;
    if files.contains(&File::Restoring) {
        // What an earlier one left.
        clean(target)?;
    } else if let Some(file) = files.into_iter().find(|file| *file != File::Lock) {
        return Err(Error::invalid(
            "directory",
            format!("{} is in it; restore into an empty one", target.name(file)),
        ));
    }
    target
        .create(File::Restoring, 0)
        .and_then(|()| target.sync_names())
        .map_err(|error| failed("make", error))?;
    let restored = write(from, manifest, &route, target, identity, seed);
    if restored.is_err() {
        // The mark goes last, and stays if the others do.
        if clean(target).is_ok() {
            let _ = target.remove(File::Restoring);
        }
        return restored;
    }
    target
        .remove(File::Restoring)
        .and_then(|()| target.sync_names())
        .map_err(|error| failed("remove", error))?;
    restored
}

/// Takes away what a restore has made, but for its mark.
fn clean(target: &impl Disk) -> Result<()> {
    let files = target.list().map_err(|error| Error::io("list the directory", &error))?;
    for file in files {
        if !matches!(file, File::Lock | File::Restoring) {
            target
                .remove(file)
                .map_err(|error| Error::io(format!("remove {}", target.name(file)), &error))?;
        }
    }
    Ok(())
}

const NOTHING: Route<'static> = Route { base: None, entries: Vec::new(), last: 0, clock_ms: u64::MAX };

fn route(manifest: &Manifest, point: Point) -> Result<Route<'_>> {
    let spans = manifest.spans();
    let (span, last, clock_ms) = match point {
        Point::End => match spans.last() {
            Some(span) => (span, span.last, u64::MAX),
            // A store in which nothing was ever written.
            None => return Ok(NOTHING),
        },
        // Before the first entry there was nothing. Of a backup that begins later it is asked by mistake.
        Point::Sequence(0) if spans.first().is_none_or(|span| span.first == 1) => return Ok(NOTHING),
        Point::Sequence(sequence) => {
            match spans.iter().find(|span| (span.first..=span.last).contains(&sequence)) {
                Some(span) => (span, sequence, u64::MAX),
                None => {
                    return Err(Error::invalid(
                        "sequence",
                        outside(sequence, &spans, "sequences", |span| (span.first, span.last)),
                    ));
                }
            }
        }
        Point::Time(clock_ms) => {
            match spans.iter().rfind(|span| (span.first_ms..=span.last_ms).contains(&clock_ms)) {
                Some(span) => (span, span.last, clock_ms),
                None => {
                    return Err(Error::invalid(
                        "time",
                        outside(clock_ms, &spans, "milliseconds", |span| (span.first_ms, span.last_ms)),
                    ));
                }
            }
        }
    };
    let bases = manifest.parts.iter().filter(|part| {
        let is_within = (span.first..=last).contains(&part.last) && part.first_clock_ms <= clock_ms;
        part.kind == Kind::Snapshot && is_within
    });
    let base = bases.max_by_key(|part| part.last);
    let mut entries = Vec::new();
    let mut next = base.map_or(1, |base| base.last + 1);
    while next <= last {
        let has = |part: &&Part| part.kind == Kind::Entries && (part.first..=part.last).contains(&next);
        let Some(part) = manifest.parts.iter().find(has) else { break };
        next = part.last + 1;
        entries.push(part);
    }
    Ok(Route { base, entries, last, clock_ms })
}

fn outside(asked: u64, spans: &[Span], what: &str, ends: impl Fn(&Span) -> (u64, u64)) -> String {
    let held: Vec<String> = spans
        .iter()
        .map(|span| {
            let (first, last) = ends(span);
            format!("{first} to {last}")
        })
        .collect();
    match held.is_empty() {
        true => format!("{asked}, but the backup holds nothing"),
        false => format!("{asked} is not in the backup, which holds the {what} {}", held.join(" and ")),
    }
}

fn write(
    from: &impl Disk,
    manifest: &Manifest,
    route: &Route<'_>,
    target: &impl Disk,
    identity: Identity,
    seed: u64,
) -> Result<Restored> {
    let target = &Marked(target);
    let options = Options { segment_bytes: manifest.segment_bytes, ..Options::default() };
    let (mut log, _) = open(target, options, identity, seed, &mut |_| {})?;
    let mut restored = Restored { identity, sequence: 0, clock_ms: 0, snapshot: 0, entries: 0 };
    if let Some(base) = route.base {
        let header = copy_snapshot(from, manifest, base, target, identity, &mut log)?;
        restored.sequence = header.sequence.0;
        restored.snapshot = header.sequence.0;
        restored.clock_ms = header.clock_ms;
    }
    for part in &route.entries {
        let file = part.file();
        let mut reader = EntriesReader::open(from, file, manifest.identity)?;
        loop {
            let offset = reader.offset();
            let Some(entry) = reader.next(from)? else { break };
            if entry.sequence.0 > route.last || entry.clock_ms > route.clock_ms {
                break;
            }
            if entry.sequence.0 <= restored.sequence {
                continue;
            }
            if entry.sequence.0 != restored.sequence + 1 {
                return Err(damaged(from, file, offset, "it is not the file that the manifest names"));
            }
            append(&mut log, target, &entry)?;
            restored.sequence = entry.sequence.0;
            restored.clock_ms = entry.clock_ms;
            restored.entries += 1;
        }
    }
    // With a time, entries may end before the span does.
    if route.clock_ms == u64::MAX && restored.sequence != route.last {
        let last = route.entries.last().copied().or(route.base).map_or(File::Manifest, Part::file);
        let why = format!("it ends with entry {}, before {}", restored.sequence, route.last);
        return Err(damaged(from, last, 0, why));
    }
    flush(&mut log, target)?;
    // The record that closes it may need a further segment.
    while !log.has_room(0) && upkeep(&mut log, target) {}
    log.close(restored.clock_ms)?;
    flush(&mut log, target)?;
    Ok(restored)
}

fn copy_snapshot(
    from: &impl Disk,
    manifest: &Manifest,
    base: &Part,
    target: &impl Disk,
    identity: Identity,
    log: &mut Log,
) -> Result<SnapshotHeader> {
    let mut reader = SnapshotReader::open(from, base.file(), manifest.identity).map_err(in_backup)?;
    // Membership is the old cluster's.
    let header = SnapshotHeader { identity, ..*reader.header() };
    let mut writer = SnapshotWriter::begin(target, header)?;
    while let Some(piece) = reader.next(from).map_err(in_backup)? {
        if let Piece::Data(bytes) = piece {
            writer.data(target, bytes)?;
        }
    }
    let written = writer.finish(target)?;
    log.handle_snapshot(&written, true, header.clock_ms)?;
    Ok(header)
}

fn append(log: &mut Log, disk: &impl Disk, entry: &Entry<'_>) -> Result<()> {
    // What consensus has between the commands speaks of the nodes of the old cluster. Each keeps its number.
    let payload = if is_command(entry.payload) { entry.payload } else { &[] };
    loop {
        match log.append(Epoch(entry.epoch.0), entry.clock_ms, payload) {
            Ok(_) if log.pending_bytes() < BATCH_BYTES => return Ok(()),
            Ok(_) => return flush(log, disk),
            Err(Error::Capacity { .. }) if log.is_stalled() => {
                flush(log, disk)?;
                upkeep(log, disk);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Does the next work on files; says whether there was some.
fn upkeep(log: &mut Log, disk: &impl Disk) -> bool {
    let Some(work) = log.poll_upkeep() else { return false };
    let result = work.run(disk);
    log.handle_upkeep(&work, result, Instant::START, |file| disk.name(file));
    true
}

fn flush(log: &mut Log, disk: &impl Disk) -> Result<()> {
    while let Some(flush) = log.poll_flush() {
        let result = flush.run(disk);
        log.handle_flushed(flush, result, |file| disk.name(file));
    }
    log.failure().map_or(Ok(()), |failure| Err(failure.clone()))
}

/// The directory as the log is to see it: without the mark.
struct Marked<'d, D>(&'d D);

impl<D: Disk> Disk for Marked<'_, D> {
    fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }

    fn list(&self) -> io::Result<Vec<File>> {
        let mut files = self.0.list()?;
        files.retain(|file| *file != File::Restoring);
        Ok(files)
    }

    fn bytes(&self, file: File) -> io::Result<u64> {
        self.0.bytes(file)
    }

    fn read(&self, file: File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(file, offset, into)
    }

    fn create(&self, file: File, bytes: u64) -> io::Result<()> {
        self.0.create(file, bytes)
    }

    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(file, offset, bytes)
    }

    fn sync(&self, file: File) -> io::Result<()> {
        self.0.sync(file)
    }

    fn rename(&self, from: File, to: File) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, file: File) -> io::Result<()> {
        self.0.remove(file)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.0.free_bytes()
    }

    fn name(&self, file: File) -> String {
        self.0.name(file)
    }
}
