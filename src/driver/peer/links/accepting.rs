//! Connections that come: where they are accepted, and how many of them may be there before it is known whose they are.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll};
use socket2::Socket;

use super::{LISTENER, Links};
use crate::driver::net::{self, Accepted};
use crate::driver::peer::connection::Connection;
use crate::driver::peer::told::Notice;
use crate::error::{Error, Result};
use crate::peer::{End, Link};
use crate::proxy::options::Bind;
use crate::sys::fork::Moment;
use crate::time::Instant;

/// How many connections are accepted before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// How soon it is tried again to accept when no descriptor was left.
const STARVED_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: u32 = 1_024;

/// Where connections come in.
pub(super) struct Listener {
    socket: Socket,
    since: Moment,
    /// Somebody may be there.
    pub(super) is_ready: bool,
    /// No descriptor was left: not before then.
    pub(super) paused_until: Option<Instant>,
}

impl Links {
    pub(super) fn accept(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else { return };
        if listener.paused_until.is_some_and(|until| now < until) {
            return;
        }
        listener.paused_until = None;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_mut().filter(|listener| listener.is_ready) else { return };
            let since = Moment::now();
            match net::accept(&listener.socket) {
                Accepted::One(socket, from) => {
                    self.totals.accepted += 1;
                    self.take_in(socket, from, since, now);
                }
                Accepted::Gone => self.totals.accept_errors += 1,
                Accepted::None => listener.is_ready = false,
                Accepted::Starved(error) | Accepted::Broken(error) => {
                    listener.paused_until = Some(now.saturating_add(STARVED_PAUSE));
                    self.totals.accept_errors += 1;
                    self.tell(Notice::AcceptPaused { detail: error.to_string() });
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, socket: Socket, from: Option<SocketAddr>, since: Moment, now: Instant) {
        self.make_room(now);
        let link = Link::acceptor(&self.options, now);
        let made = Connection::tune(&socket, self.options.silence_max)
            .map_err(|error| End::Io { code: error.raw_os_error().unwrap_or(0), detail: error.to_string() })
            .and_then(|()| {
                Connection::acceptor(socket, self.next_id, from, link, &self.secured, since)
                    .map_err(|error| End::Tls(error.to_string()))
            });
        match made.and_then(|connection| self.insert(connection)) {
            Ok(index) => self.pending.push(index),
            Err(end) => {
                self.totals.refused += 1;
                self.tell(Notice::Refused { peer: None, from, end });
            }
        }
    }

    /// Ends the oldest connection that came and is not up, where there are as many of them as may be.
    fn make_room(&mut self, now: Instant) {
        let is_unknown = |connection: &Connection| {
            connection.dialled.is_none() && (connection.is_closing() || !connection.link.is_up())
        };
        let unknown = self.connections.iter().filter(|(_, connection)| is_unknown(connection));
        let count = unknown.clone().count();
        if count < self.options.pending_max as usize {
            return;
        }
        let oldest = unknown.min_by_key(|(_, connection)| connection.id).map(|(index, _)| index);
        if let Some(index) = oldest {
            self.totals.displaced += 1;
            self.connections[index].link.close(End::Displaced);
            self.handle_link(index, now);
            self.drop_connection(index);
        }
    }
}

impl Listener {
    pub(super) fn open(address: SocketAddr, poll: &Poll) -> Result<Self> {
        let what = || format!("listen on {address} for peers");
        let since = Moment::now();
        let mut sockets = net::bind(&Bind::Inet(address), "peers", 1)?;
        let socket = sockets.pop().expect("one was asked for");
        net::start(&socket, BACKLOG).map_err(|error| Error::io(what(), &error))?;
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), LISTENER, Interest::READABLE)
            .map_err(|error| Error::io(what(), &error))?;
        Ok(Self { socket, since, is_ready: true, paused_until: None })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    pub(super) fn close(self) {
        net::close(self.socket, self.since);
    }
}
