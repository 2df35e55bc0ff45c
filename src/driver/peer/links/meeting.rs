//! What the two sides of a connection make of each other: taken or refused, up, and over.

use slab::Slab;

use super::Links;
use crate::driver::peer::connection::Connection;
use crate::driver::peer::told::Notice;
use crate::peer::{End, Hello, Linked, NodeName, Reason, Refusal, Roster};
use crate::time::Instant;

impl Links {
    /// Takes the other side, or refuses it.
    pub(super) fn judge(&mut self, index: usize, hello: &Hello, now: Instant) {
        let connection = &mut self.connections[index];
        let judged = match &connection.dialled {
            Some((name, address)) if *name != hello.name => {
                let detail =
                    format!("{} answered at {address}, the address of {name}; check peers", hello.name);
                Err(Refusal::new(Reason::WrongNode, detail))
            }
            _ => connection
                .certify(&hello.name)
                .and_then(|()| self.roster.judge(hello, connection.link.side())),
        };
        match judged {
            Ok(()) => {
                connection.peer = Some(hello.name.clone());
                connection.link.accept(self.roster.hello(&hello.name, &self.options), now);
            }
            Err(refusal) => {
                if refusal.reason == Reason::DuplicateName {
                    self.probe(&hello.name, now);
                }
                let connection = &mut self.connections[index];
                if connection.dialled.is_none() {
                    connection.peer = Some(hello.name.clone());
                }
                connection.link.refuse(refusal);
            }
        }
    }

    /// Asks whether the process that is linked under a name is there: if not, the next attempt of the other one succeeds.
    fn probe(&mut self, name: &NodeName, now: Instant) {
        if let Some((index, connection)) = linked_mut(&self.roster, &mut self.connections, name) {
            connection.link.probe(now);
            if !self.pending.contains(&index) {
                self.pending.push(index);
            }
        }
    }

    pub(super) fn rise(&mut self, index: usize, version: u16, now: Instant) {
        let connection = &mut self.connections[index];
        let Some(hello) = connection.link.remote().cloned() else { return };
        // Since it was judged another may have come, or the node may have gone.
        if let Err(refusal) = self.roster.judge(&hello, connection.link.side()) {
            connection.link.close(End::RefusedHere(refusal));
            return;
        }
        connection.up_since = Some(now);
        let linked = Linked { connection: connection.id, boot: hello.boot, address: hello.address.clone() };
        // That the one before is over is told first.
        if let Some((old, before)) = linked_mut(&self.roster, &mut self.connections, &hello.name) {
            before.link.close(End::Replaced);
            self.run(old, now);
        }
        self.roster.link(&hello.name, linked);
        if let Some(dial) = self.dials.get_mut(&hello.name) {
            dial.links += 1;
            dial.next = None;
        }
        let Hello { name, number, boot, cluster, .. } = hello;
        self.tell(Notice::Up { peer: name, number, boot, cluster, version });
    }

    /// A link is over, whether it was up or not.
    pub(super) fn end(&mut self, index: usize, end: End, now: Instant) {
        let connection = &mut self.connections[index];
        connection.begin_closing(now);
        if !self.pending.contains(&index) {
            self.pending.push(index);
        }
        let (id, dialled, from) = (connection.id, connection.dialled.clone(), connection.from);
        let (name, up_since) = (connection.peer.clone(), connection.up_since);
        let counters = *connection.link.counters();
        if let Some(name) = &name {
            self.roster.unlink(name, id);
        }
        if let (Some(name), Some(_)) = (&name, up_since) {
            if let Some(dial) = self.dials.get_mut(name) {
                dial.counters.add(&counters);
            }
            self.tell(Notice::Down { peer: name.clone(), end: end.clone() });
        }
        if let Some((name, address)) = dialled {
            self.dial_later(&name, address, index, up_since, end, now);
        } else if up_since.is_none() {
            self.totals.refused += 1;
            self.tell(Notice::Refused { peer: name, from, end });
        }
    }
}

/// The connection that is linked to a node.
pub(super) fn linked<'a>(
    roster: &Roster,
    connections: &'a Slab<Connection>,
    name: &NodeName,
) -> Option<(usize, &'a Connection)> {
    let id = roster.linked(name)?.connection;
    connections.iter().find(|(_, connection)| connection.id == id)
}

/// The same, to be changed.
pub(super) fn linked_mut<'a>(
    roster: &Roster,
    connections: &'a mut Slab<Connection>,
    name: &NodeName,
) -> Option<(usize, &'a mut Connection)> {
    let id = roster.linked(name)?.connection;
    connections.iter_mut().find(|(_, connection)| connection.id == id)
}
