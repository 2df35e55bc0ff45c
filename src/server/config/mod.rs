//! The configuration: one TOML text for the command, C, Python and Go.
//!
//! | key | unit | range | default | why that default |
//! |---|---|---|---|---|
//! | `runtime.workers` | threads | 0 to 64 | 0: one per core | one loop keeps one core busy |
//! | `listener.name` | | 1 to 255 bytes | required | logs and metrics name it |
//! | `listener.bind` | | an address | required | what to open to the world is said, not guessed |
//! | `listener.mode` | | `tcp`, `resp-split` | `tcp` | bytes are passed on as they are |
//! | `listener.reads` | | `any`, `replicas`, `primary` | `any` | of `resp-split`: every node can read |
//! | `listener.max_age` | time | 1 ms to 1 h | 1 s | a healthy replica is milliseconds behind |
//! | `listener.catch_up` | time | 0 to 10 s | 50 ms | then the primary is asked |
//! | `listener.queue_max` | clients of a worker | 0 to 1,048,576 | 1024 | as of a pool |
//! | `listener.pool` | | a pool's name | required | a listener leads somewhere |
//! | `listener.maxconn` | sessions | 0 to 1,073,741,824; of `resp-split` clients, 0 to 1,000,000 | 0: no limit | the system's limit on descriptors holds |
//! | `listener.backlog` | connections | 1 to 65,535 | 4096 | the most that Linux keeps unless told otherwise |
//! | `listener.proxy_protocol` | | `off`, `accept` | `off` | a header from anybody would be believed |
//! | `listener.abort_on_close` | | true, false | false | a client may end its half and wait for the answer |
//! | `listener.timeouts.connect` | time | 1 ms to 30 d | 1 s | after that another backend is a better try than another SYN |
//! | `listener.timeouts.header` | time | 1 ms to 30 d | 10 s | a balancer sends its header at once |
//! | `listener.timeouts.idle` | time | 1 ms to 30 d | 60 s | as nginx's `proxy_read_timeout` |
//! | `listener.timeouts.half_closed` | time | 1 ms to 30 d | 30 s | the rest of an answer comes soon or not at all |
//! | `listener.timeouts.queue` | time | 1 ms to 30 d | 5 s | about as long as a person waits |
//! | `listener.timeouts.drain` | time | 1 ms to 30 d | 30 s | what Kubernetes gives a process to stop |
//! | `pool.name` | | 1 to 255 bytes, no `/` | required | listeners and `POOL/BACKEND` name it |
//! | `pool.policy`, `hash`, `bounded_load`, `backups`, `formula`, `tick`, `blend`, `gain`, `history`, `floor`, `stale`, `decay`, `seed`, `hash_seed` | | see [`crate::balance::options`] | the same | the same |
//! | `pool.queue_max` | clients | 0 to 1,048,576 | 1024 | a burst waits, an outage does not fill the memory |
//! | `pool.proxy_protocol` | | `off`, `v1`, `v2` | `off` | a backend must expect it |
//! | `pool.retry.attempts` | connects | 1 to 100 | 3 | two backends may be down at once |
//! | `pool.retry.budget`, `min` | share, retries | 0 to 1 or `off`, 0 to 65,536 | 0.2, 3 | Envoy's |
//! | `pool.retries_max` | retries | 0 to 65,536 | 0: no limit | the budget grows with the load |
//! | `pool.maxconn` | sessions | 0 to 1,073,741,824 | 0: no limit | |
//! | `pool.connection_rate`, `connection_burst` | sessions a second, at once | 0 to 1,000,000 | 0: no limit; one second's | |
//! | `pool.pending_max` | clients | 0 to 1,073,741,824 | 0: no limit | `queue_max` is one |
//! | `pool.adaptive` | | see [`crate::balance::Adaptive`] | off | response times must mean something |
//! | `pool.on_down` | | `keep`, `close` | `keep` | a check that fails may be wrong |
//! | `pool.store.role` | | `primary`, `replicas`, `any` | `primary` | |
//! | `pool.store.port` | | 1 to 65,535 | that of the node's Redis clients | |
//! | `pool.store.lag_max` | time | 500 ms to 1 d | any | |
//! | `pool.store.lag_entries_max` | entries | 0 to 2^53 | any | |
//! | `pool.backend.name` | | 1 to 255 bytes | its address | |
//! | `pool.backend.address` | | an address | required | |
//! | `pool.backend.weight` | | 1 to 65,535 | 1 | all alike |
//! | `pool.backend.maxconn` | sessions | 0 to 1,073,741,824 | 0: no limit | |
//! | `pool.backend.connection_rate`, `connection_burst` | sessions a second, at once | 0 to 1,000,000 | 0: no limit; one second's | |
//! | `pool.backend.backup` | | true, false | false | |
//! | `pool.backend.tier` | | 0 to 255 | 0 | serves |
//! | `pool.backend.admin` | | `ready`, `drain`, `maintenance` | `ready` | |
//! | `store.dir` | | a directory | required | it is made if it is not there |
//! | `store.node` | | 1 to 255 bytes | none | what status calls this one |
//! | `store.resp` | | an address | no Redis clients | |
//! | `store.health` | | an address | nowhere | where balancers ask whether it is primary |
//! | `store.durability` | | `memory`, `local`; in a cluster `quorum`, `all`, or nodes | `local`, `quorum` | what was answered is there after a crash |
//! | `store.notify` | classes | as Redis' `notify-keyspace-events` | none | nobody pays for what nobody hears |
//! | `store.maxclients` | clients | 1 to 1,000,000 | 10,000 | as Redis |
//! | `store.flush` | | `refuse`, `allow` | `refuse` | one word must not delete everything by accident |
//! | `store.memory_max` | bytes | 0, 64 KiB to 256 TiB | 0: no limit | a limit must fit the machine |
//! | `store.eviction` | | `refuse`, `lru`, `ttl` | `refuse` | nothing goes that nobody asked to go |
//! | `store.disk_bytes_max` | bytes | 0, 256 MiB to 256 TiB | 0: no limit | |
//! | `store.kept_bytes` | bytes | 0 to 256 TiB | 0: none | of the log, behind a snapshot |
//! | `store.output_max` | bytes of a client | 1 MiB to 16 GiB | 256 MiB | one answer of a request as long as may be |
//! | `store.idle` | time | 0, 1 ms to 30 d | 0: no limit | as Redis' `timeout` |
//! | `store.drain` | time | 1 ms to 30 d | 30 s | as `listener.timeouts.drain` |
//! | `store.password`, `password_file` | | one of them | none: nobody logs in | as Redis' `requirepass` |
//! | `admin.bind` | | an address | no admin | |
//! | `admin.mode` | | three octal digits | `0600` | whoever reaches it commands the server |
//!
//! `docs/configuration.md` tells them at length. A text is read in three steps:
//!
//! | file | owns |
//! |---|---|
//! | `syntax` | from text to TOML's tables, every key and value with its place |
//! | `schema` | which keys there are, and which are known but not in this version |
//! | `fields` | from a key to a value of the right type and range |
//! | `listener`, `pool`, `store`, `admin` | one such table each, to what runs |
//! | `cluster`, `engine`, `consensus` | of `store`: who is in a cluster, what the store itself is told, what its node is |
//! | `resolve` | the whole: names, references, addresses used twice |
//! | `bind`, `duration`, `size`, `suggest`, `position`, `problems`, `read` | what these stand on |
//!
//! TOML's own tables are walked rather than derived into structs: a derived reader stops at the first unknown
//! key or wrong type, and this one tells all there are.

mod admin;
mod bind;
mod check;
#[cfg(feature = "replication")]
mod cluster;
#[cfg(feature = "replication")]
mod consensus;
mod discovery;
pub(crate) mod duration;
#[cfg(feature = "store")]
mod engine;
mod fields;
mod listener;
mod pool;
mod position;
mod problems;
mod read;
mod resolve;
mod schema;
#[cfg(feature = "store")]
pub(crate) mod size;
#[cfg(feature = "store")]
mod store;
pub(in crate::server) mod suggest;
mod syntax;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::balance::{Backend, Options};
use crate::discovery::domain::DomainName;
use crate::discovery::members::Template;
use crate::discovery::name::WatchedName;
use crate::error::Result;
use crate::health;
#[cfg(feature = "store")]
pub use crate::health::secret::Secret;
#[cfg(feature = "store")]
use crate::{embedded, store::engine::Durability};
#[cfg(feature = "replication")]
pub use cluster::{Cluster, Member, SecurityPlaces};

pub use crate::proxy::options::{AcceptProxy, Bind, OnDown, SendProxy, Timeouts};
#[cfg(feature = "cli")]
pub(crate) use bind::Purpose;
pub use position::excerpt;
pub use read::{read_text, text_from};

/// The longest text, in bytes: twice what the largest pool takes.
pub const TEXT_MAX: usize = 16 << 20;
/// The most problems that are told; what is beyond is counted.
pub const PROBLEMS_MAX: usize = 100;
/// The most workers.
pub const WORKERS_MAX: u32 = crate::balance::options::LANES_MAX;
/// The most listeners that split reads from writes.
pub const SPLITS_MAX: usize = 32;
/// The most clients of a listener that splits reads from writes, over all workers.
pub const SPLIT_CLIENTS_MAX: u32 = 1_000_000;
/// The most listeners.
pub const LISTENERS_MAX: usize = 1024;
/// The most pools.
pub const POOLS_MAX: usize = 4096;
/// The longest backlog.
pub const BACKLOG_MAX: u32 = 65_535;
/// The most that [`Pool::queue_max`] can be.
pub const QUEUE_MAX: u32 = 1 << 20;
/// The most that [`Pool::attempts`] can be.
pub const ATTEMPTS_MAX: u32 = 100;
/// The most that [`Store::maxclients`] can be.
#[cfg(feature = "store")]
pub const CLIENTS_MAX: u32 = 1_000_000;
/// The least that [`Store::output_max`] can be.
#[cfg(feature = "store")]
pub const OUTPUT_MIN: u64 = 1 << 20;
/// The most that [`Store::output_max`] can be.
#[cfg(feature = "store")]
pub const OUTPUT_MAX: u64 = 16 << 30;
/// The most that `memory_max`, `disk_bytes_max` and other counts of bytes in `[store]` can be.
#[cfg(feature = "store")]
pub const STORE_BYTES_MAX: u64 = 1 << 48;
/// The shortest of [`Timeouts`].
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// The longest of [`Timeouts`]: 30 days.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A configuration that was read and found right: every reference resolved, every value in range.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file, or what the caller named the text.
    pub source: String,
    /// How it runs.
    pub runtime: Runtime,
    /// Where it listens. Names are unique.
    pub listeners: Vec<Listener>,
    /// Where it splits reads from writes of the store. Names are unique among these and the others.
    pub splits: Vec<SplitListener>,
    /// What it sends connections to. Names are unique.
    pub pools: Vec<Pool>,
    /// How names of members are looked up.
    pub discovery: Discovery,
    /// The store in it.
    #[cfg(feature = "store")]
    pub store: Option<Store>,
    /// Where it is asked and told things while running.
    pub admin: Option<Admin>,
}

impl Config {
    /// Reads `text`. `source` is what problems call it: the file's path, or any name.
    ///
    /// Errors: `Config` with everything found wrong, in the order of the text, at most [`PROBLEMS_MAX`]. An
    /// error of TOML's own grammar is told alone, for what follows it cannot be trusted.
    ///
    /// Touches no file and does not block; any thread. Whether the files that it names are good is for
    /// [`Config::check_files`].
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        resolve::config(text, source)
    }

    /// How long it drains unless told otherwise: the longest `timeouts.drain` of the listeners and `drain` of the store.
    pub fn drain(&self) -> Duration {
        let listeners = self.listeners.iter().map(|listener| listener.timeouts.drain).max();
        let listeners = listeners.max(self.splits.iter().map(|split| split.drain).max());
        #[cfg(feature = "store")]
        let listeners = listeners.max(self.store.as_ref().map(|store| store.drain));
        listeners.unwrap_or_default()
    }

    /// Reads the file at `path`. Blocks while it is read.
    ///
    /// Errors: those of [`Config::parse`], and of [`read_text`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path)?, &path.display().to_string())
    }
}

/// `[runtime]`
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Threads of the server's own, 1 to 64; 0 in the file means one per core and is resolved here.
    pub workers: u32,
    /// Probes under way at once, over all pools: 1 to 65,536.
    pub probes_max: u32,
}

/// A place in the configuration's text, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// `[[listener]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its name, 1 to 255 bytes.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// Where in the text `bind` stands.
    pub bind_at: Position,
    /// The pool it sends connections to: an index into [`Config::pools`].
    pub pool: usize,
    /// The most sessions at once over all workers; further clients wait in the system's backlog. 0: no limit.
    pub maxconn: u32,
    /// How many connections the system keeps for us to accept: 1 to 65,535.
    pub backlog: u32,
    /// Whether each connection must begin with a PROXY header.
    pub proxy_protocol: AcceptProxy,
    /// Whether a client that has sent its FIN while it waits for a backend is taken to have left, even when
    /// what it sent before is unread. Without, it is taken to have closed one half only.
    pub abort_on_close: bool,
    /// How long each phase may take.
    pub timeouts: Timeouts,
}

/// Which nodes of the store take reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// All that are fresh enough, the primary among them.
    #[default]
    Any,
    /// Those that are not primary; the primary when there is no other.
    Replicas,
    /// The primary.
    Primary,
}

/// `[[listener]]` with `mode = "resp-split"`
#[derive(Clone, Debug, PartialEq)]
pub struct SplitListener {
    /// Its name, 1 to 255 bytes.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// Where in the text `bind` stands.
    pub bind_at: Position,
    /// Which nodes take reads.
    pub reads: Reads,
    /// How old what a read sees may be.
    pub max_age: Duration,
    /// How long a node is waited for that lacks its client's last write.
    pub catch_up: Duration,
    /// The most clients of a worker that wait for a primary.
    pub queue_max: u32,
    /// The most clients at once over all workers: 1 to 1,000,000.
    pub maxconn: u32,
    /// How many connections the system keeps for us to accept.
    pub backlog: u32,
    /// Until a connection to a node stands.
    pub connect: Duration,
    /// How long a client waits for a primary.
    pub queue: Duration,
    /// How long a client may say nothing; zero: for ever.
    pub idle: Duration,
    /// How long clients have to end by themselves when the server drains.
    pub drain: Duration,
}

/// Those of a listener that says nothing else.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            half_closed: Duration::from_secs(30),
            queue: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        }
    }
}

/// `[[pool]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name, 1 to 255 bytes, without `/`.
    pub name: String,
    /// How it picks.
    pub options: Options,
    /// The most clients that wait for a place at once: 0 to 1,048,576.
    pub queue_max: u32,
    /// Which PROXY header backends are sent.
    pub proxy_protocol: SendProxy,
    /// How many backends one connection may try, the first included: 1 to 100.
    pub attempts: u32,
    /// What becomes of a backend's sessions when it goes down.
    pub on_down: OnDown,
    /// How its backends are checked; `None` for not at all.
    pub check: Option<Check>,
    /// Its backends.
    pub backends: Vec<Backend>,
    /// Names whose members are backends of it, and what these have in common.
    pub watched: Vec<(WatchedName, Template)>,
    /// A file with more backends, followed as it changes.
    pub members_file: Option<PathBuf>,
    /// Its backends are the nodes of the store.
    pub store: Option<StoreMembers>,
}

/// `store` of a pool
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreMembers {
    /// Which nodes are up for it.
    pub role: StoreRole,
    /// In place of the port at which Redis clients are served.
    pub port: Option<u16>,
    /// How old what a node shows may be that is not primary.
    pub lag_max: Option<Duration>,
    /// How many entries it may lack.
    pub lag_entries_max: Option<u64>,
}

/// Which nodes of the store a pool sends connections to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreRole {
    /// The one that orders writes.
    #[default]
    Primary,
    /// All others.
    Replicas,
    /// All.
    Any,
}

/// `[discovery]`
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// The system's list of resolvers.
    pub resolv_conf: PathBuf,
    /// The system's own names.
    pub hosts: PathBuf,
    /// Who is asked in place of those in `resolv_conf`; empty for those.
    pub nameservers: Vec<SocketAddr>,
    /// What names are completed with in place of what `resolv_conf` says.
    pub search: Option<Vec<DomainName>>,
    /// How long answers hold, and what is done without one.
    pub options: crate::discovery::options::Options,
}

/// `check` of a pool, with the role and lag that the pool asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How to check. What needs a login is without its password here.
    pub options: health::Options,
    /// Who the check logs in as.
    pub login: Option<Login>,
}

/// A login for checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// At what.
    pub kind: LoginKind,
    /// As whom.
    pub user: Option<String>,
    /// The file that holds the password; a line end after it is not part of it. Read when the server starts.
    pub password_file: Option<PathBuf>,
    /// Where in the text that stands.
    pub password_at: Position,
    /// The database.
    pub database: Option<String>,
    /// Whether the password may be sent as it is.
    pub allow_cleartext: bool,
    /// Whether to ask for role and lag.
    pub role: bool,
}

/// What a check logs in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// Redis and Valkey.
    Redis,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

/// `[store]`
#[cfg(feature = "store")]
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// The directory, made if it is not there; from the working directory of the process if it does not begin with `/`.
    pub dir: PathBuf,
    /// Where in the text `dir` stands.
    pub dir_at: Position,
    /// The name of this node.
    pub node: Option<String>,
    /// Where Redis clients are served; `None`: nowhere.
    pub resp: Option<Bind>,
    /// Where in the text `resp` stands.
    pub resp_at: Position,
    /// Where balancers ask over HTTP which node this is, and nothing else.
    pub health: Option<Bind>,
    /// Where in the text that stands.
    pub health_at: Position,
    /// The cluster that it is a member of; `None`: it stands alone.
    #[cfg(feature = "replication")]
    pub cluster: Option<Cluster>,
    /// What a write that does not say reaches before it is answered.
    pub durability: Durability,
    /// On how many nodes' disks it is beside that; 0: as `durability` says.
    pub nodes: u32,
    /// What the store is told. Its durability, and whether it is hosted, are not in there.
    pub options: embedded::Options,
    /// Classes of keyspace notifications that are published from the start, as Redis' `notify-keyspace-events` has them.
    pub notify: String,
    /// The most Redis clients at once, over all workers: 1 to 1,000,000.
    pub maxclients: u32,
    /// Whether `FLUSHALL` and `FLUSHDB` do something.
    pub allows_flush: bool,
    /// What Redis clients log in with.
    pub password: Option<Secret>,
    /// The file that holds it; a line end after it is not part of it. Read when the server starts.
    pub password_file: Option<PathBuf>,
    /// Where in the text that stands.
    pub password_at: Position,
    /// The most bytes that a Redis client may leave unread.
    pub output_max: u64,
    /// How long a Redis client may say nothing; zero: for ever.
    pub idle: Duration,
    /// How long a handover, and Redis clients, may take when the server ends gracefully.
    pub drain: Duration,
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens.
    pub bind: Bind,
    /// Where in the text `bind` stands.
    pub bind_at: Position,
    /// Who may connect to the path of a unix socket, as bits: 0 to 0o777.
    pub mode: u32,
}
