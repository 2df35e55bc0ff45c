//! How a worker ends: at once, or when its sessions have.

use super::{Listening, Phase, Timer, Worker};
use crate::proxy::session::Cause;
use crate::time::Instant;

/// Rounds of accepting before a listener closes: more than the longest backlog takes.
const BACKLOG_ROUNDS: usize = 2048;

impl Worker {
    /// Takes in what the system has accepted for us already, then listens no more.
    pub(super) fn drain(&mut self, until: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
            self.listening.iter().for_each(Listening::let_in_no_more);
            for index in 0..self.listening.len() {
                for _ in 0..BACKLOG_ROUNDS {
                    self.accept(index);
                    if !self.core.accept_again.contains(&(index as u32)) {
                        break;
                    }
                    self.core.accept_again.retain(|&again| again != index as u32);
                }
            }
            self.close_listeners();
            #[cfg(feature = "store")]
            if let Some(clients) = &mut self.clients {
                clients.drain(&mut self.core);
            }
            #[cfg(feature = "replication")]
            for splitter in &mut self.splitters {
                splitter.drain(&mut self.core);
            }
        }
        // A later order may give less time or more.
        if let Some(timer) = self.drain_timer.take() {
            self.core.wheel.cancel(timer);
        }
        self.drain_timer = Some(self.core.wheel.insert(until, Timer::Drain));
    }

    /// Ends it whatever was ordered: its loop failed.
    pub(crate) fn end(&mut self) {
        self.stop();
    }

    pub(super) fn stop(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        self.close_listeners();
        self.joints.close_all(&mut self.core, Cause::Stopped);
        // Places offered to those go to whoever waits on other workers, who have a look at the rates that were
        // waited for here.
        for pool in 0..self.core.shared.pools.len() {
            self.joints.take_offers(&mut self.core, pool);
            if self.core.rooms[pool].take().is_some() {
                self.core.shared.pools[pool].room.free();
            }
        }
        self.conversations.close_all(&mut self.core);
        #[cfg(feature = "store")]
        if let Some(mut clients) = self.clients.take() {
            clients.close_all(&mut self.core);
        }
        #[cfg(feature = "store")]
        self.core.end_farewells();
        #[cfg(feature = "replication")]
        for mut splitter in self.splitters.drain(..) {
            splitter.close_all(&mut self.core);
        }
        if let Some(mut discovering) = self.discovering.take() {
            discovering.close_all(&mut self.core);
        }
        if let Some(mut probing) = self.probing.take() {
            probing.close_all(&mut self.core);
        }
        #[cfg(feature = "store")]
        {
            self.turning = None;
        }
        self.phase = Phase::Over;
        self.presence = None;
    }

    pub(super) fn close_listeners(&mut self) {
        for listening in self.listening.drain(..) {
            listening.close(&self.core);
        }
        let conversations = &self.conversations;
        self.core.accept_again.retain(|&index| conversations.is_listener(index as usize));
    }

    pub(super) fn end_if_drained(&mut self) {
        if self.phase != Phase::Draining || !self.joints.is_empty() {
            return;
        }
        #[cfg(feature = "store")]
        if self.clients.as_ref().is_some_and(|clients| !clients.is_empty()) {
            return;
        }
        #[cfg(feature = "replication")]
        if self.splitters.iter().any(|splitter| !splitter.is_empty()) {
            return;
        }
        // Who looks on while the server drains sees it to the end.
        if self.conversations.is_listening() && !self.core.shared.is_alone() {
            return;
        }
        self.stop();
    }
}
