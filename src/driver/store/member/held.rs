//! [`Held`]: calls that wait to be sent, those of each [`Source`] in its order.
//!
//! A source is owed that what it asks for is done in the order in which it was asked for. What goes to one node goes over one
//! stream and is done in that order, as long as none of it comes back. So a source's calls go one behind the other to one
//! node. What has come back, or is to go to another node than the one before it, waits until nothing of its source is away.
//! When a younger call was done meanwhile, the older ones that came back are to be done no more: [`Held::take_before`].

use std::collections::BTreeMap;

use super::super::ground::Source;
use super::calls::Call;
use crate::store::engine::Ticket;
use crate::time::Instant;

/// See the module. Tickets count up, so they are the order in which calls were made.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// To be sent, as far as is known.
    ready: BTreeMap<Ticket, Call>,
    /// What waits until nothing of its source is away. Something of it is.
    behind: BTreeMap<(Source, Ticket), Call>,
    /// What is away, with the node that it is at, and the number by which it was passed on.
    away: BTreeMap<(Source, Ticket), (u64, u64)>,
}

fn all_of(source: Source) -> std::ops::RangeInclusive<(Source, Ticket)> {
    (source, Ticket(0))..=(source, Ticket(u64::MAX))
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.behind.len()
    }

    /// Whether there is nothing that [`Held::take`] might give.
    pub(super) fn is_settled(&self) -> bool {
        self.ready.is_empty()
    }

    /// One more, or one that came back; that has its place by its ticket.
    pub(super) fn push(&mut self, call: Call) {
        self.ready.insert(call.ticket, call);
    }

    /// The oldest that may go to a node; `None`: to this one.
    pub(super) fn take(&mut self, to: Option<u64>) -> Option<Call> {
        while let Some((ticket, call)) = self.ready.pop_first() {
            match call.asked.source() {
                Some(source) if !self.may_go(source, ticket, to) => {
                    self.behind.insert((source, ticket), call);
                }
                _ => return Some(call),
            }
        }
        None
    }

    fn may_go(&self, source: Source, ticket: Ticket, to: Option<u64>) -> bool {
        let last = self.away.range(all_of(source)).next_back();
        let goes_on = last.is_none_or(|(&(_, before), &(at, _))| before < ticket && to == Some(at));
        goes_on && self.behind.range(all_of(source)).next().is_none()
    }

    /// Whether something waits, or is away, that comes before what this source asks for now.
    pub(super) fn has_before(&self, source: Source) -> bool {
        !self.ready.is_empty() || self.away.range(all_of(source)).next().is_some()
    }

    /// A call went to a node, as `id`.
    pub(super) fn note_sent(&mut self, call: &Call, to: u64, id: u64) {
        if let Some(source) = call.asked.source() {
            self.away.insert((source, call.ticket), (to, id));
        }
    }

    /// Whether something of a source may wait here or be away.
    pub(super) fn may_have(&self, source: Source) -> bool {
        !self.ready.is_empty()
            || self.behind.range(all_of(source)).next().is_some()
            || self.away.range(all_of(source)).next().is_some()
    }

    /// What of a source is away: the node that it is at, and the number by which it was passed on.
    pub(super) fn away_of(&self, source: Source) -> Vec<(u64, u64)> {
        self.away.range(all_of(source)).map(|(_, it)| *it).collect()
    }

    /// A call is away no more.
    pub(super) fn note_back(&mut self, call: &Call) {
        let Some(source) = call.asked.source() else { return };
        self.away.remove(&(source, call.ticket));
        if self.away.range(all_of(source)).next().is_none() {
            let waiting = self.behind.extract_if(all_of(source), |_, _| true);
            self.ready.extend(waiting.map(|((_, ticket), call)| (ticket, call)));
        }
    }

    /// Takes out what a source asked for before `ticket`, oldest first; of what may have been done before only with
    /// `doubtful`.
    pub(super) fn take_before(&mut self, source: Source, ticket: Ticket, doubtful: bool) -> Vec<Call> {
        let is_meant = |call: &Call| doubtful || !call.is_doubtful;
        let ready =
            self.ready.extract_if(..ticket, |_, call| call.asked.source() == Some(source) && is_meant(call));
        let mut before: Vec<Call> = ready.map(|(_, call)| call).collect();
        let behind = self.behind.extract_if((source, Ticket(0))..(source, ticket), |_, call| is_meant(call));
        before.extend(behind.map(|(_, call)| call));
        before.sort_by_key(|call| call.ticket);
        before
    }

    /// Takes out those that fulfil something, oldest first.
    pub(super) fn extract(&mut self, is_meant: impl Fn(&Call) -> bool) -> Vec<Call> {
        let mut found: Vec<Call> =
            self.ready.extract_if(.., |_, call| is_meant(call)).map(|(_, call)| call).collect();
        found.extend(self.behind.extract_if(.., |_, call| is_meant(call)).map(|(_, call)| call));
        found.sort_by_key(|call| call.ticket);
        found
    }

    /// Takes out those for which nobody waits any more.
    ///
    /// - `is_idle`: nothing was done for a while, so there is no use in waiting for one's turn.
    pub(super) fn take_late(&mut self, is_idle: bool, now: Instant) -> Vec<Call> {
        self.extract(|call| call.deadline <= now || is_idle && call.gives_up <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::calls::Asked;
    use super::*;
    use crate::replication::Level;

    const SOURCE: Source = Source::Queue(7);

    fn call(ticket: u64, source: Option<Source>) -> Call {
        let (level, is_repeatable, stays) = (Level::Quorum, false, false);
        let asked = Asked::Write { command: vec![0; 10], level, is_repeatable, stays, source };
        let at = Instant::START;
        Call { ticket: Ticket(ticket), asked, gives_up: at, deadline: at, is_doubtful: false }
    }

    fn of(tickets: impl IntoIterator<Item = u64>) -> Held {
        let mut held = Held::default();
        tickets.into_iter().for_each(|ticket| held.push(call(ticket, Some(SOURCE))));
        held
    }

    /// Sends all that may go.
    fn send(held: &mut Held, to: u64) -> Vec<u64> {
        let sent = std::iter::from_fn(|| {
            let call = held.take(Some(to))?;
            held.note_sent(&call, to, call.ticket.0);
            Some(call.ticket.0)
        });
        sent.collect()
    }

    fn come_back(held: &mut Held, tickets: impl IntoIterator<Item = u64>) {
        for ticket in tickets {
            held.note_back(&call(ticket, Some(SOURCE)));
            held.push(call(ticket, Some(SOURCE)));
        }
    }

    #[test]
    fn what_comes_back_keeps_its_order_whichever_comes_first() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut held = of(1..=3);
            assert_eq!(send(&mut held, 5), [1, 2, 3]);
            held.push(call(4, Some(SOURCE)));
            for ticket in order {
                assert!(send(&mut held, 6).is_empty(), "{order:?}: something is away");
                come_back(&mut held, [ticket]);
            }
            assert_eq!(send(&mut held, 6), [1, 2, 3, 4], "{order:?}");
        }
    }

    #[test]
    fn what_is_younger_follows_to_the_same_node_and_waits_for_another() {
        let mut held = of(1..=2);
        assert_eq!(send(&mut held, 5), [1, 2]);
        held.push(call(3, Some(SOURCE)));
        assert_eq!(send(&mut held, 5), [3]);
        assert_eq!(held.away_of(SOURCE), [(5, 1), (5, 2), (5, 3)]);
        assert!(held.may_have(SOURCE) && !held.may_have(Source::Queue(8)));
        held.push(call(4, Some(SOURCE)));
        held.push(call(5, Some(Source::Queue(8))));
        held.push(call(6, None));
        assert!(held.has_before(SOURCE) && held.has_before(Source::Queue(9)));
        assert_eq!(held.take(None).map(|it| it.ticket.0), Some(5), "of others nothing is away");
        assert_eq!(send(&mut held, 6), [6]);
        assert!(held.has_before(SOURCE) && !held.has_before(Source::Queue(9)) && held.is_settled());
        for ticket in [1, 2] {
            held.note_back(&call(ticket, Some(SOURCE)));
        }
        assert!(held.is_settled());
        held.note_back(&call(3, Some(SOURCE)));
        assert_eq!((held.take(None).map(|it| it.ticket.0), held.len()), (Some(4), 0));
    }

    #[test]
    fn what_is_older_than_what_was_done_is_taken_out() {
        let mut held = of(1..=4);
        assert_eq!(send(&mut held, 5), [1, 2, 3, 4]);
        come_back(&mut held, [2]);
        let doubtful = Call { is_doubtful: true, ..call(1, Some(SOURCE)) };
        held.note_back(&doubtful);
        held.push(doubtful);
        let tickets = |calls: Vec<Call>| calls.iter().map(|it| it.ticket.0).collect::<Vec<_>>();
        assert_eq!(tickets(held.take_before(SOURCE, Ticket(2), false)), [] as [u64; 0]);
        assert_eq!(tickets(held.take_before(SOURCE, Ticket(3), false)), [2]);
        // Whether the others of the source are back makes no difference.
        for ticket in [3, 4] {
            held.note_back(&call(ticket, Some(SOURCE)));
        }
        assert_eq!(tickets(held.take_before(Source::Queue(8), Ticket(9), true)), [] as [u64; 0]);
        assert_eq!(tickets(held.take_before(SOURCE, Ticket(3), true)), [1]);
        assert_eq!(held.len(), 0);
    }

    /// Nodes that do or refuse what comes to them, each in its order, and of which now one and now the other is primary.
    #[test]
    fn whatever_is_refused_what_is_done_is_done_in_order() {
        let (mut done_in_all, mut given_up_in_all) = (0, 0);
        for seed in 0..200 {
            let mut rng = crate::rng::Rng::new(seed);
            let mut held = Held::default();
            let (mut asked, mut to) = (0, 0);
            // What is on its way to each node, and what of that node has to say, and whether it was done.
            let mut there = [const { VecDeque::new() }; 2];
            let mut back = [const { VecDeque::new() }; 2];
            let (mut done, mut answered) = (Vec::new(), 0);
            for step in 0..400 {
                match rng.below(6) {
                    0 if step < 200 => {
                        asked += 1;
                        held.push(call(asked, Some(SOURCE)));
                    }
                    1 if rng.below(5) == 0 => to = 1 - to,
                    2 => send(&mut held, to).into_iter().for_each(|it| there[to as usize].push_back(it)),
                    3 | 4 => {
                        let node = rng.below(2);
                        let Some(ticket) = there[node as usize].pop_front() else { continue };
                        // Also one that is primary refuses now and then.
                        let is_done = node == to && rng.below(4) > 0;
                        if is_done {
                            done.push(ticket);
                        }
                        back[node as usize].push_back((ticket, is_done));
                    }
                    _ => {
                        let Some((ticket, is_done)) = back[rng.below(2) as usize].pop_front() else {
                            continue;
                        };
                        let call = call(ticket, Some(SOURCE));
                        held.note_back(&call);
                        if is_done {
                            let given_up = held.take_before(SOURCE, Ticket(ticket), true).len();
                            given_up_in_all += given_up;
                            answered += 1 + given_up as u64;
                        } else {
                            held.push(call);
                        }
                    }
                }
            }
            assert!(done.is_sorted(), "seed {seed}: {done:?}");
            let away = there.iter().map(VecDeque::len).chain(back.iter().map(VecDeque::len)).sum::<usize>();
            assert_eq!(asked, answered + (held.len() + away) as u64, "seed {seed}: each is somewhere");
            done_in_all += done.len();
        }
        assert!(done_in_all > 2_000 && given_up_in_all > 100, "{done_in_all} {given_up_in_all}");
    }

    #[test]
    fn what_belongs_to_nobody_goes_as_it_can() {
        let mut held = Held::default();
        for ticket in [2, 1] {
            held.push(call(ticket, None));
        }
        assert_eq!(send(&mut held, 5), [1, 2]);
        held.push(call(3, None));
        assert_eq!(send(&mut held, 6), [3]);
        held.push(call(4, None));
        let later = Instant::START.saturating_add(std::time::Duration::from_millis(5));
        held.push(Call { deadline: later, ..call(5, None) });
        assert_eq!(held.take_late(false, Instant::START).len(), 1);
        assert_eq!(held.take_late(true, Instant::START).len(), 1);
    }
}
