//! `pipe2`, its size, and `splice`: bytes go from one socket to another without coming up here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A non-blocking pipe: the end to read and the end to write.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this descriptor is open and nobody else's.
    let read = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Ok((read, write))
}

/// Asks for room for `bytes` in a pipe. The system may refuse, for a user has a share; then it stays as it is.
pub(crate) fn set_size(pipe: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open while borrowed; the call takes an int.
    let result = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves up to `len` bytes; one of the two is a pipe. `Ok(0)`: the source has ended.
///
/// A sink whose reader is gone may raise SIGPIPE: see [`signal`](crate::sys::signal).
#[inline]
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize, more: bool) -> io::Result<usize> {
    let mut flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    if more {
        flags |= libc::SPLICE_F_MORE;
    }
    // SAFETY: both descriptors are open while borrowed; without offsets the call touches no memory of ours.
    let moved = unsafe {
        libc::splice(from.as_raw_fd(), std::ptr::null_mut(), to.as_raw_fd(), std::ptr::null_mut(), len, flags)
    };
    if moved >= 0 { Ok(moved as usize) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_go_through() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (read, write) = pipe().unwrap();
        set_size(read.as_fd(), 1 << 16).unwrap();
        client.write_all(b"hello").unwrap();
        assert_eq!(splice(server.as_fd(), write.as_fd(), 1 << 16, false).unwrap(), 5);
        let (mut far, near) = UnixStream::pair().unwrap();
        assert_eq!(splice(read.as_fd(), near.as_fd(), 5, false).unwrap(), 5);
        let mut got = [0; 5];
        far.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hello");
        let blocked = splice(read.as_fd(), near.as_fd(), 5, false).unwrap_err();
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
    }
}
