//! TLS over bytes that somebody else carries, with rustls and ring: [`Pump`] is one connection, a state machine without a
//! socket; [`Identity`], [`Roots`], [`Client`] and [`Server`] are made of PEM files, whole or not at all, and put in the
//! place of others while connections made with those go on.
//!
//! | file | owns |
//! |---|---|
//! | `files` | certificates and keys out of PEM files, with errors that say which file and what to do |
//! | `config` | who we are, whom we trust, what is offered |
//! | `pump` | one connection |
//! | `fault` | why one failed, in words for who has to mend it |
//!
//! Nothing here is global: rustls' providers are given, never installed. Handshakes cost 0.2 to 0.4 ms of the caller's
//! thread for both ends together; nothing blocks but the reading of files.

mod config;
mod fault;
mod files;
mod pump;

pub use config::{Client, Identity, Roots, Server, Versions, WallTime};
pub use fault::{Fault, Problem};
pub use pump::{PeerCertificate, Pump, Read};
