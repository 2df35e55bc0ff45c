//! [`Listening`]: a listening socket of one worker, and why it pauses when it does.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;

use crate::driver::event::EventKind;
use crate::driver::net::{self, Accepted};
use crate::driver::shared::add;
use crate::driver::token::Source;
use crate::driver::worker::Core;
use crate::sys::fork::Moment;

/// A socket to listen on.
pub(crate) struct ListeningSocket {
    pub(crate) socket: Socket,
    /// Other workers wait on the same one.
    pub(crate) is_shared: bool,
    /// The host opened it, and may go on with it.
    pub(crate) is_adopted: bool,
    /// Before it was made.
    pub(crate) since: Moment,
}

/// A listening socket of one worker.
pub(crate) struct Listening {
    index: usize,
    socket: Socket,
    is_starved: bool,
    is_shared: bool,
    is_adopted: bool,
    since: Moment,
}

/// How a round of accepting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody is left to accept, or there is no room: an event or a message will tell.
    Emptied,
    /// This turn's share is used up.
    More,
    /// There is no descriptor: try again later.
    Starved,
}

/// How many connections one listener takes in a turn before others have theirs.
const ACCEPTS_PER_TURN: usize = 64;

impl Listening {
    pub(crate) fn open(index: usize, from: ListeningSocket, core: &Core) -> io::Result<Self> {
        let ListeningSocket { socket, is_shared, is_adopted, since } = from;
        let source = Source::Listener(index as u32);
        if is_shared || is_adopted {
            core.register_exclusive(&socket, source)?;
        } else {
            core.register(&socket, source)?;
        }
        Ok(Self { index, socket, is_starved: false, is_shared, is_adopted, since })
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// Accepts until nobody is left, there is no room, or this turn's share is used up. `open` answers whether
    /// there was no descriptor for the backend's connection.
    pub(crate) fn accept(
        &mut self,
        core: &mut Core,
        is_starved: bool,
        mut open: impl FnMut(&mut Core, Socket, Option<SocketAddr>, Moment) -> bool,
    ) -> Verdict {
        if is_starved {
            // Who was accepted before has the next descriptor.
            self.starve(core, &io::Error::from_raw_os_error(libc::EMFILE));
            return Verdict::Starved;
        }
        for turn in 0..ACCEPTS_PER_TURN {
            if !core.shared.listeners[self.index].enter(core.index) {
                if turn > 0 {
                    self.recover(core);
                }
                return Verdict::Emptied;
            }
            let since = Moment::now();
            let accepted = net::accept(&self.socket);
            if let Accepted::One(socket, source) = accepted {
                if self.is_adopted {
                    // A socket of our own hands this on; on the host's it is not ours to set.
                    let _ = socket.set_tcp_nodelay(true);
                }
                if open(core, socket, source, since) {
                    self.starve(core, &io::Error::from_raw_os_error(libc::EMFILE));
                    return Verdict::Starved;
                }
                continue;
            }
            core.shared.listeners[self.index].leave(self.index, &core.shared.senders);
            match accepted {
                Accepted::Gone => {
                    add(&core.shared.listeners[self.index].counters(core.index).accept_errors, 1);
                }
                // Pipes that carry nothing are of less use than a client.
                Accepted::Starved(_) if core.pipes.release() => {}
                Accepted::Starved(error) => {
                    add(&core.shared.listeners[self.index].counters(core.index).accept_errors, 1);
                    self.starve(core, &error);
                    return Verdict::Starved;
                }
                Accepted::Broken(error) => {
                    add(&core.shared.listeners[self.index].counters(core.index).accept_errors, 1);
                    core.tell_listener(EventKind::AcceptPaused, self.index, error.to_string());
                    return Verdict::Emptied;
                }
                Accepted::None | Accepted::One(..) => {
                    self.recover(core);
                    return Verdict::Emptied;
                }
            }
        }
        self.recover(core);
        Verdict::More
    }

    /// Lets nobody in any more; who is on the way in can still be accepted.
    pub(crate) fn let_in_no_more(&self) {
        if self.is_ours_alone() {
            net::let_in_no_more(&self.socket);
        }
    }

    fn is_ours_alone(&self) -> bool {
        !self.is_shared && !self.is_adopted
    }

    /// Listens no more, and breaks off who was not accepted. What the host or another worker holds of the same socket
    /// stays.
    pub(crate) fn close(mut self, core: &Core) {
        self.recover(core);
        if self.is_ours_alone() {
            net::let_in_no_more(&self.socket);
            loop {
                let since = Moment::now();
                let Accepted::One(client, _) = net::accept(&self.socket) else { break };
                net::reset(client, since);
            }
        }
        if !self.is_adopted {
            // Connections would wait for ever at a copy that a child has.
            net::close(self.socket, self.since);
        }
    }

    fn starve(&mut self, core: &Core, error: &io::Error) {
        if !self.is_starved {
            self.is_starved = true;
            if core.shared.listeners[self.index].starve() {
                core.tell_listener(EventKind::AcceptPaused, self.index, error.to_string());
            }
        }
    }

    fn recover(&mut self, core: &Core) {
        if self.is_starved {
            self.is_starved = false;
            if core.shared.listeners[self.index].recover() {
                core.tell_listener(EventKind::AcceptResumed, self.index, String::new());
            }
        }
    }
}
