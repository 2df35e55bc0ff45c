//! [`Keys`]: the store as connections see it.

use std::ops::Deref;
use std::time::Duration;

use super::ahead::{Ahead, Leaves};
use super::errand::Errand;
use crate::error::Error;
use crate::store::index::{Answer, Command, Outcome, State, Timestamp, View};

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is visible, and may vanish with the machine.
    Memory,
    /// It is on this disk.
    #[default]
    Local,
    /// It is on the disks of most nodes.
    Quorum,
    /// Beside that, it is on the disks of so many nodes.
    AtLeast(u32),
    /// It is on all disks.
    All,
}

/// What the view that was asked for last shows, of a store in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All that was answered before it was asked for; on one node always.
    Whole,
    /// What was there so long ago; `None`: it is not known how long.
    Past(Option<Duration>),
    /// What was there when this primary last held its quorum: others may have gone on since.
    Lapsed,
}

/// Names a write under way: the sequence that it will have in the log. Where that is not known beforehand, any number
/// that no other write has; then writes that depend on each other are made up more often than they need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What [`Keys::submit`] gives.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// It is done, and this came of it. To be told to nobody before the batch it belongs to is taken in.
    Done(Done),
    /// It will be completed later.
    UnderWay(Ticket),
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The epoch of the entry there; 0 in the log of a store of its own.
    pub epoch: u64,
    /// Its sequence.
    pub sequence: u64,
}

/// Whether views have all up to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// They have.
    All,
    /// Not yet.
    NotYet,
    /// They never will: what was there is lost with a primary.
    Lost,
}

/// What came of asking the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Up to where what the answer rests on goes.
    pub position: Position,
    /// What the client is to be sent; `None`: the primary does not do the errand, or was asked for none.
    pub answer: Option<Vec<u8>>,
}

/// A write that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What came of it in the index, at its sequence. In a cluster it may not be applied yet, where that is not asked for.
    pub outcome: Outcome,
    /// The epoch of its entry; 0 in the log of a store of its own.
    pub epoch: u64,
}

impl Done {
    /// Whether it came to something: a command that rests on what has changed since is to be made up anew.
    pub fn is_met(&self) -> bool {
        !matches!(self.outcome.answer, Ok(Answer::Transaction { is_met: false, .. }))
    }

    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.outcome.sequence }
    }
}

impl From<Outcome> for Done {
    /// Of a store of its own.
    fn from(outcome: Outcome) -> Self {
        Self { outcome, epoch: 0 }
    }
}

/// What came of a write: that, or why it is not in the log.
pub type Completed = Result<Done, Error>;

/// What clients are told of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    /// Writes are refused: the log has failed, or there is no room.
    pub is_failing: bool,
    /// The last snapshot failed.
    pub has_snapshot_failed: bool,
    /// One is being written.
    pub is_snapshotting: bool,
    /// When the last one was written, or the store was opened since.
    pub snapshotted_at: Timestamp,
    /// Entries of the log since the last snapshot.
    pub changes: u64,
    /// Bytes of the log and its snapshots.
    pub bytes: u64,
}

/// The store. Reads are answered at once; a write is submitted and completed later, by
/// [`Connection::handle_completion`](super::Connection::handle_completion), unless it is done at once.
///
/// Writes are applied in the order in which they were submitted, and one that is done is in all that is read from then
/// on.
pub trait Keys {
    /// How a view is held while it is read.
    type Seen: Deref<Target = View>;

    /// What is there now.
    fn view(&mut self) -> Self::Seen;

    /// Shows `read` what is there now. Costs less than a view, which has to be kept.
    fn read<T>(&mut self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.view())
    }

    /// How the disk is.
    fn persistence(&mut self) -> Persistence {
        Persistence::default()
    }

    /// What the last view shows.
    fn sight(&mut self) -> Sight {
        Sight::Whole
    }

    /// Shows `read` the newest there is, for a write that reads first, and what the writes under way will have made of
    /// it, where that is known.
    fn read_ahead<T>(&mut self, read: impl FnOnce(&State, &Ahead) -> T) -> T {
        read(&self.view(), &Ahead::default())
    }

    /// Somebody has read `key` and found it changed when it came to writing.
    fn contest(&mut self, key: &[u8], now: Timestamp) {
        let _ = (key, now);
    }

    /// Whether who writes `key` should read it first.
    fn is_contested(&mut self, key: &[u8], now: Timestamp) -> bool {
        let _ = (key, now);
        false
    }

    /// Whether it is the turn of the client `who` to write `key`, where those who would write it stand in a line; if not, it is to
    /// look again when something was applied. A line is begun only by who `begins` one.
    fn is_turn(&mut self, key: &[u8], who: u64, begins: bool, now: Timestamp) -> bool {
        let _ = (key, who, begins, now);
        true
    }

    /// `who` has had its turn.
    fn leave_line(&mut self, key: &[u8], who: u64) {
        let _ = (key, who);
    }

    /// What [`Keys::read`] will show, which is no older than this call.
    fn look(&mut self) -> Sight {
        self.view();
        self.sight()
    }

    /// The latest time any command had, and the most bytes that a value may have: what there is to know for a write
    /// that reads nothing.
    fn present(&mut self) -> (Timestamp, u64) {
        let view = self.view();
        (view.time(), view.settings().value_max)
    }

    /// Whether another node says when keys expire: then they are seen here until the log has it, however late it is by this
    /// node's clock. See [`State::present`].
    fn follows(&mut self) -> bool {
        false
    }

    /// The epoch of which this node is primary at the moment at which [`Keys::submit`] takes a write in; `None`: it is none, or in no
    /// cluster.
    fn reign(&mut self) -> Option<u64> {
        None
    }

    /// Takes a write in. It does not wait. `leaves` is what it will have changed, if it has read first: to be known to
    /// [`Keys::read_ahead`] until it is done. `stays`: it is done by this node, as primary, or not at all; another one is not
    /// asked for it, now or later.
    ///
    /// # Errors
    ///
    /// It was not taken in: too much is under way, or the log has stopped. Nothing was changed.
    fn submit(
        &mut self,
        command: &Command<'_>,
        durability: Durability,
        stays: bool,
        leaves: Option<Leaves>,
    ) -> Result<Submitted, Error>;

    /// Asks the primary, on behalf of a client that this node does not show what is fresh enough. What comes of it is
    /// told by [`Connection::take_told`](super::Connection::take_told), after `wait` at most.
    ///
    /// - `errand`: what it is to do, as of now; `None`: nothing, and what comes of it is told once views show all
    ///   that was answered anywhere before this call.
    /// - `position`: what is to be seen in any case.
    ///
    /// `None`: the primary is not to be asked: there is none at present that can be reached, this node does not pass
    /// on what it is asked, or too much is under way.
    fn ask(&mut self, errand: Option<&Errand>, position: Option<Position>, wait: Duration) -> Option<Ticket> {
        let _ = (errand, position, wait);
        None
    }

    /// The last sequence that is on this disk.
    fn durable(&mut self) -> u64;

    /// How many other nodes have all up to `position`, as it was written.
    fn replicas_with(&self, position: Position) -> u64;

    /// The place of the entry at `sequence`, which a view has shown, or one behind it where the log has let go of that; of no epoch
    /// in the log of a store of its own.
    fn place_of(&mut self, sequence: u64) -> Position {
        Position { epoch: 0, sequence }
    }

    /// Whether a view that is asked for now has all up to `position`.
    fn has(&mut self, position: Position) -> Has {
        match self.view().sequence() >= position.sequence {
            true => Has::All,
            false => Has::NotYet,
        }
    }

    /// `key` is read, for stores that let go of what is not used for long.
    fn note_use(&mut self, key: &[u8]) {
        let _ = key;
    }
}
