//! A cluster in a world where messages are lost, late, doubled and out of order, links break in one direction or both, disks
//! are slow, full, tear and fail, clocks differ, drift and jump, power fails, in the midst of any work on files too, processes
//! are killed, and nodes come and go, all from one seed.
//!
//! Every node is a real one ([`crate::replication::Node`]) on a disk of [`crate::sim::disk`]; every frame is encoded and
//! decoded. Clients write and read through whatever node they take for the primary. Checked all along:
//!
//! - a write answered at `quorum` or more is there at the end, at its place; one at `all` is on every voter's disk, and each
//!   is on as many disks as it was said to be;
//! - a write answered at `local` is on the primary's disk, and stays at its place in its log until a later epoch comes there; one
//!   at `memory` does so as long as the process lives;
//! - an epoch has one primary, and no two nodes hold a lease at the same moment;
//! - nodes that have applied the same sequence have the same state;
//! - what the primary's clients wrote and read is linearizable ([`checker`]); what is appended is there once, however often
//!   it was asked for;
//! - a learner that is promoted by force goes on from a beginning of what was answered, and the voter of before takes no part as
//!   soon as it hears of it;
//! - a read of a replica sees the position it asked for, and is no older than it asked for;
//! - when all is well again, there is a primary, writes are answered, and all nodes come to the same state.
//!
//! No disk here says that it has synced what it has not. A node on such a disk forgets, with the power, votes and entries that it
//! has acknowledged, and does not know: that is a directory put back from an old copy without saying so. Nothing that a
//! quorum promises is left then, so there is nothing to check; what a lying disk does to one log and one store is in
//! [`crate::sim::log`] and [`crate::sim::store`].
//!
//! | file | owns |
//! |---|---|
//! | `world` | time, what is to happen next, what nodes and disks do then |
//! | `talk` | what clients ask of nodes, and whether the answers can be |
//! | `checks` | what must hold all along, and in the end |
//! | `promotion` | a learner promoted by force, and the voter that comes back |
//! | `replacement` | a voter replaced while another one is behind, which loses power then |
//! | `work` | what a disk does, and the power that fails in the midst of it |
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
mod promotion;
mod replacement;
mod summary;
mod talk;
mod trouble;
mod work;
mod world;

pub use self::summary::Summary;
pub use self::world::run;
