//! What happens to a cluster, as it happens: `trimtab_cluster_events`.

use std::ffi::c_char;
use std::os::fd::{AsFd, AsRawFd};

use crate::capi::cluster::{lent, role_number};
use crate::capi::guard::{guard, guard_value};
use crate::capi::handle::{self, Handle, Sized32};
use crate::capi::status::trimtab_status;
use crate::capi::store::{borrow, trimtab_store};
use crate::capi::store_call::wait;
use crate::embedded::{ClusterEvent, ClusterEvents, Store};

/// The role, the epoch or the primary has changed: `role`, `epoch`, and `name`, the primary; NULL while none is known.
pub const TRIMTAB_CLUSTER_ROLE: i32 = 1;
/// Who is in the cluster has changed: `name` has the names of those who vote, `detail` those of learners, with commas between
/// them.
pub const TRIMTAB_CLUSTER_MEMBERS: i32 = 2;
/// This node takes no part any more: `detail` says why, and what to do.
pub const TRIMTAB_CLUSTER_FENCED: i32 = 3;
/// This node has forgotten something, and asks to be taken in again.
pub const TRIMTAB_CLUSTER_FORGETFUL: i32 = 4;
/// It was.
pub const TRIMTAB_CLUSTER_READMITTED: i32 = 5;
/// The node `name` has come to another state than the others, at the entry `number` or before.
pub const TRIMTAB_CLUSTER_DIFFERS: i32 = 6;
/// Two processes run as the node `name`.
pub const TRIMTAB_CLUSTER_TWO_PROCESSES: i32 = 7;
/// This primary's disk is slow: it hands over to `name`.
pub const TRIMTAB_CLUSTER_SLOW_DISK: i32 = 8;
/// A state from another node has taken the place of this one's, up to the entry `number`: watches begin anew.
pub const TRIMTAB_CLUSTER_INSTALLED: i32 = 9;
/// A link to the node `name` is up.
pub const TRIMTAB_CLUSTER_LINK_UP: i32 = 10;
/// A link to the node `name` is over: `detail` says why.
pub const TRIMTAB_CLUSTER_LINK_DOWN: i32 = 11;
/// The node `name`, as far as it said who it is, is not let in, or does not let this one in: `detail` says why, and what to do.
pub const TRIMTAB_CLUSTER_REFUSED: i32 = 12;
/// `number` events that nobody took went by.
pub const TRIMTAB_CLUSTER_MISSED: i32 = 13;
/// This learner is fed by the node `name` from now on; NULL: by the primary.
pub const TRIMTAB_CLUSTER_SOURCE: i32 = 14;
/// Something that lies on this node's disk was found damaged: `name` is the file (empty where none is to blame), `number` the
/// first byte in it that cannot be trusted, `detail` what is wrong and what is done about it.
pub const TRIMTAB_CLUSTER_DAMAGED: i32 = 15;
/// What was found damaged is not needed any more: a snapshot up to the entry `number` stands for it.
pub const TRIMTAB_CLUSTER_MENDED: i32 = 16;
/// Writes begin to be answered with fewer nodes than they asked for, see `trimtab_cluster_options_set_degrade_after_ms`: `number` is
/// the entry of the first, `name` has the names of the voters that lack it, with commas between them.
pub const TRIMTAB_CLUSTER_DEGRADED: i32 = 17;
/// They do so no longer, since those have caught up, or this node is primary no longer: `number` writes were so answered.
pub const TRIMTAB_CLUSTER_RECOVERED: i32 = 18;

/// Follows what happens to the cluster of a store. It holds a position and a descriptor; a slow one delays nobody, and of more
/// than 1,024 events that it did not take it is told how many.
///
/// One thread at a time may use the same one.
pub struct trimtab_cluster_events {
    _opaque: (),
}

impl Handle for trimtab_cluster_events {
    type Value = Followed;
    const LIVE: u32 = 0x7474_7934;
}

/// What the handle stands for.
pub(super) struct Followed {
    events: ClusterEvents,
    store: Store,
    /// What the event that was given last points to.
    name: Option<String>,
    detail: Option<String>,
}

/// Something that happened to a cluster. What its kind does not speak of is 0 or NULL; a kind of a later release may be none
/// of those below.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_cluster_event {
    /// `sizeof(trimtab_cluster_event)`, set by the caller before the call.
    pub struct_size: u32,
    /// One of `TRIMTAB_CLUSTER_...`.
    pub kind: i32,
    /// One of `TRIMTAB_NODE_...`.
    pub role: i32,
    /// 0.
    pub reserved: u32,
    /// The epoch.
    pub epoch: u64,
    /// An entry of the log, how many, or where in a file.
    pub number: u64,
    /// A node, or several, or a file. It ends with no NUL.
    pub name: *const c_char,
    /// How many bytes.
    pub name_len: usize,
    /// More about it, in words. It ends with no NUL.
    pub detail: *const c_char,
    /// How many bytes.
    pub detail_len: usize,
}

// SAFETY: `repr(C)`, integers and raw pointers only, for which every pattern of bits is a value, and begins with
// `struct_size`.
unsafe impl Sized32 for trimtab_cluster_event {
    const FIRST_SIZE: usize = 64;
    const UNSAID: Self = Self {
        struct_size: 0,
        kind: 0,
        role: 0,
        reserved: 0,
        epoch: 0,
        number: 0,
        name: std::ptr::null(),
        name_len: 0,
        detail: std::ptr::null(),
        detail_len: 0,
    };
}

/// An event without its texts, and these.
fn parts(event: ClusterEvent) -> (trimtab_cluster_event, Option<String>, Option<String>) {
    let of = |kind| trimtab_cluster_event { kind, ..trimtab_cluster_event::UNSAID };
    let numbered = |kind, number| trimtab_cluster_event { number, ..of(kind) };
    match event {
        ClusterEvent::Role { role, epoch, primary } => {
            let told = trimtab_cluster_event { role: role_number(role), epoch, ..of(TRIMTAB_CLUSTER_ROLE) };
            (told, primary, None)
        }
        ClusterEvent::Members { voters, learners } => {
            (of(TRIMTAB_CLUSTER_MEMBERS), Some(voters.join(",")), Some(learners.join(",")))
        }
        ClusterEvent::Fenced { detail } => (of(TRIMTAB_CLUSTER_FENCED), None, Some(detail)),
        ClusterEvent::Forgetful => (of(TRIMTAB_CLUSTER_FORGETFUL), None, None),
        ClusterEvent::Readmitted => (of(TRIMTAB_CLUSTER_READMITTED), None, None),
        ClusterEvent::Differs { node, sequence } => {
            (numbered(TRIMTAB_CLUSTER_DIFFERS, sequence), Some(node), None)
        }
        ClusterEvent::TwoProcesses { node } => (of(TRIMTAB_CLUSTER_TWO_PROCESSES), Some(node), None),
        ClusterEvent::SlowDisk { to } => (of(TRIMTAB_CLUSTER_SLOW_DISK), Some(to), None),
        ClusterEvent::Installed { sequence } => (numbered(TRIMTAB_CLUSTER_INSTALLED, sequence), None, None),
        ClusterEvent::LinkUp { node } => (of(TRIMTAB_CLUSTER_LINK_UP), Some(node), None),
        ClusterEvent::LinkDown { node, detail } => (of(TRIMTAB_CLUSTER_LINK_DOWN), Some(node), Some(detail)),
        ClusterEvent::Refused { node, detail } => (of(TRIMTAB_CLUSTER_REFUSED), node, Some(detail)),
        ClusterEvent::Source { node } => (of(TRIMTAB_CLUSTER_SOURCE), node, None),
        ClusterEvent::Damaged { file, offset, detail } => {
            (numbered(TRIMTAB_CLUSTER_DAMAGED, offset), Some(file), Some(detail))
        }
        ClusterEvent::Mended { sequence } => (numbered(TRIMTAB_CLUSTER_MENDED, sequence), None, None),
        ClusterEvent::Degraded { nodes, sequence } => {
            (numbered(TRIMTAB_CLUSTER_DEGRADED, sequence), Some(nodes.join(",")), None)
        }
        ClusterEvent::Recovered { writes } => (numbered(TRIMTAB_CLUSTER_RECOVERED, writes), None, None),
        ClusterEvent::Missed { count } => (numbered(TRIMTAB_CLUSTER_MISSED, count), None, None),
    }
}

/// Begins to follow what happens to the cluster of a store, from what is kept of it on: a role is told at once.
///
/// - `events_out`: written on success only; end it with `trimtab_cluster_events_free`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_IO` when there is no descriptor, or `TRIMTAB_E_STATE` also when the store is
/// in no cluster.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_events_new(
    store: *const trimtab_store,
    events_out: *mut *mut trimtab_cluster_events,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `store` is null or a live result of `trimtab_store_join`; null is refused.
        let store = unsafe { borrow(store) }?;
        // SAFETY: `events_out` is null or writable; null is refused.
        let events_out = unsafe { handle::out(events_out, "events_out") }?;
        let events = store.cluster_events()?;
        let store = Store::clone(&store);
        events_out.write(handle::give(Followed { events, store, name: None, detail: None }));
        Ok(())
    })
}

/// Ends it, what its last event points to, and closes its descriptor.
///
/// - `events`: may be NULL.
///
/// Leaves the last error as it is.
/// Thread safety: any thread, once no other uses `events`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_events_free(events: *mut trimtab_cluster_events) {
    guard_value((), || {
        // SAFETY: `events` is null or a live result of `trimtab_cluster_events_new` that nobody else uses.
        unsafe { handle::free(events) }
    })
}

/// The descriptor to wait with, for hosts with a loop of their own. Take events until there are none (`TRIMTAB_E_TIMED_OUT`)
/// before waiting: from then on it becomes readable when there may be one. It is this handle's: wait with it, and neither read
/// nor close it.
///
/// - `fd_out`: written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: one thread at a time for the same `events`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_events_poll_fd(
    events: *const trimtab_cluster_events,
    fd_out: *mut i32,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `events` is null or a live result of `trimtab_cluster_events_new`; null is refused.
        let events = unsafe { handle::borrow(events, "events") }?;
        // SAFETY: `fd_out` is null or writable; null is refused.
        let fd_out = unsafe { handle::out(fd_out, "fd_out") }?;
        events.store.check_process()?;
        fd_out.write(events.events.as_fd().as_raw_fd());
        Ok(())
    })
}

/// The next event.
///
/// - `timeout_ms`: waits at most so many milliseconds for one; 0 not at all, negative for ever.
/// - `event_out`: its `struct_size` is read; written on success only. What it points to is good until the next call on this
///   handle.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE` or `TRIMTAB_E_TIMED_OUT`.
/// Thread safety: one thread at a time for the same `events`. Blocks for as long as `timeout_ms` allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_cluster_events_next(
    events: *mut trimtab_cluster_events,
    timeout_ms: i64,
    event_out: *mut trimtab_cluster_event,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `events` is null or live and no other call uses it; null is refused.
        let mut events = unsafe { handle::borrow_mut(events, "events") }?;
        // SAFETY: `event_out` is null or as large as its `struct_size` says; null is refused.
        let event_out = unsafe { handle::out_struct(event_out, "event_out") }?;
        let event = events.events.next(wait(timeout_ms))?;
        let (told, name, detail) = parts(event);
        (events.name, events.detail) = (name, detail);
        let (name, name_len) = lent(events.name.as_deref());
        let (detail, detail_len) = lent(events.detail.as_deref());
        let struct_size = event_out.size();
        event_out.write(trimtab_cluster_event { struct_size, name, name_len, detail, detail_len, ..told });
        Ok(())
    })
}
