//! What a server tells: `trimtab_event`, and the caller's function that gets it.

use std::ffi::{CString, c_char, c_void};
use std::thread::ThreadId;

use parking_lot::{Condvar, Mutex};

use crate::capi::pool_events::{self, closed};
#[cfg(feature = "replication")]
use crate::server::ClusterKind;
use crate::server::{Event, EventKind};

/// The server listens; the detail says where.
pub const TRIMTAB_EVENT_STARTED: i32 = 0;
/// It accepts nothing new and waits for its sessions to end.
pub const TRIMTAB_EVENT_DRAINING: i32 = 1;
/// It has ended: no session, no listener.
pub const TRIMTAB_EVENT_STOPPED: i32 = 2;
/// A listener pauses, for the system has no descriptor or memory left; the detail tells which.
pub const TRIMTAB_EVENT_ACCEPT_PAUSED: i32 = 3;
/// The listener goes on.
pub const TRIMTAB_EVENT_ACCEPT_RESUMED: i32 = 4;
/// A thread of the server's own ended before it was told to; the detail says why. The others go on.
pub const TRIMTAB_EVENT_WORKER_FAILED: i32 = 5;
/// Members could not be found out, by name or from a file; the detail says why. Those there were stay.
pub const TRIMTAB_EVENT_DISCOVERY_FAILED: i32 = 13;
/// Sessions of a backend that went down were cut, by one of the workers; the number is how many.
pub const TRIMTAB_EVENT_SESSIONS_CUT: i32 = 14;
/// The store takes no writes any more until it is opened again; the detail says why. Reading goes on.
pub const TRIMTAB_EVENT_STORE_FAILED: i32 = 15;
/// There is no room on disk for the log's next segment; the detail says more. Once the present one is full the store takes no
/// writes; reading goes on.
pub const TRIMTAB_EVENT_STORE_FULL: i32 = 16;
/// The store takes writes again.
pub const TRIMTAB_EVENT_STORE_RECOVERED: i32 = 17;
/// A backup of the store has been taken; the number is the backup's, the detail says what was added.
pub const TRIMTAB_EVENT_STORE_BACKUP_ENDED: i32 = 18;
/// A backup of the store could not be taken, and is as it was before; the number is the backup's, the detail says why.
pub const TRIMTAB_EVENT_STORE_BACKUP_FAILED: i32 = 19;
/// Something that lies on the store's disk was found damaged; the detail says what, where, and what is done about it.
pub const TRIMTAB_EVENT_STORE_DAMAGED: i32 = 20;
/// What was found damaged is not needed any more: a snapshot up to an entry, the number, stands for it.
pub const TRIMTAB_EVENT_STORE_MENDED: i32 = 21;
/// The store was opened, and found something to be looked at: a torn tail that was cut off, a clock that is behind, settings
/// that are not in force; the detail says which.
pub const TRIMTAB_EVENT_STORE_OPENED: i32 = 22;
/// This node of the store's cluster has another role; the number is one of `TRIMTAB_NODE_...`.
pub const TRIMTAB_EVENT_CLUSTER_ROLE: i32 = 40;
/// `node` is primary, in the epoch that the number is; no name: none is known.
pub const TRIMTAB_EVENT_CLUSTER_PRIMARY: i32 = 41;
/// Who is in the cluster has changed; the detail has who votes and who learns.
pub const TRIMTAB_EVENT_CLUSTER_MEMBERS: i32 = 42;
/// This node takes no part in its cluster any more; the detail says why, and what to do.
pub const TRIMTAB_EVENT_CLUSTER_FENCED: i32 = 43;
/// This node has forgotten what it promised, and votes for nobody until it is taken in again.
pub const TRIMTAB_EVENT_CLUSTER_FORGETFUL: i32 = 44;
/// It was.
pub const TRIMTAB_EVENT_CLUSTER_READMITTED: i32 = 45;
/// `node` has come to another state than the others, at an entry, the number, or before.
pub const TRIMTAB_EVENT_CLUSTER_DIFFERS: i32 = 46;
/// Two processes run as `node`.
pub const TRIMTAB_EVENT_CLUSTER_TWO_PROCESSES: i32 = 47;
/// This primary's disk is slow: it hands over to `node`.
pub const TRIMTAB_EVENT_CLUSTER_SLOW_DISK: i32 = 48;
/// This learner is fed by `node` from now on; no name: by the primary.
pub const TRIMTAB_EVENT_CLUSTER_SOURCE: i32 = 49;
/// A state from another node has taken the place of this one's, up to an entry, the number.
pub const TRIMTAB_EVENT_CLUSTER_INSTALLED: i32 = 50;
/// A link to `node` is up.
pub const TRIMTAB_EVENT_CLUSTER_LINK_UP: i32 = 51;
/// A link to `node` is over; the detail says why.
pub const TRIMTAB_EVENT_CLUSTER_LINK_DOWN: i32 = 52;
/// `node`, as far as it said who it is, is not let in, does not let this one in or cannot be reached, or what it sends is not
/// taken; the detail says why, and what to do. The same is told once in ten minutes.
pub const TRIMTAB_EVENT_CLUSTER_REFUSED: i32 = 53;
/// From an entry, the number, on writes are answered with fewer nodes than they asked for; the detail says which lack it.
pub const TRIMTAB_EVENT_CLUSTER_DEGRADED: i32 = 54;
/// They are so no longer; the number is how many were.
pub const TRIMTAB_EVENT_CLUSTER_RECOVERED: i32 = 55;
/// Too much happened to the cluster at once; the number is how many events of it are not told.
pub const TRIMTAB_EVENT_CLUSTER_MISSED: i32 = 56;

/// Something an operator would want to know; nothing is told per connection. Each text ends with a NUL that
/// its `_len` does not count, is empty where there is nothing to say, and is never NULL. Texts and struct are
/// trimtab's: they are good until the callback returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_event {
    /// The size of this struct as the library has it: fields beyond it are not there.
    pub struct_size: u32,
    /// What happened: one of `TRIMTAB_EVENT_...`. Later releases have more of them.
    pub kind: i32,
    /// What a backend or a node changed to, how many, or an entry of the log, as the kind tells; else 0. What is more than
    /// fits is the most that does: `value` has it whole.
    pub number: u32,
    /// 0.
    pub reserved: u32,
    /// The kind in a word for logs, like `backend-admin`.
    pub name: *const c_char,
    /// Its length in bytes.
    pub name_len: usize,
    /// The listener that it happened to.
    pub listener: *const c_char,
    /// Its length in bytes.
    pub listener_len: usize,
    /// The pool that it happened in.
    pub pool: *const c_char,
    /// Its length in bytes.
    pub pool_len: usize,
    /// The name of the backend that it happened to.
    pub backend: *const c_char,
    /// Its length in bytes.
    pub backend_len: usize,
    /// What a backend changed to, or how many, in a word or digits, like `drain` or `7`.
    pub value: *const c_char,
    /// Its length in bytes.
    pub value_len: usize,
    /// More in words, one line.
    pub detail: *const c_char,
    /// Its length in bytes.
    pub detail_len: usize,
    /// The name of the node of the store's cluster that it is about.
    pub node: *const c_char,
    /// Its length in bytes.
    pub node_len: usize,
}

/// Gets a server's events, with the `user_data` that came with it.
///
/// It runs on the thread that made the event happen: one of the server's own, the one that turns a hosted
/// server, or one that is in a call on the server or on one of its pools. Two threads may be in it at once. No
/// lock is held meanwhile, so it may call anything on the server and its pools except `trimtab_server_turn`,
/// which answers `TRIMTAB_E_STATE`, and `trimtab_server_free`, which does nothing; `trimtab_server_wait`
/// answers `TRIMTAB_E_STATE` on a thread of the server's own. It must not block for long: that thread's
/// sessions wait. It must return: no exception and no `longjmp` may leave it. None runs after
/// `trimtab_server_free` has returned, nor in a child made by `fork`.
pub type trimtab_event_fn = Option<unsafe extern "C" fn(event: *const trimtab_event, user_data: *mut c_void)>;

/// The caller's function, for as long as the server lives.
pub(super) struct Teller {
    function: unsafe extern "C" fn(*const trimtab_event, *mut c_void),
    user_data: UserData,
    pid: u32,
    calls: Mutex<Calls>,
    /// Told whenever a call ends while `is_closed`.
    ended: Condvar,
}

struct UserData(*mut c_void);

// SAFETY: nothing here looks behind the pointer; it goes back to the caller's function, of which the header
// says that any thread may run it, and two at once.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

/// Which threads are in the function. One that causes an event there is in it twice.
#[derive(Default)]
struct Calls {
    threads: Vec<ThreadId>,
    is_closed: bool,
}

impl Teller {
    /// `None` for a function that is NULL.
    pub(super) fn new(function: trimtab_event_fn, user_data: *mut c_void) -> Option<Self> {
        Some(Self {
            function: function?,
            user_data: UserData(user_data),
            pid: std::process::id(),
            calls: Mutex::new(Calls::default()),
            ended: Condvar::new(),
        })
    }

    pub(super) fn tell(&self, event: &Event) {
        // A child got the lock in whatever state the parent's threads had it.
        if self.pid != std::process::id() {
            return;
        }
        let here = std::thread::current().id();
        {
            let mut calls = self.calls.lock();
            if calls.is_closed {
                return;
            }
            calls.threads.push(here);
        }
        let texts = Texts::of(event);
        let event = texts.event(event.kind);
        // SAFETY: the caller of `trimtab_server_new` gave this function for such calls, with this `user_data`;
        // `event` and its texts live until it returns, and the server is not freed meanwhile: `close` waits.
        unsafe { (self.function)(&raw const event, self.user_data.0) };
        let mut calls = self.calls.lock();
        let at = calls.threads.iter().rposition(|thread| *thread == here);
        calls.threads.swap_remove(at.expect("this thread was put in above, and takes itself out once"));
        if calls.is_closed {
            self.ended.notify_all();
        }
    }

    /// Whether this thread is in the function.
    pub(super) fn is_telling_here(&self) -> bool {
        let here = std::thread::current().id();
        self.pid == std::process::id() && self.calls.lock().threads.contains(&here)
    }

    /// Tells nothing any more, and returns when no thread is in the function.
    pub(super) fn close(&self) {
        if self.pid != std::process::id() {
            return;
        }
        let mut calls = self.calls.lock();
        calls.is_closed = true;
        while !calls.threads.is_empty() {
            self.ended.wait(&mut calls);
        }
    }
}

/// The texts of one event as C wants them.
struct Texts {
    name: CString,
    listener: CString,
    pool: CString,
    backend: CString,
    value: CString,
    detail: CString,
    node: CString,
}

impl Texts {
    fn of(event: &Event) -> Self {
        Self {
            name: closed(event.kind.name()),
            listener: closed(event.listener.as_deref().unwrap_or_default()),
            pool: closed(event.pool.as_deref().unwrap_or_default()),
            backend: closed(event.backend.as_deref().unwrap_or_default()),
            value: closed(&event.kind.value()),
            detail: closed(&event.detail),
            node: closed(event.node.as_deref().unwrap_or_default()),
        }
    }

    fn event(&self, kind: EventKind) -> trimtab_event {
        let (kind, number) = numbers(kind);
        let len = |text: &CString| text.as_bytes().len();
        trimtab_event {
            struct_size: size_of::<trimtab_event>() as u32,
            kind,
            number,
            reserved: 0,
            name: self.name.as_ptr(),
            name_len: len(&self.name),
            listener: self.listener.as_ptr(),
            listener_len: len(&self.listener),
            pool: self.pool.as_ptr(),
            pool_len: len(&self.pool),
            backend: self.backend.as_ptr(),
            backend_len: len(&self.backend),
            value: self.value.as_ptr(),
            value_len: len(&self.value),
            detail: self.detail.as_ptr(),
            detail_len: len(&self.detail),
            node: self.node.as_ptr(),
            node_len: len(&self.node),
        }
    }
}

/// The kind's constant, and what was changed to.
fn numbers(kind: EventKind) -> (i32, u32) {
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    match kind {
        EventKind::Started => (TRIMTAB_EVENT_STARTED, 0),
        EventKind::Draining => (TRIMTAB_EVENT_DRAINING, 0),
        EventKind::Stopped => (TRIMTAB_EVENT_STOPPED, 0),
        EventKind::AcceptPaused => (TRIMTAB_EVENT_ACCEPT_PAUSED, 0),
        EventKind::AcceptResumed => (TRIMTAB_EVENT_ACCEPT_RESUMED, 0),
        EventKind::WorkerFailed => (TRIMTAB_EVENT_WORKER_FAILED, 0),
        EventKind::DiscoveryFailed => (TRIMTAB_EVENT_DISCOVERY_FAILED, 0),
        EventKind::SessionsCut(count) => (TRIMTAB_EVENT_SESSIONS_CUT, short(count)),
        EventKind::StoreOpened => (TRIMTAB_EVENT_STORE_OPENED, 0),
        EventKind::StoreFailed => (TRIMTAB_EVENT_STORE_FAILED, 0),
        EventKind::StoreFull => (TRIMTAB_EVENT_STORE_FULL, 0),
        EventKind::StoreRecovered => (TRIMTAB_EVENT_STORE_RECOVERED, 0),
        EventKind::StoreDamaged => (TRIMTAB_EVENT_STORE_DAMAGED, 0),
        EventKind::StoreMended(sequence) => (TRIMTAB_EVENT_STORE_MENDED, short(sequence)),
        EventKind::StoreBackupEnded(number) => (TRIMTAB_EVENT_STORE_BACKUP_ENDED, short(number)),
        EventKind::StoreBackupFailed(number) => (TRIMTAB_EVENT_STORE_BACKUP_FAILED, short(number)),
        EventKind::PanicBegan(tier) => (pool_events::TRIMTAB_EVENT_PANIC_BEGAN, u32::from(tier)),
        EventKind::PanicEnded(tier) => (pool_events::TRIMTAB_EVENT_PANIC_ENDED, u32::from(tier)),
        EventKind::Pool(change) => pool_events::numbers(change),
        #[cfg(feature = "replication")]
        EventKind::Cluster(kind) => cluster_numbers(kind),
    }
}

#[cfg(feature = "replication")]
fn cluster_numbers(kind: ClusterKind) -> (i32, u32) {
    let (kind, number) = match kind {
        ClusterKind::Role(role) => {
            return (TRIMTAB_EVENT_CLUSTER_ROLE, crate::capi::cluster::role_number(role) as u32);
        }
        ClusterKind::Primary(epoch) => (TRIMTAB_EVENT_CLUSTER_PRIMARY, epoch),
        ClusterKind::Members => (TRIMTAB_EVENT_CLUSTER_MEMBERS, 0),
        ClusterKind::Fenced => (TRIMTAB_EVENT_CLUSTER_FENCED, 0),
        ClusterKind::Forgetful => (TRIMTAB_EVENT_CLUSTER_FORGETFUL, 0),
        ClusterKind::Readmitted => (TRIMTAB_EVENT_CLUSTER_READMITTED, 0),
        ClusterKind::Differs(sequence) => (TRIMTAB_EVENT_CLUSTER_DIFFERS, sequence),
        ClusterKind::TwoProcesses => (TRIMTAB_EVENT_CLUSTER_TWO_PROCESSES, 0),
        ClusterKind::SlowDisk => (TRIMTAB_EVENT_CLUSTER_SLOW_DISK, 0),
        ClusterKind::Source => (TRIMTAB_EVENT_CLUSTER_SOURCE, 0),
        ClusterKind::Installed(sequence) => (TRIMTAB_EVENT_CLUSTER_INSTALLED, sequence),
        ClusterKind::LinkUp => (TRIMTAB_EVENT_CLUSTER_LINK_UP, 0),
        ClusterKind::LinkDown => (TRIMTAB_EVENT_CLUSTER_LINK_DOWN, 0),
        ClusterKind::Refused => (TRIMTAB_EVENT_CLUSTER_REFUSED, 0),
        ClusterKind::Degraded(sequence) => (TRIMTAB_EVENT_CLUSTER_DEGRADED, sequence),
        ClusterKind::Recovered(writes) => (TRIMTAB_EVENT_CLUSTER_RECOVERED, writes),
        ClusterKind::Missed(count) => (TRIMTAB_EVENT_CLUSTER_MISSED, count),
    };
    (kind, u32::try_from(number).unwrap_or(u32::MAX))
}
