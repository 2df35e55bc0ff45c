//! The changes of a range, as they come: `trimtab_store_watch`.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd};

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_call::wait;
use crate::capi::store_operation::Keys;
use crate::capi::text::trimtab_bytes;
use crate::embedded::{Store, Watched, Watcher};
use crate::store::index::{Event, EventKind};

/// What comes next is not kept any more: `sequence` is the first that can still be watched from. The watch stays where it
/// is, and says so again: end it, read the range (`trimtab_store_scan_new`), and watch from behind
/// `trimtab_store_scan_sequence`.
pub const TRIMTAB_CHANGE_COMPACTED: i32 = 0;
/// A value was put.
pub const TRIMTAB_CHANGE_PUT: i32 = 1;
/// A number was added to.
pub const TRIMTAB_CHANGE_INCREMENTED: i32 = 2;
/// A value was appended to.
pub const TRIMTAB_CHANGE_APPENDED: i32 = 3;
/// The lifetime was changed, the value not.
pub const TRIMTAB_CHANGE_LIFETIME_SET: i32 = 4;
/// The key was deleted.
pub const TRIMTAB_CHANGE_DELETED: i32 = 5;
/// The key, or its lease, has expired.
pub const TRIMTAB_CHANGE_EXPIRED: i32 = 6;
/// The key was taken out to make room.
pub const TRIMTAB_CHANGE_EVICTED: i32 = 7;
/// The lease of the key was revoked.
pub const TRIMTAB_CHANGE_REVOKED: i32 = 8;

/// Follows the keys of a range from a sequence on, in order and without a gap. It holds a position and a descriptor: a slow
/// one delays nobody, and is told (`TRIMTAB_CHANGE_COMPACTED`) when what it has not seen is not kept any more.
///
/// One thread at a time may use the same watch.
pub struct trimtab_store_watch {
    _opaque: (),
}

impl Handle for trimtab_store_watch {
    type Value = OwnedWatch;
    const LIVE: u32 = 0x7474_772c;
}

/// What the handle stands for.
pub(super) struct OwnedWatch {
    watcher: Watcher,
    store: Store,
    /// What was given last is the first.
    events: VecDeque<Event>,
    has_given: bool,
}

/// One change of one key.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_change {
    /// `sizeof(trimtab_store_change)`, set by the caller before the call.
    pub struct_size: u32,
    /// One of `TRIMTAB_CHANGE_...`.
    pub kind: i32,
    /// Where in the log it is: the version the key has then. Changes of one command have the same.
    pub sequence: u64,
    /// The sequence that created the key.
    pub created: u64,
    /// The key.
    pub key: *const c_void,
    /// How many bytes.
    pub key_len: usize,
    /// The value the key has then; NULL if it is gone.
    pub value: *const c_void,
    /// How many bytes.
    pub value_len: usize,
    /// 1: the next change is of the same command, and seen together with this one; else 0.
    pub more: i32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_store_change {
    const FIRST_SIZE: usize = 64;
    const UNSAID: Self = Self {
        struct_size: 0,
        kind: 0,
        sequence: 0,
        created: 0,
        key: std::ptr::null(),
        key_len: 0,
        value: std::ptr::null(),
        value_len: 0,
        more: 0,
        reserved: 0,
    };
}

fn kind(kind: EventKind) -> i32 {
    match kind {
        EventKind::Put => TRIMTAB_CHANGE_PUT,
        EventKind::Incremented => TRIMTAB_CHANGE_INCREMENTED,
        EventKind::Appended => TRIMTAB_CHANGE_APPENDED,
        EventKind::LifetimeSet => TRIMTAB_CHANGE_LIFETIME_SET,
        EventKind::Deleted => TRIMTAB_CHANGE_DELETED,
        EventKind::Expired => TRIMTAB_CHANGE_EXPIRED,
        EventKind::Evicted => TRIMTAB_CHANGE_EVICTED,
        EventKind::Revoked => TRIMTAB_CHANGE_REVOKED,
    }
}

/// A change in C's terms. It points into `event`.
fn change_of(event: &Event, next: Option<&Event>) -> trimtab_store_change {
    trimtab_store_change {
        kind: kind(event.kind()),
        sequence: event.sequence(),
        created: event.created(),
        key: event.key().as_ptr().cast::<c_void>(),
        key_len: event.key().len(),
        value: event.value().map_or(std::ptr::null(), |value| value.as_ptr().cast::<c_void>()),
        value_len: event.value().map_or(0, <[u8]>::len),
        more: i32::from(next.is_some_and(|next| next.sequence() == event.sequence())),
        ..trimtab_store_change::UNSAID
    }
}

/// Begins to follow a range.
///
/// - `range`, `start`, `end`: which keys; see `TRIMTAB_RANGE_BETWEEN` and `TRIMTAB_RANGE_PREFIX`. Copied before return.
/// - `from_sequence`: the change at this sequence is the first it tells; 0: what comes from now on. Beyond the one that comes next it
///   is of writes that a crash took, and the first change is `TRIMTAB_CHANGE_COMPACTED`; a replica may be behind, and waits for it.
/// - `watch_out`: written on success only; end it with `trimtab_store_watch_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_INVALID_ARGUMENT`, or `TRIMTAB_E_IO` when there is no descriptor.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_watch_new(
    store: *const trimtab_store,
    range: i32,
    start: trimtab_bytes,
    end: trimtab_bytes,
    from_sequence: u64,
    watch_out: *mut *mut trimtab_store_watch,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps what `start` and `end` point to readable during the call.
        let keys = unsafe { Keys::read(range, start, end) }?;
        // SAFETY: `watch_out` is null or writable; null is refused.
        let watch_out = unsafe { handle::out(watch_out, "watch_out") }?;
        let watcher = store.watch(&keys.range(), (from_sequence != 0).then_some(from_sequence))?;
        let (store, events) = (Store::clone(&store), VecDeque::new());
        watch_out.write(handle::give(OwnedWatch { watcher, store, events, has_given: false }));
        Ok(())
    })
}

/// Ends a watch, what its last change points to, and closes its descriptor.
///
/// - `watch`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `watch`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_watch_free(watch: *mut trimtab_store_watch) {
    guard_value((), || {
        // SAFETY: `watch` is null or a live result of `trimtab_store_watch_new` that nobody else uses.
        unsafe { handle::free(watch) }
    })
}

/// The descriptor to wait with, for hosts with a loop of their own. Take changes until there are none
/// (`TRIMTAB_E_TIMED_OUT`) before waiting: from then on it becomes readable when there may be one. It is the watch's: wait
/// with it, and neither read nor close it.
///
/// - `fd_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `watch`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_watch_poll_fd(
    watch: *const trimtab_store_watch,
    fd_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `watch` is null or a live result of `trimtab_store_watch_new`; null is refused.
        let watch = unsafe { handle::borrow(watch, "watch") }?;
        // SAFETY: `fd_out` is null or writable; null is refused.
        let fd_out = unsafe { handle::out(fd_out, "fd_out") }?;
        watch.store.check_process()?;
        fd_out.write(watch.watcher.as_fd().as_raw_fd());
        Ok(())
    })
}

/// The next change.
///
/// - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
/// - `change_out`: its `struct_size` is read; written on success only. What it points to is good until the next call on
///   this watch. Its `kind` may be `TRIMTAB_CHANGE_COMPACTED`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_TIMED_OUT`.
/// Thread safety: one thread at a time for the same `watch`. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_watch_next(
    watch: *mut trimtab_store_watch,
    timeout_ms: i64,
    change_out: *mut trimtab_store_change,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `watch` is null or live and no other call uses it; null is refused.
        let mut watch = unsafe { handle::borrow_mut(watch, "watch") }?;
        // SAFETY: `change_out` is null or as large as its `struct_size` says; null is refused.
        let change_out = unsafe { handle::out_struct(change_out, "change_out") }?;
        // Closed or forked is told also while there are some at hand.
        watch.store.present()?;
        if std::mem::take(&mut watch.has_given) {
            watch.events.pop_front();
        }
        let mut change =
            trimtab_store_change { kind: TRIMTAB_CHANGE_COMPACTED, ..trimtab_store_change::UNSAID };
        if watch.events.is_empty() {
            match watch.watcher.next(wait(timeout_ms))? {
                Watched::Events(events) => watch.events = events.into(),
                Watched::Compacted { first } => change.sequence = first,
            }
        }
        if let Some(event) = watch.events.front() {
            change = change_of(event, watch.events.get(1));
            watch.has_given = true;
        }
        change.struct_size = change_out.size();
        change_out.write(change);
        Ok(())
    })
}

/// Where to watch on from later: everything before it was told. Amidst the changes of one command it is that command's, so
/// that none is missed.
///
/// - `sequence_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `watch`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_watch_sequence(
    watch: *const trimtab_store_watch,
    sequence_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `watch` is null or a live result of `trimtab_store_watch_new`; null is refused.
        let watch = unsafe { handle::borrow(watch, "watch") }?;
        // SAFETY: `sequence_out` is null or writable; null is refused.
        let sequence_out = unsafe { handle::out(sequence_out, "sequence_out") }?;
        watch.store.check_process()?;
        // What was given was told.
        let untold = watch.events.get(usize::from(watch.has_given));
        sequence_out.write(untold.map_or(watch.watcher.next_sequence(), Event::sequence));
        Ok(())
    })
}
