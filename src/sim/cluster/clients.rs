//! Who writes and reads: each client does one thing after the other, asks whoever it takes for the primary, asks again
//! where it was not told what came of it, and remembers what it was told.

use std::collections::BTreeMap;

use crate::replication::{Denied, Level, Position, Ticket};
use crate::rng::Rng;

use super::checker::{Action, Operation};

/// Keys that are put and read.
pub(super) const KEYS: u64 = 5;
/// The list that is appended to.
pub(super) const LIST: &[u8] = b"list";
/// How long a client waits for an answer, by its node's clock.
pub(super) const PATIENCE_MS: u64 = 300;
/// How often it asks again.
const TRIES_MAX: u32 = 6;

/// What a client is at.
#[derive(Clone, Debug)]
pub(super) enum Doing {
    /// Puts a value to a register.
    Put { key: u64, value: u64 },
    /// Puts a value that lives for a while, under a key of its own.
    Fill { value: u64 },
    /// Appends a token to a list.
    Append { token: u64 },
    /// Reads a register of the primary.
    Read { key: u64 },
    /// Reads what a replica has.
    ReadHere { age_ms: Option<u64>, token: Option<Position> },
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) doing: Option<Doing>,
    pub(super) level: Level,
    pub(super) start: u64,
    pub(super) number: u64,
    tries: u32,
    /// The call under way: the node, its opening, the ticket.
    pub(super) call: Option<(u64, u64, Ticket)>,
    pub(super) target: u64,
    /// Whether it may have been done by an earlier try.
    pub(super) is_doubtful: bool,
    pub(super) token: Option<Position>,
    /// Where a write was that was answered early: it may be lost.
    pub(super) early: Option<Position>,
}

impl Client {
    pub(super) fn new(id: u64, nodes: u64) -> Self {
        Self {
            id,
            doing: None,
            level: Level::Quorum,
            start: 0,
            number: 0,
            tries: 0,
            call: None,
            target: 1 + id % nodes.min(3),
            is_doubtful: false,
            token: None,
            early: None,
        }
    }

    /// Takes up something new.
    pub(super) fn begin(&mut self, rng: &mut Rng, at: u64, value: u64, nodes: &[u64]) {
        let key = rng.below(KEYS);
        self.doing = Some(match rng.below(19) {
            16..=18 => Doing::Fill { value },
            0..=4 => Doing::Put { key, value },
            5..=7 => Doing::Append { token: value },
            8..=12 => Doing::Read { key },
            _ => {
                self.target = nodes[rng.below(nodes.len() as u64) as usize];
                let age_ms = (rng.below(2) == 0).then_some(50 + rng.below(400));
                let token = match rng.below(4) {
                    0 | 1 => None,
                    2 => self.early,
                    _ => self.token,
                };
                Doing::ReadHere { age_ms, token }
            }
        });
        self.level = match rng.below(12) {
            0 => Level::Memory,
            1 => Level::Local,
            2 => Level::All,
            3 => Level::AtLeast(3),
            _ => Level::Quorum,
        };
        self.start = at;
        self.number += 1;
        self.tries = 0;
        self.is_doubtful = false;
    }

    /// Whether it asks again after this.
    pub(super) fn asks_again(&mut self, why: &Denied, rng: &mut Rng, nodes: &[u64]) -> bool {
        self.call = None;
        match why {
            Denied::NotPrimary { primary: Some(primary) } => self.target = *primary,
            _ => self.target = nodes[rng.below(nodes.len() as u64) as usize],
        }
        self.is_doubtful |= matches!(why, Denied::Unknown | Denied::TimedOut);
        self.tries += 1;
        self.tries < TRIES_MAX
    }
}

/// What all clients were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By key.
    pub(super) histories: BTreeMap<u64, Vec<Operation>>,
    /// Tokens that were appended for certain, and where.
    pub(super) appended: BTreeMap<u64, u64>,
    /// Tokens that may have been.
    pub(super) attempted: Vec<u64>,
    /// When which sequence was answered at a quorum, the highest so far.
    pub(super) acknowledged: Vec<(u64, u64)>,
    /// Positions that were asked for, and whether they were told to be lost.
    pub(super) tokens: Vec<(Position, bool)>,
    /// Sequence to epoch of what was answered at a quorum.
    pub(super) places: BTreeMap<u64, u64>,
}

impl Told {
    pub(super) fn note(&mut self, key: u64, action: Action, start: u64, end: Option<u64>) {
        self.histories.entry(key).or_default().push(Operation { action, start, end });
    }

    pub(super) fn acknowledge(&mut self, at: u64, position: Position) {
        let highest = self.acknowledged.last().map_or(0, |(_, sequence)| *sequence);
        self.acknowledged.push((at, highest.max(position.sequence)));
        self.places.insert(position.sequence, position.epoch);
    }

    /// What had been answered at a quorum by then.
    pub(super) fn acknowledged_by(&self, at: u64) -> u64 {
        let after = self.acknowledged.partition_point(|(when, _)| *when <= at);
        self.acknowledged[..after].last().map_or(0, |(_, sequence)| *sequence)
    }
}
