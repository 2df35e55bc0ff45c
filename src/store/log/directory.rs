//! What a log's directory holds, as far as names and headers tell: whose log it is, its snapshots and segments, and which of them
//! are of no use. What lies in the segments is read in [`recover`](super::recover).

use crate::error::{Damage, Error, Result};

use super::disk::Disk;
use super::names::{File, Identity};
use super::scan::Scanner;
use super::segment::{HeaderFault, LABEL_BYTES, Label, RECORDS_OFFSET, START_BYTES, START_OFFSET, Start};
use super::snapshot::SnapshotReader;
use super::snapshot_format::SnapshotHeader;

/// What a log's directory holds, as far as names and headers tell.
pub(super) struct Directory {
    pub(super) snapshot: Option<(SnapshotHeader, u64)>,
    pub(super) old_snapshots: Vec<File>,
    /// Segments with a start, in order, without a gap.
    pub(super) started: Vec<Start>,
    pub(super) prepared: Vec<Label>,
    /// Segments before a gap: a snapshot stands for them, or the directory is refused.
    pub(super) stragglers: Vec<File>,
    /// Segments of which one has no good headers, and those before it, and what is wrong. They lie before `started`.
    pub(super) passed: Vec<File>,
    pub(super) damage: Option<Box<Damage>>,
    pub(super) spares: Vec<u64>,
    pub(super) unfinished: Vec<File>,
}

/// What a segment's headers say.
enum Looked {
    Started(Start),
    Prepared(Label),
}

/// Takes the directory for one log.
pub fn lock(disk: &impl Disk) -> Result<()> {
    disk.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::State {
            what: "log",
            detail: format!(
                "is open already: {} is held ({error}); close it there, or give this one a directory of its own",
                disk.name(File::Lock)
            )
            .into(),
        },
        _ => Error::io_in_directory(format!("lock {}", disk.name(File::Lock)), &error),
    })
}

/// Whose log a directory holds, by the first file that says so: a segment, or where none does the newest snapshot.
pub fn find_identity(disk: &impl Disk) -> Result<Identity> {
    let nothing = match find_label(disk) {
        Err(nothing @ Error::NotFound { .. }) => nothing,
        found => return found.map(|label| label.identity),
    };
    let files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
    let newest = files.into_iter().filter(|file| matches!(file, File::Snapshot(_))).max();
    newest.map_or(Err(nothing), |newest| SnapshotReader::identity(disk, newest))
}

/// The label of the first segment in a directory that has one: whose log it is, and how long its segments are.
pub fn find_label(disk: &impl Disk) -> Result<Label> {
    let mut files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
    files.sort();
    for file in files {
        let File::Segment(ordinal) = file else { continue };
        match read_headers(disk, ordinal)? {
            (_, Ok(start)) => return Ok(start.label),
            (Ok(label), _) => return Ok(label),
            (Err(HeaderFault::Version(version)), _) | (_, Err(HeaderFault::Version(version))) => {
                return Err(unknown_version(disk, file, version));
            }
            _ => {}
        }
    }
    Err(Error::NotFound { what: "log", value: "in this directory: no segment in it has a label".into() })
}

pub(in crate::store) fn check_identity(
    ours: Identity,
    theirs: Identity,
    name: impl FnOnce() -> String,
) -> Result<()> {
    let what = match () {
        () if theirs.cluster != ours.cluster => "cluster",
        () if theirs.node != ours.node => "node",
        () => return Ok(()),
    };
    Err(Error::invalid(
        what,
        format!("{} belongs to {theirs}, not to {ours}; give each node a directory of its own", name()),
    ))
}

/// Both headers of a segment.
#[allow(clippy::type_complexity)]
pub(super) fn read_headers(
    disk: &impl Disk,
    ordinal: u64,
) -> Result<(std::result::Result<Label, HeaderFault>, std::result::Result<Start, HeaderFault>)> {
    let file = File::Segment(ordinal);
    let io = |error: std::io::Error| Error::io_in_directory(format!("read {}", disk.name(file)), &error);
    let mut label = [0; LABEL_BYTES];
    let label_read = disk.read(file, 0, &mut label).map_err(io)?;
    let mut start = [0; START_BYTES];
    let start_read = disk.read(file, START_OFFSET, &mut start).map_err(io)?;
    let is_ours = |label: &Label| label.ordinal == ordinal;
    let label = Label::decode(&label[..label_read])
        .and_then(|label| is_ours(&label).then_some(label).ok_or(HeaderFault::Nothing));
    let start = Start::decode(&start[..start_read])
        .and_then(|start| is_ours(&start.label).then_some(start).ok_or(HeaderFault::Nothing));
    Ok((label, start))
}

pub(super) fn look(disk: &impl Disk, identity: Identity, segment_bytes: Option<u64>) -> Result<Directory> {
    let mut files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
    files.sort();
    let mut found = Directory {
        snapshot: None,
        old_snapshots: Vec::new(),
        started: Vec::new(),
        prepared: Vec::new(),
        stragglers: Vec::new(),
        passed: Vec::new(),
        damage: None,
        spares: Vec::new(),
        unfinished: Vec::new(),
    };
    let mut ordinals: Vec<u64> = Vec::new();
    let mut snapshots = Vec::new();
    for file in files {
        match file {
            File::Lock => {}
            File::Segment(ordinal) => {
                if ordinals.last().is_some_and(|last| last + 1 != ordinal) {
                    found.stragglers.extend(ordinals.drain(..).map(File::Segment));
                }
                ordinals.push(ordinal);
            }
            File::Spare(number) => found.spares.push(number),
            File::Snapshot(sequence) => snapshots.push(sequence),
            File::Unfinished(_) => found.unfinished.push(file),
            File::Restoring => {
                return Err(Error::State {
                    what: "log",
                    detail: format!(
                        "is not whole: {} is there, since a restore into this directory did not finish; restore again",
                        disk.name(file)
                    )
                    .into(),
                });
            }
            File::Manifest => {
                return Err(Error::State {
                    what: "log",
                    detail: format!(
                        "is a backup, as {} says; restore it into another directory, and open that",
                        disk.name(file)
                    )
                    .into(),
                });
            }
            File::Entries(_) | File::NextManifest => {}
        }
    }
    if let Some(newest) = snapshots.pop() {
        let file = File::Snapshot(newest);
        let reader = SnapshotReader::open(disk, file, identity)?;
        let bytes =
            disk.bytes(file).map_err(|error| Error::io(format!("read {}", disk.name(file)), &error))?;
        found.snapshot = Some((*reader.header(), bytes));
        found.old_snapshots.extend(snapshots.into_iter().map(File::Snapshot));
    }
    for ordinal in ordinals {
        match look_at(disk, ordinal, identity, segment_bytes) {
            Ok(Looked::Started(start)) => {
                if let Some(prepared) = found.prepared.first() {
                    let before = File::Segment(prepared.ordinal);
                    let why = "the segment's start is missing, and a later segment has one".into();
                    found.pass(damage(disk, before, START_OFFSET, why));
                }
                found.started.push(start);
            }
            Ok(Looked::Prepared(label)) => found.prepared.push(label),
            Err(Error::Corrupt(damage)) => {
                found.pass(damage);
                found.passed.push(File::Segment(ordinal));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(damage) = &found.damage
        && !found.started.first().is_some_and(|start| found.covers_up_to(start))
    {
        return Err(Error::Corrupt(damage.clone()));
    }
    match found.prepared.first() {
        _ if !found.started.is_empty() => {}
        // A log whose first segment never came to last; there may be a snapshot of what was in memory.
        Some(label) if label.ordinal == 1 => {}
        // One is prepared when the one before has been started, and that goes only when a later one has a start that is
        // durable. So whatever lies before a gap here was not on its way out.
        Some(label) => {
            let (file, missing) = (File::Segment(label.ordinal), File::Segment(label.ordinal - 1));
            let why =
                format!("nothing was written to it yet, and the segment before it, {missing}, is missing");
            return Err(damaged(disk, file, START_OFFSET, why));
        }
        None => {
            if let Some((header, _)) = &found.snapshot {
                let file = File::Snapshot(header.sequence);
                let why = "there is a snapshot, but no segment that goes on from it".into();
                return Err(damaged(disk, file, 0, why));
            }
        }
    }
    Ok(found)
}

impl Directory {
    /// All segments found so far are of no use, since one of them is damaged, unless a snapshot stands for them.
    fn pass(&mut self, damage: Box<Damage>) {
        let ordinals = self.started.drain(..).map(|start| start.label.ordinal);
        let ordinals = ordinals.chain(self.prepared.drain(..).map(|label| label.ordinal));
        self.passed.extend(ordinals.map(File::Segment));
        self.damage.get_or_insert(damage);
    }

    /// Whether there is a snapshot that has all entries that count at the start of this segment: then it stands for the
    /// segments before it, as in [`Segments::release`].
    pub(super) fn covers_up_to(&self, start: &Start) -> bool {
        self.snapshot.is_some_and(|(header, _)| start.first <= header.sequence.next())
    }
}

/// What a segment's headers say.
fn look_at(disk: &impl Disk, ordinal: u64, identity: Identity, segment_bytes: Option<u64>) -> Result<Looked> {
    let file = File::Segment(ordinal);
    let (label, start) = read_headers(disk, ordinal)?;
    for fault in [label.err(), start.err()].into_iter().flatten() {
        if let HeaderFault::Version(version) = fault {
            return Err(unknown_version(disk, file, version));
        }
    }
    let known = match (&start, &label) {
        (Ok(start), _) => start.label,
        (_, Ok(label)) => *label,
        _ => {
            return Err(damaged(
                disk,
                file,
                0,
                "neither of the segment's headers is what was written".into(),
            ));
        }
    };
    check_identity(identity, known.identity, || disk.name(file))?;
    if let Some(bytes) = segment_bytes
        && bytes != known.segment_bytes
    {
        return Err(Error::invalid(
            "segment_bytes",
            format!("{bytes}, but {} was made with {}", disk.name(file), known.segment_bytes),
        ));
    }
    let bytes = disk.bytes(file).map_err(|error| Error::io(format!("read {}", disk.name(file)), &error))?;
    if bytes < known.segment_bytes {
        let why = format!("the file ends there; it was made with {} bytes", known.segment_bytes);
        return Err(damaged(disk, file, bytes, why));
    }
    match start {
        Ok(start) => Ok(Looked::Started(start)),
        Err(_) => {
            let mut scanner = Scanner::new(disk, file, known.salt, RECORDS_OFFSET, known.segment_bytes);
            let any =
                scanner.any().map_err(|error| Error::io(format!("read {}", disk.name(file)), &error))?;
            if let Some(offset) = any {
                let why = format!(
                    "the segment's start is not what was written; there is a record at byte {offset}"
                );
                return Err(damaged(disk, file, START_OFFSET, why));
            }
            Ok(Looked::Prepared(known))
        }
    }
}

fn unknown_version(disk: &impl Disk, file: File, version: u16) -> Error {
    Error::Unsupported {
        what: "segment version",
        detail: format!(
            "{} has version {version}, this release reads 1; use a later release",
            disk.name(file)
        )
        .into(),
    }
}

pub(super) fn damaged(disk: &impl Disk, file: File, offset: u64, what: String) -> Error {
    Error::Corrupt(damage(disk, file, offset, what))
}

fn damage(disk: &impl Disk, file: File, offset: u64, what: String) -> Box<Damage> {
    Box::new(Damage {
        file: disk.name(file),
        offset,
        what,
        hint: "restore the directory from a backup or another node".into(),
    })
}
