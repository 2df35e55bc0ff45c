//! [`Core`]: everything of a worker but its sessions.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use mio::Poll;
use socket2::Socket;

use super::Timer;
use crate::balance::Lane;
use crate::driver::event::EventKind;
use crate::driver::pipes::Pipes;
#[cfg(feature = "store")]
use crate::driver::resp::farewell::Farewells;
use crate::driver::shared::Shared;
use crate::driver::timer::{TimerId, Wheel};
use crate::driver::token::{Key, Source};
use crate::sys;
use crate::time::{Clock, Instant};

/// Urgent data is nothing to pass on, but reads stop before it.
const READING: mio::Interest = mio::Interest::READABLE.add(mio::Interest::PRIORITY);
/// How long a listener pauses when there is no descriptor and none comes free here.
const STARVED_PAUSE: Duration = Duration::from_millis(100);
/// How soon a rate is looked at again: what the system counts waits in.
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// Everything of a worker but its sessions, which borrow it while they run.
pub(crate) struct Core {
    pub(crate) index: usize,
    pub(crate) poll: Poll,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wheel: Wheel<Timer>,
    pub(crate) pipes: Pipes,
    /// Where every read lands. One for all sessions: what a sink does not take is copied out.
    pub(crate) buffer: Box<[u8]>,
    pub(crate) now: Instant,
    pub(crate) lane: Lane,
    /// Sessions that had more to do when their turn's share was used up.
    pub(crate) again: Vec<Key>,
    /// Listeners likewise.
    pub(crate) accept_again: Vec<u32>,
    /// Conversations likewise.
    pub(crate) talk_again: Vec<Key>,
    /// Redis clients that may not have read yet why their connection ends.
    #[cfg(feature = "store")]
    pub(crate) farewells: Farewells,
    /// Listeners with a [`Timer::Accept`]: one is enough, however often they find no descriptor.
    pub(super) paused: Vec<u32>,
    /// Whether there is a [`Timer::Starved`].
    pub(super) is_starved: bool,
    /// For each pool its [`Timer::Room`], and when it comes.
    pub(super) rooms: Box<[Option<(TimerId, Instant)>]>,
    /// Whether sessions to cut are left for the next turn.
    pub(crate) cut_again: bool,
    /// Set while a splice of this turn may raise SIGPIPE in a thread that is the host's.
    pub(crate) mask: Option<sys::signal::Masked>,
    /// Whether the thread is the host's.
    pub(crate) is_hosted: bool,
    /// Descriptors are free again: paused listeners may go on.
    pub(crate) has_freed: bool,
}

impl Core {
    /// What a step begins with: the time, and the lane of the thread that takes it.
    pub(super) fn begin(&mut self) {
        self.now = Clock.now();
        self.lane = Lane::Own(crate::thread::number());
    }

    /// Has a listener try again in a while to accept: there was no descriptor.
    pub(crate) fn pause(&mut self, listener: u32) {
        if !self.paused.contains(&listener) {
            self.paused.push(listener);
            self.wheel.insert(self.now.saturating_add(STARVED_PAUSE), Timer::Accept(listener));
        }
    }

    /// Has sessions try again in a while to connect: there was no descriptor.
    pub(crate) fn starve(&mut self) {
        if !self.is_starved {
            self.is_starved = true;
            self.wheel.insert(self.now.saturating_add(STARVED_PAUSE), Timer::Starved);
        }
    }

    /// Has who waits for this pool offered a place at `at`, when a rate has room again.
    pub(crate) fn wake_room(&mut self, pool: usize, at: Instant) {
        // Never at once: the loop would go round without an end.
        let at = at.max(self.now.saturating_add(ROOM_PAUSE));
        match self.rooms[pool] {
            Some((_, earlier)) if earlier <= at => {}
            armed => {
                let mut timer = armed.map(|(timer, _)| timer);
                self.set_timer(&mut timer, at, Timer::Room(pool as u32));
                self.rooms[pool] = timer.map(|timer| (timer, at));
            }
        }
    }

    /// Registers a socket for all its events, edge-triggered.
    pub(crate) fn register(&self, socket: &Socket, source: Source) -> io::Result<()> {
        self.register_for(socket, source, READING | mio::Interest::WRITABLE)
    }

    /// Registers a socket for everything but its room to write.
    pub(crate) fn register_for_reading(&self, socket: &Socket, source: Source) -> io::Result<()> {
        self.register_for(socket, source, READING)
    }

    /// Registers for room to write too. What there is at the moment makes an event.
    pub(crate) fn ask_for_writing(&self, socket: &Socket, source: Source) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        let mut socket = mio::unix::SourceFd(&descriptor);
        self.poll.registry().reregister(&mut socket, source.to_token(), READING | mio::Interest::WRITABLE)
    }

    /// Has events of a registered socket be another's, for everything but its room to write. What there is at the moment makes
    /// one.
    #[cfg(feature = "store")]
    pub(crate) fn reregister_for_reading(&self, socket: &Socket, source: Source) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        let mut socket = mio::unix::SourceFd(&descriptor);
        self.poll.registry().reregister(&mut socket, source.to_token(), READING)
    }

    pub(super) fn register_for(
        &self,
        socket: &Socket,
        source: Source,
        interest: mio::Interest,
    ) -> io::Result<()> {
        self.register_descriptor(socket.as_raw_fd(), source, interest)
    }

    /// Registers a descriptor of whatever kind, edge-triggered.
    pub(crate) fn register_descriptor(
        &self,
        descriptor: RawFd,
        source: Source,
        interest: mio::Interest,
    ) -> io::Result<()> {
        self.poll.registry().register(&mut mio::unix::SourceFd(&descriptor), source.to_token(), interest)
    }

    /// Registers a listening socket that other workers have too.
    pub(crate) fn register_exclusive(&self, socket: &Socket, source: Source) -> io::Result<()> {
        sys::epoll::add_exclusive(&self.poll, socket, source.to_token().0 as u64)
    }

    /// From here to the end of the turn a SIGPIPE is not the host's.
    #[inline]
    pub(crate) fn mask_pipe(&mut self) {
        if self.is_hosted && self.mask.is_none() {
            self.mask = sys::signal::mask_pipe();
        }
    }

    pub(crate) fn set_timer(&mut self, timer: &mut Option<TimerId>, at: Instant, what: Timer) {
        match *timer {
            Some(id) if self.wheel.move_to(id, at) => {}
            _ => *timer = Some(self.wheel.insert(at, what)),
        }
    }

    pub(crate) fn tell_listener(&self, kind: EventKind, listener: usize, detail: String) {
        self.shared.tell_listener(kind, listener, detail);
    }
}
