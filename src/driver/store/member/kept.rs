//! [`Kept`]: what is for other nodes and finds no room in their links yet. It waits while the link is up: a node that passed a write on
//! waits for the answer, and nobody says it again; and were entries dropped, all of them would be sent again, a long one over and over.
//!
//! Entries and words take turns, of as many bytes each, so that what is read through a slow link does not hold up the log, nor the
//! reverse. Nothing of the same kind overtakes what waits, and while something is too long for the room there is, nothing goes in its
//! place. Each node's share is bounded, in bytes and, for answers, in time: who asked waits no longer.

use std::collections::{BTreeMap, VecDeque};

use crate::peer::{Class, NodeName, NotSent};
use crate::time::Instant;

/// Entries for one node that wait, at most; one message in any case.
const ENTRIES_BYTES_MAX: usize = 32 << 20;
/// Words for one node that wait, at most; one in any case, and short ones.
const WORDS_BYTES_MAX: usize = 16 << 20;
/// So long a word is short: there are no more of them than a node may ask for.
pub(super) const SHORT: usize = 1 << 10;
/// The shortest turn of words behind entries, in bytes: an answer is short, and many are waited for.
const TURN_LEAST: usize = 64 << 10;

/// What goes over a link.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) name: NodeName,
    pub(super) to: u64,
    pub(super) class: Class,
    pub(super) what: What,
    pub(super) bytes: Vec<u8>,
}

/// What something that goes over a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A frame of the node's own.
    Frame,
    /// A call of this node's.
    Call(u64),
    /// One that no link takes.
    TooLong(u64),
    /// An answer to a call of the other node's.
    Answer(Answered),
    /// One that no link takes.
    LongAnswer(Answered),
    /// One for which there is no room, and is none soon.
    LateAnswer(Answered),
    /// How far this node is: a later one says all that an earlier one does.
    Report,
    /// Something else that members say to each other.
    Word,
}

/// The answer to a call of another node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// That one's number for it.
    pub(super) id: u64,
    /// Nothing was done.
    pub(super) is_read: bool,
    /// Nobody waits for it from then on.
    pub(super) until: Instant,
}

impl Parcel {
    /// Whether it waits for room, and in which queue.
    fn waits(&self) -> Option<Kind> {
        match self.what {
            What::Frame if self.class == Class::Normal => Some(Kind::Entries),
            What::Answer(_) | What::Report => Some(Kind::Words),
            // What clients publish comes once, or not at all.
            What::Word if self.class != Class::Bulk => Some(Kind::Words),
            _ => None,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        matches!(self.what, What::Answer(Answered { until, .. }) if until <= now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Entries,
    Words,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Kept {
    nodes: BTreeMap<u64, Waiting>,
}

/// What waits for one node.
#[derive(Debug, Default)]
struct Waiting {
    entries: Queue,
    words: Queue,
    /// Of so many bytes the words have their turn, if there are any.
    words_left: usize,
}

#[derive(Debug, Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
}

/// Where parcels go.
pub(super) trait Way {
    /// What its link says to a parcel.
    fn room(&self, parcel: &Parcel) -> Result<(), NotSent>;
    /// One is to go now.
    fn send(&mut self, parcel: Parcel);
    /// One does not go.
    fn lose(&mut self, to: u64, what: What);
}

impl Kept {
    /// Takes a parcel that is to go now.
    pub(super) fn take(&mut self, parcel: Parcel, now: Instant, way: &mut impl Way) {
        let to = parcel.to;
        let kind = parcel.waits();
        match kind {
            Some(kind) if self.nodes.contains_key(&to) || way.room(&parcel) == Err(NotSent::Full) => {
                if let Some(lost) = self.nodes.entry(to).or_default().keep(kind, parcel, now) {
                    way.lose(to, lost);
                }
            }
            _ => way.send(parcel),
        }
    }

    /// Has what waits go as far as there is room.
    pub(super) fn drain(&mut self, now: Instant, way: &mut impl Way) {
        self.nodes.retain(|_, waiting| {
            while let Some(kind) = waiting.turn() {
                let first = waiting.of(kind).parcels.front().expect("it has its turn");
                let is_over = first.is_over(now);
                if !is_over && way.room(first) == Err(NotSent::Full) {
                    return true;
                }
                let parcel = waiting.of_mut(kind).pop().expect("it has its turn");
                if is_over {
                    way.lose(parcel.to, parcel.what);
                    continue;
                }
                waiting.words_left = match kind {
                    Kind::Entries => parcel.bytes.len().max(TURN_LEAST),
                    Kind::Words => waiting.words_left.saturating_sub(parcel.bytes.len()),
                };
                way.send(parcel);
            }
            false
        });
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What has its turn, for each node.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &Parcel> {
        self.nodes.values().filter_map(|it| it.of(it.turn()?).parcels.front())
    }

    /// The link to a node is another one, or none: what waited for the one before does not go.
    pub(super) fn forget(&mut self, peer: &NodeName, mut lost: impl FnMut(u64, What)) {
        self.nodes.retain(|_, waiting| {
            for queue in [&mut waiting.entries, &mut waiting.words] {
                while queue.parcels.front().is_some_and(|it| it.name == *peer) {
                    let parcel = queue.pop().expect("there is a first");
                    lost(parcel.to, parcel.what);
                }
            }
            waiting.turn().is_some()
        });
    }
}

impl Waiting {
    /// What has its turn.
    fn turn(&self) -> Option<Kind> {
        match (self.entries.parcels.is_empty(), self.words.parcels.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Kind::Words),
            (false, true) => Some(Kind::Entries),
            (false, false) if self.words_left > 0 => Some(Kind::Words),
            (false, false) => Some(Kind::Entries),
        }
    }

    fn of(&self, kind: Kind) -> &Queue {
        match kind {
            Kind::Entries => &self.entries,
            Kind::Words => &self.words,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Queue {
        match kind {
            Kind::Entries => &mut self.entries,
            Kind::Words => &mut self.words,
        }
    }

    /// Gives what of it is lost.
    fn keep(&mut self, kind: Kind, parcel: Parcel, now: Instant) -> Option<What> {
        let queue = self.of_mut(kind);
        let bytes = parcel.bytes.len();
        let (is_short, most) = match kind {
            Kind::Entries => (false, ENTRIES_BYTES_MAX),
            Kind::Words => (bytes <= SHORT, WORDS_BYTES_MAX),
        };
        if parcel.what == What::Report
            && let Some(report) = queue.parcels.iter_mut().find(|it| it.what == What::Report)
        {
            queue.bytes = queue.bytes - report.bytes.len() + bytes;
            report.bytes = parcel.bytes;
            return None;
        }
        if kind == Kind::Words && queue.bytes + bytes > most {
            queue.retain(|it| !it.is_over(now));
        }
        if is_short || queue.parcels.is_empty() || queue.bytes + bytes <= most {
            queue.bytes += bytes;
            queue.parcels.push_back(parcel);
            return None;
        }
        match parcel.what {
            What::Answer(answer) => Some(What::LateAnswer(answer)),
            what => Some(what),
        }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.parcels.pop_front()?;
        self.bytes -= parcel.bytes.len();
        Some(parcel)
    }

    fn retain(&mut self, keep: impl Fn(&Parcel) -> bool) {
        self.parcels.retain(keep);
        self.bytes = self.parcels.iter().map(|it| it.bytes.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A link with so much room.
    #[derive(Default)]
    struct Pipe {
        room: usize,
        sent: Vec<(What, usize)>,
        lost: Vec<What>,
    }

    impl Way for Pipe {
        fn room(&self, parcel: &Parcel) -> Result<(), NotSent> {
            if parcel.bytes.len() <= self.room { Ok(()) } else { Err(NotSent::Full) }
        }

        fn send(&mut self, parcel: Parcel) {
            match self.room.checked_sub(parcel.bytes.len()) {
                Some(room) => {
                    self.room = room;
                    self.sent.push((parcel.what, parcel.bytes.len()));
                }
                None => self.lost.push(parcel.what),
            }
        }

        fn lose(&mut self, _: u64, what: What) {
            self.lost.push(what);
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::START.saturating_add(Duration::from_millis(millis))
    }

    fn name(text: &str) -> NodeName {
        text.parse().expect("it is a name")
    }

    fn parcel(what: What, bytes: usize) -> Parcel {
        Parcel { name: name("n2"), to: 2, class: Class::Normal, what, bytes: vec![0; bytes] }
    }

    fn answer(id: u64, until: u64) -> What {
        What::Answer(Answered { id, is_read: true, until: at(until) })
    }

    #[test]
    fn entries_and_words_take_turns_and_nothing_goes_in_the_place_of_another() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe { room: 10, ..Pipe::default() });
        kept.take(parcel(What::Frame, 10), at(0), &mut pipe);
        let (first, second, third) = (100_000, 30, 40);
        for bytes in [first, second, third] {
            kept.take(parcel(What::Frame, bytes), at(0), &mut pipe);
        }
        // Of one turn as many bytes as the entries had, and then as many as the least turn has.
        for bytes in [90_000, 20_000, 50_000, 20_000, 7] {
            kept.take(parcel(What::Word, bytes), at(0), &mut pipe);
        }
        pipe.room = first - 1;
        kept.take(parcel(What::Word, 8), at(0), &mut pipe);
        kept.drain(at(0), &mut pipe);
        assert_eq!(pipe.sent, [(What::Frame, 10)], "the first of those that wait has no room");
        pipe.room = first + 90_000 + 7;
        kept.drain(at(0), &mut pipe);
        pipe.room = 1 << 20;
        kept.drain(at(0), &mut pipe);
        let (frame, word) = (|bytes| (What::Frame, bytes), |bytes| (What::Word, bytes));
        let rest = [
            [frame(first), word(90_000), word(20_000)],
            [frame(second), word(50_000), word(20_000)],
            [frame(third), word(7), word(8)],
        ];
        assert_eq!(pipe.sent[1..], rest.concat());
        assert!(pipe.lost.is_empty() && kept.nodes.is_empty());
        // To another node nothing waited.
        kept.take(Parcel { to: 3, ..parcel(What::Frame, 1) }, at(0), &mut pipe);
        assert_eq!(pipe.sent.last(), Some(&frame(1)));
    }

    #[test]
    fn what_clients_publish_and_calls_do_not_wait() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe::default());
        for _ in 0..1_000 {
            kept.take(Parcel { class: Class::Bulk, ..parcel(What::Word, 100_000) }, at(0), &mut pipe);
        }
        kept.take(parcel(What::Call(7), 10), at(0), &mut pipe);
        assert_eq!(pipe.lost.len(), 1_001);
        pipe.room = 10;
        kept.take(parcel(What::Frame, 10), at(0), &mut pipe);
        assert_eq!(pipe.sent, [(What::Frame, 10)], "nothing waits that it would stand behind");
    }

    #[test]
    fn an_answer_that_nobody_waits_for_does_not_go() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe::default());
        for id in 1..=3 {
            kept.take(parcel(answer(id, 10 * id), 2_000), at(0), &mut pipe);
        }
        pipe.room = 1 << 20;
        kept.drain(at(20), &mut pipe);
        assert_eq!(pipe.sent, [(answer(3, 30), 2_000)]);
        assert_eq!(pipe.lost, [answer(1, 10), answer(2, 20)]);
    }

    #[test]
    fn each_kind_has_its_bound_for_each_node() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe::default());
        let half = WORDS_BYTES_MAX / 2;
        kept.take(parcel(answer(1, 10), half), at(0), &mut pipe);
        kept.take(parcel(answer(2, 90), half), at(0), &mut pipe);
        assert!(pipe.lost.is_empty());
        let what = Answered { id: 3, is_read: true, until: at(90) };
        kept.take(parcel(What::Answer(what), SHORT + 1), at(9), &mut pipe);
        assert_eq!(pipe.lost, [What::LateAnswer(what)]);
        // A short one has room, and what nobody waits for makes some.
        kept.take(parcel(answer(4, 90), SHORT), at(9), &mut pipe);
        kept.take(parcel(answer(5, 90), half - SHORT), at(10), &mut pipe);
        assert_eq!(pipe.lost.len(), 1);
        for _ in 0..2 {
            kept.take(parcel(What::Frame, ENTRIES_BYTES_MAX / 2), at(10), &mut pipe);
        }
        kept.take(parcel(What::Frame, 1), at(10), &mut pipe);
        assert_eq!(pipe.lost[1..], [What::Frame]);
        assert_eq!(kept.nodes[&2].words.bytes, WORDS_BYTES_MAX);
        assert_eq!(kept.nodes[&2].entries.bytes, ENTRIES_BYTES_MAX);
        // One that is longer than all there is waits alone.
        kept.take(Parcel { to: 3, ..parcel(What::Frame, ENTRIES_BYTES_MAX + 1) }, at(10), &mut pipe);
        kept.take(Parcel { to: 3, ..parcel(What::Frame, 1) }, at(10), &mut pipe);
        assert_eq!(pipe.lost[2..], [What::Frame]);
        assert_eq!(kept.nodes[&3].entries.parcels.len(), 1);
    }

    #[test]
    fn of_reports_the_last_one_waits() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe::default());
        kept.take(parcel(What::Word, 3), at(0), &mut pipe);
        (10..20).for_each(|bytes| kept.take(parcel(What::Report, bytes), at(0), &mut pipe));
        assert_eq!(kept.nodes[&2].words.bytes, 3 + 19);
        pipe.room = 100;
        kept.drain(at(0), &mut pipe);
        assert_eq!(pipe.sent, [(What::Word, 3), (What::Report, 19)]);
    }

    #[test]
    fn nothing_goes_over_the_next_link() {
        let (mut kept, mut pipe) = (Kept::default(), Pipe::default());
        kept.take(parcel(What::Frame, 3), at(0), &mut pipe);
        kept.take(parcel(answer(1, 9), 3), at(0), &mut pipe);
        let other = name("n3");
        kept.take(Parcel { to: 3, name: other, ..parcel(What::Frame, 4) }, at(0), &mut pipe);
        let mut lost = Vec::new();
        kept.forget(&name("n2"), |to, what| lost.push((to, what)));
        assert_eq!(lost, [(2, What::Frame), (2, answer(1, 9))]);
        pipe.room = 100;
        kept.drain(at(0), &mut pipe);
        assert_eq!(pipe.sent, [(What::Frame, 4)]);
    }
}
