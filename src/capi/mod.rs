//! The C interface: what `include/trimtab.h` declares. No logic lives here; each function checks what it
//! was handed, calls the Rust API and says how that went.
//!
//! | file | owns |
//! |---|---|
//! | `guard` | the one door: panics, the status, this thread's error detail |
//! | `handle` | borrowing handles, and writing what the caller gets back |
//! | `status` | the codes, and which failure gets which |
//! | `text` | strings and bytes in, text out |
//! | `waiting` | times to wait |
//! | `library` | version, features, clock, last error |
//! | `pool_options`, `failure_options` | what a pool is made with |
//! | `backend`, `pool`, `pick`, `pool_limits`, `pool_events`, `statistics` | the functions, handle by handle |
//! | `check`, `server_events`, `server`, `server_hosted`, `server_statistics` | likewise, with the feature `proxy` |
//! | `store_options`, `store`, `store_report`, `store_hosted`, `store_call`, `store_write`, `store_lease`, `store_answer`, `store_operation`, `store_read`, `store_txn`, `store_queue`, `store_watch` | likewise, with the feature `store` |
//!
//! Every exported function goes through `guard`, and a test that reads these sources fails on one that does
//! not. The header is made from these files in the order of the `mod` lines below.

#![allow(unsafe_code)]
// The names are C's.
#![allow(non_camel_case_types)]
// What a caller owes to a pointer stands in the header's introduction and at each parameter.
#![allow(clippy::missing_safety_doc)]

mod guard;
mod handle;

mod status;
mod text;

#[cfg(any(feature = "proxy", feature = "store"))]
mod waiting;

mod library;

mod pool_options;

mod failure_options;

mod backend;

mod pool;

mod pick;

mod pool_limits;

mod pool_events;

mod statistics;

#[cfg(feature = "proxy")]
mod check;

#[cfg(feature = "proxy")]
mod server_events;

#[cfg(feature = "proxy")]
mod server;

#[cfg(feature = "proxy")]
mod server_hosted;

#[cfg(feature = "proxy")]
mod server_statistics;

#[cfg(feature = "store")]
mod store_options;

#[cfg(feature = "store")]
mod store;

#[cfg(feature = "store")]
mod store_report;

#[cfg(feature = "store")]
mod store_hosted;

#[cfg(feature = "store")]
mod store_call;

#[cfg(feature = "store")]
mod store_write;

#[cfg(feature = "store")]
mod store_lease;

#[cfg(feature = "store")]
mod store_answer;

#[cfg(feature = "store")]
mod store_operation;

#[cfg(feature = "store")]
mod store_backup;

#[cfg(feature = "store")]
mod store_read;

#[cfg(feature = "store")]
mod store_txn;

#[cfg(feature = "store")]
mod store_queue;

#[cfg(feature = "store")]
mod store_watch;

#[cfg(all(feature = "proxy", feature = "store"))]
mod server_store;

#[cfg(all(feature = "proxy", feature = "replication"))]
mod cluster;

#[cfg(all(feature = "proxy", feature = "replication"))]
mod cluster_events;

#[cfg(all(feature = "proxy", feature = "replication"))]
mod cluster_options;

#[cfg(all(feature = "proxy", feature = "replication"))]
mod cluster_promote;

#[cfg(all(feature = "proxy", feature = "replication"))]
mod cluster_read;

#[cfg(feature = "test-hook")]
mod test_hook;

pub use backend::*;
#[cfg(feature = "proxy")]
pub use check::*;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use cluster::*;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use cluster_events::*;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use cluster_options::*;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use cluster_promote::*;
#[cfg(all(feature = "proxy", feature = "replication"))]
pub use cluster_read::*;
pub use failure_options::*;
pub use library::*;
pub use pick::*;
pub use pool::*;
pub use pool_events::*;
pub use pool_limits::*;
pub use pool_options::*;
#[cfg(feature = "proxy")]
pub use server::*;
#[cfg(feature = "proxy")]
pub use server_events::*;
#[cfg(feature = "proxy")]
pub use server_hosted::*;
#[cfg(feature = "proxy")]
pub use server_statistics::*;
#[cfg(all(feature = "proxy", feature = "store"))]
pub use server_store::*;
pub use statistics::*;
pub use status::*;
#[cfg(feature = "store")]
pub use store::*;
#[cfg(feature = "store")]
pub use store_answer::*;
#[cfg(feature = "store")]
pub use store_backup::*;
#[cfg(feature = "store")]
pub use store_call::*;
#[cfg(feature = "store")]
pub use store_hosted::*;
#[cfg(feature = "store")]
pub use store_lease::*;
#[cfg(feature = "store")]
pub use store_operation::*;
#[cfg(feature = "store")]
pub use store_options::*;
#[cfg(feature = "store")]
pub use store_queue::*;
#[cfg(feature = "store")]
pub use store_read::*;
#[cfg(feature = "store")]
pub use store_report::*;
#[cfg(feature = "store")]
pub use store_txn::*;
#[cfg(feature = "store")]
pub use store_watch::*;
#[cfg(feature = "store")]
pub use store_write::*;
#[cfg(feature = "test-hook")]
pub use test_hook::*;
pub use text::{trimtab_bytes, trimtab_str};
