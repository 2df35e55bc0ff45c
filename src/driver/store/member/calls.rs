//! [`Calls`]: who asked for what, where it is, and whom it is for: here with the node, held until there is a primary, passed
//! on to it, or on its way back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::super::ground::{Reply, Source};
use super::held::Held;
use super::passed::Passed;
use crate::error::{Error, Result};
use crate::replication::look::Look;
use crate::replication::{self, Level, Position};
use crate::store::engine::Ticket;
use crate::time::Instant;

/// What a call asks of the primary.
#[derive(Debug)]
pub(super) enum Asked {
    Write {
        /// Encoded.
        command: Vec<u8>,
        level: Level,
        /// It has a client and a number: done twice it is done once.
        is_repeatable: bool,
        /// It is not passed on.
        stays: bool,
        /// Whose order it keeps.
        source: Option<Source>,
    },
    /// Up to where to read, so that everything is seen that was answered before.
    Read,
    /// A read that is done where it can be.
    Look(Looking),
}

/// A read.
#[derive(Clone, Debug)]
pub(super) struct Looking {
    /// What it has to see, beside what was answered before.
    pub(super) token: Option<Position>,
    /// What is read, for the primary to do; `None`: it can only be done here.
    pub(super) look: Option<Look>,
}

impl Asked {
    fn bytes(&self) -> usize {
        match self {
            Asked::Write { command, .. } => command.len(),
            Asked::Read => 0,
            Asked::Look(looking) => looking.look.as_ref().map_or(0, Look::bytes),
        }
    }

    /// Whose order it keeps.
    pub(super) fn source(&self) -> Option<Source> {
        match self {
            Asked::Write { source, .. } => *source,
            Asked::Read | Asked::Look(_) => None,
        }
    }

    /// It changes nothing: it may be asked again, and nothing of it is in doubt.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Asked::Write { .. } => false,
            Asked::Read | Asked::Look(_) => true,
        }
    }
}

/// A call that this node cannot do by itself.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) ticket: Ticket,
    pub(super) asked: Asked,
    /// When it is refused if there is no primary by then.
    pub(super) gives_up: Instant,
    /// When nobody waits for it any more.
    pub(super) deadline: Instant,
    /// It was passed on, and may have been done.
    pub(super) is_doubtful: bool,
}

/// What calls are that are no writes, to those who wait for them in vain.
pub(super) const READ: &str = "read";
pub(super) const CHANGE: &str = "change of the cluster";
pub(super) const HANDOVER: &str = "handover";

/// What the node was asked for, and for whom.
#[derive(Debug)]
pub(super) enum Local {
    /// A write that is answered early says nothing of what came of it.
    Write { ticket: Ticket },
    /// What is not asked anew: a read that waits until what is here has what it is to see; a change, a handover.
    Other { ticket: Ticket, what: &'static str },
    /// Up to where to read, of this node as primary; asked anew when that is one no longer.
    Read(Call),
    /// A read that waits until what is here is as fresh as it asks.
    Here(Box<Call>),
    /// One that was held, and is asked of this node as primary; `is_granted`: what was answered before is seen, and it
    /// waits for its token.
    Look { call: Box<Call>, is_granted: bool },
    /// Of another node's, which waits for it until then.
    Remote { node: u64, id: u64, is_read: bool, until: Instant },
    /// A read of another node's, until the time that it may take is over.
    RemoteLook { node: u64, id: u64, looking: Box<Looking>, deadline: Instant, is_granted: bool },
}

/// What is left of a read that nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// This node was asked for it.
    Here(replication::Ticket),
    /// It was passed on, as `id`.
    There { node: u64, id: u64 },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tickets: u64,
    /// The last number by which one was passed on. Those of a process begin where those of no other do.
    ids: u64,
    pub(super) local: BTreeMap<replication::Ticket, Local>,
    pub(super) held: Held,
    /// Passed on: to whom.
    pub(super) sent: BTreeMap<u64, (u64, Call)>,
    /// Done, and not to be seen here yet: by the sequence at which it is.
    arriving: BTreeMap<(u64, Ticket), (Reply, Instant)>,
    /// Those of other nodes that wait until there is room.
    pub(super) passed: Passed,
    /// Sources that have left what they asked for, and until when anything of theirs may be left; and those times as they come.
    forsaken: BTreeMap<Source, Instant>,
    forsaken_until: VecDeque<(Instant, Source)>,
    /// Reads of other nodes' that nobody waits for, by node and number: looked for all at once.
    forgotten: BTreeSet<(u64, u64)>,
    /// How many calls of other nodes are here.
    pub(super) remote: BTreeMap<u64, u32>,
    /// Bytes of what is held and passed on.
    bytes: usize,
    /// Bytes of what is passed on, by node.
    sent_bytes: BTreeMap<u64, usize>,
    /// When a call was last done.
    done_at: Option<Instant>,
}

/// The most bytes that are held and passed on together.
const BYTES_MAX: usize = 128 << 20;
/// So many bytes are passed on to a node before more are held: a primary has room for those of several nodes.
const SENT_BYTES_MAX: usize = 16 << 20;

impl Calls {
    /// - `random`: another one in each process. What a primary answers says nothing of who asked but its name and number, and
    ///   it may answer a process that is no more.
    pub(super) fn new(random: u64) -> Self {
        // They count up for as long as there is a process, and none is 0.
        Self { ids: random >> 1, ..Self::default() }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// `Capacity` when one more is too many.
    pub(super) fn check_room(&self, most: u32) -> Result<()> {
        if self.held.len() + self.sent.len() >= most as usize {
            return Err(Error::Capacity { what: "forward_max", limit: u64::from(most) });
        }
        if self.bytes >= BYTES_MAX {
            return Err(Error::Capacity { what: "forward_bytes_max", limit: BYTES_MAX as u64 });
        }
        Ok(())
    }

    /// Whether one more may be passed on to a node.
    pub(super) fn may_send(&self, to: u64) -> bool {
        self.sent_bytes.get(&to).is_none_or(|bytes| *bytes < SENT_BYTES_MAX)
    }

    /// Nobody waits for a read any more. Gives where it was, if others have something of it.
    pub(super) fn forget_read(&mut self, ticket: Ticket) -> Option<Left> {
        let is_it = |call: &Call| call.ticket == ticket && call.asked.is_read();
        let held = self.held.extract(is_it);
        self.let_go(&held);
        // It is in one place.
        if !held.is_empty() {
            return None;
        }
        let sent = self.sent.iter().find(|(_, (_, call))| is_it(call)).map(|(id, (to, _))| (*to, *id));
        if let Some((to, id)) = sent {
            self.take_sent(to, id);
            return Some(Left::There { node: to, id });
        }
        let is_its = |local: &Local| match local {
            Local::Read(call) => call.ticket == ticket,
            Local::Here(call) | Local::Look { call, .. } => call.ticket == ticket,
            Local::Other { ticket: other, what } => *what == READ && *other == ticket,
            Local::Write { .. } | Local::Remote { .. } | Local::RemoteLook { .. } => false,
        };
        let local = self.local.iter().find(|(_, local)| is_its(local)).map(|(ticket, _)| *ticket)?;
        self.local.remove(&local);
        Some(Left::Here(local))
    }

    /// Nobody waits for a read of another node's.
    pub(super) fn forget_remote(&mut self, from: u64, number: u64) {
        self.forgotten.insert((from, number));
    }

    /// Lets go of such reads. Gives what the node has of them.
    pub(super) fn take_forgotten(&mut self) -> Vec<replication::Ticket> {
        let forgotten = std::mem::take(&mut self.forgotten);
        if forgotten.is_empty() {
            return Vec::new();
        }
        let is_its = |local: &Local| match local {
            Local::Remote { node, id, is_read: true, .. } | Local::RemoteLook { node, id, .. } => {
                forgotten.contains(&(*node, *id))
            }
            _ => false,
        };
        let local: Vec<_> = self.local.extract_if(.., |_, local| is_its(local)).collect();
        for (_, local) in &local {
            if let Local::Remote { node, .. } | Local::RemoteLook { node, .. } = local {
                self.end_remote(*node);
            }
        }
        local.into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// A source asks for nothing more, and does not wait for what it has asked for, of which nothing is left at `until`. Gives what of it
    /// is away: at which node, and as what.
    pub(super) fn forsake(&mut self, source: Source, until: Instant) -> Vec<(u64, u64)> {
        if self.held.may_have(source) {
            self.note_forsaken(source, until);
        }
        self.held.away_of(source)
    }

    /// The same, of one that has just asked for something.
    pub(super) fn note_forsaken(&mut self, source: Source, until: Instant) {
        if self.forsaken.insert(source, until) != Some(until) {
            self.forsaken_until.push_back((until, source));
        }
    }

    /// Whether whoever asked for a call has left.
    pub(super) fn is_forsaken(&self, call: &Call) -> bool {
        !self.forsaken.is_empty() && call.asked.source().is_some_and(|it| self.forsaken.contains_key(&it))
    }

    /// A call was done: what waits behind it has its turn.
    pub(super) fn note_done(&mut self, now: Instant) {
        self.done_at = Some(now);
    }

    /// One that is new, or came back.
    pub(super) fn hold(&mut self, call: Call) {
        self.bytes += call.asked.bytes();
        self.held.push(call);
    }

    /// Takes out all that is not to be passed on.
    pub(super) fn take_staying(&mut self) -> Vec<Call> {
        let staying = self.held.extract(|call| matches!(call.asked, Asked::Write { stays: true, .. }));
        self.let_go(&staying);
        staying
    }

    /// The oldest that may go to a node; `None`: to this one.
    pub(super) fn take_held(&mut self, to: Option<u64>) -> Option<Call> {
        let call = self.held.take(to)?;
        self.bytes -= call.asked.bytes();
        Some(call)
    }

    /// What is held and was asked for before `call` by the same source; of what may have been done only with `doubtful`.
    pub(super) fn take_before(&mut self, call: &Call, doubtful: bool) -> Vec<Call> {
        let Some(source) = call.asked.source() else { return Vec::new() };
        let before = self.held.take_before(source, call.ticket, doubtful);
        self.let_go(&before);
        before
    }

    fn let_go(&mut self, calls: &[Call]) {
        self.bytes -= calls.iter().map(|call| call.asked.bytes()).sum::<usize>();
    }

    /// A call is passed on; gives the number by which it will come back.
    pub(super) fn send(&mut self, to: u64, call: Call) -> u64 {
        self.ids += 1;
        self.bytes += call.asked.bytes();
        *self.sent_bytes.entry(to).or_default() += call.asked.bytes();
        self.held.note_sent(&call, to, self.ids);
        self.sent.insert(self.ids, (to, call));
        self.ids
    }

    /// One that was passed on to `from` has come back.
    pub(super) fn take_sent(&mut self, from: u64, id: u64) -> Option<Call> {
        if self.sent.get(&id).is_none_or(|(to, _)| *to != from) {
            return None;
        }
        let (_, call) = self.sent.remove(&id)?;
        self.bytes -= call.asked.bytes();
        if let Some(bytes) = self.sent_bytes.get_mut(&from) {
            *bytes -= call.asked.bytes();
            if *bytes == 0 {
                self.sent_bytes.remove(&from);
            }
        }
        self.held.note_back(&call);
        Some(call)
    }

    /// All that was passed on to `to`, the oldest first.
    pub(super) fn sent_to(&self, to: u64) -> Vec<u64> {
        self.sent.iter().filter(|(_, it)| it.0 == to).map(|(id, _)| *id).collect()
    }

    /// It is done, and is answered when this node has applied it.
    pub(super) fn arrive(&mut self, ticket: Ticket, reply: Reply, deadline: Instant) {
        self.arriving.insert((reply.sequence, ticket), (reply, deadline));
    }

    /// The next of those that this node has applied.
    pub(super) fn arrived(&mut self, applied: u64) -> Option<(Ticket, Reply)> {
        let first = self.arriving.first_entry().filter(|it| it.key().0 <= applied)?;
        let ((_, ticket), (reply, _)) = first.remove_entry();
        Some((ticket, reply))
    }

    /// What came to its deadline: those that are done, and those of which nothing is known.
    ///
    /// - `patience`: how long what is held waits when nothing is done.
    pub(super) fn late(
        &mut self,
        patience: Duration,
        now: Instant,
    ) -> (Vec<(Ticket, Reply)>, Vec<Call>, Vec<Call>) {
        let late = self.arriving.iter().filter(|(_, it)| it.1 <= now).map(|(key, _)| *key);
        let late: Vec<(u64, Ticket)> = late.collect();
        let done =
            late.into_iter().filter_map(|key| self.arriving.remove(&key).map(|it| (key.1, it.0))).collect();
        let late: Vec<(u64, u64)> =
            self.sent.iter().filter(|(_, it)| it.1.deadline <= now).map(|(id, it)| (*id, it.0)).collect();
        let sent = late.into_iter().filter_map(|(id, to)| self.take_sent(to, id)).collect();
        while let Some((_, source)) = self.forsaken_until.pop_front_if(|(until, _)| *until <= now) {
            if self.forsaken.get(&source).is_some_and(|until| *until <= now) {
                self.forsaken.remove(&source);
            }
        }
        let is_idle = self.done_at.is_none_or(|at| at.saturating_add(patience) <= now);
        let held = self.held.take_late(is_idle, now);
        self.let_go(&held);
        (done, sent, held)
    }

    /// All that waits: nothing more comes of it.
    pub(super) fn take_all(&mut self) -> Vec<(Ticket, bool)> {
        let held = self.held.extract(|_| true);
        let mut all: Vec<(Ticket, bool)> = held.iter().map(|it| (it.ticket, it.is_doubtful)).collect();
        for (_, (_, call)) in std::mem::take(&mut self.sent) {
            all.push((call.ticket, !call.asked.is_read()));
        }
        for ((_, ticket), _) in std::mem::take(&mut self.arriving) {
            all.push((ticket, true));
        }
        self.bytes = 0;
        self.sent_bytes.clear();
        all
    }

    /// One more of another node's is here; `false`: there are too many.
    pub(super) fn admit_remote(&mut self, node: u64, most: u32) -> bool {
        let count = self.remote.entry(node).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// The link to a node is over, and with it all that came over it: nobody there waits for an answer, and the next process may have
    /// the same numbers. What is begun goes on. Gives what the node has of reads.
    pub(super) fn lose_remote(&mut self, node: u64) -> Vec<replication::Ticket> {
        self.passed.lose(node);
        self.remote.remove(&node);
        self.forgotten.extract_if((node, 0)..=(node, u64::MAX), |_| true).for_each(drop);
        let is_its = |local: &Local| match local {
            Local::Remote { node: of, .. } | Local::RemoteLook { node: of, .. } => *of == node,
            _ => false,
        };
        let local = self.local.extract_if(.., |_, local| is_its(local));
        let reads = local.filter(|(_, local)| !matches!(local, Local::Remote { is_read: false, .. }));
        reads.map(|(ticket, _)| ticket).collect()
    }

    pub(super) fn end_remote(&mut self, node: u64) {
        if let Some(count) = self.remote.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(ticket: u64, gives_up: u64, deadline: u64) -> Call {
        let at = |ms| Instant::START.saturating_add(Duration::from_millis(ms));
        let (level, is_repeatable, stays, source) = (Level::Quorum, true, false, None);
        let asked = Asked::Write { command: vec![0; 100], level, is_repeatable, stays, source };
        Call {
            ticket: Ticket(ticket),
            asked,
            gives_up: at(gives_up),
            deadline: at(deadline),
            is_doubtful: false,
        }
    }

    #[test]
    fn what_was_passed_on_comes_back_from_where_it_went_and_once() {
        let mut calls = Calls::default();
        let id = calls.send(3, call(1, 10, 20));
        assert!(calls.take_sent(2, id).is_none(), "nobody else answers for it");
        assert_eq!(calls.sent_to(3), [id]);
        assert_eq!(calls.take_sent(3, id).map(|it| it.ticket), Some(Ticket(1)));
        assert!(calls.take_sent(3, id).is_none());
        assert_eq!(calls.bytes, 0);
    }

    #[test]
    fn numbers_begin_elsewhere_in_each_process_and_do_not_come_to_their_end() {
        for (random, first) in [(0, 1), (1, 1), (77 << 1, 78), (u64::MAX, 1 << 63)] {
            let mut calls = Calls::new(random);
            let ids: Vec<u64> = (1..=3).map(|ticket| calls.send(3, call(ticket, 10, 20))).collect();
            assert_eq!(ids, [first, first + 1, first + 2]);
            assert_eq!(calls.sent_to(3), ids, "the oldest first");
        }
        let (mut before, mut after) = (Calls::new(5 << 1), Calls::new(9 << 1));
        let (old, _) = (before.send(3, call(1, 10, 20)), after.send(3, call(1, 10, 20)));
        assert!(after.take_sent(3, old).is_none(), "that is answered to the process before");
    }

    #[test]
    fn what_came_over_a_link_that_is_over_is_answered_to_nobody() {
        let mut calls = Calls::default();
        let at = |ms| Instant::START.saturating_add(Duration::from_millis(ms));
        let write = |from, id| super::super::passed::Write {
            from,
            id,
            command: Vec::new(),
            level: Level::Quorum,
            deadline: at(9),
        };
        let looking = || Box::new(Looking { token: None, look: None });
        for node in [7, 8] {
            let remote = |id, is_read| Local::Remote { node, id, is_read, until: at(9) };
            let look =
                Local::RemoteLook { node, id: 3, looking: looking(), deadline: at(9), is_granted: false };
            for (at, local) in [remote(1, false), remote(2, true), look].into_iter().enumerate() {
                assert!(calls.admit_remote(node, 4));
                calls.local.insert(replication::Ticket(node * 10 + at as u64), local);
            }
            assert!(calls.admit_remote(node, 4) && !calls.admit_remote(node, 4));
            calls.passed.push(write(node, 4));
            calls.passed.withdraw(node, 4);
            calls.forget_remote(node, 2);
        }
        calls.local.insert(replication::Ticket(1), Local::Write { ticket: Ticket(1) });
        // Of the write that is begun nothing is taken back.
        assert_eq!(calls.lose_remote(7), [71, 72].map(replication::Ticket));
        let left: Vec<u64> = calls.local.keys().map(|it| it.0).collect();
        assert_eq!(left, [1, 80, 81, 82]);
        assert!((0..4).all(|_| calls.admit_remote(7, 4)), "its places are free");
        assert!(!calls.admit_remote(8, 4), "the other's are not");
        // Its next process may have the same numbers.
        calls.passed.push(write(7, 4));
        assert_eq!(calls.passed.take(), Some((write(8, 4), true)));
        assert_eq!(calls.passed.take(), Some((write(7, 4), false)));
        calls
            .local
            .insert(replication::Ticket(73), Local::Remote { node: 7, id: 2, is_read: true, until: at(9) });
        assert_eq!(calls.take_forgotten(), [replication::Ticket(81)]);
        assert!(calls.lose_remote(9).is_empty());
    }

    #[test]
    fn what_hangs_at_one_node_does_not_keep_anything_from_another() {
        let mut calls = Calls::default();
        let asked = |len| Asked::Write {
            command: vec![0; len],
            level: Level::Quorum,
            is_repeatable: false,
            stays: false,
            source: None,
        };
        calls.send(3, Call { asked: asked(SENT_BYTES_MAX - 1), ..call(1, 10, 20) });
        assert!(calls.may_send(3));
        let id = calls.send(3, Call { asked: asked(1), ..call(2, 10, 20) });
        assert!(!calls.may_send(3) && calls.may_send(4));
        calls.take_sent(3, id);
        assert!(calls.may_send(3));
    }

    #[test]
    fn a_read_that_nobody_waits_for_keeps_no_place() {
        let mut calls = Calls::default();
        let read = |ticket| Call { asked: Asked::Read, ..call(ticket, 10, 20) };
        calls.hold(read(1));
        let id = calls.send(3, read(2));
        calls.local.insert(replication::Ticket(1), Local::Read(read(3)));
        calls.hold(call(4, 10, 20));
        let left: Vec<_> = (1..=4).map(|ticket| calls.forget_read(Ticket(ticket))).collect();
        let (here, there) = (Left::Here(replication::Ticket(1)), Left::There { node: 3, id });
        assert_eq!(left, [None, Some(there), Some(here), None]);
        // One that is another node's is known by that and its number.
        assert!(calls.admit_remote(7, 1));
        let remote = |id, is_read| Local::Remote { node: 7, id, is_read, until: Instant::START };
        calls.local.insert(replication::Ticket(2), remote(5, true));
        calls.local.insert(replication::Ticket(3), remote(6, false));
        for (from, number, found) in [(7, 6, None), (8, 5, None), (7, 5, Some(2)), (7, 5, None)] {
            calls.forget_remote(from, number);
            let forgotten = calls.take_forgotten();
            assert_eq!(forgotten.first().copied(), found.map(replication::Ticket), "{from} {number}");
        }
        assert!(calls.admit_remote(7, 1));
        calls.local.clear();
        assert!(calls.check_room(2).is_ok() && calls.local.is_empty() && calls.sent.is_empty());
        assert_eq!(calls.held.len(), 1, "what is to be written is");
    }

    #[test]
    fn who_has_left_is_known_as_long_as_something_of_it_may_be_left() {
        let mut calls = Calls::default();
        let source = Source::Client { lane: 1, client: 7 };
        let of = |ticket, own| {
            let mut call = call(ticket, 10, 20);
            if let Asked::Write { source, .. } = &mut call.asked {
                *source = own;
            }
            call
        };
        let at = |ms| Instant::START.saturating_add(Duration::from_millis(ms));
        assert!(calls.forsake(source, at(20)).is_empty());
        assert!(calls.forsaken.is_empty(), "nothing of it is here");
        let id = calls.send(3, of(1, Some(source)));
        assert!(!calls.is_forsaken(&of(1, Some(source))));
        assert_eq!(calls.forsake(source, at(20)), [(3, id)]);
        calls.take_sent(3, id);
        assert!(calls.is_forsaken(&of(1, Some(source))));
        assert!(!calls.is_forsaken(&of(1, None)));
        assert!(!calls.is_forsaken(&of(1, Some(Source::Client { lane: 2, client: 7 }))));
        calls.late(Duration::ZERO, at(19));
        assert!(calls.is_forsaken(&of(1, Some(source))));
        calls.late(Duration::ZERO, at(20));
        assert!(!calls.is_forsaken(&of(1, Some(source))) && calls.forsaken.is_empty());
    }

    #[test]
    fn what_is_not_to_be_passed_on_is_told_apart() {
        let mut calls = Calls::default();
        calls.hold(call(1, 10, 20));
        let mut own = call(2, 10, 20);
        if let Asked::Write { stays, .. } = &mut own.asked {
            *stays = true;
        }
        calls.hold(own);
        calls.hold(call(3, 10, 20));
        let staying: Vec<Ticket> = calls.take_staying().into_iter().map(|it| it.ticket).collect();
        assert_eq!((staying, calls.bytes), (vec![Ticket(2)], 200));
        assert!(calls.take_staying().is_empty());
        let held = [calls.take_held(None), calls.take_held(None)].map(|it| it.map(|it| it.ticket));
        assert_eq!((held, calls.bytes), ([Some(Ticket(1)), Some(Ticket(3))], 0));
    }

    #[test]
    fn there_is_a_bound_in_calls_and_in_bytes() {
        let mut calls = Calls::default();
        calls.hold(call(1, 10, 10));
        calls.send(3, call(2, 10, 10));
        assert!(calls.check_room(3).is_ok());
        assert_eq!(calls.check_room(2), Err(Error::Capacity { what: "forward_max", limit: 2 }));
        calls.bytes += BYTES_MAX;
        let limit = BYTES_MAX as u64;
        assert_eq!(calls.check_room(3), Err(Error::Capacity { what: "forward_bytes_max", limit }));
        assert!(calls.admit_remote(7, 1) && !calls.admit_remote(7, 1) && calls.admit_remote(8, 1));
        calls.end_remote(7);
        assert!(calls.admit_remote(7, 1));
    }

    #[test]
    fn what_is_late_is_told_apart() {
        let mut calls = Calls::default();
        calls.hold(call(1, 5, 100));
        calls.hold(call(2, 50, 100));
        calls.hold(call(3, 50, 4));
        calls.send(3, call(4, 1, 4));
        let at = |ms| Instant::START.saturating_add(Duration::from_millis(ms));
        let reply = Reply {
            outcome: None,
            sequence: 9,
            epoch: 1,
            durability: crate::store::engine::Durability::Quorum,
            nodes: 2,
            is_degraded: false,
        };
        calls.arrive(Ticket(5), reply.clone(), at(4));
        calls.arrive(Ticket(6), reply.clone(), at(90));
        let (done, sent, held) = calls.late(Duration::from_millis(50), at(6));
        assert_eq!(done, [(Ticket(5), reply)]);
        assert_eq!(sent.iter().map(|it| it.ticket.0).collect::<Vec<_>>(), [4]);
        assert_eq!(held.iter().map(|it| it.ticket.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(calls.arrived(8), None);
        assert_eq!(calls.arrived(9).map(|it| it.0), Some(Ticket(6)));
        assert_eq!(calls.take_all(), [(Ticket(2), false)]);
    }
}
