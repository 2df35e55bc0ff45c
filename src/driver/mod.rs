//! The loop: mio, sockets, timers, mailboxes. It does what the state machines of `proxy` say.
//!
//! | file | owns |
//! |---|---|
//! | `worker` | one loop: its turn, its messages, its end |
//! | `listening` | a listening socket, and why it pauses |
//! | `joint` | a worker's sessions with their sockets |
//! | `discovering` | members from DNS and from files |
//! | `probing`, `standing` | active checks, and what they found for who asks |
//! | `conversation` | connections answered from memory: admin |
//! | `lingering` | the end of a connection whose other side may be sending still |
//! | `shared`, `room`, `cutting` | what workers share: pools, limits, counters, wait queues, whose sessions to cut |
//! | `net`, `pipes` | sockets; pipes for splice |
//! | `mailbox`, `timer`, `token` | messages from other threads, deadlines, what an event is about |
//! | `resp` | Redis clients: sockets over the state machines of `resp` and the store |
//! | `lock` | a mutex and its condition for what a host may fork beside |
//! | `log` | a write-ahead log on files, with its threads |
//! | `store` | a store on files, with its threads |
//! | `backup` | backups of stores on files, and restoring them |
//! | `peer` | links between the nodes of a cluster, on sockets |
//! | `tls` | TLS over bytes, with rustls |
//! | `event` | what the owner is told |

#[cfg(feature = "store")]
pub mod backup;
#[cfg(feature = "proxy")]
pub(crate) mod conversation;
#[cfg(feature = "proxy")]
pub(crate) mod cutting;
#[cfg(feature = "proxy")]
pub(crate) mod discovering;
#[cfg(feature = "proxy")]
pub(crate) mod event;
#[cfg(feature = "proxy")]
mod joint;
#[cfg(feature = "proxy")]
mod lingering;
#[cfg(feature = "proxy")]
pub(crate) mod listening;
#[cfg(feature = "store")]
mod lock;
#[cfg(feature = "store")]
pub mod log;
#[cfg(any(feature = "proxy", all(test, loom)))]
pub(crate) mod mailbox;
#[cfg(feature = "proxy")]
pub(crate) mod net;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub mod peer;
#[cfg(feature = "proxy")]
mod pipes;
#[cfg(feature = "proxy")]
pub(crate) mod probing;
#[cfg(all(feature = "proxy", feature = "store"))]
pub(crate) mod resp;
#[cfg(feature = "proxy")]
pub(crate) mod room;
#[cfg(feature = "proxy")]
pub(crate) mod shared;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub(crate) mod split;
#[cfg(feature = "proxy")]
pub(crate) mod standing;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "proxy")]
pub(crate) mod timer;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "proxy")]
pub(crate) mod token;
#[cfg(feature = "proxy")]
pub(crate) mod worker;
