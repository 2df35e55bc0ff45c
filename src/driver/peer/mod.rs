//! The links between the nodes of a cluster, on sockets: [`Links`] is a loop of its own for one node. It does what the
//! state machines of [`peer`](crate::peer) say, with TLS between them and the sockets where that is asked for.
//!
//! | file | owns |
//! |---|---|
//! | `links` | the node: its loop, its connections |
//! | `links/accepting`, `links/dialling` | connections that come, and those that are made |
//! | `links/meeting` | what the two sides make of each other |
//! | `connection` | one connection: its socket, its TLS, its link |
//! | `secured` | what [`Security`](crate::peer::Security) comes to, read from files |
//! | `class` | how urgent a frame of replication is |
//! | `told` | what the owner is told, and what was counted |

mod class;
mod connection;
mod links;
mod secured;
mod told;

pub use class::class_of;
pub use links::{Links, PeerAddress, Setup};
pub(in crate::driver) use secured::Secured;
pub(crate) use secured::check_security;
pub use told::{Event, Notice, PeerStatus, Totals, Waker};
