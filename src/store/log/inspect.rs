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
use super::snapshot::read_full;

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

    /// Copies what will be changed to `aside`, another directory, and has the copies be durable under their names before it returns;
    /// that `aside` itself is, is the caller's to see to. What lies there with the same bytes is such a copy. A copy gets its name when it
    /// is whole; what this has copied goes again when it fails.
    ///
    /// # Errors
    ///
    /// `State` when another file of that name is in `aside`; `Io`.
    pub fn set_aside(&self, disk: &impl Disk, aside: &impl Disk) -> Result<()> {
        let mut copied = Vec::new();
        let mut copy_all = || {
            for file in self.touched() {
                match is_same(disk, aside, file)? {
                    Some(true) => {}
                    Some(false) => {
                        let detail = format!(
                            "{} is there already, from an earlier repair; move it away first",
                            aside.name(file)
                        );
                        return Err(Error::State { what: "copy", detail: detail.into() });
                    }
                    None => {
                        copied.push(UNFINISHED);
                        copy(disk, aside, file)?;
                        copied.push(file);
                    }
                }
                // What was found may have been left by one that came no further.
                aside
                    .sync(file)
                    .map_err(|error| Error::io(format!("write {} durably", aside.name(file)), &error))?;
            }
            aside.sync_names().map_err(|error| Error::io("sync the directory of the copies", &error))
        };
        let result = copy_all();
        if result.is_err() {
            for file in copied {
                // Most are not there any more.
                let _ = aside.remove(file);
            }
        }
        result
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

/// What a copy is called until it is whole.
const UNFINISHED: File = File::Unfinished(Sequence(0));

/// How much is copied at once.
const PIECE_BYTES: usize = 256 << 10;

/// Copies a file, which is not in `to` yet.
fn copy(from: &impl Disk, to: &impl Disk, file: File) -> Result<()> {
    let written = |error: std::io::Error| Error::io(format!("write {}", to.name(file)), &error);
    to.create(UNFINISHED, 0).map_err(written)?;
    let (mut offset, mut piece) = (0, vec![0; PIECE_BYTES]);
    loop {
        let bytes = read_full(from, file, offset, &mut piece)?;
        if bytes == 0 {
            break;
        }
        to.write(UNFINISHED, offset, &piece[..bytes]).map_err(written)?;
        offset += bytes as u64;
    }
    to.sync(UNFINISHED).and_then(|()| to.rename(UNFINISHED, file)).map_err(written)
}

/// Whether both have a file with the same bytes; `None`: `other` has none of that name.
fn is_same(disk: &impl Disk, other: &impl Disk, file: File) -> Result<Option<bool>> {
    match other.bytes(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|error| Error::io(format!("read {}", other.name(file)), &error))?,
    };
    let (mut one, mut two) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut offset = 0;
    loop {
        let bytes = read_full(disk, file, offset, &mut one)?;
        if read_full(other, file, offset, &mut two)? != bytes || one[..bytes] != two[..bytes] {
            return Ok(Some(false));
        }
        if bytes == 0 {
            return Ok(Some(true));
        }
        offset += bytes as u64;
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::error::Damage;
    use crate::sim::disk::{Faults, SimDisk};

    const FILES: [File; 2] = [File::Segment(12), File::Segment(13)];

    fn bytes(file: File) -> Vec<u8> {
        let length = if file == FILES[0] { PIECE_BYTES + 77 } else { 3_000 };
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    fn scene(seed: u64) -> (SimDisk, SimDisk, Repair) {
        let (disk, aside) =
            (SimDisk::new(seed, Faults::default()), SimDisk::new(seed + 1, Faults::default()));
        FILES.iter().for_each(|file| disk.place(*file, bytes(*file)));
        let damage = Damage { file: "12".into(), offset: 1, what: "damaged".into(), hint: "".into() };
        let repair = Repair { damage: Box::new(damage), cut: Some((FILES[0], 1)), removed: vec![FILES[1]] };
        (disk, aside, repair)
    }

    fn has_all(aside: &SimDisk) -> bool {
        FILES.iter().all(|file| aside.contents(*file) == Some(bytes(*file)))
    }

    /// The originals are destroyed next, and then the power fails.
    #[test]
    fn copies_and_their_names_are_durable_before_anything_is_changed() {
        for seed in 0..32 {
            let (disk, aside, repair) = scene(seed);
            repair.set_aside(&disk, &aside).expect("there is room");
            aside.restart();
            assert!(has_all(&aside), "seed {seed}");
            assert_eq!(aside.list().expect("it is listed"), FILES);
        }
    }

    #[test]
    fn one_that_was_stopped_anywhere_is_done_again() {
        for calls in 0..20 {
            let (disk, aside, repair) = scene(calls);
            aside.crash_in(calls);
            let is_done = repair.set_aside(&disk, &aside).is_ok();
            aside.restart();
            assert!(!is_done || has_all(&aside), "{calls}");
            repair.set_aside(&disk, &aside).expect("there is room, and nothing of another's");
            aside.restart();
            assert!(has_all(&aside), "{calls}");
        }
    }

    #[test]
    fn without_room_nothing_is_left_and_with_room_it_is_done() {
        let (disk, aside, repair) = scene(1);
        for room in [10, PIECE_BYTES as u64 + 100] {
            aside.set_bytes_max(Some(room));
            let refused = repair.set_aside(&disk, &aside).expect_err("there is no room");
            assert!(matches!(refused, Error::Io { .. }), "{refused}");
            assert_eq!(aside.list().expect("it is listed"), []);
        }
        aside.set_bytes_max(None);
        repair.set_aside(&disk, &aside).expect("there is room");
        assert!(has_all(&aside));
    }

    #[test]
    fn what_an_earlier_repair_has_set_aside_is_not_replaced() {
        let (disk, aside, repair) = scene(1);
        aside.place(FILES[1], vec![7; 10]);
        let refused = repair.set_aside(&disk, &aside).expect_err("it is another's");
        assert!(matches!(&refused, Error::State { what: "copy", .. }), "{refused}");
        assert_eq!(
            (aside.list().expect("it is listed"), aside.contents(FILES[1])),
            (vec![FILES[1]], Some(vec![7; 10]))
        );
    }
}
