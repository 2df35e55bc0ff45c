//! [`Target`]: a backup that is being added to. What is added counts when the manifest that names it is durable.

use crate::error::{Error, Result};
use crate::store::log::snapshot_format::SnapshotHeader;
use crate::store::log::{
    Disk, Entry, File, Identity, Part as Piece, Plan, Sequence, SnapshotReader, SnapshotWriter, Written,
    check_identity, lock,
};

use super::entries::EntriesWriter;
use super::manifest::{Kind, MANIFEST_BYTES_MAX, Manifest, Part};

/// What became of entries that were to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// They are there.
    Done,
    /// The log has let go of some of them: a snapshot is to be added instead.
    Gone,
}

/// A backup that is open for being added to, by one at a time.
#[derive(Debug)]
pub struct Target<'d, D> {
    disk: &'d D,
    manifest: Manifest,
    /// What an addition gave so far, not in force before the manifest is written.
    added: Vec<Part>,
    manifest_bytes_max: u64,
}

impl<'d, D: Disk> Target<'d, D> {
    /// Opens the backup in a directory, or begins one there: then nothing else is in it, which the caller has seen to.
    /// Takes its lock, and takes away what an addition left that did not come to its end.
    ///
    /// # Errors
    ///
    /// `State` when another is adding to it; `InvalidArgument` when it is of another store; `Corrupt`, `Unsupported` or
    /// `Io` when the manifest cannot be read.
    pub fn open(disk: &'d D, identity: Identity, segment_bytes: u64) -> Result<Self> {
        lock(disk).map_err(|error| match error {
            Error::State { .. } => Error::State {
                what: "backup",
                detail: format!("is being added to by another: {} is held", disk.name(File::Lock)).into(),
            },
            other => other,
        })?;
        let manifest = match Manifest::read(disk)? {
            Some(manifest) => {
                check_identity(identity, manifest.identity, || disk.name(File::Manifest))?;
                if segment_bytes != manifest.segment_bytes {
                    return Err(Error::invalid(
                        "segment_bytes",
                        format!(
                            "{segment_bytes}, but {} is of a store with {}; take another directory",
                            disk.name(File::Manifest),
                            manifest.segment_bytes
                        ),
                    ));
                }
                manifest
            }
            None => {
                let manifest = Manifest::new(identity, segment_bytes);
                // Before any other file: so all that is found beside no manifest was put there by somebody else.
                manifest.write(disk)?;
                manifest
            }
        };
        let target = Self { disk, manifest, added: Vec::new(), manifest_bytes_max: MANIFEST_BYTES_MAX };
        target.clean()?;
        Ok(target)
    }

    /// What is in force: without what was added since.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The last entry in the backup, those included that are not in force yet; 0: none.
    pub fn last(&self) -> Sequence {
        let added = self.added.iter().map(|part| part.last).max().unwrap_or(0);
        self.manifest.last().max(Sequence(added))
    }

    /// To be asked before anything is written into the directory.
    ///
    /// # Errors
    ///
    /// `State` when the manifest would be longer than any may be.
    pub fn check_room(&self) -> Result<()> {
        // Whatever an addition makes was reckoned with when it began.
        match self.added.is_empty() {
            true => self.manifest.check_room(self.disk, self.manifest_bytes_max),
            false => Ok(()),
        }
    }

    /// Adds the entries of a plan, read from `source`. One that is in the backup already, as its last, is held against
    /// what is there. Where the backup does not say what that one was, the store could be another, and nothing is put
    /// behind it: that is [`Added::Gone`] too.
    ///
    /// - `through_ms`: all that there was up to this time is within the plan.
    /// - `go_on`: asked before each entry; its error ends the addition.
    ///
    /// # Errors
    ///
    /// `State` when the log has gone another way than the one that was backed up, or the backup takes no more; `Corrupt`
    /// when the log is damaged; `Io`. What was added before is not in force then.
    pub fn entries(
        &mut self,
        source: &impl Disk,
        plan: &Plan,
        through_ms: u64,
        salt: u64,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Added> {
        let known = self.manifest.last_part().cloned();
        let is_silent = |known: &Part| plan.from().0 <= known.last && known.last_payload_crc32c.is_none();
        if known.as_ref().is_some_and(is_silent) {
            return Ok(Added::Gone);
        }
        let (disk, identity) = (self.disk, self.manifest.identity);
        let this = &*self;
        let mut writer: Option<EntriesWriter> = None;
        let mut result = Ok(());
        let read = plan.read(source, |entry| {
            result = go_on().and_then(|()| {
                if known.as_ref().is_some_and(|known| entry.sequence.0 <= known.last) {
                    return same(entry, known.as_ref());
                }
                let writer = match &mut writer {
                    Some(writer) => writer,
                    none => {
                        this.check_room()?;
                        none.insert(EntriesWriter::begin(disk, identity, entry.sequence, salt)?)
                    }
                };
                writer.entry(disk, entry)
            });
            result.is_ok()
        });
        match (read, result, writer) {
            (Ok(()), Ok(()), Some(writer)) => {
                self.added.extend(writer.finish(disk, through_ms)?);
                Ok(Added::Done)
            }
            (Ok(()), Ok(()), None) => Ok(Added::Done),
            (read, result, writer) => {
                if let Some(writer) = writer {
                    writer.discard(disk);
                }
                result?;
                match read {
                    Err(Error::NotFound { .. }) => Ok(Added::Gone),
                    other => other.map(|()| Added::Gone),
                }
            }
        }
    }

    /// Adds a snapshot that was written into the directory, after [`Target::check_room`].
    ///
    /// - `last_payload_crc`: what [`last_payload_crc`] gave for its last entry.
    pub fn snapshot(&mut self, written: &Written, last_payload_crc: Option<u32>) {
        let SnapshotHeader { sequence, epoch, clock_ms, .. } = written.header;
        self.added.push(Part {
            kind: Kind::Snapshot,
            first: sequence.0,
            last: sequence.0,
            last_epoch: epoch.0,
            first_clock_ms: clock_ms,
            last_clock_ms: clock_ms,
            through_ms: clock_ms,
            bytes: written.bytes,
            last_payload_crc32c: last_payload_crc,
        });
    }

    /// Adds the snapshot of a log that is not open, read from its directory.
    ///
    /// - `last_payload_crc`: what [`last_payload_crc`] gave for its last entry.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is damaged, `State` when the backup takes no more, `Io`.
    pub fn copy_snapshot(
        &mut self,
        source: &impl Disk,
        sequence: Sequence,
        last_payload_crc: Option<u32>,
    ) -> Result<()> {
        self.check_room()?;
        let mut reader = SnapshotReader::open(source, File::Snapshot(sequence), self.manifest.identity)?;
        let mut writer = SnapshotWriter::begin(self.disk, *reader.header())?;
        while let Some(piece) = reader.next(source)? {
            match piece {
                Piece::Data(bytes) => writer.data(self.disk, bytes)?,
                Piece::Membership(bytes) => writer.membership(self.disk, bytes)?,
            }
        }
        let written = writer.finish(self.disk)?;
        self.snapshot(&written, last_payload_crc);
        Ok(())
    }

    /// Puts in force what was added: writes the manifest that names it. Blocks for the syncs.
    ///
    /// - `through_ms`: the last entry in the backup was the last one there was at this time.
    /// - `is_replicated`: the store is one of several.
    ///
    /// # Errors
    ///
    /// `Io`, and `State` when it takes no more: then the backup is as it was before.
    pub fn finish(mut self, through_ms: u64, is_replicated: bool) -> Result<Manifest> {
        let last = self.last().0;
        let Manifest { parts, .. } = &mut self.manifest;
        parts.append(&mut self.added);
        for part in parts.iter_mut().filter(|part| part.last == last) {
            part.through_ms = part.through_ms.max(through_ms);
        }
        self.manifest.is_replicated |= is_replicated;
        self.manifest.write(self.disk)?;
        Ok(self.manifest)
    }

    /// Takes away the files that the manifest does not name.
    fn clean(&self) -> Result<()> {
        let failed = |what: String, error: std::io::Error| Error::io(what, &error);
        let files = self.disk.list().map_err(|error| failed("list the backup's directory".into(), error))?;
        for file in files {
            let is_named = match file {
                File::Snapshot(_) | File::Entries(_) => {
                    self.manifest.parts.iter().any(|part| part.file() == file)
                }
                File::Unfinished(_) | File::NextManifest => false,
                // Of a log, which the caller has refused, or kept.
                _ => true,
            };
            if !is_named {
                self.disk
                    .remove(file)
                    .map_err(|error| failed(format!("remove {}", self.disk.name(file)), error))?;
            }
        }
        Ok(())
    }
}

/// The checksum of the payload of a plan's last entry, read from `source`, for the part that ends with it; `None`
/// when it cannot be read, for whatever reason: a snapshot does without.
pub fn last_payload_crc(source: &impl Disk, plan: &Plan) -> Option<u32> {
    let mut crc = None;
    let read = plan.read(source, |entry| {
        crc = (entry.sequence == plan.to()).then(|| crc32c::crc32c(entry.payload));
        true
    });
    read.ok().and(crc)
}

/// Whether the log still has the entry with which the backup ends. What a snapshot says of times is its own.
fn same(entry: &Entry<'_>, known: Option<&Part>) -> Result<()> {
    let Some(known) = known.filter(|known| known.last == entry.sequence.0) else { return Ok(()) };
    let is_same = known.last_epoch == entry.epoch.0
        && known.last_payload_crc32c == Some(crc32c::crc32c(entry.payload))
        && (known.kind == Kind::Snapshot || known.last_clock_ms == entry.clock_ms);
    if is_same { Ok(()) } else { Err(diverged(entry.sequence)) }
}

fn diverged(at: Sequence) -> Error {
    Error::State {
        what: "store",
        detail: format!(
            "has another entry {at} than the backup, so it has gone another way since; take another directory"
        )
        .into(),
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::sim::disk::{Faults, SimDisk};
    use crate::store::log::{Epoch, Log, Options, open};
    use crate::time::Instant;

    const IDENTITY: Identity = Identity { cluster: *b"0123456789abcdef", node: 1 };
    const SEGMENT_BYTES: u64 = 64 << 10;

    fn log(disk: &SimDisk) -> Log {
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::default() };
        let (mut log, _) = open(disk, options, IDENTITY, 1, &mut |_| {}).expect("it opens");
        upkeep(&mut log, disk);
        log
    }

    fn upkeep(log: &mut Log, disk: &SimDisk) {
        while let Some(work) = log.poll_upkeep() {
            let result = work.run(disk);
            log.handle_upkeep(&work, result, Instant::START, |file| file.to_string());
        }
    }

    fn append(log: &mut Log, disk: &SimDisk) {
        log.append(Epoch(1), 7, b"entry").expect("there is room");
        while let Some(flush) = log.poll_flush() {
            let result = flush.run(disk);
            log.handle_flushed(flush, result, |file| file.to_string());
        }
    }

    /// Adds what there is, to a backup whose manifest may have so many bytes.
    fn add(log: &Log, source: &SimDisk, backup: &SimDisk, bytes_max: u64) -> Result<Manifest> {
        backup.leave();
        let mut target = Target::open(backup, IDENTITY, SEGMENT_BYTES)?;
        target.manifest_bytes_max = bytes_max;
        let plan = log.plan(target.last().max(Sequence(1)), log.state().last).expect("the log has all");
        target.entries(source, &plan, 7, 1, &mut || Ok(()))?;
        target.finish(7, false)
    }

    #[test]
    fn a_backup_whose_manifest_is_full_is_left_as_it_was() {
        let (source, backup) = (SimDisk::new(1, Faults::default()), SimDisk::new(2, Faults::default()));
        let mut log = log(&source);
        let bytes_max = 4 << 10;
        let refused = loop {
            append(&mut log, &source);
            let before = backup.list().expect("it is listed");
            match add(&log, &source, &backup, bytes_max) {
                Ok(_) => {}
                Err(error) => {
                    let is_new = |file: &File| !before.contains(file);
                    assert_eq!(backup.list().expect("it is listed").into_iter().find(is_new), None);
                    break error;
                }
            }
        };
        let told = refused.to_string();
        assert!(matches!(refused, Error::State { what: "backup", .. }), "{told}");
        assert!(told.contains("manifest.json") && told.contains("4096 bytes"), "{told}");
        assert!(told.contains("begin another backup in an empty directory"), "{told}");
        let manifest = Manifest::read(&backup).expect("it is read").expect("it is there");
        assert_eq!(manifest.last(), log.state().last.before());
        assert!(manifest.parts.len() > 5, "{}", manifest.parts.len());
        super::super::verify(&backup, &manifest).expect("it is whole");
        // Where nothing is new nothing is added.
        let same =
            Target { manifest_bytes_max: 0, ..target(&backup) }.finish(8, false).expect("it is written");
        assert_eq!(same.parts.len(), manifest.parts.len());
        // And with room it goes on.
        let grown = add(&log, &source, &backup, u64::MAX).expect("there is room");
        assert_eq!(grown.last(), log.state().last);
    }

    fn target(backup: &SimDisk) -> Target<'_, SimDisk> {
        backup.leave();
        Target::open(backup, IDENTITY, SEGMENT_BYTES).expect("it opens")
    }
}
