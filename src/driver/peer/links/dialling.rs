//! Connections that are made: to whom, and when the next attempt is.

use std::net::SocketAddr;

use super::Links;
use crate::balance::Address;
use crate::driver::net;
use crate::driver::peer::connection::Connection;
use crate::driver::peer::told::Notice;
use crate::peer::{Backoff, Counters, End, Link, NodeName};
use crate::sys::fork::Moment;
use crate::time::Instant;

/// What is known of a node beside its link.
pub(super) struct Dial {
    pub(super) backoff: Backoff,
    /// When it is to be dialled; `None` while it is linked or being dialled, and for those who dial.
    pub(super) next: Option<Instant>,
    /// The connection that is being made, or was.
    pub(super) connection: Option<usize>,
    pub(super) links: u64,
    pub(super) failures: u64,
    pub(super) down: u64,
    /// Of links that are over.
    pub(super) counters: Counters,
}

impl Links {
    /// Dials those whose time has come.
    pub(super) fn dial_due(&mut self, now: Instant) {
        let due: Vec<NodeName> = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.next.is_some_and(|next| next <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.dial(name, now);
        }
    }

    fn dial(&mut self, name: NodeName, now: Instant) {
        let Some(address) = self.roster.dials(&name) else { return };
        let since = Moment::now();
        let hello = self.roster.hello(&name, &self.options);
        let link = Link::dialler(hello, &self.options, now);
        let connected = net::connect(&Address::Inet(address))
            .and_then(|socket| Connection::tune(&socket, self.options.silence_max).map(|()| socket))
            .map_err(|error| End::Io { code: error.raw_os_error().unwrap_or(0), detail: error.to_string() });
        let made = connected.and_then(|socket| {
            let to = (name.clone(), address);
            Connection::dialler(socket, self.next_id, to, link, &self.secured, since)
                .map_err(|error| End::Tls(error.to_string()))
        });
        let index = self.connections.vacant_key();
        if let Some(dial) = self.dials.get_mut(&name) {
            dial.next = None;
            dial.connection = Some(index);
        }
        match made.and_then(|connection| self.insert(connection)) {
            Ok(_) => {}
            Err(end) => self.dial_later(&name, address, index, None, end, now),
        }
    }

    /// An attempt to dial, or a link that came of one, has ended.
    pub(super) fn dial_later(
        &mut self,
        name: &NodeName,
        address: SocketAddr,
        index: usize,
        up_since: Option<Instant>,
        end: End,
        now: Instant,
    ) {
        let Some(dial) = self.dials.get_mut(name) else { return };
        if dial.connection != Some(index) {
            return;
        }
        dial.connection = None;
        // A link that did not last is no reason to hurry.
        if up_since.is_some_and(|since| now.duration_since(since) >= self.options.backoff_max) {
            dial.backoff.reset();
        }
        let wait = dial.backoff.next(&mut self.rng);
        let wait = if end.is_refusal() {
            Backoff::jittered(self.options.refused_backoff, &mut self.rng)
        } else {
            wait
        };
        dial.next = self.roster.dials(name).map(|_| now.saturating_add(wait));
        if up_since.is_none() {
            dial.failures += 1;
            let attempts = dial.backoff.attempts();
            self.tell(Notice::Failed { peer: name.clone(), address, attempts, end });
        }
    }
}
