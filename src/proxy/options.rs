//! What a session is told before it begins. The defaults and their reasons stand in `server::config`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{Admin, ChangeKind, Observed};

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

/// What becomes of a backend's sessions when it goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// They go on for as long as they can.
    #[default]
    Keep,
    /// They are cut: both sides see a reset.
    Close,
}

impl OnDown {
    /// Every choice with its name in configuration.
    pub const NAMES: [(&'static str, OnDown); 2] = [("keep", OnDown::Keep), ("close", OnDown::Close)];

    /// Whether the sessions of a backend that changed so are cut. As HAProxy's `on-marked-down
    /// shutdown-sessions`: when it was observed down and when an operator takes it out of service, not when it is
    /// drained. Nor when it is ejected or removed: that says nothing against what stands.
    pub fn cuts(self, change: ChangeKind) -> bool {
        let is_down =
            matches!(change, ChangeKind::Observed(Observed::Down) | ChangeKind::Admin(Admin::Maintenance));
        self == OnDown::Close && is_down
    }
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
    /// For a place at a backend, when a limit of theirs or of the pool is reached, and for a descriptor, when there
    /// is none.
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
