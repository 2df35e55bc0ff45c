//! The admin interface: HTTP/1.1 and JSON over the admin socket, for `trimtab ctl`, curl and scripts.
//!
//! | request | does | answers |
//! |---|---|---|
//! | `GET /v1/status` | | 200, a [`Status`] |
//! | `GET /v1/pools/{pool}` | | 200, a [`PoolStatus`] |
//! | `GET /v1/pools/{pool}/backends/{backend}` | | 200, a a [`BackendStatus`] |
//! | `POST` likewise, `{"admin": "drain", "weight": 50, "maxconn": 9, "tier": 1}` | changes what is named, all or nothing | 200, the backend |
//! | `PUT` likewise, `{"address": "10.0.0.4:80", ...}` | adds it | 201, the backend |
//! | `DELETE` likewise | removes it | 204 |
//! | `GET /v1/events?recent=20&since=17&follow=false` | | 200, events as they come, each a line of JSON |
//! | `GET /primary`, `GET /replica?lag=500ms` | | 200 or 503: whether the store's node is one, a [`Standing`] |
//! | `GET /v1/store/backup` | | 200, the last backups of the store |
//! | `POST /v1/store/backup`, `{"to": "/mnt/backup", "full": false}` | begins one | 202, its number |
//! | `GET /v1/store/cluster` | | 200, a [`ClusterTold`] |
//! | `GET /v1/store/cluster?change=3` | waits for the end of that change | 200, a [`ClusterChange`](super::ClusterChange) as a line of JSON |
//! | `POST /v1/store/cluster`, `{"order": "transfer", "node": "db-2", "timeout_ms": 5000}` | begins a change of the cluster | 202, its number |
//! | the same, `{"order": "abort-transfer"}` | calls off the handover that is under way | 200, whether there was one |
//! | `POST /v1/drain`, `{"timeout_ms": 30000}` | [`Server::drain`](super::Server::drain) | 202 |
//! | `POST /v1/stop` | [`Server::stop`](super::Server::stop) | 202 |
//!
//! `GET` may be `HEAD`. Names are percent-encoded, a `/` in one as `%2F`. What is refused is answered with
//! `{"error": "..."}`: 400 what cannot be, 403 what a browser's page sent, 404 what is not there, 405 with
//! `Allow`, 408 a request that does not come to its end, 409 what is there already or does not fit the state, 411 no length, 413 a body above
//! [`BODY_MAX`], 415 no JSON, 417 an expectation, 431 a head above [`HEAD_MAX`], 501 a body in chunks, 503 the
//! server is gone, 505 another version of HTTP.
//!
//! Whoever reaches the socket commands the server, so a web page must not be able to. A request that changes
//! something is refused when it has an `Origin`, as browsers add, or no `Content-Type: application/json`, which a
//! page may not send to a foreign server unasked. On a loopback address a `Host` that is not this machine's
//! loopback is refused too: a page's own name can be made to resolve to 127.0.0.1.
//!
//! | file | owns |
//! |---|---|
//! | `dialogue` | [`Dialogue`]: one connection, bytes in, bytes out |
//! | `head` | from bytes to one request's head |
//! | `path` | percent-encoding, and which path means what |
//! | `answer` | what is answered, as bytes |
//! | `actions` | what each request does |
//! | `body` | the JSON of requests |
//! | `standing` | what balancers ask of the store's node |

mod actions;
mod answer;
mod body;
mod dialogue;
mod head;
mod path;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::balance::{BackendStatistics, Pool};
use crate::error::Result;
#[cfg(feature = "store")]
use crate::server::backups::RecentBackups;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::changes::{ClusterOrder, ClusterTold, FollowedChange};
use crate::server::journal::{Follower, Start};
use crate::server::statistics::{BackendStatus, PoolStatus, Status};

#[cfg(feature = "cli")]
pub(crate) use crate::driver::conversation::FOLLOW_SILENCE_MAX;
pub(in crate::server) use dialogue::Reach;
pub use dialogue::{AHEAD_MAX, Dialogue};
#[cfg(feature = "cli")]
pub(crate) use path::encode;
pub use standing::Standing;

/// The longest head of a request, in bytes, its closing empty line included.
pub const HEAD_MAX: usize = 16 * 1024;
/// The most header fields of a request.
pub const FIELDS_MAX: usize = 64;
/// The longest body of a request, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// What a dialogue speaks of and gives orders to. Called on the thread that drives the dialogue; none of it may
/// block.
pub(super) trait Instance: Send + Sync {
    /// Whether it may be asked: not in a child of the process that made it.
    fn check(&self) -> Result<()>;
    /// Everything there is to see.
    fn status(&self) -> Status;
    /// The names of the pools.
    fn pool_names(&self) -> Vec<&str>;
    /// A pool.
    fn pool(&self, name: &str) -> Option<Arc<Pool>>;
    /// Whether its backends are the nodes of the store, which come and go with these.
    fn is_of_store(&self, pool: &str) -> bool;
    /// What is to see of a backend of that pool, of which this was counted.
    fn backend_status(&self, pool: &str, statistics: BackendStatistics) -> BackendStatus;
    /// What is to see of a pool.
    fn pool_status(&self, name: &str) -> Option<PoolStatus>;
    /// Its events from somewhere on, up to now unless `goes_on`.
    fn follow(&self, start: Start, goes_on: bool) -> Result<Follower>;
    /// How its store's node stands.
    #[cfg(feature = "store")]
    fn standing(&self) -> Result<Standing>;
    /// How the cluster of its store is.
    #[cfg(all(feature = "store", feature = "replication"))]
    fn cluster(&self) -> Result<ClusterTold>;
    /// Begins a change of the cluster of its store, and gives its number.
    #[cfg(all(feature = "store", feature = "replication"))]
    fn change_cluster(&self, order: ClusterOrder, timeout: Option<Duration>) -> Result<u64>;
    /// Calls off the handover that is under way there; gives whether there was one.
    #[cfg(all(feature = "store", feature = "replication"))]
    fn abort_transfer(&self) -> Result<bool>;
    /// Follows a change of it to its end.
    #[cfg(all(feature = "store", feature = "replication"))]
    fn follow_change(&self, number: u64) -> Result<FollowedChange>;
    /// Begins a backup of its store, and gives its number.
    #[cfg(feature = "store")]
    fn back_up(&self, to: &str, is_full: bool) -> Result<u64>;
    /// The last ones.
    #[cfg(feature = "store")]
    fn recent_backups(&self) -> Result<RecentBackups>;
    /// Ends it gracefully.
    fn drain(&self, timeout: Option<Duration>) -> Result<()>;
    /// Ends it.
    fn stop(&self) -> Result<()>;
}
