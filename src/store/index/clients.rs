//! What is remembered of clients that number their requests, so that a retry gets its first answer.
//!
//! What a client's cell has, all numbers varints:
//!
//! ```text
//! sequence of the client's last request
//! count
//! count times, the numbers rising:  number, sequence, length of the answer, answer
//! ```

use std::ops::ControlFlow;

use super::command::RequestId;
use super::entry::INLINE_MAX;
use super::outcome::{Answer, Outcome, Refusal};
use super::state::{CLIENT_MEMORY, Part, State};
use super::tree::Cell;
use super::wire::{put_bytes, put_varint, take_bytes, take_varint};
use super::writer::Writer;

/// How many answers are remembered of a client: those to its highest numbers, this many from the highest down.
pub const WINDOW: u64 = 32;

/// What a request is to the index.
pub(super) enum Fate {
    New,
    Known(Outcome),
}

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// It was done: what its retry is answered.
    Done(Outcome),
    /// It was not done: its retry would be. It was refused, has not come yet, or never does.
    NotDone,
    /// Whether it was done is not known any more.
    Forgotten {
        /// The lowest number of this client's that is remembered, which may be one that was not done; 0: nothing is remembered
        /// of the client, and it may have been forgotten.
        lowest: u64,
    },
}

struct Remembered<'a> {
    last: u64,
    /// Number, sequence, answer.
    answers: Vec<(u64, u64, &'a [u8])>,
}

pub(super) fn fate(state: &State, request: &RequestId) -> Fate {
    let Some(cell) = state.clients.get(&request.client) else { return Fate::New };
    let remembered = Remembered::of(cell);
    let known = remembered.answers.binary_search_by_key(&request.number, |(number, ..)| *number);
    if let Ok(at) = known {
        let (_, sequence, mut answer) = remembered.answers[at];
        let answer = Answer::decode(&mut answer).expect("an answer is written by us");
        return Fate::Known(Outcome { sequence, is_repeated: true, answer: Ok(answer) });
    }
    let lowest = remembered.answers.last().map_or(0, |(highest, ..)| lowest(*highest));
    if request.number < lowest {
        let answer = Err(Refusal::StaleRequest { lowest });
        return Fate::Known(Outcome { sequence: state.sequence, is_repeated: false, answer });
    }
    Fate::New
}

pub(super) fn recall(state: &State, request: &RequestId) -> Recalled {
    match fate(state, request) {
        Fate::Known(outcome) if outcome.is_repeated => Recalled::Done(outcome),
        Fate::Known(Outcome { answer: Err(Refusal::StaleRequest { lowest }), .. }) => {
            Recalled::Forgotten { lowest }
        }
        _ if !state.may_have_forgotten => Recalled::NotDone,
        _ => {
            // One that was forgotten and has asked again since is known by what it asked from then on.
            let cell = state.clients.get(&request.client);
            let lowest = cell.map_or(0, |cell| Remembered::of(cell).first());
            match lowest == 0 || request.number < lowest {
                true => Recalled::Forgotten { lowest },
                false => Recalled::NotDone,
            }
        }
    }
}

/// Whether a state says of itself that there may have been clients that are remembered no more: there are as many as may be, or
/// they take half of what they may. It says so no more once the limits were raised, or one that alone took more than half was
/// forgotten; hence [`State::may_have_forgotten`], which stays.
pub(super) fn shows_forgetting(state: &State) -> bool {
    let settings = &state.settings;
    state.clients.len() >= settings.clients_max || state.client_bytes >= settings.client_bytes_max / 2
}

/// Whether `request` gets an answer without being done.
pub(super) fn is_known(state: &State, request: &RequestId) -> bool {
    matches!(fate(state, request), Fate::Known(_))
}

/// The most that an answer has beside it: three numbers.
const NUMBERS_MAX: i64 = 25;

/// Whether a client may be forgotten for so many more requests, which so many bytes at most are remembered of.
pub(super) fn may_forget(state: &State, requests: u64, bytes: u64) -> bool {
    state.clients.len().saturating_add(requests) > state.settings.clients_max
        || state.client_bytes.saturating_add(bytes) > state.settings.client_bytes_max
}

/// By how much the memory may grow at most, beside the answer, when an answer is remembered: three numbers with it, two in a new cell.
pub(super) const ADDED_MAX: i64 = CLIENT_MEMORY as i64 + 40;

/// By how much the memory grows at most when an answer of no more bytes than this is remembered: less what is not remembered any more
/// then.
pub(super) fn growth(state: &State, request: &RequestId, answer: u64) -> i64 {
    let added = answer as i64 + 20;
    let cell = state.clients.get(&request.client);
    let mut memory = added + CLIENT_MEMORY as i64 + 20;
    // Who is forgotten for sure is who would be however short the answer is.
    let mut least = 0;
    if let Some(cell) = cell {
        let answers = Remembered::of(cell).answers;
        let highest = answers.last().map_or(0, |(highest, ..)| *highest).max(request.number);
        let dropped = answers.iter().take_while(|(number, ..)| *number < lowest(highest));
        let (count, bytes) =
            dropped.fold((0, 0), |(count, bytes), (.., answer)| (count + 1, bytes + answer.len() as i64));
        memory = added - bytes - 3 * count;
        least -= bytes + NUMBERS_MAX * count;
    }
    let mut clients = state.clients.len() + u64::from(cell.is_none());
    let mut left = state.client_bytes.saturating_add_signed(least);
    let (clients_max, bytes_max) = (state.settings.clients_max, state.settings.client_bytes_max);
    let _ = state.client_order.scan(b"", None, false, |_, place| {
        if clients <= 1 || (clients <= clients_max && left <= bytes_max) {
            return ControlFlow::Break(());
        }
        if place.small != request.client {
            let gone = len(state.clients.get(place.small).expect("each place has its client"));
            (clients, left) = (clients - 1, left.saturating_sub(gone));
            memory -= (CLIENT_MEMORY + gone) as i64;
        }
        ControlFlow::Continue(())
    });
    memory
}

/// Remembers what was answered to `request`.
pub(super) fn remember(writer: &mut Writer<'_>, request: &RequestId, answer: &Answer) {
    let mut encoded = Vec::new();
    answer.encode(&mut encoded);
    let old = writer.state.clients.get(&request.client);
    let old_len = old.map(len);
    let mut remembered = old.map_or(Remembered { last: 0, answers: Vec::new() }, Remembered::of);
    let last = remembered.last;
    remembered.last = writer.sequence;
    let at = remembered.answers.partition_point(|(number, ..)| *number < request.number);
    remembered.answers.insert(at, (request.number, writer.sequence, &encoded));
    let highest = remembered.answers.last().map_or(0, |(highest, ..)| *highest);
    remembered.answers.retain(|(number, ..)| *number >= lowest(highest));
    let packed = remembered.pack();
    let new_len = packed.len() as u64;
    put(writer, &request.client, Some(&packed));
    if let Some(old_len) = old_len {
        writer.state.memory -= CLIENT_MEMORY + old_len;
        writer.state.client_bytes -= old_len;
        writer.state.client_order.remove(&last.to_be_bytes(), &mut writer.scratch.tree);
    }
    writer.state.memory += CLIENT_MEMORY + new_len;
    writer.state.client_bytes += new_len;
    let order = writer.sequence.to_be_bytes();
    writer.state.client_order.put(&order, Cell::small(&request.client), &mut writer.scratch.tree);
}

/// Forgets those who asked longest ago while there are too many, or too much of them; never the last one. To be called behind
/// each command.
pub(super) fn enforce(writer: &mut Writer<'_>) {
    let settings = writer.state.settings;
    // Who is forgotten below is one of too many, or of those that take too much.
    writer.state.may_have_forgotten |= shows_forgetting(writer.state);
    while writer.state.clients.len() > 1
        && (writer.state.clients.len() > settings.clients_max
            || writer.state.client_bytes > settings.client_bytes_max)
    {
        let (order, cell) = writer.state.client_order.first_from(b"").expect("each client has its place");
        let client = cell.small.to_vec();
        let gone = len(writer.state.clients.get(&client).expect("each place has its client"));
        put(writer, &client, None);
        writer.state.memory -= CLIENT_MEMORY + gone;
        writer.state.client_bytes -= gone;
        writer.state.client_order.remove(&order, &mut writer.scratch.tree);
    }
}

/// The sequence of the client's last request and how long the cell is, if it is one.
pub(super) fn check(cell: Cell<'_>) -> Option<(u64, u64)> {
    let remembered = Remembered::parse(cell)?;
    let is_rising = remembered.answers.is_sorted_by(|(a, ..), (b, ..)| a < b);
    let (lowest_number, highest) = (remembered.answers.first()?.0, remembered.answers.last()?.0);
    let is_right = remembered.answers.iter().all(|(_, sequence, answer)| {
        let mut rest = *answer;
        *sequence <= remembered.last && Answer::decode(&mut rest).is_some() && rest.is_empty()
    });
    (is_rising && is_right && lowest_number >= lowest(highest)).then(|| (remembered.last, len(cell)))
}

fn put(writer: &mut Writer<'_>, client: &[u8], packed: Option<&[u8]>) {
    let large = packed.filter(|packed| packed.len() > INLINE_MAX).map(std::sync::Arc::from);
    let cell = packed.map(|packed| match &large {
        Some(large) => Cell { small: b"", large: Some(large) },
        None => Cell::small(packed),
    });
    writer.put_hashed(Part::Client, |state| &mut state.clients, client, cell);
}

fn lowest(highest: u64) -> u64 {
    highest.saturating_sub(WINDOW - 1)
}

fn len(cell: Cell<'_>) -> u64 {
    cell.large.map_or(cell.small.len(), |large| large.len()) as u64
}

impl<'a> Remembered<'a> {
    fn parse(cell: Cell<'a>) -> Option<Self> {
        let mut bytes = match cell.large {
            Some(large) if cell.small.is_empty() && large.len() > INLINE_MAX => &large[..],
            Some(_) => return None,
            None => cell.small,
        };
        let last = take_varint(&mut bytes)?;
        let mut answers = Vec::new();
        for _ in 0..take_varint(&mut bytes)? {
            answers.push((take_varint(&mut bytes)?, take_varint(&mut bytes)?, take_bytes(&mut bytes)?));
        }
        bytes.is_empty().then_some(Self { last, answers })
    }

    /// The lowest number of which the answer is remembered.
    fn first(&self) -> u64 {
        self.answers.first().map_or(0, |(number, ..)| *number)
    }

    fn of(cell: Cell<'a>) -> Self {
        Self::parse(cell).expect("what is remembered is written by us")
    }

    fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        put_varint(&mut packed, self.last);
        put_varint(&mut packed, self.answers.len() as u64);
        for (number, sequence, answer) in &self.answers {
            put_varint(&mut packed, *number);
            put_varint(&mut packed, *sequence);
            put_bytes(&mut packed, answer);
        }
        packed
    }
}
