//! Room for files.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Reserves `bytes` for a file and makes it that long. `Ok(false)`: the file system cannot.
pub(crate) fn allocate(file: &File, bytes: u64) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open while borrowed; the call touches no memory of ours.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes as libc::off_t) };
        if result == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// How many bytes this user may still write on the file system of a file or directory; `None`: that does not say.
pub(crate) fn free_bytes(file: &File) -> io::Result<Option<u64>> {
    let mut told = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    loop {
        // SAFETY: the descriptor is open while borrowed; `told` has room for what the call writes.
        let result = unsafe { libc::fstatvfs(file.as_raw_fd(), told.as_mut_ptr()) };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: the call succeeded, so it has written all of it.
    let told = unsafe { told.assume_init() };
    Ok((told.f_blocks > 0).then(|| told.f_bavail.saturating_mul(told.f_frsize)))
}

/// Asks the system to forget what it holds of a file in memory, as far as that is on disk; it may do otherwise.
pub(crate) fn forget_cached(file: &File) {
    // SAFETY: the descriptor is open while borrowed; the call touches no memory of ours.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_room_there_is() {
        let free = free_bytes(&File::open(std::env::temp_dir()).unwrap()).unwrap();
        assert!(free.is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&File::open("/proc").unwrap()).unwrap(), None);
    }

    #[test]
    fn room_is_reserved_or_the_system_says_it_cannot() {
        let path = std::env::temp_dir().join(format!("trimtab-allocate-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        let is_reserved = allocate(&file, 12_288).unwrap();
        let bytes = file.metadata().unwrap().len();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes, if is_reserved { 12_288 } else { 0 });
    }
}
