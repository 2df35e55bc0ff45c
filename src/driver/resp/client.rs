//! [`Client`]: one Redis client: its socket, and what it has of the system's at the moment.

use std::io;

use socket2::Socket;

use super::patience::Patience;
use crate::driver::net;
use crate::driver::store::Caller;
use crate::driver::timer::TimerId;
use crate::resp::{Connection, Hub};
use crate::sys::fork::Moment;
use crate::time::Instant;

pub(super) struct Client {
    pub(super) socket: Socket,
    pub(super) connection: Connection,
    pub(super) generation: u32,
    /// There may be something to read.
    pub(super) is_readable: bool,
    /// The other side ended its half, and what it sent before may still be unread.
    pub(super) is_ending: bool,
    /// Whether it is thought to wait all the same.
    pub(super) patience: Patience,
    /// It ended its half while this process stood still.
    pub(super) is_late: bool,
    /// It is to go as soon as nothing that it has asked for is left.
    pub(super) is_parting: bool,
    /// Nothing more comes from it.
    pub(super) has_ended: bool,
    /// The socket took all it was given.
    pub(super) is_writable: bool,
    /// It is among those that this turn is about.
    pub(super) is_called: bool,
    /// When it last said something.
    pub(super) touched: Instant,
    pub(super) timer: Option<TimerId>,
    pub(super) since: Moment,
}

impl Client {
    /// Reads once, as far as what comes is of use now. `Err`: it is gone.
    pub(super) fn read(&mut self, buffer: &mut [u8], hub: &Hub, now: Instant) -> io::Result<()> {
        if !self.is_readable || self.has_ended || !self.connection.wants_bytes(hub) {
            return Ok(());
        }
        match net::read(&self.socket, buffer)? {
            None => self.is_readable = false,
            Some(0) => {
                self.is_readable = false;
                self.has_ended = true;
            }
            Some(bytes) => {
                self.touched = now;
                self.connection.handle_bytes(&buffer[..bytes]);
                // A short read has emptied the socket, but for an end that is there already.
                self.is_readable = bytes == buffer.len() || self.is_ending;
            }
        }
        Ok(())
    }

    /// Whether it waits for what comes of its writes. One that has ended its half does as long as they go on; who gives up may ask
    /// elsewhere, and what stands about is not done behind that.
    pub(super) fn caller(&mut self, now: Instant) -> Caller {
        match (self.is_ending, self.is_late) {
            (false, _) => Caller::Waits,
            (true, true) => Caller::HasGivenUp,
            (true, false) => self.patience.caller(self.connection.is_under_way(), now),
        }
    }

    /// Writes what there is to write, as far as the system takes it. `Err`: it is gone.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while self.is_writable && !self.connection.output().is_empty() {
            match net::write(&self.socket, self.connection.output())? {
                0 => self.is_writable = false,
                bytes => self.connection.consume_output(bytes),
            }
        }
        Ok(())
    }

    /// Whether it is to be closed now; `is_draining`: as soon as all that has come from it is answered.
    pub(super) fn is_over(&self, hub: &Hub, is_draining: bool) -> bool {
        let is_said = self.connection.output().is_empty();
        let is_heard = self.has_ended || (is_draining && !self.is_readable);
        // Its end is not read while it waits, and cannot be told from one that still listens.
        let waits_in_vain = (self.is_ending || is_draining) && self.connection.waits_without_end();
        self.connection.is_cut()
            || (is_said && self.connection.is_finished())
            || (is_said && waits_in_vain)
            || (is_said && is_heard && !self.connection.is_at_work(hub))
    }

    /// Whether it may send on, being over, and is to have read why before it is closed.
    pub(super) fn may_send_on(&self) -> bool {
        self.connection.may_send_on() && !self.has_ended
    }

    /// Whether there is more to do for it without anything happening.
    pub(super) fn has_more(&self, hub: &Hub) -> bool {
        self.connection.has_requests(hub)
            || (self.is_readable && !self.has_ended && self.connection.wants_bytes(hub))
    }
}
