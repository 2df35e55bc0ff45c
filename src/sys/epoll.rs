//! `epoll_ctl` with what mio does not pass on.

use std::io;
use std::os::fd::AsRawFd;

/// Adds a listening socket that several loops wait on: a new connection wakes one of them, not all.
pub(crate) fn add_exclusive(epoll: &impl AsRawFd, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
    let flags = libc::EPOLLIN | libc::EPOLLET | libc::EPOLLEXCLUSIVE;
    let mut event = libc::epoll_event { events: flags as u32, u64: token };
    // SAFETY: both descriptors are open while their owners are borrowed, and `event` is a whole epoll_event.
    let result = unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
