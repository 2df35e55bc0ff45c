//! [`Cause`]: why sessions end.

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Both sides ended their half.
    Finished,
    /// The client broke off.
    ClientReset,
    /// The backend broke off.
    BackendReset,
    /// The client left before it had a backend.
    ClientLeft,
    /// What should have been a PROXY header is none.
    HeaderInvalid,
    /// The PROXY header took too long.
    HeaderTimeout,
    /// No backend may be picked.
    NoBackend,
    /// Backends could not be reached, as many as may be tried.
    ConnectFailed,
    /// The queue for a backend is full.
    QueueFull,
    /// No backend came free in time.
    QueueTimeout,
    /// Silence in both directions.
    IdleTimeout,
    /// Silence after one side had ended its half.
    HalfClosedTimeout,
    /// The server stopped.
    Stopped,
    /// The system had no descriptor or memory for the backend's connection.
    NoDescriptor,
    /// A backend could not be reached, and the retry budget has no try at another one left.
    RetryRefused,
    /// As many as may wait for the pool do.
    PendingFull,
    /// Its backend went down, and the pool's sessions are cut then.
    BackendDown,
}

impl Cause {
    /// Every cause with its name in statistics.
    pub const NAMES: [(&'static str, Cause); 17] = [
        ("finished", Cause::Finished),
        ("client_reset", Cause::ClientReset),
        ("backend_reset", Cause::BackendReset),
        ("client_left", Cause::ClientLeft),
        ("header_invalid", Cause::HeaderInvalid),
        ("header_timeout", Cause::HeaderTimeout),
        ("no_backend", Cause::NoBackend),
        ("connect_failed", Cause::ConnectFailed),
        ("queue_full", Cause::QueueFull),
        ("queue_timeout", Cause::QueueTimeout),
        ("idle_timeout", Cause::IdleTimeout),
        ("half_closed_timeout", Cause::HalfClosedTimeout),
        ("stopped", Cause::Stopped),
        ("no_descriptor", Cause::NoDescriptor),
        ("retry_refused", Cause::RetryRefused),
        ("pending_full", Cause::PendingFull),
        ("backend_down", Cause::BackendDown),
    ];

    /// Whether the client is to see a reset: what it got is not all there was.
    pub fn resets_client(self) -> bool {
        matches!(self, Cause::BackendReset | Cause::HeaderInvalid | Cause::BackendDown)
    }

    /// Whether the backend is to see a reset: what it got is not all there was.
    pub fn resets_backend(self) -> bool {
        matches!(self, Cause::ClientReset | Cause::BackendDown)
    }
}
