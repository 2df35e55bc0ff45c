//! A store as a member of a cluster: joining, how the cluster is (`trimtab_cluster`), who is in it and who is primary.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::capi::cluster_options::{address_of, trimtab_cluster_options};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::pick::TRIMTAB_NO_TIME;
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_call::wait;
use crate::capi::store_options::{StoreOptions, trimtab_store_options};
use crate::capi::text::trimtab_str;
use crate::embedded::{ClusterStatus, Options, Store};
use crate::error::Error;
use crate::replication::{Role, Standing};

/// It orders the writes.
pub const TRIMTAB_NODE_PRIMARY: i32 = 1;
/// It follows, and votes.
pub const TRIMTAB_NODE_REPLICA: i32 = 2;
/// It asks for votes.
pub const TRIMTAB_NODE_CANDIDATE: i32 = 3;
/// It follows without a vote.
pub const TRIMTAB_NODE_LEARNER: i32 = 4;
/// It takes no part: it belongs to no cluster yet, or to none any more, or its log has stopped.
pub const TRIMTAB_NODE_IDLE: i32 = 5;

/// It takes part.
pub const TRIMTAB_STANDING_ACTIVE: i32 = 1;
/// It has forgotten something that it promised: it follows, and votes for nobody, until it is taken in again.
pub const TRIMTAB_STANDING_FORGETFUL: i32 = 2;
/// It takes no part any more, as the others have decided.
pub const TRIMTAB_STANDING_FENCED: i32 = 3;
/// Its log has stopped, or it met something that only a later release knows.
pub const TRIMTAB_STANDING_FAILED: i32 = 4;
/// It begins a new cluster with others, and does not know yet that enough of them are new too: it votes for nobody.
pub const TRIMTAB_STANDING_FOUNDING: i32 = 5;

/// The number of a role.
pub(super) fn role_number(role: Role) -> i32 {
    match role {
        Role::Primary => TRIMTAB_NODE_PRIMARY,
        Role::Replica => TRIMTAB_NODE_REPLICA,
        Role::Candidate => TRIMTAB_NODE_CANDIDATE,
        Role::Learner => TRIMTAB_NODE_LEARNER,
        Role::Idle => TRIMTAB_NODE_IDLE,
    }
}

fn standing_number(standing: &Standing) -> i32 {
    match standing {
        Standing::Active => TRIMTAB_STANDING_ACTIVE,
        Standing::Forgetful { .. } => TRIMTAB_STANDING_FORGETFUL,
        Standing::Fenced(_) => TRIMTAB_STANDING_FENCED,
        Standing::Failed(_) => TRIMTAB_STANDING_FAILED,
        Standing::Founding => TRIMTAB_STANDING_FOUNDING,
    }
}

/// Opens the store in a directory as a member of a cluster, or makes one there. It does not wait until there is a primary:
/// calls do. Else it is a store like any other; every node takes reads and writes. `trimtab_store` lists what a write may come to
/// in a cluster, `TRIMTAB_E_UNKNOWN_OUTCOME` among it, after which it may have been done.
///
/// - `path`, `options`: as for `trimtab_store_open`; NULL for the defaults.
/// - `cluster`: who is in the cluster; nothing of it is kept.
/// - `store_out`: written on success only; end it with `trimtab_store_free`. `trimtab_store_close` of a primary hands over before.
///
/// Returns what `trimtab_store_open` does; `TRIMTAB_E_INVALID_ARGUMENT` also for the directory of another cluster or node or of
/// a store that is no member, for options of the cluster that are out of range or do not fit together, and for certificates that
/// the others would not take; `TRIMTAB_E_UNSUPPORTED` also for a hosted store.
/// Thread safety: any thread, at any time. Blocks while it reads the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_join(
    path: trimtab_str,
    options: *const trimtab_store_options,
    cluster: *const trimtab_cluster_options,
    store_out: *mut *mut trimtab_store,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `path.data` readable for `path.len` bytes during the call.
        let path = unsafe { path.raw("path") }?;
        let options = if options.is_null() {
            Options::default()
        } else {
            // SAFETY: not null, so a live result of `trimtab_store_options_new`.
            StoreOptions::for_a_store(&*unsafe { handle::borrow(options, "options") }?)
        };
        // SAFETY: `cluster` is null or a live result of `trimtab_cluster_options_new`; null is refused.
        let cluster = unsafe { handle::borrow(cluster, "cluster") }?.for_a_store()?;
        // SAFETY: `store_out` is null or writable; null is refused.
        let store_out = unsafe { handle::out(store_out, "store_out") }?;
        store_out.write(handle::give(Store::join(Path::new(OsStr::from_bytes(path)), options, cluster)?));
        Ok(())
    })
}

/// How a cluster was, as one of its nodes saw it, when `trimtab_store_cluster` made this. Any number of threads may read it.
pub struct trimtab_cluster {
    _opaque: (),
}

impl Handle for trimtab_cluster {
    type Value = Seen;
    const LIVE: u32 = 0x7474_7932;
}

/// What the handle stands for. The addresses are the nodes', as text.
pub(super) struct Seen {
    status: ClusterStatus,
    addresses: Vec<String>,
}

/// How a cluster is, as one of its nodes sees it. Its texts are good until the `trimtab_cluster` they came from is freed, and
/// end with no NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_cluster_status {
    /// `sizeof(trimtab_cluster_status)`, set by the caller before the call.
    pub struct_size: u32,
    /// What this node is: one of `TRIMTAB_NODE_...`.
    pub role: i32,
    /// Whether it may be believed: one of `TRIMTAB_STANDING_...`.
    pub standing: i32,
    /// How many nodes there are, this one too.
    pub nodes: u32,
    /// The cluster's name.
    pub cluster: *const c_char,
    /// How many bytes.
    pub cluster_len: usize,
    /// This node's name.
    pub node: *const c_char,
    /// How many bytes.
    pub node_len: usize,
    /// The name of the primary, as far as it is known; else NULL.
    pub primary: *const c_char,
    /// How many bytes.
    pub primary_len: usize,
    /// Where clients reach the primary, as far as it said; else NULL.
    pub primary_address: *const c_char,
    /// How many bytes.
    pub primary_address_len: usize,
    /// Why this node takes no part, and what to do; NULL while it does.
    pub trouble: *const c_char,
    /// How many bytes.
    pub trouble_len: usize,
    /// The epoch.
    pub epoch: u64,
    /// Counts promotions by force.
    pub generation: u64,
    /// The last entry of the log.
    pub last: u64,
    /// The last that is committed, as far as it is known.
    pub committed: u64,
    /// The last that is applied: what this node shows.
    pub applied: u64,
    /// The last that is on its disk.
    pub durable: u64,
    /// How old what is applied may be, in nanoseconds; 0 on a primary that holds its quorum, `TRIMTAB_NO_TIME` when that is not
    /// known.
    pub age_ns: u64,
    /// How long nobody else can be primary, in nanoseconds; `TRIMTAB_NO_TIME` when this node is not, or does not hold its
    /// quorum.
    pub lease_ns: u64,
    /// Calls that wait for a primary.
    pub held: u64,
    /// Calls passed on to the primary and not answered.
    pub forwarded: u64,
    /// Frames of other nodes that were refused.
    pub refused_frames: u64,
    /// Frames that did not leave, since there was no link or too much waited.
    pub unsent_frames: u64,
    /// Connections of others that were refused.
    pub refused_peers: u64,
    /// Writes answered with fewer nodes than they asked for, since this node was opened: see
    /// `trimtab_cluster_options_set_degrade_after_ms`.
    pub degraded_writes: u64,
    /// 1: that is so at present: this primary's last such write is not yet on as many nodes as it asked for; else 0.
    pub is_degraded: i32,
    /// 0.
    pub reserved: u32,
    /// Who was refused last, from where and why; NULL: nobody was.
    pub last_refusal: *const c_char,
    /// How many bytes.
    pub last_refusal_len: usize,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_cluster_status {
    const FIRST_SIZE: usize = 192;
    const UNSAID: Self = Self {
        struct_size: 0,
        role: 0,
        standing: 0,
        nodes: 0,
        cluster: std::ptr::null(),
        cluster_len: 0,
        node: std::ptr::null(),
        node_len: 0,
        primary: std::ptr::null(),
        primary_len: 0,
        primary_address: std::ptr::null(),
        primary_address_len: 0,
        trouble: std::ptr::null(),
        trouble_len: 0,
        epoch: 0,
        generation: 0,
        last: 0,
        committed: 0,
        applied: 0,
        durable: 0,
        age_ns: TRIMTAB_NO_TIME,
        lease_ns: TRIMTAB_NO_TIME,
        held: 0,
        forwarded: 0,
        refused_frames: 0,
        unsent_frames: 0,
        refused_peers: 0,
        degraded_writes: 0,
        is_degraded: 0,
        reserved: 0,
        last_refusal: std::ptr::null(),
        last_refusal_len: 0,
    };
}

/// A node of a cluster, as another one sees it. Its texts are as those of `trimtab_cluster_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_cluster_node {
    /// `sizeof(trimtab_cluster_node)`, set by the caller before the call.
    pub struct_size: u32,
    /// 1: it votes; 0: it follows without a vote.
    pub is_voter: i32,
    /// 1: it is the primary; else 0.
    pub is_primary: i32,
    /// 1: there is a link to it, or it is this node; else 0.
    pub is_linked: i32,
    /// Its name.
    pub name: *const c_char,
    /// How many bytes.
    pub name_len: usize,
    /// Where it listens, `ip:port` or `[ip]:port`; NULL: nowhere.
    pub address: *const c_char,
    /// How many bytes.
    pub address_len: usize,
    /// Where its clients reach it, as far as it said; else NULL.
    pub client_address: *const c_char,
    /// How many bytes.
    pub client_address_len: usize,
    /// Its number, made of its name.
    pub number: u64,
    /// The last entry known to be on its disk; `TRIMTAB_NO_TIME` where that is not known: on a primary, and of this node, it
    /// is.
    pub matched: u64,
    /// How many entries it is behind; `TRIMTAB_NO_TIME` where that is not known: on a primary it is.
    pub lag: u64,
    /// Who feeds it instead of the primary; NULL: the primary does, or that is not known, as it is on a primary, and on the two of
    /// them.
    pub source: *const c_char,
    /// How many bytes.
    pub source_len: usize,
    /// Why there is no link to it, or why its frames, or others that came under its name, were refused last; NULL once a link has
    /// come up since.
    pub trouble: *const c_char,
    /// How many bytes.
    pub trouble_len: usize,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_cluster_node {
    const FIRST_SIZE: usize = 88;
    const UNSAID: Self = Self {
        struct_size: 0,
        is_voter: 0,
        is_primary: 0,
        is_linked: 0,
        name: std::ptr::null(),
        name_len: 0,
        address: std::ptr::null(),
        address_len: 0,
        client_address: std::ptr::null(),
        client_address_len: 0,
        number: 0,
        matched: TRIMTAB_NO_TIME,
        lag: TRIMTAB_NO_TIME,
        source: std::ptr::null(),
        source_len: 0,
        trouble: std::ptr::null(),
        trouble_len: 0,
    };
}

/// A text that C borrows; NULL for none.
pub(super) fn lent(text: Option<&str>) -> (*const c_char, usize) {
    text.map_or((std::ptr::null(), 0), |text| (text.as_ptr().cast::<c_char>(), text.len()))
}

fn nanoseconds(duration: Option<Duration>) -> u64 {
    duration.map_or(TRIMTAB_NO_TIME, |it| u64::try_from(it.as_nanos()).unwrap_or(TRIMTAB_NO_TIME - 1))
}

/// How the cluster of a store is.
///
/// - `cluster_out`: written on success only; end it with `trimtab_cluster_free`. It does not change any more.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` also when the store is in no cluster.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_cluster(
    store: *const trimtab_store,
    cluster_out: *mut *mut trimtab_cluster,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `cluster_out` is null or writable; null is refused.
        let cluster_out = unsafe { handle::out(cluster_out, "cluster_out") }?;
        let status = store.cluster()?;
        let text =
            |address: &Option<std::net::SocketAddr>| address.map(|it| it.to_string()).unwrap_or_default();
        let addresses = status.nodes.iter().map(|node| text(&node.address)).collect();
        cluster_out.write(handle::give(Seen { status, addresses }));
        Ok(())
    })
}

/// Ends what `trimtab_store_cluster` made, and the texts that came from it.
///
/// - `cluster`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `cluster`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_free(cluster: *mut trimtab_cluster) {
    guard_value((), || {
        // SAFETY: `cluster` is null or a live result of `trimtab_store_cluster` that nobody else uses.
        unsafe { handle::free(cluster) }
    })
}

/// The cluster as a whole.
///
/// - `status_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_status_read(
    cluster: *const trimtab_cluster,
    status_out: *mut trimtab_cluster_status,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `cluster` is null or a live result of `trimtab_store_cluster`; null is refused.
        let cluster = unsafe { handle::borrow(cluster, "cluster") }?;
        // SAFETY: `status_out` is null or as large as its `struct_size` says; null is refused.
        let status_out = unsafe { handle::out_struct(status_out, "status_out") }?;
        let status = &cluster.status;
        let (name, name_len) = lent(Some(&status.cluster));
        let (node, node_len) = lent(Some(&status.node));
        let (primary, primary_len) = lent(status.primary.as_deref());
        let (primary_address, primary_address_len) = lent(status.primary_address.as_deref());
        let (trouble, trouble_len) = lent(status.trouble.as_deref());
        let (last_refusal, last_refusal_len) = lent(status.last_refusal.as_deref());
        let struct_size = status_out.size();
        status_out.write(trimtab_cluster_status {
            struct_size,
            role: role_number(status.role),
            standing: standing_number(&status.standing),
            nodes: status.nodes.len() as u32,
            cluster: name,
            cluster_len: name_len,
            node,
            node_len,
            primary,
            primary_len,
            primary_address,
            primary_address_len,
            trouble,
            trouble_len,
            epoch: status.epoch,
            generation: status.generation,
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            durable: status.durable,
            age_ns: nanoseconds(status.age),
            lease_ns: nanoseconds(status.lease),
            held: status.held as u64,
            forwarded: status.forwarded as u64,
            refused_frames: status.refused_frames,
            unsent_frames: status.unsent_frames,
            refused_peers: status.refused_peers,
            degraded_writes: status.degraded_writes,
            is_degraded: i32::from(status.is_degraded),
            reserved: 0,
            last_refusal,
            last_refusal_len,
        });
        Ok(())
    })
}

/// One of the nodes.
///
/// - `at`: from 0 to below `nodes` of the status. They are in the order of their numbers, which all nodes share.
/// - `node_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, or `TRIMTAB_E_NOT_FOUND` when there are not so many.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_node_read(
    cluster: *const trimtab_cluster,
    at: u32,
    node_out: *mut trimtab_cluster_node,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `cluster` is null or a live result of `trimtab_store_cluster`; null is refused.
        let cluster = unsafe { handle::borrow(cluster, "cluster") }?;
        // SAFETY: `node_out` is null or as large as its `struct_size` says; null is refused.
        let node_out = unsafe { handle::out_struct(node_out, "node_out") }?;
        let index = at as usize;
        let found = cluster.status.nodes.get(index).zip(cluster.addresses.get(index));
        let (node, address) = found.ok_or_else(|| Error::NotFound { what: "node", value: at.to_string() })?;
        let (name, name_len) = lent(Some(&node.name));
        let (address, address_len) = lent(Some(address.as_str()).filter(|it| !it.is_empty()));
        let (client_address, client_address_len) = lent(node.client_address.as_deref());
        let (source, source_len) = lent(node.source.as_deref());
        let (trouble, trouble_len) = lent(node.trouble.as_deref());
        let struct_size = node_out.size();
        node_out.write(trimtab_cluster_node {
            struct_size,
            is_voter: i32::from(node.is_voter),
            is_primary: i32::from(node.is_primary),
            is_linked: i32::from(node.is_linked),
            name,
            name_len,
            address,
            address_len,
            client_address,
            client_address_len,
            number: node.number,
            matched: node.matched.unwrap_or(TRIMTAB_NO_TIME),
            lag: node.lag.unwrap_or(TRIMTAB_NO_TIME),
            source,
            source_len,
            trouble,
            trouble_len,
        });
        Ok(())
    })
}

/// Hands over to another voter, which has all of the log by then. Writes wait while that one is about to take over; while it
/// does not answer, or is far behind, they go on.
///
/// - `to`: its name.
/// - `timeout_ms`: waits at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever. When that is over the
///   handover goes on; it is called off when it takes longer than `transfer_timeout_ms`, and by `trimtab_store_abort_transfer`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or what each change of the cluster may: `TRIMTAB_E_NOT_PRIMARY` from
/// another node than the primary, which is to be asked; `TRIMTAB_E_NO_QUORUM`; `TRIMTAB_E_NOT_FOUND` for a node that is not
/// known; `TRIMTAB_E_INVALID_ARGUMENT` for what cannot be; `TRIMTAB_E_STATE` also when the store is in no cluster, the
/// cluster is busy with another change, or the handover was called off; `TRIMTAB_E_TIMED_OUT` and `TRIMTAB_E_UNKNOWN_OUTCOME` when it is not known what came of
/// it.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_transfer(
    store: *const trimtab_store,
    to: trimtab_str,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `to.data` readable for `to.len` bytes during the call.
        let to = unsafe { to.text("to") }?;
        Ok(store.transfer(to, timeout(timeout_ms))?)
    })
}

/// Calls off the handover that is under way. Whoever waits for it gets `TRIMTAB_E_STATE`, and writes go on. The other node may
/// take over all the same, when it had been told to already.
///
/// - `aborted_out`: 1 when there was one, otherwise 0; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_PRIMARY` from another node than the primary, which is to be asked,
/// `TRIMTAB_E_STATE` when the store is closed, in no cluster, or takes no part any more, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_abort_transfer(
    store: *const trimtab_store,
    aborted_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `aborted_out` is null or writable; null is refused before anything changes.
        let aborted_out = unsafe { handle::out(aborted_out, "aborted_out") }?;
        aborted_out.write(i32::from(store.abort_transfer()?));
        Ok(())
    })
}

/// Reads the certificates, key and authorities of the links anew, from the files that the options named. Links made from now on
/// use them; those that are up stay with what they were made with. Whole or not at all.
///
/// Returns `TRIMTAB_OK`; `TRIMTAB_E_NULL`; `TRIMTAB_E_INVALID_ARGUMENT` for certificates that the other nodes would not take, and
/// `TRIMTAB_E_IO` for files that cannot be read: all is as before; `TRIMTAB_E_STATE` when the store is in no cluster, its links are
/// in plaintext, or it is closed; `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Blocks while files are read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_reload_certificates(store: *const trimtab_store) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        Ok(store.reload_certificates()?)
    })
}

/// Takes a node in, which follows without a vote: see `trimtab_store_promote_learner`. It is opened with
/// `TRIMTAB_BEGINNING_JOIN`, before or after.
///
/// - `name`: a new one; what was removed comes back under another.
/// - `address`: where it listens; empty: nowhere, it dials the others.
/// - `timeout_ms`: as for `trimtab_store_transfer`.
///
/// Returns what `trimtab_store_transfer` does.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_add_node(
    store: *const trimtab_store,
    name: trimtab_str,
    address: trimtab_str,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        // SAFETY: likewise for `address`.
        let address = unsafe { address_of(address) }?;
        store.add(name, address, timeout(timeout_ms))?;
        Ok(())
    })
}

/// Gives a learner a vote, as soon as it has caught up; waits for that until the time is over.
///
/// - `name`: the learner.
/// - `timeout_ms`: as for `trimtab_store_transfer`.
///
/// Returns what `trimtab_store_transfer` does.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_promote_learner(
    store: *const trimtab_store,
    name: trimtab_str,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        store.promote_learner(name, timeout(timeout_ms))?;
        Ok(())
    })
}

/// Takes a node out, for good: its name is not used again. A primary is not taken out: have it hand over first.
///
/// - `name`: the node.
/// - `timeout_ms`: as for `trimtab_store_transfer`.
///
/// Returns what `trimtab_store_transfer` does.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_remove_node(
    store: *const trimtab_store,
    name: trimtab_str,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        store.remove(name, timeout(timeout_ms))?;
        Ok(())
    })
}

/// Gives the vote of a node that is lost to a learner that has caught up, and takes the other out: one change.
///
/// - `lost`, `with`: the nodes.
/// - `timeout_ms`: as for `trimtab_store_transfer`.
///
/// Returns what `trimtab_store_transfer` does.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_replace_node(
    store: *const trimtab_store,
    lost: trimtab_str,
    with: trimtab_str,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `lost.data` readable for `lost.len` bytes during the call.
        let lost = unsafe { lost.text("lost") }?;
        // SAFETY: likewise for `with`.
        let with = unsafe { with.text("with") }?;
        store.replace(lost, with, timeout(timeout_ms))?;
        Ok(())
    })
}

/// How long a call waits; `None`: the store's timeout.
pub(super) fn timeout(timeout_ms: i64) -> Option<Duration> {
    (timeout_ms != 0).then(|| wait(timeout_ms))
}
