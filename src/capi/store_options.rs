//! How a store is opened: `trimtab_store_options`. Each setter refuses what is out of range at once; the ranges
//! themselves are those of [`Options`].

use std::time::Duration;

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store_backup::interval;
use crate::capi::text::trimtab_bytes;
use crate::embedded::Options;
use crate::error::Error;
use crate::store::engine::Durability;
use crate::store::index::evict::Eviction;
use crate::store::log::Identity;

/// What the store was opened with. The default.
pub const TRIMTAB_DURABILITY_DEFAULT: i32 = 0;
/// In memory, and on its way to disk: a crash may take it, and what came later, but none of what came before.
pub const TRIMTAB_DURABILITY_MEMORY: i32 = 1;
/// On this disk: it is there after a crash.
pub const TRIMTAB_DURABILITY_LOCAL: i32 = 2;
/// On the disks of more than half of the voters of a cluster. `TRIMTAB_E_UNSUPPORTED` in a store of one node.
pub const TRIMTAB_DURABILITY_QUORUM: i32 = 3;
/// On the disks of all voters of a cluster. `TRIMTAB_E_UNSUPPORTED` in a store of one node.
pub const TRIMTAB_DURABILITY_ALL: i32 = 4;

/// Nothing goes: the write is refused. The default.
pub const TRIMTAB_EVICTION_REFUSE: i32 = 0;
/// Keys go that were not used for long; those of leases stay.
pub const TRIMTAB_EVICTION_LRU: i32 = 1;
/// Keys with a deadline go, the next due first; others stay.
pub const TRIMTAB_EVICTION_TTL: i32 = 2;

/// How many bytes name a cluster.
const NAME_BYTES: usize = 16;

pub(super) const DURABILITIES: [(i32, Option<Durability>); 5] = [
    (TRIMTAB_DURABILITY_DEFAULT, None),
    (TRIMTAB_DURABILITY_MEMORY, Some(Durability::Memory)),
    (TRIMTAB_DURABILITY_LOCAL, Some(Durability::Local)),
    (TRIMTAB_DURABILITY_QUORUM, Some(Durability::Quorum)),
    (TRIMTAB_DURABILITY_ALL, Some(Durability::All)),
];
const EVICTIONS: [(i32, Eviction); 3] = [
    (TRIMTAB_EVICTION_REFUSE, Eviction::Refuse),
    (TRIMTAB_EVICTION_LRU, Eviction::Lru),
    (TRIMTAB_EVICTION_TTL, Eviction::Ttl),
];

/// How a store is to be opened. Set what differs from the defaults, hand it to `trimtab_store_open` as often as
/// needed, free it. A store keeps nothing of it.
pub struct trimtab_store_options {
    _opaque: (),
}

impl Handle for trimtab_store_options {
    type Value = StoreOptions;
    const LIVE: u32 = 0x7474_6f20;
}

/// What the handle stands for.
#[derive(Default)]
pub(super) struct StoreOptions(Options);

impl StoreOptions {
    /// What a store opened now is told.
    pub(super) fn for_a_store(&self) -> Options {
        self.0.clone()
    }

    /// Takes over `change` if each option is in its range then.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Options)) -> Result<(), Failure> {
        let mut changed = self.0.clone();
        change(&mut changed);
        changed.check()?;
        self.0 = changed;
        Ok(())
    }
}

/// Makes options that hold the defaults.
///
/// - `options_out`: written on success only; end it with `trimtab_store_options_free`.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_new(
    options_out: *mut *mut trimtab_store_options,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options_out` is null or writable; null is refused.
        let options_out = unsafe { handle::out(options_out, "options_out") }?;
        options_out.write(handle::give(StoreOptions::default()));
        Ok(())
    })
}

/// Ends options. Stores opened with them go on.
///
/// - `options`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_free(options: *mut trimtab_store_options) {
    guard_value((), || {
        // SAFETY: `options` is null or a live result of `trimtab_store_options_new` that nobody else uses.
        unsafe { handle::free(options) }
    })
}

/// Sets whose store it is. A directory of another is refused. Without it a directory keeps what it says, and a new one
/// gets a cluster at random and node 1.
///
/// - `cluster`: 16 bytes, the same on all nodes of the cluster.
/// - `node`: its number, from 1.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_identity(
    options: *mut trimtab_store_options,
    cluster: trimtab_bytes,
    node: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        // SAFETY: the caller keeps `cluster.data` readable for `cluster.len` bytes during the call.
        let bytes = unsafe { cluster.bytes("cluster") }?;
        let cluster: [u8; NAME_BYTES] = bytes.try_into().map_err(|_| {
            Error::invalid("cluster", format!("has {} bytes, and needs {NAME_BYTES}", bytes.len()))
        })?;
        if node == 0 {
            return Err(Error::invalid("node", "is 0; nodes are numbered from 1").into());
        }
        options.change(|options| options.identity = Some(Identity { cluster, node }))
    })
}

/// Sets how durable a write is before it is answered that does not say so itself.
///
/// - `durability`: `TRIMTAB_DURABILITY_MEMORY` or `TRIMTAB_DURABILITY_LOCAL`, the default: what was answered is there after a
///   crash. The others are for members of a cluster, which have `trimtab_cluster_options_set_durability`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT` or `TRIMTAB_E_UNSUPPORTED`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_durability(
    options: *mut trimtab_store_options,
    durability: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let durability = choice("durability", durability, &DURABILITIES)?;
        options.change(|options| options.engine.durability = durability.unwrap_or_default())
    })
}

/// Sets how long a call waits that does not say so itself.
///
/// - `timeout_ms`: milliseconds, 1 to 86400000; default 30000: who waits for a disk that hangs is told so.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_timeout_ms(
    options: *mut trimtab_store_options,
    timeout_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.timeout = Duration::from_millis(timeout_ms))
    })
}

/// Sets how many calls may wait until the log takes them; more are refused with `TRIMTAB_E_CAPACITY`.
///
/// - `calls`: 1 to 16777216; default 65536, as many as may come together while a segment is made.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_waiting_max(
    options: *mut trimtab_store_options,
    calls: usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.waiting_max = calls)
    })
}

/// Sets after how long writes in memory go to disk at the latest.
///
/// - `interval_ms`: milliseconds, 1 to 3600000; default 1000: what a crash may take of them.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_flush_interval_ms(
    options: *mut trimtab_store_options,
    interval_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.flush_interval = Duration::from_millis(interval_ms))
    })
}

/// Sets how much of them may come together before that.
///
/// - `bytes`: 4096 to 4294967296; default 8388608: a burst does not wait for the interval.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_flush_bytes(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.flush_bytes = bytes)
    })
}

/// Sets how long the log may get, beyond the length of the last snapshot, before a snapshot is written.
///
/// - `bytes`: 65536 to 2^48; default 268435456: what is written while a snapshot is made is copied in memory first.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_snapshot_bytes(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.snapshot_bytes = bytes)
    })
}

/// Sets how long after a snapshot that failed the next one is tried.
///
/// - `retry_ms`: milliseconds, 1 to 86400000; default 10000.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_snapshot_retry_ms(
    options: *mut trimtab_store_options,
    retry_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.snapshot_retry = Duration::from_millis(retry_ms))
    })
}

/// Sets what goes when `memory_max` is reached.
///
/// - `eviction`: one of `TRIMTAB_EVICTION_...`; default `TRIMTAB_EVICTION_REFUSE`: nothing goes that nobody asked to go.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_eviction(
    options: *mut trimtab_store_options,
    eviction: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        let eviction = choice("eviction", eviction, &EVICTIONS)?;
        options.change(|options| options.engine.eviction = eviction)
    })
}

/// Sets of how many keys it is remembered when they were used, with `TRIMTAB_EVICTION_LRU`.
///
/// - `keys`: 1 to 268435456, four bytes each; default 1048576.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_eviction_places(
    options: *mut trimtab_store_options,
    keys: usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.eviction_places = keys)
    })
}

/// Sets how much keys, values and what belongs to them may come to; writes beyond it are refused with
/// `TRIMTAB_E_CAPACITY`, or make others go (`trimtab_store_options_set_eviction`).
///
/// - `bytes`: from 65536; default 0, no limit: a limit must fit the machine.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_memory_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.settings.memory_max = bytes)
    })
}

/// Sets how long a value may be.
///
/// - `bytes`: 1 to 536870912, and no more than three quarters of a segment; default 16777216.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_value_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.settings.value_max = bytes)
    })
}

/// Sets how many steps and comparisons one transaction may have.
///
/// - `operations`: 1 to 1048576; default 10000: it is applied in one go.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_operations_max(
    options: *mut trimtab_store_options,
    operations: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.settings.operations_max = operations)
    })
}

/// Sets of how many clients the answers are remembered; who asked longest ago is forgotten first.
///
/// - `clients`: 1 to 16777216; default 10000.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_clients_max(
    options: *mut trimtab_store_options,
    clients: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.settings.clients_max = clients)
    })
}

/// Sets how much the remembered answers may come to, of all clients.
///
/// - `bytes`: 1024 to 2^48; default 67108864: answers may have values in them.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_client_bytes_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.settings.client_bytes_max = bytes)
    })
}

/// Sets the length of a segment's file. A directory keeps the one it was made with: opening it with another is refused.
///
/// - `bytes`: 16384 to 1073741824, a multiple of 4096; default 67108864.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_segment_bytes(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.log.segment_bytes = bytes)
    })
}

/// Sets how much may be taken and not be on disk yet; then calls wait for their turn.
///
/// - `bytes`: 65536 to 4294967296; default 67108864.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_pending_bytes_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.log.pending_bytes_max = bytes)
    })
}

/// Sets how much segments and snapshots may take together; writes that would need more are refused with
/// `TRIMTAB_E_CAPACITY`. A snapshot is written even so, since it is what makes room.
///
/// - `bytes`: three segments or more, so set those first; default 0, no limit.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_disk_bytes_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.log.disk_bytes_max = (bytes != 0).then_some(bytes))
    })
}

/// Sets how much of the log is kept though a snapshot stands for it, in whole segments: so an incremental backup goes on
/// from the last one. It is read when the store is opened. Where `trimtab_store_options_set_disk_bytes_max` or the disk
/// itself leaves no room for what is to be written, it goes first.
///
/// - `bytes`: up to 2^48; default 0, none.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_kept_bytes(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.log.kept_bytes = bytes)
    })
}

/// Sets how soon it is seen that a full disk has room again.
///
/// - `retry_ms`: milliseconds, 1 to 3600000; default 1000.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_disk_retry_ms(
    options: *mut trimtab_store_options,
    retry_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.log.retry = Duration::from_millis(retry_ms))
    })
}

/// Sets how much is kept of changes, for watches that are behind.
///
/// - `bytes`: from 0, 128 for a change counted beside its key and value; default 16777216.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_history_bytes_max(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.engine.index.history_bytes_max = bytes)
    })
}

/// Sets how long after one pass over all that lies on disk, which finds what has rotted, the next one begins.
///
/// - `interval_ms`: milliseconds, 1 to 31622400000, or 0: only when it is asked for; default 86400000, a day.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_scrub_interval_ms(
    options: *mut trimtab_store_options,
    interval_ms: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.scrub_interval = interval(interval_ms))
    })
}

/// Sets how much of it is read in a second.
///
/// - `bytes`: 65536 to 2^40; default 8388608: a gigabyte in two minutes, and a disk hardly notices.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: one thread at a time for the same `options`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_options_set_scrub_bytes_per_second(
    options: *mut trimtab_store_options,
    bytes: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `options` is null or live and no other call uses it; null is refused.
        let mut options = unsafe { handle::borrow_mut(options, "options") }?;
        options.change(|options| options.scrub_bytes_per_second = bytes)
    })
}
