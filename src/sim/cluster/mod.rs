//! A cluster in a world where messages are lost, late, doubled and out of order, links break in one direction or both, disks
//! are slow, tear and fail, clocks differ, drift and jump, and nodes crash, come and go, all from one seed.
//!
//! Every node is a real one ([`crate::replication::Node`]) on a disk of [`crate::sim::disk`]; every frame is encoded and
//! decoded. Clients write and read through whatever node they take for the primary. Checked all along:
//!
//! - a write answered at `quorum` or more is there at the end, at its place; one at `all` is on every voter's disk;
//! - an epoch has one primary, and no two nodes hold a lease at the same moment;
//! - nodes that have applied the same sequence have the same state;
//! - what the primary's clients wrote and read is linearizable ([`checker`]); what is appended is there once, however often
//!   it was asked for;
//! - a read of a replica sees the position it asked for, and is no older than it asked for;
//! - when all is well again, there is a primary, writes are answered, and all nodes come to the same state.
//!
//! | file | owns |
//! |---|---|
//! | `world` | time, what is to happen next, what nodes and disks do then |
//! | `talk` | what clients ask of nodes, and whether the answers can be |
//! | `checks` | what must hold all along, and in the end |
//! | `host` | a machine: its disk, its clock, its node, what the disk is at |
//! | `links` | what becomes of a frame |
//! | `clients` | who writes and reads, and what they were told |
//! | `trouble` | what goes wrong, and when |
//! | `checker` | whether a history is linearizable |
//! | `summary` | what came of a run |

pub mod checker;
mod checks;
mod clients;
mod host;
mod links;
mod summary;
mod talk;
mod trouble;
mod world;

pub use self::summary::Summary;
pub use self::world::run;
