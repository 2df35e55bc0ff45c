//! RESP, the protocol of Redis: requests parsed where they lie, replies written in either version, and the commands.
//!
//! [`Parser`] is fed the bytes a client has sent so far and tells of one request after the other, its arguments
//! borrowed from those bytes; it keeps its place in a request that has come in part. [`Reply`] writes replies in
//! RESP2 or RESP3, whichever the client asked for. Neither knows any command, socket or clock.
//!
//! [`Connection`] is one client: bytes in, bytes out, its commands done on a store that it knows as [`Keys`]. What
//! connections share is the [`Hub`]. Neither has a socket, a clock or a lock.
//!
//! What is refused is refused as by redis-server 7, word by word; [`ProtocolError`] has the texts of the parser.
//! `docs/resp.md` lists the commands and where they differ from Redis'.

mod ahead;
mod clients;
mod command;
mod connection;
mod desk;
mod errand;
mod fields;
mod float;
mod glob;
mod hub;
mod inbox;
mod inline;
mod keys;
mod notify;
mod number;
mod peers;
mod reply;
mod request;
mod scans;
mod sending;
mod topology;
mod value;
mod world;

pub use self::ahead::{Ahead, Leaves, Trace};
pub use self::clients::{Part, Question};
pub use self::command::route::{Route, Routed, route};
pub use self::connection::{Connection, Options};
pub use self::desk::Desk;
pub use self::errand::Errand;
#[cfg(feature = "proxy")]
pub(crate) use self::glob::matches;
pub use self::hub::{Counters, Hub, HubOptions, Order};
pub use self::inbox::Message;
pub use self::keys::{
    Completed, Done, Durability, Has, Keys, Persistence, Position, Sight, Submitted, Ticket, Told,
};
pub use self::notify::are_classes;
pub use self::number::parse_integer;
pub use self::peers::Peers;
pub use self::reply::{Protocol, Reply};
pub use self::request::{Limits, Parsed, Parser, ProtocolError, Request};
pub use self::scans::{ScanTable, Scans, mark_of, marks};
#[cfg(all(feature = "proxy", feature = "replication"))]
pub(crate) use self::sending::Sending;
pub use self::topology::{ClientAddress, Freshness, Node, Topology};
