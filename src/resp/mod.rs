//! RESP, the protocol of Redis: requests parsed where they lie, replies written in either version.
//!
//! [`Parser`] is fed the bytes a client has sent so far and tells of one request after the other, its arguments
//! borrowed from those bytes; it keeps its place in a request that has come in part. [`Reply`] writes replies in
//! RESP2 or RESP3, whichever the client asked for. Neither knows any command, socket or clock.
//!
//! What is refused is refused as by redis-server 7, word by word; [`ProtocolError`] has the texts.

mod inline;
mod number;
mod reply;
mod request;

pub use self::number::parse_integer;
pub use self::reply::{Protocol, Reply};
pub use self::request::{Limits, Parsed, Parser, ProtocolError, Request};
