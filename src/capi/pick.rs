//! The hot path: which backend, and how it went.

use std::ffi::c_char;
use std::net::SocketAddr;

use crate::balance::{Address, BackendId, Lane, Outcome, Request, Serving, Timings, Token};
use crate::capi::guard::guard;
use crate::capi::handle::{self, Sized32};
use crate::capi::pool::trimtab_pool;
use crate::capi::pool_options::choice;
use crate::capi::status::trimtab_status;
use crate::capi::text::{self, trimtab_bytes};
use crate::thread;
use crate::time::{Clock, Instant};

/// The longest key, in bytes.
pub const TRIMTAB_KEY_MAX: u32 = 1048576;
const _: () = assert!(TRIMTAB_KEY_MAX as usize == crate::balance::options::KEY_MAX);

/// A time that was not measured, and a deadline that there is not.
pub const TRIMTAB_NO_TIME: u64 = 0xFFFF_FFFF_FFFF_FFFF;

/// The backend listens on a unix socket; `trimtab_pool_address_copy` gives its path.
pub const TRIMTAB_FAMILY_UNIX: u32 = 0;
/// The backend has an IPv4 address.
pub const TRIMTAB_FAMILY_INET: u32 = 4;
/// The backend has an IPv6 address.
pub const TRIMTAB_FAMILY_INET6: u32 = 6;

/// The backend answered.
pub const TRIMTAB_OUTCOME_SUCCESS: i32 = 0;
/// It could not be reached.
pub const TRIMTAB_OUTCOME_CONNECT_FAILED: i32 = 1;
/// It answered with an error, or broke off.
pub const TRIMTAB_OUTCOME_FAILED: i32 = 2;
/// It did not answer in time.
pub const TRIMTAB_OUTCOME_TIMED_OUT: i32 = 3;
/// The client left, which says nothing about the backend.
pub const TRIMTAB_OUTCOME_CANCELLED: i32 = 4;

const OUTCOMES: [(i32, Outcome); 5] = [
    (TRIMTAB_OUTCOME_SUCCESS, Outcome::Success),
    (TRIMTAB_OUTCOME_CONNECT_FAILED, Outcome::ConnectFailed),
    (TRIMTAB_OUTCOME_FAILED, Outcome::Failed),
    (TRIMTAB_OUTCOME_TIMED_OUT, Outcome::TimedOut),
    (TRIMTAB_OUTCOME_CANCELLED, Outcome::Cancelled),
];

/// The answer to a pick. It counts as in flight on its backend until its token is given to
/// `trimtab_pool_done`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_pick {
    /// `sizeof(trimtab_pick)`, set by the caller before the call.
    pub struct_size: u32,
    /// One of `TRIMTAB_FAMILY_...`.
    pub family: u32,
    /// Which backend: its id.
    pub backend: u64,
    /// The host's own number for it.
    pub tag: u64,
    /// What `trimtab_pool_done` takes.
    pub token: u64,
    /// The address in network order: the first 4 bytes for IPv4, all 16 for IPv6. The rest is 0.
    pub ip: [u8; 16],
    /// The zone of a link-local IPv6 address, else 0.
    pub scope_id: u32,
    /// In the host's byte order; 0 for a unix socket.
    pub port: u16,
    /// 0.
    pub reserved: u16,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_pick {
    const FIRST_SIZE: usize = 56;
    const UNSAID: Self = Self {
        struct_size: 0,
        family: TRIMTAB_FAMILY_UNIX,
        backend: 0,
        tag: 0,
        token: 0,
        ip: [0; 16],
        scope_id: 0,
        port: 0,
        reserved: 0,
    };
}

/// How long a pick took, from when it began, in nanoseconds; `TRIMTAB_NO_TIME` for what was not measured or
/// never came. The response time that policies use is the first of `first_byte_ns`, `total_ns` and
/// `connect_ns` that is there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct trimtab_timings {
    /// `sizeof(trimtab_timings)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Until the connection stood.
    pub connect_ns: u64,
    /// Until the first byte of the answer.
    pub first_byte_ns: u64,
    /// Until the last.
    pub total_ns: u64,
}

// SAFETY: `repr(C)`, integers only, and begins with `struct_size`.
unsafe impl Sized32 for trimtab_timings {
    const FIRST_SIZE: usize = 32;
    const UNSAID: Self = Self {
        struct_size: 0,
        reserved: 0,
        connect_ns: TRIMTAB_NO_TIME,
        first_byte_ns: TRIMTAB_NO_TIME,
        total_ns: TRIMTAB_NO_TIME,
    };
}

impl trimtab_timings {
    #[inline]
    fn timings(&self) -> Timings {
        let measured = |nanos| (nanos != TRIMTAB_NO_TIME).then_some(nanos);
        Timings {
            connect: measured(self.connect_ns),
            first_byte: measured(self.first_byte_ns),
            total: measured(self.total_ns),
        }
    }
}

impl trimtab_pick {
    #[inline]
    fn of(struct_size: u32, serving: &Serving, token: Token) -> Self {
        let (family, ip, scope_id, port) = match &serving.address {
            Address::Inet(SocketAddr::V4(address)) => {
                let ip = u128::from(address.ip().to_bits()) << 96;
                (TRIMTAB_FAMILY_INET, ip, 0, address.port())
            }
            Address::Inet(SocketAddr::V6(address)) => {
                (TRIMTAB_FAMILY_INET6, address.ip().to_bits(), address.scope_id(), address.port())
            }
            Address::Unix(_) => (TRIMTAB_FAMILY_UNIX, 0, 0, 0),
        };
        Self {
            struct_size,
            family,
            backend: serving.id.as_u64(),
            tag: serving.tag,
            token: token.as_u64(),
            ip: ip.to_be_bytes(),
            scope_id,
            port,
            reserved: 0,
        }
    }
}

/// Picks a backend.
///
/// - `key`: what the hash policies place: at most `TRIMTAB_KEY_MAX` bytes; empty is a key like any other.
///   Source takes the client's address: 4 or 16 bytes in network order. The others ignore it.
/// - `now_ns`: the time in nanoseconds, of one clock for all calls on one pool. With 0 trimtab reads
///   `CLOCK_MONOTONIC`, 20 to 30 ns, if the policy needs it; round robin, static, first, random, and the
///   hashes without a bounded load do not.
/// - `pick_out`: its `struct_size` is read; written on success only. Each success needs one
///   `trimtab_pool_done`.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT` for a key
/// too long, `TRIMTAB_E_NO_BACKEND`, or `TRIMTAB_E_CAPACITY` when `picks_max` picks of this thread's lane were
/// never reported done.
/// Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_pick(
    pool: *const trimtab_pool,
    key: trimtab_bytes,
    now_ns: u64,
    pick_out: *mut trimtab_pick,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: `pick_out` is null or as large as its `struct_size` says; null is refused.
        let pick_out = unsafe { handle::out_struct(pick_out, "pick_out") }?;
        let now = pool.pick_time(now_ns);
        let request = Request { lane: Lane::Own(thread::number()), key, now, avoid: &[] };
        let size = pick_out.size();
        let fill = |serving: &Serving, token| pick_out.write(trimtab_pick::of(size, serving, token));
        Ok(pool.pool().pick_with(&request, fill)?)
    })
}

/// Picks a backend other than those tried already: for a retry. One of these is picked only when no other can
/// be.
///
/// - `key`, `now_ns`, `pick_out`: as for `trimtab_pool_pick`.
/// - `avoid`: `avoid_count` ids; a short list, it is looked through for each candidate. May be NULL when
///   `avoid_count` is 0.
///
/// Returns what `trimtab_pool_pick` does.
/// Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_pick_avoiding(
    pool: *const trimtab_pool,
    key: trimtab_bytes,
    now_ns: u64,
    avoid: *const u64,
    avoid_count: usize,
    pick_out: *mut trimtab_pick,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller keeps `avoid_count` ids readable during the call, and a `BackendId` is laid out as
        // its number (`repr(transparent)`).
        let avoid = unsafe { handle::slice(avoid.cast::<BackendId>(), avoid_count, "avoid") }?;
        // SAFETY: `pick_out` is null or as large as its `struct_size` says; null is refused.
        let pick_out = unsafe { handle::out_struct(pick_out, "pick_out") }?;
        let now = pool.pick_time(now_ns);
        let request = Request { lane: Lane::Own(thread::number()), key, now, avoid };
        let size = pick_out.size();
        let fill = |serving: &Serving, token| pick_out.write(trimtab_pick::of(size, serving, token));
        Ok(pool.pool().pick_with(&request, fill)?)
    })
}

/// Reports how a pick went, which takes it out of flight. Also for backends removed since, and from any
/// thread.
///
/// - `token`: from the pick; good once.
/// - `outcome`: one of `TRIMTAB_OUTCOME_...`.
/// - `timings`: its `struct_size` is read; NULL when nothing was measured.
/// - `now_ns`: as for `trimtab_pool_pick`; needed by peak EWMA, fastest, observed and predictive.
///
/// Returns `TRIMTAB_OK`, `TRIMTAB_E_NULL`, `TRIMTAB_E_STRUCT_SIZE`, `TRIMTAB_E_INVALID_ARGUMENT`, or
/// `TRIMTAB_E_STALE_PICK` when the pick was reported before or is none of this pool's; nothing is counted
/// then.
/// Thread safety: any thread, at any time. Takes no lock, allocates nothing, makes no system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_done(
    pool: *const trimtab_pool,
    token: u64,
    outcome: i32,
    timings: *const trimtab_timings,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        let outcome = choice("outcome", outcome, &OUTCOMES)?;
        // SAFETY: `timings` is null or readable for as many bytes as its `struct_size` says.
        let timings = unsafe { handle::in_struct(timings, "timings") }?;
        let timings = timings.map_or_else(Timings::default, |timings| timings.timings());
        Ok(pool.pool().done(
            Lane::Own(thread::number()),
            Token::from_u64(token),
            outcome,
            &timings,
            pool.done_time(now_ns),
        )?)
    })
}

/// What the next pick by this thread would come to and why, as JSON: the policy, who would be picked or the
/// reason that nobody would, what was drawn, and of every backend its verdict, score, picks in flight and
/// share. Nothing is counted. Fields may be added in later releases.
///
/// - `key`, `now_ns`: as for `trimtab_pool_pick`.
/// - `buffer`, `size`, `length_out`: see "Text that comes out" above.
///
/// Returns `TRIMTAB_OK`, also when nobody would be picked, `TRIMTAB_E_NULL` or `TRIMTAB_E_INVALID_ARGUMENT`.
/// Thread safety: any thread, at any time. Does not block; allocates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_explain_copy(
    pool: *const trimtab_pool,
    key: trimtab_bytes,
    now_ns: u64,
    buffer: *mut c_char,
    size: usize,
    length_out: *mut usize,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: the caller keeps `key.data` readable for `key.len` bytes during the call.
        let key = unsafe { key.bytes("key") }?;
        // SAFETY: the caller lends `size` writable bytes and one place for a length, either may be null.
        let buffer = unsafe { text::buffer(buffer, size, length_out) }?;
        let now = pool.pick_time(now_ns);
        let request = Request { lane: Lane::Own(thread::number()), key, now, avoid: &[] };
        let explanation = pool.pool().explain(&request)?;
        let json = serde_json::to_string(&explanation);
        buffer.fill(&json.expect("an explanation has no map keys, which alone JSON could refuse"));
        Ok(())
    })
}

/// Does what is due: weighs anew if fastest, observed or predictive have a tick due, takes the next step of a slow
/// start, ejects outliers and takes them back, sets adaptive limits anew. Pick and done do the same; a loop that calls
/// this at `trimtab_pool_next_deadline` keeps most of that off their path.
///
/// - `now_ns`: as for `trimtab_pool_pick`; with 0 trimtab reads the clock.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_handle_timeout(
    pool: *const trimtab_pool,
    now_ns: u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        let now = if now_ns == 0 { Clock.now() } else { Instant::from_nanos(now_ns) };
        pool.pool().handle_timeout(now);
        Ok(())
    })
}

/// When `trimtab_pool_handle_timeout` is next of use.
///
/// - `deadline_ns_out`: on the clock of the `now_ns` arguments, `TRIMTAB_NO_TIME` when nothing
///   is to be done; written on success only.
///
/// Returns `TRIMTAB_OK` or `TRIMTAB_E_NULL`.
/// Thread safety: any thread, at any time. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trimtab_pool_next_deadline(
    pool: *const trimtab_pool,
    deadline_ns_out: *mut u64,
) -> trimtab_status {
    guard(|| {
        // SAFETY: `pool` is null or a live result of `trimtab_pool_new`; null is refused.
        let pool = unsafe { handle::borrow(pool, "pool") }?;
        // SAFETY: `deadline_ns_out` is null or writable; null is refused.
        let deadline_ns_out = unsafe { handle::out(deadline_ns_out, "deadline_ns_out") }?;
        deadline_ns_out.write(pool.pool().next_deadline().map_or(TRIMTAB_NO_TIME, Instant::as_nanos));
        Ok(())
    })
}

const _: () = assert!(size_of::<trimtab_pick>() == trimtab_pick::FIRST_SIZE);
const _: () = assert!(size_of::<trimtab_timings>() == trimtab_timings::FIRST_SIZE);
const _: () =
    assert!(size_of::<BackendId>() == size_of::<u64>() && align_of::<BackendId>() == align_of::<u64>());

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(address: &str) -> trimtab_pick {
        let serving = Serving {
            address: address.parse().unwrap(),
            id: BackendId::from_u64(3),
            tag: 9,
            most: None,
            pace: None,
        };
        trimtab_pick::of(56, &serving, Token::from_u64(77))
    }

    #[test]
    fn addresses_are_carried_in_network_order() {
        let inet = filled("10.1.2.3:8080");
        assert_eq!((inet.family, inet.ip[..5].to_vec(), inet.port), (4, vec![10, 1, 2, 3, 0], 8080));
        assert_eq!((inet.backend, inet.tag, inet.token, inet.struct_size), (3, 9, 77, 56));
        let inet6 = filled("[fe80::1%7]:80");
        assert_eq!((inet6.family, inet6.ip[0], inet6.ip[15], inet6.scope_id), (6, 0xfe, 1, 7));
        let unix = filled("unix:/run/app.sock");
        assert_eq!((unix.family, unix.ip, unix.port), (0, [0; 16], 0));
    }

    #[test]
    fn a_time_not_measured_is_none() {
        let said = trimtab_timings { first_byte_ns: 5, ..trimtab_timings::UNSAID };
        assert_eq!(said.timings(), Timings { connect: None, first_byte: Some(5), total: None });
    }
}
