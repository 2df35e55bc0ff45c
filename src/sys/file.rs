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

/// Asks the system to forget what it holds of a file in memory, as far as that is on disk; it may do otherwise.
pub(crate) fn forget_cached(file: &File) {
    // SAFETY: the descriptor is open while borrowed; the call touches no memory of ours.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

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
