//! Which backend is fit?
pub mod check;
pub mod facts;
pub mod options;
pub mod passive;
pub mod probe;
pub mod reason;
pub mod schedule;
pub mod secret;
pub use check::{Action, Cause, Change, Check, Counts, Failure, ProbeId, State, Verdict};
pub use options::{Initial, Options, Settings, Target};
pub use probe::{Dialogue, Entropy, Kind, Probe, Progress};
pub use reason::{Reason, Source};
pub use schedule::{CheckId, Schedule};
