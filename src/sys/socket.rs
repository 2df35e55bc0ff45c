//! Sockets, with what socket2 does not pass on.

use std::io;
use std::os::fd::AsRawFd;

/// Takes a TCP connection apart: the other side gets a reset, and all copies of the socket are of no connection
/// any more.
pub(crate) fn disconnect(socket: &impl AsRawFd) -> io::Result<()> {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let length = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open while its owner is borrowed, and `nowhere` is a whole sockaddr.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
