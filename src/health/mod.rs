//! Which backend is fit? No socket, no clock, no thread, no lock: state machines that are told what happened and
//! say what to do. `docs/health.md` tells users of it.
//!
//! | file or folder | owns |
//! |---|---|
//! | `options` | what a check is told, with units, ranges, defaults |
//! | `check` | one backend: verdicts in a row, the state, why it changed |
//! | `schedule` | many checks: when each probe begins, how many at once |
//! | `prober` | a check and its dialogue, for a loop that checks one backend by itself |
//! | `probe/` | what to say to a backend and whether its answer is good, a file or folder for each kind |
//! | `passive/` | the same judged by traffic: outliers are ejected |
//! | `facts`, `reason`, `secret` | what a good probe learnt, why one was bad, passwords |
//!
//! A driver takes actions of the [`Schedule`]: at [`Action::Start`] it connects to [`Options::target`] and begins the
//! check's [`Dialogue`], whose answer it reports as a [`Verdict`]; at [`Action::Cancel`] it closes. `Up`, `Down` and
//! `Unknown` of a [`Check`] it tells the pool. A [`passive::Detector`] is the pool's own: the pool counts the outcomes
//! it is told, and what the detector makes of them it does itself, `Ejected` while nobody says `Down`.

pub mod check;
pub mod facts;
pub mod options;
pub mod passive;
pub mod probe;
pub mod prober;
pub mod reason;
pub mod schedule;
pub mod secret;

pub use check::{Action, Cause, Change, Check, Counts, Failure, ProbeId, State, Verdict};
pub use facts::{Facts, Link, Operational, Ordered, Orders, Position, Role};
pub use options::{Initial, Options, Settings, Target};
pub use probe::{Dialogue, Entropy, Kind, Probe, Progress};
pub use prober::{Prober, Step};
pub use reason::{Reason, Source};
pub use schedule::{CheckId, Schedule};
pub use secret::Secret;
