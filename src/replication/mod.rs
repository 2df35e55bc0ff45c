//! A cluster: one primary orders the writes, the others follow, and when it is gone another one goes on.
//!
//! [`Node`] is a state machine without socket, disk, clock or thread. It joins the consensus library (`raft`, driven as
//! plain calls) with the store's engine: the write-ahead log is the library's log, each entry a record in it with its epoch
//! (the library's term) and its sequence (its index), written once and synced once. Frames come in and go out as bytes,
//! what is to be done on a disk is handed out as with the engine, and [`Node::poll_completion`] says what came of each call.
//!
//! ```text
//! submit, read, change, transfer ┐                       ┌ poll_completion, poll_event
//! handle_frame, handle_timeout   ├─→ advance ─→ Node ────┼ poll_frame
//! handle_flushed, handle_…       ┘                       └ poll_flush, poll_upkeep, poll_snapshot, poll_fetch, poll_install
//! ```
//!
//! # What is promised
//!
//! - Votes, epochs and entries count when they are on disk; the node never says that they are before.
//! - A write is seen, by anybody, when it is committed: on the disks of a quorum. `memory` and `local` answer earlier and
//!   say so.
//! - One primary an epoch. One that has lost its quorum refuses writes and strong reads before another can be elected.
//! - A read of the primary sees every write that was answered at `quorum` before it. A read of a replica is as fresh as it
//!   asks for, or waits, or is sent to the primary.
//! - A node that has forgotten what it promised, since its directory was put back from an old copy or its disk lost what it
//!   had acknowledged, votes for nobody until the others have taken it in again.
//!
//! | file | owns |
//! |---|---|
//! | `node` | the node: its parts, and what is asked of it |
//! | `node/open` | how it begins, and what it writes down about itself |
//! | `node/status` | what it says of itself |
//! | `node/drive` | the consensus library: what it has ready, and what becomes of it |
//! | `node/founding` | whether a new cluster is one |
//! | `node/room` | keys that go for what is written |
//! | `node/receive` | frames: which are believed, and what each does |
//! | `node/calls` | who waits for what, and the answers |
//! | `node/writes`, `node/reads` | calls that wait to be safe, or fresh, enough |
//! | `node/changes`, `node/transfer` | changes of the cluster, a handover |
//! | `node/catchup` | entries from disk for who is behind, and how many are kept |
//! | `node/outgoing`, `node/incoming` | a snapshot in pieces, to one node and from one |
//! | `node/source` | who feeds a node: the primary, or another |
//! | `node/feeding` | whom a node feeds that is not primary |
//! | `node/care` | what is due: expiry, comparing, readmission, a slow disk |
//! | `damage` | a directory that is damaged when it is opened |
//! | `membership` | who is in the cluster, and the entries that change it |
//! | `frame`, `message`, `wire` | what crosses the wire, byte by byte |
//! | `relay` | what nodes ask of the primary for their callers |
//! | `progress` | how far other nodes are, as they say |
//! | `storage` | the log as the library sees it |
//! | `lease` | stamps: how long a primary is one, how old a replica is |
//! | `hashes` | what nodes have come to, held against each other |
//! | `options` | what a node is told |

pub mod damage;
pub mod frame;
mod hashes;
mod lease;
mod membership;
mod message;
mod node;
mod options;
#[cfg(feature = "sim")]
pub mod planted;
pub mod progress;
pub mod relay;
mod storage;
mod wire;

pub use frame::Fault;
pub use membership::{ABOUT_BYTES_MAX, Change, Membership, NODES_MAX};
pub use message::{Body, Feed, SnapshotId, Verdict};
pub use node::{
    Answer, Bound, Completion, Denied, Done, Event, Fence, Fetch, Granted, InstallJob, Level, Node, Position,
    Reached, Report, Role, Standing, Start, Status, Ticket,
};
pub use options::Options;
