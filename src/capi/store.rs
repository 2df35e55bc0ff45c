//! A store in a directory: `trimtab_store`, from its opening to its end, and what is read of a key.

use std::ffi::{OsStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Borrowed, Handle, Sized32};
use crate::capi::status::{Failure, TRIMTAB_OK, trimtab_status};
use crate::capi::store_call::wait;
use crate::capi::store_options::{StoreOptions, trimtab_store_options};
use crate::capi::text::{trimtab_bytes, trimtab_str};
use crate::embedded::{Options, Store};
use crate::error::Error;

/// Keys and values in memory, every change in a write-ahead log first: a store in a directory, opened by
/// `trimtab_store_open`, or that of a server, by `trimtab_server_store`.
///
/// ```c
/// trimtab_store *store = NULL;
/// trimtab_store_open(trimtab_str_of("data"), NULL, &store);
/// trimtab_store_put(store, key, value, NULL, NULL);
/// trimtab_store_get_copy(store, key, buffer, sizeof buffer, &length, &version);
/// trimtab_store_close(store);
/// trimtab_store_free(store);
/// ```
///
/// A key has 0 to 65536 bytes, a value 0 to `value_max`. Keys are in the order of their bytes.
///
/// Any thread may call anything at any time; `trimtab_store_free` alone must come last. Reads wait for no disk. What was
/// made of the store (scans, queues, watches) may be freed before it or after.
///
/// On a member of a cluster (`trimtab_store_join`, and a server's store that is one) `trimtab_store_get`, `..._get_copy`, `..._count`,
/// `..._scan_new` and `..._lease_read` block until what is here is as fresh as `trimtab_cluster_options_set_read` says, for the store's
/// `timeout_ms` at most, and for a primary no longer than `patience_ms` (3 s); not on a primary that holds its quorum. They return
/// then, beside what they list, what `trimtab_store_get_at` does: `TRIMTAB_E_NOT_PRIMARY`, `TRIMTAB_E_NO_QUORUM`, `TRIMTAB_E_STATE`
/// and `TRIMTAB_E_TIMED_OUT`. That one and its like (`..._count_at`, `..._scan_new_at`, `..._lease_read_at`) take a time of their own.
///
/// Whatever takes a store or what was made of it may return, beside what it lists, `TRIMTAB_E_STATE` once the store is
/// closed. After `fork` it is the parent's alone: in the child each of them answers `TRIMTAB_E_FORKED`, and `_free` lets
/// go of it.
///
/// Each function that writes may return, beside what it lists:
///
/// - `TRIMTAB_E_INVALID_ARGUMENT`: a key or value that is too long, and the like; nothing was done;
/// - `TRIMTAB_E_UNSUPPORTED`: a durability that needs replication; nothing was done;
/// - `TRIMTAB_E_CAPACITY`: `memory_max`, `disk_bytes_max` or `waiting_max` is reached; nothing was done;
/// - `TRIMTAB_E_NOT_FOUND`: the lease has ended; nothing was done;
/// - `TRIMTAB_E_NOT_PRIMARY`, in a cluster, from a node that does not forward; nothing was done;
/// - `TRIMTAB_E_NO_QUORUM`, in a cluster: no primary was found within `patience_ms`, or it holds no quorum; nothing was done;
/// - `TRIMTAB_E_SUPERSEDED`, in a cluster: another primary's writes took the place of this one; it was not done, and will not be;
/// - `TRIMTAB_E_UNKNOWN_OUTCOME`, in a cluster: the primary was lost before it said what came of it; it may have been done, or
///   still be;
/// - `TRIMTAB_E_TIMED_OUT`: it may be done, or not, or still be. In both cases it can be sent again if it had a `client` and a
///   `number`, with the same ones, and is not done twice; or `trimtab_store_outcome` tells. Without, only what is there tells;
/// - `TRIMTAB_E_IO`: the disk is full, and nothing was done; or it has failed: nothing more is taken, and whether this was
///   done is known when the store is opened again;
/// - `TRIMTAB_E_STATE`: the store is closed; or, of a request, its answer is forgotten, or is none of this kind of operation: a
///   number names one request, see `trimtab_store_call`; the detail has `the request` then. This call did nothing
///   either way; that of before, under the same number, may have.
///
/// The functions `trimtab_store_...` and `trimtab_txn_...` are there in a library built with the feature `store`, which
/// every release is; `trimtab_feature_has` tells.
pub struct trimtab_store {
    _opaque: (),
}

impl Handle for trimtab_store {
    type Value = Store;
    const LIVE: u32 = 0x7474_7322;
}

/// Borrows a store.
///
/// # Safety
/// `store` is null or a live result of `trimtab_store_open` or `trimtab_server_store` that is not freed before `'a` ends.
#[inline]
pub(super) unsafe fn borrow<'a>(store: *const trimtab_store) -> Result<Borrowed<'a, Store>, Failure> {
    // SAFETY: passed on to the caller.
    unsafe { handle::borrow(store, "store") }
}

/// Opens the store in a directory, or makes one there.
///
/// - `path`: the directory, as the system has it: any bytes but NUL; read during the call only. It and what is above
///   it is made if it is not there.
/// - `options`: NULL for the defaults; nothing of it is kept.
/// - `store_out`: written on success only; end it with `trimtab_store_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` when it is open already, here or in another process,
/// `TRIMTAB_E_INVALID_ARGUMENT` for a directory of another cluster, node or segment length, `TRIMTAB_E_UNSUPPORTED` when
/// a later release wrote it, `TRIMTAB_E_CORRUPT` when something that was durable is damaged: the detail says where and
/// what to do, or `TRIMTAB_E_IO`.
/// Thread safety: any thread, at any time. Blocks while it reads the log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_open(
    path: trimtab_str,
    options: *const trimtab_store_options,
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
        // SAFETY: `store_out` is null or writable; null is refused.
        let store_out = unsafe { handle::out(store_out, "store_out") }?;
        store_out.write(handle::give(Store::open(Path::new(OsStr::from_bytes(path)), options)?));
        Ok(())
    })
}

/// Takes nothing more, writes what was taken, whatever durability it asked for, and frees the directory. Calls under way
/// are answered. Closing again does nothing.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO` when the log has failed: then writes in memory may be lost,
/// `TRIMTAB_E_STATE` for the store of a server, which closes it when it ends, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Blocks for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_close(store: *const trimtab_store) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        Ok(store.close()?)
    })
}

/// Closes a store as `trimtab_store_close` does, which tells what was lost, and gives back what belongs to it. Of a
/// server's store it gives back the handle alone.
///
/// - `store`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `store`. Blocks for the disk, unless it is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_free(store: *mut trimtab_store) {
    guard_value((), || {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is none.
        if let Some(store) = unsafe { handle::peek(store) } {
            // What was made of it may live on, and must not keep it open. Who wants to know calls `close`. A server's store is
            // not closed by this.
            let _ = store.close();
        }
        // SAFETY: `store` is null or a live result of `trimtab_store_open` that nobody else uses.
        unsafe { handle::free(store) }
    })
}

/// Copies what a key has.
///
/// - `buffer`, `size`: where it goes, as much as fits, without a closing NUL. `buffer` may be NULL when `size` is 0.
/// - `length_out`: gets the length of the whole; when that is more than `size`, try again with more. May be NULL.
/// - `version_out`: gets the sequence of the key's last change, for `trimtab_store_compare_and_set`. May be NULL.
///
/// Returns `TRIMTAB_OK`, also when it does not fit, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when the key is not there.
/// Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_get_copy(
    store: *const trimtab_store,
    key: trimtab_bytes,
    buffer: *mut c_void,
    size: usize,
    length_out: *mut usize,
    version_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller lends `size` writable bytes; null is fine for none.
        let buffer = unsafe { handle::out_slice(buffer.cast::<u8>(), size, "buffer") }?;
        let copied = store.get_with(key, |entry| {
            copy(entry.value, buffer);
            (entry.value.len(), entry.version)
        })?;
        let (length, version) = copied.ok_or_else(|| no_key(key))?;
        // SAFETY: `length_out` is null or writable.
        if let Some(length_out) = unsafe { handle::out_if_wanted(length_out) } {
            length_out.write(length);
        }
        // SAFETY: `version_out` is null or writable.
        if let Some(version_out) = unsafe { handle::out_if_wanted(version_out) } {
            version_out.write(version);
        }
        Ok(())
    })
}

/// As much of `value` as fits.
fn copy(value: &[u8], buffer: &mut [MaybeUninit<u8>]) {
    let fits = value.len().min(buffer.len());
    buffer[..fits].write_copy_of_slice(&value[..fits]);
}

/// `NotFound` for a key, of which the beginning is shown.
pub(super) fn no_key(key: &[u8]) -> Error {
    let shown = &key[..key.len().min(40)];
    let rest = if shown.len() < key.len() { "..." } else { "" };
    Error::NotFound { what: "key", value: format!("\"{}\"{rest}", shown.escape_ascii()) }
}

/// Waits until all that was written before is on disk.
///
/// - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
/// - `sequence_out`: gets the last sequence of it; may be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT` or `TRIMTAB_E_IO`.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_sync(
    store: *const trimtab_store,
    timeout_ms: i64,
    sequence_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `sequence_out` is null or writable.
        let sequence_out = unsafe { handle::out_if_wanted(sequence_out) };
        let sequence = store.sync((timeout_ms != 0).then(|| wait(timeout_ms)))?;
        if let Some(sequence_out) = sequence_out {
            sequence_out.write(sequence);
        }
        Ok(())
    })
}

/// Waits until the log is on this disk up to a sequence, such as that of a write with `TRIMTAB_DURABILITY_MEMORY`. It hurries
/// nobody: such writes come there with the next flush, within `flush_interval_ms`; `trimtab_store_sync` has them come at once.
/// A sequence that is not written yet is waited for. In a cluster it is this node's log: what a primary that was lost has
/// written there may be replaced by others' entries, what was answered with `TRIMTAB_DURABILITY_QUORUM` is not.
/// `trimtab_store_queue_submit_durable` is the same without a thread that waits.
///
/// - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
/// - `durable_out`: gets the sequence up to which it is; may be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, `TRIMTAB_E_CAPACITY` when `waiting_max` wait for that, or
/// `TRIMTAB_E_IO` when the log has failed.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_wait_durable(
    store: *const trimtab_store,
    sequence: u64,
    timeout_ms: i64,
    durable_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `durable_out` is null or writable.
        let durable_out = unsafe { handle::out_if_wanted(durable_out) };
        let durable = store.wait_durable(sequence, (timeout_ms != 0).then(|| wait(timeout_ms)))?;
        if let Some(durable_out) = durable_out {
            durable_out.write(durable);
        }
        Ok(())
    })
}

/// Has a snapshot written of what is there now, beside everything else, and waits for it. The log lets go of what it
/// stands for. The store does so by itself when the log grows long.
///
/// - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
/// - `sequence_out`: gets the snapshot's sequence; may be NULL. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`: it goes on, or `TRIMTAB_E_IO` when the disk is full or
/// has failed.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_snapshot(
    store: *const trimtab_store,
    timeout_ms: i64,
    sequence_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `sequence_out` is null or writable.
        let sequence_out = unsafe { handle::out_if_wanted(sequence_out) };
        let sequence = store.snapshot((timeout_ms != 0).then(|| wait(timeout_ms)))?;
        if let Some(sequence_out) = sequence_out {
            sequence_out.write(sequence);
        }
        Ok(())
    })
}

/// The status of what went wrong, if something did.
pub(super) fn code(error: Option<Error>) -> i32 {
    error.map_or(TRIMTAB_OK, |error| Failure::from(error).status())
}

/// How a store is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_status {
    /// `sizeof(trimtab_store_status)`, set by the caller before the call.
    pub struct_size: u32,
    /// Why nothing is taken any more: a status; `TRIMTAB_OK` while all is well.
    pub failure: i32,
    /// Why there is no room for more at present: a status; `TRIMTAB_OK` while there is.
    pub problem: i32,
    /// What the last snapshot failed with: a status; `TRIMTAB_OK` if it did not.
    pub snapshot_failure: i32,
    /// The last entry of the log.
    pub sequence: u64,
    /// The last one on disk.
    pub durable: u64,
    /// The last one that readers see.
    pub applied: u64,
    /// The sequence of the last snapshot; 0: none.
    pub snapshot: u64,
    /// Keys, those included that have expired and not been taken out.
    pub keys: u64,
    /// Bytes of keys, values and what belongs to them, as `memory_max` bounds them.
    pub memory_bytes: u64,
    /// Bytes of segments and snapshots.
    pub disk_bytes: u64,
    /// Bytes that wait to be on disk.
    pub pending_bytes: u64,
    /// Passes over all that lies on disk that came to their end.
    pub scrub_passes: u64,
    /// Bytes found good by them.
    pub scrub_bytes: u64,
    /// When the last one ended, in milliseconds since 1970; 0: none has.
    pub scrub_finished_ms: u64,
    /// How often something was found damaged, or could not be read.
    pub scrub_damages: u64,
    /// What was found last: a status, whose words `trimtab_store_damage_copy` gives; `TRIMTAB_OK` once a later pass has
    /// found all good.
    pub scrub_failure: i32,
    /// 0.
    pub reserved: u32,
    /// How often a snapshot took the place of what was found damaged; in a cluster also, whether opening did without what was.
    pub scrub_mended: u64,
    /// Commands taken. This and what follows was counted since the store was opened.
    pub submitted: u64,
    /// Commands that joined the same request on its way.
    pub joined: u64,
    /// Commands refused at once.
    pub refused: u64,
    /// Entries of the log that were applied.
    pub entries_applied: u64,
    /// Writes to disk, each with a sync.
    pub flushes: u64,
    /// Bytes of them.
    pub flushed_bytes: u64,
    /// Commands for which the clock had gone back, and stood still instead.
    pub clock_steps: u64,
    /// Commands that took out what had expired.
    pub expiries: u64,
    /// Commands that made room.
    pub evictions: u64,
    /// Snapshots written.
    pub snapshots_written: u64,
    /// Snapshots that failed.
    pub snapshots_failed: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_status {
    const FIRST_SIZE: usize = 80;
    const UNSAID: Self = Self {
        struct_size: 0,
        failure: TRIMTAB_OK,
        problem: TRIMTAB_OK,
        snapshot_failure: TRIMTAB_OK,
        sequence: 0,
        durable: 0,
        applied: 0,
        snapshot: 0,
        keys: 0,
        memory_bytes: 0,
        disk_bytes: 0,
        pending_bytes: 0,
        scrub_passes: 0,
        scrub_bytes: 0,
        scrub_finished_ms: 0,
        scrub_damages: 0,
        scrub_failure: TRIMTAB_OK,
        reserved: 0,
        scrub_mended: 0,
        submitted: 0,
        joined: 0,
        refused: 0,
        entries_applied: 0,
        flushes: 0,
        flushed_bytes: 0,
        clock_steps: 0,
        expiries: 0,
        evictions: 0,
        snapshots_written: 0,
        snapshots_failed: 0,
    };
}

/// How a store is.
///
/// - `status_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_status_read(
    store: *const trimtab_store,
    status_out: *mut trimtab_store_status,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `status_out` is null or as large as its `struct_size` says; null is refused.
        let status_out = unsafe { handle::out_struct(status_out, "status_out") }?;
        let status = store.status()?;
        let struct_size = status_out.size();
        status_out.write(trimtab_store_status {
            struct_size,
            failure: code(status.failure),
            problem: code(status.problem),
            snapshot_failure: code(status.snapshot_error),
            sequence: status.sequence,
            durable: status.durable,
            applied: status.applied,
            snapshot: status.snapshot,
            keys: status.keys,
            memory_bytes: status.memory_bytes,
            disk_bytes: status.disk_bytes,
            pending_bytes: status.pending_bytes,
            scrub_passes: status.scrub.passes,
            scrub_bytes: status.scrub.verified_bytes,
            scrub_finished_ms: status.scrub.finished_ms,
            scrub_damages: status.scrub.damages,
            scrub_failure: code(status.scrub.damage),
            reserved: 0,
            scrub_mended: status.scrub.mended,
            submitted: status.counts.submitted,
            joined: status.counts.joined,
            refused: status.counts.refused,
            entries_applied: status.counts.applied,
            flushes: status.counts.flushes,
            flushed_bytes: status.counts.flushed_bytes,
            clock_steps: status.counts.clock_steps,
            expiries: status.counts.expiries,
            evictions: status.counts.evictions,
            snapshots_written: status.counts.snapshots,
            snapshots_failed: status.counts.snapshots_failed,
        });
        Ok(())
    })
}
