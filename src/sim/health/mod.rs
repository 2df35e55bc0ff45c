//! Checks, a pool and discovery under a random world, driven together with picks: servers that fail in every way, an
//! operator who drains and removes, records and files that change, resolvers that lie, verdicts that come late, a clock
//! that jumps. Checked after each step:
//!
//! - a backend that is drained, in maintenance or down gets nothing new, unless its tier panics; and who serves and
//!   which tier panics is exactly what the formulas of `docs/failure.md` say;
//! - ejections never pass their cap, come of errors in a row, and end at their time;
//! - `rise` and `fall` are exact: a model counts results in a row, and a stale verdict is none of them;
//! - a backend that fails is down within `fall` intervals and a timeout, with a reason that says what is wrong;
//! - no more probes are under way than may be, and none begins out of turn;
//! - a retry is begun if and only if the budget has room;
//! - a member keeps its id, its counters and its health across refreshes; members are what the sources say; what a
//!   resolver failed to say takes nobody out, and an answer that there are none takes effect after `hold`;
//! - in the end, when everything is mended, everybody is there and up.
//!
//! A [`Mutant`] is a world in which one part is not as it should be: each must be found out, which proves that the
//! checks can fail.
//!
//! | file | owns |
//! |---|---|
//! | `world` | everything there is, what happens next |
//! | `probes` | checks, their probes, the servers they ask |
//! | `traffic` | picks and retries |
//! | `sources` | where members come from |
//! | `checker` | what must hold |
//! | `model` | what should be, worked out a second time |
//! | `servers`, `names` | simulated servers, simulated resolvers |
//! | `herd` | many checks: no bursts |

mod checker;
mod herd;
mod model;
mod names;
mod probes;
mod servers;
mod sources;
mod traffic;
mod world;

pub use herd::herd;

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Picks that found a backend.
    pub picks: u64,
    /// Picks that found none.
    pub refused: u64,
    /// Steps at which some tier panicked.
    pub panics: u64,
    /// Probes begun.
    pub probes: u64,
    /// Of these, over by time.
    pub timed_out: u64,
    /// Verdicts that were of no probe under way.
    pub stale: u64,
    /// Backends that came up.
    pub ups: u64,
    /// Backends that went down.
    pub downs: u64,
    /// Ejections.
    pub ejections: u64,
    /// Steps at which no more could be ejected, and somebody was.
    pub capped: u64,
    /// Retries begun.
    pub retries: u64,
    /// Retries refused.
    pub retries_refused: u64,
    /// Changes of the members by their sources.
    pub refreshes: u64,
    /// Lookups that failed while there were members, which were held.
    pub held: u64,
    /// Times the members went because an answer said that there are none.
    pub emptied: u64,
    /// Texts of a members file that were refused.
    pub bad_files: u64,
    /// Times the clock jumped.
    pub jumps: u64,
}

impl Summary {
    /// Adds what came of another run.
    pub fn add(&mut self, other: &Summary) {
        let Summary {
            picks,
            refused,
            panics,
            probes,
            timed_out,
            stale,
            ups,
            downs,
            ejections,
            capped,
            retries,
            retries_refused,
            refreshes,
            held,
            emptied,
            bad_files,
            jumps,
        } = other;
        self.picks += picks;
        self.refused += refused;
        self.panics += panics;
        self.probes += probes;
        self.timed_out += timed_out;
        self.stale += stale;
        self.ups += ups;
        self.downs += downs;
        self.ejections += ejections;
        self.capped += capped;
        self.retries += retries;
        self.retries_refused += retries_refused;
        self.refreshes += refreshes;
        self.held += held;
        self.emptied += emptied;
        self.bad_files += bad_files;
        self.jumps += jumps;
    }
}

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutant {
    /// One bad verdict more is needed than is said.
    FallOffByOne,
    /// One good verdict more is needed than is said.
    RiseOffByOne,
    /// One probe more may be under way than is said.
    ProbesMaxOffByOne,
    /// Checks come at half the rate that is said.
    SlowChecks,
    /// A verdict of an older probe counts for the one under way.
    StaleCounts,
    /// Why a backend is down is told in general terms.
    VagueReasons,
    /// A pick is answered with a backend that is drained, if there is one.
    PicksDrained,
    /// The pool panics at another threshold than is said.
    OtherPanic,
    /// The pool may eject more than is said.
    CapExceeded,
    /// The pool allows more retries than are said.
    BudgetExceeded,
    /// A refresh takes all members out and puts them in anew.
    LosesIdentity,
    /// A lookup that fails takes the members out.
    ForgetsMembers,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 12] = [
        Mutant::FallOffByOne,
        Mutant::RiseOffByOne,
        Mutant::ProbesMaxOffByOne,
        Mutant::SlowChecks,
        Mutant::StaleCounts,
        Mutant::VagueReasons,
        Mutant::PicksDrained,
        Mutant::OtherPanic,
        Mutant::CapExceeded,
        Mutant::BudgetExceeded,
        Mutant::LosesIdentity,
        Mutant::ForgetsMembers,
    ];
}

/// Plays one world. An error says what did not hold, and at which step.
pub fn run(seed: u64) -> Result<Summary, String> {
    world::play(seed, None)
}

/// Plays one world with something wrong in it, which should end with an error.
pub fn run_mutant(seed: u64, mutant: Mutant) -> Result<Summary, String> {
    world::play(seed, Some(mutant))
}
