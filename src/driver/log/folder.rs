//! [`Folder`]: a directory that is held open. It stays the one that it was, whatever becomes of its name and of the working
//! directory of the process: its files are found by the descriptor, never by the path.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatVfsMountFlags};
use rustix::io::retry_on_intr;

use crate::error::{Error, Result};

/// What files and directories are made with; the umask takes from it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// A directory. Several threads may use it at once.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Where it was when it was opened, from the root: for messages alone.
    path: PathBuf,
    handle: fs::File,
}

impl Folder {
    /// Refuses a path that no directory can have.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for an empty one, and for one with a NUL in it.
    pub(crate) fn check(path: &Path) -> Result<()> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(Error::invalid(
                "directory",
                "the path is empty; name a directory, the present one as \".\"",
            ));
        }
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            let why = format!("the path has a NUL as byte {at}, which no path may have");
            return Err(Error::invalid("directory", why));
        }
        Ok(())
    }

    /// The directory at `path`, which is made if it is not there, with those above it. Blocks.
    ///
    /// # Errors
    ///
    /// Those of [`Folder::check`]; `Io`.
    pub(crate) fn make(path: &Path) -> Result<Self> {
        Self::check(path)?;
        make(path).map_err(|error| {
            Error::io_in_directory(format!("make the directory {}", path.display()), &error)
        })?;
        Self::open(path)
    }

    /// The directory at `path`.
    ///
    /// # Errors
    ///
    /// Those of [`Folder::check`]; `Io`, also when it is not there, or is no directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::check(path)?;
        // Where the working directory is gone there is no such path, and what was given has to do.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let handle = open(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|error| {
            Error::io_in_directory(format!("open the directory {}", absolute.display()), &error)
        })?;
        Ok(Self { path: absolute, handle })
    }

    /// The same directory by a further descriptor, whose locks are its own.
    pub(crate) fn again(&self) -> io::Result<Self> {
        self.within(".").map(|it| Self { path: self.path.clone(), ..it })
    }

    /// A directory in this one.
    pub(crate) fn within(&self, name: &str) -> io::Result<Self> {
        let handle = open(&self.handle, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(Self { path: self.path.join(name), handle })
    }

    /// A directory in this one, which is made if it is not there.
    pub(crate) fn make_within(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.handle, name, DIRECTORY_MODE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.within(name),
            Err(error) => Err(error.into()),
        }
    }

    /// How many bytes this user may still write on its file system; `None`: that does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let told = retry_on_intr(|| rustix::fs::fstatvfs(&self.handle)).ok()?;
        (told.f_blocks > 0).then(|| told.f_bavail.saturating_mul(told.f_frsize))
    }

    /// Opens a file to be read, and written too if `is_written`.
    pub(crate) fn file(&self, name: &str, is_written: bool) -> io::Result<fs::File> {
        open(&self.handle, name, if is_written { OFlags::RDWR } else { OFlags::RDONLY })
    }

    /// Opens a file to be read and written, which is made if it is not there; what is in it stays.
    pub(crate) fn file_or_new(&self, name: &str) -> io::Result<fs::File> {
        open(&self.handle, name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Makes an empty file, or empties the one of that name.
    pub(crate) fn create(&self, name: &str) -> io::Result<fs::File> {
        open(&self.handle, name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)
    }

    /// Makes an empty file, which is not there yet.
    pub(crate) fn create_new(&self, name: &str) -> io::Result<fs::File> {
        open(&self.handle, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Gives a file another name; a file that had it is gone.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Gives a file a further name in another directory.
    pub(crate) fn link(&self, name: &str, into: &Self) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.handle, name, &into.handle, name, AtFlags::empty())?)
    }

    /// Takes a file away.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.handle, name.as_ref(), AtFlags::empty())?)
    }

    /// Takes away a directory in this one, with the files in it.
    pub(crate) fn remove_within(&self, name: &str) -> io::Result<()> {
        let inner = self.within(name)?;
        inner.names()?.iter().try_for_each(|file| inner.remove(file))?;
        Ok(rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR)?)
    }

    /// Whether there is anything of that name.
    pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in it, in any order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Whether nothing can be written there, by anybody: the file system is there for reading alone.
    pub(crate) fn is_read_only(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstatvfs(&self.handle)?.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// The directory itself, to be synced, locked and looked at.
    pub(crate) fn handle(&self) -> &fs::File {
        &self.handle
    }

    /// Where it was when it was opened, from the root: for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn open(at: impl AsFd, path: impl AsRef<OsStr>, flags: OFlags) -> io::Result<fs::File> {
    let path = path.as_ref();
    let opened = retry_on_intr(|| rustix::fs::openat(&at, path, flags | OFlags::CLOEXEC, FILE_MODE))?;
    Ok(opened.into())
}

/// Makes a directory and those above it that are not there, and has all of their names durable. One without anything in it may
/// have been made by an attempt that came no further: its name may not be durable, even so.
fn make(dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.is_dir();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    match fs::create_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        made => made?,
    }
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
