//! [`FileDisk`]: a directory, as a log asks for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::driver::lock::Mutex;

use crate::error::{Error, Result};
use crate::store::log::{Disk, File};
use crate::sys;

/// How many files are held open.
const OPEN_MAX: usize = 16;

/// A directory with a log in it. Several threads may use it at once.
#[derive(Debug)]
pub struct FileDisk {
    dir: PathBuf,
    /// The directory itself, to be synced, and to be locked.
    handle: fs::File,
    is_read_only: bool,
    lock: Mutex<Option<fs::File>>,
    /// Who made it: a child made by fork has copies of the descriptors, and the lock is not the child's.
    process: u32,
    open: Mutex<BTreeMap<File, Arc<fs::File>>>,
}

impl FileDisk {
    /// The directory at `dir`, which is made if it is not there. `Io` when the system refuses. Blocks.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        make(&dir).map_err(|error| {
            Error::io_in_directory(format!("make the directory {}", dir.display()), &error)
        })?;
        Self::open(dir, false)
    }

    /// The directory at `dir`, which is not changed, and whose lock is not taken.
    pub fn read_only(dir: impl Into<PathBuf>) -> Result<Self> {
        Self::open(dir.into(), true)
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

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn open(dir: PathBuf, is_read_only: bool) -> Result<Self> {
        let handle = fs::File::open(&dir).map_err(|error| {
            Error::io_in_directory(format!("open the directory {}", dir.display()), &error)
        })?;
        Ok(Self {
            dir,
            handle,
            is_read_only,
            lock: Mutex::new(None),
            process: std::process::id(),
            open: Mutex::new(BTreeMap::new()),
        })
    }

    fn path(&self, file: File) -> PathBuf {
        self.dir.join(file.to_string())
    }

    fn handle(&self, file: File) -> io::Result<Arc<fs::File>> {
        let mut open = self.open.lock();
        if let Some(handle) = open.get(&file) {
            return Ok(Arc::clone(handle));
        }
        let handle = fs::OpenOptions::new().read(true).write(!self.is_read_only).open(self.path(file))?;
        Ok(keep(&mut open, file, handle))
    }

    fn refuse_writing(&self) -> io::Result<()> {
        match self.is_read_only {
            true => Err(io::Error::from_raw_os_error(libc::EROFS)),
            false => Ok(()),
        }
    }
}

impl Drop for FileDisk {
    /// Gives the locks back, which closing the files alone does not do while a child made by fork has copies of them.
    fn drop(&mut self) {
        if let Some(lock) = self.lock.get_mut()
            && self.process == std::process::id()
        {
            let _ = lock.unlock();
            let _ = self.handle.unlock();
        }
    }
}

/// Makes a directory and those above it that are not there, and has all of their names durable. One without anything in it may
/// have been made by an attempt that came no further: its name may not be durable, even so.
fn make(dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.is_dir();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir)?;
    for made in &missing {
        fs::File::open(parent(made))?.sync_all()?;
    }
    if missing.is_empty()
        && fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
        // Whoever was given it need not be able to read where it lies.
        && let Ok(parent) = fs::File::open(parent(dir))
    {
        parent.sync_all()?;
    }
    Ok(())
}

fn parent(dir: &Path) -> &Path {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
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

impl Disk for FileDisk {
    fn lock(&self) -> io::Result<()> {
        self.refuse_writing()?;
        let mut lock = self.lock.lock();
        if lock.is_some() {
            return Ok(());
        }
        let path = self.path(File::Lock);
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut owner = [0; 20];
                let read = file.read_at(&mut owner, 0).unwrap_or(0);
                let owner = String::from_utf8_lossy(&owner[..read]);
                let owner = owner.trim();
                let by = if owner.is_empty() { String::new() } else { format!("by process {owner}") };
                return Err(io::Error::new(io::ErrorKind::WouldBlock, by));
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        // The directory too: a file can be taken away, and another be put in its place. Where the file system locks no
        // directories, the file has to do.
        if let Err(fs::TryLockError::WouldBlock) = self.handle.try_lock() {
            let _ = file.unlock();
            let by =
                "by another, whose lock on the directory stays though this file was taken away or replaced";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, by));
        }
        // For whoever finds it taken; nothing depends on it, so a full disk does not matter.
        let _ = file.set_len(0);
        let _ = file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0);
        *lock = Some(file);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            if let Some(file) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                files.push(file);
            }
        }
        Ok(files)
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
        let path = self.path(file);
        let handle = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        if bytes > 0 {
            sys::file::allocate(&handle, bytes)?;
        }
        keep(&mut self.open.lock(), file, handle);
        Ok(())
    }

    fn write(&self, file: File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.refuse_writing()?;
        self.handle(file)?.write_all_at(bytes, offset)
    }

    fn sync(&self, file: File) -> io::Result<()> {
        self.handle(file)?.sync_data()
    }

    fn free_bytes(&self) -> Option<u64> {
        sys::file::free_bytes(&self.handle).ok().flatten()
    }

    fn rename(&self, from: File, to: File) -> io::Result<()> {
        self.refuse_writing()?;
        let mut open = self.open.lock();
        fs::rename(self.path(from), self.path(to))?;
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
        fs::remove_file(self.path(file))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn name(&self, file: File) -> String {
        self.path(file).display().to_string()
    }
}
