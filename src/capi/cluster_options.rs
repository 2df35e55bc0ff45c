//! How a store is a member of a cluster: `trimtab_cluster_options`. What must fit together is checked when the store joins,
//! for no setter sees all of it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store_options::DURABILITIES;
use crate::capi::text::trimtab_str;
use crate::embedded::{Beginning, ClusterOptions, Directory, MemberOptions, ReadLevel};
use crate::error::Error;
use crate::peer::{NodeName, Security};

/// The store's default.
pub const TRIMTAB_READ_DEFAULT: i32 = 0;
/// It sees all that was answered at `TRIMTAB_DURABILITY_QUORUM` or more before the read, whichever node it is asked of.
pub const TRIMTAB_READ_PRIMARY: i32 = 1;
/// It sees what is on this node, no older than `age_max_ms`.
pub const TRIMTAB_READ_REPLICA: i32 = 2;
/// It sees what is on this node, however old.
pub const TRIMTAB_READ_LOCAL: i32 = 3;

/// A node whose directory is empty begins a new cluster, with all others that are told so. The default.
pub const TRIMTAB_BEGINNING_NEW: i32 = 0;
/// The cluster is there already: it waits to be added, or, as a member whose directory was lost, to be taken in again.
pub const TRIMTAB_BEGINNING_JOIN: i32 = 1;
/// The directory has a store of one node, which becomes the first node of a new cluster, with all it has; the others are added
/// to it, and opened with `TRIMTAB_BEGINNING_JOIN`. Of no account later on.
pub const TRIMTAB_BEGINNING_ADOPT: i32 = 2;

/// The file system says whether the directory was copied. The default.
pub const TRIMTAB_DIRECTORY_DETECT: i32 = 0;
/// It is as the node left it, though it was moved.
pub const TRIMTAB_DIRECTORY_ORIGINAL: i32 = 1;
/// It was put back from a copy: the node votes for nobody until the others have taken it in again.
pub const TRIMTAB_DIRECTORY_COPY: i32 = 2;
/// The node is to be the primary, by force, with what is in it; all who voted before are out. For when they are gone for
/// good, and once.
pub const TRIMTAB_DIRECTORY_PROMOTED: i32 = 3;

const BEGINNINGS: [(i32, Beginning); 3] = [
    (TRIMTAB_BEGINNING_NEW, Beginning::New),
    (TRIMTAB_BEGINNING_JOIN, Beginning::Join),
    (TRIMTAB_BEGINNING_ADOPT, Beginning::Adopt),
];
const DIRECTORIES: [(i32, Directory); 4] = [
    (TRIMTAB_DIRECTORY_DETECT, Directory::Detect),
    (TRIMTAB_DIRECTORY_ORIGINAL, Directory::Original),
    (TRIMTAB_DIRECTORY_COPY, Directory::Copy),
    (TRIMTAB_DIRECTORY_PROMOTED, Directory::Promoted),
];

/// How a store is a member of a cluster. Say who the members are and how links are secured, set what differs from the
/// defaults, hand it to `trimtab_store_join` as often as needed, free it. What does not fit together, or is out of range, is
/// refused there.
///
/// The functions `trimtab_cluster_...`, `trimtab_store_join` and those for members are there in a library built with the
/// features `proxy` and `replication`, which every release is; `trimtab_feature_has` tells.
pub struct trimtab_cluster_options {
    _opaque: (),
}

impl Handle for trimtab_cluster_options {
    type Value = MemberOf;
    const LIVE: u32 = 0x7474_7930;
}

/// What the handle stands for.
pub(super) struct MemberOf {
    options: ClusterOptions,
    is_secured: bool,
}

impl MemberOf {
    /// What a store that joins now is told.
    pub(super) fn for_a_store(&self) -> Result<ClusterOptions, Failure> {
        if !self.is_secured {
            let why = "is not said; set certificates, or plaintext by its name";
            return Err(Error::invalid("security", why).into());
        }
        Ok(self.options.clone())
    }
}

/// Freshness as C says it; `None`: the default.
pub(super) fn read_level(level: i32, age_max_ms: u64) -> Result<Option<ReadLevel>, Failure> {
    let age_max = Duration::from_millis(age_max_ms);
    let levels = [
        (TRIMTAB_READ_DEFAULT, None),
        (TRIMTAB_READ_PRIMARY, Some(ReadLevel::Primary)),
        (TRIMTAB_READ_REPLICA, Some(ReadLevel::Replica { age_max })),
        (TRIMTAB_READ_LOCAL, Some(ReadLevel::Local)),
    ];
    choice("level", level, &levels)
}

/// The address that a text is; `None` when it is empty.
///
/// # Safety
/// `address.data` is null or readable for `address.len` bytes.
pub(super) unsafe fn address_of(address: trimtab_str) -> Result<Option<SocketAddr>, Failure> {
    // SAFETY: passed on to the caller.
    let text = unsafe { address.text("address") }?;
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse().map_err(|_| {
        Error::invalid("address", format!("{text:.80?} is no address with a port; write 10.0.0.5:7400"))
    })?;
    Ok(Some(parsed))
}

/// # Safety
/// `path.data` is null or readable for `path.len` bytes.
unsafe fn path_of(path: trimtab_str, what: &'static str) -> Result<Option<PathBuf>, Failure> {
    // SAFETY: passed on to the caller.
    let bytes = unsafe { path.raw(what) }?;
    Ok((!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(bytes))))
}

/// Makes options of a member.
///
/// - `node`: the name of this node, one of those given to `trimtab_cluster_options_add_member`: 1 to 63 bytes of a to z, 0 to
///   9, `-`, `_` and `.`, like `db-1`. A name is used once: what was removed comes back under another.
/// - `options_out`: written on success only; end it with `trimtab_cluster_options_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_new(
    node: trimtab_str,
    options_out: *mut *mut trimtab_cluster_options,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `node.data` readable for `node.len` bytes during the call.
        let node: NodeName = unsafe { node.text("node") }?.parse()?;
        // SAFETY: `options_out` is null or writable; null is refused.
        let options_out = unsafe { handle::out(options_out, "options_out") }?;
        let options = ClusterOptions::new(node, Vec::new(), Security::InsecurePlaintext);
        options_out.write(handle::give(MemberOf { options, is_secured: false }));
        Ok(())
    })
}

/// Ends options. Stores that joined with them go on.
///
/// - `options`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_free(options: *mut trimtab_cluster_options) {
    guard_value((), || {
        // SAFETY: `options` is null or a live result of `trimtab_cluster_options_new` that nobody else uses.
        unsafe { handle::free(options) }
    })
}

/// Sets the name of the cluster, the same on all its nodes: nodes of another are refused.
///
/// - `cluster`: 1 to 255 bytes; default `trimtab`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_cluster(
    options: *mut trimtab_cluster_options,
    cluster: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `cluster.data` readable for `cluster.len` bytes during the call.
        options.options.cluster = unsafe { cluster.text("cluster") }?.into();
        Ok(())
    })
}

/// Says of one more node, this one too. A new cluster begins with them, and all of them are told the same; later on who is
/// in the cluster is in its log, and these are where the others are found.
///
/// - `name`: as for `trimtab_cluster_options_new`.
/// - `address`: where it listens, `ip:port` or `[ip]:port`; empty: nowhere, so that it dials the others.
/// - `is_learner`: 1 for one that follows without a vote, else 0.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_add_member(
    options: *mut trimtab_cluster_options,
    name: trimtab_str,
    address: trimtab_str,
    is_learner: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name: NodeName = unsafe { name.text("name") }?.parse()?;
        // SAFETY: likewise for `address`.
        let address = unsafe { address_of(address) }?;
        let is_learner = choice("is_learner", is_learner, &NO_YES)?;
        options.options.members.push(MemberOptions { name, address, is_learner });
        Ok(())
    })
}

/// Sets where this node listens, in place of its address among the members.
///
/// - `address`: `ip:port` or `[ip]:port`; empty: that among the members, the default.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_listen(
    options: *mut trimtab_cluster_options,
    address: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `address.data` readable for `address.len` bytes during the call.
        options.options.listen = unsafe { address_of(address) }?;
        Ok(())
    })
}

/// Secures the links with mutual TLS 1.3: both ends show a certificate for their names that an authority has signed. The files
/// are read when the store joins.
///
/// - `certificate`: a PEM file with this node's certificate and what leads from it to the authority.
/// - `key`: the PEM file with its key; empty: `certificate` has it.
/// - `ca`: the PEM file with the authorities.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_tls(
    options: *mut trimtab_cluster_options,
    certificate: trimtab_str,
    key: trimtab_str,
    ca: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps what the texts point to readable during the call.
        let certificate = unsafe { path_of(certificate, "certificate") }?;
        // SAFETY: likewise.
        let key = unsafe { path_of(key, "key") }?;
        // SAFETY: likewise.
        let ca = unsafe { path_of(ca, "ca") }?;
        let (Some(certificate), Some(ca)) = (certificate, ca) else {
            return Err(Error::invalid("certificate", "and ca name files; one of them is empty").into());
        };
        options.options.security = Security::Tls { certificates: vec![certificate], key, ca };
        options.is_secured = true;
        Ok(())
    })
}

/// Leaves the links unsecured: whoever reaches the port can be any node, and whoever listens reads all.
///
/// - `anywhere`: 0: on loopback addresses alone; 1: on any, for networks that are secured otherwise.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_insecure_plaintext(
    options: *mut trimtab_cluster_options,
    anywhere: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.security = match choice("anywhere", anywhere, &NO_YES)? {
            false => Security::InsecurePlaintext,
            true => Security::InsecurePlaintextAnywhere,
        };
        options.is_secured = true;
        Ok(())
    })
}

/// Sets what a node does whose directory is empty.
///
/// - `beginning`: one of `TRIMTAB_BEGINNING_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_beginning(
    options: *mut trimtab_cluster_options,
    beginning: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.beginning = choice("beginning", beginning, &BEGINNINGS)?;
        Ok(())
    })
}

/// Sets what is known of the directory.
///
/// - `directory`: one of `TRIMTAB_DIRECTORY_...`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_directory(
    options: *mut trimtab_cluster_options,
    directory: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.directory = choice("directory", directory, &DIRECTORIES)?;
        Ok(())
    })
}

/// Sets how durable a write is before it is answered that does not say so itself.
///
/// - `durability`: one of `TRIMTAB_DURABILITY_...`; default `TRIMTAB_DURABILITY_QUORUM`: what was answered stays, whichever node
///   is lost.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_durability(
    options: *mut trimtab_cluster_options,
    durability: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let durability = choice("durability", durability, &DURABILITIES)?;
        options.options.durability = durability.unwrap_or(crate::store::engine::Durability::Quorum);
        Ok(())
    })
}

/// Sets on how many nodes' disks a write is to be that does not say so itself, beside those of a quorum. Learners count.
///
/// - `nodes`: 1 to 64; 0: as the durability says, the default. With more than there are no write is answered before its time
///   is over, or `degrade_after_ms`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_nodes(
    options: *mut trimtab_cluster_options,
    nodes: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.nodes = nodes;
        Ok(())
    })
}

/// Sets how fresh what a read sees is that does not say so itself: all reads but those that say `_at`.
///
/// - `level`: one of `TRIMTAB_READ_...`; default `TRIMTAB_READ_PRIMARY`: a read on any node sees all that was answered before it.
/// - `age_max_ms`: with `TRIMTAB_READ_REPLICA`, how old it may be at most, in milliseconds; else unread.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_read(
    options: *mut trimtab_cluster_options,
    level: i32,
    age_max_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.read = read_level(level, age_max_ms)?.unwrap_or_default();
        Ok(())
    })
}

/// Sets whether a node that is not primary passes writes and reads of the primary's freshness on to it.
///
/// - `forwards`: 1, the default, or 0: they are refused with `TRIMTAB_E_NOT_PRIMARY`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_forwards(
    options: *mut trimtab_cluster_options,
    forwards: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.forwards = choice("forwards", forwards, &NO_YES)?;
        Ok(())
    })
}

/// Sets how long a call waits for a primary before it is refused with `TRIMTAB_E_NO_QUORUM`.
///
/// - `patience_ms`: milliseconds, up to an hour; default 3000, for an election takes less than a second.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_patience_ms(
    options: *mut trimtab_cluster_options,
    patience_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.patience = Duration::from_millis(patience_ms);
        Ok(())
    })
}

/// Sets how many calls may wait for a primary or be passed on, and how many each other node may have passed on to this one.
///
/// - `calls`: 1 to 16777216; default 65536.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_forward_max(
    options: *mut trimtab_cluster_options,
    calls: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.forward_max = calls;
        Ok(())
    })
}

/// Sets where clients of this node reach it, for the other nodes to tell theirs.
///
/// - `address`: up to 128 bytes, whatever the clients understand; empty for none, the default.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_UTF8`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_client_address(
    options: *mut trimtab_cluster_options,
    address: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `address.data` readable for `address.len` bytes during the call.
        let address = unsafe { address.text("address") }?;
        options.options.client_address = (!address.is_empty()).then(|| address.into());
        Ok(())
    })
}

/// Sets after how long a write that is committed is answered although fewer nodes have it than were asked for. Its result
/// says that it is degraded.
///
/// - `degrade_after_ms`: milliseconds; 0 for never, the default: it is answered when the call's time is over.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_degrade_after_ms(
    options: *mut trimtab_cluster_options,
    degrade_after_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let after = (degrade_after_ms > 0).then(|| Duration::from_millis(degrade_after_ms));
        options.options.replication.degrade_after = after;
        Ok(())
    })
}

/// Adds a node by which this one is fed as long as it is a learner, instead of by the primary: the best first. It takes the
/// first that is up to date; when none is, the primary feeds it.
///
/// - `node`: its name; at most eight.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_INVALID_ARGUMENT` for what is no name.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_add_feed_from(
    options: *mut trimtab_cluster_options,
    node: trimtab_str,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `node.data` readable for `node.len` bytes during the call.
        let node = unsafe { node.text("node") }?;
        options.options.feed_from.push(node.parse()?);
        Ok(())
    })
}

/// Sets after how long without anything new from where it is fed a learner is fed by the primary again.
///
/// - `timeout_ms`: milliseconds, 400 to an hour; default 2000.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_feed_timeout_ms(
    options: *mut trimtab_cluster_options,
    timeout_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.feed_timeout = Duration::from_millis(timeout_ms);
        Ok(())
    })
}

/// Sets after how long a handover is called off.
///
/// - `timeout_ms`: milliseconds, 10 to an hour; default 2000.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_transfer_timeout_ms(
    options: *mut trimtab_cluster_options,
    timeout_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.transfer_timeout = Duration::from_millis(timeout_ms);
        Ok(())
    })
}

/// Sets how many bytes of entries one message to another node has at most, unless one entry is longer.
///
/// - `message_bytes`: 1024 to 16777216, and no more than an eighth of a segment; default 262144.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_message_bytes(
    options: *mut trimtab_cluster_options,
    message_bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.message_bytes = message_bytes;
        Ok(())
    })
}

/// Sets how many bytes of the log that a snapshot stands for are kept for nodes that are behind; one that needs more gets
/// the snapshot.
///
/// - `bytes`: 0 to 2^48; default 256 MiB.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_kept_bytes_max(
    options: *mut trimtab_cluster_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.kept_bytes_max = bytes;
        Ok(())
    })
}

/// Sets how many bytes of snapshots are sent in a second to nodes that catch up, to all of them together.
///
/// - `bytes`: in a second; 0 for no limit, the default.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_snapshot_rate(
    options: *mut trimtab_cluster_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.snapshot_rate = bytes;
        Ok(())
    })
}

/// Sets how long a write to the primary's disk may take before it hands over to a node whose disk is quicker.
///
/// - `slow_flush_ms`: milliseconds, 10 to an hour; 0 for as long as it takes; default 1000.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_slow_flush_ms(
    options: *mut trimtab_cluster_options,
    slow_flush_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let slow = (slow_flush_ms > 0).then(|| Duration::from_millis(slow_flush_ms));
        options.options.replication.slow_flush = slow;
        Ok(())
    })
}

/// Sets after how many ticks of 20 ms without a word of the primary an election begins; after twice as many at the latest. More
/// of them suit nodes that are far from each other, or hosts that halt now and then; the same on all nodes.
///
/// - `ticks`: 10 to 10000; default 20, so 400 to 800 ms. `trimtab_cluster_options_set_feed_timeout_ms` must not be less.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_options_set_election_ticks(
    options: *mut trimtab_cluster_options,
    ticks: u32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.options.replication.election_ticks = ticks;
        Ok(())
    })
}

const NO_YES: [(i32, bool); 2] = [(0, false), (1, true)];
