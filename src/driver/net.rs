//! Sockets: to listen, to connect, to read and write, to end.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockFilter, Socket, Type};

use crate::balance::Address;
use crate::error::{Error, Result};
use crate::proxy::options::Bind;
use crate::sys;
use crate::sys::fork::Moment;

/// Opens what `count` workers listen on: sockets of their own for an IP address, which the system spreads
/// connections over, or one shared by all for a unix path. None accepts before [`start`].
pub(crate) fn bind(bind: &Bind, who: &str, count: usize) -> Result<Vec<Socket>> {
    let failed = |error: io::Error| Error::io(format!("bind {bind} for {who}"), &error);
    match bind {
        Bind::Inet(address) => {
            let first = bind_inet(*address, false).map_err(failed)?;
            if count == 1 {
                return Ok(vec![first]);
            }
            // The port chosen by the system, when it was asked to choose.
            let address = first.local_addr().map_err(failed)?.as_socket().unwrap_or(*address);
            // The first is bound alone, so that a port somebody else uses is found out; then it lets the
            // others in.
            first.set_reuse_port(true).map_err(failed)?;
            let mut sockets = vec![first];
            for _ in 1..count {
                sockets.push(bind_inet(address, true).map_err(failed)?);
            }
            Ok(sockets)
        }
        Bind::Unix(path) => {
            let first = bind_unix(path).map_err(failed)?;
            share(first, count).map_err(failed)
        }
    }
}

/// `count` descriptors of one listening socket.
pub(crate) fn share(socket: Socket, count: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(count);
    for _ in 1..count {
        sockets.push(socket.try_clone()?);
    }
    sockets.push(socket);
    Ok(sockets)
}

/// Begins to listen.
pub(crate) fn start(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

fn bind_inet(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are two places: each says what it takes.
        socket.set_only_v6(true)?;
    }
    // What is accepted inherits both.
    socket.set_tcp_nodelay(true)?;
    ease(&socket, address);
    socket.bind(&address.into())?;
    Ok(socket)
}

fn bind_unix(path: &str) -> io::Result<Socket> {
    let address = unix_address(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && !path.starts_with('@') => {
            // A socket that nobody listens on is left from a process that ended without removing it. What is no
            // socket refuses connections too, and is not ours to remove.
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(error);
            }
            let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            match probe.connect(&address) {
                Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    socket.bind(&address)?;
                }
                _ => return Err(error),
            }
        }
        other => other?,
    }
    Ok(socket)
}

/// Lets small writes go at once even while earlier ones are not acknowledged. The first write of a connection
/// does anyway, so this is for who writes again.
#[cold]
pub(crate) fn tune_for_messages(socket: &Socket) {
    // A unix socket has no such option, nor the need.
    let _ = socket.set_tcp_nodelay(true);
}

/// For who sends in bulk.
#[cold]
pub(crate) fn tune_for_bulk(socket: &Socket) {
    if let Some(address) = socket.peer_addr().ok().and_then(|address| address.as_socket()) {
        ease(socket, address);
    }
}

/// On this machine's own addresses nothing is lost and nothing congested: the simplest control does, and what
/// the system chose for the world (pacing, with some) only costs time.
fn ease(socket: &Socket, address: SocketAddr) {
    if address.ip().to_canonical().is_loopback() {
        let _ = socket.set_tcp_congestion(b"reno");
    }
}

/// Begins to connect. `Ok` says nothing but that it is under way, or done already.
pub(crate) fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Inet(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM.nonblocking(), None)?;
            match socket.connect(&(*address).into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(socket),
            }
        }
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            socket.connect(&unix_address(path)?)?;
            Ok(socket)
        }
    }
}

/// `sockaddr_un` of a path; a leading `@` becomes the NUL of the abstract name space.
fn unix_address(path: &str) -> io::Result<SockAddr> {
    match path.strip_prefix('@') {
        Some(name) => SockAddr::unix(format!("\0{name}")),
        None => SockAddr::unix(path),
    }
}

/// Where a socket is bound.
pub(crate) fn local_bind(socket: &Socket) -> io::Result<Bind> {
    let address = socket.local_addr()?;
    if let Some(inet) = address.as_socket() {
        return Ok(Bind::Inet(inet));
    }
    if let Some(name) = address.as_abstract_namespace() {
        return Ok(Bind::Unix(format!("@{}", String::from_utf8_lossy(name)).into()));
    }
    let path = address.as_pathname().map(|path| path.to_string_lossy().into_owned());
    Ok(Bind::Unix(path.unwrap_or_default().into()))
}

/// How an attempt to accept ended.
pub(crate) enum Accepted {
    One(Socket, Option<SocketAddr>),
    /// Nobody is there.
    None,
    /// That one left; the next may be there.
    Gone,
    /// The system has no descriptor or memory left.
    Starved(io::Error),
    /// The listening socket itself is unusable.
    Broken(io::Error),
}

/// Accepts one connection.
#[inline]
pub(crate) fn accept(listener: &Socket) -> Accepted {
    match listener.accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
        Ok((socket, address)) => Accepted::One(socket, address.as_socket()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN) => Accepted::None,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Accepted::Starved(error),
            Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
                Accepted::Broken(error)
            }
            // Aborted before it was accepted, or a network error that belongs to that connection.
            _ => Accepted::Gone,
        },
    }
}

/// Reads. `Ok(None)`: nothing there now; `Ok(Some(0))`: the other side ended its half.
#[inline]
pub(crate) fn read(mut socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match socket.read(buffer) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes. `Ok(0)`: no room now.
#[inline]
pub(crate) fn write(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    send(socket, bytes, libc::MSG_NOSIGNAL)
}

/// Writes what the end of the socket's half follows at once: it goes with them, in one segment.
#[inline]
pub(crate) fn write_last(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    send(socket, bytes, libc::MSG_NOSIGNAL | libc::MSG_MORE)
}

#[inline]
fn send(socket: &Socket, bytes: &[u8], flags: i32) -> io::Result<usize> {
    loop {
        match socket.send_with_flags(bytes, flags) {
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lets nobody in any more at a listening TCP socket, while who is on the way in still arrives. Who comes from now on
/// is neither answered nor refused, and asks again a second later, when the socket is closed and somebody else may
/// listen there.
///
/// When a socket is closed at the very moment at which a connection arrives, Linux (6.18 at least) may drop the
/// connection without a word: a client that waits for a greeting would wait for ever.
pub(crate) fn let_in_no_more(listener: &Socket) {
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    // What a filter sees begins with the TCP header.
    let without_syn = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    // Without memory for it the socket is closed as any other, and a unix socket has no such packets.
    let _ = listener.attach_filter(&without_syn);
}

/// Whether the other side has ended its half, or broke off, and nothing it sent lies unread.
pub(crate) fn is_at_end(socket: &Socket) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    match socket.peek(&mut byte) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Closes a socket that was made after `since`, so that the other side learns of it whoever has a copy.
#[inline]
pub(crate) fn close(socket: Socket, since: Moment) {
    if since.has_forked_since() {
        // A child of this process may have one, and must not keep the other side waiting.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// The same, and the other side sees that it was broken off.
#[cold]
pub(crate) fn reset(socket: Socket, since: Moment) {
    let _ = socket.set_linger(Some(Duration::ZERO));
    // With a copy somewhere the last close is not here. A unix socket knows no reset.
    if since.has_forked_since() && sys::socket::disconnect(&socket).is_err() {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// A descriptor the host handed over, made fit for the loop.
pub(crate) fn adopt(descriptor: OwnedFd) -> io::Result<Socket> {
    let socket = Socket::from(descriptor);
    if !socket.is_listener()? || socket.r#type()? != Type::STREAM {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no stream socket that listens"));
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    Ok(socket)
}

/// Bytes on their way out, as far as the system takes them.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Sends what is left, or as much as goes at once. Nothing is held once all is sent.
    pub(crate) fn send(&mut self, socket: &Socket) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match write(socket, &self.bytes[self.sent..])? {
                0 => return Ok(()),
                sent => self.sent += sent,
            }
        }
        *self = Self::default();
        Ok(())
    }
}

/// Whether the system had no descriptor or memory for it, rather than the other side no will.
pub(crate) fn is_starved(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn who_is_on_the_way_in_arrives_and_nobody_else() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let bind = Bind::Inet(address.parse().unwrap());
            let listener = super::bind(&bind, "a test", 1).unwrap().remove(0);
            start(&listener, 16).unwrap();
            let address = Address::Inet(listener.local_addr().unwrap().as_socket().unwrap());
            let early = connect(&address).unwrap();
            let_in_no_more(&listener);
            // On the loopback a connection that is let in is there at once.
            let late = connect(&address).unwrap();
            assert!(late.peer_addr().is_err(), "it was let in");
            (&early).write_all(b"here").unwrap();
            let Accepted::One(accepted, _) = accept(&listener) else { panic!("it came before") };
            assert!(matches!(accept(&listener), Accepted::None));
            let mut bytes = [0; 8];
            assert_eq!(read(&accepted, &mut bytes).unwrap(), Some(4));
            assert_eq!(&bytes[..4], b"here");
        }
    }
}
