//! Load balancing, linked in: a library that answers "which backend?" in nanoseconds, from Rust, C, C++,
//! Python and Go.
//!
//! # The life of a pick
//!
//! A [`balance::Pool`] publishes one immutable member table. [`Pool::pick`](balance::Pool::pick) reads it
//! without a lock, lets the policy choose among the backends that may serve, counts, and answers with an
//! address and a token. The caller connects by itself and reports with [`Pool::done`](balance::Pool::done)
//! how it went; from that the pool learns who is busy, slow or failing. Any change builds the next table and
//! swaps it in whole.
//!
//! ```
//! use trimtab::balance::{Backend, Lane, Options, Outcome, Policy, Pool, Request, Timings};
//! use trimtab::time::Clock;
//!
//! let pool = Pool::new(Options { policy: Policy::LeastConnections, ..Options::default() })?;
//! pool.add(Backend::parse("10.0.0.1:80")?)?;
//! pool.add(Backend { weight: 2, ..Backend::parse("10.0.0.2:80")? })?;
//!
//! let pick = pool.pick(&Request { now: Clock.now(), ..Request::default() })?;
//! println!("connect to {}", pick.address);
//! pool.done(Lane::Shared, pick.token, Outcome::Success, &Timings::default(), Clock.now())?;
//! # Ok::<(), trimtab::Error>(())
//! ```
//!
//! # The map
//!
//! Dependencies point down the page only.
//!
//! | module | what lives there |
//! |---|---|
//! | `capi`, `cli` | the C interface; the command. No logic |
//! | [`server`] | a running instance: listeners, pools, admin, made from one configuration |
//! | `driver` | the mio loop: sockets, timers, mailboxes; the log on files, here [`wal`]; the store on files, here [`embedded`]; backups of it, here [`mod@backup`]; TLS, here [`tls`]; links between nodes, here [`links`] |
//! | [`proxy`] | the life of a connection, the relay, the PROXY protocol: state machines without I/O |
//! | [`discovery`] | members from DNS and files: state machines without I/O |
//! | [`checks`] | the active checks of pools: who is asked when, and what the pool is told |
//! | [`balance`] | pools, policies, picks: no I/O, no clock, no lock |
//! | `resp` | clients of Redis: the protocol, connections, commands over the index; state machines without I/O |
//! | `replication` | a node of a cluster: consensus over the store's log, messages, reads, membership; state machines without I/O |
//! | `peer` | links between the nodes of a cluster: hello, frames, queues, who dials whom: state machines without I/O |
//! | [`store`] | what must last: the write-ahead log, the index, and the engine that joins them: state machines without I/O |
//! | [`health`] | checks, their schedule, probes as dialogues, passive detection: state machines without I/O |
//! | [`error`], [`time`], [`rng`], [`thread`], `sync`, `sys` | what everything stands on |

pub mod balance;
#[cfg(feature = "capi")]
pub mod capi;
pub mod checks;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "proxy")]
pub mod discovery;
#[cfg(any(feature = "proxy", feature = "store", all(test, loom)))]
mod driver;
pub mod error;
pub mod health;
#[cfg(feature = "replication")]
pub mod peer;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "replication")]
pub mod replication;
#[cfg(feature = "store")]
pub mod resp;
pub mod rng;
#[cfg(feature = "proxy")]
pub mod server;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "replication")]
pub mod split;
#[cfg(feature = "store")]
pub mod store;
mod sync;
mod sys;
pub mod thread;
pub mod time;

#[cfg(feature = "store")]
pub use driver::backup;
#[cfg(feature = "store")]
pub use driver::log as wal;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use driver::peer as links;
#[cfg(feature = "store")]
pub use driver::store as embedded;
#[cfg(feature = "tls")]
pub use driver::tls;
pub use error::{Error, Result};
