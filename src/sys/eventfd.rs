//! A descriptor that says "something is there", for whoever waits in a poll of their own, or here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// An `eventfd`: readable from [`EventFd::signal`] on until [`EventFd::clear`]. Any thread may call any of them.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: it takes two numbers and makes a descriptor.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made above and is nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes it readable. Does not block: a count at its limit is as good.
    pub(crate) fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// Waits until it is readable, at most `timeout`. May return early.
    pub(crate) fn wait(&self, timeout: Duration) {
        let millis = timeout.as_nanos().div_ceil(1_000_000).min(60_000) as libc::c_int;
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one writable pollfd.
        unsafe { libc::poll(&raw mut poll, 1, millis) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_readable_between_a_signal_and_a_clear() {
        let event = EventFd::new().unwrap();
        let begun = std::time::Instant::now();
        event.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        event.signal();
        event.signal();
        event.wait(Duration::from_secs(60));
        event.clear();
        let begun = std::time::Instant::now();
        event.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }
}
