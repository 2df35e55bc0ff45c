//! The few system calls that std and socket2 lack.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Whether the descriptor is readable, or gets so within `timeout`.
pub(crate) fn poll(fd: RawFd, timeout: Duration) -> bool {
    poll_for(fd, libc::POLLIN, timeout)
}

fn poll_for(fd: RawFd, events: i16, timeout: Duration) -> bool {
    let start = std::time::Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        // Up to the next millisecond: a deadline is over when this returns.
        let millis = i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let mut polled = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one descriptor, in memory that outlives the call.
        let count = unsafe { libc::poll(&raw mut polled, 1, millis) };
        if count >= 0 {
            return count > 0;
        }
        assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted);
    }
}

/// Whether a socket has bytes, its end, an error or a connection to accept, or gets so within `timeout`.
pub(crate) fn is_readable(socket: &impl AsRawFd, timeout: Duration) -> bool {
    poll(socket.as_raw_fd(), timeout)
}

/// Whether a socket takes bytes, or does so within `timeout`.
pub(crate) fn is_writable(socket: &impl AsRawFd, timeout: Duration) -> bool {
    poll_for(socket.as_raw_fd(), libc::POLLOUT, timeout)
}
