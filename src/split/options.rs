//! [`Options`] of a listener that splits reads from writes, and [`Topology`], what it knows of the nodes.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::Address;
use crate::resp::{HubOptions, Limits};

/// Which nodes take reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// All that are fresh enough, the primary among them.
    #[default]
    Any,
    /// Those that are not primary; the primary when there is no other.
    Replicas,
    /// The primary.
    Primary,
}

/// What a listener is told.
///
/// | option | unit | range | default | why |
/// |---|---|---|---|---|
/// | `reads` | | | any | every node can read |
/// | `max_age` | | from 0 | 1 s | a healthy replica is milliseconds behind; one that is cut off is found out soon |
/// | `catch_up` | | from 0 | 50 ms | how long a node may take to have its client's last write before the primary is asked |
/// | `hold` | | from 0 | 5 s | longer than an election takes at default settings |
/// | `queue_max` | clients | from 0 | 1,024 | that wait for a primary at once; the next is told at once that there is none |
/// | `connect` | | from 1 ms | 1 s | to a node, with its greeting |
/// | `answer` | | from 1 ms | 1 s | of a replica to a read; then it is asked of another node |
/// | `primary_answer` | | from 1 ms | 10 s | of the primary; then what came of a write is not known |
/// | `drain` | | from 0 | 1 s | for answers of a primary whose epoch is over |
/// | `pending_max` | requests | from 1 | 1,024 | of a client, not answered yet |
/// | `output_pause` | bytes | from 1 | 1 MiB | that a client has not read, from which on no request of it is taken |
/// | `output_max` | bytes | from `output_pause` | 256 MiB | with more the client is cut |
/// | `transaction_max` | bytes | from 1 | 64 MiB | between `MULTI` and `EXEC` |
/// | `whole_max` | bytes | from 0 | 64 KiB | of an answer that are kept back until it is whole, so that it can be asked for anew |
/// | `heavy_max` | connections | from 1 | 32 | to the primary, for writes that hold up what is behind them |
/// | `link_output_max` | bytes | from 1 | 4 MiB | not yet taken by a node, from which on it is sent nothing more |
#[derive(Clone, Debug)]
pub struct Options {
    /// Which nodes take reads.
    pub reads: Reads,
    /// How old what a read sees may be.
    pub max_age: Duration,
    /// How long a node is waited for that has to catch up with its client.
    pub catch_up: Duration,
    /// How long a request waits for a primary.
    pub hold: Duration,
    /// Clients that wait for a primary.
    pub queue_max: usize,
    /// Until a connection to a node stands.
    pub connect: Duration,
    /// Until a replica answers.
    pub answer: Duration,
    /// Until the primary answers.
    pub primary_answer: Duration,
    /// Until a primary of before is cut.
    pub drain: Duration,
    /// Requests of a client that are not answered.
    pub pending_max: usize,
    /// Bytes a client has not read, from which on it is not listened to.
    pub output_pause: usize,
    /// Bytes a client has not read at most.
    pub output_max: usize,
    /// Bytes between `MULTI` and `EXEC`.
    pub transaction_max: usize,
    /// Bytes of an answer that are kept back until it is whole.
    pub whole_max: usize,
    /// Connections to the primary for writes that read first.
    pub heavy_max: usize,
    /// Bytes on their way to a node, from which on it is sent nothing more.
    pub link_output_max: usize,
    /// What requests may be.
    pub limits: Limits,
    /// What clients log in with, and this listener at the nodes, and how clients are known.
    pub hub: HubOptions,
    /// A bug planted on purpose.
    #[cfg(feature = "sim")]
    pub planted: Option<super::planted::Plant>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reads: Reads::Any,
            max_age: Duration::from_secs(1),
            catch_up: Duration::from_millis(50),
            hold: Duration::from_secs(5),
            queue_max: 1_024,
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(1),
            primary_answer: Duration::from_secs(10),
            drain: Duration::from_secs(1),
            pending_max: 1_024,
            output_pause: 1 << 20,
            output_max: 256 << 20,
            transaction_max: 64 << 20,
            whole_max: 64 << 10,
            heavy_max: 32,
            link_output_max: 4 << 20,
            limits: Limits::default(),
            hub: HubOptions::default(),
            #[cfg(feature = "sim")]
            planted: None,
        }
    }
}

/// What is known of the nodes, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// The epoch; only one that is not lower than the last told counts.
    pub epoch: u64,
    /// The primary's number; `None` while none is known.
    pub primary: Option<u64>,
    /// All nodes.
    pub nodes: Vec<NodeView>,
    /// Why this listener's own node is of no cluster any more, if so: of a primary it hears nothing.
    pub fenced: Option<Arc<str>>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    /// Where it serves Redis clients; `None`: nowhere that is known, and it gets nothing.
    pub address: Option<Address>,
    /// Whether it is the node of this process: the first choice among equals.
    pub is_own: bool,
    /// Whether it takes no part any more: it gets nothing.
    pub is_out: bool,
}
