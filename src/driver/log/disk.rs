//! [`FileDisk`]: a directory, as a log asks for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::Folder;
use crate::driver::lock::Mutex;
use crate::error::{Error, Result};
use crate::store::log::{Disk, File};
use crate::sys;

/// How many files are held open.
const OPEN_MAX: usize = 16;

/// What may be done to the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// All.
    Change,
    /// They are locked, and what is written has to be there already: nothing can be changed on this file system.
    Hold,
    /// They are read, without the lock.
    Look,
}

/// A directory with a log in it. Several threads may use it at once. It is held open: renaming it, and another working directory
/// of the process, change nothing.
#[derive(Debug)]
pub struct FileDisk {
    folder: Folder,
    access: Access,
    lock: Mutex<Held>,
    /// Who made it: a child made by fork has copies of the descriptors, and the lock is not the child's.
    process: u32,
    open: Mutex<BTreeMap<File, Arc<fs::File>>>,
}

/// The lock, as far as it is held.
#[derive(Debug, Default)]
struct Held {
    is_held: bool,
    /// `None` where there is none, and none can be made.
    file: Option<fs::File>,
}

impl FileDisk {
    /// The directory at `dir`, which is made if it is not there. `InvalidArgument` for a path that no directory can have; `Io`
    /// when the system refuses. Blocks.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        Folder::make(&dir.into()).map(|folder| Self::on(folder, Access::Change))
    }

    /// The directory at `dir`, which is not changed, and whose lock is not taken.
    pub fn read_only(dir: impl Into<PathBuf>) -> Result<Self> {
        Folder::open(&dir.into()).map(|folder| Self::on(folder, Access::Look))
    }

    /// The directory at `dir`, which is there. Where its file system is mounted for reading alone the lock can be taken even so,
    /// and what is there be written again; nothing else.
    pub(crate) fn existing(dir: impl Into<PathBuf>) -> Result<Self> {
        let folder = Folder::open(&dir.into())?;
        let access = if folder.is_read_only().unwrap_or(false) { Access::Hold } else { Access::Change };
        Ok(Self::on(folder, access))
    }

    /// The same directory, wherever it is by now, which is not changed: with descriptors of its own.
    pub(crate) fn again(&self) -> Result<Self> {
        let folder = self.folder.again().map_err(|error| {
            Error::io_in_directory(format!("open the directory {}", self.dir().display()), &error)
        })?;
        Ok(Self::on(folder, Access::Look))
    }

    /// Has the system forget what it holds in memory of segments and snapshots, as far as that is on disk, so that
    /// reading them reads the disk. A system that will not is left alone.
    pub(crate) fn forget_cached(&self) {
        for file in self.list().unwrap_or_default() {
            if let File::Segment(_) | File::Snapshot(_) = file
                && let Ok(handle) = self.handle(file)
            {
                sys::file::forget_cached(&handle);
            }
        }
    }

    /// Where it was when it was opened, from the root: for messages.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The directory itself, for what is none of the log's.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    fn on(folder: Folder, access: Access) -> Self {
        Self {
            folder,
            access,
            lock: Mutex::default(),
            process: std::process::id(),
            open: Mutex::new(BTreeMap::new()),
        }
    }

    fn handle(&self, file: File) -> io::Result<Arc<fs::File>> {
        let mut open = self.open.lock();
        if let Some(handle) = open.get(&file) {
            return Ok(Arc::clone(handle));
        }
        let handle = self.folder.file(&file.to_string(), self.access == Access::Change)?;
        Ok(keep(&mut open, file, handle))
    }

    fn refuse_writing(&self) -> io::Result<()> {
        match self.access {
            Access::Change => Ok(()),
            Access::Hold | Access::Look => Err(io::Error::from_raw_os_error(libc::EROFS)),
        }
    }

    /// The file of the lock; `None` where there is none, and none can be made.
    fn lock_file(&self) -> io::Result<Option<fs::File>> {
        let name = File::Lock.to_string();
        match self.access {
            Access::Change => self.folder.file_or_new(&name).map(Some),
            Access::Hold => match self.folder.file(&name, false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            },
            Access::Look => Err(io::Error::from_raw_os_error(libc::EROFS)),
        }
    }

    /// Whether these bytes are there.
    fn has(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let mut there = vec![0; bytes.len()];
        Ok(self.read(file, offset, &mut there)? == bytes.len() && there == bytes)
    }
}

impl Drop for FileDisk {
    /// Gives the locks back, which closing the files alone does not do while a child made by fork has copies of them.
    fn drop(&mut self) {
        let held = self.lock.get_mut();
        if held.is_held && self.process == std::process::id() {
            let _ = held.file.as_ref().map(fs::File::unlock);
            let _ = self.folder.handle().unlock();
        }
    }
}

fn keep(open: &mut BTreeMap<File, Arc<fs::File>>, file: File, handle: fs::File) -> Arc<fs::File> {
    let handle = Arc::new(handle);
    open.insert(file, Arc::clone(&handle));
    if open.len() > OPEN_MAX {
        // The oldest segment: it is read least. Whoever reads it has the file open even so.
        let oldest = open.keys().copied().find(|it| *it != file);
        oldest.and_then(|oldest| open.remove(&oldest));
    }
    handle
}

/// Who has the lock, which `owner` took, as its file says.
fn by_process(owner: &str) -> String {
    let Ok(number) = owner.parse::<u32>() else { return String::new() };
    if Path::new("/proc").join(number.to_string()).exists() {
        return format!("by process {number}");
    }
    // Its descriptors are copied by a fork, and the lock goes with the last of them.
    format!(
        "by process {number}, which is not to be found: if it has ended without closing it, a child that it made by fork \
         has it as long as that lives; or it is in another container"
    )
}

impl Disk for FileDisk {
    fn lock(&self) -> io::Result<()> {
        let mut held = self.lock.lock();
        if held.is_held {
            return Ok(());
        }
        let file = self.lock_file()?;
        match file.as_ref().map(fs::File::try_lock) {
            None | Some(Ok(())) => {}
            Some(Err(fs::TryLockError::WouldBlock)) => {
                let mut owner = [0; 20];
                let read = file.as_ref().map_or(0, |file| file.read_at(&mut owner, 0).unwrap_or(0));
                let owner = String::from_utf8_lossy(&owner[..read]);
                return Err(io::Error::new(io::ErrorKind::WouldBlock, by_process(owner.trim())));
            }
            // Some file systems lock nothing that is open for reading alone.
            Some(Err(fs::TryLockError::Error(_))) if self.access == Access::Hold => {}
            Some(Err(fs::TryLockError::Error(error))) => return Err(error),
        }
        // The directory too: a file can be taken away, and another be put in its place. Where the file system locks no
        // directories, the file has to do.
        if let Err(fs::TryLockError::WouldBlock) = self.folder.handle().try_lock() {
            let _ = file.map(|file| file.unlock());
            let by =
                "by another, whose lock on the directory stays though this file was taken away or replaced";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, by));
        }
        if let (Access::Change, Some(file)) = (self.access, &file) {
            // For whoever finds it taken; nothing depends on it, so a full disk does not matter.
            let _ = file.set_len(0);
            let _ = file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0);
        }
        *held = Held { is_held: true, file };
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<File>> {
        let names = self.folder.names()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    fn bytes(&self, file: File) -> io::Result<u64> {
        Ok(self.handle(file)?.metadata()?.len())
    }

    fn read(&self, file: File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let handle = self.handle(file)?;
        let mut filled = 0;
        while filled < into.len() {
            match handle.read_at(&mut into[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn create(&self, file: File, bytes: u64) -> io::Result<()> {
        self.refuse_writing()?;
        let handle = self.folder.create(&file.to_string())?;
        if bytes > 0 {
            sys::file::allocate(&handle, bytes)?;
        }
        keep(&mut self.open.lock(), file, handle);
        Ok(())
    }

    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.access == Access::Hold && self.has(file, offset, bytes)? {
            return Ok(());
        }
        self.refuse_writing()?;
        self.handle(file)?.write_all_at(bytes, offset)
    }

    fn sync(&self, file: File) -> io::Result<()> {
        self.handle(file)?.sync_data()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.folder.free_bytes()
    }

    fn rename(&self, from: File, to: File) -> io::Result<()> {
        self.refuse_writing()?;
        let mut open = self.open.lock();
        self.folder.rename(&from.to_string(), &to.to_string())?;
        open.remove(&to);
        if let Some(handle) = open.remove(&from) {
            open.insert(to, handle);
        }
        Ok(())
    }

    fn remove(&self, file: File) -> io::Result<()> {
        self.refuse_writing()?;
        let mut open = self.open.lock();
        open.remove(&file);
        self.folder.remove(file.to_string())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.handle().sync_all()
    }

    fn name(&self, file: File) -> String {
        self.dir().join(file.to_string()).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_room_there_is() {
        assert!(Folder::open(&std::env::temp_dir()).unwrap().free_bytes().is_some_and(|free| free > 0));
        assert_eq!(Folder::open(Path::new("/proc")).unwrap().free_bytes(), None);
    }

    #[test]
    fn who_has_the_lock_is_told_and_whether_that_process_is_there() {
        let top = std::env::temp_dir().join(format!("trimtab-disk-owner-{}", std::process::id()));
        let disk = FileDisk::new(&top).unwrap();
        disk.lock().unwrap();
        let refused = || FileDisk::new(&top).unwrap().lock().unwrap_err().to_string();
        assert_eq!(refused(), format!("by process {}", std::process::id()));
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        fs::write(top.join("lock"), format!("{}\n", gone.id())).unwrap();
        let told = refused();
        assert!(told.starts_with(&format!("by process {}, which is not", gone.id())), "{told}");
        assert!(told.contains("made by fork"), "{told}");
        drop(disk);
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_directory_is_the_same_one_whatever_it_is_called() {
        let top = std::env::temp_dir().join(format!("trimtab-disk-{}", std::process::id()));
        let (dir, moved) = (top.join("data"), top.join("moved"));
        let disk = FileDisk::new(&dir).unwrap();
        disk.lock().unwrap();
        let (first, second, third) = (File::Segment(1), File::Segment(2), File::Spare(3));
        disk.create(first, 0).unwrap();
        disk.write(first, 0, b"first").unwrap();
        fs::rename(&dir, &moved).unwrap();
        let other = FileDisk::new(&dir).unwrap();
        other.lock().unwrap();
        other.create(first, 0).unwrap();
        other.create(third, 0).unwrap();
        other.write(third, 0, b"other").unwrap();

        disk.create(third, 0).unwrap();
        disk.write(third, 0, b"third").unwrap();
        disk.rename(third, second).unwrap();
        disk.sync_names().unwrap();
        let mut files = disk.list().unwrap();
        files.sort();
        assert_eq!(files, [File::Lock, first, second]);
        disk.remove(first).unwrap();
        let again = disk.again().unwrap();
        for disk in [&disk, &again] {
            let mut read = [0; 5];
            assert_eq!((disk.read(second, 0, &mut read).unwrap(), &read), (5, b"third"));
            assert!(disk.bytes(first).is_err() && disk.bytes(third).is_err());
        }
        assert_eq!(again.remove(second).unwrap_err().raw_os_error(), Some(libc::EROFS));

        assert_eq!((other.bytes(first).unwrap(), other.bytes(third).unwrap()), (0, 5));
        assert_eq!(fs::read_dir(&moved).unwrap().count(), 2);
        // The locks are those of directories too, and one that looks on has none to give back.
        drop(again);
        let late = FileDisk::new(&moved).unwrap();
        assert_eq!(late.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(disk);
        late.lock().unwrap();
        fs::remove_dir_all(&top).unwrap();
    }
}
