//! What is read of a store beside one key into a buffer: whole answers, counts, and `trimtab_store_scan`.

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle};
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, no_key, trimtab_store};
use crate::capi::store_answer::{answer_of, entry_of, trimtab_store_answer, trimtab_store_entry};
use crate::capi::store_operation::Keys;
use crate::capi::text::trimtab_bytes;
use crate::embedded::{Done, Scan, Store};
use crate::store::engine::Durability;
use crate::store::index::{Answer, Found};

/// What a key has, of whatever length: a value of more than 1024 bytes is shared with the store, not copied.
///
/// - `answer_out`: its one entry is what the key has; end it with `trimtab_store_answer_free`. Written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_NOT_FOUND` when the key is not there.
/// Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_get(
    store: *const trimtab_store,
    key: trimtab_bytes,
    answer_out: *mut *mut trimtab_store_answer,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `answer_out` is null or writable; null is refused.
        let answer_out = unsafe { handle::out(answer_out, "answer_out") }?;
        answer_out.write(found_answer(store.get(key)?.ok_or_else(|| no_key(key))?));
        Ok(())
    })
}

/// The answer to a read that has found something.
pub(super) fn found_answer(found: Found) -> *mut trimtab_store_answer {
    // What a read sees is as durable as its writer asked for, which memory is the least of.
    let (sequence, durability) = (found.version, Durability::Memory);
    answer_of(Done {
        sequence,
        durability,
        nodes: 0,
        is_degraded: false,
        epoch: 0,
        entry: sequence,
        is_repeated: false,
        answer: Answer::Got(Some(found)),
    })
}

/// How many keys a range has.
///
/// - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`.
/// - `count_out`: written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_count(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    count_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `count_out` is null or writable; null is refused.
        let count_out = unsafe { handle::out(count_out, "count_out") }?;
        count_out.write(store.count(&keys.range())?);
        Ok(())
    })
}

/// The keys of a range, one after the other, as they were when it was made, whatever is written meanwhile:
///
/// ```c
/// trimtab_store_scan_new(store, TRIMTAB_RANGE_PREFIX, trimtab_bytes_of("user/", 5), none, 0, 0, &scan);
/// while (trimtab_store_scan_next(scan, &entry, &has) == TRIMTAB_OK && has) {
///     ... entry.key, entry.value ...
/// }
/// trimtab_store_scan_free(scan);
/// ```
///
/// What has been replaced since stays in memory until it is freed. One thread at a time may use the same scan.
pub struct trimtab_store_scan {
    _opaque: (),
}

impl Handle for trimtab_store_scan {
    type Value = Scanned;
    const LIVE: u32 = 0x7474_6e26;
}

/// What the handle stands for.
pub(super) struct Scanned {
    scan: Scan,
    store: Store,
    /// What was given last.
    entry: Option<(Vec<u8>, Found)>,
}

impl Scanned {
    pub(super) fn new(scan: Scan, store: Store) -> Self {
        Self { scan, store, entry: None }
    }
}

/// Begins to go through the keys of a range.
///
/// - `range`, `start`, `end`: which; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`. Copied before return.
/// - `limit`: the most keys to give; 0 for all.
/// - `reverse`: not 0 for from the last to the first.
/// - `scan_out`: written on success only; end it with `trimtab_store_scan_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block, but on a member of a cluster: see `trimtab_store`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scan_new(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    limit: u64,
    reverse: i32,
    scan_out: *mut *mut trimtab_store_scan,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `scan_out` is null or writable; null is refused.
        let scan_out = unsafe { handle::out(scan_out, "scan_out") }?;
        let scan = store.scan(&keys.range(), limit, reverse != 0)?;
        scan_out.write(handle::give(Scanned::new(scan, Store::clone(&store))));
        Ok(())
    })
}

/// Ends a scan, and what its last entry points to.
///
/// - `scan`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `scan`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scan_free(scan: *mut trimtab_store_scan) {
    guard_value((), || {
        // SAFETY: `scan` is null or a live result of `trimtab_store_scan_new` that nobody else uses.
        unsafe { handle::free(scan) }
    })
}

/// The next key.
///
/// - `entry_out`: its `struct_size` is read; written when there is one. What it points to is good until the next call on
///   this scan.
/// - `has_out`: 1 when there is one, 0 behind the last; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: one thread at a time for the same `scan`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scan_next(
    scan: *mut trimtab_store_scan,
    entry_out: *mut trimtab_store_entry,
    has_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `scan` is null or live and no other call uses it; null is refused.
        let mut scan = unsafe { handle::borrow_mut(scan, "scan") }?;
        // SAFETY: `entry_out` is null or as large as its `struct_size` says; null is refused.
        let entry_out = unsafe { handle::out_struct(entry_out, "entry_out") }?;
        // SAFETY: `has_out` is null or writable; null is refused.
        let has_out = unsafe { handle::out(has_out, "has_out") }?;
        scan.entry = scan.scan.next_entry()?;
        has_out.write(i32::from(scan.entry.is_some()));
        if let Some((key, found)) = &scan.entry {
            let struct_size = entry_out.size();
            entry_out.write(entry_of(struct_size, Some(key), found));
        }
        Ok(())
    })
}

/// The sequence of what a scan sees: a watch from the one behind it misses nothing that came later.
///
/// - `sequence_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `scan`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scan_sequence(
    scan: *const trimtab_store_scan,
    sequence_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `scan` is null or a live result of `trimtab_store_scan_new`; null is refused.
        let scan = unsafe { handle::borrow(scan, "scan") }?;
        // SAFETY: `sequence_out` is null or writable; null is refused.
        let sequence_out = unsafe { handle::out(sequence_out, "sequence_out") }?;
        scan.store.check_process()?;
        sequence_out.write(scan.scan.sequence());
        Ok(())
    })
}
