//! What a session is told before it begins. The defaults and their reasons stand in `server::config`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// An IP address and a port; port 0 lets the system choose.
    Inet(SocketAddr),
    /// The path of a unix socket; a leading `@` means the abstract name space.
    Unix(Arc<str>),
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bind::Inet(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Whether a listener takes PROXY headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptProxy {
    /// Connections bear no header.
    #[default]
    Off,
    /// Every connection must begin with a header of version 1 or 2.
    Required,
}

/// Which PROXY header backends are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendProxy {
    /// None.
    #[default]
    Off,
    /// The text form.
    V1,
    /// The binary form, with the TLVs received.
    V2,
}

/// How long each phase of a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For one attempt to reach a backend.
    pub connect: Duration,
    /// For the whole PROXY header.
    pub header: Duration,
    /// Silence in both directions.
    pub idle: Duration,
    /// Silence once one side has ended its half.
    pub half_closed: Duration,
    /// For a place at a backend, when all are at their `maxconn`, and for a descriptor, when there is none.
    pub queue: Duration,
    /// For sessions to end by themselves when the server stops gracefully.
    pub drain: Duration,
}

/// What all sessions of one listener share.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether each begins with a PROXY header.
    pub accept_proxy: AcceptProxy,
    /// Which header its backend is sent.
    pub send_proxy: SendProxy,
    /// Whether a client's FIN while it waits for a backend means that it left, whatever it sent before.
    pub abort_on_close: bool,
    /// How many backends one session may try, the first included.
    pub attempts: u32,
    /// How long each phase may take.
    pub timeouts: Timeouts,
}
