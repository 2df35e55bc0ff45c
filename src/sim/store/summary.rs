//! What came of a run.

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands taken.
    pub submitted: u64,
    /// Answers.
    pub answered: u64,
    /// Of these, of writes that asked for `local`.
    pub local: u64,
    /// Times the store was opened again.
    pub opened: u64,
    /// Of these, with a snapshot.
    pub from_snapshot: u64,
    /// Of these, times that a snapshot stood for what was damaged.
    pub covered: u64,
    /// `memory` writes that had been seen and that a crash took.
    pub vanished: u64,
    /// Writes that nobody was told of and that were there even so.
    pub more_than_told: u64,
    /// Requests sent again that were answered from memory.
    pub repeated: u64,
    /// Requests sent again that joined the first one.
    pub joined: u64,
    /// Commands refused for want of room, or because too much waited.
    pub refused: u64,
    /// Writes told that the log had stopped.
    pub failed: u64,
    /// Expiries the engine appended.
    pub expiries: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Comparisons of what was read.
    pub read: u64,
    /// Commands for which the clock stood still.
    pub clock_steps: u64,
    /// Times that the process was killed and the machine went on.
    pub killed: u64,
    /// Times that the disk was to do something and was slow.
    pub slow: u64,
    /// Times that what lay on disk was refused as damaged.
    pub damaged: u64,
    /// Times that the last batch had rotted, and was cut off.
    pub rotted: u64,
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Summary) {
        let pairs = [
            (&mut self.submitted, other.submitted),
            (&mut self.answered, other.answered),
            (&mut self.local, other.local),
            (&mut self.opened, other.opened),
            (&mut self.from_snapshot, other.from_snapshot),
            (&mut self.covered, other.covered),
            (&mut self.vanished, other.vanished),
            (&mut self.more_than_told, other.more_than_told),
            (&mut self.repeated, other.repeated),
            (&mut self.joined, other.joined),
            (&mut self.refused, other.refused),
            (&mut self.failed, other.failed),
            (&mut self.expiries, other.expiries),
            (&mut self.snapshots, other.snapshots),
            (&mut self.read, other.read),
            (&mut self.clock_steps, other.clock_steps),
            (&mut self.killed, other.killed),
            (&mut self.slow, other.slow),
            (&mut self.damaged, other.damaged),
            (&mut self.rotted, other.rotted),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}
