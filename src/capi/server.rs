//! A running instance: `trimtab_server`, from its making to its end.

use std::ffi::{OsStr, c_char, c_void};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Borrowed, Handle};
use crate::capi::pool::{TimedPool, trimtab_pool};
use crate::capi::server_events::{Teller, trimtab_event_fn};
use crate::capi::status::{Failure, trimtab_status};
use crate::capi::text::{self, trimtab_str};
use crate::capi::waiting::timeout;
use crate::error::Error;
use crate::server::{Config, Server, State};

/// Made, not started.
pub const TRIMTAB_SERVER_NEW: i32 = 0;
/// Accepts and relays.
pub const TRIMTAB_SERVER_RUNNING: i32 = 1;
/// Accepts nothing new; its sessions go on.
pub const TRIMTAB_SERVER_DRAINING: i32 = 2;
/// Ended.
pub const TRIMTAB_SERVER_STOPPED: i32 = 3;

/// Listeners that relay connections to pools, made from one configuration. It runs on threads of its own
/// (`trimtab_server_start`) or on the caller's, in the caller's loop (`trimtab_server_start_hosted`).
///
/// Any thread may call anything at any time, where a function says nothing else; `trimtab_server_free` alone
/// must come last.
///
/// After `fork` the server is the parent's alone. In the child `trimtab_server_free` lets go of it, and every
/// other function answers `TRIMTAB_E_FORKED`; none of them waits.
///
/// The functions `trimtab_server_...` are there in a library built with the feature `proxy`, which every
/// release is; `trimtab_feature_has` tells.
pub struct trimtab_server {
    _opaque: (),
}

impl Handle for trimtab_server {
    type Value = OwnedServer;
    const LIVE: u32 = 0x7474_7308;
}

/// What the handle stands for. In this order, so that a server that saw a panic, which `end` never reached,
/// tells of its end too.
pub(super) struct OwnedServer {
    server: Server,
    told: Told,
    pid: u32,
}

/// Who is told of events, until this is dropped.
struct Told(Option<Arc<Teller>>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(teller) = &self.0 {
            teller.close();
        }
    }
}

impl OwnedServer {
    fn new(config: Config, on_event: trimtab_event_fn, user_data: *mut c_void) -> Result<Self, Failure> {
        let teller = Teller::new(on_event, user_data).map(Arc::new);
        let server = match teller.clone() {
            Some(teller) => Server::with_events(config, move |event| teller.tell(event)),
            None => Server::new(config),
        }?;
        Ok(Self { server, told: Told(teller), pid: std::process::id() })
    }

    /// The server, in the process that made it.
    pub(super) fn server(&self) -> Result<&Server, Failure> {
        if self.pid != std::process::id() {
            return Err(Error::Forked { what: "server" }.into());
        }
        Ok(&self.server)
    }

    /// Ends it while its handle is good still, for the callback may use that. Afterwards no thread is in the
    /// callback, and none will be.
    fn end(&self) {
        if let Ok(server) = self.server() {
            // It cannot fail in this process, and nothing could be done about it.
            let _ = server.stop();
            // A hosted one ends in a turn, which may be this thread's, now that no other uses the server.
            while server.state() != State::Stopped && server.turn(Some(Duration::ZERO)).is_ok() {}
            let _ = server.wait(None);
        }
        if let Some(teller) = &self.told.0 {
            teller.close();
        }
    }

    /// Whether this thread is in its callback.
    fn is_telling_here(&self) -> bool {
        self.told.0.as_ref().is_some_and(|teller| teller.is_telling_here())
    }
}

/// Borrows a server.
///
/// # Safety
/// `server` is null or a live result of `trimtab_server_new` that is not freed before `'a` ends.
pub(super) unsafe fn borrow<'a>(server: *const trimtab_server) -> Result<Borrowed<'a, OwnedServer>, Failure> {
    // SAFETY: passed on to the caller.
    unsafe { handle::borrow(server, "server") }
}

/// Makes a server from a configuration's text, which the command `trimtab` takes as a file. Nothing is opened
/// and no thread made before it is started.
///
/// - `config`: TOML; copied before return.
/// - `source_name`: what errors call the text, like the name of its file; copied before return. When it is
///   empty they call it `config`.
/// - `server_out`: written on success only; end it with `trimtab_server_free`.
/// - `on_event`: gets the server's events; may be NULL.
/// - `user_data`: goes to `on_event` as it is; must be good until `trimtab_server_free` has returned.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, or `TRIMTAB_E_CONFIG`: the detail gives name,
/// line and column of the first thing wrong, what to do instead, and how many more there are.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_new(
    config: trimtab_str,
    source_name: trimtab_str,
    server_out: *mut *mut trimtab_server,
    on_event: trimtab_event_fn,
    user_data: *mut c_void,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `config.data` readable for `config.len` bytes during the call.
        let config = unsafe { config.text("config") }?;
        // SAFETY: the caller keeps `source_name.data` readable for `source_name.len` bytes during the call.
        let source_name = unsafe { source_name.text("source_name") }?;
        // SAFETY: `server_out` is null or writable; null is refused.
        let server_out = unsafe { handle::out(server_out, "server_out") }?;
        let source_name = if source_name.is_empty() { "config" } else { source_name };
        let config = Config::parse(config, source_name)?;
        server_out.write(handle::give(OwnedServer::new(config, on_event, user_data)?));
        Ok(())
    })
}

/// Makes a server from a configuration's file.
///
/// - `path`: as the system has it: any bytes but NUL; read during the call only.
/// - `server_out`, `on_event`, `user_data`: as for `trimtab_server_new`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_CONFIG` as `trimtab_server_new` and for a file that is
/// not UTF-8 or too long, or `TRIMTAB_E_IO` when it cannot be read.
/// Thread safety: any thread, at any time. Blocks while the file is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_new_from_file(
    path: trimtab_str,
    server_out: *mut *mut trimtab_server,
    on_event: trimtab_event_fn,
    user_data: *mut c_void,
) -> trimtab_status {
    guard(|| {
        // SAFETY: the caller keeps `path.data` readable for `path.len` bytes during the call.
        let path = unsafe { path.raw("path") }?;
        // SAFETY: `server_out` is null or writable; null is refused.
        let server_out = unsafe { handle::out(server_out, "server_out") }?;
        let config = Config::read(Path::new(OsStr::from_bytes(path)))?;
        server_out.write(handle::give(OwnedServer::new(config, on_event, user_data)?));
        Ok(())
    })
}

/// Ends a server as `trimtab_server_stop` does, waits for its threads and for whoever is in its callback, and
/// gives back all that belongs to it. The callback is not called any more once this has returned. Pools got
/// by `trimtab_server_pool` go on.
///
/// In a child made by `fork` it gives back what memory can be given back there, at once, and leaves alone
/// what is the parent's: the child keeps its copies of the descriptors until it ends.
///
/// - `server`: may be NULL.
///
/// In the server's own callback it does nothing: the call that waits for the callback is still on.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `server`. Blocks until its threads have ended, which they do
/// at once, and its callback has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_free(server: *mut trimtab_server) {
    guard_value((), || {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is none.
        let owned = unsafe { handle::peek(server) };
        if owned.is_some_and(OwnedServer::is_telling_here) {
            return;
        }
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        if let Ok(server) = unsafe { borrow(server) } {
            server.end();
        }
        // SAFETY: `server` is null or a live result of `trimtab_server_new` that nobody else uses.
        unsafe { handle::free(server) }
    })
}

/// Hands over a socket that listens already, in place of the listener's `bind`: from a service manager, or
/// from the process that this one replaces.
///
/// - `listener`: its name in the configuration.
/// - `fd`: the server takes a duplicate of it: the caller's stays the caller's, to close now or later. Both
///   are one socket, which is non-blocking from now on. It stays open as long as one of them is, so clients
///   that come after the server has ended wait for whoever holds the other.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` for a listener that the
/// configuration does not have, `TRIMTAB_E_INVALID_ARGUMENT` for a negative `fd`, `TRIMTAB_E_IO` for what is
/// no stream socket that listens, `TRIMTAB_E_STATE` once it is started, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_adopt(
    server: *const trimtab_server,
    listener: trimtab_str,
    fd: i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: the caller keeps `listener.data` readable for `listener.len` bytes during the call.
        let listener = unsafe { listener.text("listener") }?;
        let server = server.server()?;
        if fd < 0 {
            return Err(Error::invalid("fd", format!("{fd} is no descriptor; they are 0 or more")).into());
        }
        // SAFETY: the caller keeps `fd` open during the call; one that is not is refused by the system.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let copy = borrowed.try_clone_to_owned();
        let copy = copy.map_err(|error| Error::io(format!("duplicate descriptor {fd}"), &error))?;
        Ok(server.adopt(listener, copy)?)
    })
}

/// Starts it on threads of its own, as many as `runtime.workers` says, with all signals blocked. Every
/// listener listens when this returns.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO`: the detail says what could not be bound, and where
/// the configuration asks for it; nothing is left open then and it may be tried again, `TRIMTAB_E_STATE` when
/// it was started before, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Blocks while the log of its store is read, otherwise not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_start(server: *const trimtab_server) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        Ok(server.server()?.start()?)
    })
}

/// Accepts nothing new and lets sessions end by themselves until the time is over, then ends them. Does not
/// wait for that: see `trimtab_server_wait`; a hosted server does it in its next turns. Called again it sets
/// the time anew.
///
/// - `timeout_ms`: milliseconds; negative for the longest `timeouts.drain` of the listeners.
///
/// Returns `TRIMTAB_OK`, also when it has ended already, `TRIMTAB_E_NULL`, `TRIMTAB_E_STATE` before it is
/// started, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_drain(
    server: *const trimtab_server,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        Ok(server.server()?.drain(timeout(timeout_ms))?)
    })
}

/// Ends it: every session is cut. Does not wait for that: see `trimtab_server_wait`; a hosted server ends in
/// its next turn. Good in any state and more than once; a server that was not started never will be.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_stop(server: *const trimtab_server) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        Ok(server.server()?.stop()?)
    })
}

/// Waits until it has ended and its threads are gone.
///
/// - `timeout_ms`: at most so many milliseconds; negative for ever, 0 only looks.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_TIMED_OUT`, `TRIMTAB_E_STATE` before it is started,
/// when it is hosted (turn it until `trimtab_server_state` says stopped) and on a thread of its own, or
/// `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_wait(
    server: *const trimtab_server,
    timeout_ms: i64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        Ok(server.server()?.wait(timeout(timeout_ms))?)
    })
}

/// What it does.
///
/// - `state_out`: one of `TRIMTAB_SERVER_...`; written on success only.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL` or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_state(
    server: *const trimtab_server,
    state_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: `state_out` is null or writable; null is refused.
        let state_out = unsafe { handle::out(state_out, "state_out") }?;
        state_out.write(match server.server()?.state() {
            State::New => TRIMTAB_SERVER_NEW,
            State::Running => TRIMTAB_SERVER_RUNNING,
            State::Draining => TRIMTAB_SERVER_DRAINING,
            State::Stopped => TRIMTAB_SERVER_STOPPED,
        });
        Ok(())
    })
}

/// Where a listener listens, as the configuration writes addresses: `ip:port`, `[ipv6]:port`, `unix:/path` or
/// `unix:@abstract`. Port 0 in the configuration has become the one that the system chose.
///
/// - `listener`: its name in the configuration.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND`, `TRIMTAB_E_STATE` before
/// it is started, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_address_copy(
    server: *const trimtab_server,
    listener: trimtab_str,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: the caller keeps `listener.data` readable for `listener.len` bytes during the call.
        let listener = unsafe { listener.text("listener") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        buffer.fill(&server.server()?.address(listener)?.to_string());
        Ok(())
    })
}

/// Where the admin socket listens, written as by `trimtab_server_address_copy`.
///
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_NOT_FOUND` when the configuration has no `[admin]`,
/// `TRIMTAB_E_STATE` before it is started, or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_admin_address_copy(
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
        let server = server.server()?;
        let value = "address; give the configuration an [admin]".to_string();
        let address = server.admin_address()?.ok_or(Error::NotFound { what: "admin", value })?;
        buffer.fill(&address.to_string());
        Ok(())
    })
}

/// A pool of the server, to add, remove and change backends while it runs, to pick from, to ask: everything
/// that `trimtab_pool_...` can do. Changes hold for the relay at once. It is timed by `trimtab_now`: give its
/// functions a `now_ns` of that clock, or 0.
///
/// - `name`: its name in the configuration.
/// - `pool_out`: written on success only; end it with `trimtab_pool_free`, before or after the server. The
///   server's part in the pool ends with the server.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_UTF8`, `TRIMTAB_E_NOT_FOUND` or `TRIMTAB_E_FORKED`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_server_pool(
    server: *const trimtab_server,
    name: trimtab_str,
    pool_out: *mut *mut trimtab_pool,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `server` is null or a live result of `trimtab_server_new`; null is refused.
        let server = unsafe { borrow(server) }?;
        // SAFETY: the caller keeps `name.data` readable for `name.len` bytes during the call.
        let name = unsafe { name.text("name") }?;
        // SAFETY: `pool_out` is null or writable; null is refused.
        let pool_out = unsafe { handle::out(pool_out, "pool_out") }?;
        pool_out.write(handle::give(TimedPool::sharing(server.server()?.pool(name)?)));
        Ok(())
    })
}
