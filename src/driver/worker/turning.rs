//! [`Turning`]: the store of a hosted server. It has no threads; the loop turns it along with its own work.

use std::io;
use std::time::Duration;

use super::Core;
use crate::driver::token::Source;
use crate::embedded::Store;
use crate::error::Error;
use crate::time::Instant;

pub(super) struct Turning {
    store: Store,
    /// Its descriptor was readable.
    is_ready: bool,
    /// When it is due even if nobody says so.
    next: Option<Instant>,
}

impl Turning {
    /// Has the loop told when there is something to do.
    ///
    /// # Errors
    ///
    /// `Io`, and those of [`Store::poll_fd`].
    pub(super) fn open(store: Store, core: &Core) -> Result<Self, Error> {
        let descriptor = store.poll_fd()?;
        let register = |error: io::Error| Error::io("register the store's descriptor", &error);
        core.register_descriptor(descriptor, Source::Store, mio::Interest::READABLE).map_err(register)?;
        Ok(Self { store, is_ready: true, next: None })
    }

    pub(super) fn handle_event(&mut self) {
        self.is_ready = true;
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.is_ready { Some(Instant::START) } else { self.next }
    }

    /// Does what is due. Blocks for the disk, as the host has asked for.
    pub(super) fn turn(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_ready) || self.next.is_some_and(|next| next <= now) {
            // Who waits is told when the disk fails, and the store's status says so.
            let _ = self.store.turn(Some(Duration::ZERO));
        }
        // What the loop's own clients have asked for meanwhile comes with the next turn, and with all that others ask for
        // until then.
        self.next = self.store.next_deadline().unwrap_or_default();
        self.is_ready = self.next.is_some_and(|next| next <= now);
    }
}
