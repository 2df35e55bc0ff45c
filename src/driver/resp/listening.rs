//! [`Door`]: where one loop takes Redis clients in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

use crate::driver::event::EventKind;
use crate::driver::listening::{ListeningSocket, Verdict};
use crate::driver::net::{self, Accepted};
use crate::driver::resp::shared::SharedClients;
use crate::driver::shared::add;
use crate::driver::token::Source;
use crate::driver::worker::Core;
use crate::sys::fork::Moment;

/// How many clients are taken in in a turn before others have theirs.
const ACCEPTS_PER_TURN: usize = 64;
/// After so long without a word a client is asked whether it is there, as by Redis' `tcp-keepalive`: whose machine has gone without
/// having said so would have a place for ever.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// As Redis says it.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

pub(crate) struct Door {
    /// Its number among the listeners of the loop.
    pub(crate) index: usize,
    from: ListeningSocket,
    is_starved: bool,
}

/// Somebody who came in.
pub(crate) struct Guest {
    pub(crate) socket: Socket,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) since: Moment,
}

impl Door {
    pub(crate) fn open(index: usize, from: ListeningSocket, core: &Core) -> io::Result<Self> {
        let source = Source::Listener(index as u32);
        match from.is_shared {
            true => core.register_exclusive(&from.socket, source)?,
            false => core.register(&from.socket, source)?,
        }
        Ok(Self { index, from, is_starved: false })
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Takes in who waits. Who finds no place is told so, as by Redis, and turned away.
    pub(crate) fn accept(
        &mut self,
        core: &mut Core,
        shared: &SharedClients,
        mut open: impl FnMut(&mut Core, Guest),
    ) -> Verdict {
        for _ in 0..ACCEPTS_PER_TURN {
            let since = Moment::now();
            match net::accept(&self.from.socket) {
                Accepted::One(socket, address) => {
                    if shared.try_enter() {
                        if address.is_some() {
                            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                            let _ = socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE / 3));
                        }
                        open(core, Guest { socket, address, since });
                    } else {
                        add(&shared.counters(core.index).refused, 1);
                        match net::write(&socket, FULL) {
                            Ok(1..) => core.turn_away(socket, since),
                            // If that does not go at once, nobody reads it.
                            _ => net::close(socket, since),
                        }
                    }
                }
                Accepted::None => {
                    self.recover(core, shared);
                    return Verdict::Emptied;
                }
                Accepted::Gone => add(&shared.counters(core.index).accept_errors, 1),
                // Pipes that carry nothing are of less use than a client.
                Accepted::Starved(_) if core.pipes.release() => {}
                Accepted::Starved(error) => {
                    add(&shared.counters(core.index).accept_errors, 1);
                    if !self.is_starved {
                        self.is_starved = true;
                        if shared.starve() {
                            core.shared.tell_named(EventKind::AcceptPaused, &shared.name, error.to_string());
                        }
                    }
                    return Verdict::Starved;
                }
                Accepted::Broken(error) => {
                    add(&shared.counters(core.index).accept_errors, 1);
                    core.shared.tell_named(EventKind::AcceptPaused, &shared.name, error.to_string());
                    return Verdict::Emptied;
                }
            }
        }
        self.recover(core, shared);
        Verdict::More
    }

    pub(crate) fn close(mut self, core: &Core, shared: &SharedClients) {
        self.recover(core, shared);
        net::close(self.from.socket, self.from.since);
    }

    fn recover(&mut self, core: &Core, shared: &SharedClients) {
        if self.is_starved {
            self.is_starved = false;
            if shared.recover() {
                core.shared.tell_named(EventKind::AcceptResumed, &shared.name, "");
            }
        }
    }
}
