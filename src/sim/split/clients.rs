//! Clients: what they send, and what they may be told.

use std::collections::{BTreeSet, VecDeque};

use crate::rng::Rng;
use crate::split::{ClientId, Scanner};
use crate::time::Instant;

/// What was sent, and what it may be answered with.
#[derive(Clone, Debug)]
enum Op {
    Echo(u64),
    /// A key of its own, and a value nobody else writes.
    Set {
        key: u64,
        value: String,
    },
    Get {
        key: u64,
    },
    /// A field of a hash of its own.
    HashSet {
        value: String,
    },
    HashGet,
    /// A number of its own.
    Count,
    /// A number of everybody.
    CountShared,
    GetShared,
    /// In a transaction: a key, and its own number.
    Transact {
        key: u64,
        value: String,
    },
    /// `WATCH`, a read, a write that depends on it.
    Watch,
    WatchedGet,
    WatchedExec,
    /// An answer that says nothing.
    Plain(&'static str),
    Wait,
}

/// What a client has of one value.
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: String,
    /// Writes that may be done, or may have been.
    doubtful: Vec<String>,
}

impl Known {
    fn may_be(&self, value: &str) -> bool {
        self.acknowledged == value || self.doubtful.iter().any(|doubtful| doubtful == value)
    }
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Habit {
    /// Of everything something.
    All,
    /// It adds to everybody's number.
    Adds,
    /// It asks for everybody's number: who writes is owed its own writes, which hides that it is owed what it has read.
    Asks,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) habit: Habit,
    pub(super) id: Option<ClientId>,
    /// What it is yet to send, as bytes.
    outbox: Vec<u8>,
    expected: VecDeque<Op>,
    scanner: Scanner,
    partial: Vec<u8>,
    keys: [Known; 3],
    hash: Known,
    /// Its own number: how often it was told that it counted, and how often that is in doubt; and the highest it saw.
    counted: u64,
    doubtful: u64,
    seen: u64,
    /// The highest of everybody's number it was told.
    shared: u64,
    /// What the watched read saw, and whether it counts.
    watched: Option<u64>,
    is_watching: bool,
    /// It was told that a write was not done for what came behind it, which is yet to be told.
    is_passed: bool,
    values: u64,
    pub(super) since: Instant,
    pub(super) answered: u64,
    pub(super) errors: u64,
    pub(super) in_doubt: u64,
    pub(super) transactions: u64,
    pub(super) aborted: u64,
    pub(super) doubtful_values: BTreeSet<String>,
    pub(super) acknowledged_values: BTreeSet<String>,
    pub(super) refused_values: BTreeSet<String>,
    pub(super) watched_done: u64,
    pub(super) watched_doubtful: u64,
}

/// Words of what is told of a write that was refused, and cannot be sent again.
const PASSED: &str = "sent behind it is done, or may be";

/// How an answer ended.
enum Ending {
    Good,
    /// Refused for certain.
    Refused,
    InDoubt,
}

impl Client {
    pub(super) fn new(number: u64, habit: Habit) -> Self {
        Self {
            number,
            habit,
            id: None,
            outbox: Vec::new(),
            expected: VecDeque::new(),
            scanner: Scanner::default(),
            partial: Vec::new(),
            keys: Default::default(),
            hash: Known::default(),
            counted: 0,
            doubtful: 0,
            seen: 0,
            shared: 0,
            watched: None,
            is_watching: false,
            is_passed: false,
            values: 0,
            since: Instant::START,
            answered: 0,
            errors: 0,
            in_doubt: 0,
            transactions: 0,
            aborted: 0,
            doubtful_values: BTreeSet::new(),
            acknowledged_values: BTreeSet::new(),
            refused_values: BTreeSet::new(),
            watched_done: 0,
            watched_doubtful: 0,
        }
    }

    /// Whether all it has sent is answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.expected.is_empty() && self.outbox.is_empty()
    }

    pub(super) fn oldest(&self) -> String {
        format!("client {} waits for {:?}", self.number, self.expected.front())
    }

    fn ask(&mut self, words: &[&str], op: Op) {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.outbox.extend_from_slice(request.as_bytes());
        self.expected.push_back(op);
    }

    fn value(&mut self, key: &str) -> String {
        self.values += 1;
        format!("{key}:c{}v{}!", self.number, self.values)
    }

    /// Thinks up what to send next.
    pub(super) fn think(&mut self, rng: &mut Rng, now: Instant) {
        self.since = now;
        match self.habit {
            Habit::All => {}
            Habit::Adds => return self.ask(&["INCR", "shared"], Op::CountShared),
            Habit::Asks => return self.ask(&["GET", "shared"], Op::GetShared),
        }
        let own = format!("c{}", self.number);
        for _ in 0..1 + rng.below(6) {
            let key = rng.below(3);
            let name = format!("{own}k{key}");
            match rng.below(if self.number.is_multiple_of(3) { 18 } else { 24 }) {
                0 => {
                    self.values += 1;
                    let said = self.values.to_string();
                    self.ask(&["ECHO", &said], Op::Echo(self.values));
                }
                1..=4 => {
                    let value = self.value(&name);
                    self.ask(&["SET", &name, &value], Op::Set { key, value: value.clone() });
                }
                // Some read more than they write.
                5..=8 if self.number.is_multiple_of(3) || key == 0 => {
                    self.ask(&["GET", "shared"], Op::GetShared)
                }
                5..=9 => self.ask(&["GET", &name], Op::Get { key }),
                10 => {
                    let value = self.value(&own);
                    self.ask(
                        &["HSET", &format!("{own}h"), "f", &value],
                        Op::HashSet { value: value.clone() },
                    );
                }
                11 => self.ask(&["HGET", &format!("{own}h"), "f"], Op::HashGet),
                12..=13 => self.ask(&["INCR", &format!("{own}n")], Op::Count),
                14 => self.ask(&["INCR", "shared"], Op::CountShared),
                15..=18 => self.ask(&["GET", "shared"], Op::GetShared),
                19..=20 => {
                    let value = self.value(&name);
                    self.ask(&["MULTI"], Op::Plain("+OK\r\n"));
                    self.ask(&["SET", &name, &value], Op::Plain("+QUEUED\r\n"));
                    self.ask(&["INCR", &format!("{own}n")], Op::Plain("+QUEUED\r\n"));
                    self.ask(&["EXEC"], Op::Transact { key, value: value.clone() });
                }
                21 => {
                    // Everybody adds to the same number: it must come out as often as it was done.
                    self.ask(&["WATCH", "watched"], Op::Watch);
                    self.ask(&["GET", "watched"], Op::WatchedGet);
                    return;
                }
                22 => self.ask(&["WAIT", "0", "50"], Op::Wait),
                _ => self.ask(&["PING"], Op::Plain("+PONG\r\n")),
            }
        }
    }

    /// What of its bytes it sends now.
    pub(super) fn send(&mut self, rng: &mut Rng) -> Vec<u8> {
        let len = match rng.below(3) {
            0 => rng.below(self.outbox.len() as u64 + 1) as usize,
            _ => self.outbox.len(),
        };
        self.outbox.drain(..len).collect()
    }

    /// Takes what it is told.
    pub(super) fn hear(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), String> {
        while !bytes.is_empty() {
            let scanned = self
                .scanner
                .scan(bytes)
                .map_err(|fault| format!("client {} was told what is no answer: {fault:?}", self.number))?;
            self.partial.extend_from_slice(&bytes[..scanned.len]);
            bytes = &bytes[scanned.len..];
            if scanned.is_whole {
                self.since = now;
                let answer = String::from_utf8(std::mem::take(&mut self.partial))
                    .map_err(|_| "an answer is no text".to_owned())?;
                self.take(&answer)
                    .map_err(|what| format!("client {}: {what}; it was told {answer:?}", self.number))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, answer: &str) -> Result<(), String> {
        let op = self.expected.pop_front().ok_or("nothing was asked")?;
        self.answered += 1;
        let ending = match answer {
            _ if answer.starts_with("-INDOUBT") || answer.starts_with("-MISCONF") => Ending::InDoubt,
            _ if answer.starts_with("-TRYAGAIN") => Ending::Refused,
            _ if answer.starts_with('-') => return Err(format!("an error to {op:?} that none expects")),
            _ => Ending::Good,
        };
        // Nodes take nothing behind what they have refused: it can only be in doubt.
        self.is_passed |= answer.contains(PASSED);
        self.is_passed &= !matches!(ending, Ending::InDoubt);
        if self.is_passed && self.expected.is_empty() && self.outbox.is_empty() {
            return Err("nothing that was sent behind it is in doubt".into());
        }
        self.errors += u64::from(!matches!(ending, Ending::Good));
        self.in_doubt += u64::from(matches!(ending, Ending::InDoubt));
        let wrong = |op: &Op| Err(format!("wrong answer to {op:?}"));
        let bulk = || -> Option<&str> {
            if answer == "$-1\r\n" {
                return Some("");
            }
            let (_, text) = answer.strip_prefix('$')?.split_once("\r\n")?;
            text.strip_suffix("\r\n")
        };
        let number = || answer.strip_prefix(':')?.trim_end().parse::<u64>().ok();
        match (&op, ending) {
            (Op::Echo(said), Ending::Good) if bulk() == Some(&*said.to_string()) => {}
            (Op::Plain(expected), Ending::Good) if answer == *expected => {}
            (Op::Set { key, value }, Ending::Good) if answer == "+OK\r\n" => {
                self.acknowledge(Some(*key), value)
            }
            (Op::Set { key, value }, Ending::InDoubt) => self.doubt(Some(*key), value),
            (Op::HashSet { value }, Ending::Good) if number().is_some() => self.acknowledge(None, value),
            (Op::HashSet { value }, Ending::InDoubt) => self.doubt(None, value),
            (Op::Set { value, .. } | Op::HashSet { value }, Ending::Refused) => {
                self.refused_values.insert(value.clone());
            }
            (Op::Get { key }, Ending::Good) => {
                let known = &self.keys[*key as usize];
                match bulk() {
                    Some(value) if known.may_be(value) => {}
                    _ => return Err(format!("{op:?} sees neither of {known:?}")),
                }
            }
            (Op::HashGet, Ending::Good) => match bulk() {
                Some(value) if self.hash.may_be(value) => {}
                _ => return Err(format!("{op:?} sees neither of {:?}", self.hash)),
            },
            (Op::Count, Ending::Good) => {
                let told = number().ok_or("no number")?;
                self.count(told)?;
            }
            (Op::Count, Ending::InDoubt) => self.doubtful += 1,
            (Op::CountShared, Ending::Good) => self.see_shared(number().ok_or("no number")?, 1)?,
            (Op::GetShared, Ending::Good) => {
                let text = bulk().ok_or("no string")?;
                self.see_shared(if text.is_empty() { 0 } else { text.parse().map_err(|_| "no number")? }, 0)?;
            }
            (Op::Transact { key, value }, Ending::Good) => {
                let told =
                    answer.strip_prefix("*2\r\n+OK\r\n:").and_then(|rest| rest.trim_end().parse().ok());
                self.count(told.ok_or("no answers of a transaction")?)?;
                self.acknowledge(Some(*key), value);
                self.transactions += 1;
            }
            (Op::Transact { key, value }, Ending::InDoubt) => {
                self.doubt(Some(*key), value);
                self.doubtful += 1;
            }
            (Op::Transact { value, .. }, Ending::Refused) => {
                self.refused_values.insert(value.clone());
            }
            (Op::Watch, Ending::Good) if answer == "+OK\r\n" => self.is_watching = true,
            // What is not watched is no ground to write on.
            (Op::WatchedGet, _) if !std::mem::take(&mut self.is_watching) => {
                self.ask(&["UNWATCH"], Op::Plain("+OK\r\n"));
            }
            (Op::WatchedGet, Ending::Good) => {
                let text = bulk().ok_or("no string")?;
                self.watched = Some(text.parse().unwrap_or(0));
                self.add_watched();
            }
            (Op::WatchedGet, _) => self.ask(&["UNWATCH"], Op::Plain("+OK\r\n")),
            (Op::WatchedExec, Ending::Good) if answer == "*-1\r\n" => self.aborted += 1,
            (Op::WatchedExec, Ending::Good) if answer == "*1\r\n+OK\r\n" => self.watched_done += 1,
            (Op::WatchedExec, Ending::InDoubt) => self.watched_doubtful += 1,
            (Op::Wait, Ending::Good) if number().is_some() => {}
            (Op::Set { .. } | Op::HashSet { .. } | Op::Echo(_) | Op::Plain(_), _) => return wrong(&op),
            (_, Ending::Refused | Ending::InDoubt) => {}
            _ => return wrong(&op),
        }
        Ok(())
    }

    fn add_watched(&mut self) {
        let next = self.watched.unwrap_or(0) + 1;
        self.ask(&["MULTI"], Op::Plain("+OK\r\n"));
        self.ask(&["SET", "watched", &next.to_string()], Op::Plain("+QUEUED\r\n"));
        self.ask(&["EXEC"], Op::WatchedExec);
    }

    fn known(&mut self, key: Option<u64>) -> &mut Known {
        match key {
            Some(key) => &mut self.keys[key as usize],
            None => &mut self.hash,
        }
    }

    fn acknowledge(&mut self, key: Option<u64>, value: &str) {
        self.known(key).acknowledged = value.to_owned();
        self.acknowledged_values.insert(value.to_owned());
    }

    fn doubt(&mut self, key: Option<u64>, value: &str) {
        self.known(key).doubtful.push(value.to_owned());
        self.doubtful_values.insert(value.to_owned());
    }

    fn count(&mut self, told: u64) -> Result<(), String> {
        self.counted += 1;
        if told <= self.seen || told < self.counted || told > self.counted + self.doubtful {
            return Err(format!(
                "its number is {told} after {}, with {} told and {} in doubt",
                self.seen, self.counted, self.doubtful
            ));
        }
        self.seen = told;
        Ok(())
    }

    fn see_shared(&mut self, told: u64, more: u64) -> Result<(), String> {
        if told < self.shared + more {
            return Err(format!("everybody's number went from {} to {told}", self.shared));
        }
        self.shared = told;
        Ok(())
    }

    /// It was cut: what it has asked for and not heard of is in doubt.
    pub(super) fn leave(&mut self) {
        self.id = None;
        self.outbox.clear();
        for op in std::mem::take(&mut self.expected) {
            match op {
                Op::Set { key, value } => self.doubt(Some(key), &value),
                Op::HashSet { value } => self.doubt(None, &value),
                Op::Count => self.doubtful += 1,
                Op::Transact { key, value } => {
                    self.doubt(Some(key), &value);
                    self.doubtful += 1;
                }
                Op::WatchedExec => self.watched_doubtful += 1,
                _ => {}
            }
        }
    }

    /// Its own number at the end.
    pub(super) fn check_count(&self, found: u64) -> Result<(), String> {
        match (self.counted..=self.counted + self.doubtful).contains(&found) {
            true => Ok(()),
            false => Err(format!(
                "client {} counted to {found}, with {} told and {} in doubt",
                self.number, self.counted, self.doubtful
            )),
        }
    }
}
