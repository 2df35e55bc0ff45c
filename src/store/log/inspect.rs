//! Looking at a log, and mending it, while it is not open.

use crate::error::{Error, Result};

use super::cut::Cut;
use super::directory::{find_identity, lock, read_headers};
use super::disk::Disk;
use super::names::{File, Identity, Sequence};
use super::record::Record;
use super::recover::check;
use super::scan::{Found, Scanner};
use super::segment::RECORDS_OFFSET;

/// Gives every record to `take`, segment by segment, with its file and offset, until that answers `false`. A segment
/// ends for it where the first thing lies that is no record, whatever the reason: [`check`] tells that.
pub fn dump(disk: &impl Disk, take: &mut dyn FnMut(File, u64, &Record<'_>) -> bool) -> Result<()> {
    let mut files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
    files.sort();
    for file in files {
        let File::Segment(ordinal) = file else { continue };
        let (_, Ok(start)) = read_headers(disk, ordinal)? else { continue };
        let mut scanner =
            Scanner::new(disk, file, start.label.salt, RECORDS_OFFSET, start.label.segment_bytes);
        scanner.chain = Some(start.chain);
        loop {
            let next = scanner.next();
            match next.map_err(|error| Error::io(format!("read {}", disk.name(file)), &error))? {
                Found::Record(offset, record) => {
                    if !take(file, offset, &record) {
                        return Ok(());
                    }
                }
                _ => break,
            }
        }
    }
    Ok(())
}

/// What makes a damaged log whole again: everything from the damage on goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong.
    pub damage: Box<crate::error::Damage>,
    /// The segment that is cut, and where; zeros follow.
    pub cut: Option<(File, u64)>,
    /// The segments that go.
    pub removed: Vec<File>,
}

impl Repair {
    /// What a log needs; `None` when it is whole. `Corrupt` when cutting cannot mend it. Changes nothing.
    pub fn plan(disk: &impl Disk) -> Result<Option<Self>> {
        let identity = find_identity(disk)?;
        let damage = match check(disk, Some(identity), &mut |_| {}) {
            Ok(_) => return Ok(None),
            Err(Error::Corrupt(damage)) => damage,
            Err(error) => return Err(error),
        };
        let Some(Cut { at, removed }) = Cut::plan(disk, &damage)? else { return Err(Error::Corrupt(damage)) };
        Ok(Some(Self { damage, cut: at, removed }))
    }

    /// The files that are changed or go.
    pub fn touched(&self) -> impl Iterator<Item = File> + '_ {
        self.cut.iter().map(|(file, _)| *file).chain(self.removed.iter().copied())
    }

    /// Does it, and gives the last entry there is then. The log must not be open: its lock is taken. Stopped midway it
    /// can be done again.
    pub fn run(&self, disk: &impl Disk) -> Result<(Identity, Sequence)> {
        lock(disk)?;
        self.apply(disk)?;
        let (identity, _, report) = check(disk, None, &mut |_| {})?;
        Ok((identity, report.last))
    }

    /// Does it, for one who has the lock.
    pub fn apply(&self, disk: &impl Disk) -> Result<()> {
        // From the end: so what is left is always a log, damaged at the same place or whole.
        for file in self.removed.iter().rev() {
            disk.remove(*file).map_err(|error| Error::io(format!("remove {}", disk.name(*file)), &error))?;
        }
        disk.sync_names().map_err(|error| Error::io("sync the directory", &error))?;
        if let Some((file, offset)) = self.cut {
            let whole = match file {
                File::Segment(ordinal) => {
                    read_headers(disk, ordinal)?.1.map_or(0, |start| start.label.segment_bytes)
                }
                _ => 0,
            };
            let zero = || {
                let mut at = offset;
                // One that was cut short is as long again as it was made.
                let end = disk.bytes(file)?.max(whole);
                let zeros = vec![0; 1 << 20];
                while at < end {
                    let piece = (end - at).min(zeros.len() as u64);
                    disk.write(file, at, &zeros[..piece as usize])?;
                    at += piece;
                }
                disk.sync(file)
            };
            zero().map_err(|error| Error::io(format!("cut {}", disk.name(file)), &error))?;
        }
        Ok(())
    }
}
