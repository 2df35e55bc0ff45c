//! What a server counted.

use std::ffi::c_char;

use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::server::{borrow, trimtab_server};
use crate::capi::status::trimtab_status;
use crate::capi::text::{self, trimtab_str};
use crate::server::{ListenerStatistics, ServerStatistics};

/// What a server counted since it was started, all listeners together. The figures of one answer are read one
/// after another, so under load they may differ by what happened in between.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_server_statistics {
    /// `sizeof(trimtab_server_statistics)`, set by the caller before the call.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Sessions at present.
    pub sessions: u64,
    /// Clients that wait for a place at a backend at present.
    pub waiting: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Sessions that ended after both sides had.
    pub finished: u64,
    /// Sessions that ended otherwise; the listeners' statistics tell how.
    pub failed: u64,
    /// Attempts at another backend after one could not be reached.
    pub retries: u64,
    /// Bytes delivered to backends.
    pub bytes_to_backends: u64,
    /// Bytes delivered to clients.
    pub bytes_to_clients: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_server_statistics {
    const FIRST_SIZE: usize = 72;
    const UNSAID: Self = Self {
        struct_size: 0,
        reserved: 0,
        sessions: 0,
        waiting: 0,
        accepted: 0,
        finished: 0,
        failed: 0,
        retries: 0,
        bytes_to_backends: 0,
        bytes_to_clients: 0,
    };
}

/// What a server counted of one listener since it was started.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_listener_statistics {
    /// `sizeof(trimtab_listener_statistics)`, set by the caller before the call.
    pub struct_size: u32,
    /// Its limit; 0 for none.
    pub maxconn: u32,
    /// Sessions at present.
    pub sessions: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Attempts to accept that failed: aborted connections, and each time no descriptor was free.
    pub accept_errors: u64,
    /// Attempts at another backend after one could not be reached.
    pub retries: u64,
    /// Sessions that had to wait for a place at a backend.
    pub queued: u64,
    /// Bytes delivered to backends.
    pub bytes_to_backends: u64,
    /// Bytes delivered to clients.
    pub bytes_to_clients: u64,
    /// Sessions that ended, by cause: both sides ended their half.
    pub closed_finished: u64,
    /// The client broke off.
    pub closed_client_reset: u64,
    /// The backend broke off.
    pub closed_backend_reset: u64,
    /// The client left before it had a backend.
    pub closed_client_left: u64,
    /// What should have been a PROXY header is none.
    pub closed_header_invalid: u64,
    /// The PROXY header took too long.
    pub closed_header_timeout: u64,
    /// No backend could be picked.
    pub closed_no_backend: u64,
    /// Backends could not be reached, as many as may be tried.
    pub closed_connect_failed: u64,
    /// The queue for a backend was full.
    pub closed_queue_full: u64,
    /// No backend came free in time.
    pub closed_queue_timeout: u64,
    /// Silence in both directions.
    pub closed_idle_timeout: u64,
    /// Silence after one side had ended its half.
    pub closed_half_closed_timeout: u64,
    /// The server stopped.
    pub closed_stopped: u64,
    /// The system had no descriptor or memory for the backend's connection.
    pub closed_no_descriptor: u64,
    /// A backend could not be reached, and the retry budget had no try at another one left.
    pub closed_retry_refused: u64,
    /// As many waited for the pool as may.
    pub closed_pending_full: u64,
    /// Its backend went down, and the pool's sessions are cut then.
    pub closed_backend_down: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_listener_statistics {
    const FIRST_SIZE: usize = 176;
    const UNSAID: Self = Self {
        struct_size: 0,
        maxconn: 0,
        sessions: 0,
        accepted: 0,
        accept_errors: 0,
        retries: 0,
        queued: 0,
        bytes_to_backends: 0,
        bytes_to_clients: 0,
        closed_finished: 0,
        closed_client_reset: 0,
        closed_backend_reset: 0,
        closed_client_left: 0,
        closed_header_invalid: 0,
        closed_header_timeout: 0,
        closed_no_backend: 0,
        closed_connect_failed: 0,
        closed_queue_full: 0,
        closed_queue_timeout: 0,
        closed_idle_timeout: 0,
        closed_half_closed_timeout: 0,
        closed_stopped: 0,
        closed_no_descriptor: 0,
        closed_retry_refused: 0,
        closed_pending_full: 0,
        closed_backend_down: 0,
    };
}

impl trimtab_listener_statistics {
    fn of(struct_size: u32, read: &ListenerStatistics) -> Self {
        let mut counted = Self {
            struct_size,
            maxconn: read.maxconn,
            sessions: read.sessions,
            accepted: read.accepted,
            accept_errors: read.accept_errors,
            retries: read.retries,
            queued: read.queued,
            bytes_to_backends: read.bytes_to_backends,
            bytes_to_clients: read.bytes_to_clients,
            ..Self::UNSAID
        };
        for (cause, count) in &read.closed {
            if let Some(field) = counted.closed(cause) {
                *field = *count;
            }
        }
        counted
    }

    /// The field of a cause by its name in statistics.
    fn closed(&mut self, cause: &str) -> Option<&mut u64> {
        Some(match cause {
            "finished" => &mut self.closed_finished,
            "client_reset" => &mut self.closed_client_reset,
            "backend_reset" => &mut self.closed_backend_reset,
            "client_left" => &mut self.closed_client_left,
            "header_invalid" => &mut self.closed_header_invalid,
            "header_timeout" => &mut self.closed_header_timeout,
            "no_backend" => &mut self.closed_no_backend,
            "connect_failed" => &mut self.closed_connect_failed,
            "queue_full" => &mut self.closed_queue_full,
            "queue_timeout" => &mut self.closed_queue_timeout,
            "idle_timeout" => &mut self.closed_idle_timeout,
            "half_closed_timeout" => &mut self.closed_half_closed_timeout,
            "stopped" => &mut self.closed_stopped,
            "no_descriptor" => &mut self.closed_no_descriptor,
            "retry_refused" => &mut self.closed_retry_refused,
            "pending_full" => &mut self.closed_pending_full,
            "backend_down" => &mut self.closed_backend_down,
            _ => return None,
        })
    }
}

/// Reads what a server counted; zeros before it is started.
///
/// - `statistics_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block, and holds no session up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_statistics_read(
    server: *const trimtab_server,
    statistics_out: *mut trimtab_server_statistics,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `statistics_out` is null or as large as its `struct_size` says; null is refused.
        let statistics_out = unsafe { handle::out_struct(statistics_out, "statistics_out") }?;
        let ServerStatistics {
            sessions,
            waiting,
            accepted,
            finished,
            failed,
            retries,
            bytes_to_backends,
            bytes_to_clients,
        } = server.server()?.statistics()?;
        let struct_size = statistics_out.size();
        statistics_out.write(trimtab_server_statistics {
            struct_size,
            reserved: 0,
            sessions,
            waiting,
            accepted,
            finished,
            failed,
            retries,
            bytes_to_backends,
            bytes_to_clients,
        });
        Ok(())
    })
}

/// Reads what was counted of one listener.
///
/// - `listener`: its name in the configuration.
/// - `statistics_out`: its `struct_size` is read; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_NOT_FOUND`,
/// `TRIMTAB_E_STATE` before it is started, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block, and holds no session up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_listener_statistics_read(
    server: *const trimtab_server,
    listener: trimtab_str,
    statistics_out: *mut trimtab_listener_statistics,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: the caller keeps `listener.data` readable for `listener.len` bytes during the call.
        let listener = unsafe { listener.text("listener") }?;
        // SAFETY: `statistics_out` is null or as large as its `struct_size` says; null is refused.
        let statistics_out = unsafe { handle::out_struct(statistics_out, "statistics_out") }?;
        let read = server.server()?.listener_statistics(listener)?;
        let counted = trimtab_listener_statistics::of(statistics_out.size(), &read);
        statistics_out.write(counted);
        Ok(())
    })
}

/// Everything there is to see of a server, as JSON: what it does, its totals, its listeners, its pools and
/// their backends; what `trimtab ctl status` shows. Fields may be added in later releases.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above. It may be longer each time.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block, and holds no session up; allocates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_status_copy(
    server: *const trimtab_server,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let json = serde_json::to_string(&server.server()?.status()?);
        buffer.fill(&json.expect("the map keys of a status are text, and JSON refuses no other part of it"));
        Ok(())
    })
}

const _: () = assert!(size_of::<trimtab_server_statistics>() == trimtab_server_statistics::FIRST_SIZE);
const _: () =
    assert!(size_of::<trimtab_listener_statistics>() == trimtab_listener_statistics::FIRST_SIZE + 24);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proxy::session::Cause;

    #[test]
    fn every_cause_has_a_field_of_its_own() {
        let mut counted = trimtab_listener_statistics::UNSAID;
        let mut places = BTreeSet::new();
        for (name, _) in Cause::NAMES {
            let field = counted.closed(name).unwrap_or_else(|| panic!("no field for the cause {name}"));
            assert!(places.insert(&raw mut *field), "the field of {name} is another's too");
        }
        assert_eq!(counted.closed("nothing"), None);
    }
}
