//! What passes between a question and whoever has the sockets.
//!
//! An [`Exchange`] is one datagram sent and the socket its answer comes to, or one TCP connection. It begins
//! with [`Io::SendUdp`] or [`Io::OpenTcp`] and ends with its one [`Io::Close`], which comes after whatever
//! [`Event`] there was, failures too.
//!
//! What the driver owes, so that nobody can answer in a resolver's name who does not see the question:
//!
//! - **A socket of its own for each exchange over UDP**, bound to port 0 and connected to the server: so the
//!   system draws a port that cannot be foretold, and drops what comes from elsewhere. The 16 bits of a number
//!   in the message alone would be guessed.
//! - **An `Rng` seeded from the system's randomness** (`getrandom`), from which nothing drawn is seen outside but
//!   these numbers. The generator is not for secrets; the ports, which are the system's, are what it adds to.
//! - **What cannot be done is told**: a socket that cannot be had, a network that cannot be reached, a refusal
//!   by ICMP are [`Event::Failed`], and the next resolver is tried at once.
//!
//! A buffer of 2 KiB takes every datagram that was asked for. The driver needs no timer for an exchange: `next_deadline` covers it. Events of an exchange that is over
//! are ignored and counted.

use std::net::SocketAddr;

/// Names one exchange of one lookup or watched name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    /// The question it belongs to.
    pub query: u64,
    /// Its number among that question's.
    pub attempt: u32,
}

/// What to do with the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Io {
    /// Open a new socket for this exchange, and send this one datagram.
    SendUdp {
        /// The exchange that begins.
        exchange: Exchange,
        /// Where to.
        server: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// Begin to connect; then tell [`Event::Connected`].
    OpenTcp {
        /// The exchange that begins.
        exchange: Exchange,
        /// Where to.
        server: SocketAddr,
    },
    /// Send these bytes over the connection, all of them, in as many pieces as it takes.
    SendTcp {
        /// The connection.
        exchange: Exchange,
        /// The bytes, with their length before them.
        bytes: Vec<u8>,
    },
    /// Close the socket or connection, whatever became of it.
    Close {
        /// The exchange that is over.
        exchange: Exchange,
    },
}

/// What happened on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// The whole of it.
        bytes: &'a [u8],
    },
    /// The connection stands.
    Connected,
    /// Bytes came over the connection, cut anywhere.
    Bytes(&'a [u8]),
    /// The other side ended the connection.
    Closed,
    /// The system refused something; in its words.
    Failed(&'a str),
}
