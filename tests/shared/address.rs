//! Addresses of this machine.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address of this machine that nobody else has: of a network of 16 million, by process and count. There all ports are
/// free that the system gives to nobody of itself, whatever goes on at 127.0.0.1 meanwhile.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, high, middle, low] =
        (std::process::id() << 8 | NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    Ipv4Addr::new(127, high, middle, low)
}
