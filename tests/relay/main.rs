//! The relay with real sockets, seen through the public interface. One program, so that it links once.
//!
//! Every port is chosen by the system and every path is in a folder of its own, so the tests run beside each
//! other. Nothing sleeps for a time that is hoped to be long enough: waits end with what they wait for, or
//! fail at [`support::DEADLINE`].

mod admin;
mod bytes;
mod connect;
mod drain;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
mod half_close;
mod limits;
mod maxconn;
mod on_down;
mod panic;
mod pressure;
mod proxy_protocol;
mod queue;
mod retry;
mod support;
mod system;
mod timeouts;
