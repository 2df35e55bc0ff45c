//! The life of a connection, as state machines without I/O: no socket, no clock, no thread, no lock.
//!
//! | file or folder | owns |
//! |---|---|
//! | `options` | what a session is told |
//! | `session` | the phases from accept to close, the pick, the deadlines |
//! | `cause` | why sessions end |
//! | `cuts` | which sessions are cut because their backend went down |
//! | `flow` | one direction of the relay: back-pressure, half-close, what is kept |
//! | `queue` | who waits for a place at a backend |
//! | `proxy_protocol/` | PROXY headers, both versions, both ways |

pub mod cause;
pub mod cuts;
pub mod flow;
pub mod options;
pub mod proxy_protocol;
pub mod queue;
pub mod session;
