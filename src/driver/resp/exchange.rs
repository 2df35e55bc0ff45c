//! [`Exchange`]: who has subscribed to what on which loop, messages on their way from one loop to another, and what one
//! asks of the clients of the others.
//!
//! A subscription is here before it is answered, and who publishes counts and hands over under the same lock: so the
//! number that `PUBLISH` answers is that of the subscribers there were, wherever they are connected. Which patterns the
//! channel fits is found out before, without the lock, since nobody knows how long that takes. The lock is held for no
//! longer than counting takes and with no other; while nobody has subscribed to anything it is not taken at all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::driver::resp::shared::SharedClients;
use crate::driver::shared::Shared;
use crate::driver::worker::Message;
use crate::resp::{Counters, Part, Peers, Question, matches};
use crate::sync::AtomicUsize;

/// Messages on their way to one loop at most, and their bytes; beyond, they are lost to its subscribers, and not counted as
/// received.
const MESSAGES_MAX: usize = 65_536;
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Names taken out under the lock at once.
const PAGE: usize = 256;

pub(super) type Sent = (Arc<[u8]>, Arc<[u8]>);

/// What one loop has for another.
#[derive(Default)]
pub(super) struct Mail {
    /// Messages of channels.
    pub(super) sent: VecDeque<Sent>,
    sent_bytes: usize,
    /// What is asked of its clients: the loop that asks, its number there, and what it is.
    pub(super) questions: Vec<(usize, u64, Arc<Question>)>,
    /// What others have answered, by number.
    pub(super) parts: Vec<(u64, Part)>,
    /// The classes of notifications, if others have set them anew.
    pub(super) classes: Option<Vec<u8>>,
}

impl Mail {
    /// Takes a message, if there is room for it.
    fn send(&mut self, channel: &Arc<[u8]>, payload: &Arc<[u8]>) -> bool {
        let bytes = self.sent_bytes + channel.len() + payload.len();
        // One that is longer than that alone has its turn all the same.
        let has_room = bytes <= MESSAGE_BYTES_MAX || self.sent.is_empty();
        if self.sent.len() >= MESSAGES_MAX || !has_room {
            return false;
        }
        self.sent_bytes = bytes;
        self.sent.push_back((Arc::clone(channel), Arc::clone(payload)));
        true
    }
}

pub(crate) struct Exchange {
    state: Mutex<State>,
    /// Channels and patterns that somebody has subscribed to.
    names: AtomicUsize,
}

/// For each name the subscribers of each loop.
type Names = BTreeMap<Arc<[u8]>, Box<[u64]>>;

struct State {
    channels: Names,
    patterns: Names,
    /// To each loop.
    mail: Box<[Mail]>,
    /// Loops that are no more: nothing is asked of them.
    gone: Box<[bool]>,
    /// What `notify-keyspace-events` was set to, and how often.
    classes: Vec<u8>,
    changes: u64,
    /// Up to which change each loop has it.
    seen: Box<[u64]>,
}

impl Exchange {
    pub(super) fn new(workers: usize) -> Self {
        let state = State {
            channels: BTreeMap::new(),
            patterns: BTreeMap::new(),
            mail: (0..workers).map(|_| Mail::default()).collect(),
            gone: vec![false; workers].into(),
            classes: Vec::new(),
            changes: 0,
            seen: vec![0; workers].into(),
        };
        Self { state: Mutex::new(state), names: AtomicUsize::new(0) }
    }

    /// Shows `then` each of the names, those that are there all the time. The lock is not held meanwhile.
    fn each(&self, names: impl Fn(&State) -> &Names, mut then: impl FnMut(Arc<[u8]>)) {
        let mut after: Option<Arc<[u8]>> = None;
        loop {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let page: Vec<Arc<[u8]>> = {
                let state = self.state.lock();
                let rest = names(&state).range::<[u8], _>((from, Bound::Unbounded));
                rest.take(PAGE).map(|(name, _)| Arc::clone(name)).collect()
            };
            let is_last = page.len() < PAGE;
            after = page.last().cloned();
            page.into_iter().for_each(&mut then);
            if is_last {
                return;
            }
        }
    }

    /// What others have for `worker`.
    pub(super) fn take(&self, worker: usize) -> Mail {
        let mut state = self.state.lock();
        let changes = state.changes;
        let is_changed = std::mem::replace(&mut state.seen[worker], changes) != changes;
        let mut mail = std::mem::take(&mut state.mail[worker]);
        mail.classes = is_changed.then(|| state.classes.clone());
        mail
    }
}

/// The other loops, for the hub of one.
pub(super) struct Others {
    pub(super) worker: usize,
    pub(super) clients: Arc<SharedClients>,
    pub(super) shared: Arc<Shared>,
}

impl Others {
    fn ring(&self, worker: usize) {
        if self.clients.begin_tell(worker) {
            // The mailbox has a place for it, and refuses only when the loop is gone.
            let _ = self.shared.senders[worker].try_send(Message::Store);
        }
    }
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Peers for Others {
    fn subscribed(&mut self, name: &Arc<[u8]>, is_pattern: bool, count: u64) {
        let exchange = &self.clients.exchange;
        let mut state = exchange.state.lock();
        let workers = state.mail.len();
        let names = if is_pattern { &mut state.patterns } else { &mut state.channels };
        if let Some(counts) = names.get_mut(name) {
            counts[self.worker] = count;
            if counts.iter().all(|count| *count == 0) {
                names.remove(name);
                exchange.names.fetch_sub(1, Ordering::SeqCst);
            }
        } else if count > 0 {
            let mut counts = vec![0; workers].into_boxed_slice();
            counts[self.worker] = count;
            names.insert(Arc::clone(name), counts);
            exchange.names.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn publish(&mut self, channel: &Arc<[u8]>, payload: &Arc<[u8]>) -> u64 {
        let exchange = &self.clients.exchange;
        if exchange.names.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        let mut patterns = Vec::new();
        exchange.each(
            |state| &state.patterns,
            |pattern| {
                if matches(&pattern, channel) {
                    patterns.push(pattern);
                }
            },
        );
        let mut state = exchange.state.lock();
        let state = &mut *state;
        let mut counts = vec![0; state.mail.len()];
        let of_channel = state.channels.get(&**channel).into_iter();
        let of_patterns = patterns.iter().filter_map(|pattern| state.patterns.get(pattern));
        for subscribers in of_channel.chain(of_patterns) {
            counts.iter_mut().zip(subscribers).for_each(|(count, more)| *count += more);
        }
        counts[self.worker] = 0;
        let mut sum = 0;
        for (worker, count) in counts.into_iter().enumerate() {
            if count > 0 && state.mail[worker].send(channel, payload) {
                sum += count;
                self.ring(worker);
            }
        }
        sum
    }

    fn subscribers_of(&self, channel: &[u8]) -> u64 {
        let state = self.clients.exchange.state.lock();
        let counts = (0..).zip(state.channels.get(channel).into_iter().flatten());
        counts.filter(|(at, _)| *at != self.worker).map(|(_, count)| count).sum()
    }

    fn names(&self, is_pattern: bool) -> usize {
        let state = self.clients.exchange.state.lock();
        if is_pattern { state.patterns.len() } else { state.channels.len() }
    }

    fn each_channel(&self, tell: &mut dyn FnMut(&Arc<[u8]>)) {
        self.clients.exchange.each(|state| &state.channels, |name| tell(&name));
    }

    fn configure(&mut self, classes: &[u8]) {
        let workers = {
            let mut state = self.clients.exchange.state.lock();
            state.classes = classes.to_vec();
            state.changes += 1;
            state.seen[self.worker] = state.changes;
            state.mail.len()
        };
        (0..workers).filter(|worker| *worker != self.worker).for_each(|worker| self.ring(worker));
    }

    fn totals(&self) -> (u64, Counters) {
        self.clients.others(self.worker)
    }

    fn base(&self) -> Counters {
        *self.clients.base.lock()
    }

    fn set_base(&mut self, base: Counters) {
        *self.clients.base.lock() = base;
    }

    fn ask(&mut self, number: u64, question: &Arc<Question>) -> usize {
        let mut state = self.clients.exchange.state.lock();
        let state = &mut *state;
        let mut asked = 0;
        for (worker, mail) in state.mail.iter_mut().enumerate() {
            if worker != self.worker && !state.gone[worker] {
                mail.questions.push((self.worker, number, Arc::clone(question)));
                self.ring(worker);
                asked += 1;
            }
        }
        asked
    }

    fn answer(&mut self, loop_number: usize, number: u64, part: Part) {
        let mut state = self.clients.exchange.state.lock();
        if !state.gone[loop_number] {
            state.mail[loop_number].parts.push((number, part));
            self.ring(loop_number);
        }
    }

    fn leave(&mut self) {
        let mut state = self.clients.exchange.state.lock();
        state.gone[self.worker] = true;
        for (asker, number, _) in std::mem::take(&mut state.mail[self.worker]).questions {
            if !state.gone[asker] {
                state.mail[asker].parts.push((number, Part::default()));
                self.ring(asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_on_their_way_are_bounded_in_number_and_in_bytes() {
        let channel: Arc<[u8]> = Arc::from(&b"c"[..]);
        let sent = |payload: &Arc<[u8]>| {
            let mut mail = Mail::default();
            while mail.send(&channel, payload) {}
            mail.sent.len()
        };
        assert_eq!(sent(&Arc::from(&b"x"[..])), MESSAGES_MAX);
        assert_eq!(sent(&vec![b'x'; 1 << 20].into()), 255, "256 MiB with the channels");
        assert_eq!(sent(&vec![b'x'; MESSAGE_BYTES_MAX].into()), 1, "whatever it is");
    }
}
