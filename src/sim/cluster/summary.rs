//! What came of a run.

/// What came of a run, to see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames sent.
    pub frames: u64,
    /// Writes answered at a quorum or more.
    pub written: u64,
    /// Of these, at all voters.
    pub written_all: u64,
    /// Of these, with less than was asked for.
    pub degraded: u64,
    /// How often a primary ceased to be degraded.
    pub recovered: u64,
    /// Writes answered at `memory` or `local`.
    pub early: u64,
    /// Of these, at `local`; and how many of all were seen to be committed at their place later.
    pub local: u64,
    /// See `local`.
    pub early_kept: u64,
    /// Writes answered at the number of nodes they asked for.
    pub written_many: u64,
    /// Requests asked again that had been done before.
    pub repeated: u64,
    /// Writes of which nobody was told what came.
    pub doubtful: u64,
    /// Writes that another primary's took the place of.
    pub superseded: u64,
    /// Reads of a primary.
    pub read: u64,
    /// Reads of a replica, and how many of them had to be sent to the primary.
    pub read_here: u64,
    /// See `read_here`.
    pub sent_on: u64,
    /// Writes refused because the primary did not hold its quorum.
    pub fenced: u64,
    /// Elections won.
    pub primaries: u64,
    /// Crashes.
    pub crashes: u64,
    /// Of these, processes killed while the machine went on.
    pub kills: u64,
    /// Crashes in the midst of a flush.
    pub crashed_flushes: u64,
    /// Crashes in the midst of other work on files.
    pub crashed_upkeep: u64,
    /// Crashes in the midst of a snapshot being written.
    pub crashed_snapshots: u64,
    /// Crashes in the midst of a snapshot being taken in.
    pub crashed_installs: u64,
    /// Crashes in the midst of opening.
    pub crashed_openings: u64,
    /// Disks that had no room for a while.
    pub full: u64,
    /// Openings that the disk refused.
    pub refused: u64,
    /// Pieces of work on files that failed.
    pub upkeep_failed: u64,
    /// Snapshots that could not be written.
    pub snapshots_failed: u64,
    /// Pieces of a snapshot from elsewhere that could not be written.
    pub installs_failed: u64,
    /// Links cut.
    pub partitions: u64,
    /// Handovers begun.
    pub transfers: u64,
    /// Of these, those that ended with the other one as primary, were called off, and took too long.
    pub handed_over: u64,
    /// See `handed_over`.
    pub called_off: u64,
    /// See `handed_over`.
    pub transfers_late: u64,
    /// Handovers for a slow disk.
    pub slow: u64,
    /// Changes of the cluster begun.
    pub changes: u64,
    /// Voters replaced while another one was behind, and lost power as soon as it had answered for that.
    pub replaced: u64,
    /// Learners promoted by force.
    pub promoted: u64,
    /// Writes answered before that, and lost by it.
    pub given_up: u64,
    /// Voters of before that came back and were told.
    pub outdated: u64,
    /// Of these, those that were started again, and knew.
    pub still_out: u64,
    /// Openings that found damage for which a snapshot stands.
    pub covered: u64,
    /// How often a node of an older generation heard so by a link that was refused.
    pub put_out: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots taken in from another node.
    pub installed: u64,
    /// Of these, from a node that is not primary.
    pub fed_states: u64,
    /// How often a node came to be fed by one that is not primary, and by the primary again.
    pub fed: u64,
    /// See `fed`.
    pub fed_back: u64,
    /// Reads of old entries from disk.
    pub fetched: u64,
    /// Directories put back from an old copy.
    pub put_back: u64,
    /// Nodes taken in again.
    pub readmitted: u64,
    /// Bits that rotted, were found while the node ran, and were done without.
    pub mended: u64,
    /// Directories that were damaged when they were opened, and were mended.
    pub cut: u64,
    /// Directories that were lost.
    pub lost_directories: u64,
    /// Reads told that what they ask for is lost.
    pub lost: u64,
    /// Evictions proposed by those who are open in the end.
    pub evictions: u64,
    /// Logs that stopped.
    pub failed: u64,
    /// Histories that could not be decided.
    pub undecided: u64,
}

impl Summary {
    /// Adds another run's.
    pub fn add(&mut self, other: &Summary) {
        let pairs = [
            (&mut self.frames, other.frames),
            (&mut self.written, other.written),
            (&mut self.written_all, other.written_all),
            (&mut self.degraded, other.degraded),
            (&mut self.recovered, other.recovered),
            (&mut self.early, other.early),
            (&mut self.local, other.local),
            (&mut self.early_kept, other.early_kept),
            (&mut self.written_many, other.written_many),
            (&mut self.repeated, other.repeated),
            (&mut self.doubtful, other.doubtful),
            (&mut self.superseded, other.superseded),
            (&mut self.read, other.read),
            (&mut self.read_here, other.read_here),
            (&mut self.sent_on, other.sent_on),
            (&mut self.fenced, other.fenced),
            (&mut self.primaries, other.primaries),
            (&mut self.crashes, other.crashes),
            (&mut self.kills, other.kills),
            (&mut self.crashed_flushes, other.crashed_flushes),
            (&mut self.crashed_upkeep, other.crashed_upkeep),
            (&mut self.crashed_snapshots, other.crashed_snapshots),
            (&mut self.crashed_installs, other.crashed_installs),
            (&mut self.crashed_openings, other.crashed_openings),
            (&mut self.full, other.full),
            (&mut self.refused, other.refused),
            (&mut self.upkeep_failed, other.upkeep_failed),
            (&mut self.snapshots_failed, other.snapshots_failed),
            (&mut self.installs_failed, other.installs_failed),
            (&mut self.partitions, other.partitions),
            (&mut self.transfers, other.transfers),
            (&mut self.handed_over, other.handed_over),
            (&mut self.called_off, other.called_off),
            (&mut self.transfers_late, other.transfers_late),
            (&mut self.slow, other.slow),
            (&mut self.changes, other.changes),
            (&mut self.replaced, other.replaced),
            (&mut self.promoted, other.promoted),
            (&mut self.given_up, other.given_up),
            (&mut self.outdated, other.outdated),
            (&mut self.still_out, other.still_out),
            (&mut self.covered, other.covered),
            (&mut self.put_out, other.put_out),
            (&mut self.snapshots, other.snapshots),
            (&mut self.installed, other.installed),
            (&mut self.fed_states, other.fed_states),
            (&mut self.fed, other.fed),
            (&mut self.fed_back, other.fed_back),
            (&mut self.fetched, other.fetched),
            (&mut self.put_back, other.put_back),
            (&mut self.readmitted, other.readmitted),
            (&mut self.mended, other.mended),
            (&mut self.cut, other.cut),
            (&mut self.lost_directories, other.lost_directories),
            (&mut self.lost, other.lost),
            (&mut self.evictions, other.evictions),
            (&mut self.failed, other.failed),
            (&mut self.undecided, other.undecided),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }
}
