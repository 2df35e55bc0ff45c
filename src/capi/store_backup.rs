//! Backups of a store, in directories, and what is made of them again.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::backup::{self, Manifest, Options, Point, Report, RestoreOptions, Restored};
use crate::capi::guard::guard;
use crate::capi::handle::{self, OutStruct, Sized32};
use crate::capi::pool_options::choice;
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_call::wait;
use crate::capi::text::{self, trimtab_str};

/// To the last that the backup holds. The default.
pub const TRIMTAB_RESTORE_END: i32 = 0;
/// To how it was after the entry `at`.
pub const TRIMTAB_RESTORE_SEQUENCE: i32 = 1;
/// To how it was at the time `at`, in milliseconds since 1970, by the store's clock.
pub const TRIMTAB_RESTORE_TIME: i32 = 2;

/// What a backup holds, and what was added to it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_backup_report {
    /// `sizeof(trimtab_store_backup_report)`, set by the caller before the call.
    pub struct_size: u32,
    /// Into how many stretches it falls, between which something is missing; 0: it holds nothing.
    pub stretches: u32,
    /// The first entry of the last stretch that can be gone back to.
    pub first_sequence: u64,
    /// The last entry.
    pub last_sequence: u64,
    /// The earliest time of the last stretch, in milliseconds since 1970.
    pub first_ms: u64,
    /// The latest.
    pub last_ms: u64,
    /// The length of all its files.
    pub total_bytes: u64,
    /// Bytes that were added.
    pub bytes: u64,
    /// Entries that were added.
    pub entries: u64,
    /// The sequence of the snapshot that was added; 0: none.
    pub snapshot: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_backup_report {
    const FIRST_SIZE: usize = 72;
    const UNSAID: Self = Self {
        struct_size: 0,
        stretches: 0,
        first_sequence: 0,
        last_sequence: 0,
        first_ms: 0,
        last_ms: 0,
        total_bytes: 0,
        bytes: 0,
        entries: 0,
        snapshot: 0,
    };
}

/// How a backup is restored. NULL in its place, and 0 in each field, is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_restore_options {
    /// `sizeof(trimtab_store_restore_options)`, set by the caller before the call.
    pub struct_size: u32,
    /// Where to go back to: one of `TRIMTAB_RESTORE_...`.
    pub point: i32,
    /// The sequence or the time; unread with `TRIMTAB_RESTORE_END`.
    pub at: u64,
    /// 0: the restored store is node 1 of a new cluster, and nobody takes it for what it was. 1: it keeps the identity of
    /// the store that was backed up, which must then never be opened again; refused for one that has replicated.
    pub same_identity: i32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_restore_options {
    const FIRST_SIZE: usize = 24;
    const UNSAID: Self =
        Self { struct_size: 0, point: TRIMTAB_RESTORE_END, at: 0, same_identity: 0, reserved: 0 };
}

/// What was restored.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_restored {
    /// `sizeof(trimtab_store_restored)`, set by the caller before the call.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The last entry of the restored store.
    pub sequence: u64,
    /// When it was written, in milliseconds since 1970.
    pub clock_ms: u64,
    /// The sequence of the snapshot it begins with; 0: none.
    pub snapshot: u64,
    /// How many entries came on top of that.
    pub entries: u64,
    /// The restored store's node.
    pub node: u64,
    /// And its cluster.
    pub cluster: [u8; 16],
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_restored {
    const FIRST_SIZE: usize = 64;
    const UNSAID: Self = Self {
        struct_size: 0,
        reserved: 0,
        sequence: 0,
        clock_ms: 0,
        snapshot: 0,
        entries: 0,
        node: 0,
        cluster: [0; 16],
    };
}

/// Backs a store that is open up to a directory, beside everything else: all of it, or what came since the last time. All
/// that was answered before the call is in it. If it stops midway the backup is as it was before.
///
/// - `to`: the backup's directory, as the system has it; made if it is not there. Read during the call only.
/// - `is_full`: 1 to begin anew with a snapshot, so that restoring is quick; else 0.
/// - `report_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_STATE` when another is adding to the backup or
/// when the store is behind it or has gone another way since, `TRIMTAB_E_INVALID_ARGUMENT` when there is something else in
/// the directory or a backup of another store, `TRIMTAB_E_CORRUPT` when what is read is damaged: the detail says where,
/// `TRIMTAB_E_TIMED_OUT`, or `TRIMTAB_E_IO`.
/// Thread safety: any thread, at any time. Blocks for the disk, and holds up nobody else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_backup(
    store: *const trimtab_store,
    to: trimtab_str,
    is_full: i32,
    report_out: *mut trimtab_store_backup_report,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller keeps `to.data` readable for `to.len` bytes during the call.
        let to = unsafe { to.raw("to") }?;
        // SAFETY: `report_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(report_out) }?;
        let report = store.backup(path(to), &Options { is_full: flag("is_full", is_full)? })?;
        tell(place, &report);
        Ok(())
    })
}

/// Backs up a store that nobody has open, as `trimtab_store_backup` does. Its directory is not changed.
///
/// - `from`: the store's directory. Read during the call only, as the next.
/// - `to`, `is_full`, `report_out`: as there.
///
/// Returns what that does, `TRIMTAB_E_STATE` also when somebody has the store open, or `TRIMTAB_E_NOT_FOUND` when there is no
/// store.
/// Thread safety: any thread, at any time. Blocks for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_backup_closed(
    from: trimtab_str,
    to: trimtab_str,
    is_full: i32,
    report_out: *mut trimtab_store_backup_report,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `from.data` readable for `from.len` bytes during the call.
        let from = unsafe { from.raw("from") }?;
        // SAFETY: the caller keeps `to.data` readable for `to.len` bytes during the call.
        let to = unsafe { to.raw("to") }?;
        // SAFETY: `report_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(report_out) }?;
        let options = Options { is_full: flag("is_full", is_full)? };
        tell(place, &backup::backup_closed(path(from), path(to), &options)?);
        Ok(())
    })
}

/// Reads all of a backup, and tells what it holds.
///
/// - `backup`: its directory. Read during the call only.
/// - `report_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND` when there is none,
/// `TRIMTAB_E_CORRUPT` when it is damaged: the detail says which file, and where, `TRIMTAB_E_UNSUPPORTED` when a later release
/// wrote it, or `TRIMTAB_E_IO`.
/// Thread safety: any thread, at any time. Blocks for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_backup_verify(
    backup: trimtab_str,
    report_out: *mut trimtab_store_backup_report,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `backup.data` readable for `backup.len` bytes during the call.
        let from = unsafe { backup.raw("backup") }?;
        // SAFETY: `report_out` is null or as large as its `struct_size` says.
        let place = unsafe { place(report_out) }?;
        let manifest = backup::verify(path(from))?;
        if let Some(place) = place {
            let struct_size = place.size();
            place.write(trimtab_store_backup_report { struct_size, ..held(&manifest) });
        }
        Ok(())
    })
}

/// Makes a store in a directory of a backup. Nothing may be in the directory but what an earlier restore left that did not
/// come to its end; until this has come to its end nobody opens it.
///
/// - `backup`: the backup's directory. Read during the call only, as the next.
/// - `to`: the directory to restore into; made if it is not there.
/// - `options`: its `struct_size` is read; NULL for the defaults.
/// - `restored_out`: its `struct_size` is read; written on success only. May be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT` when there is something in `to`,
/// for a point that the backup does not hold (the detail says what it holds) or for the identity of a store that has
/// replicated, `TRIMTAB_E_NOT_FOUND` when there is no backup, `TRIMTAB_E_CORRUPT` when it is damaged, `TRIMTAB_E_UNSUPPORTED`
/// when a later release wrote it, or `TRIMTAB_E_IO`. `to` is as it was before then.
/// Thread safety: any thread, at any time. Blocks for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_restore(
    backup: trimtab_str,
    to: trimtab_str,
    options: *const trimtab_store_restore_options,
    restored_out: *mut trimtab_store_restored,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `backup.data` readable for `backup.len` bytes during the call.
        let from = unsafe { backup.raw("backup") }?;
        // SAFETY: the caller keeps `to.data` readable for `to.len` bytes during the call.
        let to = unsafe { to.raw("to") }?;
        // SAFETY: `options` is null or as large as its `struct_size` says.
        let given = unsafe { handle::in_struct(options, "options") }?;
        let place = match restored_out.is_null() {
            true => None,
            // SAFETY: `restored_out` is as large as its `struct_size` says.
            false => Some(unsafe { handle::out_struct(restored_out, "restored_out") }?),
        };
        let options = restore_options(path(from), &given.unwrap_or(trimtab_store_restore_options::UNSAID))?;
        let restored = backup::restore(path(from), path(to), &options)?;
        if let Some(place) = place {
            let Restored { identity, sequence, clock_ms, snapshot, entries } = restored;
            let struct_size = place.size();
            place.write(trimtab_store_restored {
                struct_size,
                reserved: 0,
                sequence,
                clock_ms,
                snapshot,
                entries,
                node: identity.node,
                cluster: identity.cluster,
            });
        }
        Ok(())
    })
}

/// Has all that lies on a store's disk read again now, at `scrub_bytes_per_second`, and waits for it. The store does so by
/// itself (`trimtab_store_options_set_scrub_interval_ms`). When something has rotted a snapshot is written of what is in
/// memory, which is right, and stands for all that is older.
///
/// - `timeout_ms`: at most so many milliseconds; 0 for the store's `timeout_ms`, negative for ever.
///
/// Returns `TRIMTAB_OK` when all is good, `TRIMTAB_E_NULL`, `TRIMTAB_E_CORRUPT` when something is damaged: the detail says which
/// file, and where, `TRIMTAB_E_TIMED_OUT`: it goes on, or `TRIMTAB_E_IO` when something cannot be read.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_scrub(store: *const trimtab_store, timeout_ms: i64) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        Ok(store.scrub((timeout_ms != 0).then(|| wait(timeout_ms)))?)
    })
}

/// Copies what was found damaged last, with file and offset; nothing once a later pass has found all good.
///
/// - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
/// - `length_out`: gets the length of the whole, without the NUL; may be NULL.
///
/// Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_damage_copy(
    store: *const trimtab_store,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let damage = store.status()?.scrub.damage;
        buffer.fill(&damage.map_or(String::new(), |damage| damage.to_string()));
        Ok(())
    })
}

/// How long after a pass over what lies on disk the next begins, in Rust.
pub(super) fn interval(interval_ms: u64) -> Option<Duration> {
    (interval_ms != 0).then(|| Duration::from_millis(interval_ms))
}

/// Where a report goes, if it is wanted.
///
/// # Safety
/// `report_out` is null or as large as its `struct_size` says.
unsafe fn place<'a>(
    report_out: *mut trimtab_store_backup_report,
) -> Result<Option<OutStruct<'a, trimtab_store_backup_report>>, Failure> {
    if report_out.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on to the caller.
    Ok(Some(unsafe { handle::out_struct(report_out, "report_out") }?))
}

fn tell(place: Option<OutStruct<'_, trimtab_store_backup_report>>, report: &Report) {
    let Some(place) = place else { return };
    let struct_size = place.size();
    place.write(trimtab_store_backup_report {
        struct_size,
        bytes: report.bytes,
        entries: report.entries,
        snapshot: report.snapshot,
        ..held(&report.manifest)
    });
}

fn held(manifest: &Manifest) -> trimtab_store_backup_report {
    let spans = manifest.spans();
    let mut report = trimtab_store_backup_report {
        stretches: u32::try_from(spans.len()).unwrap_or(u32::MAX),
        total_bytes: manifest.bytes(),
        ..trimtab_store_backup_report::UNSAID
    };
    if let Some(span) = spans.last() {
        (report.first_sequence, report.last_sequence) = (span.first, span.last);
        (report.first_ms, report.last_ms) = (span.first_ms, span.last_ms);
    }
    report
}

fn restore_options(from: &Path, given: &trimtab_store_restore_options) -> Result<RestoreOptions, Failure> {
    let points = [
        (TRIMTAB_RESTORE_END, Point::End),
        (TRIMTAB_RESTORE_SEQUENCE, Point::Sequence(given.at)),
        (TRIMTAB_RESTORE_TIME, Point::Time(given.at)),
    ];
    let point = choice("point", given.point, &points)?;
    let identity = match flag("same_identity", given.same_identity)? {
        true => Some(backup::read_manifest(from)?.identity),
        false => None,
    };
    Ok(RestoreOptions { point, identity })
}

fn flag(what: &'static str, given: i32) -> Result<bool, Failure> {
    choice(what, given, &[(0, false), (1, true)])
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
