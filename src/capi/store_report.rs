//! What opening a store found: `trimtab_store_report`.

use std::ffi::c_char;

use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::status::{TRIMTAB_OK, trimtab_status};
use crate::capi::store::{borrow, code, trimtab_store};
use crate::capi::text;

/// What opening a store found.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_store_report {
    /// `sizeof(trimtab_store_report)`, set by the caller before the call.
    pub struct_size: u32,
    /// 1: the store had been closed in order; 0: it had not, or is new.
    pub is_closed: i32,
    /// 1: a batch that never became durable was cut off, in the file that `trimtab_store_torn_file_copy` gives; else 0. It is
    /// told again each time the store is opened until something has been written.
    pub is_torn: i32,
    /// Why the settings asked for are not in force, and those of before are: a status, whose words
    /// `trimtab_store_settings_refused_copy` gives; `TRIMTAB_OK` when they are.
    pub settings_refused: i32,
    /// How many segments hold records.
    pub segments: u64,
    /// How many records they hold.
    pub records: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// The first entry of the log that can be read; 0: there is none.
    pub first: u64,
    /// The last entry, whether in the log or only in the snapshot; 0: there is none.
    pub last: u64,
    /// The snapshot's sequence; 0: there is none.
    pub snapshot: u64,
    /// The byte of that file where the log ends now; 0 unless `is_torn`.
    pub torn_offset: u64,
    /// How many bytes behind it were recognised as the batch's; 0 unless `is_torn`.
    pub torn_bytes: u64,
    /// Entries that were applied on top of the snapshot.
    pub replayed: u64,
    /// By how much the latest time in the store was ahead of the clock, in milliseconds: until the clock has come there,
    /// time stands still in the store.
    pub ahead_ms: u64,
    /// How many segments were left out since there is damage in the last of them: the snapshot stands for all that is in them, and
    /// nothing is lost. 0: none. `trimtab_store_covered_file_copy` gives the first file that is damaged.
    pub covered_segments: u64,
    /// The byte of that file where the damage is; 0 unless `covered_segments`.
    pub covered_offset: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_store_report {
    const FIRST_SIZE: usize = 96;
    const UNSAID: Self = Self {
        struct_size: 0,
        is_closed: 0,
        is_torn: 0,
        settings_refused: TRIMTAB_OK,
        segments: 0,
        records: 0,
        bytes: 0,
        first: 0,
        last: 0,
        snapshot: 0,
        torn_offset: 0,
        torn_bytes: 0,
        replayed: 0,
        ahead_ms: 0,
        covered_segments: 0,
        covered_offset: 0,
    };
}

/// What opening the store found. It does not change, and is told of a store that is closed too.
///
/// - `report_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_STRUCT_SIZE`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_report_read(
    store: *const trimtab_store,
    report_out: *mut trimtab_store_report,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_open`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `report_out` is null or as large as its `struct_size` says; null is refused.
        let report_out = unsafe { handle::out_struct(report_out, "report_out") }?;
        store.check_process()?;
        let report = store.report();
        let (log, torn) = (&report.log, report.log.torn.as_ref());
        let covered = log.covered.as_ref();
        let struct_size = report_out.size();
        report_out.write(trimtab_store_report {
            struct_size,
            is_closed: log.is_closed.into(),
            is_torn: torn.is_some().into(),
            settings_refused: code(report.settings_refused.clone()),
            segments: log.segments,
            records: log.records,
            bytes: log.bytes,
            first: log.first.map_or(0, |first| first.0),
            last: log.last.0,
            snapshot: log.snapshot.map_or(0, |snapshot| snapshot.0),
            torn_offset: torn.map_or(0, |torn| torn.offset),
            torn_bytes: torn.map_or(0, |torn| torn.bytes),
            replayed: report.replayed,
            ahead_ms: report.ahead_ms,
            covered_segments: covered.map_or(0, |covered| covered.segments),
            covered_offset: covered.map_or(0, |covered| covered.offset),
        });
        Ok(())
    })
}

/// Copies the name of the file of which opening has cut off a torn tail; nothing when there was none.
///
/// - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
/// - `length_out`: gets the length of the whole, without the NUL; may be NULL.
///
/// Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_torn_file_copy(
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
        store.check_process()?;
        buffer.fill(store.report().log.torn.as_ref().map_or("", |torn| &torn.file));
        Ok(())
    })
}

/// Copies the name of the first file with damage that a snapshot stands for, so that opening has left it out; nothing when there was
/// none.
///
/// - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
/// - `length_out`: gets the length of the whole, without the NUL; may be NULL.
///
/// Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_covered_file_copy(
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
        store.check_process()?;
        buffer.fill(store.report().log.covered.as_ref().map_or("", |covered| &covered.file));
        Ok(())
    })
}

/// Copies why the settings that the store was opened with are not in force; nothing when they are.
///
/// - `buffer`, `size`: where it goes, cut at a character and closed with a NUL. May be NULL when `size` is 0.
/// - `length_out`: gets the length of the whole, without the NUL; may be NULL.
///
/// Returns `TRIMTAB_OK`, also when it does not fit, or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_store_settings_refused_copy(
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
        store.check_process()?;
        let refused = store.report().settings_refused.as_ref();
        buffer.fill(&refused.map_or(String::new(), |refused| refused.to_string()));
        Ok(())
    })
}
