//! What changes in a pool of the host's own: `trimtab_pool_event`, and the caller's function that gets it.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_void};

use crate::balance::{Change, ChangeKind, Observer};
use crate::capi::backend::{admin_number, observed_number};
use crate::capi::guard::guard;
use crate::capi::handle;
use crate::capi::pool::trimtab_pool;
use crate::capi::status::{Failure, trimtab_status};
use crate::error::Error;

/// A backend was added to a pool.
pub const TRIMTAB_EVENT_BACKEND_ADDED: i32 = 6;
/// A backend was taken out.
pub const TRIMTAB_EVENT_BACKEND_REMOVED: i32 = 7;
/// An operator's order; the number is one of `TRIMTAB_ADMIN_...`.
pub const TRIMTAB_EVENT_BACKEND_ADMIN: i32 = 8;
/// Something was observed; the number is one of `TRIMTAB_OBSERVED_...`.
pub const TRIMTAB_EVENT_BACKEND_OBSERVED: i32 = 9;
/// A backend has another weight; the number is the new one.
pub const TRIMTAB_EVENT_BACKEND_WEIGHT: i32 = 10;
/// A backend has another `maxconn`; the number is the new one, 0 for no limit.
pub const TRIMTAB_EVENT_BACKEND_MAXCONN: i32 = 11;
/// A backend has another tier; the number is the new one.
pub const TRIMTAB_EVENT_BACKEND_TIER: i32 = 12;
/// A tier panics: it serves whatever is observed of its backends. The number is the tier.
pub const TRIMTAB_EVENT_PANIC_BEGAN: i32 = 32;
/// A tier no longer panics. The number is the tier.
pub const TRIMTAB_EVENT_PANIC_ENDED: i32 = 33;
/// A place below a limit may have come free, and somebody waits for one (`trimtab_pool_try_want`). Told by
/// `trimtab_pool_observe` only.
pub const TRIMTAB_EVENT_ROOM: i32 = 34;

/// Something that happened in a pool; nothing is told per pick, except `TRIMTAB_EVENT_ROOM` while somebody waits. Each
/// text ends with a NUL that its `_len` does not count, is empty where there is nothing to say, and is never NULL.
/// Texts and struct are trimtab's: they are good until the callback returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_pool_event {
    /// The size of this struct as the library has it: fields beyond it are not there.
    pub struct_size: u32,
    /// What happened: one of `TRIMTAB_EVENT_BACKEND_...`, `TRIMTAB_EVENT_PANIC_...` or `TRIMTAB_EVENT_ROOM`. Later
    /// releases have more of them.
    pub kind: i32,
    /// What there is now, as the kind tells; else 0.
    pub number: u32,
    /// 0.
    pub reserved: u32,
    /// The backend that it happened to; 0 where it is none.
    pub backend: u64,
    /// Its name.
    pub name: *const c_char,
    /// Its length in bytes.
    pub name_len: usize,
    /// Why, in one line, when that was said.
    pub reason: *const c_char,
    /// Its length in bytes.
    pub reason_len: usize,
}

/// Gets a pool's events, with the `user_data` that came with it.
///
/// It runs on the thread whose call on the pool made the event happen, before that call returns, after the change took
/// effect. Two threads may be in it at once, and changes that two threads make at once may be told in either order. No
/// lock is held meanwhile, so it may call anything on the pool, which may tell more events before it returns;
/// `trimtab_pool_free` alone does nothing on a pool whose event this thread is being told. It must not block for long:
/// a pick or a done may be waiting. It must return: no exception and no `longjmp` may leave it. None runs after
/// `trimtab_pool_free` has returned. In a child made by `fork` it is told of what the child's copy of the pool does.
pub type trimtab_pool_event_fn =
    Option<unsafe extern "C" fn(event: *const trimtab_pool_event, user_data: *mut c_void)>;

/// Names the function that is told what happens in a pool: once for each pool, and for as long as it lives.
///
/// - `event_fn`: see `trimtab_pool_event_fn`.
/// - `user_data`: goes to `event_fn` as it is; may be NULL.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, or `TRIMTAB_E_STATE` when the pool has one already, as a server's has its
/// server.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_observe(
    pool: *const trimtab_pool,
    event_fn: trimtab_pool_event_fn,
    user_data: *mut c_void,
) -> trimtab_status {
    guard(|| {
        let address = pool.addr();
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        let function = event_fn.ok_or(Failure::Null { what: "event_fn" })?;
        let teller = Teller { function, user_data: UserData(user_data), pool: address };
        if pool.pool().observe(Box::new(teller)) {
            return Ok(());
        }
        let detail = "has a function that is told its events already; a server's has its server".into();
        Err(Error::State { what: "pool", detail }.into())
    })
}

/// Whether this thread is being told an event of the pool at this address.
pub(super) fn is_telling_here(pool: usize) -> bool {
    TELLING.try_with(|telling| telling.borrow().contains(&pool)).unwrap_or(false)
}

thread_local! {
    /// The pools whose functions this thread is in, the innermost last.
    static TELLING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The caller's function, for as long as the pool lives.
struct Teller {
    function: unsafe extern "C" fn(*const trimtab_pool_event, *mut c_void),
    user_data: UserData,
    /// The address of the handle.
    pool: usize,
}

struct UserData(*mut c_void);

// SAFETY: nothing here looks behind the pointer; it goes back to the caller's function, of which the header says that
// any thread may run it, and two at once.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl Observer for Teller {
    fn handle_room(&self) {
        self.tell(TRIMTAB_EVENT_ROOM, 0, 0, "", "");
    }

    fn handle_change(&self, change: &Change) {
        let (kind, number) = numbers(change.kind);
        let reason = change.reason.as_deref().unwrap_or_default();
        self.tell(kind, number, change.backend.as_u64(), &change.name, reason);
    }

    fn handle_panic(&self, tier: u8, panics: bool) {
        let kind = if panics { TRIMTAB_EVENT_PANIC_BEGAN } else { TRIMTAB_EVENT_PANIC_ENDED };
        self.tell(kind, u32::from(tier), 0, "", "");
    }
}

impl Teller {
    fn tell(&self, kind: i32, number: u32, backend: u64, name: &str, reason: &str) {
        let (name, reason) = (closed(name), closed(reason));
        let event = trimtab_pool_event {
            struct_size: size_of::<trimtab_pool_event>() as u32,
            kind,
            number,
            reserved: 0,
            backend,
            name: name.as_ptr(),
            name_len: name.as_bytes().len(),
            reason: reason.as_ptr(),
            reason_len: reason.as_bytes().len(),
        };
        let _telling = Telling::begin(self.pool);
        // SAFETY: the caller of `trimtab_pool_observe` gave this function for such calls, with this `user_data`; `event`
        // and its texts live until it returns, and the pool is in use by this call, so it is not freed meanwhile.
        unsafe { (self.function)(&raw const event, self.user_data.0) };
    }
}

/// This thread is in the function of a pool until this is dropped.
struct Telling;

impl Telling {
    fn begin(pool: usize) -> Self {
        // While a thread ends its locals go; then nobody can free in the function either.
        let _ = TELLING.try_with(|telling| telling.borrow_mut().push(pool));
        Self
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let _ = TELLING.try_with(|telling| telling.borrow_mut().pop());
    }
}

/// `text` with a NUL at its end. One within, which a name may have, becomes U+FFFD, so that the text is as long to who
/// counts as to who looks for the end.
pub(super) fn closed(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).expect("every NUL was replaced")
}

/// The constant of a change, and what was changed to.
pub(super) fn numbers(change: ChangeKind) -> (i32, u32) {
    match change {
        ChangeKind::Added => (TRIMTAB_EVENT_BACKEND_ADDED, 0),
        ChangeKind::Removed => (TRIMTAB_EVENT_BACKEND_REMOVED, 0),
        ChangeKind::Admin(admin) => (TRIMTAB_EVENT_BACKEND_ADMIN, admin_number(admin) as u32),
        ChangeKind::Observed(observed) => (TRIMTAB_EVENT_BACKEND_OBSERVED, observed_number(observed) as u32),
        ChangeKind::Weight(weight) => (TRIMTAB_EVENT_BACKEND_WEIGHT, weight),
        ChangeKind::Maxconn(maxconn) => (TRIMTAB_EVENT_BACKEND_MAXCONN, maxconn),
        ChangeKind::Tier(tier) => (TRIMTAB_EVENT_BACKEND_TIER, u32::from(tier)),
    }
}
