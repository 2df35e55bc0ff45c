//! The system calls that std and the crates lack, each behind a safe function. Unsafe code is allowed here
//! and in `capi` alone.

#![allow(unsafe_code)]

#[cfg(feature = "cli")]
pub(crate) mod child;
pub(crate) mod clock;
#[cfg(any(feature = "proxy", feature = "store"))]
pub(crate) mod entropy;
#[cfg(feature = "proxy")]
pub(crate) mod epoll;
#[cfg(feature = "store")]
pub(crate) mod eventfd;
#[cfg(feature = "store")]
pub(crate) mod file;
#[cfg(any(feature = "proxy", feature = "store"))]
#[cfg_attr(not(feature = "proxy"), allow(dead_code, reason = "only sockets are shut down after a fork"))]
pub(crate) mod fork;
#[cfg(all(feature = "cli", feature = "store"))]
pub(crate) mod heap;
#[cfg(feature = "proxy")]
pub(crate) mod interface;
#[cfg(any(feature = "cli", all(feature = "proxy", feature = "store")))]
pub(crate) mod limits;
#[cfg(feature = "proxy")]
pub(crate) mod pipe;
#[cfg(feature = "store")]
pub(crate) mod prefetch;
#[cfg(any(feature = "proxy", feature = "store"))]
#[cfg_attr(not(feature = "proxy"), allow(dead_code, reason = "only the relay raises SIGPIPE"))]
pub(crate) mod signal;
#[cfg(feature = "proxy")]
pub(crate) mod socket;
