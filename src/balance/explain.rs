//! Why a pick goes where it goes: who was left out and for what reason, the scores compared, the draws.

use serde::Serialize;

use crate::balance::backend::BackendId;

/// What the next pick of one lane, for one key, comes to and why. Nothing is counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The pool's policy.
    pub policy: &'static str,
    /// Who would be picked.
    pub picked: Option<BackendId>,
    /// Why nobody would be, when nobody would.
    pub refused: Option<String>,
    /// The tier that serves, or that this pick was drawn to where tiers share.
    pub tier: Option<u8>,
    /// Whether that tier panics: what was observed of its backends is ignored.
    pub panic: bool,
    /// Every tier with a backend that the operator has ready, the lowest first.
    pub tiers: Vec<ExplainedTier>,
    /// What was drawn or computed, in order: a position, a hash, a random choice.
    pub draws: Vec<Draw>,
    /// Every backend of the pool.
    pub backends: Vec<Explained>,
}

/// One tier's part in a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedTier {
    /// Its number.
    pub tier: u8,
    /// How many of its backends the operator has ready.
    pub ready: u32,
    /// How many of these are observed up or unknown.
    pub usable: u32,
    /// The part of new picks it is due, 0 to 1.
    pub load: f64,
    /// Whether it panics.
    pub panic: bool,
}

/// One step of a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draw {
    /// What it is.
    pub what: &'static str,
    /// Its value.
    pub value: u64,
}

/// One backend's part in a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// Which one.
    pub id: BackendId,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// When what is observed of it came to be, on the pool's clock, when that was said.
    pub observed_since_ns: Option<u64>,
    /// Why it is observed so, when that was said.
    pub reason: Option<String>,
    /// What its policy compared, where it does: lower is better, except for rendezvous.
    pub score: Option<f64>,
    /// Picks in flight.
    pub in_flight: u64,
    /// The part of new picks it is due; 0 when it does not serve.
    pub share: f64,
}

/// What became of one backend in a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is the one.
    Picked,
    /// It could have been, and was not drawn or not best.
    Passed,
    /// Its tier stands by.
    Standby,
    /// The operator drains it.
    Drain,
    /// The operator has it in maintenance.
    Maintenance,
    /// It was observed down.
    Down,
    /// It was set aside for its failures.
    Ejected,
    /// It is at its `maxconn` or its rate, or the pool is at its own.
    Full,
    /// The caller asked for another one.
    Avoided,
}

/// Takes note of how a policy chooses; the one that does nothing costs nothing.
pub(crate) trait Trace {
    /// Whether notes are kept.
    fn is_on(&self) -> bool;
    /// A tier is asked; what was compared in another is of no account.
    fn tier(&mut self, number: u8);
    /// A step of the choice.
    fn draw(&mut self, what: &'static str, value: u64);
    /// A backend compared, by its index among the serving ones.
    fn considered(&mut self, index: u32, score: f64);
}

/// Keeps no notes.
pub(crate) struct Untraced;

impl Trace for Untraced {
    #[inline]
    fn is_on(&self) -> bool {
        false
    }

    #[inline]
    fn tier(&mut self, _number: u8) {}

    #[inline]
    fn draw(&mut self, _what: &'static str, _value: u64) {}

    #[inline]
    fn considered(&mut self, _index: u32, _score: f64) {}
}

/// Keeps them all.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) draws: Vec<Draw>,
    pub(crate) scores: Vec<(u32, f64)>,
}

impl Trace for Notes {
    fn is_on(&self) -> bool {
        true
    }

    fn tier(&mut self, number: u8) {
        self.scores.clear();
        self.draw("tier", u64::from(number));
    }

    fn draw(&mut self, what: &'static str, value: u64) {
        self.draws.push(Draw { what, value });
    }

    fn considered(&mut self, index: u32, score: f64) {
        self.scores.push((index, score));
    }
}
