//! A disk that does all that disks may do: a crash keeps of what was not synced any part, in any order, torn at any
//! byte; a sync may fail, or lie, that of names too; writing, making and renaming may fail; bits rot; there is no room.
//!
//! A process that ends while the machine goes on loses nothing at once ([`SimDisk::leave`]): what it had not synced is
//! read by the next one, and goes with the power later.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use crate::rng::Rng;
use crate::store::log::{Disk, File};

/// How many bytes a device writes as one, if nothing tears them.
const SECTOR_BYTES: usize = 512;

/// What the disk does wrong, each with a probability out of 1000 where it is a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A sync fails; what was to be synced is lost for the disk, though reading still shows it.
    pub sync_fails: u64,
    /// A sync says it has done what it has not.
    pub sync_lies: u64,
    /// Every sync is done when the next one comes, and acknowledged before: the canary, which must be caught.
    pub sync_late: bool,
    /// A write fails; some of it, from its beginning on, is there.
    pub write_fails: u64,
    /// A file cannot be made; or is, with nothing in it, and that is told all the same.
    pub create_fails: u64,
    /// A file cannot be renamed or taken away; or is, and that is told all the same.
    pub rename_fails: u64,
    /// A sync of names fails. Some of the changes, the first ones, are durable; a later sync may make the others so, since
    /// file systems keep names in a journal and do not give up a part of it.
    pub names_fail: u64,
    /// A sync of names says it has done what it has not.
    pub names_lie: u64,
}

impl Faults {
    /// Everything that may fail does, with this probability out of 1000; nothing lies.
    pub fn failing(permille: u64) -> Self {
        Self {
            sync_fails: permille,
            write_fails: permille,
            create_fails: permille,
            rename_fails: permille,
            names_fail: permille,
            ..Self::default()
        }
    }
}

/// The disk. It outlives the logs on it: see [`SimDisk::restart`].
#[derive(Debug)]
pub struct SimDisk {
    inner: RefCell<Inner>,
    is_locked: Cell<bool>,
}

#[derive(Debug)]
struct Inner {
    rng: Rng,
    faults: Faults,
    /// What is read: names and contents, with all that was written.
    names: BTreeMap<File, usize>,
    contents: Vec<Content>,
    /// What a crash leaves of the names for certain, and what was done to them since.
    durable_names: BTreeMap<File, usize>,
    name_changes: Vec<NameChange>,
    /// How many calls are left before the power fails.
    crash_in: Option<u64>,
    is_crashed: bool,
    bytes_max: Option<u64>,
    is_mute: bool,
    /// A file whose sync is late.
    late: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
enum NameChange {
    Create(File, usize),
    Rename(File, File),
    Remove(File),
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            inner: RefCell::new(Inner {
                rng: Rng::new(seed),
                faults,
                names: BTreeMap::new(),
                contents: Vec::new(),
                durable_names: BTreeMap::new(),
                name_changes: Vec::new(),
                crash_in: None,
                is_crashed: false,
                bytes_max: None,
                is_mute: false,
                late: None,
            }),
            is_locked: Cell::new(false),
        }
    }

    /// Has the power fail in the midst of a call that changes something, after `calls` others.
    pub fn crash_in(&self, calls: u64) {
        self.inner.borrow_mut().crash_in = Some(calls);
    }

    /// Whether the power failed: every call fails.
    pub fn is_crashed(&self) -> bool {
        self.inner.borrow().is_crashed
    }

    /// How many bytes its files may have; `None`: as many as they like.
    pub fn set_bytes_max(&self, bytes: Option<u64>) {
        self.inner.borrow_mut().bytes_max = bytes;
    }

    /// It does not say any more how much room there is.
    pub fn mute(&self) {
        self.inner.borrow_mut().is_mute = true;
    }

    /// How many bytes its files have.
    pub fn used_bytes(&self) -> u64 {
        self.inner.borrow().used_bytes()
    }

    /// The power comes back, or comes and goes: what is left is what is durable, and any part of what is not.
    pub fn restart(&self) {
        self.inner.borrow_mut().restart();
        self.is_locked.set(false);
    }

    /// The process ends, and the machine does not: another one may take the disk, and reads all that was written, synced or
    /// not.
    pub fn leave(&self) {
        self.is_locked.set(false);
    }

    /// From now on it does this wrong, and what it did before no more.
    pub fn set_faults(&self, faults: Faults) {
        self.inner.borrow_mut().faults = faults;
    }

    /// The power does not fail after all.
    pub fn abandon_crash(&self) {
        self.inner.borrow_mut().crash_in = None;
    }

    /// Flips a bit of a file, on the disk and in what is read of it. Gives which, when there was one to flip.
    pub fn rot(&self, is_wanted: impl Fn(File) -> bool) -> Option<(File, u64)> {
        self.rot_bit(is_wanted).map(|(file, byte, _)| (file, byte))
    }

    /// Flips these bits of a byte, on the disk and in what is read of it.
    pub fn flip(&self, file: File, byte: u64, bits: u8) {
        let inner = &mut *self.inner.borrow_mut();
        let Some(at) = inner.names.get(&file) else { return };
        let content = &mut inner.contents[*at];
        for bytes in [&mut content.durable, &mut content.seen] {
            if let Some(byte) = bytes.get_mut(byte as usize) {
                *byte ^= bits;
            }
        }
    }

    /// [`SimDisk::rot`], which also gives which bit.
    pub fn rot_bit(&self, is_wanted: impl Fn(File) -> bool) -> Option<(File, u64, u8)> {
        let inner = &mut *self.inner.borrow_mut();
        let files: Vec<_> = inner.names.iter().filter(|(file, _)| is_wanted(**file)).collect();
        let (file, at) = *files.get(inner.rng.below(files.len() as u64) as usize)?;
        let (file, content) = (*file, &mut inner.contents[*at]);
        // Where something lies, mostly: most of a file is zeros.
        let written: Vec<usize> = (0..content.durable.len()).filter(|at| content.durable[*at] != 0).collect();
        let byte = match inner.rng.below(8) {
            0 => inner.rng.below(content.durable.len() as u64) as usize,
            _ => *written.get(inner.rng.below(written.len() as u64) as usize)?,
        };
        let bit = 1 << inner.rng.below(8);
        *content.durable.get_mut(byte)? ^= bit;
        *content.seen.get_mut(byte)? ^= bit;
        Some((file, byte as u64, bit))
    }

    /// The bytes of a file.
    pub fn contents(&self, file: File) -> Option<Vec<u8>> {
        let inner = self.inner.borrow();
        Some(inner.contents[*inner.names.get(&file)?].seen.clone())
    }

    /// Puts a file there, durably.
    pub fn place(&self, file: File, bytes: Vec<u8>) {
        let inner = &mut *self.inner.borrow_mut();
        let at = inner.contents.len();
        inner.contents.push(Content { seen: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        inner.names.insert(file, at);
        inner.durable_names.insert(file, at);
    }

    /// A call that only looks.
    fn look<T>(&self, does: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let inner = &mut *self.inner.borrow_mut();
        match inner.is_crashed {
            true => Err(io::Error::other("the power has failed")),
            false => does(inner),
        }
    }

    /// A call that changes something: the power may fail in it.
    fn call<T>(&self, does: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.is_crashed {
            return Err(io::Error::other("the power has failed"));
        }
        let is_last = inner.crash_in == Some(0);
        if let Some(calls) = &mut inner.crash_in {
            *calls = calls.saturating_sub(1);
        }
        if is_last {
            // The call's work is done, as far as `restart` then leaves of it, and nobody is told.
            let is_begun = inner.rng.below(2) == 0;
            if is_begun {
                let _ = does(inner);
            }
            inner.is_crashed = true;
            return Err(io::Error::other("the power fails"));
        }
        does(inner)
    }
}

impl Inner {
    fn at(&self, file: File) -> io::Result<usize> {
        self.names.get(&file).copied().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|at| self.contents[*at].seen.len() as u64).sum()
    }

    /// Whether something of this probability out of 1000 happens.
    fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.rng.below(1000) < permille
    }

    /// A change of names that fails, and has happened or not.
    fn fail_names(&mut self, change: NameChange) -> io::Result<()> {
        if self.chance(500) {
            self.change_names(change);
        }
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    fn change_names(&mut self, change: NameChange) {
        self.name_changes.push(change);
        apply(&mut self.names, change);
    }

    fn has_room(&self, more: usize) -> bool {
        self.bytes_max.is_none_or(|most| self.used_bytes() + more as u64 <= most)
    }

    fn make_durable(&mut self, at: usize) {
        let content = &mut self.contents[at];
        content.durable.resize(content.seen.len().max(content.durable.len()), 0);
        for (offset, bytes) in content.unsynced.drain(..) {
            put(&mut content.durable, offset, &bytes);
        }
    }

    fn restart(&mut self) {
        let changes = std::mem::take(&mut self.name_changes);
        for change in changes {
            if self.rng.below(2) == 0 {
                apply(&mut self.durable_names, change);
            }
        }
        self.names = self.durable_names.clone();
        for content in &mut self.contents {
            for (offset, bytes) in std::mem::take(&mut content.unsynced) {
                let rng = &mut self.rng;
                let kept = match rng.below(4) {
                    0 => continue,
                    1 => bytes.len(),
                    // Torn at any byte.
                    _ => rng.below(bytes.len() as u64 + 1) as usize,
                };
                let is_scattered = rng.below(2) == 0;
                for at in (0..kept).step_by(SECTOR_BYTES) {
                    if !is_scattered || rng.below(2) == 0 {
                        put(&mut content.durable, offset + at, &bytes[at..kept.min(at + SECTOR_BYTES)]);
                    }
                }
            }
            content.seen = content.durable.clone();
        }
        self.crash_in = None;
        self.is_crashed = false;
        self.late = None;
    }
}

fn apply(names: &mut BTreeMap<File, usize>, change: NameChange) {
    match change {
        NameChange::Create(file, at) => {
            names.insert(file, at);
        }
        NameChange::Rename(from, to) => {
            if let Some(at) = names.remove(&from) {
                names.insert(to, at);
            }
        }
        NameChange::Remove(file) => {
            names.remove(&file);
        }
    }
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if into.len() < offset + bytes.len() {
        into.resize(offset + bytes.len(), 0);
    }
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    fn lock(&self) -> io::Result<()> {
        match self.is_locked.replace(true) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    fn list(&self) -> io::Result<Vec<File>> {
        self.look(|inner| Ok(inner.names.keys().copied().collect()))
    }

    fn bytes(&self, file: File) -> io::Result<u64> {
        self.look(|inner| Ok(inner.contents[inner.at(file)?].seen.len() as u64))
    }

    fn read(&self, file: File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.look(|inner| {
            let content = &inner.contents[inner.at(file)?].seen;
            let from = content.get(offset as usize..).unwrap_or(&[]);
            let read = from.len().min(into.len());
            into[..read].copy_from_slice(&from[..read]);
            Ok(read)
        })
    }

    fn create(&self, file: File, bytes: u64) -> io::Result<()> {
        self.call(|inner| {
            if !inner.has_room(bytes as usize) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let at = inner.contents.len();
            let is_failing = inner.chance(inner.faults.create_fails);
            let bytes = if is_failing { 0 } else { bytes as usize };
            inner.contents.push(Content { seen: vec![0; bytes], ..Content::default() });
            if is_failing {
                return inner.fail_names(NameChange::Create(file, at));
            }
            inner.change_names(NameChange::Create(file, at));
            Ok(())
        })
    }

    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.call(|inner| {
            let at = inner.at(file)?;
            let end = offset as usize + bytes.len();
            let more = end.saturating_sub(inner.contents[at].seen.len());
            if more > 0 && !inner.has_room(more) {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let is_failing = inner.chance(inner.faults.write_fails);
            let bytes = match is_failing {
                true => &bytes[..inner.rng.below(bytes.len() as u64 + 1) as usize],
                false => bytes,
            };
            let content = &mut inner.contents[at];
            put(&mut content.seen, offset as usize, bytes);
            content.unsynced.push((offset as usize, bytes.to_vec()));
            if is_failing { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
        })
    }

    fn free_bytes(&self) -> Option<u64> {
        let inner = self.inner.borrow();
        inner.bytes_max.filter(|_| !inner.is_mute).map(|most| most.saturating_sub(inner.used_bytes()))
    }

    fn sync(&self, file: File) -> io::Result<()> {
        self.call(|inner| {
            let at = inner.at(file)?;
            if inner.faults.sync_late {
                if let Some(late) = inner.late.replace(at) {
                    inner.make_durable(late);
                }
                return Ok(());
            }
            if inner.chance(inner.faults.sync_fails) {
                // What was given up is in no list any more: a second sync would find nothing to do, and succeed.
                let content = &mut inner.contents[at];
                for (offset, bytes) in std::mem::take(&mut content.unsynced) {
                    if inner.rng.below(2) == 0 {
                        put(&mut content.durable, offset, &bytes);
                    }
                }
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            if !inner.chance(inner.faults.sync_lies) {
                inner.make_durable(at);
            }
            Ok(())
        })
    }

    fn rename(&self, from: File, to: File) -> io::Result<()> {
        self.call(|inner| {
            inner.at(from)?;
            if inner.chance(inner.faults.rename_fails) {
                return inner.fail_names(NameChange::Rename(from, to));
            }
            inner.change_names(NameChange::Rename(from, to));
            Ok(())
        })
    }

    fn remove(&self, file: File) -> io::Result<()> {
        self.call(|inner| {
            inner.at(file)?;
            if inner.chance(inner.faults.rename_fails) {
                return inner.fail_names(NameChange::Remove(file));
            }
            inner.change_names(NameChange::Remove(file));
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.call(|inner| {
            if inner.chance(inner.faults.names_lie) {
                return Ok(());
            }
            let is_failing = inner.chance(inner.faults.names_fail);
            let mut done = inner.name_changes.len();
            if is_failing {
                done = inner.rng.below(done as u64 + 1) as usize;
            }
            for change in inner.name_changes.drain(..done) {
                apply(&mut inner.durable_names, change);
            }
            if is_failing { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_stays_and_the_rest_may_go_or_tear() {
        let (mut lost, mut whole, mut torn) = (0, 0, 0);
        for seed in 0..64 {
            let disk = SimDisk::new(seed, Faults::default());
            let file = File::Segment(1);
            disk.create(file, 4096).unwrap();
            disk.write(file, 0, &[1; 2000]).unwrap();
            disk.sync(file).unwrap();
            disk.sync_names().unwrap();
            disk.write(file, 2000, &[2; 2000]).unwrap();
            disk.restart();
            let bytes = disk.contents(file).unwrap();
            assert!(bytes.len() == 4096 && bytes[..2000] == [1; 2000]);
            match bytes[2000..4000].iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                2000 => whole += 1,
                _ => torn += 1,
            }
        }
        assert!(lost > 5 && whole > 5 && torn > 5, "{lost} lost, {whole} whole, {torn} torn");
    }

    #[test]
    fn a_failed_sync_loses_what_reading_still_shows() {
        let disk = SimDisk::new(1, Faults { sync_fails: 1000, ..Faults::default() });
        let file = File::Segment(1);
        disk.create(file, 0).unwrap();
        disk.sync_names().unwrap();
        for at in 0..64 {
            disk.write(file, at, &[1]).unwrap();
        }
        assert!(disk.sync(file).is_err());
        assert_eq!(disk.contents(file).unwrap(), [1; 64]);
        disk.restart();
        assert!(disk.contents(file).unwrap() != [1; 64]);
    }

    #[test]
    fn what_a_process_left_unsynced_is_read_by_the_next_and_goes_with_the_power() {
        let mut lost = 0;
        for seed in 0..64 {
            let disk = SimDisk::new(seed, Faults::default());
            let file = File::Segment(1);
            disk.lock().unwrap();
            disk.create(file, 0).unwrap();
            disk.sync_names().unwrap();
            disk.write(file, 0, &[1; 100]).unwrap();
            assert!(disk.lock().is_err());
            disk.leave();
            disk.lock().unwrap();
            assert_eq!(disk.contents(file).unwrap(), [1; 100]);
            disk.restart();
            lost += u64::from(disk.contents(file).unwrap() != [1; 100]);
        }
        assert!(lost > 10, "{lost} of 64");
    }

    #[test]
    fn what_fails_has_happened_or_not_and_names_that_were_not_synced_may_go() {
        let (mut made, mut renamed, mut kept) = (0, 0, 0);
        for seed in 0..64 {
            let disk = SimDisk::new(seed, Faults::failing(1000));
            let (from, to) = (File::Spare(1), File::Segment(1));
            assert!(disk.create(from, 100).is_err());
            made += u64::from(disk.contents(from).is_some_and(|it| it.is_empty()));
            disk.set_faults(Faults::default());
            disk.create(from, 100).unwrap();
            disk.sync_names().unwrap();
            disk.set_faults(Faults::failing(1000));
            assert!(disk.write(from, 0, &[1; 100]).is_err());
            assert!(disk.rename(from, to).is_err());
            renamed += u64::from(disk.contents(to).is_some());
            assert!(disk.sync_names().is_err());
            disk.restart();
            assert!(disk.contents(from).is_some() != disk.contents(to).is_some());
            disk.set_faults(Faults { names_lie: 1000, ..Faults::default() });
            disk.create(File::Spare(2), 0).unwrap();
            disk.sync_names().unwrap();
            disk.restart();
            kept += u64::from(disk.contents(File::Spare(2)).is_some());
        }
        for count in [made, renamed, kept] {
            assert!((10..54).contains(&count), "{made} made, {renamed} renamed, {kept} kept");
        }
    }
}
