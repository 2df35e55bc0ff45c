//! The listener that splits reads from writes, in a world where nodes lag, freeze, die and come back with less, primaries
//! change in order and out of it, connections break, and what is known of the nodes comes late, all from one seed.
//!
//! The listener is the real one ([`crate::split::Split`]), and so are the connections of the nodes
//! ([`crate::resp::Connection`]) and their keys; the log they share is a list, and consensus is the world's word. Clients
//! send requests in pieces, several at a time. Checked all along:
//!
//! - each request is answered once, in its order, with what that request can be answered with;
//! - a client reads what it was told it has written, or what it was told is in doubt;
//! - what a client reads of a number that only grows never shrinks;
//! - what one client writes is in the log in its order, also what came to a node long after its connection was closed;
//! - no write is in the log twice; one that was answered is there, one that was refused is not;
//! - `EXEC` after `WATCH` is done only if nobody has changed what was watched;
//! - what belongs to a primary that is one no longer is cut in time;
//! - when all is well again, everything is answered within a bounded time.
//!
//! | file | owns |
//! |---|---|
//! | `world` | time, connections, what goes wrong, the checks |
//! | `nodes` | nodes and their log |
//! | `clients` | what clients send, and what they may be told |

mod clients;
mod nodes;
mod world;

pub use self::world::{Summary, run};
