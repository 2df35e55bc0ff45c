//! Which backend? The pick core: no socket, no clock, no thread, no lock.
//!
//! | file or folder | owns |
//! |---|---|
//! | `options` | what a pool is told, with units, ranges, defaults |
//! | `backend` | addresses, states and the table of who wins |
//! | `pool` | the life of a pick, from question to `done`; changes |
//! | `observation` | what was observed, since when and why |
//! | `table`, `tier`, `member` | the immutable member table |
//! | `edit` | how the next one is made |
//! | `panic`, `spill` | when health is ignored, how tiers share |
//! | `slow_start` | how a backend comes into service |
//! | `outlier` | who is set aside for failing |
//! | `lane`, `chunks`, `tickets`, `limit`, `pace` | the counters threads share |
//! | `gate`, `retry` | the limits of the pool as a whole |
//! | `gradient`, `adaptive` | limits found by response times |
//! | `policy/` | one file per policy |
//! | `draw/` | from weights to an index |
//! | `hashing/` | from a key to a member, the same in every release |
//! | `explain`, `statistics` | why, and how many |
//! | `observer` | who is told of changes and of places that come free |
//!
//! A pick loads the member table, lets the policy choose among its serving backends, takes a ticket and
//! counts. A `done` gives the ticket back, which is what makes it good once, and counts.

mod adaptive;
pub mod backend;
mod chunks;
pub(crate) mod draw;
mod edit;
pub mod explain;
mod gate;
mod gradient;
pub(crate) mod hashing;
mod lane;
mod limit;
mod member;
pub mod observation;
pub mod observer;
pub mod options;
mod outlier;
mod pace;
mod panic;
pub mod pick;
pub(crate) mod policy;
mod pool;
#[cfg(all(test, loom))]
mod pool_loom;
mod retry;
mod slow_start;
mod spill;
pub mod statistics;
mod table;
mod tickets;
mod tier;

pub use backend::{Address, Admin, Backend, BackendId, Listed, Observed};
pub use edit::{Edit, MAXCONN_MAX};
pub use explain::{Explanation, Verdict};
pub use gradient::{Adaptive, Scope};
#[cfg(feature = "capi")]
pub(crate) use member::Serving;
pub use observer::{Change, ChangeKind, Observer};
pub use options::{Backups, Formula, Hash, Options, Policy};
pub use pace::CONNECTION_RATE_MAX;
pub use pick::{Lane, Outcome, Pick, Request, Timings, Token};
pub use pool::Pool;
pub use retry::{RETRIES_MAX, Retry};
pub use statistics::{BackendStatistics, Outcomes, PoolStatistics};
